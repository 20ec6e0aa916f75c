"""A file of zero bytes holds nothing to lose: a table begins in it, and nothing beside it is lost."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from curate.errors import CurateError
from curate.store import empty
from curate.store.store import Store

pytest.importorskip("fcntl")
HOLD = """
import fcntl, sys
file = open(sys.argv[1], "rb+")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def new_tables() -> None:
    """Tables are made here as everywhere else."""


@pytest.fixture
def path(tmp_path):
    """A file of zero bytes."""
    file = tmp_path / "t.duckdb"
    file.touch()
    return file


def test_a_table_begins_in_a_file_of_zero_bytes(path, scoring):
    number = path.stat().st_ino
    Store(path).runs.start(scoring.run())
    assert [run.run_id for run in Store(path).runs.all()] == ["score-toy-1"]
    assert path.stat().st_ino == number, "another process may have it open"


def test_who_is_to_write_reads_it_as_a_table_without_rows(path):
    assert Store(path, writes=True).runs.all() == []


def test_who_only_reads_leaves_it_and_is_told_what_to_do(path):
    for act in (Store(path).runs.all, lambda: Store(path).query("SELECT 1")):
        with pytest.raises(CurateError, match="holds nothing yet") as error:
            act()
        assert "curate score" in str(error.value.hint)
    assert not path.stat().st_size


def test_a_log_beside_it_is_not_lost(path, scoring):
    log = path.with_name("t.duckdb.wal")
    log.write_bytes(b"committed")
    with pytest.raises(CurateError, match=r"t\.duckdb\.wal holds something"):
        Store(path).runs.start(scoring.run())
    assert not path.stat().st_size and log.read_bytes() == b"committed"


def test_a_file_that_another_process_begins_is_left_to_it(path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        empty.begin(path)
        assert not path.stat().st_size
        other.communicate()
    empty.begin(path)
    assert path.stat().st_size


def test_on_a_full_disk_it_stays_without_bytes(path, scoring, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        with pytest.raises(CurateError, match="cannot write") as error:
            Store(path).runs.start(scoring.run())
        assert "space left" in str(error.value.hint)
    assert not path.stat().st_size
    Store(path).runs.start(scoring.run())
