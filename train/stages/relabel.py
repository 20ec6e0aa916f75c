"""Trains with other labels than the data's: training samples alone, and what was changed is stored with the run."""

from __future__ import annotations

from typing import Any

import numpy as np

from curate.advice.relabelling import Corrections, find_corrections
from curate.train.data.samples import Samples
from curate.types import Run

from .session import Session
from .setup import LAST, Job

RELABELLED = "relabelled"
"""Section of a run's settings that says how many labels it changes, and which by a digest."""


def planned_changes(session: Session, parent: Run, labels: Any, seed: int) -> dict[str, dict[str, Any]]:
    """The section of a planned run's settings; {} where labels are as given.

    Equal settings are then equal changes: a comparison does not take a run for that of today's marks which was trained
    with those of yesterday.
    """
    if labels == "given" or not session.store.path.exists():  # the scored run is planned only: its cost is asked
        return {}
    found = find_corrections(session.store, parent, labels, seed)
    return {RELABELLED: {"samples": len(found.sample_ids), "digest": found.digest}}


def relabelled(job: Job, parent: Run, samples: Samples) -> Samples:
    """Training samples with the labels that the run trains with, which are stored before its first epoch.

    A run that goes on after an interruption keeps the labels it began with, whatever was marked since.
    """
    store, run, labels = job.store, job.run, job.settings.train.labels
    if labels == "given":
        return samples
    if not (job.folder / LAST).exists():
        found = find_corrections(store, parent, labels, run.seed)
        store.relabelled.write(run.run_id, found.sample_ids, found.given, found.used, found.why)
        job.session.message(f"{run.run_id}: {_announced(found, run)}")
    index = {c: i for i, c in enumerate(run.classes)}
    used = {i: index[c] for i, c in store.relabelled.read(run.run_id).items()}
    given = zip(samples.sample_ids.tolist(), samples.labels.tolist(), strict=True)
    return samples.relabelled(np.array([used.get(i, label) for i, label in given], dtype=np.int64))


def _announced(found: Corrections, run: Run) -> str:
    if not found.sample_ids:
        return f"{found.describe()}; this is as with train.labels=given"
    sql = f"SELECT sample_id, given, used, why FROM relabelled WHERE run_id = '{run.run_id}'"
    return f'{found.describe()}; see `curate sql "{sql}"`'
