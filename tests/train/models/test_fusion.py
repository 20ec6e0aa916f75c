"""Fusion heads and mixups against their equations and hand-computed values."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from curate.errors import CurateError
from curate.torch.mixup import geodesic_mixup, linear_mixup, normalize
from curate.train.models.fusion import FUSIONS, Concat, Sum, Weight, common_dim


def scalar(x: float) -> torch.Tensor:
    return torch.tensor(x)


def test_concat_is_one_linear_layer_and_its_parts_add_up() -> None:
    fusion = Concat({"a": 3, "v": 5}, 4)
    features = {"a": torch.randn(7, 3), "v": torch.randn(7, 5)}
    logits, fused = fusion(features)
    whole = F.linear(torch.cat([features["a"], features["v"]], dim=1), fusion.head.weight, fusion.head.bias)
    torch.testing.assert_close(fused, whole)
    assert torch.equal(fused, logits["a"] + logits["v"])
    by_hand = features["a"] @ fusion.head.weight[:, :3].T + fusion.head.bias / 2
    torch.testing.assert_close(logits["a"], by_hand)


def test_sum_has_one_head_a_modality() -> None:
    fusion = Sum({"a": 3, "v": 5}, 4)
    features = {"a": torch.randn(2, 3), "v": torch.randn(2, 5)}
    logits, fused = fusion(features)
    torch.testing.assert_close(fused, sum(fusion.heads[m](features[m]) for m in "av"))
    assert torch.equal(logits["v"], fusion.heads["v"](features["v"]))


def test_weight_fusion_by_hand() -> None:
    """r_a = (.6, .3333), h = (.65917, 0) for f_a = (ln 3, 0), f_v = (0, 0)."""
    fusion = Weight({"a": 2, "v": 2}, 2)
    with torch.no_grad():
        fusion.head.weight.copy_(torch.eye(2))
        fusion.head.bias.zero_()
    _, fused = fusion({"a": torch.tensor([[math.log(3), 0.0]]), "v": torch.zeros(1, 2)})
    torch.testing.assert_close(fused, torch.tensor([[0.6 * math.log(3), 0.0]]))


def test_weight_fusion_survives_underflow_in_every_modality() -> None:
    fusion = Weight({"a": 2, "v": 2}, 2)
    features = {m: torch.tensor([[500.0, -500.0]], requires_grad=True) for m in "av"}
    fusion(features)[1].sum().backward()
    assert all(torch.isfinite(f.grad).all() for f in features.values())


@pytest.mark.parametrize("name", sorted(FUSIONS))
def test_unimodal_head_reproduces_the_unimodal_logits(name: str) -> None:
    fusion = FUSIONS[name]({"a": 4, "v": 4}, 3)
    features = {m: torch.randn(5, 4) for m in "av"}
    logits, _ = fusion(features)
    for m in "av":
        torch.testing.assert_close(fusion.unimodal_head(m)(features[m]), logits[m])


def test_unequal_feature_sizes_are_refused() -> None:
    with pytest.raises(CurateError, match="equal feature sizes"):
        common_dim({"a": 64, "v": 512}, "IPRM")


def test_geodesic_mixup_by_hand() -> None:
    a, v = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    torch.testing.assert_close(
        geodesic_mixup(a, v, scalar(0.25), scalar(0.75)), torch.tensor([[0.38268, 0.92388]]), atol=1e-5, rtol=0
    )
    sixty = torch.tensor([[0.5, math.sqrt(0.75)]])
    torch.testing.assert_close(
        geodesic_mixup(a, sixty, scalar(0.5), scalar(0.5)), 0.57735 * (a + sixty), atol=1e-5, rtol=0
    )


def test_geodesic_mixup_stays_on_the_sphere_and_ends_at_its_ends() -> None:
    g = torch.Generator().manual_seed(0)
    a, v = (normalize(torch.randn(50, 8, generator=g, dtype=torch.float64)) for _ in range(2))
    for w in (0.0, 0.2, 0.5, 0.9, 1.0):
        mixed = geodesic_mixup(a, v, torch.tensor(w), torch.tensor(1 - w))
        torch.testing.assert_close(mixed.norm(dim=1), torch.ones(50, dtype=torch.float64))
    torch.testing.assert_close(geodesic_mixup(a, v, scalar(1.0), scalar(0.0)), a)
    torch.testing.assert_close(
        geodesic_mixup(a, v, scalar(0.3), scalar(0.7)), geodesic_mixup(v, a, scalar(0.7), scalar(0.3))
    )


def test_geodesic_mixup_equals_the_arccos_formula_away_from_its_poles() -> None:
    g = torch.Generator().manual_seed(1)
    a, v = (normalize(torch.rand(20, 6, generator=g, dtype=torch.float64)) for _ in range(2))
    angle = torch.arccos((a * v).sum(1, keepdim=True))
    by_hand = (torch.sin(0.3 * angle) * a + torch.sin(0.7 * angle) * v) / torch.sin(angle)
    torch.testing.assert_close(geodesic_mixup(a, v, scalar(0.3), scalar(0.7)), by_hand)


@pytest.mark.parametrize(
    "second",
    [
        [1.0, 0.0],
        [1.0, 1e-5],
        [-1.0, 0.0],
        [-1.0, 1e-6],
        [0.0, 0.0],
    ],
    ids=["identical", "nearly identical", "opposite", "nearly opposite", "zero"],
)
def test_geodesic_mixup_is_finite_at_its_poles(second: list[float]) -> None:
    a = torch.tensor([[1.0, 0.0]], requires_grad=True)
    v = torch.tensor([second], requires_grad=True)
    mixed = geodesic_mixup(normalize(a), normalize(v), scalar(0.4), scalar(0.6))
    mixed.sum().backward()
    assert torch.isfinite(mixed).all() and torch.isfinite(a.grad).all() and torch.isfinite(v.grad).all()
    if second[0] == 1.0:
        torch.testing.assert_close(mixed.detach(), torch.tensor([[1.0, 0.0]]), atol=1e-4, rtol=0)
    elif second[0] == -1.0:
        torch.testing.assert_close(mixed.norm(), torch.tensor(1.0), atol=1e-4, rtol=0)


def test_linear_mixup_is_not_renormalised() -> None:
    a, v = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    assert torch.equal(linear_mixup(a, v, scalar(0.25), scalar(0.75)), torch.tensor([[0.25, 0.75]]))
