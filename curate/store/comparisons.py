"""Comparisons in the sample table: which runs are compared, and their results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import duckdb
import numpy as np

from curate.comparison.plan import Row
from curate.comparison.summary import Cell
from curate.errors import CurateError, unknown_name

from .connection import Connection, query_text
from .rows import insert

NOT_YET = "not run yet"


@dataclass(frozen=True)
class Comparisons:
    """Comparisons by name: their cells, each a run of the table or the reason why there is none."""

    TABLES: ClassVar[tuple[str, ...]] = ("comparison",)

    db: Connection

    def begin(
        self,
        name: str,
        dataset: str,
        rows: Sequence[Row],
        seeds: Sequence[int],
        done: Mapping[tuple[str, int], str] = MappingProxyType({}),
    ) -> int:
        """Store the cells of a comparison on a data set; earlier ones of this name are deleted.

        Args:
            done: {(label, seed): its run} of the cells that were measured before; the others are not yet.

        Returns:
            How many earlier results are not among the cells any more.
        """
        cells = [(i, row, seed) for i, row in enumerate(rows) for seed in seeds]
        columns = {
            "position": np.array([i for i, _, _ in cells], dtype=np.int32),
            "label": [row.label for _, row, _ in cells],
            "method": [row.method for _, row, _ in cells],
            "is_control": np.array([row.control for _, row, _ in cells]),
            "twin": [row.twin for _, row, _ in cells],
            "seed": np.array([seed for _, _, seed in cells], dtype=np.int32),
            "run_id": [done.get((row.label, seed)) for _, row, seed in cells],
            "reason": ["" if (row.label, seed) in done else NOT_YET for _, row, seed in cells],
        }
        key = {"comparison": name, "dataset": dataset}
        deleted = "DELETE FROM comparison WHERE comparison = ? AND dataset = ? RETURNING run_id"
        with self.db.open(write=True) as con:
            before = con.execute(deleted, list(key.values())).fetchall()
            insert(con, "comparison", columns, key)
        return len({run_id for (run_id,) in before if run_id is not None} - {*done.values()})

    def fill(self, name: str, dataset: str, label: str, seed: int, run_id: str | None, reason: str = "") -> None:
        """Store the result of a cell: its run, or the reason why there is none."""
        with self.db.open(write=True) as con:
            con.execute(
                "UPDATE comparison SET run_id = ?, reason = ? "
                "WHERE comparison = ? AND dataset = ? AND label = ? AND seed = ?",
                [run_id, reason, name, dataset, label, seed],
            )

    def names(self, dataset: str | None = None) -> list[str]:
        """Names of the stored comparisons, of one data set if named, the newest measured last."""
        with self.db.open() as con:
            rows = con.execute(query_text("comparison_names"), {"dataset": dataset}).fetchall()
        return [n for (n,) in rows]

    def newest(self) -> str:
        """The stored comparison measured last.

        Raises:
            CurateError: there is none.
        """
        if names := self.names():
            return names[-1]
        raise CurateError(f"no comparison in {self.db.path}", "run one: `curate compare --dataset NAME --method all`")

    def find(self, name: str) -> list[Cell]:
        """The cells of a comparison, by data set, then in the order of its rows, then by seed.

        Raises:
            CurateError: there is none of that name; the hint gives the nearest one.
        """
        with self.db.open() as con:
            rows = con.execute(query_text("comparison_cells"), [name]).fetchall()
            tested = con.execute(query_text("comparison_results"), [name]).fetchall()
        if not rows:
            raise unknown_name("comparison", name, self.names())
        values: dict[str, dict[tuple[str, str], float]] = {}
        for run_id, modality, metric, value in tested:
            values.setdefault(run_id, {})[modality, metric] = value
        return [Cell(*(name, *row[:8], tuple(row[8] or ()), values.get(row[6], {}), *row[9:])) for row in rows]

    def curves(self, name: str) -> list[tuple[str, str, int, int, float]]:
        """(data set, label, seed, epoch from the warm-up's first on, fused validation accuracy) of every cell."""
        with self.db.open() as con:
            return con.execute(query_text("comparison_curves"), [name]).fetchall()

    def gaps(self, name: str, bins: int) -> list[tuple[str, str, str, int, int]]:
        """(data set, label, pair, bin, samples): histograms of the probability gaps after the last epoch, all seeds.

        Args:
            bins: number of equal bins from -1 to 1, counted from 0; the last includes 1.

        Returns:
            The rows, ascending; the label '' stands for the scored runs that the cells start from.
        """
        with self.db.open() as con:
            return con.execute(query_text("comparison_gaps"), {"name": name, "bins": bins}).fetchall()

    def lose_run(self, con: duckdb.DuckDBPyConnection, run_id: str) -> None:
        """Store in the cells of a run that it was removed."""
        con.execute("UPDATE comparison SET run_id = NULL, reason = 'its run was removed' WHERE run_id = ?", [run_id])
