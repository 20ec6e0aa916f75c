"""The phases of a run, each one engine plus sample table: warm-up and scoring, training by rounds, evaluation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec

import numpy as np
from numpy.typing import NDArray

from curate import config as settings
from curate.datasets import find as find_dataset
from curate.datasets.base import Dataset
from curate.errors import CurateError, EmptySelectionError
from curate.files.lock import claimed
from curate.scores import metrics
from curate.scores.gap import describe, loss_kind, mean_gap
from curate.scores.scoring import fit_gaps, fit_round, versions, with_input
from curate.scores.selection import LOWER, random_subset, select_above
from curate.store.table import Table
from curate.train.data.samples import RunData, Samples
from curate.train.loop import checkpoint
from curate.train.loop.engine import OptimConfig, Trainer, fit, predict
from curate.train.methods import catalog
from curate.train.methods.method import Context, Method
from curate.train.models.model import ModelConfig
from curate.types import FUSED, GapScores, Predictions, Round, Run

from .assess import assess, judged
from .folds import USUAL, assign_folds, is_cheap, known_by_heart, out_of_fold
from .session import ScoreConfig, TrainConfig, Workplace, configure, prepare_trainer, reopen, split_samples
from .weighting import usability_of, weighted_metrics

CONTROLS = {"random": "random subset", "shuffled": "shuffled usability"}
"""What a run says of itself that is a method's own control, by its setting."""
Rest = ParamSpec("Rest")


def _alone(stage: Callable[Concatenate[Workplace, Run, Rest], Run]) -> Callable[Concatenate[Workplace, Run, Rest], Run]:
    """A stage that no other process may work on at the same time, be it begun or resumed."""

    @wraps(stage)
    def claiming(work: Workplace, run: Run, *args: Rest.args, **kwargs: Rest.kwargs) -> Run:
        with claimed(work.folder(run)):
            return stage(work, run, *args, **kwargs)

    return claiming


# --- scoring ---------------------------------------------------------------------------------------------------


def score(
    work: Workplace,
    name: str,
    root: Path | None,
    layers: Sequence[settings.Layer],
    seed: int,
    weights: Path | None = None,
) -> Run:
    """Warm up by Eq. 8 (or load a checkpoint), predict every training sample, fit the mixture, write it all.

    Args:
        layers: settings in rising precedence, on top of the data set's own.
        weights: a checkpoint to score with instead of a warm-up.
    """
    return _score(work, *plan_score(work, name, root, layers, seed, weights), weights)


def plan_score(
    work: Workplace,
    name: str,
    root: Path | None,
    layers: Sequence[settings.Layer],
    seed: int,
    weights: Path | None = None,
) -> tuple[Run, Dataset]:
    """The run that `score` would make, settings resolved and not begun, and its data set."""
    kind = find_dataset(name)
    name = kind.name
    schemas = {"data": kind.Options, "model": ModelConfig, "optim": OptimConfig, "score": ScoreConfig}
    configs = configure(kind, schemas, *layers)
    folds = configs["score"].folds
    if weights and folds:
        raise CurateError(
            f"out of fold, {folds} new models are trained; {weights.name} has seen every sample",
            "leave the checkpoint out, or --folds (score.folds=0)",
        )
    if weights is not None and configs["score"].average == "warmup":
        raise CurateError(
            "score.average=warmup has nothing to average over with --checkpoint: there is no warm-up",
            "leave one of them out",
        )
    dataset = kind(root.resolve() if root else None, configs["data"])
    configs["data"] = dataset.options  # what it has measured is part of the run
    for note in dataset.notes:
        work.tell(f"note: {note}")
    run_id = work.table.new_run_id(f"score-{name}", work.runs_folder)
    run = Run(
        run_id=run_id,
        kind="score",
        method="warmup",
        dataset=name,
        data_id=dataset.data_id(),
        root=str(dataset.root) if dataset.root else None,
        parent=None,
        seed=seed,
        modalities=dataset.modalities,
        classes=dataset.classes,
        gap_kind=configs["score"].gap,
        family=configs["score"].family,
        config=settings.as_layer(configs),
        versions=versions(),
        folder=str(work.runs_folder / run_id),
        note=f"weights of {weights.name}" if weights else f"out of fold, {folds} folds" if folds else None,
    )
    return run, dataset


def resume_score(work: Workplace, run: Run) -> Run:
    """Continue an interrupted scoring; the result equals that of an unbroken one."""
    return _score(work, run, reopen(run), None)


@_alone
def _score(work: Workplace, run: Run, dataset: Dataset, weights: Path | None) -> Run:
    config = settings.build(ScoreConfig, run.config["score"], "score")
    cache = work.open_cache(dataset)
    trainer, data = prepare_trainer(work, run, dataset, cache)
    folds = assign_folds(dataset, data.fit, run.folds, run.seed) if run.folds else None
    last = work.folder(run) / "last.pt"
    if weights is not None:
        checkpoint.load_model(trainer.model, checkpoint.read(weights, trainer.device), str(weights))
    elif last.exists():
        checkpoint.load_trainer(trainer, checkpoint.read(last, trainer.device), str(last))
    with _recorded(work.table, run):
        if weights is None:
            own = config.dynamics and not config.folds
            _train_to(work, run, trainer, data, config.epochs, Context(), dynamics=own)
        else:
            checkpoint.save(trainer, last)
        if folds is None:
            work.progress(f"{run.run_id} scoring", 0, 1, "scoring")
            predictions = predict(trainer, data, data.fit)
            work.progress(f"{run.run_id} scoring", 1, 1, "scoring")
            if weights is None:  # what given weights were trained on is unknown
                predictions = _in_sample(predictions)
                if config.folds is None:
                    run, folds = _decide_folds(work, run, dataset, trainer, data, predictions)
        if folds is not None:
            predictions = out_of_fold(work, run, dataset, cache, config, folds)
        averaged = mean_gap(config.gap, work.table.read_dynamics(run.run_id)) if config.average == "warmup" else None
        found = fit_round(predictions, config, averaged)
        _write_round(work.table, run, 0, found, predictions)
        assess(work, run, trainer, data)
        work.table.finish_run(run.run_id, "done", checkpoint.sha256(last))
    return work.table.find_run(run.run_id)


def _decide_folds(
    work: Workplace, run: Run, dataset: Dataset, trainer: Trainer, data: RunData, predictions: Predictions
) -> tuple[Run, NDArray[np.int64] | None]:
    """Folds for samples that are known by heart, where they are cheap; what is decided is kept with the run.

    Args:
        predictions: of the training samples, which the model was trained on.
    """
    epochs = run.config["score"]["epochs"]
    why = known_by_heart(predictions, predict(trainer, data, data.val))
    if not why or not is_cheap(trainer, data.fit, data, epochs):
        return run, None
    try:
        folds = assign_folds(dataset, data.fit, USUAL, run.seed)
    except CurateError as error:  # too few samples of a class, or too few groups
        work.tell(f"known by heart, but not to be scored out of fold: {error.message}")
        return run, None
    decided = {"folds": USUAL, "by_heart": why}
    work.table.decide(run.run_id, decided)
    work.tell(
        f"known by heart (right on training and on validation samples: {why}): scored out of fold, in {USUAL} folds; "
        "--set score.folds=0 leaves that out"
    )
    return replace(run, config={**run.config, "decided": decided}), folds


def _write_round(table: Table, run: Run, number: int, found: Round, predictions: Predictions | None) -> None:
    kind = run.gap_kind or "prob"
    table.write_round(run.run_id, number, predictions, found.gaps, found.fits, found.p_balanced, kind, found.p_ahead)


def _in_sample(predictions: Predictions) -> Predictions:
    """Predictions by a model that was trained on every sample of them."""
    return replace(predictions, in_sample=np.ones(len(predictions.labels), dtype=np.bool_))


# --- training --------------------------------------------------------------------------------------------------


def train(work: Workplace, parent: Run, name: str, layers: Sequence[settings.Layer], seed: int) -> Run:
    """Train one method from a scored run and measure the test split once, at the epoch that validation chose.

    Args:
        parent: the scored run: its data, its warm checkpoint, its posteriors.
        layers: settings in rising precedence, on top of the parent's.
    """
    return _train(work, plan_train(work, parent, name, layers, seed), parent)


def plan_train(work: Workplace, parent: Run, name: str, layers: Sequence[settings.Layer], seed: int) -> Run:
    """The run that `train` would make, settings resolved and not begun."""
    kind, method = find_dataset(parent.dataset), catalog.find(name)
    schemas = {"model": ModelConfig, "optim": OptimConfig, "train": TrainConfig, "method": method.Config}
    inherited = {k: parent.config[k] for k in ("model", "optim")}
    if method.fusion is not None:
        inherited["model"] = {**inherited["model"], "fusion": method.fusion}
    configs = configure(kind, schemas, inherited, *layers)
    if method.fusion not in (None, wanted := configs["model"].fusion):
        raise CurateError(
            f"method {name} is training with model.fusion={method.fusion}, the settings say {wanted}",
            f"use --method joint --set model.fusion={wanted}, or --set model.fusion={method.fusion}",
        )
    chosen = configs["method"]
    _refuse_online(chosen, parent)
    run_id = work.table.new_run_id(f"{name}-{parent.dataset}", work.runs_folder)
    start = method.start if configs["train"].start == "auto" else configs["train"].start
    configs["train"] = replace(configs["train"], start=start)
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
        config={**{k: parent.config[k] for k in ("data", "score")}, **settings.as_layer(configs)},
        folder=str(work.runs_folder / run_id),
        checkpoint_sha256=None,
        note=CONTROLS.get(getattr(chosen, "control", "none")),
    )


def _refuse_online(chosen: object, parent: Run) -> None:
    """Refuse posteriors from the current gap where the mixture sees something that it does not tell."""
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


def resume_train(work: Workplace, run: Run) -> Run:
    """Continue an interrupted training; the result equals that of an unbroken one."""
    return _train(work, run, work.table.find_run(run.parent))


@_alone
def _train(work: Workplace, run: Run, parent: Run) -> Run:
    dataset = reopen(parent)
    cache = work.open_cache(dataset)
    trainer, data = prepare_trainer(work, run, dataset, cache)
    method, folder = trainer.method, work.folder(run)
    data = data.with_fit(_chosen(work, run, parent, data.fit, method))
    if method.uses_usability:
        data = data.with_fit(judged(work, parent, data.fit, method.config.control, run.seed))
    total, per_round = _schedule(run, method)
    if (folder / "last.pt").exists():
        checkpoint.load_trainer(trainer, checkpoint.read(folder / "last.pt", trainer.device), str(folder / "last.pt"))
    with _recorded(work.table, run):
        for number in range(method.rounds):
            if trainer.epoch >= (number + 1) * per_round:
                continue
            if trainer.epoch == number * per_round and number and run.config["train"]["reset_optimizer"] == "per_round":
                trainer.reset_optimizer()
            context, weighted = Context(epochs=total), data
            if method.uses_posteriors:
                found = _round(work, run, parent, trainer, data, number)
                context = replace(_context(found, run.gap_kind or "prob"), epochs=total)
                weighted = data.with_fit(data.fit.weighted(found.p_balanced))
            _train_to(work, run, trainer, weighted, min((number + 1) * per_round, total), context, keep_best=True)
        if method.rounds > 1:
            _round(work, run, parent, trainer, data, method.rounds)
        best = folder / "best.pt"
        checkpoint.load_trainer(trainer, checkpoint.read(best, trainer.device), str(best))
        tested = metrics.measure(predict(trainer, data, split_samples(dataset, cache, "test")))
        work.table.write_epoch(
            run.run_id,
            trainer.best_epoch,
            [("test", m, k, v) for m, values in tested.items() for k, v in values.items()],
        )
        work.table.finish_run(run.run_id, "done", checkpoint.sha256(best))
    return work.table.find_run(run.run_id)


def _schedule(run: Run, method: Method) -> tuple[int, int]:
    """Total epochs, and epochs a round."""
    total = run.config["train"]["epochs"]
    if run.config["train"]["start"] == "scratch":
        total += run.config["score"]["epochs"]
    if wanted := getattr(method.config, "epochs_per_round", 0):
        total = wanted * method.rounds
    if method.rounds < 1 or total < 1 or total % method.rounds:
        raise CurateError(
            f"{total} epochs do not divide into {method.rounds} rounds",
            "set train.epochs to a multiple of method.rounds, or method.epochs_per_round; a start from scratch adds "
            "the warm-up's epochs",
        )
    return total, total // method.rounds


def _chosen(work: Workplace, run: Run, parent: Run, samples: Samples, method: Method) -> Samples:
    """The samples a method trains on: all, or a selection, or its random control."""
    if not method.uses_selection:
        return samples
    c, table = method.config, work.table
    if c.selection:
        selection = table.selection(c.selection)
        if table.find_run(selection.run_id).data_id != run.data_id:
            raise CurateError(
                f"selection {c.selection!r} is of {selection.run_id}, another data set",
                f"select from {parent.run_id}: `curate select --run {parent.run_id}`",
            )
        keep = np.isin(samples.sample_ids, selection.sample_ids)
        if not keep.any():
            raise EmptySelectionError(f"no sample of selection {c.selection!r} is usable now", "select again")
    else:
        balanced = table.read_round(parent.run_id).balanced
        keep = select_above(balanced, c.threshold)
        if not keep.any():
            raise EmptySelectionError(
                f"no sample of {parent.run_id} has p_balanced >= {c.threshold}",
                f"lower it: --set method.threshold={max(t for t in LOWER if (balanced >= t).any())}",
            )
    if keep.all():
        work.tell("the selection keeps every sample: this is the warm-up continued")
    if c.control == "random":
        keep = random_subset(len(samples), int(keep.sum()), run.seed)
    return samples.subset(keep)


def _round(work: Workplace, run: Run, parent: Run, trainer: Trainer, data: RunData, number: int) -> Round:
    """Gaps, mixtures and posteriors of a round: from the table where they are there, else scored now and kept.

    Round 0 reads the scored run; what a resumed run finds of its own is taken as it stands.
    """
    if number in work.table.rounds(run.run_id):
        return work.table.read_round(run.run_id, number)
    config = _later_rounds(run)
    if number == 0:
        found, predictions = work.table.read_round(parent.run_id), None
        gaps = found.gaps
        if run.gap_kind != parent.gap_kind:
            gaps = with_input(GapScores(gaps.sample_ids, gaps.pairs, gaps.prob, gaps.kl), config)
        if (run.gap_kind, run.family) != (parent.gap_kind, parent.family):
            found = fit_gaps(gaps, config, len(run.classes))
    else:
        work.progress(f"{run.run_id} scoring", number, trainer.method.rounds, "scoring")
        predictions = _in_sample(predict(trainer, data, data.fit))
        found = fit_round(predictions, config)
    if not np.array_equal(found.sample_ids, data.fit.sample_ids):
        raise CurateError(
            f"the scores of {parent.run_id} are of other samples than are usable now", "score again: `curate score`"
        )
    _write_round(work.table, run, number, found, predictions)
    return found


def _context(found: Round, kind: str) -> Context:
    """What a method is told of a round fitted to a gap of that kind.

    Eq. 11 draws the gaps of one epoch towards the balanced component's location. Where the mixture saw something else,
    a location is not in their units: the mean of those gaps under w0 takes its place, 0 where w0 is 0 throughout. It is
    what the location of a Gaussian is to the gaps that were fitted, at the optimum of EM.
    """
    form = (found.gaps.input, found.gaps.average)
    drawn = loss_kind(kind)
    if drawn == kind and form == ("signed", "last"):
        return Context(found.fits, drawn)
    mass = found.p_balanced.sum(axis=0)
    moment = (found.p_balanced * found.gaps.of(drawn)).sum(axis=0)
    centres = np.divide(moment, mass, out=np.zeros_like(mass), where=mass > 0)
    return Context(found.fits, drawn, tuple(centres.tolist()), found.gaps.input == "absolute")


def score_end(work: Workplace, run: Run) -> None:
    """Gaps, mixtures and posteriors of a finished training, as its last round: how the training left the samples.

    Scored are all training samples, of a subset too, by the weights after the last epoch: every method at the same
    number of epochs. Nothing is done where a method of several rounds has scored itself, or the weights are gone.
    """
    last = work.folder(run) / "last.pt"
    if max(work.table.rounds(run.run_id), default=0) > 0 or not last.exists():
        return
    dataset = reopen(run)
    trainer, data = prepare_trainer(work, run, dataset, work.open_cache(dataset))
    checkpoint.load_trainer(trainer, checkpoint.read(last, trainer.device), str(last))
    predictions = _in_sample(predict(trainer, data, data.fit))
    _write_round(work.table, run, trainer.method.rounds, fit_round(predictions, _later_rounds(run)), predictions)


def _later_rounds(run: Run) -> ScoreConfig:
    """How a training run's own rounds are fitted. A warm-up is averaged over once: they, and a gap of the method's own,
    are of one epoch."""
    own = {**run.config["score"], "gap": run.gap_kind, "family": run.family, "average": "last"}
    return settings.build(ScoreConfig, own, "score")


def _train_to(
    work: Workplace,
    run: Run,
    trainer: Trainer,
    data: RunData,
    epochs: int,
    context: Context,
    *,
    keep_best: bool = False,
    dynamics: bool = False,
) -> None:
    """Train up to `epochs` finished epochs; each is in the table and in a checkpoint before the next begins.

    Args:
        keep_best: keep a second checkpoint, of the epoch that is best on validation.
        dynamics: keep what the model says of every training sample after each epoch.
    """
    started = time.perf_counter()
    work.progress(run.run_id, trainer.epoch, epochs, "")
    for values in fit(trainer, data, epochs, context):
        seconds = time.perf_counter() - started
        work.table.write_epoch(run.run_id, trainer.epoch, [*values, ("train", "all", "seconds", seconds)])
        if dynamics:
            work.table.write_dynamic(run.run_id, trainer.epoch, predict(trainer, data, data.fit))
        if keep_best and trainer.best_epoch == trainer.epoch:
            checkpoint.save(trainer, work.folder(run) / "best.pt")
        checkpoint.save(trainer, work.folder(run) / "last.pt")
        shown = next(v for s, m, k, v in values if (s, m, k) == ("val", FUSED, "accuracy"))
        work.progress(run.run_id, trainer.epoch, epochs, f"val {shown:.1%}")
        started = time.perf_counter()


@contextmanager
def _recorded(table: Table, run: Run) -> Iterator[None]:
    """The run's row, with how it ended whatever happens."""
    table.start_run(run)
    try:
        yield
    except KeyboardInterrupt:
        table.finish_run(run.run_id, "interrupted")
        raise
    except BaseException:
        table.finish_run(run.run_id, "failed")
        raise


def evaluate(work: Workplace, run: Run, split: str) -> Mapping[str, Mapping[str, float]]:
    """{modality or "fused": {metric: value}} of a run's best (or warm) checkpoint on a split."""
    return metrics.measure(_predicted(work, run, split))


def evaluate_weighted(work: Workplace, run: Run, split: str) -> Mapping[str, Mapping[str, float]]:
    """{weighting of the fusion: {metric: value}} on a split: none, by usability, and its controls.

    Usability is told by the warm model of the run that was scored, whichever run is evaluated.

    Raises:
        CurateError: usability is not known there, or the run's fusion is no sum of unimodal logits.
    """
    scored = run if run.parent is None else work.table.find_run(run.parent)
    weights = usability_of(work, scored, split)
    return weighted_metrics(_predicted(work, run, split), weights, run.seed)


def _predicted(work: Workplace, run: Run, split: str) -> Predictions:
    """What a run's best (or warm) checkpoint says of a split."""
    dataset = reopen(run)
    cache = work.open_cache(dataset)
    trainer, data = prepare_trainer(work, run, dataset, cache)
    path = work.folder(run) / ("best.pt" if run.kind == "train" else "last.pt")
    checkpoint.load_trainer(trainer, checkpoint.read(path, trainer.device), str(path))
    return predict(trainer, data, split_samples(dataset, cache, split))
