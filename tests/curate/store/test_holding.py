"""Several connections of one process to a table: none of them ends the locks of another."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress

import duckdb
import pytest

from curate.errors import CurateError
from curate.store.connection import READING, SAFE

WRITE = """
import duckdb, sys
try:
    duckdb.connect(sys.argv[1]).execute("UPDATE run SET status = 'failed'")
except duckdb.Error as error:
    print('locked' if 'Could not set lock' in str(error) else error)
"""


def another_process_writes(path) -> bool:
    """Whether a process that writes now gets the file."""
    done = subprocess.run([sys.executable, "-c", WRITE, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("", "locked")
    return not done.stdout.strip()


@pytest.mark.skipif(os.name == "nt", reason="there an open file is locked for others by its handle")
@pytest.mark.parametrize("settings", [{}, READING, SAFE])
@pytest.mark.parametrize("question", ["ours", "a user's"])
def test_a_reader_that_ends_leaves_the_others_theirs(scored_table, settings, question):
    db = scored_table.db
    with db.open(settings=settings):
        assert db.rows("SELECT 1") if question == "ours" else db.query("SELECT 1")
        assert not another_process_writes(db.path)
    assert another_process_writes(db.path)


@pytest.mark.skipif(os.name == "nt", reason="there an open file is locked for others by its handle")
@pytest.mark.parametrize("question", ["ours", "a user's", "to write"])
def test_a_refused_opening_leaves_the_writer_its_lock(scored_table, question):
    db = scored_table.db
    with db.open(write=True) as con:
        with pytest.raises(CurateError, match="open in this process"):
            if question == "to write":
                with db.open(write=True):
                    pass
            db.rows("SELECT 1") if question == "ours" else db.query("SELECT 1")
        assert not another_process_writes(db.path)
        con.execute("UPDATE run SET status = 'running'")
    assert db.rows("SELECT DISTINCT status FROM run") == [("running",)]
    assert another_process_writes(db.path)


def test_questions_of_a_user_may_be_asked_at_once(scored_table):
    """Each with its own settings; the first result is longer than what is fetched before it is returned."""
    store = scored_table
    with store.stream("SELECT unnest(range(1000))", rows=10) as (_, portions):
        next(portions)
        assert store.query("SELECT count(*) > 0 FROM samples")[1] == [(True,)]
        assert store.query("SELECT count(*) > 0 FROM samples", allow_files=True)[1] == [(True,)]
        with pytest.raises(CurateError):
            store.query("SELECT * FROM read_text('/etc/hostname')")
        assert sum(len(rows) for rows in portions) == 990


def test_readers_in_threads_end_in_any_order(scored_table):
    store, results = scored_table, list[object]()

    def ask(number: int) -> None:
        for turn in range(10):
            ours = (number + turn) % 2
            found = store.rows("SELECT 1 FROM run") if ours else store.query("SELECT 1 FROM run")[1]
            results.append(found)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [[(1,)]] * 40
    store.runs.finish("score-toy-1", "done")  # nothing is left open


def test_a_connection_that_cannot_be_made_is_not_held(scored_table, monkeypatch):
    path = scored_table.path
    content = path.read_bytes()
    path.write_bytes(b"words")
    for settings in ({}, SAFE):
        with suppress(CurateError), scored_table.db.open(settings=settings):
            pytest.fail("it is no table")
    path.write_bytes(content)
    scored_table.runs.finish("score-toy-1", "done")
    with duckdb.connect(str(path)) as theirs:
        assert theirs.execute("SELECT status FROM run").fetchall() == [("done",)]
