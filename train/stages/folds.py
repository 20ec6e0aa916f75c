"""Out-of-fold scores: every training sample is scored by a model that was not trained on it.

The training split is cut into K folds, and for each of them the whole warm-up is done again without it. The K models
share the seed, and so the random initial weights, with one another and with the ordinary warm-up. They never start from
the ordinary warm-up's weights or from a short common warm-up, since those were trained on the samples that are held
out: such scores would not really be out of fold. So K folds cost K more warm-ups, each on (K - 1) / K of the samples.
`train` still starts from the ordinary warm-up.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from curate.advice.evidence import KNOWN_WELL
from curate.advice.held_out import differ
from curate.datasets.base import Dataset
from curate.scores.folds import cut_folds
from curate.scores.metrics import accuracy
from curate.train.data.samples import RunData, Samples
from curate.train.loop import checkpoint
from curate.train.loop.engine import Trainer, fit, predict
from curate.types import Predictions

from .setup import Job

USUAL = 5
"""Number of folds if the user gave none."""
CHEAP = 1e12
"""Floating-point operations of all folds' warm-ups together up to which they are done without being asked for: about a
minute on two cores."""


def known_by_heart(predictions: Predictions, held_out: Predictions, deep: Collection[str] = ()) -> str:
    """Which modalities are right far more often on the samples they were trained on than on others; '' if none is.

    Args:
        deep: modalities whose samples are compared by deep features. Any such difference counts for them, as what is
            known of held-out look-alikes does not correct it; for others it counts from `KNOWN_WELL` upwards.
    """
    shown = []
    for m in predictions.modalities:
        seen, unseen = (accuracy(p.probs[m], p.labels) for p in (predictions, held_out))
        if (m in deep or seen >= KNOWN_WELL) and differ(seen, unseen, len(held_out.labels)):
            shown.append(f"{m} {seen:.0%} and {unseen:.0%}")
    return ", ".join(shown)


def is_cheap(trainer: Trainer, samples: Samples, data: RunData, epochs: int) -> bool:
    """Whether `USUAL` more warm-ups take at most `CHEAP` operations: with few samples, or small ones like features.

    A backward pass counts as two forward passes. Operations are counted, not seconds: the decision is then the same on
    every machine.
    """
    few = samples.subset(np.arange(len(samples)) < 2)
    with FlopCounterMode(display=False) as counter:
        predict(trainer, data, few)
    each = counter.get_total_flops() / len(few)
    result: bool = 3 * each * len(samples) * epochs * (USUAL - 1) <= CHEAP
    return result


def assign_folds(dataset: Dataset, samples: Samples, count: int, seed: int) -> NDArray[np.int64]:
    """(N,) the fold of each training sample, 0 to `count` - 1; see `curate.scores.folds.cut_folds`."""
    groups = {s.sample_id: s.group for s in dataset.samples}
    return cut_folds(samples.labels, [groups[i] for i in samples.sample_ids.tolist()], dataset.classes, count, seed)


def out_of_fold(job: Job, folds: NDArray[np.int64]) -> Predictions:
    """Predictions for every training sample by the model of its fold, ascending by id.

    Each fold's model is saved in `fold-<number>.pt` after every epoch. An interrupted call goes on from there, with the
    same result as an unbroken one.

    Args:
        folds: (N,) from `assign_folds`.
    """
    parts = []
    for number in range(int(folds.max()) + 1):
        one = job.anew()
        held_out = one.data.fit.subset(folds == number)
        one = replace(one, data=one.data.with_fit(one.data.fit.subset(folds != number)))
        one.trainer.model.observe(one.cache.arrays, one.data.fit.rows)
        _warm_up(one, held_out, number, int(folds.max()) + 1)
        parts.append(predict(one.trainer, one.data, held_out))
    return _join(parts)


def _warm_up(job: Job, held_out: Samples, number: int, count: int) -> None:
    """Train the model of one of `count` folds; each epoch is in the table and a checkpoint before the next begins."""
    config, trainer, run_id = job.settings.score, job.trainer, job.run.run_id
    path = job.folder / f"fold-{number}.pt"
    if path.exists():
        job.load(path)
    label = f"fold {number + 1} of {count}"
    started = time.perf_counter()
    job.progress(label, trainer.epoch, config.epochs)
    for values in fit(trainer, job.data, config.epochs):
        seconds = time.perf_counter() - started
        job.store.epochs.write(run_id, trainer.epoch, [*values, ("train", "all", "seconds", seconds)], number)
        if config.dynamics:
            job.store.dynamics.write(run_id, trainer.epoch, predict(trainer, job.data, held_out), complete=False)
        checkpoint.save(trainer, path)
        job.progress(label, trainer.epoch, config.epochs)
        started = time.perf_counter()


def _join(parts: Sequence[Predictions]) -> Predictions:
    """The predictions of all folds as one, ascending by id."""
    first = parts[0]
    ids = np.concatenate([p.sample_ids for p in parts])
    order = np.argsort(ids)
    return Predictions(
        ids[order],
        np.concatenate([p.labels for p in parts])[order],
        first.classes,
        first.modalities,
        {m: np.concatenate([p.probs[m] for p in parts])[order] for m in first.probs},
        in_sample=np.zeros(len(ids), dtype=np.bool_),
        fold=np.repeat(np.arange(len(parts)), [len(p.sample_ids) for p in parts])[order],
    )
