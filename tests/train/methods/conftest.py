"""Settings that the checks of all methods share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest


@pytest.fixture(scope="session")
def short() -> Mapping[str, dict[str, Any]]:
    """{method: settings with which three epochs are enough for all that it does}, of those that need some."""
    return {"mslr": {"window": 1}, "reconboost": {"epochs": 1}}
