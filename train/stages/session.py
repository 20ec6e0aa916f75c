"""Where a run works: table, cache, device; and what it is set up from: settings, samples, model, trainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from curate import config as settings
from curate.datasets import checks
from curate.datasets import find as find_dataset
from curate.datasets.base import Dataset
from curate.datasets.cache import Cache, describe_done, describe_plan, prepare
from curate.errors import CurateError
from curate.scores.scoring import MixtureConfig
from curate.store.table import Table
from curate.train.data.samples import RunData, Samples, mix_seed
from curate.train.loop import checkpoint
from curate.train.loop.engine import OptimConfig, Runtime, Trainer, make_trainer
from curate.train.methods import catalog
from curate.train.models.model import FusionModel, ModelConfig
from curate.types import Run
from curate.train.data.augment import Augment

Progress = Callable[[str, int, int, str], None]
Tell = Callable[[str], None]


def silent(label: str, done: int, total: int, note: str) -> None:
    """No progress."""


def tell_nobody(remark: str) -> None:
    """No remarks."""


@dataclass(frozen=True, kw_only=True)
class ScoreConfig(MixtureConfig):
    """Warm-up, prediction, and the mixture of `MixtureConfig`.

    Attributes:
        epochs: E_warmup.
        folds: 0 scores every sample with the model that was trained on it, as the papers do; K >= 2 out of fold, at
            the cost of K more warm-ups, see `folds`; none does so in 5 folds where the model knows its training samples
            by heart and the data are few or small, see `folds.is_cheap`.
        dynamics: predict the training samples after every warm-up epoch too, for the views `dynamics` and
            `gap_dynamics`; costs about half an epoch of a small network each.
        batch_size: samples a forward when predicting.
    """

    epochs: int = 30
    folds: int | None = None
    dynamics: bool = True
    batch_size: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        settings.check_within(
            self, "score", {"epochs": (1, 1_000_000), "batch_size": (1, 1 << 20), "folds": (0, 10_000)}
        )
        if self.folds == 1:
            raise CurateError(
                f"out of range: score.folds={self.folds}", "2 or more, 0 for no folds, none to leave it to `score`"
            )
        if self.average == "warmup" and not self.dynamics:
            raise CurateError(
                "score.average=warmup needs the predictions of every epoch", "leave score.dynamics=false out"
            )


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What every method shares.

    Attributes:
        epochs: of the method itself; a start from scratch adds the warm-up's epochs.
        start: `warm`, `scratch`, or `auto` as the method says.
        reset_optimizer: `once` fresh state at the start; `per_round` also at each round; `never` continues the
            warm-up's.
        augment: `dataset` augments as the data set wants; `shift` also rolls frames in space and spectrograms in time,
            and masks some bins and columns.
    """

    epochs: int = 40
    start: Literal["auto", "warm", "scratch"] = "auto"
    reset_optimizer: Literal["once", "per_round", "never"] = "once"
    augment: Augment = "dataset"

    def __post_init__(self) -> None:
        settings.check_within(self, "train", {"epochs": (1, 1_000_000)})


@dataclass(frozen=True)
class Workplace:
    """What the stages work with.

    Attributes:
        table: the sample table.
        cache_folder: where decoded media are.
        runtime: device, precision, loader processes.
        progress: called with (label, done, total, note).
        tell: called with a remark of one line.
    """

    table: Table
    cache_folder: Path
    runtime: Runtime = field(default_factory=Runtime)
    progress: Progress = silent
    tell: Tell = tell_nobody

    @property
    def runs_folder(self) -> Path:
        """Beside the table, `<its name>.runs`."""
        return self.table.path.with_suffix(".runs")

    def folder(self, run: Run) -> Path:
        """Where a run's checkpoints are: with the table, wherever it was moved."""
        return self.runs_folder / run.run_id

    def open_cache(self, dataset: Dataset) -> Cache:
        """The decoded media of a data set, decoded now if need be; every item and its status go to the table."""
        workers = self.runtime.decoders(dataset.decodes)
        if not (self.cache_folder / dataset.data_id()).exists():
            self.tell(describe_plan(dataset, self.cache_folder, workers))
        cache = prepare(
            dataset,
            self.cache_folder,
            workers=workers,
            progress=lambda done, total: self.progress("decoding", done, total, "items"),
        )
        if self.table.sample_count(cache.data_id) != len(dataset.samples):
            status, reason = cache.summary()
            self.table.write_samples(cache.data_id, dataset.samples, dataset.classes, status, reason, cache.media())
            if done := describe_done(cache):
                self.tell(done)
            found = checks.check(dataset)
            self.table.write_findings(cache.data_id, found)
            if told := checks.summary(found):
                self.tell(told)
        return cache


def split_samples(dataset: Dataset, cache: Cache, split: str) -> Samples:
    """The usable samples of a split, ascending by id.

    Raises:
        CurateError: there is none.
    """
    index = {c: i for i, c in enumerate(dataset.classes)}
    usable = dict(zip(cache.sample_ids.tolist(), cache.usable.tolist(), strict=True))
    chosen = sorted((s.sample_id, index[s.label]) for s in dataset.samples if s.split == split and usable[s.sample_id])
    if not chosen:
        listed = sum(s.split == split for s in dataset.samples)
        raise CurateError(
            f"no usable sample in split {split!r} of {dataset.name} ({listed} listed)",
            'see their status with `curate sql "SELECT status, count(*) FROM samples GROUP BY 1"`',
        )
    ids, labels = zip(*chosen, strict=True)
    return Samples(cache, np.array(ids), np.array(labels, dtype=np.int64))


def make_data(
    dataset: Dataset, cache: Cache, optim: OptimConfig, score: ScoreConfig, seed: int, workers: int
) -> RunData:
    """Training and validation samples; the test split is not in it."""
    return RunData(
        split_samples(dataset, cache, "train"),
        split_samples(dataset, cache, "val"),
        dataset.specs,
        optim.batch_size,
        score.batch_size,
        seed,
        workers,
    )


def reopen(run: Run) -> Dataset:
    """The data set a run was made on.

    Raises:
        CurateError: its content or preprocessing has changed since.
    """
    kind = find_dataset(run.dataset)
    options = settings.build(kind.Options, run.config["data"], "data")
    dataset = kind(Path(run.root) if run.root else None, options)
    if dataset.data_id() != run.data_id:
        raise CurateError(f"{run.dataset} has changed since {run.run_id} scored it", "score it again: `curate score`")
    return dataset


def new_model(dataset: Dataset, config: ModelConfig, runtime: Runtime, seed: int) -> FusionModel:
    """A model with random weights that depend on the seed alone."""
    torch.manual_seed(mix_seed(seed, 0))
    return FusionModel(dataset.specs, dataset.classes, config, runtime.precision)


def configure(kind: type[Dataset], schemas: Mapping[str, type], *layers: settings.Layer) -> dict[str, Any]:
    """Configurations of the wanted sections: the data set's defaults, then `layers`."""
    defaults = {k: v for k, v in settings.dotted(kind.defaults).items() if k in schemas}
    return settings.resolve(schemas, defaults, *layers)


def prepare_trainer(work: Workplace, run: Run, dataset: Dataset, cache: Cache) -> tuple[Trainer, RunData]:
    """A run's model, method and data before its first epoch: warm weights loaded, heads attached."""
    schemas = {"model": ModelConfig, "optim": OptimConfig, "score": ScoreConfig}
    config = settings.resolve(schemas, {k: run.config[k] for k in schemas})
    device = work.runtime.torch_device()
    kind = catalog.find(run.method)
    method = kind(settings.build(kind.Config, run.config.get("method", {}), "method"))
    data = make_data(dataset, cache, config["optim"], config["score"], run.seed, work.runtime.loaders())
    data = replace(data, augment=run.config.get("train", {}).get("augment", "dataset"))
    model = new_model(dataset, config["model"], work.runtime, run.seed)
    warm = None
    model.observe(data.fit.cache.arrays, data.fit.rows)
    if run.parent is not None and run.config["train"]["start"] == "warm":
        path = work.folder(work.table.find_run(run.parent)) / "last.pt"
        warm = checkpoint.read(path, device)
        checkpoint.load_model(model, warm, str(path))
    else:
        model.load_weights()
    method.attach(model, warm=warm is not None)
    trainer = make_trainer(model, method, config["optim"], data, device)
    if warm is not None and run.config["train"]["reset_optimizer"] == "never":
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
