"""MMPareto against hand-computed directions and a naive double of a step."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from curate.train.loop.engine import OptimConfig
from curate.train.methods.mmpareto import integrate

PAIR = ("audio", "visual")


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_conflict_by_hand() -> None:
    """g = (1, 0), u = (-.5, .5): k = .4, h = (.2, .6), ||g + u|| = .7071, enlarged by 1.118."""
    (final,), conflict = integrate([tensor(1, 0)], [tensor(-0.5, 0.5)], 1.5)
    torch.testing.assert_close(final, tensor(0.3354, 1.0062), atol=5e-5, rtol=0)
    assert float(conflict) == 1


def test_without_conflict_it_is_the_enlarged_sum() -> None:
    (final,), conflict = integrate([tensor(1, 0)], [tensor(0.5, 2)], 1.5)
    torch.testing.assert_close(final, 1.5 * tensor(1.5, 2))
    assert float(conflict) == 0


def test_orthogonal_gradients_of_equal_norm_weigh_the_same() -> None:
    (final,), _ = integrate([tensor(1, 0)], [tensor(0, 1)], 1.0)
    torch.testing.assert_close(final, tensor(1, 1))


def test_zero_and_opposite_gradients_are_finite() -> None:
    (final,), conflict = integrate([tensor(0, 0)], [tensor(3, 4)], 2.0)
    torch.testing.assert_close(final, tensor(6, 8))
    assert float(conflict) == 0
    (final,), _ = integrate([tensor(1, 1)], [tensor(-1, -1)], 1.5)
    assert torch.equal(final, tensor(0, 0))
    (final,), _ = integrate([tensor(0, 0)], [tensor(0, 0)], 1.5)
    assert torch.equal(final, tensor(0, 0))


def test_the_direction_is_the_encoder_s_and_the_magnitude_the_tensor_s() -> None:
    """Two tensors in conflict as a whole: one k for both, and a rescaling each."""
    g, u = [tensor(1, 0), tensor(2, 0)], [tensor(-1, 1), tensor(-1, 0)]
    dot, gg, uu = -3.0, 5.0, 3.0
    k = (uu - dot) / (gg + uu - 2 * dot)
    finals, _ = integrate([x.clone() for x in g], u, 1.5)
    for final, a, b in zip(finals, g, u, strict=True):
        h = 2 * k * a + 2 * (1 - k) * b
        torch.testing.assert_close(final, 1.5 * max(float((a + b).norm() / h.norm()), 1.0) * h)


VECTOR = st.lists(st.floats(-5, 5).map(lambda x: round(x, 2)), min_size=3, max_size=3)


@given(VECTOR, VECTOR)
def test_one_tensor_s_step_lowers_both_losses_and_is_long_enough(a: list[float], b: list[float]) -> None:
    g, u = tensor(*a), tensor(*b)
    (final,), _ = integrate([g.clone()], [u], 1.5)
    assert torch.isfinite(final).all()
    assert float(final @ g) >= -1e-9 * (1 + float(g @ g)) and float(final @ u) >= -1e-9 * (1 + float(u @ u))
    if float(final.norm()) > 1e-6:
        assert float(final.norm()) >= 1.5 * float((g + u).norm()) - 1e-6


def naive_gradients(model, method, batch) -> dict[str, torch.Tensor]:
    """By whole backward passes, one a loss and one for the sum."""

    def backward(*names: str) -> dict[str, torch.Tensor]:
        model.zero_grad(set_to_none=True)
        out = method.forward(model, batch.inputs)
        losses = {m: F.cross_entropy(x, batch.labels) for m, x in {**out.logits, "fused": out.fused}.items()}
        sum(losses[n] for n in names).backward()
        return {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in model.named_parameters()}

    final, joint = backward("fused", *model.modalities), backward("fused")
    for m in model.modalities:
        alone = backward(m)
        own = [n for n in final if n.startswith(f"encoders.{m}.")]
        g, u = (torch.cat([grads[n].flatten() for n in own]) for grads in (joint, alone))
        k = 0.5
        if torch.dot(g, u) <= 0:
            k = float(torch.dot(u - g, u) / (g - u).square().sum())
        for n in own:
            h = 2 * k * joint[n] + 2 * (1 - k) * alone[n]
            final[n] = 1.5 * max(float(final[n].norm() / h.norm()), 1.0) * h
    return final


@pytest.mark.parametrize("names", [PAIR, (*PAIR, "depth")])
@pytest.mark.parametrize("conflict", [False, True])
def test_a_step_equals_a_naive_double(make_model, make_batch, make_method, names, conflict: bool) -> None:
    model, batch = make_model(*names), make_batch(*names)
    method = make_method("mmpareto", model)
    for m in names:  # own heads that want what the fusion wants, or the opposite
        with torch.no_grad():
            model.extra["own"][m].weight.copy_((-1 if conflict else 1) * model.fusion.unimodal_head(m).weight)
    model.train()
    expected = naive_gradients(model, method, batch)
    loss = method.step(model, OptimConfig().make(model), batch)
    for n, p in model.named_parameters():
        torch.testing.assert_close(p.grad, expected[n], rtol=1e-4, atol=1e-6)
    out = method.forward(model, batch.inputs)
    assert loss.shape == () and not loss.requires_grad
    assert {(m, metric) for m, metric, _ in method.end_epoch(model)} == {(m, "conflict") for m in names}
    assert all(share == conflict for _, _, share in method.end_epoch(model))
    assert out.fused.shape == (6, 3)


def test_the_reported_loss_is_the_sum(make_model, make_batch, make_method) -> None:
    model, batch = make_model(), make_batch()
    method = make_method("mmpareto", model)
    out = method.forward(model, batch.inputs)
    expected = sum(F.cross_entropy(x, batch.labels) for x in (out.fused, *out.logits.values()))
    torch.testing.assert_close(method.loss(out, batch), expected)
    torch.testing.assert_close(method.step(model, OptimConfig().make(model), batch), expected.detach())


def test_heads_are_not_enlarged(make_model, make_batch, make_method) -> None:
    """gamma reaches the encoders alone."""
    gradients = []
    for gamma in (1.0, 3.0):
        model = make_model()
        make_method("mmpareto", model, gamma=gamma).step(model, OptimConfig().make(model), make_batch())
        gradients.append({n: p.grad for n, p in model.named_parameters()})
    for n, g in gradients[0].items():
        torch.testing.assert_close(gradients[1][n], g * (3 if n.startswith("encoders.") else 1))
