"""The metrics of a finished run on a split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curate.errors import counted
from curate.files.npz import write_npz
from curate.report.maps import feature_map, feature_maps, write_drawing
from curate.scores import metrics
from curate.train.loop.engine import encode, predict
from curate.types import Floats, Predictions, Run

from .session import Session
from .setup import BEST, LAST, Job, prepare
from .weighting import usability_of, weighted_metrics

MOST = 3000
"""Samples in a map of features: t-SNE of more takes minutes, and shows no more."""


def evaluate(session: Session, run: Run, split: str) -> Mapping[str, Mapping[str, float]]:
    """{modality or "fused": {metric: value}} of a run's best (or warm) checkpoint on a split."""
    return metrics.measure(predicted(session, run, split))


def evaluate_weighted(session: Session, run: Run, split: str) -> Mapping[str, Mapping[str, float]]:
    """{weighting of the fusion: {metric: value}} on a split: none, by usability, and its controls.

    Usability is assessed with the warm model of the scored run, whichever run is evaluated.

    Raises:
        CurateError: usability was not assessed there, or the run's fusion is not a sum of unimodal logits.
    """
    scored = run if run.parent is None else session.store.runs.find(run.parent)
    weights = usability_of(session, scored, split)
    return weighted_metrics(predicted(session, run, split), weights, run.seed)


def write_features(session: Session, run: Run, split: str, folder: Path) -> list[Path]:
    """Write what the encoders make of a split's samples, and a map of it: `features.npz` and figures in `folder`.

    The archive has `sample_id` (N,) and an array (N, D) per modality, as `score --embeddings` reads it. The map is
    t-SNE of at most `MOST` samples a modality, drawn by the run's seed: by class, and by the gap's posterior where the
    split was scored.

    Raises:
        CurateError: a file cannot be written.
    """
    job = loaded(session, run)
    samples = job.samples(split)
    found = encode(job.trainer, job.data, samples)
    folder.mkdir(parents=True, exist_ok=True)
    write_npz(folder / "features.npz", {"sample_id": samples.sample_ids, **found})
    written = [folder / "features.npz"]
    known = _imbalance(session, run, samples.sample_ids)
    chosen = np.sort(np.random.default_rng(run.seed).permutation(len(samples))[:MOST])
    classes = np.array(job.dataset.classes)[samples.labels[chosen]]
    for modality, features in found.items():
        places = feature_map(features[chosen], run.seed)
        drawn = feature_maps(samples.sample_ids[chosen], places, classes, known[chosen], modality)
        written += write_drawing(drawn, folder / f"map-{modality}")
    return written


def _imbalance(session: Session, run: Run, sample_ids: NDArray[np.str_]) -> Floats:
    """(N,) p_imbalanced of the scored run, the largest over pairs; NaN where a sample was not scored."""
    scored = session.store.rounds.read(run.parent or run.run_id)
    known = dict(zip(scored.sample_ids.tolist(), (1 - scored.balanced).tolist(), strict=True))
    return np.array([known.get(i, np.nan) for i in sample_ids.tolist()])


def predicted(session: Session, run: Run, split: str) -> Predictions:
    """The predictions of a run's best (or warm) checkpoint for a split; a message says of how many samples."""
    job = loaded(session, run)
    samples = job.samples(split)
    found, every = len(samples), sum(s.split == split for s in job.dataset.samples)
    unlabelled = min(every - found, sum(s.split == split and not s.label for s in job.dataset.samples))
    reasons = {"without a label": unlabelled, "with a medium that is not usable": every - found - unlabelled}
    why = ", ".join(f"{count} {what}" for what, count in reasons.items() if count)
    left_out = (
        f" of {every}; {every - found} are left out, {why}: "
        f"`curate sql \"SELECT sample_id, status, reason FROM samples WHERE split = '{split}' AND status <> 'ok'\"`"
    )
    folded = split == "train" and (run if run.parent is None else session.store.runs.find(run.parent)).folds
    seen = ", which this model was trained on; their scores in the table are by others, out of fold" if folded else ""
    session.message(f"{split}: {counted(found, 'sample')}{seen}{left_out if found < every else ''}")
    return predict(job.trainer, job.data, samples)


def loaded(session: Session, run: Run) -> Job:
    """A run with the weights of its best (or warm) checkpoint."""
    job = prepare(session, run)
    job.load(job.folder / (BEST if run.kind == "train" else LAST))
    return job
