"""Rows written from column arrays, deleted, and copied to another run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from curate.blocks import slices

from . import beside
from .instance import GROUP

AT_ONCE = 8 * GROUP
"""Most rows that are inserted at once."""


def ranges(rows: int, columns: int = 1) -> Iterator[slice]:
    """Slices of so many rows as are inserted at once: memory then depends on neither rows nor columns.

    They are whole row groups, if they are as many, for a whole one goes to the disk at once.
    """
    step = min(AT_ONCE, AT_ONCE * 32 // max(columns, 1))
    return slices(rows, max(step // GROUP * GROUP or step, 1))


def insert(
    con: duckdb.DuckDBPyConnection,
    table: str,
    columns: Mapping[str, Any],
    constants: Mapping[str, Any] | None = None,
    replace: bool = False,
) -> None:
    """Insert column arrays; a constant, or a text among the columns, is repeated for every row.

    Args:
        replace: replace rows with the same key, in a table that has one.
    """
    length = next(len(v) for v in columns.values() if not isinstance(v, str))
    if not length:
        return
    fixed = {**(constants or {}), **{k: v for k, v in columns.items() if isinstance(v, str)}}
    arrays = {k: _scannable(v) for k, v in columns.items() if not isinstance(v, str)}
    incoming = arrays  # noqa: F841  DuckDB finds it by name; a registered one it would keep until the commit
    names = [*fixed, *arrays]
    values = [*("?" for _ in fixed), *(f'"{name}"' for name in arrays)]
    verb = "INSERT OR REPLACE" if replace else "INSERT"
    con.execute(
        f"{verb} INTO {beside.here(table)} ({', '.join(names)}) SELECT {', '.join(values)} FROM incoming",
        list(fixed.values()),
    )


def delete(con: duckdb.DuckDBPyConnection, table: str, key: Mapping[str, Any]) -> None:
    """Delete the rows whose columns equal the key's values; of what may be beside the table, all of a run."""
    if table in beside.KEYS:
        (name,) = key.values()
        beside.remove(con, table, name)
        return
    con.execute(f"DELETE FROM {table} WHERE {' AND '.join(f'{k} = ?' for k in key)}", list(key.values()))


def copy_rows(
    con: duckdb.DuckDBPyConnection,
    table: str,
    source: str,
    target: str,
    condition: str = "",
    parameters: Sequence[Any] = (),
) -> None:
    """Copy to the run `target` the rows of the run `source` that fulfil a further condition, ` AND ...`."""
    con.execute(
        f"INSERT INTO {beside.here(table)} BY NAME "
        f"SELECT * REPLACE (? AS run_id) FROM {table} WHERE run_id = ?{condition}",
        [target, source, *parameters],
    )


def _scannable(values: Any) -> NDArray[Any]:
    array = np.asarray(values, dtype=object) if isinstance(values, list) else np.asarray(values)
    return array.astype(object) if array.dtype.kind == "U" else np.ascontiguousarray(array)
