"""Parquet files with media in their cells, as Hugging Face `datasets` writes them: what they hold, and a cell's bytes.

A medium is a BLOB, or a struct whose field `bytes` is one. Cells are read in blocks of rows, and the last blocks are
kept: media that are asked for in order cost one reading of the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from curate.errors import CurateError

BLOCK, KEPT = 64, 2
"""Rows of a block, and blocks that are kept: one of sound and one of pictures."""
NAMES = "huggingface"
"""Key of the metadata in which `datasets` keeps the names of classes."""


@dataclass(frozen=True)
class Contents:
    """What a Parquet file has.

    Attributes:
        rows: number of rows.
        columns: names of all columns, in order.
        media: those of media.
        others: other ones that are neither lists nor structs.
        classes: {column of class indices: their names}.
    """

    rows: int
    columns: tuple[str, ...]
    media: tuple[str, ...]
    others: tuple[str, ...]
    classes: dict[str, tuple[str, ...]]


def contents(file: Path, who: str) -> Contents:
    """What a file on this machine has.

    Raises:
        CurateError: it is no Parquet file.
    """
    with _asking(file, who) as con:
        columns = con.execute("SELECT column_name, column_type FROM (DESCRIBE FROM read_parquet($1))", [str(file)])
        kinds = {str(name): str(kind) for name, kind in columns.fetchall()}
        rows = int(con.execute("SELECT count(*) FROM read_parquet($1)", [str(file)]).fetchone()[0])
        said = con.execute("SELECT value FROM parquet_kv_metadata($1) WHERE key = $2", [str(file), NAMES.encode()])
        described = [bytes(value) for (value,) in said.fetchall()]
    media = tuple(name for name, kind in kinds.items() if _bytes_of(name, kind))
    others = tuple(name for name, kind in kinds.items() if name not in media and not kind.endswith(("]", ")")))
    return Contents(rows, tuple(kinds), media, others, _classes(described[0] if described else b""))


def texts(file: Path, names: Sequence[str], who: str) -> dict[str, list[str]]:
    """{column: its cells as texts, '' for an empty one}.

    Raises:
        CurateError: the file cannot be read.
    """
    if not names:
        return {}
    wanted = ", ".join(f"coalesce({_quoted(name)}::VARCHAR, '') AS c{i}" for i, name in enumerate(names))
    with _asking(file, who) as con:
        found = con.execute(f"SELECT {wanted} FROM read_parquet(?)", [str(file)]).fetchall()
    return {name: [str(row[i]).strip() for row in found] for i, name in enumerate(names)}


def cell(file: Path, row: int, column: str) -> bytes | None:
    """The bytes of one medium; None where there is none.

    Raises:
        CurateError: the file cannot be read, or has no such row or column of media.
    """
    seen = file.stat()
    block = _block(str(file), (seen.st_mtime_ns, seen.st_size), column, row // BLOCK)
    if row % BLOCK >= len(block):
        raise CurateError(f"{file} has no row {row}", "prepare again")
    return block[row % BLOCK]


@lru_cache(maxsize=KEPT)
def _block(file: str, version: tuple[int, int], column: str, number: int) -> list[bytes | None]:
    """The media of a block of rows.

    Args:
        version: of the file; another one is read anew.
    """
    with _asking(Path(file), "") as con:
        columns = con.execute("SELECT column_name, column_type FROM (DESCRIBE FROM read_parquet($1))", [file])
        kinds = {str(name): str(kind) for name, kind in columns.fetchall()}
        wanted = _bytes_of(column, kinds.get(column, ""))
        if not wanted:
            raise CurateError(f"{file} has no media in a column {column!r}", f"it has {', '.join(kinds)}")
        first = number * BLOCK
        sql = (
            f"SELECT {wanted} FROM read_parquet(?, file_row_number = true) "
            f"WHERE file_row_number BETWEEN {first} AND {first + BLOCK - 1} ORDER BY file_row_number"
        )
        return [None if value is None else bytes(value) for (value,) in con.execute(sql, [file]).fetchall()]


def _bytes_of(name: str, kind: str) -> str:
    """The SQL of a column's bytes; '' if it holds no media."""
    if kind == "BLOB":
        return _quoted(name)
    return f"{_quoted(name)}.bytes" if kind.startswith("STRUCT(") and "bytes BLOB" in kind.replace('"', "") else ""


def _classes(text: bytes) -> dict[str, tuple[str, ...]]:
    """The names of classes in the metadata of `datasets`."""
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        features = json.loads(text)["info"]["features"]
        return {
            column: tuple(str(name) for name in feature["names"])
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and feature.get("names")
        }
    return {}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def _asking(file: Path, who: str) -> Iterator[Any]:
    """A connection; errors of DuckDB become a `CurateError`."""
    import duckdb

    try:
        with duckdb.connect() as con:
            yield con
    except duckdb.Error as error:
        described = f"{who}{file} cannot be read: {str(error).splitlines()[0]}"
        raise CurateError(described, "expected a Parquet file") from None
