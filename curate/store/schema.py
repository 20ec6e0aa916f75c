"""The tables and views of a new file, from `schema.sql`."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import resources

import duckdb

from . import beside, views

SCHEMA_VERSION = 11
NEW = {"STORAGE_VERSION": "v1.0.0"}  # readable by DuckDB shells from 1.1 on too; a file that is there keeps its own
STORAGE = "SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = current_database()"
COMPRESSION = re.compile(r" USING COMPRESSION \w+")  # newer storage has others


def create(con: duckdb.DuckDBPyConnection, fill: Callable[[], None] = lambda: None) -> None:
    """Make the tables in the empty database in use, call `fill`, and make the views, in one transaction."""
    con.begin()
    tables = resources.files("curate.store").joinpath("schema.sql").read_text(encoding="utf-8")
    if con.execute(STORAGE).fetchone() != (NEW["STORAGE_VERSION"] + "+",):  # somebody else's empty file
        tables = COMPRESSION.sub("", tables)
    con.execute(tables)
    con.execute("INSERT INTO schema_version VALUES (?, 'curate')", [SCHEMA_VERSION])
    fill()
    beside.show(con)
    views.refresh(con)
    con.commit()
