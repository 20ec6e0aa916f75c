"""The content of a report: one scored run and its trainings, read from the sample table and summarised.

Letters: N scored samples, M modalities, P pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from curate.advice.evidence import Evidence, read_evidence
from curate.blocks import by_row
from curate.errors import CurateError
from curate.scores.gap import describe, gap_limit, gap_scale
from curate.scores.guard import Guard
from curate.scores.metrics import auroc, degraded_alone, degraded_in_part, direction_auroc
from curate.scores.two_groups import CLAIMED
from curate.store.store import Store
from curate.types import FUSED, Floats, MixtureFit, Round, Run

from .dynamics import GAPS
from .usability import PARTLY, ROWS, assessed

SCORED = (
    "SELECT coalesce(i.label, -1) AS label_name, i.planted{} FROM item i JOIN part p "
    "ON p.number = i.part WHERE p.run_id = ? AND p.round = 0 AND i.widest IS NOT NULL ORDER BY i.sample_id"
)
"""In the order of the round; of a class its index is fetched, not its name a row."""
OF_MODALITY = "i.{0}[list_position(p.modalities, '{2}')] AS {1}_{2}"
STATUSES = "SELECT status, split, count(*) AS samples FROM sample WHERE data_id = ? GROUP BY ALL ORDER BY ALL"
UNUSABLE = (
    "SELECT sample_id, split, label_name, status, reason FROM sample "
    "WHERE data_id = ? AND status <> 'ok' ORDER BY status, sample_id LIMIT 10"
)
FINDINGS = (
    "SELECT kind, count(*) AS findings, arg_min(sample_id || ': ' || detail, sample_id) AS example FROM finding "
    "WHERE data_id = ? GROUP BY ALL ORDER BY ALL"
)
EPOCHS = (
    "SELECT e.run_id, e.epoch, e.split, e.modality, e.metric, e.value FROM epoch e JOIN run r USING (run_id) "
    "WHERE r.run_id = ? OR r.parent = ? ORDER BY ALL"
)
RESULTS = (
    "SELECT run_id, modality, metric, value FROM results WHERE run_id = ? OR parent = ? "
    "QUALIFY epoch = max(epoch) OVER (PARTITION BY run_id) ORDER BY ALL"
)
TIMES = "SELECT started, finished FROM run WHERE run_id = ?"


@dataclass(frozen=True)
class Facts:
    """Everything that a report contains about one scored run.

    Attributes:
        database: the file of the sample table.
        run: the scored run.
        children: its training runs, oldest first.
        round: the gaps, mixtures and posteriors of scoring.
        samples: one row per scored sample, see `scored_samples`.
        epochs, tests, statuses, unusable, findings: rows of the queries above.
        rounds: {training run: {round: one fit per pair}}, for those with mixtures of their own.
        times: when the run was started and finished, UTC.
        dynamics: one row per sample and pair, over the warm-up's epochs; no rows if these were not stored.
        assessed: one row per sample whose label was judged, see `usability.assessed`, with `other_class`, the class to
            give in place of a denied label; no rows if none was.
        guards: {modality: its guard}; {} where usability is not known.
        evidence: the conclusions are made from it.
    """

    database: Path
    run: Run
    children: tuple[Run, ...]
    round: Round
    samples: pd.DataFrame
    epochs: pd.DataFrame
    tests: pd.DataFrame
    statuses: pd.DataFrame
    unusable: pd.DataFrame
    findings: pd.DataFrame
    rounds: Mapping[str, Mapping[int, tuple[MixtureFit, ...]]]
    times: tuple[str, str]
    dynamics: pd.DataFrame
    assessed: pd.DataFrame
    guards: Mapping[str, Guard]
    evidence: Evidence

    @property
    def usability(self) -> pd.DataFrame:
        """The same, no rows where usability is not known."""
        return self.assessed if self.guards else self.assessed.head(0)

    @property
    def kind(self) -> str:
        """The gap the mixture was fitted on."""
        return self.run.gap_kind or "prob"

    @property
    def limit(self) -> float:
        """Largest |gap| on the axis."""
        return axis_limit(self.kind, len(self.run.classes), np.abs(self.round.gaps.seen(self.kind)).max(initial=0))

    @property
    def described(self) -> str:
        """What the mixture was fitted to, in words."""
        return describe(self.kind, self.round.gaps.input, self.round.gaps.average)

    @cached_property
    def starts(self) -> dict[str, int]:
        """{run_id: number of epochs before its first}: those of the warm-up, unless it started from scratch."""
        warm = self.last_epoch(self.run.run_id)
        return {self.run.run_id: 0} | {
            r.run_id: 0 if r.config.get("train", {}).get("start") == "scratch" else warm for r in self.children
        }

    @cached_property
    def lengths(self) -> dict[str, int]:
        """{run_id: epochs in all, warm-up included}, for the runs whose epochs are known."""
        own = {run_id: self.last_epoch(run_id) for run_id in self.starts}
        return {run_id: self.starts[run_id] + epochs for run_id, epochs in own.items() if epochs}

    def last_epoch(self, run_id: str) -> int:
        """Number of epochs of a run; 0 if none were recorded."""
        mine = self.epochs[(self.epochs["run_id"] == run_id) & (self.epochs["split"] != "test")]
        return int(mine["epoch"].max()) if len(mine) else 0


def axis_limit(kind: str, classes: int, reach: float) -> float:
    """The largest |gap| on an axis: the largest possible one, or near `reach` where the samples stay far below it."""
    scale, largest = gap_scale(kind, classes), gap_limit(kind, classes)
    return largest if largest == scale else min(largest, max(scale, 1.02 * reach))


def read(store: Store, run_id: str | None) -> Facts:
    """Everything a report needs, from the table."""
    with store.together():
        return _read(store, _scored_run(store, run_id))


def _read(store: Store, run: Run) -> Facts:
    children = tuple(reversed(store.runs.all(kind="train", parent=run.run_id)))
    scored = store.rounds.read(run.run_id)
    both, data = [run.run_id, run.run_id], [run.data_id]
    samples = scored_samples(store, run, scored)
    judged, times = store.frame(ROWS, both[:1]), store.frame(TIMES, both[:1]).iloc[0]
    return Facts(
        store.path,
        run,
        children,
        scored,
        samples,
        store.frame(EPOCHS, both),
        store.frame(RESULTS, both),
        store.frame(STATUSES, data),
        store.frame(UNUSABLE, data),
        store.frame(FINDINGS, data),
        {
            r.run_id: {n: store.rounds.read(r.run_id, n).fits for n in numbers}
            for r in children
            if (numbers := store.rounds.numbers(r.run_id))
        },
        (_minute(times["started"]), _minute(times["finished"])),
        store.frame(GAPS, both[:1]),
        _with_other(store, run, assessed(judged, run.modalities)) if len(judged) else pd.DataFrame(),
        store.usability.guards(run.run_id),
        read_evidence(store, run.run_id, scored),
    )


def _with_other(store: Store, run: Run, frame: pd.DataFrame) -> pd.DataFrame:
    """The assessed samples with `other_class`: where a label is denied, the class found most probable besides it, see
    `relabelled.Known`; '' where that is not known, or not needed.
    """
    denied = (frame[["p_mislabelled", "contradiction"]].astype(float) > CLAIMED).any(axis=1)
    if not denied.any():
        return frame.assign(other_class="")
    known = store.relabelled.known(run)
    classes = np.array([*run.classes, ""], dtype=object)  # -1 is the last
    named = pd.Series(classes[known.other], index=known.sample_ids)
    return frame.assign(
        other_class=named.reindex(frame["sample_id"]).fillna("").where(denied.to_numpy(), "").to_numpy()
    )


def _scored_run(store: Store, run_id: str | None) -> Run:
    if run_id is None:
        return store.runs.find(kind="score", status="done")
    run = store.runs.find(run_id)
    if run.kind == "score":
        return run
    if run.parent is None:
        raise CurateError(
            f"training run {run_id!r} has no scored run to report on", "name a scored run, see `curate runs`"
        )
    return store.runs.find(run.parent, kind="score")


def _minute(moment: Any) -> str:
    return "" if pd.isna(moment) else f"{moment:%Y-%m-%d %H:%M} UTC"


def scored_samples(store: Store, run: Run, scored: Round) -> pd.DataFrame:
    """One row per scored sample, in the order of the round.

    Returns:
        Columns sample_id, label_name, planted (NaN = unknown), p_<modality> and right_<modality> (fused included),
        gap (probability gap of the pair with the largest |gap|), p_balanced and p_imbalanced (of the least balanced
        pair), and dominant (the modality with the largest probability of the true class; None if all are equal).
    """
    modalities = run.modalities
    columns = [
        OF_MODALITY.format(column, short, m)
        for column, short in (("p_true", "p"), ("correct", "right"))
        for m in (*modalities, FUSED)
    ]
    out = store.frame(SCORED.format("".join(f", {c}" for c in columns)), [run.run_id])
    out["label_name"] = np.array([*run.classes, ""], dtype=object)[out["label_name"]]  # -1 is the last
    out.insert(0, "sample_id", by_row(lambda own: own.astype(object), scored.sample_ids))
    strongest = np.abs(scored.gaps.prob).argmax(axis=1)
    out["gap"] = scored.gaps.prob[np.arange(len(out)), strongest]
    out["p_balanced"] = scored.balanced
    out["p_imbalanced"] = 1 - out["p_balanced"]
    best = out[[f"p_{m}" for m in modalities]].to_numpy().argmax(axis=1)
    out["dominant"] = pd.Series(np.array(modalities, dtype=object)[best]).where(out["gap"] != 0, None)
    return out


def planted_scores(facts: Facts) -> list[tuple[str, float | None, str]]:
    """How well the scores find what was degraded on purpose: (score, AUROC or None, question).

    [] if it is unknown what was, or if nothing was, or all.
    """
    known = facts.samples["planted"].notna().to_numpy()
    if not known.any():
        return []
    s = facts.samples[known]
    alone = degraded_alone(s["planted"])
    modalities = len(facts.run.modalities)
    one, question = degraded_in_part(s["planted"], modalities), PARTLY[modalities > 2]
    rows: list[tuple[str, float | None, str]] = []
    if len(facts.usability):
        ranked = facts.usability.set_index("sample_id")["imbalance"].reindex(s["sample_id"])
        if ranked.notna().all():
            rows.append(("imbalance, by usability", auroc(ranked.to_numpy(), one), question))
    rows.append(("|gap|", auroc(s["gap"].abs().to_numpy(), one), question))
    gaps = facts.round.gaps
    if facts.kind == "kl":
        rows.append(("|KL gap|", auroc(np.abs(gaps.kl[known]).max(axis=1), one), question))
    if gaps.fitted is not None and (facts.kind, gaps.average) != ("prob", "last"):
        name = describe(facts.kind, "absolute", gaps.average)
        rows.append((name, auroc(np.abs(gaps.fitted[known]).max(axis=1), one), question))
    rows.append(("p_imbalanced", auroc(s["p_imbalanced"].to_numpy(), one), question))
    signed = gaps.seen(facts.kind) if gaps.input == "signed" else gaps.prob
    for j, pair in enumerate(gaps.pairs):
        shown = direction_auroc(signed[known, j], alone, pair)
        rows.append(("signed gap", shown, f"of those, is it {pair[1]} and not {pair[0]}?"))
    return rows if any(value is not None for _, value, _ in rows) else []


def by_class(samples: pd.DataFrame, modalities: Sequence[str]) -> pd.DataFrame:
    """One row per class: samples, mean p_imbalanced, share in which each modality is ahead; most imbalanced first."""
    shares = {f"ahead_{m}": samples["dominant"] == m for m in modalities}
    frame = samples[["label_name", "p_imbalanced"]].assign(samples=1, **shares)
    rules = {"samples": "sum", "p_imbalanced": "mean"} | dict.fromkeys(shares, "mean")
    return (
        frame.groupby("label_name")
        .agg(rules)
        .sort_values(["p_imbalanced", "samples"], ascending=False, kind="stable")
        .reset_index()
    )


def most_imbalanced(samples: pd.DataFrame, modalities: Sequence[str], count: int) -> dict[str, pd.DataFrame]:
    """{dominant modality: its samples of largest |gap|, largest first}, `count` divided equally, ties by id."""
    size, dominant, each = samples["gap"].abs().to_numpy(), samples["dominant"], max(1, count // len(modalities))
    found = {}
    for m in modalities:
        own = np.flatnonzero(dominant == m)
        top = own[largest(size[own], each)]
        ranked = samples.iloc[top].assign(size=size[top]).sort_values(["size", "sample_id"], ascending=[False, True])
        found[m] = ranked.head(each)
    return found


def largest(values: Floats, count: int) -> NDArray[np.int64]:
    """Positions of the `count` largest of (N,) values and of all that equal the last of them, ascending."""
    if not 0 < count < len(values):
        return np.arange(len(values) if count else 0)
    return np.flatnonzero(values >= np.partition(values, len(values) - count)[len(values) - count])
