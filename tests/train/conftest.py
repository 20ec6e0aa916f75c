"""A tiny data set in memory, models over it, and a workplace: shared by the tests of the model side."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from curate.datasets.base import Dataset
from curate.datasets.cache import prepare
from curate.specs import AudioSpec, VisualSpec
from curate.store.store import Store
from curate.train.data.samples import Batch, RunData
from curate.train.loop.engine import Runtime
from curate.train.methods import catalog
from curate.train.methods.method import Context
from curate.train.methods.optim import OptimConfig
from curate.train.models.model import FusionModel, ModelConfig
from curate.train.stages.score import score
from curate.train.stages.session import Session
from curate.train.stages.setup import split_samples
from curate.types import MixtureFit, Run, Sample

SPECS = {
    "audio": AudioSpec(rate=1000, seconds=0.512, n_fft=64, hop=32, n_mels=16, fill="pad", standardize=True),
    "visual": VisualSpec(frames=1, size=16, channels=1, augment="none"),
    "depth": VisualSpec(frames=2, size=16, channels=3, augment="crop_flip"),
}


class Toy(Dataset):
    """Three classes; every modality says the class, through noise."""

    name = "toy"
    summary = "for tests"
    defaults: ClassVar[Mapping[str, Any]] = {
        "optim.lr": 0.02,
        "optim.batch_size": 16,
        "score.epochs": 2,
        "train.epochs": 4,
    }

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Options(Dataset.Options):
        modalities: str = "audio,visual"
        train: int = 50
        test: int = 23
        seed: int = 0

    def __init__(self, root: Path | None, options: Any) -> None:
        super().__init__(root, options)
        self.modalities = tuple(options.modalities.split(","))
        self.classes = ("low", "middle", "high")
        self.specs = {m: SPECS[m] for m in self.modalities}
        counts = {"train": options.train, "val": 21, "test": options.test}
        self.samples = tuple(
            Sample(
                sample_id=f"{split}-{i:03d}",
                label=self.classes[i % 3],
                split=split,
                inputs=dict.fromkeys(self.modalities, str(i)),
            )
            for split, n in counts.items()
            for i in range(n)
        )

    def load(self, sample: Sample, modality: str) -> np.ndarray:
        rng = np.random.default_rng([*sample.sample_id.encode(), *modality.encode()])
        spec, label = self.specs[modality], self.classes.index(sample.label)
        if isinstance(spec, AudioSpec):
            t = np.arange(spec.shape[0]) / spec.rate
            wave = np.sin(2 * np.pi * (60 + 120 * label) * t) + rng.normal(0, 0.8, t.size)
            return (np.clip(wave / 4, -1, 1) * 32767).astype(np.int16)
        picture = rng.normal(110, 40, spec.shape)
        picture[:, label * 5 : label * 5 + 5] += 60
        return np.clip(picture, 0, 255).astype(np.uint8)


def find_toy(patch: pytest.MonkeyPatch) -> None:
    """Let the stages find the toy data set, whatever name they look for."""
    patch.setattr("curate.datasets.decoded.find", lambda name: Toy)
    for module in ("score", "training", "growth", "selfcheck"):
        patch.setattr(f"curate.train.stages.{module}.find_dataset", lambda name: Toy)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> type[Dataset]:
    """The toy data set, findable by its name."""
    find_toy(monkeypatch)
    return Toy


@pytest.fixture(scope="module")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    """The toy data set at its smallest: 20 training samples in three steps, 21 of validation."""
    dataset = Toy(None, Toy.Options(train=20))
    cache = prepare(dataset, tmp_path_factory.mktemp("small"))
    fit, val = (split_samples(dataset, cache, split) for split in ("train", "val"))
    return RunData(fit, val, dataset.specs, 8, 21, 0)


@pytest.fixture
def work(tmp_path: Path, toy: type[Dataset]) -> Session:
    return Session(Store(tmp_path / "t.duckdb"), tmp_path / "cache", Runtime(device="cpu"))


@pytest.fixture(scope="session")
def score_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`score_once(*layers)`: a folder with a table and the toy data scored by these settings; copy it."""

    @cache
    def scored_folder(layers: str) -> Path:
        folder = tmp_path_factory.mktemp("scored")
        place = Session(Store(folder / "t.duckdb"), folder / "cache", Runtime(device="cpu"))
        with pytest.MonkeyPatch.context() as patch:
            find_toy(patch)
            score(place, "toy", None, json.loads(layers), 0)
        return folder

    return lambda *layers: scored_folder(json.dumps(layers))


@pytest.fixture
def scored(score_once: Callable[..., Path], work: Session) -> Run:
    """The toy data, scored by its defaults, in the test's own workplace."""
    shutil.copytree(score_once(), work.store.path.parent, dirs_exist_ok=True)
    return dataclasses.replace(found := work.store.runs.find(), folder=str(work.folder(found)))


@pytest.fixture
def make_model():
    """A model over some modalities with weights of a seed; the small encoder."""

    def make(*modalities: str, classes: int = 3, seed: int = 0, fusion: str = "concat") -> FusionModel:
        torch.manual_seed(seed)
        specs = {m: SPECS[m] for m in modalities or ("audio", "visual")}
        return FusionModel(specs, [f"c{k}" for k in range(classes)], ModelConfig(fusion=fusion))

    return make


@pytest.fixture
def make_batch():
    """A batch of network inputs."""

    def make(*modalities: str, size: int = 6, classes: int = 3, seed: int = 1) -> Batch:
        g = torch.Generator().manual_seed(seed)
        names = modalities or ("audio", "visual")
        channels = {"audio": 1, "visual": 1, "depth": 3}
        pairs = len(names) * (len(names) - 1) // 2
        return Batch(
            np.array([f"s{i}" for i in range(size)]),
            {m: torch.randn(size, channels[m], 16, 16, generator=g) for m in names},
            torch.arange(size) % classes,
            torch.rand(size, pairs, generator=g),
            torch.rand(size, len(names), generator=g),
        )

    return make


@pytest.fixture
def two_component_fit() -> MixtureFit:
    """The mixture of the hand-computed examples: (.8, 0, .1) balanced and (.2, .6, .2)."""
    return MixtureFit(
        "gaussian",
        np.array([0.8, 0.2]),
        np.array([0.0, 0.6]),
        np.array([0.1, 0.2]),
        np.array([np.inf, np.inf]),
        0,
        "second_moment",
    )


class Look:
    """A view of a few fixed batches, as `DataView` gives them."""

    def __init__(self, fit: list[Batch], val: list[Batch]) -> None:
        self.batches = {"fit": fit, "val": val}
        self.steps = len(fit)

    def ordered(self, split: str = "fit") -> Iterator[Batch]:
        return iter(self.batches[split])

    def shuffled(self, *key: int) -> Iterator[Batch]:
        order = np.random.default_rng(key).permutation(self.steps)
        return iter([self.batches["fit"][i] for i in order])


@pytest.fixture
def look() -> type[Look]:
    """The data that a method may read, as fixed batches: `look(fit, val)`."""
    return Look


@pytest.fixture
def make_context(make_batch, two_component_fit: MixtureFit):
    """What a method is told at the start of an epoch: whatever any of them may ask for."""

    def make(model: FusionModel, optimizer: torch.optim.Optimizer | None = None, **known: Any) -> Context:
        dtype = next(model.parameters()).dtype
        fit, val = (
            [_cast(make_batch(*sorted(model.modalities), classes=len(model.classes), seed=s), dtype) for s in seeds]
            for seeds in ((20, 21), (22,))
        )
        pairs = len(model.modalities) * (len(model.modalities) - 1) // 2
        known = {"metrics": {m: {"accuracy": 0.5} for m in (*model.modalities, "fused")}, **known}
        known = {"fits": (two_component_fit,) * pairs, "epochs": 3, "data": Look(fit, val), **known}
        return Context(optim=OptimConfig(lr=0.05), optimizer=optimizer or OptimConfig(lr=0.05).make(model), **known)

    return make


def _cast(batch: Batch, dtype: torch.dtype) -> Batch:
    return dataclasses.replace(batch, inputs={m: x.to(dtype) for m, x in batch.inputs.items()})


@pytest.fixture
def make_method(make_context):
    """A method by name, attached to a model and at the start of an epoch."""

    def make(name: str, model: FusionModel, epoch: int = 0, warm: bool = False, **config: Any):
        kind = catalog.find(name)
        method = kind(kind.Config(**config))
        torch.manual_seed(3)
        method.attach(model, warm)
        method.begin_epoch(model, epoch, make_context(model, method.optimizer(model, OptimConfig(lr=0.05))))
        return method

    return make


@pytest.fixture(scope="session")
def short() -> Mapping[str, dict[str, Any]]:
    """{method: settings with which three epochs are enough for all that it does}, of those that need some."""
    return {"mslr": {"window": 1}, "pdmp": {"alone": 1}, "reconboost": {"epochs": 1}}
