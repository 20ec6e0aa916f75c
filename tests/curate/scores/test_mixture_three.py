"""Three components: both tails and a balanced middle come back from many draws, or the fit says why there are fewer.

Letters: N samples, C components.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.scores import mixture
from curate.scores.cells import single
from curate.scores.em import Components, climb, m_step, starts
from curate.scores.mixture import holds_both_tails
from curate.scores.posteriors import p_ahead, p_balanced, posterior

PAPERS = ("gaussian", "student-t")


def fit(x, family="gaussian", **options):
    """The paper's mixtures, Gaussian if nothing is said."""
    return mixture.fit(x, family, **options)


DRAWS = 25
WORLDS: dict[str, tuple[tuple[int, float, float], ...]] = {  # left tail, middle, right tail: count, location, scale
    "balanced majority": ((150, -0.7, 0.12), (700, 0.0, 0.1), (150, 0.7, 0.12)),
    "rare left tail": ((40, -0.7, 0.1), (700, 0.0, 0.1), (260, 0.6, 0.12)),
    "right majority": ((150, -0.65, 0.12), (250, 0.0, 0.1), (600, 0.65, 0.12)),
    "spike": ((200, -0.6, 0.15), (500, 0.0, 0.02), (300, 0.6, 0.15)),
}


def draw(seed: int, *groups: tuple[int, float, float], dof: float = np.inf) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal if np.isinf(dof) else lambda n: rng.standard_t(dof, n)
    return np.concatenate([loc + scale * noise(n) for n, loc, scale in groups])


@pytest.mark.parametrize("dof", [np.inf, pytest.param(4.0, marks=pytest.mark.long)], ids=["gaussian", "student-t"])
@pytest.mark.parametrize("name", WORLDS)
def test_both_tails_and_the_middle_come_back(name, dof):
    groups = np.array(WORLDS[name])
    truth = groups / [groups[:, 0].sum(), 1, 1]
    found = []
    for seed in range(DRAWS):
        f = fit(draw(seed, *WORLDS[name], dof=dof), "gaussian" if np.isinf(dof) else "student-t", components=3)
        assert f.outcome in ("ok", "rule_conflict") and (f.balanced, f.rule) == (1, "middle"), (seed, f)
        found.append(np.stack([f.weights, f.locs, f.scales], axis=1))
    spread = np.array(found)
    # The rarest tail has 40 samples: its location is known to 0.1 / sqrt(40), and single draws miss by thrice that.
    assert np.abs(spread - truth).max() < 0.13
    assert np.abs(spread.mean(axis=0) - truth).max() < 0.012


@pytest.mark.long
@pytest.mark.parametrize("name", WORLDS)
def test_of_samples_with_posterior_near_p_a_share_p_is_of_that_tail(name):
    groups = [(30 * n, loc, scale) for n, loc, scale in WORLDS[name]]
    x, group = draw(0, *groups), np.repeat([0, 1, 2], [n for n, *_ in groups])
    first, second = p_ahead(fit(x, components=3), x).T
    for p, of in ((first, group == 2), (second, group == 0)):
        for low, high in itertools.pairwise([0, 0.1, 0.3, 0.5, 0.7, 0.9, 1 + 1e-9]):
            inside = (p >= low) & (p < high)
            if inside.sum() > 100:
                error = 4 * np.sqrt(p[inside].mean() * (1 - p[inside].mean()) / inside.sum())
                assert abs(of[inside].mean() - p[inside].mean()) < error + 0.02, (low, high)


@pytest.mark.parametrize("family", PAPERS)
@pytest.mark.parametrize("n", [1, 40], ids=["one by one", "in cells"])
def test_exchanging_the_modalities_exchanges_the_tails(family, n):
    x = draw(1, *((n * count, loc, scale) for count, loc, scale in WORLDS["rare left tail"]))
    there, back = fit(x, family, components=3), fit(-x, family, components=3)
    np.testing.assert_allclose(back.locs, -there.locs[::-1], atol=1e-9)
    np.testing.assert_allclose(back.weights, there.weights[::-1], atol=1e-9)
    np.testing.assert_allclose(p_ahead(back, -x), p_ahead(there, x)[:, ::-1], atol=1e-7)


def test_the_set_of_starts_is_symmetric():
    x = single(draw(2, *WORLDS["rare left tail"]))
    there, back = starts(x, np.inf, 3), starts(x.mirrored(), np.inf, 3)
    np.testing.assert_allclose(back.locs, -there.locs[:, ::-1], atol=1e-12)
    for name in ("weights", "scales"):
        np.testing.assert_allclose(getattr(back, name), getattr(there, name)[:, ::-1], atol=1e-12)


@settings(max_examples=40)
@given(st.lists(st.floats(-1, 1), max_size=60), st.sampled_from(PAPERS), st.sampled_from(["bic", "none"]))
def test_any_gaps_give_posteriors_that_add_to_one(gaps, family, check):
    x = np.array(gaps, dtype=float)
    f = fit(x, family, components=3, check=check, iterations=60)
    w, ahead = posterior(f, x), p_ahead(f, x)
    assert (w >= 0).all() and np.abs(w.sum(axis=1) - 1).max(initial=0) < 1e-12
    if len(f.weights) == 3:
        assert f.locs[0] < 0 < f.locs[2] and f.balanced == 1
        np.testing.assert_allclose(ahead.sum(axis=1), 1 - p_balanced(f, x), atol=1e-12)
    else:
        assert np.isnan(ahead).all() and f.warnings


def test_the_likelihood_never_falls_and_three_explain_no_less_than_two():
    x = draw(3, *WORLDS["balanced majority"])
    three, two = fit(x, components=3), fit(x)
    assert (np.diff(three.log_likelihoods) >= -1e-9 * abs(three.log_likelihoods[-1])).all()
    assert three.log_likelihoods[-1] >= two.log_likelihoods[-1]


def test_three_hold_what_two_cannot():
    x = draw(0, *WORLDS["balanced majority"])
    assert fit(x).outcome == "two_tailed"
    f = fit(x, components=3)
    assert f.outcome == "ok" and not f.warnings
    np.testing.assert_allclose(p_ahead(f, np.array([-0.7, 0.0, 0.7])), [[0, 1], [0, 0], [1, 0]], atol=1e-3)


def test_where_bic_prefers_two_there_are_two_and_the_fit_says_so():
    x = draw(0, (700, 0, 0.1), (300, 0.6, 0.15))
    f, two, forced = fit(x, components=3), fit(x), fit(x, components=3, check="none")
    np.testing.assert_array_equal(f.locs, two.locs)
    assert f.outcome == "two_components" and two.outcome == "ok"
    assert f.warnings[0].startswith("two populations explain the gaps better than three (BIC lower by ")
    if len(forced.weights) == 3:  # by hand: 8 parameters against 5
        excess = 3 * np.log(1000) - 2 * (forced.log_likelihoods[-1] - two.log_likelihoods[-1])
        assert f"(BIC lower by {excess:.1f})" in f.warnings[0]


def test_one_population_stays_one_and_too_few_or_constant_gaps_too():
    assert fit(draw(0, (800, 0.1, 0.2)), components=3).outcome == "one_component"
    assert fit(np.zeros(50), components=3).outcome == "degenerate"
    assert fit(np.linspace(-1, 1, 9), components=3).outcome == "too_few"


@pytest.mark.parametrize("check", ["bic", "none"])
def test_gaps_without_a_left_tail_are_not_called_so(check):
    x = draw(0, (500, 0.1, 0.02), (300, 0.4, 0.05), (200, 0.8, 0.05))
    f = fit(x, components=3, check=check)
    assert len(f.weights) == 2 and "a left tail, a balanced middle and a right tail" in f.warnings[0]
    assert np.isnan(p_ahead(f, x)).all()


def test_what_holds_both_tails_by_hand():
    def three(locs: list[float], scales: list[float], weights: list[float]) -> Components:
        return Components(*(np.array([v]) for v in (weights, locs, scales, [np.inf] * 3)))

    good = ([-0.6, 0.0, 0.6], [0.1, 0.1, 0.1], [0.2, 0.6, 0.2])
    assert holds_both_tails(three(*good), 100)
    assert holds_both_tails(three([0.6, -0.6, 0.0], *good[1:]), 100), "whatever their order"
    assert not holds_both_tails(three([0.05, 0.1, 0.6], [0.5, 0.05, 0.1], good[2]), 100), "both on one side"
    assert not holds_both_tails(three([-0.1, 0.0, 0.1], [0.1, 0.9, 0.1], good[2]), 100), "a wide one between two narrow"
    assert not holds_both_tails(three(*good[:2], [0.004, 0.6, 0.396]), 100), "less than a sample"


def test_a_tail_that_reaches_over_is_warned_of():
    x = draw(0, (500, -0.25, 0.4), (400, 0.0, 0.02), (300, 0.5, 0.03))
    f = fit(x, components=3)
    assert len(f.weights) == 3
    first, second = p_ahead(f, np.array([x.max()]))[0]
    assert second > first and any(note.startswith(f"crossed tails: at the gap {x.max():+.2f}") for note in f.warnings)
    assert not any(n.startswith("crossed") for n in fit(draw(0, *WORLDS["spike"]), components=3).warnings)


def test_a_programmers_mistakes_are_value_errors():
    x = draw(0, *WORLDS["spike"])
    with pytest.raises(ValueError, match="components"):
        fit(x, components=4)
    with pytest.raises(ValueError, match="literal"):
        fit(x, components=3, posterior="monotone")


@pytest.mark.parametrize("count", [2, 3])
def test_starts_that_meet_are_given_up_without_losing_the_optimum(count, monkeypatch):
    x = single(draw(4, *WORLDS["balanced majority"]))
    begun, steps = starts(x, 10.0, count), []
    monkeypatch.setattr("curate.scores.em.m_step", lambda x, p, c, *a: steps.append(len(c.locs)) or m_step(x, p, c, *a))

    def work(first: Components, merge: bool) -> tuple[int, Components]:
        steps.clear()
        found, _, converged = climb(x, first, 1e-6, True, 1e-11, 1000, merge=merge)
        assert converged
        return sum(steps), found

    everything, all_of_them = work(begun, False)
    less, merged = work(begun, True)
    assert less < everything
    np.testing.assert_allclose(np.sort(merged.locs), np.sort(all_of_them.locs), atol=2e-3)
    alone, _ = work(begun.rows(np.array([0])), True)
    twice, _ = work(begun.rows(np.array([0, 0])), True)
    assert twice == alone + 2, "the double is given up after the first cycle"
