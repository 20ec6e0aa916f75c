"""Runs whose process was killed before it could store how they ended."""

from __future__ import annotations

from pathlib import Path

import duckdb

from curate.files.lock import is_gone

RUNNING, KILLED = "running", "killed"
"""Of a run that is not done: a process works on it; or the one that did is gone."""


def find(con: duckdb.DuckDBPyConnection, path: Path) -> list[str]:
    """The runs that are running by the table, and whose processes on this machine are gone."""
    rows = con.execute("SELECT run_id FROM run WHERE status = ? ORDER BY ALL", [RUNNING]).fetchall()
    return [name for (name,) in rows if is_gone(path.with_suffix(".runs") / name)]


def record(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Store that they were killed."""
    if found := find(con, path):
        con.execute("UPDATE run SET status = ? WHERE run_id IN (SELECT unnest(?))", [KILLED, found])
