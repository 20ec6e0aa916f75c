"""Processes that are forked from one that has a table open: they open it themselves, and end as they like."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from curate.store.connection import SAFE
from curate.store.store import Store

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
LONG = "SELECT unnest(range(1000000)) AS i, repeat('x', 100) AS x"
WAYS: dict[str, Callable[[Store], object]] = {
    "reads": lambda store: store.db.open(),
    "asks": lambda store: store.db.open(settings=SAFE),
    "reads together": lambda store: store.together(),
    "fetches": lambda store: store.stream(LONG),
    "writes": lambda store: store.db.open(write=True),
}
CHILD = """
import gc, os, sys
from curate.store.connection import SAFE
from curate.store.store import Store
from test_forks import WAYS

store, way, use = Store(sys.argv[1]), sys.argv[2], sys.argv[3]
store.query("SELECT 1")
with WAYS[way](store) as con:
    if way == "writes":
        con.execute("UPDATE run SET status = 'running'")
    child = os.fork()
    if child == 0:
        gc.collect()
        if use == "uses":
            assert store.rows("SELECT DISTINCT kind FROM run") == [("score",)]
            assert store.query("SELECT DISTINCT kind FROM run")[1] == [("score",)]
        sys.exit(7)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
assert store.query("SELECT status FROM run")[1] == [("running" if way == "writes" else "done",)]
sys.exit(0 if status == 7 else f"the forked process ended with {status}")
"""
"""A process of its own, since the forked one ends as any process does: whatever is left is freed."""


@pytest.mark.parametrize("use", ["uses", "ends"])
@pytest.mark.parametrize("way", WAYS)
def test_a_forked_process_ends_by_itself_whatever_its_parent_has_open(scored_table, way, use):
    if (way, use) == ("writes", "uses"):
        pytest.skip("a file that is being written is read by nobody else")
    command = [sys.executable, "-c", CHILD, str(scored_table.path), way, use]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])},
    )
    assert done.returncode == 0, done.stderr
