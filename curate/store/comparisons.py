"""Comparisons in the sample table: which runs stand beside each other, and what they measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from curate.comparison.plan import Row
from curate.comparison.summary import Cell
from curate.errors import CurateError, unknown_name

from .connection import insert
from .selections import Selections

NOT_YET = "not run yet"
CELLS = """
WITH runs AS (SELECT c.*, r.modalities, r.parent, r.config->>'$.train.start' AS start
    FROM comparison c LEFT JOIN run r USING (run_id) WHERE c.comparison = ?
), lengths AS (
    SELECT run_id, max(epoch) AS epochs, avg(value) FILTER (metric = 'seconds') AS seconds
    FROM epoch WHERE split <> 'test' AND run_id IN (SELECT run_id FROM runs UNION SELECT parent FROM runs) GROUP BY 1
), ends AS (
    SELECT run_id, avg(abs(prob_gap)) AS gap FROM gap WHERE run_id IN (SELECT run_id FROM runs) AND round > 0
    GROUP BY run_id, round QUALIFY round = max(round) OVER (PARTITION BY run_id)
)
SELECT c.dataset, c.label, c.method, c.is_control, c.twin, c.seed, c.run_id, c.reason, c.modalities,
    m.epochs + if(c.start = 'warm', coalesce(w.epochs, 0), 0) AS epochs, m.seconds, e.gap
FROM runs c LEFT JOIN lengths m USING (run_id) LEFT JOIN lengths w ON w.run_id = c.parent
LEFT JOIN ends e USING (run_id)
ORDER BY c.dataset, c.position, c.seed
"""
VALUES = """
SELECT c.run_id, e.modality, e.metric, e.value FROM comparison c JOIN epoch e USING (run_id)
WHERE c.comparison = ? AND e.split = 'test' ORDER BY ALL
"""
CURVES = """
SELECT c.dataset, c.label, c.seed, e.epoch + if(r.config->>'$.train.start' = 'warm', coalesce(w.epochs, 0), 0) AS epoch,
    e.value
FROM comparison c JOIN run r USING (run_id) JOIN epoch e USING (run_id)
LEFT JOIN (SELECT run_id, max(epoch) AS epochs FROM epoch WHERE split <> 'test' GROUP BY 1) w ON w.run_id = r.parent
WHERE c.comparison = ? AND e.split = 'val' AND e.modality = 'fused' AND e.metric = 'accuracy'
ORDER BY c.dataset, c.position, c.seed, e.epoch
"""
GAPS = """
WITH ends AS (
    SELECT run_id, max(round) AS round FROM gap WHERE run_id IN (SELECT run_id FROM comparison WHERE comparison = $name)
    GROUP BY 1 HAVING max(round) > 0
), starts AS (
    SELECT DISTINCT c.dataset, r.parent AS run_id FROM comparison c JOIN run r USING (run_id) WHERE c.comparison = $name
), binned AS (
    SELECT c.dataset, c.position, c.label, c.seed, g.pair, g.prob_gap
    FROM comparison c JOIN ends USING (run_id) JOIN gap g USING (run_id, round) WHERE c.comparison = $name
    UNION ALL
    SELECT s.dataset, -1, '', r.seed, g.pair, g.prob_gap
    FROM starts s JOIN run r USING (run_id) JOIN gap g USING (run_id) WHERE g.round = 0
)
SELECT dataset, label, pair, least(floor((prob_gap + 1) * $bins / 2), $bins - 1)::INTEGER AS bin, count(*) AS samples
FROM binned GROUP BY dataset, position, label, pair, bin ORDER BY dataset, position, label, pair, bin
"""


class Comparisons(Selections):
    """Comparisons by name: their cells, each a run of the table or the reason why there is none."""

    def begin_comparison(self, name: str, dataset: str, rows: Sequence[Row], seeds: Sequence[int]) -> None:
        """Store the cells of a comparison on a data set, none of them measured; earlier ones of this name go."""
        cells = [(i, row, seed) for i, row in enumerate(rows) for seed in seeds]
        columns = {
            "position": np.array([i for i, _, _ in cells], dtype=np.int32),
            "label": [row.label for _, row, _ in cells],
            "method": [row.method for _, row, _ in cells],
            "is_control": np.array([row.control for _, row, _ in cells]),
            "twin": [row.twin for _, row, _ in cells],
            "seed": np.array([seed for _, _, seed in cells], dtype=np.int32),
        }
        key = {"comparison": name, "dataset": dataset}
        with self._open(write=True) as con:
            con.execute("DELETE FROM comparison WHERE comparison = ? AND dataset = ?", list(key.values()))
            insert(con, "comparison", columns, {**key, "reason": NOT_YET})

    def fill_cell(self, name: str, dataset: str, label: str, seed: int, run_id: str | None, reason: str = "") -> None:
        """Store what became of a cell: its run, or the reason why there is none."""
        with self._open(write=True) as con:
            con.execute(
                "UPDATE comparison SET run_id = ?, reason = ? "
                "WHERE comparison = ? AND dataset = ? AND label = ? AND seed = ?",
                [run_id, reason, name, dataset, label, seed],
            )

    def comparison_names(self, dataset: str | None = None) -> list[str]:
        """Names of the stored comparisons, of one data set if named, the newest measured last."""
        with self._open() as con:
            rows = con.execute(
                "SELECT c.comparison FROM comparison c LEFT JOIN run r USING (run_id) "
                "WHERE $dataset IS NULL OR c.dataset = $dataset "
                "GROUP BY 1 ORDER BY max(r.started) NULLS FIRST, 1",
                {"dataset": dataset},
            ).fetchall()
        return [n for (n,) in rows]

    def newest_comparison(self) -> str:
        """The stored comparison measured last.

        Raises:
            CurateError: there is none.
        """
        if names := self.comparison_names():
            return names[-1]
        raise CurateError(f"no comparison in {self.path}", "run one: `curate compare --dataset NAME --method all`")

    def comparison(self, name: str) -> list[Cell]:
        """The cells of a comparison, by data set, then in the order of its rows, then by seed.

        Raises:
            CurateError: there is none of that name; the nearest is offered.
        """
        with self._open() as con:
            rows = con.execute(CELLS, [name]).fetchall()
            tested = con.execute(VALUES, [name]).fetchall()
        if not rows:
            raise unknown_name("comparison", name, self.comparison_names())
        values: dict[str, dict[tuple[str, str], float]] = {}
        for run_id, modality, metric, value in tested:
            values.setdefault(run_id, {})[modality, metric] = value
        return [Cell(*(name, *row[:8], tuple(row[8] or ()), values.get(row[6], {}), *row[9:])) for row in rows]

    def comparison_curves(self, name: str) -> list[tuple[str, str, int, int, float]]:
        """(data set, label, seed, epoch from the warm-up's first on, fused validation accuracy) of every cell."""
        with self._open() as con:
            return con.execute(CURVES, [name]).fetchall()

    def comparison_gaps(self, name: str, bins: int) -> list[tuple[str, str, str, int, int]]:
        """(data set, label, pair, bin, samples): how the probability gaps lie after the last epoch, over all seeds.

        Args:
            bins: equal ones from -1 to 1, counted from 0; the last holds 1 too.

        Returns:
            The rows, ascending; the label '' stands for the scored runs that the cells start from.
        """
        with self._open() as con:
            return con.execute(GAPS, {"name": name, "bins": bins}).fetchall()
