"""What a training takes, known beforehand: counted memory by hand, and nothing of the training is touched."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from curate.errors import CurateError
from curate.train.loop import estimate as estimating
from curate.train.loop.engine import make_trainer
from curate.train.loop.estimate import Estimate, estimate
from curate.train.methods.method import Method
from curate.train.methods.optim import OptimConfig
from curate.train.models.model import FusionModel, ModelConfig

CPU = torch.device("cpu")


@pytest.fixture
def trainer(small_data):
    model = FusionModel(small_data.specs, ("a", "b", "c"), ModelConfig())
    return make_trainer(model, Method(), OptimConfig(), small_data, CPU)


def test_nothing_of_the_training_changes(trainer, small_data) -> None:
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    drawn = torch.get_rng_state()
    found = estimate(trainer, small_data)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(torch.equal(v, before[k]) for k, v in trainer.model.state_dict().items())
    assert all(p.grad is None for p in trainer.model.parameters())
    assert found.step > 0


def test_memory_holds_the_weights_four_times_and_grows_with_the_batch(trainer, small_data) -> None:
    from dataclasses import replace

    weights = 4 * sum(4 * p.numel() for p in trainer.model.parameters())
    at = {size: estimate(trainer, replace(small_data, batch_size=size)).memory - weights for size in (4, 8, 16)}
    assert at[8] == pytest.approx(2 * at[4], rel=1e-6) and at[16] == pytest.approx(4 * at[4], rel=1e-6)
    # A step keeps at least its inputs.
    batch = trainer.transform(small_data.fit.__getitems__(range(4)))
    assert at[4] > sum(4 * x.numel() for x in batch.inputs.values())


def test_what_cannot_fit_is_refused(trainer, small_data, monkeypatch) -> None:
    needed = estimate(trainer, small_data).memory
    monkeypatch.setattr(estimating, "available", lambda device: needed)
    estimate(trainer, small_data)
    monkeypatch.setattr(estimating, "available", lambda device: needed - 1)
    with pytest.raises(CurateError, match="a step of 8 samples needs about") as caught:
        estimate(trainer, small_data)
    assert "optim.batch_size" in caught.value.hint


def test_the_limit_of_a_container_counts(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(estimating, "CGROUP", tmp_path / "memory.max")
    machine = estimating.available(CPU)
    (tmp_path / "memory.max").write_text("max\n")
    assert estimating.available(CPU) == machine
    (tmp_path / "memory.max").write_text("1000\n")
    assert estimating.available(CPU) == 1000


def test_the_line_is_arithmetic() -> None:
    line = Estimate(step=0.01, memory=2_500_000_000).describe(trained=300, predicted=600, epochs=30)
    assert line == "300 samples, 30 epochs of about 5.0 s: about 150 s and 2.5 GB of memory".replace("150 s", "2 min")
    assert np.isclose(Estimate(0.01, 0).seconds(300, 600), 5.0)


def test_a_step_that_another_process_slows_down_does_not_count(trainer, small_data, monkeypatch) -> None:
    """Steps take 10 ms a sample, but every second one 10 s more; the first only loads and plans."""
    tried = iter(range(100))
    monkeypatch.setattr(estimating, "_step", lambda *a: (0.01 * a[3] + 10 * (next(tried) % 2), 0))
    assert estimate(trainer, small_data).step == pytest.approx(0.01)
