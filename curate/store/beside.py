"""Rows of samples beside the table: Parquet files in a folder of its name, which the views `item`, `dynamic` and
`usability` read together with the rows that are in the table.

A row is always written to the table first, which checks its values; at the end of a transaction all rows go to files,
one for each part or run. What is to be changed comes back before. A file is listed in the transaction that completes
it: one that is not listed was left by a process that was killed, or belongs to nothing any more.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import duckdb

from curate.errors import CurateError
from curate.files.asking import literal

TABLES = ("layout", "beside")
KEYS = {"item": "part", "dynamic": "run_id", "usability": "run_id"}
"""What may be beside the table, and the column whose values tell its files apart."""
SUFFIX = ".rows"
READ = "read_parquet([{}], union_by_name = true)"
OURS = re.compile(r"[^/\\]+\.rows/[^/\\]+\.parquet")
MAGIC = b"PAR1"
FROM_A_COPY = "bring the table and the folder beside it back from a copy"
SEPARATORS = ",*?[]{}"
"""Characters that DuckDB does not take literally in the name of a folder or file that it reads."""


def here(table: str) -> str:
    """The table that the rows of a view are written to; a table that is never beside is itself."""
    return f"{table}_here" if table in KEYS else table


def is_wanted(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether rows are written to files beside the table."""
    return con.execute("SELECT count(*) > 0 FROM layout WHERE rows_beside").fetchone() == (True,)


def want(con: duckdb.DuckDBPyConnection, beside: bool, path: Path) -> None:
    """Keep the rows of samples in files beside the table from now on, or in it; those that are there move at the end of
    the transaction.

    Raises:
        CurateError: the folder of the table has a name that DuckDB cannot find files by.
    """
    if beside:
        check_folder(path)
    if not con.execute("UPDATE layout SET rows_beside = ? RETURNING 1", [beside]).fetchall():
        con.execute("INSERT INTO layout VALUES (?, ?)", [beside, uuid.uuid4().hex[:8]])
    if not beside:
        for table, key in con.execute("SELECT DISTINCT name, key FROM beside ORDER BY ALL").fetchall():
            bring(con, table, key)


def check_folder(path: Path) -> None:
    """Check that DuckDB can find files by the name of the folder of a table."""
    if found := sorted(set(str(path.resolve())) & set(SEPARATORS)):
        raise CurateError(
            f"{path.resolve()} has a name with {' '.join(found)}, and files beside it cannot be read then",
            "move the table to a folder without",
        )


def files(con: duckdb.DuckDBPyConnection) -> list[str]:
    """The listed files, in the order in which they were written, relative to the folder of the table."""
    return [name for (name,) in con.execute("SELECT file FROM beside ORDER BY rowid").fetchall()]


def find(con: duckdb.DuckDBPyConnection, path: Path) -> list[str]:
    """Let a connection find the listed files beside the table; the folders that they are in, from that of the table and
    whole: DuckDB allows a file only if it allows both.

    Raises:
        CurateError: one is not there or not whole, or is not in a folder of rows.
    """
    listed = files(con)
    if not listed:
        return []
    check_folder(path)
    if strange := [name for name in listed if not OURS.fullmatch(name)]:
        raise CurateError(f"{path} takes {strange[0]} for its rows", "it was changed by something else; do not use it")
    parent = path.resolve().parent
    lost = [name for name in listed if not (parent / name).is_file()]
    if lost:
        raise CurateError(
            f"{len(lost)} of {len(listed)} files with rows of {path} are not there, first {parent / lost[0]}",
            f"put the folder {Path(lost[0]).parent} back beside the table: they belong together",
        )
    if cut := [name for name in listed if not _is_whole(parent / name)]:
        raise CurateError(
            f"{len(cut)} of {len(listed)} files with rows of {path} are damaged, first {parent / cut[0]}",
            FROM_A_COPY,
        )
    search(con, path)
    folders = sorted({str(Path(name).parent) for name in listed})
    return [*folders, *(str(parent / folder) for folder in folders)]


def damaged(path: Path) -> Path | None:
    """The first file beside a table that cannot be read to its end, to say so after an error; None if all can."""
    for file in sorted(_folder(path).glob("*.parquet")):
        try:
            duckdb.connect().execute(f"SELECT bit_xor(hash(COLUMNS(*))) FROM {_reading([str(file)])}")
        except duckdb.Error:
            return file
    return None


def has_files(path: Path) -> bool:
    """Whether there are files of rows beside a table."""
    return any(_folder(path).glob("*.parquet"))


def _is_whole(file: Path) -> bool:
    """Whether a Parquet file begins and ends as one: its end tells where its columns are."""
    with file.open("rb") as opened:
        head = opened.read(len(MAGIC))
        opened.seek(-min(file.stat().st_size, len(MAGIC)), os.SEEK_END)
        return head == opened.read() == MAGIC


def search(con: duckdb.DuckDBPyConnection, *paths: Path) -> None:
    """Let a connection find the files beside these tables by their names."""
    con.execute(f"SET file_search_path = {literal(','.join(str(path.resolve().parent) for path in paths))}")


def remove(con: duckdb.DuckDBPyConnection, table: str, key: int | str) -> None:
    """Delete all rows of a part or run, wherever they are."""
    con.execute(f"DELETE FROM {here(table)} WHERE {KEYS[table]} = ?", [key])
    if con.execute("DELETE FROM beside WHERE name = ? AND key = ? RETURNING 1", [table, str(key)]).fetchall():
        show(con, [table])


def bring(con: duckdb.DuckDBPyConnection, table: str, key: int | str) -> None:
    """Bring the rows of a part or run back into the table, to be changed there."""
    listed = con.execute("DELETE FROM beside WHERE name = ? AND key = ? RETURNING file", [table, str(key)]).fetchall()
    if listed:
        con.execute(f"INSERT INTO {here(table)} BY NAME FROM {_reading(sorted(name for (name,) in listed))}")
        show(con, [table])


def settle(con: duckdb.DuckDBPyConnection, path: Path) -> bool:
    """Move all rows that are in the table to files beside it, if they are wanted there; whether any were moved.

    Raises:
        OSError, duckdb.Error: a file cannot be written.
    """
    moved = []
    for table, column in KEYS.items() if is_wanted(con) else ():
        keys = con.execute(f"SELECT DISTINCT {column} FROM {here(table)} ORDER BY 1").fetchall()
        for (key,) in keys:
            file = _new_file(con, path, table)
            con.execute(
                f"COPY (FROM {here(table)} WHERE {column} = $key) TO $file (FORMAT parquet, COMPRESSION zstd)",
                {"key": key, "file": str(file)},
            )
            with file.open("rb+") as written:
                os.fsync(written.fileno())  # complete before the table lists it
            con.execute("INSERT INTO beside VALUES (?, ?, ?)", [table, str(key), f"{file.parent.name}/{file.name}"])
        if keys:
            con.execute(f"DELETE FROM {here(table)}")
            moved.append(table)
    if moved:
        find(con, path)
        show(con, moved)
    return bool(moved)


def _folder(path: Path) -> Path:
    """Of the files of a table; no other table, nor a copy of another name, writes to it."""
    return path.resolve().with_name(f"{path.resolve().name}{SUFFIX}")


def _new_file(con: duckdb.DuckDBPyConnection, path: Path, table: str) -> Path:
    """A name with the identity of the table: one that had its name before may have left its files there."""
    folder = _folder(path)
    folder.mkdir(exist_ok=True)
    return folder / f"{table}-{_identity(con)}-{uuid.uuid4().hex}.parquet"


def _identity(con: duckdb.DuckDBPyConnection) -> str:
    return "".join(name for (name,) in con.execute("SELECT identity FROM layout").fetchall())


def show(con: duckdb.DuckDBPyConnection, tables: Collection[str] = tuple(KEYS)) -> None:
    """Make the views of these tables, of the rows in the table and of those in the listed files."""
    for table in tables:
        listed = con.execute("SELECT file FROM beside WHERE name = ? ORDER BY rowid", [table]).fetchall()
        more = f" UNION ALL BY NAME FROM {_reading([name for (name,) in listed])}" if listed else ""
        con.execute(f"CREATE OR REPLACE VIEW {table} AS FROM {here(table)}{more}")
        _explain(con, table)


def _reading(names: Collection[str]) -> str:
    return READ.format(quoted(names))


def quoted(names: Collection[str]) -> str:
    """Names as SQL texts, separated by commas."""
    return ", ".join(literal(name) for name in names)


def _explain(con: duckdb.DuckDBPyConnection, table: str) -> None:
    """The comments of the view: those of the table that it shows."""
    said = con.execute(
        "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = ? AND comment IS NOT NULL "
        "AND database_name = current_database() ORDER BY column_index",
        [here(table)],
    ).fetchall()
    for column, text in said:
        con.execute(f"COMMENT ON COLUMN {table}.{column} IS {literal(text)}")
    whole = "SELECT comment FROM duckdb_tables() WHERE table_name = ? AND database_name = current_database()"
    con.execute(f"COMMENT ON VIEW {table} IS {literal(con.execute(whole, [here(table)]).fetchall()[0][0])}")


def sweep(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Delete the files of this table that are not listed; nobody else may have it open."""
    folder = _folder(path)
    if not folder.is_dir():
        return
    with suppress(duckdb.Error):  # a connection that has failed says nothing; the next writer sweeps
        listed, own = set(files(con)), _identity(con)
        for file in sorted(folder.glob(f"*-{own}-*.parquet")) if own else ():
            if f"{folder.name}/{file.name}" not in listed:
                file.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()  # if it is empty
