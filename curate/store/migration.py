"""Convert an older file to the current schema: every row is copied to a new file, which then replaces the old one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import duckdb

Connection = duckdb.DuckDBPyConnection
VERSION_TABLE = "schema_version"
FRESH = "migrating"


def rebuild(
    con: Connection, path: Path, version: int, create: Callable[[Connection, Callable[[], None]], None]
) -> Path:
    """Copy the open file `path` to a new one by the names of columns, and replace it by that.

    The new file is complete and on disk before it is renamed: if the process is killed before, the old file is
    unchanged. A column that only the current schema has gets its default; a table that the current schema does not have
    is copied unchanged.

    Args:
        con: the only connection to `path`, for writing; its lock excludes other processes. It still reads the old file.
        version: schema version of the old file, part of the backup's name.
        create: called with (con, fill); makes the current tables in the database in use, calls `fill`, and makes the
            views.

    Returns:
        The old file, kept beside it as `<name>.v<version>.duckdb`.

    Raises:
        duckdb.Error, OSError: the copy failed; the old file stays in its place, unchanged.
    """
    fresh = path.with_name(f"{path.name}.{FRESH}")
    tables = con.execute(
        "SELECT database_name, table_name FROM duckdb_tables() WHERE database_name = current_database() ORDER BY 2"
    ).fetchall()
    old = tables[0][0]

    def fill() -> None:
        known = {name for (name,) in con.execute("SHOW TABLES").fetchall()}
        for _, name in tables:
            verb = f'INSERT INTO "{name}" BY NAME' if name in known else f'CREATE TABLE "{name}" AS'
            if name != VERSION_TABLE:
                con.execute(f'{verb} SELECT * FROM "{old}".main."{name}"')

    _remove(fresh)
    try:
        quoted = str(fresh).replace("'", "''")
        con.execute(f"ATTACH '{quoted}' AS {FRESH} (STORAGE_VERSION 'v1.0.0')")
        con.execute(f"USE {FRESH}")
        create(con, fill)
        con.execute(f'USE "{old}"')
        con.execute(f"DETACH {FRESH}")
        con.execute("CHECKPOINT")  # complete without its write-ahead log, which must not be beside the new file
        backup = _keep(path, f"{path.stem}.v{version}", path.suffix)
        fresh.replace(path)
    except BaseException:
        with suppress(duckdb.Error):
            con.rollback()
        with suppress(duckdb.Error):
            con.execute(f'USE "{old}"')
            con.execute(f"DETACH {FRESH}")
        _remove(fresh)
        raise
    return backup


def _remove(fresh: Path) -> None:
    for left in (fresh, fresh.with_name(f"{fresh.name}.wal")):
        left.unlink(missing_ok=True)


def _keep(path: Path, stem: str, suffix: str) -> Path:
    """Give a file a second name, the first that is free; a copy if the file system has no links."""
    number = 1
    while (backup := path.with_name(f"{stem}{'' if number == 1 else f'-{number}'}{suffix}")).exists():
        if backup.samefile(path):  # left by a process that was killed before the rename
            return backup
        number += 1
    try:
        os.link(path, backup)
    except OSError:
        shutil.copy2(path, backup)
    return backup
