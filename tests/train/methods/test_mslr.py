"""MSLR: ratios by hand, and rates that reach the right parameters."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from curate.train.methods.mslr import Mslr, ratio
from curate.train.methods.optim import OptimConfig

ACCURACIES = {"audio": [0.5, 0.5, 0.5, 0.5, 0.5, 0.6], "visual": [0.4] * 6}


def begun(model, make_context, accuracies, **config):
    """A method and its optimizer after the epochs that gave these accuracies."""
    method = Mslr(Mslr.Config(**config))
    method.attach(model, False)
    optimizer = method.optimizer(model, OptimConfig(lr=0.1))
    count = len(next(iter(accuracies.values())))
    for epoch in range(count + 1):
        last = {m: {"accuracy": v[epoch - 1]} for m, v in accuracies.items()} if epoch else {}
        method.begin_epoch(model, epoch, make_context(model, optimizer, metrics=last))
    return method, optimizer


def test_ratio_by_hand() -> None:
    assert ratio(ACCURACIES["audio"], 5) == pytest.approx(1.2)
    assert ratio(ACCURACIES["audio"][:5], 5) == 1
    assert ratio([0.0, 0.0, 0.5], 2) == 1
    assert ratio([0.01, 0.9], 1) == 10 and ratio([0.9, 0.0], 1) == 0.1


@given(st.lists(st.floats(0, 1), max_size=12), st.integers(1, 5))
def test_a_ratio_is_always_between_a_tenth_and_ten(accuracies, window) -> None:
    assert 0.1 <= ratio(accuracies, window) <= 10


def test_rates_are_base_times_constant_times_ratio(make_model, make_context) -> None:
    model = make_model(fusion="sum")
    method, optimizer = begun(model, make_context, ACCURACIES, factors="audio=0.9")
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.1 * 0.9 * 1.2, 0.1, 0.1])
    audio, visual, rest = ({id(p) for p in g["params"]} for g in optimizer.param_groups)
    assert audio == {id(p) for p in [*model.encoders["audio"].parameters(), *model.fusion.heads["audio"].parameters()]}
    assert visual == {
        id(p) for p in [*model.encoders["visual"].parameters(), *model.fusion.heads["visual"].parameters()]
    }
    assert not rest
    assert {m: len(v) for m, v in method.accuracies.items()} == {"audio": 6, "visual": 6}


def test_a_step_is_longer_by_the_factor_and_the_other_modality_steps_as_before(
    make_model, make_context, make_batch
) -> None:
    def moved(**config):
        model = make_model(fusion="sum")
        before = {m: [p.detach().clone() for p in model.modality_parameters(m)] for m in model.modalities}
        method, optimizer = begun(model, make_context, ACCURACIES, **config)
        method.step(model.train(), optimizer, make_batch())
        return {
            m: [p - q for p, q in zip(model.modality_parameters(m), before[m], strict=True)] for m in model.modalities
        }

    dynamic, plain = moved(), moved(dynamic=False)
    for long, short in zip(dynamic["audio"], plain["audio"], strict=True):
        torch.testing.assert_close(long, 1.2 * short, rtol=1e-4, atol=1e-7)
    assert all(torch.equal(p, q) for p, q in zip(dynamic["visual"], plain["visual"], strict=True))


def test_the_schedule_goes_on_under_the_factors(make_model, make_context) -> None:
    """A factor multiplies the scheduled rate and never piles up on itself."""
    model = make_model(fusion="sum")
    method = Mslr(Mslr.Config(factors="audio=2", dynamic=False))
    method.attach(model, False)
    optim = OptimConfig(lr=0.1, step_size=2, gamma=0.5)
    optimizer = method.optimizer(model, optim)
    schedule, seen = optim.scheduler(optimizer), []
    for epoch in range(5):
        method.begin_epoch(model, epoch, make_context(model, optimizer, metrics={}))
        seen.append([g["lr"] for g in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    base = [0.1, 0.1, 0.05, 0.05, 0.025]
    assert seen == [pytest.approx([2 * b, b, b]) for b in base]


def test_gradients_instead_of_rates(make_model, make_context, make_batch) -> None:
    def gradients(**config):
        model = make_model(fusion="sum")
        method, optimizer = begun(model, make_context, ACCURACIES, **config)
        assert config == {} or [g["lr"] for g in optimizer.param_groups] == [0.1] * 3
        method.step(model.train(), optimizer, make_batch())
        return {m: [p.grad for p in model.modality_parameters(m)] for m in model.modalities}

    scaled, plain = gradients(scale="gradient"), gradients()
    for g, h in zip(scaled["audio"], plain["audio"], strict=True):
        torch.testing.assert_close(g, 1.2 * h)
    assert all(torch.equal(g, h) for g, h in zip(scaled["visual"], plain["visual"], strict=True))


def test_a_shared_head_keeps_the_runs_rate(make_model) -> None:
    model = make_model(fusion="concat")
    method = Mslr()
    method.attach(model, False)
    rest = method.optimizer(model, OptimConfig()).param_groups[-1]["params"]
    assert {id(p) for p in rest} == {id(p) for p in model.fusion.parameters()}
