"""Items of data sets in the sample table, and findings about them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import duckdb
import numpy as np
from numpy.typing import NDArray

from curate.types import Finding, Sample, are_unique

from .connection import Connection, query_text
from .rows import insert, ranges


@dataclass(frozen=True)
class Samples:
    """The items of data sets: label, split, status of their media; and what is suspicious about a data set."""

    TABLES: ClassVar[tuple[str, ...]] = ("sample", "finding")

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
            "media": _as_json(media or [{}] * len(samples)),
            "sources": _as_json(sources or [{}] * len(samples)),
        }
        with self.db.open(write=True) as con:
            _replace(con, data_id, [columns])

    def write_columns(
        self,
        data_id: str,
        sample_ids: NDArray[np.str_],
        splits: NDArray[np.str_],
        labels: NDArray[np.int64],
        classes: Sequence[str],
        status: NDArray[np.str_],
        reason: NDArray[np.str_],
        sources: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """As `write`, from columns (N,), of which some may be many: without an object a row.

        Args:
            labels: positions in `classes`; -1 where there is no label.

        Raises:
            ValueError: an id occurs twice.
        """
        if not are_unique(sample_ids):
            raise ValueError("sample_ids are not unique")
        names = np.array([*classes, ""], dtype=object)  # -1 is the last

        def columns(block: slice) -> dict[str, Any]:
            own: dict[str, Any] = {
                "sample_id": sample_ids[block],
                "split": splits[block],
                "label": labels[block].astype(np.int32),
                "label_name": names[labels[block]],
                "status": status[block],
                "reason": reason[block],
            }
            return own if sources is None else {**own, "sources": _as_json(sources[block])}

        with self.db.open(write=True) as con:
            _replace(con, data_id, map(columns, ranges(len(sample_ids))))

    def copy(self, source: str, target: str) -> None:
        """Add to a data set the items of another that it does not have."""
        with self.db.open(write=True) as con:
            con.execute(
                "INSERT INTO sample BY NAME SELECT * REPLACE (? AS data_id) FROM sample WHERE data_id = ? "
                "AND sample_id NOT IN (SELECT sample_id FROM sample WHERE data_id = ?)",
                [target, source, target],
            )

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


def _replace(con: duckdb.DuckDBPyConnection, data_id: str, parts: Iterable[Mapping[str, Any]]) -> None:
    """Put items, a part after another, in the place of those of the same ids."""
    known = con.execute("SELECT 1 FROM sample WHERE data_id = ? LIMIT 1", [data_id]).fetchall()
    for columns in parts:
        if known:
            con.register("written", {"sample_id": np.asarray(columns["sample_id"], dtype=object)})
            con.execute("DELETE FROM sample WHERE data_id = ? AND sample_id IN (FROM written)", [data_id])
            con.unregister("written")
        insert(con, "sample", columns, {"data_id": data_id})


def _as_json(values: Sequence[Mapping[str, Any]]) -> list[str | None]:
    return [json.dumps(v, sort_keys=True) if v else None for v in values]
