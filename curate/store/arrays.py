"""Rows of several modalities as arrays: one row per sample, one column per modality."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from curate.blocks import Growing, release, slices
from curate.errors import CurateError
from curate.types import Floats, Known

PORTION = 1 << 16
"""Rows that are read at once."""


def columns(con: duckdb.DuckDBPyConnection, sql: str, parameters: Any, texts: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The columns (N,) of an answer, read in portions: strings, '' for NULL, and others in float64, NaN for NULL; many
    are in temporary files, see `curate.blocks`.

    Args:
        texts: names of the columns of strings.
    """
    found: dict[str, Growing[Any]] = {}
    for portion in portions(con, sql, parameters):
        for name, values in portion.items():
            column = found.setdefault(name, Growing(np.empty(0, np.str_ if name in texts else float)))
            if name in texts:
                column.append(np.ma.filled(values, "").astype(np.str_))
            else:
                column.append(np.ma.filled(np.ma.asarray(values, dtype=float), np.nan))
    return {name: column.array() for name, column in found.items()}


def portions(con: duckdb.DuckDBPyConnection, sql: str, parameters: Any) -> Iterator[dict[str, NDArray[Any]]]:
    """The columns of an answer in portions of rows, one without any where the answer has none."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE answer AS {sql}", parameters)
    (count,) = con.execute("SELECT count(*) FROM temp.answer").fetchone() or (0,)
    for rows in slices(max(count, 1), PORTION):
        within = [rows.start, rows.stop - 1]
        yield con.execute("FROM temp.answer WHERE rowid BETWEEN ? AND ?", within).fetchnumpy()
    con.execute("DROP TABLE temp.answer")


@contextmanager
def placed(
    con: duckdb.DuckDBPyConnection,
    ids: NDArray[np.str_],
    columns: Callable[[slice], Mapping[str, Any]] = lambda _: {},
    selected: str = "*",
) -> Iterator[None]:
    """Within, `temp.placed` is a table of some ids with their places, which is made block by block of rows.

    Args:
        columns: further columns of a block.
        selected: what the table has of them, SQL.
    """
    con.execute("DROP TABLE IF EXISTS temp.placed")
    for rows in slices(max(len(ids), 1), PORTION):
        own = ids[rows].astype(object)
        con.register(
            "block", {"place": np.arange(rows.start, rows.start + len(own)), "sample_id": own, **columns(rows)}
        )
        verb = "INSERT INTO temp.placed" if rows.start else "CREATE TEMP TABLE placed AS"
        con.execute(f"{verb} SELECT {selected} FROM block")
        con.unregister("block")
        release(ids)
    yield
    con.execute("DROP TABLE temp.placed")


def read_known(
    con: duckdb.DuckDBPyConnection, modalities: Sequence[str], sql: str, run_id: str, number: int, absent: str
) -> Known:
    """Each modality's predictions for each sample, of one round or epoch, samples ascending by id.

    Args:
        modalities: in declared order.
        sql: with $1 = `run_id` and $2 = `number`: sample_id, modality, p_true, entropy, correct, held_out.
        absent: the error's message if there are no rows.

    Raises:
        CurateError: there are none.
    """
    query = f"SELECT * FROM ({sql}) WHERE modality = $3 ORDER BY sample_id"
    columns = [con.execute(query, [run_id, number, m]).fetchnumpy() for m in modalities]
    if not columns or not len(columns[0]["sample_id"]):
        raise CurateError(absent, "see `curate runs`")

    def stack(name: str) -> NDArray[np.float64]:
        return np.stack([np.ma.filled(np.ma.asarray(c[name], dtype=np.float64), np.nan) for c in columns], axis=1)

    ids = columns[0]["sample_id"].astype(str)
    held_out = bool(columns[0]["held_out"].all())
    return Known(ids, tuple(modalities), stack("p_true"), stack("entropy"), stack("correct") == 1, held_out)


def by_modality(
    con: duckdb.DuckDBPyConnection, modalities: Sequence[str], sql: str, run_id: str, end: str = ""
) -> tuple[NDArray[np.str_], Floats] | None:
    """(N,) ids, ascending, and (N, M) values, modalities in the given order; None if some values are not known.

    Args:
        sql: the query before its condition: sample_id, modality, value.
        end: the query after its condition.
    """
    query = f"{sql} WHERE run_id = ? AND modality = ?{end} ORDER BY sample_id"
    found = [con.execute(query, [run_id, m]).fetchnumpy() for m in modalities]
    if not found or not len(found[0]["sample_id"]) or np.ma.is_masked(found[0]["value"]):
        return None
    return found[0]["sample_id"].astype(str), np.stack([np.asarray(f["value"], dtype=np.float64) for f in found], 1)
