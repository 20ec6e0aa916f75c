"""Prepares a run: settings resolved, data set open, model and trainer as before the first epoch."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from curate.datasets.base import Dataset
from curate.datasets.cache import Cache
from curate.datasets.decoded import reopened
from curate.errors import CurateError
from curate.store.store import Store
from curate.train.data.samples import RunData, Samples, mix_seed
from curate.train.loop import checkpoint
from curate.train.loop.engine import FACTOR, Trainer, make_trainer
from curate.train.methods import catalog
from curate.train.models.external.description import network_specs
from curate.train.models.model import FusionModel
from curate.types import Run

from .encoders import described
from .session import Session
from .settings import Settings

IN_SPLITS = "put samples into it where the data name their splits; `curate datasets NAME` tells where that is"
LAST, BEST = "last.pt", "best.pt"
"""Checkpoints in a run's folder: after its last finished epoch, and of the best epoch on validation."""


@dataclass(frozen=True)
class Job:
    """A run with all that is needed to work on it.

    Attributes:
        session: store, cache, device, progress and messages.
        run: the run itself.
        settings: of the run, resolved.
        dataset: the run's data set.
        cache: its decoded media.
        trainer: model, method and optimizer.
        data: training and validation samples; the test split is not in it.
    """

    session: Session
    run: Run
    settings: Settings
    dataset: Dataset
    cache: Cache
    trainer: Trainer
    data: RunData

    @property
    def store(self) -> Store:
        """The sample table."""
        return self.session.store

    @property
    def folder(self) -> Path:
        """Where the run's checkpoints are."""
        return self.session.folder(self.run)

    def progress(self, what: str, done: int, total: int, note: str = "") -> None:
        """Report progress of a step of the run; `what` follows the run's name."""
        self.session.progress(f"{self.run.run_id} {what}".strip(), done, total, note)

    def load(self, path: Path) -> None:
        """Load a checkpoint into the trainer."""
        checkpoint.load_trainer(self.trainer, checkpoint.read(path, self.trainer.device), str(path))

    def load_weights(self, path: Path) -> None:
        """Load only a checkpoint's weights, into the model."""
        checkpoint.load_model(self.trainer.model, checkpoint.read(path, self.trainer.device), str(path))

    def samples(self, split: str) -> Samples:
        """The usable samples of a split."""
        return split_samples(self.dataset, self.cache, split)

    def anew(self) -> Job:
        """The same job before its first epoch."""
        trainer, data = _make_trainer(self.session, self.run, self.settings, self.dataset, self.cache, fresh=True)
        return replace(self, trainer=trainer, data=data)


def prepare(session: Session, run: Run, dataset: Dataset | None = None, fresh: bool = False) -> Job:
    """A run before its first epoch: media decoded, warm weights loaded, heads attached.

    Args:
        dataset: the run's, if it is open already.
        fresh: start encoders from their own weights, unless the run has a checkpoint; else one must be loaded.

    Raises:
        CurateError: the data set has changed since the run was planned, or a split has no usable sample.
    """
    opened = reopen(run) if dataset is None else dataset
    settings, cache = Settings.of(run), session.open_cache(opened)
    if session.runtime.team is None and settings.model.sharded:
        session.message("model.sharded divides encoders among several processes; this is one: they are whole")
    fresh = fresh and not (session.folder(run) / LAST).exists()
    return Job(session, run, settings, opened, cache, *_make_trainer(session, run, settings, opened, cache, fresh))


def reopen(run: Run) -> Dataset:
    """The data set of a run, opened again.

    Raises:
        CurateError: its content or preprocessing has changed since.
    """
    dataset = reopened(run)
    if dataset.data_id() != run.data_id:
        place = f" --root {shlex.quote(run.root)}" if run.root else ""
        raise CurateError(
            f"{run.dataset} has changed since {run.run_id} scored it",
            f"score it again, with its settings: `curate score --dataset {run.dataset}{place}`",
        )
    return dataset


def partial_samples(dataset: Dataset, cache: Cache) -> Iterator[tuple[tuple[str, ...], Samples]]:
    """Labelled training samples of which some modalities can be used and some cannot.

    Yields:
        The usable modalities, in declared order, and the samples that have exactly these, ascending by id.
    """
    index = {c: i for i, c in enumerate(dataset.classes)}
    row = {i: r for r, i in enumerate(cache.sample_ids.tolist())}
    groups: dict[tuple[str, ...], list[tuple[str, int]]] = {}
    for s in dataset.samples:
        usable = tuple(m for m in dataset.modalities if cache.status[m][row[s.sample_id]] == "ok")
        if s.split == "train" and s.label and 0 < len(usable) < len(dataset.modalities):
            groups.setdefault(usable, []).append((s.sample_id, index[s.label]))
    for usable, chosen in sorted(groups.items()):
        ids, labels = zip(*sorted(chosen), strict=True)
        yield usable, Samples(cache, np.array(ids), np.array(labels, dtype=np.int64))


def split_samples(dataset: Dataset, cache: Cache, split: str) -> Samples:
    """The usable samples of a split, ascending by id.

    Raises:
        CurateError: there is none.
    """
    ids, labels = zip(*usable_of(dataset, cache, split), strict=True)
    return Samples(cache, np.array(ids), np.array(labels, dtype=np.int64))


def usable_of(dataset: Dataset, cache: Cache, split: str) -> list[tuple[str, int]]:
    """(id, class) of the usable samples of a split, ascending by id; their media are not opened.

    Raises:
        CurateError: there is none.
    """
    index = {c: i for i, c in enumerate(dataset.classes)}
    usable = dict(zip(cache.sample_ids.tolist(), cache.usable.tolist(), strict=True))
    chosen = sorted((s.sample_id, index[s.label]) for s in dataset.samples if s.split == split and usable[s.sample_id])
    if chosen:
        return chosen
    splits = Counter(s.split for s in dataset.samples)
    if not splits[split]:
        there = ", ".join(f"{count} in {name}" for name, count in sorted(splits.items()))
        raise CurateError(f"{dataset.name} has no sample in split {split!r}; there are {there}", IN_SPLITS)
    own = {s.sample_id for s in dataset.samples if s.split == split}
    reasons = zip(cache.sample_ids.tolist(), cache.summary()[1], strict=True)
    ((reason, _),) = Counter(why for sample_id, why in reasons if sample_id in own).most_common(1)
    raise CurateError(
        f"no usable sample in split {split!r} of {dataset.name} ({splits[split]} listed), e.g. {reason}",
        'see what they have with `curate sql "SELECT status, count(*), min(reason) FROM samples GROUP BY 1"`',
    )


def check_tested(dataset: Dataset) -> None:
    """Check that some samples are in the test split, before anything is trained that only they can compare."""
    if not is_tested(dataset):
        raise CurateError(f"{dataset.name} has no sample in split 'test', by which methods are compared", IN_SPLITS)


def is_tested(dataset: Dataset) -> bool:
    """Whether some samples are in the test split."""
    return any(s.split == "test" for s in dataset.samples)


def _make_trainer(
    session: Session, run: Run, settings: Settings, dataset: Dataset, cache: Cache, fresh: bool
) -> tuple[Trainer, RunData]:
    card, team, named = session.runtime.torch_device(), session.runtime.team, described(run)
    divided = team is not None and settings.model.sharded  # parts of the encoders are on the cards then, nothing else
    device = torch.device("cpu") if divided else card
    specs = network_specs(dataset.specs, named)
    method = catalog.find(run.method)(settings.method)
    data = RunData(
        split_samples(dataset, cache, "train"),
        split_samples(dataset, cache, "val"),
        specs,
        settings.optim.batch_size,
        settings.score.batch_size,
        run.seed,
        session.runtime.loaders(),
        settings.train.augment,
    )
    torch.manual_seed(mix_seed(run.seed, 0))  # random weights depend only on the seed
    model = FusionModel(specs, dataset.classes, settings.model, session.runtime.precision, named)
    model.observe(data.fit.cache.arrays, data.fit.rows)
    warm = None
    if run.parent is not None and settings.train.start == "warm":
        path = session.folder(session.store.runs.find(run.parent)) / LAST
        warm = checkpoint.read(path, device)
        checkpoint.load_model(model, warm, str(path))
    elif fresh:
        model.load_weights()
    method.check(model)
    method.attach(model, warm=warm is not None)
    trainer = make_trainer(model, method, settings.optim, data, device)
    if team is not None:
        team.join(model, method, card, session.message)
    if warm is not None and settings.train.reset_optimizer == "never":
        _continue_optimizer(trainer, warm, run)
    return trainer, data


def _continue_optimizer(trainer: Trainer, warm: Mapping[str, Any], run: Run) -> None:
    try:
        trainer.optimizer.load_state_dict(warm["optimizer"])
    except (ValueError, KeyError):
        raise CurateError(
            f"{run.method} cannot continue the warm-up's optimizer: its parameters differ",
            "use --set train.reset_optimizer=once",
        ) from None
    if trainer.optim.by_step:  # the schedule begins anew
        for group in trainer.optimizer.param_groups:
            group["lr"], group[FACTOR] = group["initial_lr"], 1.0
