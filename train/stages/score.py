"""Scoring: warm up, predict every training sample, fit the mixture of gaps, assess usability, store the results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from curate import config
from curate.datasets import find as find_dataset
from curate.datasets import own_name
from curate.datasets.base import Dataset
from curate.errors import CurateError, counted
from curate.scores.gap import mean_gap
from curate.scores.scoring import fit_round, versions
from curate.torch.names import check_names
from curate.train.loop import checkpoint
from curate.train.loop.engine import predict
from curate.train.methods.method import Context
from curate.train.methods.optim import OptimConfig
from curate.train.models.external.description import Description
from curate.train.models.external.names import assign
from curate.train.models.model import ModelConfig
from curate.types import Predictions, Run

from .appearance import is_deep
from .assess import Measured, assess, labels_unjudged, measure
from .encoders import fitted, kept, known_encoders, tried
from .folds import USUAL, assign_folds, is_cheap, known_by_heart, out_of_fold
from .recording import announce, in_sample, partial_predictions, recorded, train_to, write_round
from .same import announce_begun
from .session import Session
from .settings import ScoreConfig, Settings, configure, left_open, long_enough
from .setup import LAST, Job, prepare

WEIGHTS = "weights of "
"""How the note of a run begins that scored with a checkpoint."""
UNJUDGED = "validation samples leave open which labels are wrong"
"""Why samples are scored out of fold that are not memorised."""


def score(
    session: Session,
    name: str,
    root: Path | None,
    layers: Sequence[config.Layer],
    seed: int,
    weights: Path | None = None,
    change: Callable[[Dataset], Dataset] | None = None,
) -> Run:
    """Warm up by Eq. 8 (or load a checkpoint), predict every training sample, fit the mixture, store the results.

    Args:
        layers: settings in rising precedence, on top of the data set's own.
        weights: a checkpoint to score with instead of a warm-up.
        change: what is done to the data set before it is scored, e.g. faults planted; the run cannot be resumed then.
    """
    run, dataset = plan_score(session, name, root, layers, seed, weights, change)
    announce_begun(session, run)
    run = tried(session, run, Settings.of(run).model, dataset.specs, fresh=weights is None)
    return _score(session, run, dataset, weights, new=True)


def plan_score(
    session: Session,
    name: str,
    root: Path | None,
    layers: Sequence[config.Layer],
    seed: int,
    weights: Path | None = None,
    change: Callable[[Dataset], Dataset] | None = None,
) -> tuple[Run, Dataset]:
    """The run that `score` would make, with settings resolved but not begun, and its data set."""
    kind = find_dataset(name)
    layers = [*layers, own_name(name)]
    schemas = {"data": kind.Options, "model": ModelConfig, "optim": OptimConfig, "score": ScoreConfig}
    configs = configure(kind, schemas, *layers)
    folds = configs["score"].folds
    content = _read_weights(weights, configs["score"]) if weights else None  # before anything is decoded
    known = known_encoders(configs["model"].encoder, weights)
    dataset = kind(root.resolve() if root else None, configs["data"])
    check_names(dataset.modalities)  # before anything is decoded
    if content is not None:
        checkpoint.check(content, dataset.modalities, dataset.classes, configs["model"].fusion, str(weights))
    named: dict[str, Description] = {}
    if known:
        found = assign(configs["model"].encoder, dataset.specs, known)
        dataset, named = fitted(dataset, found, layers, lambda layer: configure(kind, schemas, layer, *layers)["data"])
    configs["data"] = dataset.options  # the options that it measured are part of the run
    dataset = change(dataset) if change else dataset
    for note in dataset.notes:
        session.message(f"note: {note}")
    if weights is None and left_open(kind, layers, "score.epochs", "optim.lr", "optim.optimizer"):
        configs["score"] = _warmed_enough(session, dataset, configs["score"], configs["optim"])
    run_id = session.store.runs.new_id(f"score-{dataset.name}", session.runs_folder)
    run = Run(
        run_id=run_id,
        kind="score",
        method="warmup",
        dataset=dataset.name,
        data_id=dataset.data_id(),
        root=str(dataset.root) if dataset.root else None,
        parent=None,
        seed=seed,
        modalities=dataset.modalities,
        classes=dataset.classes,
        gap_kind=configs["score"].gap,
        family=configs["score"].family,
        config={**config.as_layer(configs), **kept(named)},
        versions=versions(),
        folder=str(session.runs_folder / run_id),
        note=f"{WEIGHTS}{weights.name}" if weights else f"out of fold, {folds} folds" if folds else None,
    )
    return run, dataset


def _read_weights(weights: Path, score: ScoreConfig) -> Mapping[str, Any]:
    """The content of a checkpoint that is scored with.

    Raises:
        CurateError: it cannot be read, or does not go with the settings.
    """
    if score.folds:
        raise CurateError(
            f"out of fold, {score.folds} new models are trained; {weights.name} has seen every sample",
            "leave the checkpoint out, or --folds (score.folds=0)",
        )
    if score.average == "warmup":
        raise CurateError(
            "score.average=warmup has nothing to average over with --checkpoint: there is no warm-up",
            "leave one of them out",
        )
    if not weights.is_file():
        folder = weights if weights.is_dir() else weights.parent
        there = [str(path) for path in sorted(folder.glob("*.pt"))]
        raise CurateError(
            f"{weights} is a folder, not a checkpoint" if weights.is_dir() else f"no checkpoint at {weights}",
            f"there is {' and '.join(there)}"
            if there
            else f"a run's weights are {LAST} in its folder, which is beside the table: curate.runs/RUN/{LAST}",
        )
    return checkpoint.read(weights, torch.device("cpu"))


def _warmed_enough(session: Session, dataset: Dataset, score: ScoreConfig, optim: OptimConfig) -> ScoreConfig:
    """The settings with a warm-up of enough epochs; a message says so if it is longer than the usual one."""
    count = sum(s.split == "train" and bool(s.label) for s in dataset.samples)
    epochs = long_enough(score.epochs, count, optim.batch_size * optim.accumulate)
    if epochs > score.epochs:
        session.message(
            f"note: {counted(count, 'training sample is', 'training samples are')} "
            f"few: {epochs} epochs were chosen; another by --epochs"
        )
    return replace(score, epochs=epochs)


def resume_score(session: Session, run: Run) -> Run:
    """Continue an interrupted scoring; the result equals that of an unbroken one.

    Raises:
        CurateError: it was to score with a checkpoint, of which it has no copy yet.
    """
    weights = session.folder(run) / LAST if (run.note or "").startswith(WEIGHTS) else None
    if weights is not None and not weights.exists():
        raise CurateError(
            f"{run.run_id} ended before it had its weights, {(run.note or '').removeprefix(WEIGHTS)}",
            "score anew with --checkpoint",
        )
    return _score(session, run, weights=weights)


def _score(
    session: Session, planned: Run, dataset: Dataset | None = None, weights: Path | None = None, new: bool = False
) -> Run:
    """All steps of a sample's scores: from its label and media to probabilities, gaps, posteriors and the table."""
    with session.working(planned, new) as run:
        job = prepare(session, run, dataset, fresh=weights is None)
        folds = assign_folds(job.dataset, job.data.fit, run.folds, run.seed) if run.folds else None
        if weights is None:
            _resume(job)
        with recorded(session, run):
            _warm_up(job, weights)
            decided, measured = run, None
            if folds is None:
                predictions = _predict(job, trained=weights is None)
                decided, folds, measured = _decide_folds(job, predictions)
            if folds is not None:
                predictions = out_of_fold(job, folds)
            config = job.settings.score
            averaged = mean_gap(config.gap, job.store.dynamics.read(run.run_id)) if config.average == "warmup" else None
            write_round(
                job.store, decided, 0, fit_round(predictions, config, averaged), predictions, partial_predictions(job)
            )
            assess(replace(job, run=decided), measured)
            job.store.runs.finish(run.run_id, "done", checkpoint.sha256(job.folder / LAST))
        return job.store.runs.find(run.run_id)


def _resume(job: Job) -> None:
    """Take the warm-up up where it stands, and say what is left of it."""
    config, data = job.settings.score, job.data
    if (job.folder / LAST).exists():
        job.load(job.folder / LAST)
    predicted = len(data.val) + (len(data.fit) if config.dynamics else 0)
    announce(job, (config.epochs - job.trainer.epoch) * config.warmups, predicted)


def _warm_up(job: Job, weights: Path | None) -> None:
    """Train the warm-up from its last finished epoch, or load the given weights instead."""
    config = job.settings.score
    if weights is not None:
        job.load_weights(weights)
        checkpoint.save(job.trainer, job.folder / LAST)
        return
    own = config.dynamics and not config.folds
    train_to(job, config.epochs, Context(), data=job.data, dynamics=own)


def _predict(job: Job, trained: bool) -> Predictions:
    """The model's predictions for every training sample; `trained` is False if the weights come from elsewhere."""
    job.progress("scoring", 0, 1, "scoring")
    predictions = predict(job.trainer, job.data, job.data.fit)
    job.progress("scoring", 1, 1, "scoring")
    return in_sample(predictions) if trained else predictions


def _decide_folds(job: Job, predictions: Predictions) -> tuple[Run, NDArray[np.int64] | None, Measured | None]:
    """Choose folds if the training samples are memorised, or their labels could not be judged otherwise, and folds are
    cheap; the decision is stored with the run.

    Args:
        predictions: for the training samples; if the model was not trained on them, or if folds were asked for or
            forbidden, nothing is decided.

    Returns:
        The run, its folds or None, and the usability without folds, where that had to be measured and holds.
    """
    run, data, epochs = job.run, job.data, job.settings.score.epochs
    if predictions.in_sample is None or job.settings.score.folds is not None:
        return run, None, None
    deep = [m for m in run.modalities if is_deep(job.trainer.model.encoders.get_submodule(m))]
    why = known_by_heart(predictions, predict(job.trainer, data, data.val), deep)
    if not is_cheap(job.trainer, data.fit, data, epochs):
        return run, None, None
    measured = None if why else measure(job)
    if not why and (measured is None or not labels_unjudged(job, measured)):
        return run, None, measured
    reason = f"memorised (right on training and on validation samples: {why})" if why else UNJUDGED
    try:
        folds = assign_folds(job.dataset, data.fit, USUAL, run.seed)
    except CurateError as error:  # too few samples of a class, or too few groups
        job.session.message(f"{reason}, but not to be scored out of fold: {error.message}")
        return run, None, measured
    decided = {"folds": USUAL, "by_heart": why}
    job.store.runs.decide(run.run_id, decided)
    job.session.message(f"{reason}: scored out of fold, in {USUAL} folds; --set score.folds=0 leaves that out")
    return replace(run, config={**run.config, "decided": decided}), folds, None
