"""After a process that was killed, or found the disk full, a table opens, with all that was committed and no more."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest

from curate.errors import CurateError
from curate.store.mending import mend, trim
from curate.store.store import Store

pytest.importorskip("fcntl")
PAGE, BLOCKS, BLOCK, COMMITTED = 4096, 12288, 262144, 40
CHECKPOINT = f"""
import duckdb, os, shutil, sys
con = duckdb.connect(sys.argv[1])
for number in range({COMMITTED}):
    con.execute("INSERT INTO mark (number, mark_id, dataset, sample_id, mark, author, made) "
                "VALUES (?, ?, 'toy', 's', 'keep', 'a', TIMESTAMP '2026-01-01')", [number, f'm{{number}}'])
shutil.copy(sys.argv[1], sys.argv[2])
con.execute("SET debug_checkpoint_abort = 'after_free_list_write'")
try:
    con.execute('CHECKPOINT')
except duckdb.Error:
    os._exit(0)
"""
"""Commits, and ends within a checkpoint: all blocks are written, and the header is not."""


class Ended(NamedTuple):
    """A table before and after the blocks of a checkpoint were written, and those that were written over."""

    before: bytes
    after: bytes
    blocks: list[int]
    log: Path

    def torn(self, path: Path, block: int, pages: int) -> Store:
        """The table that a process leaves which was killed after so many pages of a block."""
        content, place = bytearray(self.before), BLOCKS + block * BLOCK
        content[place : place + pages * PAGE] = self.after[place : place + pages * PAGE]
        path.write_bytes(content)
        shutil.copy(self.log, f"{path}.wal")
        return Store(path)


@pytest.fixture
def ended(scored_table, tmp_path) -> Ended:
    """A process that ended within a checkpoint."""
    path, before = scored_table.path, tmp_path / "before"
    subprocess.run([sys.executable, "-c", CHECKPOINT, str(path), str(before)], check=True)
    old, new = before.read_bytes(), path.read_bytes()
    places = range(BLOCKS, len(old), BLOCK)
    over = [(at - BLOCKS) // BLOCK for at in places if old[at : at + BLOCK] != new[at : at + BLOCK]]
    return Ended(old, new, over, Path(f"{path}.wal"))


def refuses(path: Path) -> bool:
    """Whether DuckDB alone finds a wrong checksum; it reads a copy, since it may write to what it opens."""
    copy = path.with_suffix(".copy")
    shutil.copy(path, copy)
    shutil.copy(f"{path}.wal", f"{copy}.wal")
    try:
        with duckdb.connect(str(copy), read_only=True) as con:
            con.execute("SELECT count(*) FROM mark").fetchall()
    except duckdb.Error as error:
        return "checksum" in str(error)
    return False


def pieces(ended: Ended) -> Iterator[tuple[int, int]]:
    """Some (block, pages)."""
    for block in ended.blocks:
        for pages in (1, 17, 63):
            yield block, pages


def test_a_block_that_is_half_written_is_mended_and_nothing_is_lost(ended, tmp_path, caplog):
    refused = 0
    for number, (block, pages) in enumerate(pieces(ended)):
        store = ended.torn(tmp_path / f"torn-{number}.duckdb", block, pages)
        refused += refuses(store.path)
        assert len(store.marks.all("toy")) == COMMITTED
        assert store.rows("SELECT count(*) > 0 FROM samples") == [(True,)]
        store.runs.finish("score-toy-1", "done")
        assert not os.path.exists(f"{store.path}.wal")
        assert len(store.marks.all("toy")) == COMMITTED
    assert refused  # else nothing was tried
    assert "nothing is lost" in caplog.text


def test_a_damage_that_no_killed_process_leaves_is_not_hidden(ended, tmp_path):
    """Without a log no checkpoint was cut short."""
    block, pages = next(one for one in pieces(ended) if refuses(ended.torn(tmp_path / "tried.duckdb", *one).path))
    store = ended.torn(tmp_path / "torn.duckdb", block, pages)
    os.unlink(f"{store.path}.wal")
    content = store.path.read_bytes()
    with pytest.raises(Exception, match="checksum"):
        store.marks.all("toy")
    assert store.path.read_bytes() == content


def test_a_file_of_another_process_is_left_alone(ended, tmp_path):
    """It may be in the middle of a checkpoint."""
    block, pages = next(one for one in pieces(ended) if refuses(ended.torn(tmp_path / "tried.duckdb", *one).path))
    store = ended.torn(tmp_path / "torn.duckdb", block, pages)
    content = store.path.read_bytes()
    hold = "import fcntl, sys; f = open(sys.argv[1], 'rb+'); fcntl.lockf(f, fcntl.LOCK_EX); print(); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(store.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        process.stdout.readline()
        mend(store.path)
        assert store.path.read_bytes() == content
        process.stdin.close()
    mend(store.path)
    assert store.path.read_bytes() != content


@pytest.mark.parametrize(
    "content",
    [b"", b"words", bytes(300_000), random.Random(0).randbytes(300_000)],
    ids=("none", "words", "zeros", "any"),
)
def test_what_is_no_table_is_left_alone(tmp_path, content):
    path = tmp_path / "any.duckdb"
    path.write_bytes(content)
    path.with_name("any.duckdb.wal").write_bytes(b"words")
    mend(path)
    assert path.read_bytes() == content


LARGE = "CREATE TABLE large AS SELECT i, md5(i::VARCHAR) AS x FROM range(500000) t(i)"


@pytest.mark.parametrize("full", [False, True])
def test_what_was_not_committed_takes_no_space(scored_table, full):
    """As on a full disk: no file may be larger than so much."""
    import resource

    path = scored_table.path
    size, (soft, hard) = path.stat().st_size, resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        if full:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10 * BLOCK, hard))
        with (
            pytest.raises(CurateError if full else KeyError, match="cannot write" if full else "of ours"),
            scored_table.db.open(write=True) as con,
        ):
            con.execute(LARGE)
            assert path.stat().st_size > size + 4 * BLOCK
            raise KeyError("of ours")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.stat().st_size <= size + 2 * BLOCK
    scored_table.runs.finish("score-toy-1", "failed")
    assert scored_table.rows("SELECT DISTINCT status FROM run") == [("failed",)]


def test_what_was_committed_before_a_process_was_killed_is_not_cut_off(scored_table):
    """Its rows are behind the last block that the header knows, and the log says so."""
    killed = f"import duckdb, os, sys; c = duckdb.connect(sys.argv[1]); c.execute('{LARGE}'); os._exit(0)"
    subprocess.run([sys.executable, "-c", killed, str(scored_table.path)], check=True)
    assert os.path.getsize(f"{scored_table.path}.wal")
    size = scored_table.path.stat().st_size
    trim(scored_table.path)
    assert scored_table.path.stat().st_size == size
    assert scored_table.rows("SELECT count(*) FROM large") == [(500_000,)]
