"""The cells of a comparison, one after another or on several devices at once; finished runs of the table are taken."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from curate import config
from curate.comparison.plan import Plan, Row
from curate.config import Layer
from curate.datasets.base import Dataset
from curate.errors import CurateError, LockedError, counted
from curate.render import Progress, duration, no_message
from curate.train.loop import checkpoint
from curate.train.loop.estimate import estimate
from curate.train.methods import catalog
from curate.train.methods.optim import OptimConfig
from curate.train.models.model import ModelConfig
from curate.types import Run, data_kind

from .able import check_able
from .rounds import score_end
from .same import is_done, same_run
from .score import plan_score, resume_score, score
from .session import Session
from .settings import TrainConfig
from .setup import LAST, check_tested, prepare
from .spread import spread
from .training import plan_train, resume_train, scheduled_epochs, train

SCORED = ("data", "model", "optim", "score")
"""Sections of the settings of a scored run."""
TRAINED = ("model", "optim", "train")


@dataclass(frozen=True)
class Protocol:
    """What all cells of a comparison share.

    Attributes:
        dataset, root: as in `score`.
        layers: settings in rising precedence, above the plan's own and below those of a row.
        of_method: {method: settings of its own}, below those of a row.
        redraw: each seed redraws the data set too: `data.seed` is the seed.
        of_run: settings of a scored run that stands for data and settings, below all others; its trainings have them
            as those of any scored run, so that a method with a fusion of its own may set it.
    """

    dataset: str
    root: Path | None
    layers: Sequence[Layer] = ()
    of_method: Mapping[str, Mapping[str, object]] | None = None
    redraw: bool = False
    of_run: Layer = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """A row with a seed.

    Attributes:
        layers: settings in rising precedence, below those of the method and the row.
    """

    row: Row
    seed: int
    layers: tuple[Layer, ...]

    @property
    def parent(self) -> tuple[int, str]:
        """Equal for cells that start from the same scored run."""
        return self.seed, json.dumps(self.row.scoring, sort_keys=True, default=str)


Outcome = tuple[str | None, str]
"""The run of a cell, or the reason why there is none."""
Parents = dict[tuple[int, str], "Run | CurateError"]
"""{`Cell.parent`: the scored run, or why there is none}."""


def compare(
    session: Session, plan: Plan, protocol: Protocol, seeds: Sequence[int], devices: Sequence[str] = ()
) -> None:
    """Score once per seed and train every row from it; every cell and its outcome are stored in the table.

    A cell whose run is done is not run again; one that was interrupted is resumed. A row that cannot be run (its method
    is not installed, its settings do not fit, its loss diverged, its subset is empty) does not stop the others.

    Args:
        devices: with several, cells are run on all of them at once, a process each; else on the session's own.
    """
    if devices:
        session = replace(session, runtime=replace(session.runtime, device=devices[0]))
    common = shared_layers(plan, protocol)
    plain = [Cell(Row("", ""), seed, common) for seed in seeds]
    first = first_scoring(session, protocol, plain)  # an error overwrites nothing
    protocol = replace(protocol, dataset=first[0].dataset)  # data.name may be among the settings
    cells = [Cell(row, seed, (*common, row.scoring)) for seed in seeds for row in plan.rows]
    done = announce_cost(session, protocol, cells, *first)
    lost = session.store.comparisons.begin(plan.name, protocol.dataset, plan.rows, seeds, done)
    if lost:
        session.message(
            f"note: the comparison {plan.name} of {protocol.dataset} had {counted(lost, 'result')} of other rows, "
            "seeds or settings, not listed any more: their runs stay, and the earlier command lists them again without "
            "training; to keep both, give this one a name of its own with --name"
        )
    several = len(devices) > 1
    ended = _at_once(session, protocol, cells, devices) if several else _one_by_one(session, protocol, cells)
    for cell, (run_id, reason) in ended:
        session.store.comparisons.fill(plan.name, protocol.dataset, cell.row.label, cell.seed, run_id, reason)
    session.progress("cells", len(cells), len(cells), "")


def check_rows(plan: Plan) -> None:
    """Check that the settings of each row exist, and are of their type and range: before anything is trained.

    Raises:
        CurateError: one does not.
    """
    shared = {"model": ModelConfig, "optim": OptimConfig, "train": TrainConfig}
    for row in plan.rows:
        config.resolve({**shared, "method": catalog.find(row.method).Config}, row.settings)


def shared_layers(plan: Plan, protocol: Protocol) -> tuple[Layer, ...]:
    """The settings of every cell, in rising precedence, below those of the method and the row."""
    return plan.settings, plan.presets.get(data_kind(protocol.dataset), {}), *protocol.layers


def announce_cost(
    session: Session, protocol: Protocol, cells: Sequence[Cell], run: Run, dataset: Dataset
) -> dict[tuple[str, int], str]:
    """Say how many cells are done, which rows cannot be run, and how long the others will take, by a plain step that is
    tried now.

    Args:
        run, dataset: the first scored run, planned, not begun.

    Returns:
        {(label, seed): the run} of the cells that are done.

    Raises:
        CurateError: the weights of a scored run that a cell goes on from are gone.
    """
    parents: dict[tuple[int, str], Run] = {}
    done: dict[tuple[str, int], str] = {}
    unable: dict[str, str] = {}
    tried: set[str] = set()
    epochs, scorings = 0, 0
    for cell in cells:
        try:
            if cell.parent not in parents:
                wanted, _ = planned_scoring(session, protocol, cell)
                found = same_run(session, wanted)
                parents[cell.parent] = found or wanted
                scorings += 0 if is_done(found) else wanted.config["score"]["epochs"]
            wanted = planned_training(session, protocol, parents[cell.parent], cell)
            left = scheduled_epochs(wanted)
            if (found := same_run(session, wanted)) is not None and is_done(found):
                done[cell.row.label, cell.seed] = found.run_id
                continue
            if wanted.data_id == run.data_id:  # others are not decoded yet
                check_able(session, wanted, dataset, tried)
        except CurateError as error:
            unable.setdefault(cell.row.label, _why(error))
            continue
        if is_done(parents[cell.parent]) and wanted.config["train"]["start"] == "warm":
            checkpoint.need(session.folder(parents[cell.parent]) / LAST)
        epochs += left
    for label, why in unable.items():
        session.message(f"note: {label} cannot be run, and its row stays empty: {why}")
    if not epochs + scorings:
        return done
    job = prepare(session, run, dataset, fresh=True)
    step, trained = estimate(job.trainer, job.data), len(job.data.fit)
    predicted = scorings * (trained + len(job.data.val)) + epochs * len(job.data.val)
    seconds = step.seconds((epochs + scorings) * trained, predicted)
    session.message(
        f"{counted(len(cells), 'cell')}, {len(done)} of them done; left are {counted(epochs, 'epoch')}, and {scorings} "
        f"of warm-ups, of {counted(trained, 'sample')}: about {duration(seconds)} in all, "
        "more with methods that go through a batch several times"
    )
    return done


def _one_by_one(session: Session, protocol: Protocol, cells: Sequence[Cell]) -> Iterator[tuple[Cell, Outcome]]:
    """Each cell with its outcome, seed by seed."""
    inner = replace(session, progress=folded(session.progress))
    parents: Parents = {}
    for number, cell in enumerate(cells):
        session.progress("cells", number, len(cells), f"{cell.row.label}, seed {cell.seed}")
        if cell.parent not in parents:
            parents[cell.parent] = scored(inner, protocol, cell)
            _need_one(parents, cell.seed)
        parent = parents[cell.parent]
        yield cell, trained(inner, protocol, parent, cell) if isinstance(parent, Run) else (None, _why(parent))


def _at_once(
    session: Session, protocol: Protocol, cells: Sequence[Cell], devices: Sequence[str]
) -> Iterator[tuple[Cell, Outcome]]:
    """Each cell with its outcome, in the order in which they end: all scored runs first, then all trainings."""
    first = list({cell.parent: cell for cell in cells}.values())
    session.progress("scored runs", 0, len(first), "")
    parents: Parents = {}
    ended = spread(session, devices, [partial(scored, protocol=protocol, cell=cell) for cell in first])
    for done, (i, run) in enumerate(ended, 1):
        session.progress("scored runs", done, len(first), "")
        parents[first[i].parent] = run
    for cell in cells:
        _need_one(parents, cell.seed)
    able = []
    for cell in cells:
        parent = parents[cell.parent]
        if isinstance(parent, Run):
            able.append((cell, partial(trained, protocol=protocol, parent=parent, cell=cell)))
        else:
            yield cell, (None, _why(parent))
    for done, (i, outcome) in enumerate(spread(session, devices, [task for _, task in able]), 1):
        cell, _ = able[i]
        session.progress("cells", len(cells) - len(able) + done, len(cells), f"{cell.row.label}, seed {cell.seed}")
        yield cell, outcome


def _need_one(parents: Parents, seed: int) -> None:
    """Raise the error of a seed without a scored run: nothing can be compared without it."""
    own = [found for (of, _), found in parents.items() if of == seed]
    errors = [found for found in own if isinstance(found, CurateError)]
    if len(errors) == len(own):
        raise errors[0]


def folded(advance: Progress) -> Progress:
    """The progress of the cell that is running, under one label."""
    return lambda label, done, total, note: advance("this cell", done, total, f"{label} {note}".strip())


def first_scoring(session: Session, protocol: Protocol, cells: Sequence[Cell]) -> tuple[Run, Dataset]:
    """As `planned_scoring` of the first cell, once it is clear that its data can be compared on.

    Raises:
        CurateError: they have no test split, or are to be drawn anew and give their splits themselves.
    """
    run, dataset = planned_scoring(session, protocol, cells[0])
    check_tested(dataset)
    other = next((c for c in cells if c.seed != cells[0].seed), None)
    if protocol.redraw and other is not None:
        first, second = (
            {s.sample_id: s.split for s in d.samples} for d in (dataset, planned_scoring(session, protocol, other)[1])
        )
        if first == second:
            raise CurateError(
                f"--redraw draws the splits anew with each seed, but those of {dataset.name} are given",
                "leave --redraw out; the seeds then change weights and order of training",
            )
    return run, dataset


def planned_scoring(session: Session, protocol: Protocol, cell: Cell) -> tuple[Run, Dataset]:
    """The scored run that a cell starts from, not begun, and its data set; what there is to note is told by `score`."""
    session = replace(session, message=no_message)
    return plan_score(session, protocol.dataset, protocol.root, _scoring_layers(protocol, cell), cell.seed)


def _scoring_layers(protocol: Protocol, cell: Cell) -> list[Layer]:
    return [protocol.of_run, *_only(SCORED, cell.layers), *([{"data": {"seed": cell.seed}}] if protocol.redraw else [])]


def scored(session: Session, protocol: Protocol, cell: Cell) -> Run | CurateError:
    """The scored run of a cell: from the table, resumed, or made now; or why there is none."""
    try:
        wanted, _ = planned_scoring(session, protocol, cell)
        found = same_run(session, wanted)
        if found is None:
            return score(session, protocol.dataset, protocol.root, _scoring_layers(protocol, cell), cell.seed)
        return found if found.status == "done" else resume_score(session, found)
    except LockedError:
        raise
    except CurateError as error:
        return error


def planned_training(session: Session, protocol: Protocol, parent: Run, cell: Cell) -> Run:
    """The training run of a cell, not begun."""
    catalog.find(cell.row.method)  # an unknown one has its own error
    return plan_train(session, parent, cell.row.method, _training_layers(protocol, cell), cell.seed)


def _training_layers(protocol: Protocol, cell: Cell) -> list[Layer]:
    own = {"method": (protocol.of_method or {}).get(cell.row.method, {})}
    return [*_only(TRAINED, cell.layers), own, cell.row.settings]


def trained(session: Session, protocol: Protocol, parent: Run, cell: Cell) -> Outcome:
    """The training run of a cell: from the table, resumed, or made now; scored at its end; or why there is none."""
    try:
        found = same_run(session, planned_training(session, protocol, parent, cell))
        if found is None:
            found = train(session, parent, cell.row.method, _training_layers(protocol, cell), cell.seed)
        elif found.status != "done":
            found = resume_train(session, found)
        score_end(session, found)
    except LockedError:
        raise
    except CurateError as error:
        return None, _why(error)
    return found.run_id, ""


def _why(error: CurateError) -> str:
    """Why a cell has no result, and what to do about it."""
    return "; ".join(filter(None, (error.message, error.hint)))


def _only(sections: Sequence[str], layers: Sequence[Layer]) -> list[Layer]:
    return [{k: v for k, v in layer.items() if k in sections} for layer in layers]
