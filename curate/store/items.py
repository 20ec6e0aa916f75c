"""Rows of `item`, one a sample, and of `part`, which says which of them belong to a data set or to a round of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from curate.blocks import take
from curate.types import Run

from . import beside

TABLES = ("part", "item")
"""Rows of several parts of the store: each has its own columns."""
FACTS = ("split", "label", "label_name", "group_id", "planted", "status", "reason", "extra", "media")
"""What is known of a sample; `sources`, which `samples` does not show, stays with the data set."""
PREDICTED = ("p_true", "p_max", "entropy", "predicted", "correct", "in_sample", "fold", "probs")
FITTED = ("prob_gap", "kl_gap", "fitted", "widest", "p_balanced", "p_first", "p_second")
OF_DATA = "SELECT number FROM part WHERE run_id IS NULL AND data_id = $data"


@dataclass(frozen=True)
class Items:
    """The items of a data set as columns (N,), of which some may be many: without an object a row.

    Attributes:
        sample_ids, splits, status, reason: texts.
        labels: positions in `classes`; -1 where there is no label.
        classes: names.
        sources: {modality: where its medium is} of each, see `Dataset.sources`; None = not known.
        groups: names of what belongs together, '' where there is none; None = not known.
    """

    sample_ids: NDArray[np.str_]
    splits: NDArray[np.str_]
    labels: NDArray[np.int64]
    classes: Sequence[str]
    status: NDArray[np.str_]
    reason: NDArray[np.str_]
    sources: Sequence[Mapping[str, Any]] | None = None
    groups: NDArray[np.str_] | None = None

    @property
    def texts(self) -> list[NDArray[np.str_]]:
        """The columns of texts, of which some may be in files."""
        given = (self.sample_ids, self.splits, self.status, self.reason, self.groups)
        return [column for column in given if column is not None]

    def columns(self, rows: slice | NDArray[np.int64]) -> dict[str, Any]:
        """The columns of `item` of some rows, without their ids."""
        names = np.array([*self.classes, ""], dtype=object)  # -1 is the last
        own: dict[str, Any] = {
            "split": _texts(self.splits[rows]),
            "label": self.labels[rows].astype(np.int32),
            "label_name": names[self.labels[rows]],
            "status": _texts(self.status[rows]),
            "reason": _texts(self.reason[rows]),
        }
        if self.groups is not None:
            own["group_id"] = _texts(self.groups[rows])
            own["group_id"][self.groups[rows] == ""] = None
        if self.sources is not None:
            of_rows = self.sources[rows] if isinstance(rows, slice) else [self.sources[i] for i in rows]
            own["sources"] = np.array(as_json(of_rows), dtype=object)
        return own

    def subset(self, keep: NDArray[np.bool_]) -> Items:
        """Some of the items, by an (N,) mask."""
        sources = None if self.sources is None else [s for s, k in zip(self.sources, keep, strict=True) if k]
        own: dict[str, Any] = {
            name: take(getattr(self, name), keep) for name in ("sample_ids", "splits", "labels", "status", "reason")
        }
        return replace(self, **own, sources=sources, groups=None if self.groups is None else take(self.groups, keep))


def as_json(values: Sequence[Mapping[str, Any]]) -> list[str | None]:
    """Each as JSON; None for an empty one."""
    return [json.dumps(v, sort_keys=True) if v else None for v in values]


def _texts(values: NDArray[np.str_]) -> NDArray[np.object_]:
    """As objects; equal texts that follow one another are one object, as most columns have."""
    same = np.concatenate([[True], values[1:] != values[:-1]]) if len(values) else np.zeros(0, dtype=bool)
    found: NDArray[np.object_] = values[same].astype(object)[np.cumsum(same) - 1]
    return found


def begin(
    con: duckdb.DuckDBPyConnection,
    data_id: str | None,
    run_id: str | None = None,
    round_: int | None = None,
    modalities: Sequence[str] = (),
    pairs: Sequence[str] = (),
) -> int:
    """A new part without rows, of a data set or of a round of a run; its number."""
    found = con.execute(
        "INSERT INTO part SELECT coalesce(max(number), 0) + 1, ?, ?, ?, ?, ?, coalesce(max(changed), 0) + 1 FROM part "
        "RETURNING number",
        [data_id, run_id, round_, list(modalities), list(pairs)],
    ).fetchall()
    number: int = found[0][0]
    return number


def of_data(con: duckdb.DuckDBPyConnection, data_id: str) -> list[int]:
    """Numbers of the parts of a data set."""
    return [n for (n,) in con.execute(f"{OF_DATA} ORDER BY 1", {"data": data_id}).fetchall()]


def of_round(con: duckdb.DuckDBPyConnection, run_id: str, round_: int) -> list[int]:
    """Numbers of the parts of a round of a run."""
    sql = "SELECT number FROM part WHERE run_id = ? AND round = ? ORDER BY 1"
    return [n for (n,) in con.execute(sql, [run_id, round_]).fetchall()]


def share(con: duckdb.DuckDBPyConnection, condition: str, parameters: Sequence[Any], **changed: Any) -> None:
    """Let parts belong to another data set or run too: no row is copied."""
    values = ", ".join(f"? AS {name}" for name in changed)
    con.execute(
        f"INSERT INTO part SELECT * REPLACE ({values}, (SELECT max(changed) FROM part) + 1 AS changed) FROM part "
        f"WHERE {condition}",
        [*changed.values(), *parameters],
    )


def leave(con: duckdb.DuckDBPyConnection, condition: str, parameters: Sequence[Any]) -> None:
    """Take parts from what they belonged to; rows that then belong to nothing are deleted."""
    left = con.execute(f"DELETE FROM part WHERE {condition} RETURNING number", list(parameters)).fetchall()
    kept = {n for (n,) in con.execute("SELECT number FROM part").fetchall()}
    for number in sorted({n for (n,) in left} - kept):
        beside.remove(con, "item", number)


def renew(con: duckdb.DuckDBPyConnection, data_id: str) -> None:
    """Let a data set be the one that was written last; what its scored runs show of its samples is what it says."""
    con.execute(
        "UPDATE part SET changed = (SELECT max(changed) FROM part) + 1 WHERE run_id IS NULL AND data_id = ?", [data_id]
    )
    runs = con.execute(
        "SELECT DISTINCT p.run_id FROM part p JOIN run r USING (run_id) "
        "WHERE p.round = 0 AND r.data_id = ? AND r.kind = 'score' ORDER BY 1",
        [data_id],
    ).fetchall()
    for (run_id,) in runs:
        for number in of_round(con, run_id, 0):
            restate(con, run_id, number, data_id)
        complete(con, run_id, data_id)


def restate(con: duckdb.DuckDBPyConnection, run_id: str, number: int, data_id: str) -> None:
    """Write the rows of a part of round 0 of a run again whose facts differ from those of the data set."""
    differ = " OR ".join(f"i.{name} IS DISTINCT FROM s.{name}" for name in FACTS)
    stale = f"FROM item i JOIN item s USING (sample_id) WHERE i.part = $part AND s.part IN ({OF_DATA}) AND ({differ})"
    if not con.execute(f"SELECT 1 {stale} LIMIT 1", {"part": number, "data": data_id}).fetchall():
        return
    if con.execute("SELECT count(*) FROM part WHERE number = ?", [number]).fetchall() != [(1,)]:
        number = _private(con, run_id, number)
    said = ", ".join(f"s.{name} AS {name}" for name in FACTS)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE restated AS SELECT i.* REPLACE ({said}) {stale}",
        {"part": number, "data": data_id},
    )
    beside.bring(con, "item", number)
    con.execute("DELETE FROM item_here WHERE part = ? AND sample_id IN (SELECT sample_id FROM restated)", [number])
    con.execute("INSERT INTO item_here FROM restated")
    con.execute("DROP TABLE restated")


def _private(con: duckdb.DuckDBPyConnection, run_id: str, number: int) -> int:
    """A copy of a part of round 0 of a run, which belongs to nothing else; its number."""
    head = "SELECT data_id, modalities, pairs FROM part WHERE number = ? AND run_id = ? AND round = 0"
    data_id, modalities, pairs = con.execute(head, [number, run_id]).fetchall()[0]
    made = begin(con, data_id, run_id, 0, modalities, pairs)
    con.execute(f"INSERT INTO item_here SELECT * REPLACE ({made} AS part) FROM item WHERE part = ?", [number])
    leave(con, "number = ? AND run_id = ? AND round = 0", [number, run_id])
    return made


def complete(con: duckdb.DuckDBPyConnection, run_id: str, data_id: str) -> None:
    """Add to round 0 of a scored run the samples of its data set that it did not score, which `samples` shows too."""
    numbers = of_round(con, run_id, 0)
    if set(of_data(con, data_id)) <= set(numbers):
        return
    number = numbers[-1]
    names = ", ".join(FACTS)
    con.execute(
        f"INSERT INTO item_here (part, sample_id, {names}) SELECT {number}, sample_id, {names} FROM item "
        f"WHERE part IN ({OF_DATA}) AND sample_id NOT IN (SELECT sample_id FROM item WHERE part IN "
        "(SELECT number FROM part WHERE run_id = $run AND round = 0))",
        {"run": run_id, "data": data_id},
    )


def rehome(con: duckdb.DuckDBPyConnection, run: Run) -> None:
    """Let the items of a data set be those of another scored run of the same data, so that a run can be removed with
    its rows; not if only this one's know where their media are.
    """
    own = "SELECT number FROM part WHERE run_id = $run AND round = 0"
    known = f"SELECT 1 FROM item WHERE part IN ({own}) AND sources IS NOT NULL LIMIT 1"
    other = (
        "SELECT p.run_id FROM part p JOIN run r USING (run_id) WHERE r.data_id = $data AND r.kind = 'score' "
        f"AND p.round = 0 AND p.run_id <> $run AND p.number NOT IN ({own}) ORDER BY p.changed DESC LIMIT 1"
    )
    key = {"run": run.run_id}
    found = con.execute(other, {**key, "data": run.data_id}).fetchall()
    home = set(of_data(con, run.data_id)) & set(of_round(con, run.run_id, 0))
    if home and found and not con.execute(known, key).fetchall():
        leave(con, "run_id IS NULL AND data_id = ?", [run.data_id])
        share(con, "run_id = ? AND round = 0", [found[0][0]], run_id=None, round=None)
