"""Measurements by epoch in the sample table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .connection import Connection
from .rows import insert


@dataclass(frozen=True)
class Epochs:
    """Measurements after each epoch of a run, and on the test split at its end."""

    TABLES: ClassVar[tuple[str, ...]] = ("epoch", "fold_epoch")

    db: Connection

    def write(
        self, run_id: str, epoch: int, values: Sequence[tuple[str, str, str, float]], fold: int | None = None
    ) -> None:
        """Store values of one epoch, of the run or a fold, as (split, modality, metric, value); replaces old ones."""
        split, modality, metric, value = (list(v) for v in zip(*values, strict=True))
        with self.db.open(write=True) as con:
            insert(
                con,
                "epoch" if fold is None else "fold_epoch",
                {"split": split, "modality": modality, "metric": metric, "value": np.array(value, dtype=np.float64)},
                {"run_id": run_id, "epoch": epoch, **({} if fold is None else {"fold": fold})},
                replace=True,
            )

    def test_metrics(self, run_id: str) -> dict[str, dict[str, float]]:
        """{modality or "fused": {metric: value}} of the test split; {} without one, and before a run is done."""
        return self.metrics(run_id, "test")

    def metrics(self, run_id: str, split: str, epoch: int | None = None) -> dict[str, dict[str, float]]:
        """{modality or "fused": {metric: value}} of a split, at an epoch or the only one."""
        with self.db.open() as con:
            rows = con.execute(
                "SELECT modality, metric, value FROM epoch "
                "WHERE run_id = ? AND split = ? AND epoch = coalesce(?, epoch) "
                "ORDER BY modality = 'fused', modality, metric",
                [run_id, split, epoch],
            ).fetchall()
        out: dict[str, dict[str, float]] = {}
        for modality, metric, value in rows:
            out.setdefault(modality, {})[metric] = value
        return out

    def warm_up_seconds(self, run_id: str) -> tuple[float, float]:
        """Seconds that a scored run trained for: its own warm-up, and those of its folds together."""
        seconds = "SELECT coalesce(sum(value), 0) FROM {} WHERE run_id = ? AND metric = 'seconds'"
        with self.db.open() as con:
            own, folds = (con.execute(seconds.format(t), [run_id]).fetchall() for t in ("epoch", "fold_epoch"))
        return own[0][0], folds[0][0]

    def best_validation(self, run_id: str) -> float | None:
        """Highest fused accuracy on validation, 0..1, which is that of the chosen epoch; None before the first."""
        best = self._best(run_id)
        return best[1] if best else None

    def chosen(self, run_id: str) -> int | None:
        """The epoch that validation chooses: the earliest of highest fused accuracy; None before the first."""
        best = self._best(run_id)
        return best[0] if best else None

    def _best(self, run_id: str) -> tuple[int, float] | None:
        with self.db.open() as con:
            row: tuple[int, float] | None = con.execute(
                "SELECT epoch, value FROM epoch WHERE run_id = ? AND split = 'val' AND modality = 'fused' "
                "AND metric = 'accuracy' ORDER BY value DESC, epoch LIMIT 1",
                [run_id],
            ).fetchone()
        return row
