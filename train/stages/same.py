"""Runs of the table that equal a planned one: what there is already of it, done or not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from curate.types import Run

from .session import Session


def is_done(run: Run | None) -> bool:
    """Whether there is a run, and it is done."""
    return run is not None and run.status == "done"


def same_run(session: Session, wanted: Run) -> Run | None:
    """The run in the table that equals a planned one: a finished one if there is one, else the newest."""
    if not session.store.path.exists():
        return None
    where = {"kind": wanted.kind, "method": wanted.method, "data_id": wanted.data_id, "parent": wanted.parent}
    alike = [
        run
        for run in session.store.runs.all(seed=wanted.seed, **where)
        if run.note == wanted.note and _text({k: _settings(run, k) for k in wanted.config}) == _text(wanted.config)
    ]
    return next((run for run in alike if run.status == "done"), next(iter(alike), None))


def announce_begun(session: Session, wanted: Run) -> None:
    """Say which run was begun with the same data, settings and seed as one that begins now, and how to go on with it.

    Nothing is said if one of them is done: then the earlier one is of no use any more.
    """
    found = same_run(session, wanted)
    if found is None or is_done(found):
        return
    said = f"note: {found.run_id} has the same data, settings and seed and is "
    if found.status == "running":
        session.message(f"{said}running in another process; {wanted.run_id} begins beside it")
    else:
        session.message(
            f"{said}not done ({found.status}); {wanted.run_id} begins anew. To go on with the other one instead: "
            f"`curate {found.kind} --resume --run {found.run_id}`"
        )


def _settings(run: Run, section: str) -> Any:
    """A section of a run's configuration; runs of an older curate know no name of their data."""
    found = run.config.get(section)
    return {"name": "", **found} if section == "data" and found is not None else found


def _text(config: Mapping[str, object]) -> str:
    return json.dumps(config, sort_keys=True, default=str)
