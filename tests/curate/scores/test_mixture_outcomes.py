"""What a fit is called: the balanced component, the outcomes without two components, and the warnings."""

from __future__ import annotations

import numpy as np
import pytest

from curate.scores import mixture
from curate.scores.em import Components, e_step, m_step
from curate.scores.mixture import RULES, balanced_component, marked_memorised
from curate.scores.posteriors import p_balanced

PAPERS = ("gaussian", "student-t")


def fit(x, family="gaussian", **options):
    """The paper's mixtures, Gaussian if nothing is said."""
    return mixture.fit(x, family, **options)


def draw(seed: int, *groups: tuple[int, float, float]) -> np.ndarray:
    """Draws of Gaussian groups (count, location, scale)."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(loc, scale, n) for n, loc, scale in groups])


def warned(fitted, word: str) -> bool:
    """Whether a warning of the fit begins so."""
    return any(note.startswith(word) for note in fitted.warnings)


def components(weights: list[float], locs: list[float], scales: list[float]) -> tuple[np.ndarray, ...]:
    """The arguments of `balanced_component`."""
    return np.array(weights), np.array(locs), np.array(scales)


def test_all_rules_agree_on_the_papers_own_example():
    paper = components([0.857, 0.143], [0.0056, 0.6966], [0.1, 0.2])
    assert [balanced_component(*paper, rule) for rule in RULES] == [0, 0, 0]
    fitted = fit(draw(0, (857, 0.0056, 0.1), (143, 0.6966, 0.2)))
    assert not fitted.rule_conflict and fitted.balanced == 0


def test_rules_by_hand():
    spike_and_wide = components([0.3, 0.7], [0.0, 0.4], [0.02, 0.3])
    assert [balanced_component(*spike_and_wide, rule) for rule in RULES] == [0, 1, 0]
    wide_at_zero = components([0.3, 0.7], [0.15, 0.01], [0.02, 0.5])  # .0229 against .2501; .15 against .01
    assert [balanced_component(*wide_at_zero, rule) for rule in RULES] == [0, 1, 1]


def test_on_a_spike_and_a_wide_majority_the_papers_rule_picks_the_wrong_one():
    x = draw(0, (300, 0.0, 0.02), (700, 0.4, 0.3))
    default, literal = fit(x), fit(x, rule="weight")
    assert default.outcome == literal.outcome == "rule_conflict" and default.rule_conflict and literal.rule_conflict
    assert default.scales[default.balanced] < 0.05 and literal.scales[literal.balanced] > 0.2
    assert p_balanced(default, np.zeros(1)) > 0.5 > p_balanced(literal, np.zeros(1))
    np.testing.assert_allclose(p_balanced(default, x) + p_balanced(literal, x), 1, atol=1e-12)
    assert warned(default, "the rules for the balanced component disagree")


def test_components_are_ordered_by_location():
    for x in (draw(0, (300, 0, 0.1), (100, 0.7, 0.1)), draw(0, (300, 0, 0.1), (100, -0.7, 0.1))):
        fitted = fit(x)
        assert fitted.locs[0] < fitted.locs[1]
        assert fitted.weights[fitted.balanced] == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize("family", PAPERS)
@pytest.mark.parametrize(
    ("gaps", "outcome"),
    [
        (np.linspace(-0.5, 0.5, 9), "too_few"),
        (np.zeros(0), "too_few"),
        (np.full(50, 0.3), "degenerate"),
    ],
)
def test_where_two_components_mean_nothing_every_sample_is_balanced(family, gaps, outcome):
    fitted = fit(gaps, family)
    assert fitted.outcome == outcome and len(fitted.weights) == 1 and len(fitted.warnings) == 1
    assert (p_balanced(fitted, np.array([-1.0, 0.0, 0.3, 1.0])) == 1).all()


@pytest.mark.parametrize("scale", [1.0, 3.4])
def test_degenerate_is_measured_in_units_of_the_gap(scale):
    x = scale * np.linspace(-1, 1, 100) * 1e-4  # variance 3.3e-9 scale^2, of which 1e-8 scale^2 is the limit
    assert fit(x, scale=scale).outcome == "degenerate"
    assert fit(3 * x, scale=scale).outcome != "degenerate"


def test_a_component_that_died_leaves_one(monkeypatch):
    def one_takes_all(x, c):
        post, likelihood = e_step(x, c)
        post[:, 0], post[:, 1] = 1, 0
        return post, likelihood

    monkeypatch.setattr("curate.scores.em.e_step", one_takes_all)
    fitted = fit(draw(0, (100, 0, 0.1)), iterations=3)
    assert fitted.outcome == "one_component"
    monkeypatch.undo()
    assert (p_balanced(fitted, np.linspace(-1, 1, 9)) == 1).all()


def test_a_dead_component_breaks_neither_step():
    x = np.linspace(-1, 1, 20)
    dead = Components(*(np.array([v]) for v in ([1.0, 0.0], [0.0, 0.5], [0.3, 0.3], [np.inf, np.inf])))
    post, likelihood = e_step(x, dead)
    assert np.isfinite(likelihood).all() and (post[0, 0] == 1).all()
    after = m_step(x, post, dead, 1e-6, False)
    assert all(np.isfinite(v).all() for v in (after.weights, after.locs, after.scales))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gap_that_is_no_number_is_refused(bad):
    with pytest.raises(ValueError, match="finite"):
        fit(np.array([*np.linspace(0, 1, 20), bad]))


def test_a_programmers_mistakes_are_value_errors():
    x = np.linspace(0, 1, 20)
    with pytest.raises(ValueError, match="one-dimensional"):
        fit(x[:, None])
    with pytest.raises(ValueError, match="family"):
        fit(x, "cauchy")
    with pytest.raises(ValueError, match="rule"):
        fit(x, rule="median")


def test_two_values_only_are_told_apart():
    fitted = fit(np.repeat([0.0, 1.0], [30, 10]))
    np.testing.assert_allclose(fitted.locs, [0, 1], atol=1e-6)
    np.testing.assert_allclose(fitted.weights, [0.75, 0.25], atol=1e-6)
    assert fitted.balanced == 0 and (fitted.scales > 0).all()


def test_a_spike_of_exact_zeros_keeps_a_scale_above_the_floor():
    fitted = fit(np.concatenate([np.zeros(900), draw(0, (100, 0.5, 0.2))]))
    assert fitted.outcome == "ok" and fitted.scales.min() >= 1e-3
    assert p_balanced(fitted, np.array([0.0])) > 0.9


@pytest.mark.parametrize("family", PAPERS)
def test_a_start_below_the_variance_floor_does_not_lose_likelihood(family):
    x = np.concatenate([np.zeros(20), np.full(2, 0.01)])  # MAD 0, so the narrow start is far below the floor
    assert (np.diff(fit(x, family).log_likelihoods) >= 0).all()


def test_a_healthy_fit_warns_of_nothing():
    assert fit(draw(0, (600, 0, 0.1), (250, 0.7, 0.1))).warnings == ()


def test_one_population_is_called_one_component_by_bic_and_two_by_the_paper():
    x = draw(0, (800, 0.1, 0.2))
    checked, literal = fit(x), fit(x, check="none")
    assert checked.outcome == "one_component" and (p_balanced(checked, x) == 1).all()
    assert len(literal.weights) == 2 and np.ptp(p_balanced(literal, x)) > 0.1
    # By hand: one Gaussian has 2 parameters and log-likelihood -N/2 (log(2 pi var) + 1), two have 5.
    alone = -400 * (np.log(2 * np.pi * x.var()) + 1)
    excess = 3 * np.log(800) - 2 * (literal.log_likelihoods[-1] - alone)
    assert (
        excess > 0
        and f"(BIC lower by {excess:.1f})" in checked.warnings[0]
        and "score.check=none" in checked.warnings[0]
    )


def test_two_populations_pass_the_check_unchanged():
    x = draw(0, (600, 0, 0.1), (200, 0.6, 0.15))
    np.testing.assert_array_equal(fit(x).locs, fit(x, check="none").locs)


@pytest.mark.parametrize("posterior", ["literal", "monotone"])
def test_two_tailed_names_three_groups_and_keeps_the_posterior(posterior):
    x = draw(0, (600, 0, 0.1), (100, -0.7, 0.1), (100, 0.7, 0.1))
    fitted = fit(x, posterior=posterior)
    assert fitted.outcome == "two_tailed" and len(fitted.weights) == 2
    assert fit(x, rule="weight", posterior=posterior).outcome == "two_tailed", "graver than a conflict of the rules"


def test_memorised_needs_both_small_gaps_and_accuracy():
    small, large = draw(0, (900, 0, 0.02), (100, 0.3, 0.1)), draw(0, (600, 0, 0.1), (250, 0.7, 0.1))
    blamed = marked_memorised(fit(small), small, 0.99, 1.0)
    assert blamed.outcome == "memorised" and warned(blamed, "memorised: each modality alone is right on at least 99.0%")
    np.testing.assert_array_equal(p_balanced(blamed, small), p_balanced(fit(small), small))
    assert marked_memorised(fit(small), small, 0.97, 1.0).outcome != "memorised"
    assert marked_memorised(fit(large), large, 1.0, 1.0).outcome == "ok"
    for share, small_for_it in ((0.09, True), (0.11, False)):  # a tenth of the scale is small
        scale = float(np.abs(large).mean()) / share
        assert (marked_memorised(fit(large, scale=scale), large, 1.0, scale).outcome == "memorised") == small_for_it
    constant = marked_memorised(fit(np.zeros(50)), np.zeros(50), 1.0, 1.0)
    assert constant.outcome == "degenerate" and warned(constant, "memorised")


def test_every_outcome_but_ok_says_what_to_do():
    worlds = {
        "too_few": np.zeros(3),
        "degenerate": np.zeros(30),
        "one_component": draw(0, (800, 0.1, 0.2)),
        "two_tailed": draw(0, (600, 0, 0.1), (100, -0.7, 0.1), (100, 0.7, 0.1)),
        "rule_conflict": draw(0, (300, 0.0, 0.02), (700, 0.4, 0.3)),
    }
    advice = ("score more", "train longer", "score.check=none", "Rank by |gap|", "score.rule")
    for (outcome, x), words in zip(worlds.items(), advice, strict=True):
        fitted = fit(x)
        assert fitted.outcome == outcome and any(words in note for note in fitted.warnings), (outcome, fitted)


def test_two_tails_are_warned_of_and_one_is_not():
    assert warned(fit(draw(0, (600, 0, 0.1), (100, -0.7, 0.1), (100, 0.7, 0.1))), "two tails")
    assert not warned(fit(draw(0, (600, 0, 0.1), (20, -0.7, 0.1), (200, 0.7, 0.1))), "two tails")


def test_other_warnings():
    assert warned(fit(draw(0, (500, 0, 0.02), (500, 0, 0.3))), "concentric")
    assert warned(fit(draw(0, (500, 0.1, 0.4), (500, -0.3, 0.5)), check="none"), "no balanced peak")
    assert warned(fit(draw(0, (500, 0, 0.03), (100, 0.05, 0.01))), "small gaps")
    assert warned(fit(draw(0, (500, 0, 0.1), (100, 0.5, 0.2)), iterations=1), "the likelihood was still rising")


@pytest.mark.parametrize("unit", [1.0, 3.4])
def test_the_component_nearest_zero_is_named_whichever_is_balanced(unit):
    # The narrow one at .4 has second moment .1625, the wide one at -.3 has .25 + .09.
    x = unit * draw(0, (500, 0.4, 0.05), (500, -0.3, 0.5))
    note = next(n for n in fit(x, scale=unit).warnings if n.startswith("no component is near zero"))
    assert float(note.split()[-1]) == pytest.approx(-0.3, abs=0.08)
