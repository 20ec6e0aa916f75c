"""How a scored run does on samples that it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

from curate.types import FUSED, Run

if TYPE_CHECKING:
    from curate.store.store import Store

DIFFERENCE = 0.15
"""Accuracy on training samples must exceed accuracy on held-out ones by more than this to count as different."""
FEWEST = 20
"""Fewest held-out samples with which the two are compared."""
ERRORS = 2.0
"""Standard errors that a difference of accuracies must exceed to count."""
HELD_OUT = (
    "SELECT e.split, e.modality, arg_max(e.value, e.epoch) FILTER (e.metric = 'accuracy') AS accuracy, "
    "(SELECT count(*) FROM sample s WHERE s.data_id = r.data_id AND s.split = e.split AND s.status = 'ok') AS samples, "
    "arg_max(e.value, e.epoch) FILTER (e.metric = 'wrong_labels') AS wrong "
    "FROM epoch e JOIN run r USING (run_id) WHERE run_id = ? AND e.split <> 'train' "
    "GROUP BY r.data_id, e.split, e.modality HAVING accuracy IS NOT NULL ORDER BY e.split DESC"
)


@dataclass(frozen=True)
class HeldOut:
    """How often each modality is right on samples that the model was not trained on.

    Attributes:
        split: `val`; `test` where saved predictions have no validation samples.
        samples: how many.
        accuracy: {modality or "fused": share labelled right, 0..1}.
        wrong: share of their labels that is wrong, at least, see `bounds.wrong_bounds`.
        decider: by whom that was judged, and which labels are wrong, see `bounds.decider`.
    """

    split: str
    samples: int
    accuracy: Mapping[str, float]
    wrong: float = 0.0
    decider: str = FUSED


def differ(trained: float, held_out: float, samples: int, least: float = DIFFERENCE) -> bool:
    """Whether `trained` exceeds `held_out`, an accuracy on so many samples, by more than `least` and chance."""
    if samples < FEWEST:
        return False
    error = sqrt(held_out * (1 - held_out) / samples)
    return trained - held_out > max(least, ERRORS * error)


def read_held_out(store: Store, run: Run) -> HeldOut | None:
    """How a scored run does on validation samples or, where it has none, on test samples; None without either."""
    rows = store.rows(HELD_OUT, [run.run_id])
    if not rows:
        return None
    split, _, _, samples, _ = rows[0]
    accuracy = {m: right for s, m, right, *_ in rows if s == split}
    judged = [(share, m) for s, m, _, _, share in rows if s == split and share is not None]
    return HeldOut(split, samples, accuracy, *judged[0]) if judged else HeldOut(split, samples, accuracy)
