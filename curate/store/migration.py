"""Copy a file to a new one, which then replaces it: to the current schema, or to one without free space."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from curate.files.asking import literal

from .beside import here, search
from .instance import GROUP
from .older import BY_NAME, convert
from .schema import STORAGE

Connection = duckdb.DuckDBPyConnection
VERSION_TABLE = "schema_version"
FRESH = "migrating"
SHARE = 0.25
"""Of a file that must be free before it is copied: what is copied costs no more than a few times what was written."""


def rebuild(
    con: Connection, path: Path, version: int, create: Callable[[Connection, Callable[[], None]], None]
) -> Path:
    """Copy the open file `path` to a new one by the names of columns, and replace it by that.

    The new file is complete and on disk before it is renamed: if the process is killed before, the old file is
    unchanged. A column that only the current schema has gets its default; a table that the current schema does not have
    is copied unchanged, but for those of `older`, whose rows become rows of `item`.

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
    tables = con.execute(
        "SELECT database_name, table_name FROM duckdb_tables() WHERE database_name = current_database() ORDER BY 2"
    ).fetchall()
    old = tables[0][0]
    search(con, path)  # for the views of rows in files beside it

    def fill() -> None:
        known = {name for (name,) in con.execute("SHOW TABLES").fetchall()}
        rows_of_samples = {name for _, name in tables} & set(BY_NAME)
        if rows_of_samples:
            convert(con, old, rows_of_samples)
        for name in (name for _, name in tables if name not in rows_of_samples):
            target = here(name)  # before schema version 8 by the name of the view that shows it now
            verb = f'INSERT INTO "{target}" BY NAME' if target in known else f'CREATE TABLE "{name}" AS'
            if name != VERSION_TABLE:
                con.execute(f'{verb} SELECT * FROM "{old}".main."{name}"')

    def make() -> None:
        con.execute(f"USE {FRESH}")
        create(con, fill)
        con.execute(f'USE "{old}"')

    with _beside(con, path, old, "v1.0.0", make):
        backup = _keep(path, f"{path.stem}.v{version}", path.suffix)
    return backup


def shrink(con: Connection, path: Path) -> None:
    """Give the space of what was deleted from the open file `path` back, if that is a good part of it.

    DuckDB fills that space again, but keeps the file as large. All of the file is copied to a new one, which replaces
    it: if the process is killed before, the old one is unchanged.

    Args:
        con: as in `rebuild`.

    Raises:
        duckdb.Error, OSError: the copy failed; the old file stays in its place, unchanged.
    """
    con.execute("CHECKPOINT")
    total, free, old = con.execute(
        "SELECT total_blocks, free_blocks, database_name FROM pragma_database_size() "
        "WHERE database_name = current_database()"
    ).fetchall()[0]
    if free < SHARE * total:
        return
    storage = con.execute(STORAGE).fetchall()[0][0].rstrip("+")
    with _beside(con, path, old, storage, lambda: con.execute(f'COPY FROM DATABASE "{old}" TO {FRESH}')):
        pass


@contextmanager
def _beside(con: Connection, path: Path, old: str, storage: str, make: Callable[[], object]) -> Iterator[None]:
    """Let `make` fill a new file, attached as `FRESH`; after the block it replaces the open one, named `old`."""
    fresh = path.with_name(f"{path.name}.{FRESH}")
    _remove(fresh)
    try:
        form = f"STORAGE_VERSION '{storage}', ROW_GROUP_SIZE {GROUP}"
        con.execute(f"ATTACH {literal(str(fresh))} AS {FRESH} ({form})")
        make()
        con.execute(f"DETACH {FRESH}")
        con.execute("CHECKPOINT")  # complete without its write-ahead log, which must not be beside the new file
        yield
        fresh.replace(path)
    except BaseException:
        with suppress(duckdb.Error):
            con.rollback()
        with suppress(duckdb.Error):
            con.execute(f'USE "{old}"')
            con.execute(f"DETACH {FRESH}")
        _remove(fresh)
        raise


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
        # In another process: a file that is closed in this one ends its lock on the table.
        copy = "import shutil, sys; shutil.copy2(*sys.argv[1:])"
        if subprocess.run([sys.executable, "-I", "-c", copy, str(path), str(backup)], capture_output=True).returncode:
            backup.unlink(missing_ok=True)
            raise OSError(f"{path} cannot be copied to {backup}") from None
    return backup
