"""Labels that a training changed, and what the table knows about labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from curate.types import Floats, Run

from .connection import Connection, query_text
from .rows import delete, insert


@dataclass(frozen=True)
class Known:
    """What is known about the labels of training samples, ascending by id.

    Attributes:
        sample_ids: (N,).
        labels: (N,) class indices as given.
        p_mislabelled: (N,) probability that the label is wrong, in [0, 1]; NaN where that was not judged.
        contradiction: (N,) how much the fused prediction denied the label over the warm-up, in [0, 1]; NaN where its
            epochs are not known.
        other: (N,) the class that the one by whom labels are judged, see `bounds.decider`, found most probable besides
            the label, over all epochs of the warm-up together; of saved predictions, of which it is known only where it
            may be needed, in the newest epoch; -1 = not known.
        marks: (N,) what a person decided, and (N,) the class given with `fix_label`; None where there is none.
    """

    sample_ids: NDArray[np.str_]
    labels: NDArray[np.int64]
    p_mislabelled: Floats
    contradiction: Floats
    other: NDArray[np.int64]
    marks: Sequence[str | None]
    mark_labels: Sequence[str | None]

    @property
    def assessed(self) -> NDArray[np.bool_]:
        """(N,) whether the warm-up's epochs are known."""
        return ~np.isnan(self.contradiction)


@dataclass(frozen=True)
class Relabelled:
    """The labels that a training changed, written once, before its first epoch."""

    TABLES: ClassVar[tuple[str, ...]] = ("relabelled",)

    db: Connection

    def write(
        self, run_id: str, sample_ids: Sequence[str], given: Sequence[str], used: Sequence[str], why: Sequence[str]
    ) -> None:
        """Store the changed labels of a run, as names of classes; earlier ones are replaced."""
        columns = {"sample_id": list(sample_ids), "given": list(given), "used": list(used), "why": list(why)}
        with self.db.open(write=True) as con:
            delete(con, "relabelled", {"run_id": run_id})
            insert(con, "relabelled", columns, {"run_id": run_id})

    def read(self, run_id: str) -> dict[str, str]:
        """{sample: the class it is trained with} of the changed labels of a run."""
        with self.db.open() as con:
            return dict(con.execute("SELECT sample_id, used FROM relabelled WHERE run_id = ?", [run_id]).fetchall())

    def known(self, run: Run) -> Known:
        """What is known about the labels of a scored run's training samples, of people's marks too."""
        parameters = {"run": run.run_id, "data": run.data_id, "dataset": run.dataset}
        with self.db.open() as con:
            rows = con.execute(query_text("known_labels"), parameters).fetchall()
        columns = zip(*rows, strict=True) if rows else ((),) * 7
        ids, labels, p_mislabelled, contradiction, other, marks, mark_labels = columns
        return Known(
            np.array(ids, dtype=np.str_),
            np.array(labels, dtype=np.int64),
            np.array([np.nan if p is None else p for p in p_mislabelled], dtype=np.float64),
            np.array([np.nan if c is None else c for c in contradiction], dtype=np.float64),
            np.array(other, dtype=np.int64),
            marks,
            mark_labels,
        )
