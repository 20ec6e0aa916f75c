"""The epochs of a warm-up in the sample table: each modality's predictions for every training sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import duckdb
import numpy as np
from numpy.typing import NDArray

from curate.scores.gap import best_other, entropy, log_margin, true_class_probability
from curate.scores.heart import epoch_weights
from curate.scores.preferences import Preferences
from curate.types import FUSED, Floats, Known, Predictions

from . import beside
from .arrays import by_modality, read_known
from .connection import Connection, query_text
from .rows import insert
from .runs import declared


@dataclass(frozen=True)
class Dynamics:
    """Each modality's predictions for every training sample after each epoch of a warm-up."""

    TABLES: ClassVar[tuple[str, ...]] = ("dynamic",)

    db: Connection

    def write(self, run_id: str, epoch: int, predictions: Predictions, complete: bool = True) -> None:
        """Store the predictions of each modality and the fusion for training samples after an epoch of the warm-up.

        Args:
            complete: True: they are all of the epoch and replace its earlier rows; False keeps rows of other samples.
        """
        labels = predictions.labels
        with self.db.open(write=True) as con:
            con.register("written", {"sample_id": predictions.sample_ids.astype(object)})
            these = "" if complete else " AND sample_id IN (FROM written)"
            old = f"run_id = ? AND epoch = ?{these}"
            if con.execute(f"SELECT 1 FROM dynamic WHERE {old} LIMIT 1", [run_id, epoch]).fetchall():
                beside.bring(con, "dynamic", run_id)
                con.execute(f"DELETE FROM dynamic_here WHERE {old}", [run_id, epoch])
            con.unregister("written")
            for modality, probs in predictions.probs.items():
                p_true = np.clip(true_class_probability(probs, labels), 0, 1)
                columns = {
                    "sample_id": predictions.sample_ids,
                    "p_true": p_true,
                    "entropy": entropy(probs),
                    "log_margin": log_margin(probs, labels),
                    "other": best_other(probs, labels).astype(np.int32),
                    "correct": probs.argmax(axis=1) == labels,
                }
                insert(con, "dynamic", columns, {"run_id": run_id, "epoch": epoch, "modality": modality})

    def read(self, run_id: str) -> Iterator[Known]:
        """Each modality's predictions for each sample, epoch by epoch of the warm-up; none if they were not stored.

        Entropies that an older curate did not store are NaN.
        """
        with self.db.open() as con:
            modalities, _ = declared(con, run_id)
            found = con.execute("SELECT DISTINCT epoch FROM dynamic WHERE run_id = ? ORDER BY 1", [run_id]).fetchall()
        sql = (
            "SELECT sample_id, modality, p_true, entropy, correct, false AS held_out FROM dynamic "
            "WHERE run_id = $1 AND epoch = $2 AND modality <> 'fused'"
        )
        for (epoch,) in found:
            with self.db.open() as con:
                known = read_known(con, modalities, sql, run_id, epoch, f"run {run_id!r} has no epoch {epoch}")
            yield known

    def means(self, run_id: str) -> tuple[NDArray[np.str_], Floats, Floats] | None:
        """Means over the warm-up's epochs: (N,) ids, ascending, (N, M) p(true class), and (N, M + 1) log margins.

        The last column of the log margins is of the fused prediction.

        None if the epochs were not stored.
        """
        sql = "SELECT sample_id, modality, avg({}) AS value FROM dynamic"
        with self.db.open() as con:
            modalities, _ = declared(con, run_id)
            known = [
                by_modality(con, names, sql.format(what), run_id, " GROUP BY ALL")
                for what, names in (("p_true", modalities), ("log_margin", (*modalities, FUSED)))
            ]
        if known[0] is None or known[1] is None:
            return None
        return known[0][0], known[0][1], known[1][1]

    def preferences(self, run_id: str, held_out: int = 0, by: str = FUSED) -> Preferences | None:
        """Which class each modality and the fusion preferred besides the label, samples ascending by id.

        Epochs are weighted by `heart.epoch_weights`, or alike where the table has no accuracies on held-out samples.

        Args:
            held_out: how many of these there are; 0 weighs all epochs alike.
            by: a modality takes the place of the fusion, see `Preferences.led_by`.

        Returns:
            None if the epochs were not stored, or by a curate that did not keep the other class.
        """
        with self.db.open() as con:
            modalities, _ = declared(con, run_id)
            said = _preferences(con, run_id, held_out, FUSED)
            if said is None or by == FUSED:
                return said
            own = _preferences(con, run_id, held_out, by)
        assert own is not None  # of the same epochs
        return said.led_by(modalities.index(by), own)


def _preferences(con: duckdb.DuckDBPyConnection, run_id: str, held_out: int, by: str) -> Preferences | None:
    """The preferences with epochs weighted by what `by` does not know by heart; None as `Dynamics.preferences`."""
    modalities, classes = declared(con, run_id)
    names = [*modalities, FUSED]
    known = _weights(con, run_id, names, held_out, by) if held_out else []
    whose, epochs, weights = zip(*known, strict=True) if known else ((), (), ())
    parameters = {"run": run_id, "classes": len(classes), "names": names}
    parameters |= {"whose": list(whose), "epochs": list(epochs), "weights": list(weights)}
    found = con.execute(query_text("preferences"), parameters).fetchnumpy()
    shape = (-1, len(names), len(names))
    if not len(found["other"]) or len(found["other"]) % len(names) ** 2:
        return None
    other, own, shown = (np.asarray(found[c]).reshape(shape) for c in ("other", "own", "shown"))
    return Preferences(own[:, 0].astype(np.float64), other[:, :, 0].astype(np.int64), shown.astype(np.float64))


def _weights(
    con: duckdb.DuckDBPyConnection, run_id: str, names: Sequence[str], held_out: int, by: str
) -> list[tuple[str, int, float]]:
    """(modality or "fused", epoch, its weight) where the table has everyone's accuracy on held-out samples."""
    found = con.execute(query_text("accuracies"), {"run": run_id, "names": list(names), "by": by}).fetchnumpy()
    epochs, right, values = found["epoch"].tolist(), np.asarray(found["right_of"]), found["held_out"]
    if not epochs:
        return []
    of = dict(zip(names, np.array(values.tolist(), dtype=np.float64).T, strict=True))
    weights = epoch_weights(right, of, held_out, by)
    return [(m, e, w) for m in names for e, w in zip(epochs, weights[m].tolist(), strict=True)]
