"""Rows written from column arrays, deleted, and copied to another run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    pass


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
    con.register("incoming", arrays)
    names = [*fixed, *arrays]
    values = [*("?" for _ in fixed), *(f'"{k}"' for k in arrays)]
    verb = "INSERT OR REPLACE" if replace else "INSERT"
    con.execute(
        f"{verb} INTO {table} ({', '.join(names)}) SELECT {', '.join(values)} FROM incoming",
        list(fixed.values()),
    )
    con.unregister("incoming")


def insert_lists(
    con: duckdb.DuckDBPyConnection,
    table: str,
    column: str,
    sample_ids: NDArray[np.object_],
    matrix: NDArray[np.float32],
    constants: Mapping[str, Any],
) -> None:
    """Insert the rows of a matrix (N, K) as lists; the constants are repeated for every row."""
    if not len(matrix):
        return
    con.register("incoming", {"sample_id": sample_ids, **{f"v{k}": v for k, v in enumerate(matrix.T.copy())}})
    names, values = ", ".join(constants), ", ".join("?" for _ in constants)
    listed = ", ".join(f"v{k}" for k in range(matrix.shape[1]))
    con.execute(
        f"INSERT INTO {table} ({names}, sample_id, {column}) SELECT {values}, sample_id, [{listed}] FROM incoming",
        list(constants.values()),
    )
    con.unregister("incoming")


def delete(con: duckdb.DuckDBPyConnection, table: str, key: Mapping[str, Any]) -> None:
    """Delete the rows whose columns equal the key's values."""
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
        f"INSERT INTO {table} BY NAME SELECT * REPLACE (? AS run_id) FROM {table} WHERE run_id = ?{condition}",
        [target, source, *parameters],
    )


def _scannable(values: Any) -> NDArray[Any]:
    array = np.asarray(values, dtype=object) if isinstance(values, list) else np.asarray(values)
    return array.astype(object) if array.dtype.kind == "U" else np.ascontiguousarray(array)
