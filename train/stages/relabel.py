"""Trains with other labels than the data's: training samples alone, and what was changed is stored with the run."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from curate.advice.relabelling import Corrections, find_corrections
from curate.errors import CurateError
from curate.scores.labels import wrong_at_least
from curate.train.data.samples import Samples
from curate.types import FUSED, Run

from .evaluate import predicted
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


def wrong_share(session: Session, parent: Run, changed: Collection[str] = ()) -> tuple[float, str]:
    """Share of the training labels that a scored run expects to be wrong, 0..1, and how that is known, in words.

    It is the mean of `p_mislabelled`. Where labels were judged and none is claimed, the warm model may deny labels of
    the validation samples that it is surest of: then it is `labels.wrong_at_least` of these, and not more than the
    share of the training labels that were denied over the warm-up.

    Args:
        changed: samples whose label is right by now.

    Raises:
        CurateError: the scored run was not assessed.
    """
    known = session.store.relabelled.known(parent)
    if not known.assessed.any():
        raise CurateError(
            f"it is not known which labels of {parent.run_id} are wrong",
            "score again, without score.dynamics=false; or say the share of each batch to leave out, e.g. "
            "--set method.share=0.1",
        )
    claimed = np.nan_to_num(known.p_mislabelled)
    share, how = 0.0, f"no wrong labels are claimed in {parent.run_id}"
    if np.isnan(known.p_mislabelled).all():
        how = f"labels were not judged in {parent.run_id}"
    elif claimed.any():
        share = float(np.where(np.isin(known.sample_ids, list(changed)), 0.0, claimed).mean())
        how = f"{share:.1%} of the labels are expected to be wrong" if share else how
    elif most := _denied(session, parent):
        said = predicted(session, parent, "val")
        probs = said.probs[FUSED]
        share = min(wrong_at_least(probs.max(axis=1), probs.argmax(axis=1) != said.labels), most)
        if share:
            how = (
                "the validation labels that are denied most surely show that some are wrong, though not which: at "
                f"least {share:.1%}"
            )
    return share, how


def _denied(session: Session, parent: Run) -> float:
    """Share of the training labels that the fusion denied over the warm-up."""
    sql = "SELECT avg((contradiction_fused > 0.5)::INTEGER) FROM usability WHERE run_id = ?"
    return float(session.store.rows(sql, [parent.run_id])[0][0] or 0.0)


def announced_share(job: Job, parent: Run) -> float:
    """The `wrong_share` of a training, which is told."""
    share, how = wrong_share(job.session, parent, job.store.relabelled.read(job.run.run_id))
    what = "so many of each batch are left out" if share else "this is the warm-up continued"
    job.session.message(f"{job.run.run_id}: {how}: {what}")
    return share


def _announced(found: Corrections, run: Run) -> str:
    if not found.sample_ids:
        return f"{found.describe()}; this is as with train.labels=given"
    sql = f"SELECT sample_id, given, used, why FROM relabelled WHERE run_id = '{run.run_id}'"
    return f'{found.describe()}; see `curate sql "{sql}"`'
