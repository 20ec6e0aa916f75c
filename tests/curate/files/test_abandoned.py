"""Folders of temporary files that killed processes have left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from curate.files.abandoned import ABANDONED, remove_abandoned
from curate.files.writing import making, replacing

BEGINNING = "curate-duckdb-"
KILLED = """
import os, sys
from pathlib import Path
from curate.files import writing
with getattr(writing, sys.argv[1])(Path(sys.argv[2])) as fresh:
    (fresh / "half" if fresh.is_dir() else fresh).write_bytes(b"half")
    os.kill(os.getpid(), 9)
"""


def folder_of(place: Path, name: int | str, age: float) -> Path:
    """A folder with a file, both unchanged for so many seconds."""
    folder = place / f"{BEGINNING}{name}"
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
    (tmp_path / f"{BEGINNING}{ended.pid + 1}").symlink_to(kept[1])
    remove_abandoned(tmp_path, BEGINNING)
    assert not gone.exists() and all((folder / "spilled").exists() for folder in kept)
    young = folder_of(tmp_path, ended.pid, 0)
    remove_abandoned(tmp_path, BEGINNING)
    assert young.exists(), "it may be of a container with numbers of its own"
    os.utime(young, (0, 0))
    remove_abandoned(tmp_path, BEGINNING)
    assert young.exists(), "a file in it is young"
    remove_abandoned(tmp_path / "absent", BEGINNING)


@pytest.mark.skipif(os.name == "nt", reason="processes are not asked for there")
@pytest.mark.parametrize("way", [making, replacing])
def test_what_a_killed_process_left_beside_an_output_is_removed_by_the_next_writer(tmp_path: Path, way) -> None:
    path = tmp_path / "out[1].d"
    subprocess.run([sys.executable, "-c", KILLED, way.__name__, str(path)], check=False)
    (left,) = tmp_path.iterdir()
    for inside in (left, *left.rglob("*")):
        os.utime(inside, (0, 0))
    mine = tmp_path / ".out[1].d.notes"
    mine.mkdir()
    os.utime(mine, (0, 0))
    with way(path) as fresh:
        assert not left.exists() and fresh.parent.parent == tmp_path
        (fresh / "whole" if fresh.is_dir() else fresh).write_bytes(b"whole")
    assert sorted(p.name for p in tmp_path.iterdir()) == [mine.name, path.name]


@pytest.mark.skipif(os.name == "nt", reason="processes are not asked for there")
def test_a_hidden_folder_of_a_user_stays_beside_an_output(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for name in (f".backup.{ended.pid}-11-01", f".backup.{ended.pid}"):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (0, 0))
    with making(tmp_path / "backup") as fresh:
        (fresh / "new").write_bytes(b"x")
    assert len(list(tmp_path.iterdir())) == 3
