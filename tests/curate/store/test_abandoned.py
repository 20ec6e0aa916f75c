"""Folders of temporary files that killed processes have left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from curate.store.instance import ABANDONED, SPILLING, remove_abandoned


def folder_of(place: Path, name: int | str, age: float) -> Path:
    """A folder with a file, both unchanged for so many seconds."""
    folder = place / f"{SPILLING}{name}"
    folder.mkdir()
    (folder / "spilled").write_bytes(b"x")
    now = folder.stat().st_mtime
    for path in (folder / "spilled", folder):
        os.utime(path, (now - age, now - age))
    return folder


@pytest.mark.skipif(os.name == "nt", reason="processes are not asked for there")
def test_only_old_folders_of_processes_that_are_gone_are_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    old = 2 * ABANDONED
    gone = folder_of(tmp_path, ended.pid, old)
    kept = [folder_of(tmp_path, os.getpid(), old), folder_of(tmp_path, "notes", old)]
    (tmp_path / f"{SPILLING}{ended.pid + 1}").symlink_to(kept[1])
    remove_abandoned(tmp_path)
    assert not gone.exists() and all((folder / "spilled").exists() for folder in kept)
    young = folder_of(tmp_path, ended.pid, 0)
    remove_abandoned(tmp_path)
    assert young.exists(), "it may be of a container with numbers of its own"
    os.utime(young, (0, 0))
    remove_abandoned(tmp_path)
    assert young.exists(), "a file in it is young"
    remove_abandoned(tmp_path / "absent")
