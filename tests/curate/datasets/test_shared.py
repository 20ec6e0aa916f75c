"""Where a cache is, and whether it is there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from curate.datasets import cache as caching
from curate.datasets.demo import Demo
from curate.errors import CurateError


def test_a_cache_in_a_folder_that_may_not_be_entered_says_how_to_name_another(tmp_path, monkeypatch):
    """As where HOME is that of another user, which is frequent in containers."""

    def refuse(path: Path, **_: object) -> bool:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "exists", refuse)
    for ask in (caching.prepare, lambda data, folder: caching.describe_plan(data, folder, 0)):
        with pytest.raises(CurateError, match=os.strerror(errno.EACCES)) as told:
            ask(Demo(None, Demo.Options()), tmp_path / "closed")
        assert "CURATE_CACHE" in told.value.hint
