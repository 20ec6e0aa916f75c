"""Pages are built often here, so their PNG files have few pixels."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from curate.report import drawing


@pytest.fixture(scope="session", autouse=True)
def few_pixels() -> Iterator[None]:
    """A tenth of the usual resolution."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "DPI", drawing.DPI / 10)
        yield
