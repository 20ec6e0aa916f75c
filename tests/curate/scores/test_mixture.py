"""The mixture fit: numbers computed by hand, the theorems of EM, and its symmetries.

Letters: N samples, C components.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from sklearn.mixture import GaussianMixture

from curate.scores import mixture, posteriors
from curate.scores.em import Components, e_step, m_step, starts
from curate.scores.posteriors import p_balanced, posterior
from curate.types import MixtureFit

PAPERS = ("gaussian", "student-t")


def fit(x, family="gaussian", **options):
    """The paper's mixtures, Gaussian if nothing is said."""
    return mixture.fit(x, family, **options)


GAPS = arrays(
    np.float64,
    st.integers(10, 40),
    elements=st.one_of(st.floats(-1, 1), st.sampled_from([-1.0, 0.0, 1.0]), st.floats(-1e-3, 1e-3)),
)
KINDS = [("gaussian", 4.0), ("student-t", 4.0), ("student-t", 1.0), ("student-t", None)]


def planted(seed: int, *groups: tuple[int, float, float], dof: float = np.inf) -> np.ndarray:
    """Shuffled draws of groups (count, location, scale)."""
    rng = np.random.default_rng(seed)
    x = np.concatenate(
        [
            loc + scale * (rng.standard_t(dof, n) if np.isfinite(dof) else rng.standard_normal(n))
            for n, loc, scale in groups
        ]
    )
    return rng.permutation(x)


def two_groups(seed: int = 0) -> np.ndarray:
    """What the paper's second figure looks like: a balanced peak and a positive tail."""
    return planted(seed, (600, 0.0, 0.1), (200, 0.6, 0.15))


def by_hand(family: str, dof: float) -> MixtureFit:
    """(pi, mu, sigma) = (.8, 0, .1), (.2, .6, .2)."""
    return MixtureFit(
        family, np.array([0.8, 0.2]), np.array([0.0, 0.6]), np.array([0.1, 0.2]), np.full(2, dof), 0, "second_moment"
    )


@pytest.mark.parametrize(
    ("family", "dof", "expected"),
    [
        ("gaussian", np.inf, 0.619091),
        ("student-t", 4.0, 0.759190),
        ("student-t", 30.0, 0.657647),
        ("student-t", 1e6, 0.619092),
    ],
)
def test_posterior_by_hand(family, dof, expected):
    w = posterior(by_hand(family, dof), np.array([0.25]))
    assert w[0, 0] == pytest.approx(expected, abs=1e-6)
    assert w.sum() == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize(("family", "dof"), [("gaussian", np.inf), ("student-t", 4.0)])
def test_density_is_that_of_scipy(family, dof):
    grid, fitted = np.linspace(-1, 1, 21), by_hand(family, dof)
    law = stats.norm if family == "gaussian" else lambda loc, scale: stats.t(dof, loc, scale)
    expected = [
        pi * law(loc, scale).pdf(grid)
        for pi, loc, scale in zip(fitted.weights, fitted.locs, fitted.scales, strict=True)
    ]
    np.testing.assert_allclose(posteriors.density(fitted, grid), expected, rtol=1e-10)
    _, likelihood = e_step(
        grid, Components(fitted.weights[None], fitted.locs[None], fitted.scales[None], fitted.dofs[None])
    )
    assert likelihood[0] == pytest.approx(np.log(np.sum(expected, axis=0)).sum())


@pytest.mark.parametrize(("family", "dof"), KINDS)
@settings(max_examples=25)
@given(gaps=GAPS)
def test_the_likelihood_never_falls_and_posteriors_are_probabilities(family, dof, gaps):
    fitted = fit(gaps, family, dof=dof, iterations=60)
    trace = np.array(fitted.log_likelihoods)
    assert (np.diff(trace) >= -1e-9 * max(1, np.abs(trace).max(initial=0))).all()
    w = posterior(fitted, gaps)
    assert (w >= 0).all() and np.abs(w.sum(axis=1) - 1).max() < 1e-12


def test_each_step_is_that_of_scikit_learn():
    x = two_groups()
    start = Components(*(np.array([v]) for v in ([0.5, 0.5], [-0.1, 0.3], [0.3, 0.2], [np.inf, np.inf])))
    ours = start
    for _ in range(20):
        ours = m_step(x, e_step(x, ours)[0], ours, 0.0, False)
    theirs = GaussianMixture(
        2,
        weights_init=start.weights[0],
        means_init=start.locs[0][:, None],
        tol=0,
        max_iter=20,
        precisions_init=start.scales[0][:, None, None] ** -2,
        reg_covar=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 20 steps are not convergence
        theirs.fit(x[:, None])
    np.testing.assert_allclose(ours.weights[0], theirs.weights_, atol=1e-6)
    np.testing.assert_allclose(ours.locs[0], theirs.means_[:, 0], atol=1e-6)
    np.testing.assert_allclose(ours.scales[0] ** 2, theirs.covariances_[:, 0, 0], atol=1e-6)
    np.testing.assert_allclose(e_step(x, ours)[0][0].T, theirs.predict_proba(x[:, None]), atol=1e-6)


def test_no_optimum_of_scikit_learn_is_better():
    x = two_groups()
    best = GaussianMixture(2, n_init=5, tol=1e-9, max_iter=1000, reg_covar=0, random_state=0).fit(x[:, None])
    assert fit(x).log_likelihoods[-1] >= best.score(x[:, None]) * x.size - 1e-4


def test_the_best_of_the_starts_wins():
    x = planted(0, (400, 0.0, 0.02), (100, -0.5, 0.1), (100, 0.5, 0.1))
    c = starts(x, np.inf)
    for _ in range(500):
        c = m_step(x, e_step(x, c)[0], c, 1e-6, False)
    ends = e_step(x, c)[1]
    assert np.ptp(ends) > 1, "all starts end alike, so this shows nothing"
    assert fit(x).log_likelihoods[-1] == pytest.approx(ends.max(), abs=1e-3)


def test_student_t_with_huge_dof_is_the_gaussian_fit():
    x = two_groups()
    gauss, t = fit(x), fit(x, "student-t", dof=1e9)
    for name in ("weights", "locs", "scales"):
        np.testing.assert_allclose(getattr(t, name), getattr(gauss, name), atol=1e-5)


@pytest.mark.parametrize(("family", "law"), [("gaussian", np.inf), ("student-t", 4.0)])
def test_planted_parameters_are_recovered(family, law):
    fitted = fit(planted(0, (8000, 0.0, 0.08), (2000, 0.7, 0.1), dof=law), family)
    np.testing.assert_allclose(fitted.weights, [0.8, 0.2], atol=0.03)
    np.testing.assert_allclose(fitted.locs, [0, 0.7], atol=0.03)
    np.testing.assert_allclose(fitted.scales, [0.08, 0.1], atol=0.03)
    assert (fitted.outcome, fitted.balanced, fitted.converged, fitted.rule_conflict) == ("ok", 0, True, False)


def test_degrees_of_freedom_are_estimated_within_bounds():
    heavy = fit(planted(0, (1500, 0.0, 0.1), (500, 1.5, 0.1), dof=3.0), "student-t", dof=None)
    light = fit(planted(0, (1500, 0.0, 0.1), (500, 1.5, 0.1)), "student-t", dof=None)
    assert ((heavy.dofs > 2) & (heavy.dofs < 5)).all()
    assert (light.dofs > 15).all() and (light.dofs <= 100).all()
    assert (fit(two_groups(), "student-t", dof=4.0).dofs == 4).all()


@pytest.mark.parametrize(("family", "dof"), KINDS)
def test_mirrored_gaps_give_the_mirrored_fit_and_the_same_posteriors(family, dof):
    x = two_groups()
    there, back = fit(x, family, dof=dof), fit(-x, family, dof=dof)
    np.testing.assert_allclose(back.locs, -there.locs[::-1], atol=1e-9)
    np.testing.assert_allclose(back.weights, there.weights[::-1], atol=1e-9)
    assert back.balanced == 1 - there.balanced
    np.testing.assert_allclose(p_balanced(back, -x), p_balanced(there, x), atol=1e-9)


@pytest.mark.parametrize(("family", "dof"), KINDS)
def test_the_order_of_samples_does_not_matter(family, dof):
    x = two_groups()
    there, back = fit(x, family, dof=dof), fit(np.sort(x), family, dof=dof)
    for name in ("weights", "locs", "scales", "dofs"):
        np.testing.assert_allclose(getattr(back, name), getattr(there, name), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("family", PAPERS)
@pytest.mark.parametrize("factor", [0.01, 3.4, 1000.0])
def test_posteriors_do_not_depend_on_the_unit_of_the_gap(family, factor):
    x = two_groups()
    there, back = fit(x, family), fit(factor * x, family, scale=factor)
    np.testing.assert_allclose(p_balanced(back, factor * x), p_balanced(there, x), atol=1e-8)
    np.testing.assert_allclose(back.locs, factor * there.locs, rtol=1e-6)
    assert back.warnings == there.warnings


def test_shifted_gaps_shift_the_fit():
    x = two_groups()
    there, back = fit(x), fit(x - 0.3)
    np.testing.assert_allclose(back.locs, there.locs - 0.3, atol=1e-8)
    np.testing.assert_allclose(posterior(back, x - 0.3), posterior(there, x), atol=1e-8)


def test_a_gaussian_posterior_is_not_monotone_where_variances_differ():
    fitted = by_hand("gaussian", np.inf)
    far_left, centre, right = p_balanced(fitted, np.array([-1.0, 0.0, 0.6]))
    assert right < 0.01 < 0.9 < centre and far_left < 0.01
