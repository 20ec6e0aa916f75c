"""Who works on a run: one process at a time, and nobody after it was killed."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from curate.errors import LockedError
from curate.files.lock import FILE, OWNER, claimed, is_gone, is_held, is_vacant

ROOT = Path(__file__).parents[3]
HOLD = """
import os, signal, sys
from pathlib import Path
from curate.files.lock import claimed
with claimed(Path(sys.argv[1])):
    if len(sys.argv) > 2 and not os.fork():
        signal.pause()
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path, *more: str) -> subprocess.Popen[str]:
    """A process that has claimed a folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_a_claimed_folder_names_the_process_that_works_there(tmp_path):
    process = holder(tmp_path / "run-1")
    with (
        pytest.raises(LockedError, match=f"run-1 is being worked on by process {process.pid} on "),
        claimed(tmp_path / "run-1"),
    ):
        pass
    process.communicate("")
    with claimed(tmp_path / "run-1"):
        assert (tmp_path / "run-1" / OWNER).read_text().split()[0] == str(os.getpid())


def test_a_killed_process_lets_go_even_if_its_children_live_on(tmp_path):
    process = holder(tmp_path / "run-1", "with a child")
    process.kill()
    process.wait()
    try:
        os.killpg(process.pid, 0)  # the child is there, and lets go of what it inherited once it runs
        late = time.monotonic() + 60
        while not is_vacant(tmp_path / "run-1") and time.monotonic() < late:
            time.sleep(0.01)
        with claimed(tmp_path / "run-1"):
            pass
    finally:
        os.killpg(process.pid, 9)
        process.stdin.close()
        process.stdout.close()


def test_nothing_is_left_of_a_folder_in_which_nothing_was_made(tmp_path):
    with claimed(tmp_path / "runs" / "a"):
        pass
    with claimed(tmp_path / "runs" / "b"):
        (tmp_path / "runs" / "b" / "last.pt").touch()
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["b"]
    with claimed(tmp_path / "runs" / "b"):
        (tmp_path / "runs" / "b" / "last.pt").unlink()
        shutil.rmtree(tmp_path / "runs" / "b")


def test_a_full_disk_keeps_nobody_from_working_on_a_folder(tmp_path, monkeypatch):
    """Else nothing could be removed there to make room."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with claimed(tmp_path / "run-1"):
        assert is_held(tmp_path / "run-1")
    assert not (tmp_path / "run-1").exists()


def test_a_killed_process_is_known_to_be_gone_on_its_own_machine_alone(tmp_path):
    folder = tmp_path / "run-1"
    assert not is_gone(folder)
    process = holder(folder)
    assert not is_gone(folder)
    process.kill()
    process.communicate()
    assert is_gone(folder)
    (folder / OWNER).write_text(f"{process.pid} on another-machine\n")
    assert not is_gone(folder), "its lock may not be seen here"
    with claimed(folder):
        assert not is_gone(folder)
    assert not is_gone(folder), "it ended by itself"


def test_a_folder_is_held_as_long_as_its_process_is_there(tmp_path):
    folder = tmp_path / "run-1"
    assert not is_held(folder) and not folder.exists()
    process = holder(folder)
    assert is_held(folder)
    before = sorted(path.name for path in folder.iterdir())
    process.kill()
    process.communicate()
    assert not is_held(folder)
    assert sorted(path.name for path in folder.iterdir()) == before
    with claimed(folder):
        assert is_held(folder), "by this process, too"


def test_a_folder_is_vacant_unless_something_is_there_or_somebody_works_there(tmp_path):
    assert is_vacant(tmp_path / "none")
    process = holder(tmp_path / "run-1")
    assert not is_vacant(tmp_path / "run-1")
    process.kill()
    process.communicate()
    assert (tmp_path / "run-1" / FILE).exists() and is_vacant(tmp_path / "run-1")
    (tmp_path / "run-2").mkdir()
    (tmp_path / "run-2" / "last.pt").touch()
    assert not is_vacant(tmp_path / "run-2")
