"""Remedies beside their fair baseline: the warm-up continued with corrected labels, without wrong ones, as given.

All rows start from one scored run, with augmentation and averaged weights, for equally many epochs; rows of one seed
have the same batches. Validation chooses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from curate.advice.relabelling import Corrections, find_corrections
from curate.comparison.plan import CONTINUED, IMPROVE, Row
from curate.config import Layer
from curate.errors import CurateError, counted
from curate.render import duration
from curate.scores.relabel import Gain, gain
from curate.train.loop.engine import predict
from curate.train.loop.estimate import estimate
from curate.types import FUSED, Floats, Run

from .compare import Cell, Protocol, planned_training, trained
from .evaluate import loaded
from .same import is_done, same_run
from .session import Session
from .setup import Job, check_tested, prepare, reopen
from .training import scheduled_epochs
from .wrong_labels import wrong_share

PLAIN: Layer = {"train": {"augment": "shift"}, "optim": {"ema": 0.99}}
"""What needs no score and gains most; the baseline has it too."""
GIVEN, CORRECTED, TRIMMED, RANDOM = "labels as given", "corrected labels", "wrong labels left out", "as many at random"


@dataclass(frozen=True)
class Improvement:
    """What is to be trained from a scored run.

    Attributes:
        parent: the scored run.
        corrections: the labels that the first remedy changes; it may be none.
        wrong: how it is known that the other has any to leave out, in words; '' if it has none.
        cells: rows of all seeds, seed by seed, the baseline first.
        epochs: of each training.
        cost: how long those that are not done take, in words; '' if all are done.
        done: {(label, seed): its run} of the cells that are done.
    """

    parent: Run
    corrections: Corrections
    wrong: str
    cells: tuple[Cell, ...]
    epochs: int
    cost: str
    done: Mapping[tuple[str, int], str]

    @property
    def rows(self) -> tuple[Row, ...]:
        """The baseline, the remedies, and the control if it was asked for."""
        return tuple({cell.row.label: cell.row for cell in self.cells}.values())

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the trainings."""
        return tuple(dict.fromkeys(cell.seed for cell in self.cells))


@dataclass(frozen=True)
class Outcome:
    """A row's result.

    Attributes:
        label: the row.
        control: whether it is there to compare with: the baseline, or the changes at random.
        runs: its training runs, one a seed.
        val, test: mean fused accuracy, in 0..1.
        on_val, on_test: how much more often it is right than the baseline; None for the baseline.
        minutes: of training, all seeds together.
    """

    label: str
    control: bool
    runs: tuple[str, ...]
    val: float
    test: float
    on_val: Gain | None
    on_test: Gain | None
    minutes: float


def plan_improvement(
    session: Session, parent: Run, layers: Sequence[Layer], seeds: Sequence[int], control: bool
) -> Improvement:
    """What `improve` would train; nothing is begun.

    Args:
        layers: settings in rising precedence, above `PLAIN`.
        control: train with as many labels changed at random, too.
    """
    corrections = find_corrections(session.store, parent, "corrected", parent.seed)
    wrong, how = wrong_share(session, parent)
    rows = [Row(GIVEN, CONTINUED, control=True)]
    if corrections.sample_ids:
        rows.append(Row(CORRECTED, CONTINUED, {"train": {"labels": "corrected"}}, twin=RANDOM if control else ""))
    if wrong:
        rows.append(Row(TRIMMED, "trim", {"train": {"labels": "marked"}}))
    if corrections.sample_ids and control:
        rows.append(Row(RANDOM, CONTINUED, {"train": {"labels": "random"}}, control=True))
    cells = tuple(Cell(row, seed, (PLAIN, *layers)) for seed in seeds for row in rows)
    wanted = [planned_training(session, _protocol(parent), parent, cell) for cell in cells]
    epochs = scheduled_epochs(wanted[0])
    found = [same_run(session, run) for run in wanted]
    done = {(c.row.label, c.seed): run.run_id for c, run in zip(cells, found, strict=True) if run and is_done(run)}
    left = len(cells) - len(done)
    cost = ""
    if left and len(rows) > 1:
        check_tested(dataset := reopen(parent))
        job = prepare(session, wanted[0], dataset, fresh=True)
        seconds = estimate(job.trainer, job.data).seconds(len(job.data.fit), len(job.data.val))
        cost = f"{counted(left, 'training')} of {counted(epochs, 'epoch')}, about {duration(seconds * epochs * left)}"
    return Improvement(parent, corrections, how if wrong else "", cells, epochs, cost, done)


def improve(session: Session, plan: Improvement) -> list[Outcome]:
    """Train every row of a plan, and measure it on validation and test; what is done already is taken from the table.

    Raises:
        CurateError: a row could not be trained.
    """
    store, parent = session.store, plan.parent
    store.comparisons.begin(IMPROVE, parent.dataset, plan.rows, plan.seeds, plan.done)
    runs: dict[str, list[Run]] = {}
    for number, cell in enumerate(plan.cells):
        session.progress("trainings", number, len(plan.cells), f"{cell.row.label}, seed {cell.seed}")
        run_id, reason = trained(session, _protocol(parent), parent, cell)
        store.comparisons.fill(IMPROVE, parent.dataset, cell.row.label, cell.seed, run_id, reason)
        if run_id is None:
            raise CurateError(f"{cell.row.label}, seed {cell.seed}: {reason}", "see `curate runs`")
        runs.setdefault(cell.row.label, []).append(store.runs.find(run_id))
    session.progress("trainings", len(plan.cells), len(plan.cells), "")
    controls = {row.label for row in plan.rows if row.control}
    return list(_outcomes(session, runs, controls))


def chosen(outcomes: Sequence[Outcome]) -> Outcome:
    """The remedy that is best on validation, or the baseline if none is better there; no control is chosen."""
    return max((o for i, o in enumerate(outcomes) if i == 0 or not o.control), key=lambda o: o.val)


def _outcomes(session: Session, runs: Mapping[str, Sequence[Run]], controls: Collection[str]) -> Iterator[Outcome]:
    base: dict[str, Floats] = {}
    for label, own in runs.items():
        jobs = [loaded(session, run) for run in own]
        right = {split: np.stack([_right(job, split) for job in jobs]) for split in ("val", "test")}
        gains = {split: gain(right[split], base[split]) if base else None for split in right}
        base = base or right
        minutes = sum(session.store.epochs.warm_up_seconds(run.run_id)[0] for run in own) / 60
        yield Outcome(
            label,
            label in controls,
            tuple(run.run_id for run in own),
            float(right["val"].mean()),
            float(right["test"].mean()),
            gains["val"],
            gains["test"],
            minutes,
        )


def _right(job: Job, split: str) -> Floats:
    """(N,) whether the fusion of the best epoch labels each sample of a split right: 1 or 0."""
    said = predict(job.trainer, job.data, job.samples(split))
    right: Floats = (said.probs[FUSED].argmax(axis=1) == said.labels).astype(np.float64)
    return right


def _protocol(parent: Run) -> Protocol:
    return Protocol(parent.dataset, None)
