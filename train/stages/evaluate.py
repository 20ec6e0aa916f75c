"""The metrics of a finished run on a split."""

from __future__ import annotations

from collections.abc import Mapping

from curate.scores import metrics
from curate.train.loop.engine import predict
from curate.types import Predictions, Run

from .session import Session
from .setup import BEST, LAST, prepare
from .weighting import usability_of, weighted_metrics


def evaluate(session: Session, run: Run, split: str) -> Mapping[str, Mapping[str, float]]:
    """{modality or "fused": {metric: value}} of a run's best (or warm) checkpoint on a split."""
    return metrics.measure(_predicted(session, run, split))


def evaluate_weighted(session: Session, run: Run, split: str) -> Mapping[str, Mapping[str, float]]:
    """{weighting of the fusion: {metric: value}} on a split: none, by usability, and its controls.

    Usability is assessed with the warm model of the scored run, whichever run is evaluated.

    Raises:
        CurateError: usability was not assessed there, or the run's fusion is not a sum of unimodal logits.
    """
    scored = run if run.parent is None else session.store.runs.find(run.parent)
    weights = usability_of(session, scored, split)
    return weighted_metrics(_predicted(session, run, split), weights, run.seed)


def _predicted(session: Session, run: Run, split: str) -> Predictions:
    """The predictions of a run's best (or warm) checkpoint for a split."""
    job = prepare(session, run)
    job.load(job.folder / (BEST if run.kind == "train" else LAST))
    return predict(job.trainer, job.data, job.samples(split))
