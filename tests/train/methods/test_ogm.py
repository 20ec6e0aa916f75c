"""OGM against hand-computed coefficients and a naive double of a step."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from curate.torch.balance import damping
from curate.train.loop.engine import OptimConfig
from curate.train.methods.ogm import Ogm

PAIR = ("audio", "visual")


def plain_gradients(model, batch) -> dict[str, torch.Tensor]:
    """Gradients of joint training; the model's are cleared."""
    model.zero_grad(set_to_none=True)
    F.cross_entropy(model(batch.inputs).fused, batch.labels).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def modulated(method, model, batch) -> int | None:
    """One forward and backward pass, and the gradient edit."""
    model.zero_grad(set_to_none=True)
    outputs = method.forward(model, batch.inputs)
    method.loss(outputs, batch).backward()
    return method.modulate(model, outputs, batch)


def naive_factors(model, batch, alpha: float) -> dict[str, float]:
    """k_m sample by sample in Python floats."""
    with torch.no_grad():
        logits = model(batch.inputs).logits
    scores = {m: 0.0 for m in logits}
    for m, x in logits.items():
        for row, y in zip(x.tolist(), batch.labels.tolist(), strict=True):
            scores[m] += math.exp(row[y]) / sum(math.exp(v) for v in row)
    factors = {}
    for m, s in scores.items():
        others = [v for other, v in scores.items() if other != m]
        rho = s / (sum(others) / len(others))
        factors[m] = 1 - math.tanh(alpha * rho) if rho > 1 else 1.0
    return factors


def test_coefficients_by_hand() -> None:
    """S_a = 1.2, S_v = 1, alpha = .8; and the jump at rho = 1."""
    k = damping({"audio": torch.tensor(1.2), "visual": torch.tensor(1 / 1.2)}, 0.8)
    assert float(k["audio"]) == pytest.approx(0.2557, abs=5e-5)
    assert float(k["visual"]) == 1
    assert float(damping({"audio": torch.tensor(1.0001)}, 0.8)["audio"]) == pytest.approx(0.336, abs=5e-4)


@pytest.mark.parametrize("names", [PAIR, (*PAIR, "depth")])
@pytest.mark.parametrize("conv_only", [False, True])
def test_a_step_equals_a_naive_double(make_model, make_batch, make_method, names, conv_only: bool) -> None:
    model, batch = make_model(*names), make_batch(*names)
    method = make_method("ogm", model, alpha=0.7, conv_only=conv_only)
    before, factors = plain_gradients(model, batch), naive_factors(model, batch, 0.7)
    assert min(factors.values()) < 1 and max(factors.values()) == 1
    edited = modulated(method, model, batch)
    expected = 0
    for name, p in model.named_parameters():
        owner = next((m for m in names if name.startswith(f"encoders.{m}.")), None)
        if owner and p.ndim >= 2:
            expected += 1
            torch.testing.assert_close(p.grad, before[name] * factors[owner])
        else:
            assert torch.equal(p.grad, before[name]), name
    assert edited == expected == 4 * len(names)
    assert {(m, name) for m, name, _ in method.end_epoch(model)} == {(m, "gradient_factor") for m in names}
    assert {m: pytest.approx(v, rel=1e-5) for m, _, v in method.end_epoch(model)} == factors


@pytest.mark.parametrize(("epoch", "inside"), [(1, False), (2, True), (4, True), (5, False)])
def test_the_window_includes_both_ends(make_model, make_batch, make_method, epoch: int, inside: bool) -> None:
    model, batch = make_model(), make_batch()
    before = plain_gradients(model, batch)
    edited = modulated(make_method("ogm", model, epoch=epoch, first_epoch=2, last_epoch=4), model, batch)
    same = all(torch.equal(p.grad, before[name]) for name, p in model.named_parameters())
    assert (edited, same) == ((8, False) if inside else (None, True))


def test_where_there_is_nothing_to_edit_it_is_an_error(make_model, make_batch, make_method) -> None:
    """Encoders without convolutions: edited by default, and not in silence left alone with `conv_only`."""
    model, batch = make_model(), make_batch()
    for m in PAIR:
        model.encoders[m] = nn.Sequential(nn.Flatten(), nn.Linear(256, 64), nn.ReLU())
    optimizer = OptimConfig().make(model)
    make_method("ogm", model).step(model, optimizer, batch)
    with pytest.raises(RuntimeError, match="touched no parameter"):
        make_method("ogm", model, conv_only=True).step(model, optimizer, batch)


def test_scores_have_no_gradient(make_model, make_batch, make_method) -> None:
    model, batch = make_model(), make_batch()
    method = make_method("ogm", model)
    modulated(method, model, batch)
    assert not any(total.requires_grad for total in method.means.totals.values())


def test_defaults_are_the_paper_s() -> None:
    c = Ogm.Config()
    assert (c.alpha, c.first_epoch, c.last_epoch, c.conv_only) == (0.8, None, None, False)
    assert Ogm().windows(100) == {"gradient modulation": range(0, 51)}
