"""Records a run while it is worked on: its row and how it ended, its epochs, and its rounds."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from curate.report.pictures import pictures
from curate.scores.usability import weighted_fusion
from curate.store.store import Store
from curate.train.data.samples import RunData
from curate.train.loop import checkpoint
from curate.train.loop.engine import fit, predict
from curate.train.loop.estimate import estimate
from curate.train.methods.method import Context
from curate.train.models.encoders import ResNet18, body_of
from curate.types import FUSED, Predictions, Round, Run

from .session import Session
from .setup import BEST, LAST, Job, partial_samples

LONG = 20.0
"""Seconds from which on a training is announced."""
TOO_LONG = 600.0
"""Seconds from which on a first scoring without a GPU is offered a smaller network."""


@contextmanager
def recorded(session: Session, run: Run) -> Iterator[None]:
    """Store the run's row, and how the run ended in every case; tell a tracker of it, if there is one."""
    store, tracking = session.store, session.tracking
    store.runs.start(run)
    tracking.begin(run, session.folder(run))
    try:
        yield
    except BaseException as error:
        store.runs.finish(run.run_id, "interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
        tracking.end(None)
        raise
    scored = run.run_id if run.kind == "score" else run.parent
    tracking.end(lambda: pictures(store, str(scored), session.cache_folder))


def train_to(
    job: Job, epochs: int, context: Context, *, data: RunData, keep_best: bool = False, dynamics: bool = False
) -> None:
    """Train up to `epochs` finished epochs; each is in the table and in a checkpoint before the next begins.

    Args:
        data: what is trained on, with the weights of the round; `job.data` if there are none.
        keep_best: keep a second checkpoint, of the epoch that is best on validation.
        dynamics: store the model's predictions for every training sample after each epoch.
    """
    trainer, run_id = job.trainer, job.run.run_id
    started = time.perf_counter()
    job.progress("", trainer.epoch, epochs)
    for values in fit(trainer, data, epochs, context):
        seconds = time.perf_counter() - started
        values = [*values, ("train", "all", "seconds", seconds)]
        job.store.epochs.write(run_id, trainer.epoch, values)
        job.session.tracking.epoch(trainer.epoch, values)
        if dynamics:
            job.store.dynamics.write(run_id, trainer.epoch, predict(trainer, data, data.fit))
        if keep_best and trainer.best_epoch == trainer.epoch:
            checkpoint.save(trainer, job.folder / BEST)
        checkpoint.save(trainer, job.folder / LAST)
        shown = next(v for s, m, k, v in values if (s, m, k) == ("val", FUSED, "accuracy"))
        job.progress("", trainer.epoch, epochs, f"val {shown:.1%}")
        started = time.perf_counter()


def announce(job: Job, epochs: int, predicted: int) -> None:
    """Say beforehand how long a training of so many further epochs will take, if long, and refuse what cannot fit.

    Args:
        predicted: samples predicted in each epoch.

    Raises:
        CurateError: a step needs more memory than there is.
    """
    if epochs <= 0:
        return
    found, trained = estimate(job.trainer, job.data), len(job.data.fit)
    seconds = found.seconds(trained, predicted) * epochs
    if seconds >= LONG:
        job.session.message(f"{job.run.run_id}: {found.describe(trained, predicted, epochs)}")
    large = any(isinstance(body_of(encoder), ResNet18) for encoder in job.trainer.model.encoders.children())
    if seconds >= TOO_LONG and large and job.run.kind == "score" and job.trainer.device.type == "cpu":
        job.session.message("a ResNet-18 is slow without a GPU; for a first look: --set model.encoder=small_cnn")


def write_round(
    store: Store,
    run: Run,
    number: int,
    found: Round,
    predictions: Predictions | None,
    partial: Sequence[Predictions] = (),
) -> None:
    """Write a round of a run to the table.

    Args:
        predictions: None if those of another run were fitted.
        partial: of samples that lack a modality, by those they have.
    """
    kind, posteriors = run.gap_kind or "prob", found.p_balanced
    store.rounds.write(
        run.run_id, number, predictions, found.gaps, found.fits, posteriors, kind, found.p_ahead, others=partial
    )


def in_sample(predictions: Predictions) -> Predictions:
    """Mark predictions as made by a model that was trained on all of their samples."""
    return replace(predictions, in_sample=np.ones(len(predictions.labels), dtype=np.bool_))


def partial_predictions(job: Job) -> list[Predictions]:
    """Predictions of training samples that lack a modality, by those they have; they have neither gap nor posterior.

    Their fusion is the normalised product of the modalities that are there. No model was trained on them.
    """
    found = []
    for modalities, samples in partial_samples(job.dataset, job.cache):
        given = predict(job.trainer, job.data, samples)
        probs = {m: given.probs[m] for m in modalities}
        fused = weighted_fusion(probs, np.ones((len(samples), len(modalities))))
        unseen = np.zeros(len(samples), dtype=np.bool_)
        ids, labels = given.sample_ids, given.labels
        found.append(Predictions(ids, labels, given.classes, modalities, {**probs, FUSED: fused}, unseen))
    return found
