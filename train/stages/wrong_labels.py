"""How many of the training labels are wrong, as far as a scored run shows it."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from curate.advice.held_out import read_held_out
from curate.errors import CurateError
from curate.scores.two_groups import CLAIMED
from curate.types import Run

from .session import Session
from .setup import Job


def wrong_share(session: Session, parent: Run, changed: Collection[str] = ()) -> tuple[float, str]:
    """Share of the training labels that a scored run shows to be wrong, 0..1, and how, in words; '' = nothing is known.

    It is the mean of `p_mislabelled`. Labels of samples that the model had not seen, validation samples or out of fold
    the training ones, may show where it denies them most surely that there are more, see `bounds.wrong_bounds`: then it
    is this bound, and not more than the share of the training labels that were denied over the warm-up, less the share
    that is right by now.

    Args:
        changed: samples whose label is right by now.
    """
    known = session.store.relabelled.known(parent)
    if not known.assessed.any():
        return 0.0, ""
    if np.isnan(known.p_mislabelled).all():
        return 0.0, f"labels were not judged in {parent.run_id}"
    claimed = np.nan_to_num(known.p_mislabelled)
    mended = np.isin(known.sample_ids, list(changed))
    expected = float(np.where(mended, 0.0, claimed).mean())
    held, most = read_held_out(session.store, parent), float((known.contradiction > CLAIMED).mean())
    bound = min(held.wrong, most) - float(mended.mean()) if held else 0.0
    if bound > expected:
        return bound, (
            "labels of samples that the model had not seen, those that it denies most surely, show that some are "
            f"wrong, though not which: at least {bound:.1%}"
        )
    if not expected:
        return 0.0, f"no wrong labels are claimed in {parent.run_id}"
    return expected, f"{expected:.1%} of the labels are expected to be wrong"


def announced_share(job: Job, parent: Run) -> float:
    """The `wrong_share` of a training, which is told.

    Raises:
        CurateError: the scored run was not assessed.
    """
    share, how = wrong_share(job.session, parent, job.store.relabelled.read(job.run.run_id))
    if not how:
        raise CurateError(
            f"it is not known which labels of {parent.run_id} are wrong",
            "score again, without score.dynamics=false; or say the share of each batch to leave out, e.g. "
            "--set method.share=0.1",
        )
    what = "so many of each batch are left out" if share else "this is the warm-up continued"
    job.session.message(f"{job.run.run_id}: {how}: {what}")
    return share
