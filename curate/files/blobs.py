"""Media in the cells of Parquet files: the bytes of one cell.

A medium is a BLOB, or a struct whose field `bytes` is one. Cells are read in blocks of rows, and the last blocks are
kept: media that are asked for in order cost one reading of the file.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from curate.errors import CurateError

from .asking import quoted, reading

BLOCK, KEPT = 64, 2
"""Rows of a block, and blocks that are kept: one of sound and one of pictures."""


def cell(file: Path, row: int, column: str) -> bytes | None:
    """The bytes of one medium; None where there is none.

    Args:
        file: on this machine.

    Raises:
        CurateError: the file cannot be read, or has no such row or column of media.
    """
    seen = file.stat()
    block = _block(str(file), (seen.st_mtime_ns, seen.st_size), column, row // BLOCK)
    if row % BLOCK >= len(block):
        raise CurateError(f"{file} has no row {row}", "prepare again")
    return block[row % BLOCK]


def bytes_of(column: str, kind: str) -> str:
    """The SQL of a column's bytes, by its type in DuckDB; '' if it holds no media."""
    if kind == "BLOB":
        return quoted(column)
    return f"{quoted(column)}.bytes" if kind.startswith("STRUCT(") and "bytes BLOB" in kind.replace('"', "") else ""


@lru_cache(maxsize=KEPT)
def _block(file: str, version: tuple[int, int], column: str, number: int) -> list[bytes | None]:
    """The media of a block of rows.

    Args:
        version: of the file; another one is read anew.
    """
    import duckdb

    with reading(Path(file)), duckdb.connect() as con:
        described = con.execute("SELECT column_name, column_type FROM (DESCRIBE FROM read_parquet(?))", [file])
        kinds = {str(name): str(kind) for name, kind in described.fetchall()}
        wanted = bytes_of(column, kinds.get(column, ""))
        if not wanted:
            raise CurateError(f"{file} has no media in a column {column!r}", f"it has {', '.join(kinds)}")
        first = number * BLOCK
        sql = (
            f"SELECT {wanted} FROM read_parquet(?, file_row_number = true) "
            f"WHERE file_row_number BETWEEN {first} AND {first + BLOCK - 1} ORDER BY file_row_number"
        )
        return [None if value is None else bytes(value) for (value,) in con.execute(sql, [file]).fetchall()]
