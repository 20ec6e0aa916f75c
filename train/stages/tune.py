"""Rows of a comparison once more, each with settings that validation chose from as many trials as the others had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from curate.comparison.plan import Plan, Row, candidates, merged, tuned_row
from curate.config import Layer
from curate.errors import CurateError
from curate.train.methods import catalog
from curate.types import Run

from .compare import (
    Cell,
    Protocol,
    announce_cost,
    first_scoring,
    folded,
    planned_training,
    scored,
    shared_layers,
    trained,
)
from .session import Session
from .spread import spread


def tuned(
    session: Session, plan: Plan, protocol: Protocol, seeds: Sequence[int], trials: int, devices: Sequence[str] = ()
) -> Plan:
    """The plan, and after each row that has no settings of its own the same method, tuned.

    On the first seed, each trial changes one setting of the best so far: first the method's main knob, then the
    learning rate, see `candidates`. What is better on validation, at its best epoch, is kept; of equals the earlier.
    The test split decides nothing. Trials are trainings of the table: the same command goes on where it was stopped.

    Args:
        seeds: of the comparison; the first is tuned on.
        trials: how many settings are tried for each row beside its own.
        devices: with several, rows are tuned on all of them at once.

    Raises:
        CurateError: the first seed cannot be scored.
    """
    if devices:
        session = replace(session, runtime=replace(session.runtime, device=devices[0]))
    common = shared_layers(plan, protocol)
    cells = [Cell(row, seed, (*common, row.scoring)) for row in plan.rows for seed in seeds]
    able = [c for c in cells if c.seed == seeds[0] and not c.row.settings and not c.row.scoring]
    if own := [row.label for row in plan.rows if row.settings or row.scoring]:
        session.message(f"not tuned, since they have settings of their own: {', '.join(own)}")
    if not able:
        return plan
    plain = [Cell(Row("", ""), seed, common) for seed in seeds]  # what starts none of these has settings of its own
    run, dataset = first_scoring(session, protocol, plain)
    tries = [[_changed(c, change) for change in _tries(session, protocol, run, c, trials)] for c in able]
    again = [replace(found[0], seed=seed) for found in tries if found for seed in seeds[1:]]
    announce_cost(session, protocol, [*cells, *(t for found in tries for t in found), *again], run, dataset)
    parent = scored(session, protocol, plain[0])
    if isinstance(parent, CurateError):
        raise parent
    tasks = [partial(_best, protocol=protocol, parent=parent, cell=cell, trials=trials) for cell in able]
    chosen: dict[str, Row] = {}
    inner = replace(session, progress=folded(session.progress))
    several = len(devices) > 1
    ended = spread(session, devices, tasks) if several else ((i, task(inner)) for i, task in enumerate(tasks))
    session.progress("rows tuned", 0, len(able), "")
    for done, (i, change) in enumerate(ended, 1):
        session.progress("rows tuned", done, len(able), able[i].row.label)
        chosen[able[i].row.label] = tuned_row(able[i].row, change)
    rows = [new for row in plan.rows for new in (row, chosen.get(row.label)) if new is not None]
    return replace(plan, rows=tuple(rows))


def _best(session: Session, protocol: Protocol, parent: Run, cell: Cell, trials: int) -> Layer:
    """The change of a row's settings that is best on validation; empty for its own settings."""
    best: Layer = {}
    highest = _validated(session, protocol, parent, cell)
    for change in _tries(session, protocol, parent, cell, trials):
        wanted = merged(best, change)
        reached = _validated(session, protocol, parent, _changed(cell, wanted))
        if reached > highest:
            best, highest = wanted, reached
    return best


def _validated(session: Session, protocol: Protocol, parent: Run, cell: Cell) -> float:
    """Validation accuracy of a cell, trained where it is not in the table; below 0 where it cannot be trained."""
    run_id, _ = trained(session, protocol, parent, cell)
    reached = session.store.epochs.best_validation(run_id) if run_id else None
    return -1.0 if reached is None else reached


def _tries(session: Session, protocol: Protocol, parent: Run, cell: Cell, trials: int) -> list[Layer]:
    """The changes that are tried for a row; none where it cannot be trained at all, which its own cell tells."""
    try:
        rate = planned_training(session, protocol, parent, cell).config["optim"]["lr"]
    except CurateError:
        return []
    known = {entry.name: entry.tried for entry in catalog.entries()}
    return candidates(known[cell.row.method], rate)[:trials]


def _changed(cell: Cell, change: Layer) -> Cell:
    return replace(cell, row=replace(cell.row, settings=merged(cell.row.settings, change)))
