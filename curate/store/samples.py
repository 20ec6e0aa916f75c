"""Items of data sets in the sample table, and findings about them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import duckdb
import numpy as np
from numpy.typing import NDArray

from curate.blocks import are_unique, release
from curate.types import Finding, Sample

from . import arrays, beside
from .connection import Connection, query_text
from .instance import bounded
from .items import Items, as_json, begin, leave, of_data, renew, share
from .rows import insert, ranges

STATES = ("scored", "predicted", "relabelled", "changed")


@dataclass(frozen=True)
class Compared:
    """What a scored run knows of N items: (N,) masks.

    Attributes:
        known: they belong to its data set.
        scored: they have a gap.
        predicted: some modality predicted them.
        relabelled: scored, with another label.
        changed: known, with another split, group, status or reason.
    """

    known: NDArray[np.bool_]
    scored: NDArray[np.bool_]
    predicted: NDArray[np.bool_]
    relabelled: NDArray[np.bool_]
    changed: NDArray[np.bool_]


@dataclass(frozen=True)
class Samples:
    """The items of data sets: label, split, status of their media; and what is suspicious about a data set."""

    TABLES: ClassVar[tuple[str, ...]] = ("finding",)
    """Those that are not in `item`, see `items`."""

    db: Connection

    def write(
        self,
        data_id: str,
        samples: Sequence[Sample],
        classes: Sequence[str],
        status: Sequence[str],
        reason: Sequence[str],
        media: Sequence[Mapping[str, Any]] | None = None,
        sources: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Store items of a data set with the status of their media; existing rows of these items are replaced.

        Args:
            media: for each item {modality: what was done to its medium}, see `media.FACTS`.
            sources: for each item {modality: where its medium is}, see `Dataset.sources`.

        Raises:
            ValueError: an id occurs twice.
        """
        if len({s.sample_id for s in samples}) != len(samples):
            raise ValueError("sample_ids are not unique")
        index = {c: i for i, c in enumerate(classes)} | {"": -1}  # '' = no label
        columns = {
            "sample_id": [s.sample_id for s in samples],
            "split": [s.split for s in samples],
            "label": np.array([index[s.label] for s in samples], dtype=np.int32),
            "label_name": [s.label for s in samples],
            "group_id": [s.group for s in samples],
            "planted": [s.planted for s in samples],
            "status": list(status),
            "reason": list(reason),
            "extra": [json.dumps(dict(s.extra), sort_keys=True) if s.extra else None for s in samples],
            "media": as_json(media or [{}] * len(samples)),
            "sources": as_json(sources or [{}] * len(samples)),
        }
        with self.db.open(write=True) as con:
            _replace(con, data_id, [columns])

    def write_columns(self, data_id: str, items: Items) -> None:
        """As `write`, from columns.

        Raises:
            ValueError: an id occurs twice.
        """
        if not are_unique(items.sample_ids):
            raise ValueError("sample_ids are not unique")
        with self.db.open(write=True) as con:
            _replace(con, data_id, _blocks(items))

    def copy(self, source: str, target: str) -> None:
        """Add to a data set the items of another that it does not have."""
        key = {"source": source, "target": target}
        parts = "SELECT number FROM part WHERE run_id IS NULL AND data_id = {}"
        theirs, ours = f"part IN ({parts.format('$source')})", f"part IN ({parts.format('$target')})"
        both = f"SELECT 1 FROM item WHERE {theirs} AND sample_id IN (SELECT sample_id FROM item WHERE {ours}) LIMIT 1"
        with self.db.open(write=True) as con:
            if not con.execute(both, key).fetchall():
                share(con, "run_id IS NULL AND data_id = ?", [source], data_id=target)
            else:
                number = of_data(con, target)[-1]
                con.execute(
                    f"INSERT INTO item_here SELECT * REPLACE ({number} AS part) FROM item "
                    f"WHERE {theirs} AND sample_id NOT IN (SELECT sample_id FROM item WHERE {ours})",
                    key,
                )
            renew(con, target)

    def compared(self, run_id: str, items: Items) -> Compared:
        """What a scored run knows of some items; it costs what these are, not what the run is."""
        names = ["split", "status", "reason", *(["group_id"] if items.groups is not None else [])]
        sql = (
            "SELECT w.place, i.widest IS NOT NULL AS scored, i.p_true IS NOT NULL AS predicted, "
            "i.widest IS NOT NULL AND hash(i.label_name) <> w.label AS relabelled, "
            f"hash({', '.join(f'i.{name}' for name in names)}) <> w.facts AS changed "
            "FROM temp.placed w JOIN item i USING (sample_id) "
            "WHERE i.part IN (SELECT number FROM part WHERE run_id = ? AND round = 0)"
        )
        selected = f"place, sample_id, hash(label_name) AS label, hash({', '.join(names)}) AS facts"
        found = {name: np.zeros(len(items.sample_ids), dtype=np.bool_) for name in ("known", *STATES)}
        with (
            self.db.open() as con,
            bounded(con),
            arrays.placed(con, items.sample_ids, items.columns, selected),
        ):
            for rows in arrays.portions(con, sql, [run_id]):
                found["known"][rows["place"]] = True
                for name in STATES:
                    found[name][rows["place"]] = np.asarray(rows[name], dtype=np.bool_)
        release(*items.texts)
        return Compared(**found)

    def groups(self, data_id: str, sample_ids: NDArray[np.str_]) -> NDArray[np.str_]:
        """(N,) names of the groups that some items of a data set are in; '' where there is none."""
        of_data = "FROM sample WHERE data_id = ? AND group_id IS NOT NULL"
        sql = (
            f"SELECT coalesce(group_id, '') AS name FROM temp.placed LEFT JOIN (SELECT sample_id, group_id {of_data}) "
            "USING (sample_id) ORDER BY place"
        )
        with self.db.open() as con, bounded(con):
            if not con.execute(f"SELECT 1 {of_data} LIMIT 1", [data_id]).fetchall():
                return np.zeros(len(sample_ids), dtype="<U1")
            with arrays.placed(con, sample_ids):
                return arrays.columns(con, sql, [data_id], ["name"])["name"]

    def write_findings(self, data_id: str, findings: Sequence[Finding]) -> None:
        """Store the findings about a data set; earlier ones are replaced."""
        with self.db.open(write=True) as con:
            con.execute("DELETE FROM finding WHERE data_id = ?", [data_id])
            columns = {name: [getattr(f, name) for f in findings] for name in ("kind", "sample_id", "detail")}
            insert(con, "finding", columns, {"data_id": data_id}, replace=False)

    def planted(self, run_id: str) -> NDArray[np.str_]:
        """(N,) degraded modalities of a scored run's samples, ascending by id; '' if none or unknown."""
        with self.db.open() as con:
            out = con.execute(query_text("planted"), {"run": run_id}).fetchnumpy()
        return out["planted"].astype(str)

    def count(self, data_id: str) -> int:
        """How many items of a data set are in the table; 0 without a table."""
        if not self.db.path.exists():
            return 0
        with self.db.open() as con:
            row = con.execute("SELECT count(*) FROM sample WHERE data_id = ?", [data_id]).fetchone()
        return row[0] if row else 0

    def status_counts(self, data_id: str) -> list[tuple[str, int]]:
        """(status, count) of a data set's items that cannot be used, ascending."""
        with self.db.open() as con:
            return con.execute(
                "SELECT status, count(*) FROM sample WHERE data_id = ? AND status <> 'ok' GROUP BY 1 ORDER BY 1",
                [data_id],
            ).fetchall()


def _blocks(items: Items) -> Iterator[dict[str, Any]]:
    for rows in ranges(len(items.sample_ids)):
        yield {"sample_id": items.sample_ids[rows], **items.columns(rows)}
        release(*items.texts)


def _replace(con: duckdb.DuckDBPyConnection, data_id: str, parts: Iterable[Mapping[str, Any]]) -> None:
    """Put items, a part after another, in the place of those of the same ids."""
    known = of_data(con, data_id)
    number = _own(con, data_id, known) if known else begin(con, data_id)
    beside.bring(con, "item", number)
    for columns in parts:
        if known:
            con.register("written", {"sample_id": np.asarray(columns["sample_id"], dtype=object)})
            con.execute("DELETE FROM item_here WHERE part = ? AND sample_id IN (FROM written)", [number])
            con.unregister("written")
        insert(con, "item", columns, {"part": number})
    renew(con, data_id)


def _own(con: duckdb.DuckDBPyConnection, data_id: str, known: Sequence[int]) -> int:
    """The number of the one part of a data set; parts that other data sets have too are copied to a new one."""
    listed = ", ".join(map(str, known))
    if con.execute(f"SELECT count(*) FROM part WHERE number IN ({listed})").fetchall() == [(1,)]:
        return known[0]
    made = begin(con, data_id)
    con.execute(f"INSERT INTO item_here SELECT * REPLACE ({made} AS part) FROM item WHERE part IN ({listed})")
    leave(con, f"run_id IS NULL AND data_id = ? AND number IN ({listed})", [data_id])
    return made
