"""The cells of a comparison, one after another; runs that are finished in the table are taken from there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from curate.comparison.plan import Plan, Row
from curate.config import Layer
from curate.errors import CurateError, LockedError
from curate.render import Progress
from curate.train.methods import catalog
from curate.types import Run

from .rounds import score_end
from .score import plan_score, resume_score, score
from .session import Session
from .training import plan_train, resume_train, train

SCORED = ("data", "model", "optim", "score")
TRAINED = ("model", "optim", "train")


@dataclass(frozen=True)
class Protocol:
    """What all cells of a comparison share.

    Attributes:
        dataset, root: as in `score`.
        layers: settings in rising precedence, above the plan's own and below those of a row.
        of_method: {method: settings of its own}, below those of a row.
        redraw: each seed redraws the data set too: `data.seed` is the seed.
    """

    dataset: str
    root: Path | None
    layers: Sequence[Layer] = ()
    of_method: Mapping[str, Mapping[str, object]] | None = None
    redraw: bool = False


def compare(session: Session, plan: Plan, protocol: Protocol, seeds: Sequence[int]) -> None:
    """Score once per seed and train every row from it; every cell and its outcome are stored in the table.

    A cell whose run is done is not run again; one that was interrupted is resumed. A row that cannot be run (its method
    is not installed, its settings do not fit, its loss diverged, its subset is empty) does not stop the others.
    """
    common = [plan.settings, plan.presets.get(protocol.dataset, {}), *protocol.layers]
    first = _only(SCORED, common)
    plan_score(session, protocol.dataset, protocol.root, first, seeds[0])  # an error here overwrites nothing
    session.store.comparisons.begin(plan.name, protocol.dataset, plan.rows, seeds)
    inner = replace(session, progress=_folded(session.progress))
    total, done = len(plan.rows) * len(seeds), 0
    for seed in seeds:
        parents: dict[str, Run] = {}
        for row in plan.rows:
            session.progress("cells", done, total, f"{row.label}, seed {seed}")
            try:
                shared = [*common, row.scoring]
                key = json.dumps(row.scoring, sort_keys=True, default=str)
                if key not in parents:
                    parents[key] = _scored(inner, protocol, shared, seed)
                run_id, reason = _trained(inner, protocol, parents[key], row, shared).run_id, ""
            except LockedError:
                raise
            except CurateError as error:
                if not parents:
                    raise  # nothing can be compared without the scored run that all rows share
                run_id, reason = None, error.message
            session.store.comparisons.fill(plan.name, protocol.dataset, row.label, seed, run_id, reason)
            done += 1
    session.progress("cells", total, total, "")


def _folded(advance: Progress) -> Progress:
    """The progress of the cell that is running, under one label."""
    return lambda label, done, total, note: advance("this cell", done, total, f"{label} {note}".strip())


def _scored(session: Session, protocol: Protocol, shared: Sequence[Layer], seed: int) -> Run:
    """The scored run of a seed: from the table, resumed, or made now."""
    redrawn = [{"data": {"seed": seed}}] if protocol.redraw else []
    layers = [*_only(SCORED, shared), *redrawn]
    wanted, _ = plan_score(session, protocol.dataset, protocol.root, layers, seed)
    found = _same(session, wanted)
    if found is None:
        return score(session, protocol.dataset, protocol.root, layers, seed)
    return found if found.status == "done" else resume_score(session, found)


def _trained(session: Session, protocol: Protocol, parent: Run, row: Row, shared: Sequence[Layer]) -> Run:
    """The training run of a cell: from the table, resumed, or made now; scored at its end."""
    catalog.find(row.method)  # an unknown one has its own error
    own = {"method": (protocol.of_method or {}).get(row.method, {})}
    layers = [*_only(TRAINED, shared), own, row.settings]
    found = _same(session, plan_train(session, parent, row.method, layers, parent.seed))
    if found is None:
        found = train(session, parent, row.method, layers, parent.seed)
    elif found.status != "done":
        found = resume_train(session, found)
    score_end(session, found)
    return found


def _only(sections: Sequence[str], layers: Sequence[Layer]) -> list[Layer]:
    return [{k: v for k, v in layer.items() if k in sections} for layer in layers]


def _same(session: Session, wanted: Run) -> Run | None:
    """The run in the table that equals a planned one: a finished one if there is one, else the newest."""
    if not session.store.path.exists():
        return None
    where = {"kind": wanted.kind, "method": wanted.method, "data_id": wanted.data_id, "parent": wanted.parent}
    alike = [
        run
        for run in session.store.runs.all(seed=wanted.seed, **where)
        if run.note == wanted.note and _text({k: run.config.get(k) for k in wanted.config}) == _text(wanted.config)
    ]
    return next((run for run in alike if run.status == "done"), next(iter(alike), None))


def _text(config: Mapping[str, object]) -> str:
    return json.dumps(config, sort_keys=True, default=str)
