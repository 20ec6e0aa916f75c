"""The shared maths of the balancing methods: theorems that hold for every batch."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import CurateError
from curate.torch.balance import damping, discrepancy, drop_features, drop_probabilities, modulate_gradients
from curate.train.methods import catalog
from curate.train.methods.means import Means
from curate.train.models.model import Outputs

NAMES = ("audio", "visual", "depth", "text", "flow")
P = st.floats(0.001, 0.999)


def outputs_of(probabilities: dict[str, list[float]]) -> Outputs:
    """Two classes, label 0: each modality's probability of it, sample by sample."""
    logits = {m: torch.tensor([[p, 1 - p] for p in ps], dtype=torch.float64).log() for m, ps in probabilities.items()}
    return Outputs({}, logits, torch.stack(list(logits.values())).sum(dim=0))


def ratios_of(probabilities: dict[str, list[float]]) -> dict[str, torch.Tensor]:
    size = len(next(iter(probabilities.values())))
    return discrepancy(outputs_of(probabilities).logits, torch.zeros(size, dtype=torch.long))


def test_two_modalities_by_hand() -> None:
    ratios = ratios_of({"audio": [0.7, 0.5], "visual": [0.6, 0.4]})
    assert float(ratios["audio"]) == pytest.approx(1.2)
    assert float(ratios["visual"]) == pytest.approx(1 / 1.2)


def test_three_modalities_are_held_against_the_mean_of_the_others() -> None:
    ratios = ratios_of({"audio": [0.9], "visual": [0.4], "depth": [0.2]})
    assert [float(r) for r in ratios.values()] == pytest.approx([0.9 / 0.3, 0.4 / 0.55, 0.2 / 0.65])


@given(st.lists(P, min_size=2, max_size=5))
def test_the_weakest_modality_is_never_ahead_nor_edited(ps: list[float]) -> None:
    ratios = ratios_of({m: [p] for m, p in zip(NAMES, ps, strict=False)})
    weakest = min(ratios, key=lambda m: float(ratios[m]))
    assert float(ratios[weakest]) <= 1
    assert float(damping(ratios, 0.8)[weakest]) == 1
    assert float(drop_probabilities(ratios, 0.5, 0.5)[weakest]) == 0


@given(P, st.integers(2, 5))
def test_equal_modalities_are_left_alone(p: float, count: int) -> None:
    """Whatever rounding says of the mean of several equal numbers."""
    ratios = ratios_of({m: [p, p / 3, p / 7] for m in NAMES[:count]})
    assert all(float(k) == 1 for k in damping(ratios, 0.8).values())
    assert all(float(q) == 0 for q in drop_probabilities(ratios, 0.5, 0.5).values())


@given(st.lists(st.tuples(P, P), min_size=1, max_size=4), st.floats(0, 5))
def test_exchanging_two_modalities_exchanges_their_coefficients(ps: list[tuple[float, float]], alpha: float) -> None:
    a, v = [x for x, _ in ps], [y for _, y in ps]
    here, there = (damping(ratios_of(p), alpha) for p in ({"a": a, "v": v}, {"v": v, "a": a}))
    assert here == there
    assert all(0 <= float(k) <= 1 for k in here.values())


def test_a_matrix_is_damped_and_a_bias_is_not() -> None:
    """At rho = 1.2 and, if nothing is said, alpha = 0.8: 1 - tanh(0.96) = 0.2557."""
    logits = outputs_of({"audio": [0.7, 0.5], "visual": [0.6, 0.4]}).logits
    weights = {m: [torch.zeros(2, 2), torch.zeros(2)] for m in logits}
    for p in (p for ps in weights.values() for p in ps):
        p.grad = torch.ones_like(p)
    factors, edited = modulate_gradients(weights, logits, torch.zeros(2, dtype=torch.long), noise="none")
    assert float(factors["audio"]) == pytest.approx(0.2557, abs=1e-4) and edited == 2
    for m, expected in (("audio", 0.2557), ("visual", 1.0)):
        assert weights[m][0].grad.flatten().tolist() == pytest.approx([expected] * 4, abs=1e-4)
        assert weights[m][1].grad.tolist() == [1, 1]


def test_saturated_logits_give_finite_ratios() -> None:
    logits = {"audio": torch.tensor([[-200.0, 200.0]]), "visual": torch.tensor([[200.0, -200.0]])}
    ratios = discrepancy(logits, torch.tensor([0]))
    assert all(torch.isfinite(r) for r in ratios.values())
    assert float(damping(ratios, 0.8)["visual"]) == pytest.approx(0)
    both = {m: torch.tensor([[-200.0, 200.0]]) for m in ("audio", "visual")}
    assert float(discrepancy(both, torch.tensor([0]))["audio"]) == 1


@given(st.lists(st.tuples(st.integers(1, 9), st.floats(0, 0.9)), min_size=2, max_size=4))
def test_the_expected_mass_of_the_features_is_kept(parts: list[tuple[int, float]]) -> None:
    """sum_m D_m (1 - q_m) / (1 - theta) = sum_m D_m."""
    dims = [d for d, _ in parts]
    kept_share = 1 - sum(d * q for d, q in parts) / sum(dims)
    features = {m: torch.ones(1, d, dtype=torch.float64) for m, d in zip(NAMES, dims, strict=False)}
    nothing = drop_features(features, {m: torch.tensor(0.0) for m in features})
    assert all(torch.equal(nothing[m], f) for m, f in features.items())
    assert sum(d * (1 - q) / kept_share for d, q in parts) == pytest.approx(sum(dims))


def test_features_are_dropped_as_often_as_they_should() -> None:
    """4000 samples, q = .3: the count lies within five standard deviations; the rest is scaled alike in both."""
    n, q = 4000, 0.3
    torch.manual_seed(0)
    out = drop_features({"a": torch.ones(n, 6), "v": torch.ones(n, 2)}, {"a": torch.tensor(q), "v": torch.tensor(0.0)})
    scale = 1 / (1 - 6 * q / 8)
    dropped = (out["a"] == 0).all(dim=1)
    assert abs(int(dropped.sum()) - n * q) < 5 * math.sqrt(n * q * (1 - q))
    torch.testing.assert_close(out["a"][~dropped], torch.full((int((~dropped).sum()), 6), scale))
    torch.testing.assert_close(out["v"], torch.full((n, 2), scale))


def test_means_are_over_the_steps() -> None:
    means = Means()
    assert means.rows() == []
    for a, v in ((0.2, 1.0), (0.6, 1.0)):
        means.add(k={"audio": torch.tensor(a), "visual": torch.tensor(v)})
    assert means.rows() == [("audio", "k", pytest.approx(0.4)), ("visual", "k", 1.0)]


@pytest.mark.parametrize(
    ("name", "knobs", "said"),
    [
        ("ogm", {"alpha": -1.0}, "method.alpha=-1.0"),
        ("ogm_ge", {"first_epoch": 9, "last_epoch": 3}, "method.first_epoch=9, method.last_epoch=3"),
        ("opm", {"q_base": 1.5}, "method.q_base=1.5"),
        ("opm_ogm", {"p_exe": 2.0}, "method.p_exe=2.0"),
        ("agm", {"clip": -1.0}, "method.clip=-1.0"),
        ("mmpareto", {"gamma": 0.0}, "method.gamma=0.0"),
        ("mmcosine", {"scale": math.nan}, "method.scale=nan"),
        ("greedy", {"window": 0}, "method.window=0"),
    ],
)
def test_knobs_out_of_range_are_named(name: str, knobs: dict[str, float], said: str) -> None:
    with pytest.raises(CurateError) as refused:
        catalog.find(name).Config(**knobs)
    assert refused.value.message == f"out of range: {said}"
    assert "expected" in refused.value.hint
