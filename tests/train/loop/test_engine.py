"""The training loop and prediction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from curate.datasets.cache import prepare
from curate.errors import CurateError, NonFiniteError
from curate.train.data.samples import RunData
from curate.train.loop.engine import OptimConfig, Runtime, fit, make_trainer, predict
from curate.train.methods.method import Method
from curate.train.models.model import FusionModel, ModelConfig
from curate.train.stages.setup import split_samples
from curate.types import FUSED

CPU = torch.device("cpu")


@pytest.fixture
def dataset(toy):
    return toy(None, toy.Options())


@pytest.fixture
def data(dataset, tmp_path) -> RunData:
    cache = prepare(dataset, tmp_path)
    return RunData(
        split_samples(dataset, cache, "train"), split_samples(dataset, cache, "val"), dataset.specs, 16, 7, 0
    )


def trainer(dataset, data, method: Method | None = None, **optim):
    torch.manual_seed(0)
    model = FusionModel(dataset.specs, dataset.classes, ModelConfig())
    return make_trainer(model, method or Method(), OptimConfig(**{"lr": 0.02, **optim}), data, CPU)


def test_training_learns_and_every_epoch_is_told(dataset, data) -> None:
    t = trainer(dataset, data)
    losses = [dict(((s, m, k), v) for s, m, k, v in values)[("train", "all", "loss")] for values in fit(t, data, 4)]
    assert len(losses) == t.epoch == 4
    assert losses[-1] < losses[0]


def test_the_memory_of_a_step_is_told_and_a_batch_twice_as_large_keeps_twice_as_much(dataset, data) -> None:
    """Weights, gradients and momentum, thrice the weights, do not grow; nor do the statistics of batch norm, much."""

    def memory(size: int) -> list[float]:
        t = trainer(dataset, data)
        told = fit(t, replace(data, batch_size=size), 2)
        return [v for values in told for s, m, k, v in values if (s, m, k) == ("train", "all", "memory")]

    weights = sum(p.numel() * p.element_size() for p in trainer(dataset, data).model.parameters())
    small, large = memory(8), memory(16)
    assert len({*small}) == len({*large}) == 1, "the same in every epoch"
    assert (large[0] - 3 * weights) / (small[0] - 3 * weights) == pytest.approx(2, rel=0.02)


def test_the_best_epoch_is_the_earliest_of_highest_validation_accuracy(dataset, data) -> None:
    t = trainer(dataset, data)
    accuracies = [
        next(v for s, m, k, v in values if (s, m, k) == ("val", FUSED, "accuracy")) for values in fit(t, data, 5)
    ]
    assert t.best_epoch == int(np.argmax(accuracies)) + 1
    assert t.best_accuracy == max(accuracies)


def test_predictions_do_not_depend_on_batch_size(dataset, data) -> None:
    t = trainer(dataset, data)
    list(fit(t, data, 1))
    small, large = (predict(t, replace(data, eval_batch_size=n), data.fit) for n in (3, 50))
    assert (small.sample_ids == large.sample_ids).all()
    for m in (*dataset.modalities, FUSED):
        np.testing.assert_allclose(small.probs[m], large.probs[m], atol=1e-6)
        assert small.probs[m].dtype == np.float64
        np.testing.assert_allclose(small.probs[m].sum(1), 1, atol=1e-12)


def test_a_diverged_loss_names_the_samples_of_its_batch(dataset, data) -> None:
    class Poisoned(Method):
        def loss(self, outputs, batch):
            bad = torch.tensor([float("nan") if i == "train-007" else 1.0 for i in batch.sample_ids])
            return (super().loss(outputs, batch) * bad).mean()

    with pytest.raises(NonFiniteError, match=r"epoch 1, in the batch of samples .*train-0") as error:
        list(fit(trainer(dataset, replace(data, batch_size=8), Poisoned()), replace(data, batch_size=8), 1))
    batches = [set(b.sample_ids) for b in replace(data, batch_size=8).training_batches(0)]
    named = set(error.value.message.split("samples ")[1].removesuffix(", ...").split(", "))
    assert named == next(b for b in batches if "train-007" in b)


def test_the_learning_rate_follows_its_schedule(dataset, data) -> None:
    t = trainer(dataset, data, step_size=2, gamma=0.1)
    rates = [t.optimizer.param_groups[0]["lr"] for _ in fit(t, data, 5)]
    assert rates == pytest.approx([0.02, 0.002, 0.002, 0.0002, 0.0002])


@pytest.mark.parametrize("optim", [{"schedule": "cosine"}, {"schedule": "cosine", "warmup": 1.5}], ids=str)
def test_rates_follow_the_schedule_where_epochs_have_different_numbers_of_steps(dataset, data, optim) -> None:
    """Of 1, 2, 4 and 4 steps: each has lr times the factor at its place in the run, whatever came before."""
    data = replace(data, batch_size=len(data.fit) // 4)

    class Growing(Method):
        def begin_epoch(self, model, epoch, context) -> None:
            self.steps = (1, 2, 4, 4)[epoch]

        def order(self, sample_ids):
            return range(self.steps * data.batch_size)

        def step(self, model, optimizer, batch):
            rates.append(optimizer.param_groups[0]["lr"])
            return super().step(model, optimizer, batch)

    rates: list[float] = []
    t = trainer(dataset, data, Growing(), **optim)
    list(fit(t, data, 4))
    places = [(epoch + i / n, 1 / n) for epoch, n in enumerate((1, 2, 4, 4)) for i in range(n)]
    assert rates == pytest.approx([0.02 * t.optim.factor(done, 4, step) for done, step in places])


def test_half_precision_encoders_give_single_precision_logits(dataset, data) -> None:
    torch.manual_seed(0)
    model = FusionModel(dataset.specs, dataset.classes, ModelConfig(), precision="bf16")
    t = make_trainer(model, Method(), OptimConfig(), data, CPU)
    list(fit(t, data, 1))
    batch = t.transform(next(data.ordered_batches(data.fit)))
    out = model(batch.inputs)
    assert out.fused.dtype == out.features["audio"].dtype == torch.float32
    assert predict(t, data, data.val).probs[FUSED].dtype == np.float64


def test_run_data_has_no_test_split(data) -> None:
    seen = set(data.fit.sample_ids) | set(data.val.sample_ids)
    assert not any(i.startswith("test") for i in seen)
    assert not hasattr(data, "test")


@pytest.mark.parametrize("device", ["cuda:99", "gpu"])
def test_a_device_that_is_not_there(device: str) -> None:
    with pytest.raises(CurateError, match=device):
        Runtime(device=device).torch_device()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_gives_the_same_scores_to_float_noise(dataset, data) -> None:
    t = trainer(dataset, data)
    here = predict(t, data, data.val)
    cuda = make_trainer(t.model, t.method, OptimConfig(), data, torch.device("cuda:0"))
    np.testing.assert_allclose(predict(cuda, data, data.val).probs[FUSED], here.probs[FUSED], atol=1e-3)
