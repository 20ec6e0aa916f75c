"""Trains one method from a scored run, by rounds; validation chooses the epoch, the test split is measured once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from curate import config
from curate.datasets import find as find_dataset
from curate.errors import CurateError, EmptySelectionError, counted
from curate.scores import metrics
from curate.scores.gap import describe
from curate.scores.scoring import versions
from curate.scores.selection import LOWER, random_subset, select_above
from curate.train.data.samples import RunData, Samples
from curate.train.loop import checkpoint
from curate.train.loop.engine import predict
from curate.train.methods import catalog
from curate.train.methods.method import Context, Method
from curate.train.methods.optim import OptimConfig
from curate.train.models.model import ModelConfig
from curate.types import Run

from .assess import judged
from .encoders import inherited, tried
from .recording import announce, recorded, train_to
from .relabel import planned_changes, relabelled
from .rounds import context_of, round_of
from .same import announce_begun
from .session import Session
from .settings import Settings, TrainConfig, configure
from .setup import BEST, LAST, Job, is_tested, prepare, reopen, usable_of
from .wrong_labels import announced_share

LOG = logging.getLogger(__name__)
CONTROLS = {"random": "random subset", "shuffled": "shuffled usability"}
"""{setting of `control`: note of a run that is a method's own control}."""
NOTES = {"marked": "marked labels", "corrected": "corrected labels", "random": "labels changed at random"}
"""{setting of `train.labels`: note of a run that changes labels}."""


def train(session: Session, parent: Run, name: str, layers: Sequence[config.Layer], seed: int) -> Run:
    """Train one method from a scored run and measure the test split, if there is one, once, at the best epoch on
    validation.

    Args:
        parent: the scored run, which gives the data, the warm checkpoint and the posteriors.
        layers: settings in rising precedence, on top of the parent's.
    """
    run = plan_train(session, parent, name, layers, seed)
    announce_begun(session, run)
    settings = Settings.of(run)
    if settings.train.start == "scratch":
        run = tried(session, run, settings.model, reopen(parent).specs)
    return _train(session, run, parent, new=True)


def plan_train(session: Session, parent: Run, name: str, layers: Sequence[config.Layer], seed: int) -> Run:
    """The run that `train` would make, with settings resolved but not begun."""
    kind, method = find_dataset(parent.dataset), catalog.find(name)
    schemas = {"model": ModelConfig, "optim": OptimConfig, "train": TrainConfig, "method": method.Config}
    own = {k: parent.config[k] for k in ("model", "optim")}
    if method.fusion is not None:
        own["model"] = {**own["model"], "fusion": method.fusion}
    configs = configure(kind, schemas, own, *layers)
    if method.fusion not in (None, wanted := configs["model"].fusion):
        raise CurateError(
            f"method {name} is training with model.fusion={method.fusion}, the settings say {wanted}",
            f"use --method joint --set model.fusion={wanted}, or --set model.fusion={method.fusion}",
        )
    chosen, named = configs["method"], inherited(parent, configs["model"], lambda: reopen(parent).specs)
    _refuse_online(chosen, parent)
    run_id = session.store.runs.new_id(f"{name}-{parent.dataset}", session.runs_folder)
    start = method.start if configs["train"].start == "auto" else configs["train"].start
    configs["train"] = replace(configs["train"], start=start)
    changes = planned_changes(session, parent, configs["train"].labels, seed)
    return replace(
        parent,
        run_id=run_id,
        kind="train",
        method=name,
        parent=parent.run_id,
        seed=seed,
        versions=versions(),
        gap_kind=_own(getattr(chosen, "gap", "scored"), parent.gap_kind),
        family=_own(getattr(chosen, "family", "scored"), parent.family),
        config={**{k: parent.config[k] for k in ("data", "score")}, **config.as_layer(configs), **named, **changes},
        folder=str(session.runs_folder / run_id),
        checkpoint_sha256=None,
        note=CONTROLS.get(getattr(chosen, "control", "none"), NOTES.get(configs["train"].labels)),
    )


def _refuse_online(chosen: object, parent: Run) -> None:
    """Refuse posteriors from the current gap if the mixture was fitted to something that cannot be computed from it."""
    if getattr(chosen, "posteriors", "fixed") != "online":
        return
    kind = _own(getattr(chosen, "gap", "scored"), parent.gap_kind)
    average = parent.config["score"].get("average", "last")
    if kind not in ("prob", "kl") or (average == "warmup" and kind == parent.gap_kind):
        what = describe(kind or "prob", "signed", average)
        raise CurateError(
            f"method.posteriors=online takes w0 from the current gap, but {parent.run_id} was fitted to: {what}",
            "leave it out: the posteriors of the table are then used for the whole round",
        )


def _own(choice: str, scored: str | None) -> str | None:
    return scored if choice == "scored" else choice


def resume_train(session: Session, run: Run) -> Run:
    """Continue an interrupted training; the result equals that of an unbroken one."""
    return _train(session, run, session.store.runs.find(run.parent))


def _train(session: Session, planned: Run, parent: Run, new: bool = False) -> Run:
    """All steps of a training, which bring a sample's posterior from the table to its weight in the loss."""
    with session.working(planned, new) as run:
        job = prepare(session, run, reopen(parent), fresh=True)
        job = replace(job, data=_training_data(job, parent))
        tested = is_tested(job.dataset) and bool(usable_of(job.dataset, job.cache, "test"))  # an error comes at once
        method, trainer = job.trainer.method, job.trainer
        total, per_round = _schedule(job.settings, method)
        _warn_of_idle(job, total)
        if (job.folder / LAST).exists():
            job.load(job.folder / LAST)
        announce(job, total - trainer.epoch, len(job.data.val))
        with recorded(session, run):
            job = replace(job, data=job.data.with_fit(relabelled(job, parent, job.data.fit)))
            wrong = announced_share(job, parent) if method.uses_wrong_share else 0.0
            for number in range(method.rounds):
                if trainer.epoch >= (number + 1) * per_round:
                    continue
                end = min((number + 1) * per_round, total)
                span = (number * per_round, end) if job.settings.train.reset_optimizer == "per_round" else None
                if span and trainer.epoch == span[0] and number:
                    trainer.reset_optimizer()
                context, weighted = Context(), job.data
                if method.uses_posteriors:
                    found = round_of(job, parent, number)
                    context = context_of(found, run.gap_kind or "prob")
                    weighted = job.data.with_fit(job.data.fit.weighted(found.p_balanced))
                context = replace(context, wrong_share=wrong, epochs=total, span=span)
                train_to(job, end, context, data=weighted, keep_best=True)
            if method.rounds > 1:
                round_of(job, parent, method.rounds)
            if tested:
                _measure_test(job)
            job.store.runs.finish(run.run_id, "done", checkpoint.sha256(job.folder / BEST))
        return job.store.runs.find(run.run_id)


def _training_data(job: Job, parent: Run) -> RunData:
    """The samples that a method trains on, with their usability if the method uses it."""
    method = job.trainer.method
    data = job.data.with_fit(_chosen(job, parent, job.data.fit))
    if method.uses_usability:
        data = data.with_fit(judged(job.session, parent, data.fit, method.config.control, job.run.seed))
    return data


def _measure_test(job: Job) -> None:
    """Measure the test split, once, with the best epoch on validation."""
    job.load(job.folder / BEST)
    tested = metrics.measure(predict(job.trainer, job.data, job.samples("test")))
    values = [("test", m, k, v) for m, measured in tested.items() for k, v in measured.items()]
    job.store.epochs.write(job.run.run_id, job.trainer.best_epoch, values)
    job.session.tracking.epoch(job.trainer.best_epoch, values)


def scheduled_epochs(run: Run) -> int:
    """Epochs that a training takes in all.

    Raises:
        CurateError: they do not divide into the method's rounds.
    """
    settings, method = Settings.of(run), catalog.find(run.method)
    return _schedule(settings, method(settings.method))[0]


def _schedule(settings: Settings, method: Method) -> tuple[int, int]:
    """Total epochs, and epochs per round."""
    total = settings.train.epochs
    if settings.train.start == "scratch":
        total += settings.score.epochs
    if wanted := getattr(method.config, "epochs_per_round", 0):
        total = wanted * method.rounds
    if method.rounds < 1 or total < 1 or total % method.rounds:
        raise CurateError(
            f"{counted(total, 'epoch does', 'epochs do')} not divide into {method.rounds} rounds",
            "set train.epochs to a multiple of method.rounds, or method.epochs_per_round; a start from scratch adds "
            "the warm-up's epochs",
        )
    return total, total // method.rounds


def _warn_of_idle(job: Job, total: int) -> None:
    """Warn of parts of a method that act in no epoch of the run."""
    for part, window in job.trainer.method.windows(total).items():
        if not range(window.start, min(window.stop, total), window.step):
            LOG.warning(
                "warning: %s: %s acts in none of the %d epochs; see its window in `curate methods %s`",
                job.run.run_id,
                part,
                total,
                job.run.method,
            )


def _chosen(job: Job, parent: Run, samples: Samples) -> Samples:
    """The samples that a method trains on: all, a selection, or a random control of the same size."""
    method, run, store = job.trainer.method, job.run, job.store
    if not method.uses_selection:
        return samples
    c = method.config
    if c.selection:
        selection = store.selections.find(c.selection)
        if store.runs.find(selection.run_id).data_id != run.data_id:
            raise CurateError(
                f"selection {c.selection!r} is of {selection.run_id}, another data set",
                f"select from {parent.run_id}: `curate select --run {parent.run_id}`",
            )
        if selection.run_id != parent.run_id:
            LOG.warning(
                "warning: selection %s was made from %s, the training starts from %s",
                c.selection,
                selection.run_id,
                parent.run_id,
            )
        keep = np.isin(samples.sample_ids, selection.sample_ids)
        if not keep.any():
            raise EmptySelectionError(f"no sample of selection {c.selection!r} is usable now", "select again")
    else:
        balanced = store.rounds.read(parent.run_id).balanced
        keep = select_above(balanced, c.threshold)
        if not keep.any():
            raise EmptySelectionError(
                f"no sample of {parent.run_id} has p_balanced >= {c.threshold}",
                f"lower it: --set method.threshold={max(t for t in LOWER if (balanced >= t).any())}",
            )
    if keep.all():
        job.session.message("the selection keeps every sample: this is the warm-up continued")
    if c.control == "random":
        keep = random_subset(len(samples), int(keep.sum()), run.seed)
    return samples.subset(keep)
