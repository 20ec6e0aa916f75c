"""What every method must hold over whole epochs, through the real loop and its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch

from curate.train.data.samples import Samples
from curate.train.loop import checkpoint
from curate.train.loop.engine import OptimConfig, fit, make_trainer
from curate.train.methods import catalog
from curate.train.models.model import FusionModel, ModelConfig

ALL = catalog.names()

OPTIMISED = {"optimizer": "adamw", "schedule": "cosine", "warmup": 0.5, "accumulate": 2, "clip": 1.0}
"""Settings of optimisation that differ from the papers' in everything."""
FEW = {"joint", "mla", "mslr"}
"""Methods that are tried with these settings in every run: one step, several, rates of their own."""


@pytest.fixture
def trainer_for(guarded, short):
    """A trainer as the stages make it; `on` says whose fusion."""

    def make(name: str, on: str = "", precision: str = "fp32", optim=(), **config):
        torch.manual_seed(0)
        kind = catalog.find(name)
        fusion = ModelConfig(fusion=catalog.find(on or name).fusion or "concat")
        model = FusionModel(guarded.specs, ("low", "middle", "high"), fusion, precision)
        method = kind(kind.Config(**{**short.get(name, {}), **config}))
        method.attach(model, warm=False)
        optim = OptimConfig(lr=0.02, ema=0.8, **dict(optim))
        return make_trainer(model, method, optim, guarded, torch.device("cpu"))

    return make


@pytest.fixture
def guarded(small_data, two_component_fit, monkeypatch):
    """The small data with posteriors and probabilities of being broken; reading a test sample is an error."""
    read = Samples.__getitems__

    def tripwire(self, indices):
        batch = read(self, indices)
        assert not any(i.startswith("test") for i in batch.sample_ids), "the test split was read in training"
        return batch

    monkeypatch.setattr(Samples, "__getitems__", tripwire)
    weights = torch.rand(len(small_data.fit), 1, generator=torch.Generator().manual_seed(0)).numpy()
    broken = np.random.default_rng(0).uniform(size=(len(small_data.fit), 2))
    return small_data.with_fit(small_data.fit.weighted(weights).judged(broken))


@pytest.mark.parametrize(
    ("name", "precision", "optim"),
    [
        *(pytest.param(name, "fp32", {}, marks=pytest.mark.long if name in FEW else ()) for name in ALL),
        *(pytest.param(name, "fp16", OPTIMISED, marks=() if name in FEW else pytest.mark.long) for name in ALL),
    ],
)
def test_resumed_at_any_epoch_equals_unbroken_and_the_test_split_is_never_read(
    name, precision, optim, trainer_for, guarded, tmp_path, make_model, make_context
) -> None:
    """Through the real loop and checkpoints, everything a checkpoint holds compared."""
    context = replace(make_context(make_model()), epochs=3, metrics={})

    def contents(trainer):
        checkpoint.save(trainer, tmp_path / "now.pt")
        return torch.load(tmp_path / "now.pt", weights_only=True)

    whole, told = trainer_for(name, precision=precision, optim=optim), []
    for values in fit(whole, guarded, 3, context):
        checkpoint.save(whole, tmp_path / f"{whole.epoch}.pt")
        told.append(values)
    for epoch in (1, 2):
        resumed = trainer_for(name, precision=precision, optim=optim)
        path = tmp_path / f"{epoch}.pt"
        checkpoint.load_trainer(resumed, checkpoint.read(path, resumed.device), str(path))
        assert list(fit(resumed, guarded, 3, context)) == told[epoch:]
        _assert_same(contents(resumed), contents(whole))


def _assert_same(a, b, where: str = "checkpoint") -> None:
    """Equality of nested dictionaries and lists of tensors and numbers, bit for bit."""
    if isinstance(a, Mapping):
        assert a.keys() == b.keys(), where
        for key in a:
            _assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            _assert_same(x, y, f"{where}[{i}]")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    else:
        assert a == b, where


def test_the_tripwire_trips(guarded) -> None:
    cache = guarded.val.cache
    test = Samples(cache, cache.sample_ids, np.zeros(len(cache.sample_ids), dtype=np.int64))
    with pytest.raises(AssertionError, match="test split was read"):
        list(guarded.ordered_batches(test))


@pytest.mark.parametrize(
    ("name", "config"),
    [("pmr", {"alpha": 0.0, "entropy": 0.0}), ("dr", {"strength": 0.0}), ("mslr", {"dynamic": False})],
)
def test_looking_at_the_data_changes_no_epoch(name, config, trainer_for, guarded) -> None:
    """Through the real loop: what `begin_epoch` reads and draws moves neither order, augmentation nor weights."""
    off = trainer_for(name, **config)
    list(fit(off, guarded, 3))
    joint = trainer_for("joint", on=name)
    list(fit(joint, guarded, 3))
    weights = off.model.state_dict()
    assert all(torch.equal(weights[key], value) for key, value in joint.model.state_dict().items())
