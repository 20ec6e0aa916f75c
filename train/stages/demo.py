"""The whole path on the built-in data, every method beside its fair baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curate.config import dotted
from curate.scores.metrics import planted_recovery
from curate.types import FUSED, Run

from .score import score
from .session import Session
from .training import train

PLAN: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
    ("joint", "plain late fusion, as many epochs in all", {}),
    ("unimodal", "each modality alone, sum of log-probabilities", {}),
    ("warmup", "the warm-up, simply continued", {}),
    ("adaptive", "adaptive loss", {}),
    ("iprm", "probe and rebalance", {}),
    ("subset", "only samples with p_balanced >= 0.5", {}),
    ("subset", "its control: as many samples at random", {"method.control": "random"}),
)


@dataclass(frozen=True)
class Outcome:
    """What the demo found.

    Attributes:
        scored: the scored run.
        recovery: AUROCs against the degradations that were planted, see `metrics.planted_recovery`.
        results: (method, remark, {modality: test accuracy}) in the order of `PLAN`.
    """

    scored: Run
    recovery: Mapping[str, float | None]
    results: Sequence[tuple[str, str, Mapping[str, float]]]

    def recovery_rows(self) -> list[list[Any]]:
        """How well each measure finds the planted damage, as rows of (measure, what it means, AUROC)."""
        first, second = self.scored.modalities
        what = {
            "usability": "imbalance, by usability, finds samples with one bad modality",
            "size": "size of the gap finds samples with one bad modality",
            "direction": f"sign of the gap tells a bad {second} from a bad {first}",
            "p_imbalanced": "p_imbalanced finds samples with one bad modality",
        }
        return [[name, what[name], value] for name, value in self.recovery.items()]

    def result_rows(self) -> list[list[Any]]:
        """The methods as rows of (method, accuracies in percent, what it is)."""
        return [
            [m, f"{v[FUSED]:.1%}", *(f"{v[k]:.1%}" for k in self.scored.modalities), what]
            for m, what, v in self.results
        ]


def run_demo(session: Session, seed: int) -> Outcome:
    """Score the demo data, name a selection, and train everything in `PLAN` from it."""
    scored = score(session, "demo", None, [], seed)
    session.store.selections.make(scored.run_id, threshold=0.5, name="high quality", replace=True)
    results = []
    for method, what, changes in PLAN:
        run = train(session, scored, method, [dotted(changes)], seed)
        tested = session.store.epochs.test_metrics(run.run_id)
        results.append((method, what, {m: v["accuracy"] for m, v in tested.items()}))
    found = session.store.rounds.read(scored.run_id)
    planted = session.store.samples.planted(scored.run_id)
    judged = session.store.usability.imbalance(scored.run_id)
    imbalance = None if judged is None else judged[1]
    recovery = planted_recovery(planted, found.gaps.prob[:, 0], 1 - found.balanced, found.gaps.pairs[0], imbalance)
    return Outcome(scored, recovery, results)
