"""Test results compared with fair baselines. Pure: rows of the table in, a comparison out.

A method is compared with the warm-up loss *continued for as many epochs*, never with the stopped warm-up: against that,
every method would also show the gain of longer training. It is judged as in a comparison: by the interval of the
differences seed by seed, see `comparison.summary`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

import pandas as pd

from curate.comparison.summary import BETTER, EVEN, UNJUDGED, WORSE, Difference, Spread, difference, spread
from curate.types import FUSED, Run

METRICS = (("accuracy", "accuracy"), ("macro_f1", "macro F1"), ("map", "mAP"))
CONTROL_KEY = "method.control"
STOPPED = "warmup (stopped)"
METHODS = (
    (STOPPED, "the warm-up itself, where the others start"),
    ("joint", "cross-entropy of the fused prediction only"),
    ("warmup", "the warm-up loss, continued"),
    ("unimodal", "sum of log-probabilities of separately trained networks"),
    ("adaptive", "loss weighted by p_balanced, the mixture fitted anew each round"),
    ("iprm", "instantaneous probe and rebalance"),
    ("subset", "fine-tuning on a selection"),
    ("usable", "the warm-up loss, but for the unimodal losses of broken modalities"),
)
BASELINES = ("joint", "warmup", "unimodal")
JUDGED = {BETTER: " is ahead", WORSE: " is behind", EVEN: " shows no difference", UNJUDGED: ""}
SAME_START = (STOPPED, *BASELINES)


@dataclass(frozen=True)
class Control:
    """The control of a single method, with which it is compared in addition to the baselines.

    Attributes:
        setting: value of `method.control`.
        note: the note of its runs.
        what: its description after the word "against".
        about: its description in a table.
        by: settings of the method that the control has too; the command for a missing control has the first that is
            set.
    """

    setting: str
    note: str
    what: str
    about: str
    by: tuple[str, ...]


OWN = {
    "subset": Control(
        "random",
        "random subset",
        "a random subset of the same size",
        "as many samples, drawn at random",
        ("selection", "threshold"),
    ),
    "usable": Control(
        "shuffled", "shuffled usability", "shuffled usability", "each sample has another's usability", ("mode",)
    ),
}


@dataclass(frozen=True)
class Row:
    """One line of the comparison.

    Attributes:
        method, note: of its runs.
        settings: the settings in which it differs from the other rows of this method and note.
        twin: its whole configuration except `method.control`; a subset and its control have the same.
        run_ids: the runs it summarises; () if it was not measured.
        epochs: epochs in all, warm-up included, or None if unknown.
        values: {(modality or "fused", metric): spread over runs, in 0..1}.
        difference: fused accuracy minus that of the continued warm-up, as a share; None where that was not measured
            with one of its seeds.
        same_length: whether that warm-up was trained for as many epochs.
        command: the command that would measure it, if it was not measured.
    """

    method: str
    note: str | None
    settings: str = ""
    twin: str = ""
    run_ids: tuple[str, ...] = ()
    epochs: int | None = None
    values: Mapping[tuple[str, str], Spread] | None = None
    difference: Difference | None = None
    same_length: bool = True
    command: str = ""

    @property
    def title(self) -> str:
        """Method and note in one line."""
        return f"{self.method} ({self.note})" if self.note else self.method

    @property
    def control(self) -> bool:
        """Whether other methods are compared with it."""
        return self.method in SAME_START or self.own_control

    @property
    def own_control(self) -> bool:
        """Whether it is the control of a single method."""
        return self.method in OWN and self.note == OWN[self.method].note

    @property
    def about(self) -> str:
        """A short description."""
        return f"control: {OWN[self.method].about}" if self.own_control else describe(self.method)


def compare(results: pd.DataFrame, runs: Sequence[Run], epochs: Mapping[str, int], parent: str) -> list[Row]:
    """A row for each method, note and setting among the runs of one scored run, and for each missing baseline.

    Args:
        results: run_id, modality, metric, value: test metrics in 0..1.
        runs: the runs with these results; the parent itself counts as the stopped warm-up.
        epochs: {run_id: epochs in all}.
        parent: the scored run.
    """
    by_run = {
        r: {(m, k): float(v) for m, k, v in zip(g["modality"], g["metric"], g["value"], strict=True)}
        for r, g in results.groupby("run_id")
    }
    groups: dict[tuple[str, str | None, str], list[Run]] = {}
    for run in runs:
        if run.run_id in by_run:
            method = STOPPED if run.run_id == parent else run.method
            groups.setdefault((method, run.note, _key(run)), []).append(run)
    reference = _reference([g for (method, *_), g in groups.items() if method == "warmup"], epochs)
    rows = []
    for (method, note, _), members in groups.items():
        rivals = [g[0] for (m, n, _), g in groups.items() if (m, n) == (method, note)]
        lengths = {epochs.get(r.run_id) for r in members}
        length = lengths.pop() if len(lengths) == 1 else None
        against = reference.get(length) or next(iter(reference.values()), None)
        is_reference = method in ("warmup", STOPPED)
        rows.append(
            Row(
                method,
                note,
                _differing(members[0], rivals),
                _key(members[0], CONTROL_KEY),
                tuple(sorted(r.run_id for r in members)),
                length,
                _spreads([by_run[r.run_id] for r in members]),
                None if is_reference or against is None else _difference(members, against, by_run),
                same_length=length in reference,
            )
        )
    return sorted([*rows, *_missing_baselines(rows, parent), *_missing_controls(rows, runs, parent)], key=_order)


def verdicts(rows: Sequence[Row], parent: str) -> list[str]:
    """One sentence for each measured method that is neither baseline nor control; `parent` is the scored run."""
    return [_verdict(row, rows, parent) for row in rows if row.run_ids and not row.control]


def describe(method: str) -> str:
    """A short description of a method; '' if it is not known here."""
    return dict(METHODS).get(method, "")


def _verdict(row: Row, rows: Sequence[Row], parent: str) -> str:
    found = row.difference
    if found is None:
        text = f"{row.title}: no statement, continued warm-up was not measured with a seed of it."
    else:
        length = "" if row.same_length else " (trained for another number of epochs)"
        several = f"`{shlex.join(['curate', 'compare', '--run', parent, '--method', row.method])}` trains with several"
        sure = f"{UNJUDGED}: {several}" if found.verdict == UNJUDGED else f"{len(found.by_seed)} seeds"
        text = f"{row.title}{JUDGED[found.verdict]}: {found.text} points against continued warm-up{length}, {sure}."
    return text + (_against_control(row, rows) if row.method in OWN else "")


def _against_control(row: Row, rows: Sequence[Row]) -> str:
    """A sentence that compares a method with its own control."""
    key, what = (FUSED, "accuracy"), OWN[row.method].what
    for other in rows:
        if other.own_control and other.twin == row.twin and other.values and row.values and key in other.values:
            points = 100 * (row.values[key].mean - other.values[key].mean)
            return f" Against {what}: {points:+.1f} points."
    return f" Its control, {what}, was not measured."


def _reference(warmups: Sequence[Sequence[Run]], epochs: Mapping[str, int]) -> dict[int | None, list[Run]]:
    """{epochs in all: continued warm-up runs}."""
    found: dict[int | None, list[Run]] = {}
    for run in (r for group in warmups for r in group):
        found.setdefault(epochs.get(run.run_id), []).append(run)
    return found


def _difference(
    members: Sequence[Run], against: Sequence[Run], by_run: Mapping[str, Mapping[tuple[str, str], float]]
) -> Difference | None:
    """Fused accuracy minus the reference's, over the seeds that both have."""
    return difference(_by_seed(members, by_run), _by_seed(against, by_run))


def _by_seed(runs: Sequence[Run], by_run: Mapping[str, Mapping[tuple[str, str], float]]) -> dict[int, float]:
    """{seed: mean fused accuracy of its runs}."""
    found: dict[int, list[float]] = {}
    for run in runs:
        if (FUSED, "accuracy") in by_run[run.run_id]:
            found.setdefault(run.seed, []).append(by_run[run.run_id][FUSED, "accuracy"])
    return {seed: mean(values) for seed, values in found.items()}


def _spreads(measured: Sequence[Mapping[tuple[str, str], float]]) -> dict[tuple[str, str], Spread]:
    keys = {key for values in measured for key in values}
    return {key: s for key in keys if (s := spread(values[key] for values in measured if key in values))}


def _missing_baselines(rows: Sequence[Row], parent: str) -> Iterator[Row]:
    """A row for each fair baseline that was not measured."""
    measured = {row.method for row in rows}
    for method in BASELINES:
        if method not in measured:
            yield Row(method, None, command=f"curate train --method {method} --run {parent}")


def _missing_controls(rows: Sequence[Row], runs: Sequence[Run], parent: str) -> Iterator[Row]:
    """A row for the missing control of each method that has a control of its own."""
    controls = {row.twin for row in rows if row.own_control}
    by_id = {run.run_id: run for run in runs}
    for row in rows:
        if row.method in OWN and not row.own_control and row.twin not in controls:
            control = OWN[row.method]
            chosen = by_id[row.run_ids[0]].config.get("method", {})
            which = [f"method.{key}={chosen[key]}" for key in control.by if chosen.get(key)][:1]
            sets = [part for value in (f"{CONTROL_KEY}={control.setting}", *which) for part in ("--set", value)]
            command = shlex.join(["curate", "train", "--method", row.method, "--run", parent, *sets])
            yield Row(row.method, control.note, row.settings, row.twin, command=command)


def _order(row: Row) -> tuple[int, str, bool, str, str]:
    known = [name for name, _ in METHODS]
    position = known.index(row.method) if row.method in known else len(known)
    return position, row.method, row.own_control, row.note or "", row.settings


def _flat(run: Run) -> Iterator[tuple[str, Any]]:
    """(section.key, value) of a run's configuration without the seed, and without what its settings determine."""
    for section, values in run.config.items():
        for key, value in values.items():
            if key != "seed" and section not in ("encoders", "started"):
                yield f"{section}.{key}", value


def _key(run: Run, but: str = "") -> str:
    """The configuration as text, without the key `but`; runs with the same text are repetitions of each other."""
    return json.dumps({k: v for k, v in _flat(run) if k != but}, sort_keys=True, default=str)


def _differing(run: Run, rivals: Sequence[Run]) -> str:
    """The settings of `run` that are not the same in all rivals, as `key=value, ...`."""
    others = [dict(_flat(r)) for r in rivals]
    return ", ".join(f"{key}={value}" for key, value in _flat(run) if any(o.get(key) != value for o in others))
