"""The adaptive loss against hand-computed values, a naive double of Eq. 11, and its symmetries."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from curate.scores import posteriors
from curate.torch.losses import multimodal_cross_entropy, posterior_balanced
from curate.train.data.samples import Batch
from curate.train.methods.adaptive import Adaptive
from curate.train.methods.method import Context
from curate.train.models.model import Outputs
from curate.types import MixtureFit

A, V = torch.tensor([[math.log(3), 0.0]]), torch.tensor([[0.0, 0.0]])


def outputs(a: torch.Tensor, v: torch.Tensor, **more: torch.Tensor) -> Outputs:
    logits = {"audio": a, "visual": v, **more}
    return Outputs({}, logits, torch.stack(list(logits.values())).sum(0))


def batch(labels: list[int], w0: list[list[float]] | None = None) -> Batch:
    weights = None if w0 is None else torch.tensor(w0)
    return Batch(np.array([str(i) for i in range(len(labels))]), {}, torch.tensor(labels), weights)


def adaptive(fit: MixtureFit, epoch: int = 0, kind: str = "prob", pairs: int = 1, **config: object) -> Adaptive:
    method = Adaptive(Adaptive.Config(**config))
    method.begin_epoch(None, epoch, Context((fit,) * pairs, kind))
    return method


def test_loss_by_hand(two_component_fit: MixtureFit) -> None:
    w0 = float(posteriors.p_balanced(two_component_fit, np.array([0.25]))[0])
    assert w0 == pytest.approx(0.619091, abs=1e-6)
    first = adaptive(two_component_fit).loss(outputs(A, V), batch([0], [[w0]]))
    assert float(first) == pytest.approx(1.245237, abs=2e-6)
    second = adaptive(two_component_fit, epoch=1).loss(outputs(A, V), batch([0], [[w0]]))
    assert float(second) == pytest.approx(1.202553, abs=2e-6)


def test_gradient_of_the_squared_gap_by_hand(two_component_fit: MixtureFit) -> None:
    a, v = A.clone().requires_grad_(), V.clone().requires_grad_()
    method = adaptive(two_component_fit, alpha=0.0, gamma=0.0, unimodal=False)
    method.loss(outputs(a, v), batch([0], [[0.5]])).backward()
    torch.testing.assert_close(a.grad, torch.tensor([[0.09375, -0.09375]]))
    torch.testing.assert_close(v.grad, torch.tensor([[-0.125, 0.125]]))


def test_detach_strong_spares_the_modality_ahead(two_component_fit: MixtureFit) -> None:
    a, v = A.clone().requires_grad_(), V.clone().requires_grad_()
    method = adaptive(two_component_fit, alpha=0.0, gamma=0.0, unimodal=False, detach_strong=True)
    method.loss(outputs(a, v), batch([0], [[0.5]])).backward()
    assert torch.equal(a.grad, torch.zeros(1, 2))
    torch.testing.assert_close(v.grad, torch.tensor([[-0.125, 0.125]]))


def naive(out: Outputs, b: Batch, c: Adaptive.Config, epoch: int, centre: float, kind: str, classes: int) -> float:
    """Eq. 11 sample by sample, in Python floats."""
    total = 0.0
    for i, y in enumerate(b.labels.tolist()):
        p = {m: torch.softmax(x[i].double(), 0).tolist() for m, x in out.logits.items()}
        fused = torch.softmax(out.fused[i].double(), 0).tolist()
        known = {m: q[y] if kind == "prob" else sum(x * math.log(x * classes) for x in q) for m, q in p.items()}
        scale = math.log(classes) if kind == "kl" and c.kl_scale == "log_classes" else 1.0
        g = (known["audio"] - known["visual"]) / scale
        w0 = float(b.p_balanced[i, 0])
        w1 = 1 - w0
        bracket = c.beta * g * g + c.gamma * w1 * (g - centre / scale) ** 2 - sum(math.log(q[y]) for q in p.values())
        total += c.alpha * w0 * -math.log(fused[y]) + c.decay**epoch * bracket
    return total / len(b.labels)


@pytest.mark.parametrize("kind", ["prob", "kl"])
@pytest.mark.parametrize("scale", ["log_classes", "literal"])
def test_loss_equals_a_naive_double(two_component_fit: MixtureFit, kind: str, scale: str) -> None:
    g = torch.Generator().manual_seed(0)
    a, v = torch.randn(5, 4, generator=g), torch.randn(5, 4, generator=g)
    b = batch([0, 1, 2, 3, 1], torch.rand(5, 1, generator=g).tolist())
    fit = MixtureFit(
        "gaussian",
        np.array([0.7, 0.3]),
        np.array([0.07, 0.6]),
        np.array([0.1, 0.2]),
        np.array([np.inf, np.inf]),
        0,
        "second_moment",
    )
    config = {"alpha": 0.7, "beta": 1.3, "gamma": 0.4, "decay": 0.9, "kl_scale": scale}
    method = adaptive(fit, epoch=3, kind=kind, **config)
    expected = naive(outputs(a, v), b, method.config, 3, 0.07, kind, 4)
    assert float(method.loss(outputs(a, v), b)) == pytest.approx(expected, rel=1e-5)


def test_with_everything_off_it_is_the_warm_up_loss(two_component_fit: MixtureFit) -> None:
    method = adaptive(two_component_fit, beta=0.0, gamma=0.0, decay=1.0, use_weights=False)
    a, v = torch.randn(6, 3), torch.randn(6, 3)
    b = batch([0, 1, 2, 0, 1, 2], [[0.3]] * 6)
    torch.testing.assert_close(
        method.loss(outputs(a, v), b), multimodal_cross_entropy(outputs(a, v).logits, outputs(a, v).fused, b.labels)
    )


@pytest.mark.parametrize(
    "change", [{"alpha": 0.0}, {"beta": 0.0}, {"gamma": 0.0}, {"use_weights": False}, {"unimodal": False}]
)
def test_each_ablation_changes_a_gradient(two_component_fit: MixtureFit, change: dict[str, object]) -> None:
    def gradient(**config: object) -> torch.Tensor:
        a = torch.tensor([[0.5, -0.2, 0.1]], requires_grad=True)
        out = outputs(a, torch.tensor([[-0.3, 0.4, 0.0]]))
        adaptive(two_component_fit, **config).loss(out, batch([0], [[0.4]])).backward()
        return a.grad

    assert not torch.equal(gradient(), gradient(**change))


def test_swapping_modalities_mirrors_the_fit_and_leaves_the_loss(two_component_fit: MixtureFit) -> None:
    f = two_component_fit
    mirrored = MixtureFit("gaussian", f.weights[::-1].copy(), -f.locs[::-1], f.scales[::-1].copy(), f.dofs, 1, f.rule)
    a, v = torch.randn(4, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    b = batch([0, 1, 2, 0])
    for kind in ("fixed", "online"):
        b = batch([0, 1, 2, 0], [[0.2], [0.9], [0.5], [0.7]])
        here = adaptive(f, posteriors=kind).loss(outputs(a, v), b)
        there = adaptive(mirrored, posteriors=kind).loss(outputs(v, a), b)
        torch.testing.assert_close(here, there)


@pytest.mark.parametrize("dofs", [(4.0, 4.0), (4.0, 30.0), (1e6, 1e6), (np.inf, np.inf)])
def test_device_posterior_equals_the_table_s(two_component_fit: MixtureFit, dofs: tuple[float, float]) -> None:
    f = two_component_fit
    family = "gaussian" if np.isinf(dofs).all() else "student-t"
    fit = MixtureFit(family, f.weights, f.locs, f.scales, np.array(dofs), 0, f.rule)
    gaps = np.linspace(-1, 1, 41)
    ours = posterior_balanced(torch.from_numpy(gaps), fit).numpy()
    np.testing.assert_allclose(ours, posteriors.p_balanced(fit, gaps), atol=1e-6)
    monotone = replace(fit, limits=posteriors.monotone_limits(fit))
    ours = posterior_balanced(torch.from_numpy(gaps), monotone).numpy()
    assert np.isfinite(monotone.limits).any() and (np.diff(ours) <= 1e-12).all()
    np.testing.assert_allclose(ours, posteriors.p_balanced(monotone, gaps), atol=1e-6)


def test_online_posteriors_follow_the_current_gap_without_gradient(two_component_fit: MixtureFit) -> None:
    w0 = posteriors.p_balanced(two_component_fit, np.array([0.25]))
    online = adaptive(two_component_fit, posteriors="online").loss(outputs(A, V), batch([0]))
    fixed = adaptive(two_component_fit).loss(outputs(A, V), batch([0], [[float(w0[0])]]))
    torch.testing.assert_close(online, fixed)
    grads = []
    for config in ("online", "fixed"):
        a = A.clone().requires_grad_()
        adaptive(two_component_fit, posteriors=config).loss(outputs(a, V), batch([0], [[float(w0[0])]])).backward()
        grads.append(a.grad)
    torch.testing.assert_close(grads[0], grads[1])


def test_three_modalities_average_their_pairs(two_component_fit: MixtureFit) -> None:
    """A third modality equal to the first: pairs (a,v), (a,d), (v,d) have gaps g, 0, -g."""
    g = 0.25
    w0 = [0.6, 0.9, 0.3]
    method = adaptive(two_component_fit, pairs=3)
    out = outputs(A, V, depth=A)
    loss = float(method.loss(out, batch([0], [w0])))
    terms = np.mean([x**2 + (1 - w) * x**2 for x, w in zip((g, 0, -g), w0, strict=True)])
    cross = [float(F.cross_entropy(x, torch.tensor([0]))) for x in (out.fused, A, V, A)]
    assert loss == pytest.approx(np.mean(w0) * cross[0] + terms + sum(cross[1:]), rel=1e-6)


def test_annealing_is_kept_for_the_table(two_component_fit: MixtureFit) -> None:
    assert adaptive(two_component_fit, epoch=2).end_epoch(None) == [("all", "lambda", pytest.approx(0.96**2))]
