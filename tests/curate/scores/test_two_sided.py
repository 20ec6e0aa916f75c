"""The two-sided mixture: numbers computed by hand, and what its form guarantees on any data.

Letters: N samples, P pairs.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.integrate import quad
from sklearn.metrics import roc_auc_score

from curate.errors import CurateError
from curate.scores import mixture, two_sided
from curate.scores.cells import gather, single
from curate.scores.posteriors import density, p_balanced
from curate.scores.scoring import MixtureConfig, fit_gaps, fit_round
from curate.scores.two_sided import LEAST, PEAK, TAILS, WEIGHTS, climb, fit, reach
from curate.types import GapScores, MixtureFit

GRID = np.linspace(0, 1, 2001)
GAPS = arrays(np.float64, st.integers(1, 60), elements=st.floats(-1, 1, width=32))


def by_hand(weight: float = 0.5, peak: float = 0.2, tails: float = 0.25, dof: float = 4.0) -> MixtureFit:
    return MixtureFit(
        two_sided.FAMILY,
        np.array([weight, 1 - weight]),
        np.zeros(2),
        np.array([peak, tails]),
        np.full(2, dof),
        0,
        two_sided.RULE,
    )


def worlds(seed: int = 0, n: int = 2000) -> dict[str, np.ndarray]:
    """Gaps as models leave them: calibrated, over-confident, half trained, one modality ahead everywhere."""
    rng = np.random.default_rng(seed)

    def gaps(classes: int, strong: float, weak: float, sharp: float = 1.0) -> np.ndarray:
        y, p = rng.integers(0, classes, n), []
        for strength in (strong, weak):
            z = rng.normal(0, 1, (n, classes))
            z[np.arange(n), y] += strength
            e = np.exp(sharp * (z - z.max(axis=1, keepdims=True)))
            p.append((e / e.sum(axis=1, keepdims=True))[np.arange(n), y])
        return p[0] - p[1]

    return {
        "2 classes": gaps(2, 2, 1),
        "10 classes, even": gaps(10, 3, 3),
        "10 classes, one far ahead": gaps(10, 5, 1),
        "over-confident": gaps(10, 3, 2, 10.0),
        "1000 classes": gaps(1000, 9, 7),
        "1000 classes, nothing learnt": gaps(1000, 1, 1),
        "mean -0.3": np.clip(rng.normal(-0.3, 0.2, n), -1, 1),
        "mean -0.7": np.clip(rng.normal(-0.7, 0.15, n), -1, 1),
        "a bell off centre": np.clip(rng.normal(0.19, 0.33, 300), -1, 1),
        "ten samples": rng.uniform(-1, 1, 10),
        "three samples": np.array([0.9, -0.8, 0.7]),
        "one sample": np.array([0.95]),
        "all the same": np.full(50, -0.6),
        "two values": np.repeat([1.0, -1.0], 20),
    }


def test_a_posterior_computed_by_hand():
    # t_4(1) / 0.2 = 0.375 * 1.25^-2.5 / 0.2 = 1.073313 for the peak; v_1 = 0.0625 * 2, so the factor of the tails is
    # 0.04 / 0.125 = 0.32, times t_4(0.8) / 0.25 = 0.375 * 1.16^-2.5 / 0.25 = 1.035010.
    parts = density(by_hand(), np.array([0.2]))[:, 0]
    np.testing.assert_allclose(parts, [0.5 * 1.073313, 0.5 * 0.32 * 1.035010], rtol=1e-5)
    np.testing.assert_allclose(p_balanced(by_hand(), np.array([0.2, -0.2, 0.0])), [0.764203, 0.764203, 1.0], atol=3e-5)


@pytest.mark.parametrize("dof", [2.5, 4.0, 30.0])
def test_both_components_are_densities(dof):
    for k, weight in enumerate((0.65, 0.35)):
        half, _ = quad(lambda g, k=k: density(by_hand(0.65, 0.1, 0.3, dof), np.array([g]))[k, 0], 0, np.inf)
        assert 2 * half == pytest.approx(weight, abs=1e-4)


@given(st.floats(*WEIGHTS), st.floats(*PEAK), st.floats(*TAILS), st.floats(2.1, 50))
def test_within_the_bounds_the_posterior_falls_to_both_sides_and_is_high_where_samples_are_plainly_balanced(w, s, t, v):
    curve = p_balanced(by_hand(w, s, t, v), GRID)
    assert curve[0] == 1 and (np.diff(curve) < 0).all()
    np.testing.assert_array_equal(curve, p_balanced(by_hand(w, s, t, v), -GRID))
    assert curve[GRID <= 0.05].min() >= 0.95
    assert curve[-1] > 0 and p_balanced(by_hand(w, s, t), GRID[-1:])[0] < 0.2, "a gap of 1, and no rounded 0"


@pytest.mark.parametrize("name", worlds())
def test_on_any_data_a_threshold_leaves_something_and_the_ranking_is_that_of_the_gap(name):
    gaps = worlds()[name]
    found = fit(gaps)
    p = p_balanced(found, gaps)
    assert (p >= 0.8).any() and np.isfinite(p).all()
    assert (p >= 0.8).mean() >= LEAST or len(gaps) < 10
    order = np.argsort(np.abs(gaps), kind="stable")
    assert (np.diff(p[order]) <= 0).all()
    truth = np.abs(gaps + np.random.default_rng(1).normal(0, 0.2, len(gaps))) > np.median(np.abs(gaps))
    if truth.any() and not truth.all():
        assert roc_auc_score(truth, 1 - p) == pytest.approx(roc_auc_score(truth, np.abs(gaps)), abs=0.001)


@given(GAPS)
def test_no_gaps_break_it(gaps):
    found = fit(gaps)
    p = p_balanced(found, gaps)
    assert (p >= 0.8).any() and ((p >= 0) & (p <= 1)).all()
    np.testing.assert_array_equal(p_balanced(fit(-gaps), -gaps), p)


def test_large_gaps_are_not_kept_where_small_ones_are_to_be_had():
    for name in ("10 classes, even", "over-confident", "a bell off centre", "1000 classes", "mean -0.3"):
        gaps = worlds()[name]
        kept = np.abs(gaps[p_balanced(fit(gaps), gaps) >= 0.8])
        assert kept.max() < 0.4 and 0.1 < len(kept) / len(gaps) < 0.9, name


def test_where_hardly_a_sample_is_balanced_it_says_so_and_keeps_the_least_imbalanced_tenth():
    gaps = worlds()["mean -0.7"]
    found = fit(gaps)
    kept = p_balanced(found, gaps) >= 0.8
    assert found.outcome == "none_balanced" and found.warnings[0].startswith("hardly a sample is balanced")
    assert 0.1 <= kept.mean() < 0.15 and np.abs(gaps[kept]).max() < np.abs(gaps[~kept]).min()


def test_outcomes_name_what_cannot_be_fitted():
    assert fit(np.array([])).outcome == "too_few" and len(p_balanced(fit(np.array([])), np.array([]))) == 0
    assert fit(np.array([0.1, -0.2])).outcome == "too_few"
    assert fit(np.zeros(50)).outcome == "degenerate" and (p_balanced(fit(np.zeros(50)), np.zeros(50)) == 1).all()
    rng = np.random.default_rng(0)
    assert fit(rng.standard_t(4, 2000) * 0.15).outcome == "one_bell"
    apart = np.concatenate([rng.normal(0, 0.05, 1000), rng.normal(0.7, 0.1, 200), rng.normal(-0.7, 0.1, 200)])
    assert fit(apart).outcome == "ok"
    for wrong in (np.array([np.nan]), np.array([np.inf, 0]), np.zeros((2, 2, 2))):
        with pytest.raises(ValueError, match="finite"):
            fit(wrong)
    with pytest.raises(ValueError, match="dof"):
        fit(apart, dof=2.0)


def test_the_likelihood_never_falls_and_no_neighbour_within_the_bounds_is_likelier():
    rng = np.random.default_rng(3)
    gaps = np.concatenate([rng.normal(0, 0.08, 900), rng.normal(0.6, 0.2, 300)]).clip(-1, 1)
    size = gather(np.abs(gaps))
    best, trace, converged = climb(size, 4.0)
    assert converged and (np.diff(trace) >= -1e-9).all()

    def likelihood(weight: float, peak: float, tails: float) -> float:
        return float(np.log(density(by_hand(weight, peak, tails), gaps).sum(axis=0)).sum())

    assert likelihood(*best) == pytest.approx(trace[-1], abs=1e-6)
    for k, (low, high) in enumerate((WEIGHTS, PEAK, TAILS)):
        for step in (-0.01, 0.01):
            moved = list(best)
            moved[k] = float(np.clip(moved[k] + step * (high - low), low, high))
            assert likelihood(*moved) <= trace[-1] + 1e-3


@pytest.mark.long
def test_cells_stand_for_single_gaps():
    gaps = worlds(5, 60_000)["10 classes, even"]
    whole, some = fit(gaps), fit(gaps[:20_000])
    np.testing.assert_allclose(whole.scales, some.scales, atol=0.01)
    exact, _, _ = climb(single(np.abs(gaps)), 4.0)
    np.testing.assert_allclose([whole.weights[0], *whole.scales], exact, atol=1e-4)


def test_another_unit_changes_nothing():
    gaps = worlds()["10 classes, even"]
    here, there = fit(gaps), fit(3 * gaps, scale=3.0)
    np.testing.assert_allclose(there.scales, 3 * here.scales, rtol=1e-6)
    np.testing.assert_allclose(p_balanced(there, 3 * gaps), p_balanced(here, gaps), atol=1e-9)


def test_reach_is_where_the_posterior_crosses_a_threshold():
    found = by_hand()
    assert p_balanced(found, np.array([reach(found, 0.764203)]))[0] == pytest.approx(0.764203, abs=1e-6)
    assert reach(found, 0.764203) == pytest.approx(0.2, abs=1e-4)
    assert reach(found, 0.9) < reach(found, 0.5)


def test_pairs_share_one_curve_so_that_the_least_balanced_pair_ranks_as_the_largest_gap():
    rng = np.random.default_rng(2)
    gaps = np.clip(rng.normal([0, 0.4, -0.2], [0.1, 0.3, 0.2], (500, 3)), -1, 1)
    pairs = (("audio", "visual"), ("audio", "text"), ("visual", "text"))
    ids = np.array([f"s{i:03d}" for i in range(500)])
    found = fit_gaps(GapScores(ids, pairs, gaps, gaps), MixtureConfig(), 5)
    assert len(found.fits) == 3 and all(f is found.fits[0] for f in found.fits)
    order = np.argsort(np.abs(gaps).max(axis=1))
    assert (np.diff(found.balanced[order]) <= 0).all() and (found.balanced >= 0.8).any()
    np.testing.assert_array_equal(found.balanced, found.p_balanced.min(axis=1))


def test_the_family_is_two_sided_unless_an_option_of_the_papers_mixtures_is_given():
    assert MixtureConfig().family == "two-sided" and MixtureConfig(family="student-t").family == "student-t"
    for option in ({"components": 3}, {"input": "absolute"}, {"rule": "weight"}, {"check": "none"}):
        assert MixtureConfig(**option).family == "gaussian"
        with pytest.raises(CurateError, match="of the paper's mixtures"):
            MixtureConfig(family="two-sided", **option)
    for dof in (None, 2.0):
        with pytest.raises(CurateError, match=r"score\.dof"):
            MixtureConfig(dof=dof)
    assert mixture.fit(np.linspace(-1, 1, 50)).family == "two-sided"
    assert mixture.fit(np.linspace(-1, 1, 50), check="none").family == "gaussian"
    with pytest.raises(ValueError, match="two-sided"):
        mixture.fit(np.linspace(-1, 1, 50), "two-sided", components=3)


@pytest.mark.parametrize("kind", ["prob", "kl", "log_prob", "log_odds"])
def test_every_kind_of_gap_has_a_posterior_to_act_on(kind, predictions):
    found = fit_round(predictions(n=200, k=4), MixtureConfig(gap=kind))
    seen = np.abs(found.gaps.seen(kind)[:, 0])
    assert (found.balanced >= 0.8).any() and (np.diff(found.balanced[np.argsort(seen)]) <= 0).all()
