"""Simulated gaps, many draws: planted parameters come back, the balanced component is named, posteriors are calibrated,
and what a monotone posterior is.

Letters: N samples, C components.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from curate.scores import mixture
from curate.scores.posteriors import monotone_limits, p_balanced
from curate.types import MixtureFit


def fit(x, family="gaussian", **options):
    """The paper's mixtures, Gaussian if nothing is said."""
    return mixture.fit(x, family, **options)


DRAWS = 60
Group = tuple[int, float, float]  # count, location, scale
WORLDS: dict[str, tuple[Group, Group, float]] = {  # balanced group, imbalanced group, dof of both
    "balanced majority": ((800, 0.0, 0.1), (200, 0.65, 0.15), np.inf),
    "near tie": ((510, 0.0, 0.1), (490, 0.6, 0.15), np.inf),
    "imbalanced majority": ((300, 0.0, 0.1), (700, 0.6, 0.15), np.inf),
    "other sign": ((700, 0.0, 0.1), (300, -0.6, 0.15), np.inf),
    "spike and wide majority": ((300, 0.0, 0.02), (700, 0.4, 0.3), np.inf),
    "heavy tails": ((800, 0.0, 0.06), (200, 0.7, 0.08), 4.0),
}


def draw(name: str, seed: int, times: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Gaps and whether they are of the imbalanced group."""
    *groups, dof = WORLDS[name]
    rng = np.random.default_rng(seed)
    noise = (lambda n: rng.standard_t(dof, n)) if np.isfinite(dof) else rng.standard_normal
    x = np.concatenate([loc + scale * noise(times * n) for n, loc, scale in groups])
    return x, np.repeat([False, True], [times * n for n, *_ in groups])


def fitted(name: str, x: np.ndarray) -> MixtureFit:
    """With the family the world was drawn from."""
    return fit(x, "gaussian" if np.isinf(WORLDS[name][2]) else "student-t")


@pytest.mark.parametrize(
    "name", [n if n in ("near tie", "heavy tails") else pytest.param(n, marks=pytest.mark.long) for n in WORLDS]
)
def test_parameters_come_back_and_the_balanced_component_is_named(name):
    *groups, _ = WORLDS[name]
    total = sum(n for n, *_ in groups)
    truth = np.array([[n / total, loc, scale] for n, loc, scale in groups])
    named, found = 0, []
    for seed in range(DRAWS):
        f = fitted(name, draw(name, seed)[0])
        assert len(f.weights) == 2
        order = [f.balanced, 1 - f.balanced]
        found.append(np.stack([f.weights, f.locs, f.scales], axis=1)[order])
        named += abs(found[-1][0] - truth[0]).sum() < abs(found[-1][1] - truth[0]).sum()
    assert named >= DRAWS - 1
    spread = np.array(found)
    # Errors of single draws are those of a few hundred samples; their mean shows a bias.
    assert np.abs(spread - truth).max() < 0.07
    assert np.abs(spread.mean(axis=0) - truth).max() < 0.006


@pytest.mark.parametrize("name", WORLDS)
def test_of_samples_with_posterior_near_p_a_share_p_is_imbalanced(name):
    x, imbalanced = draw(name, 0, times=50)
    p = 1 - p_balanced(fitted(name, x), x)
    for low, high in itertools.pairwise([0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1]):
        inside = (p >= low) & (p < high if high < 1 else p <= 1)
        if inside.sum() > 100:
            error = 4 * np.sqrt(p[inside].mean() * (1 - p[inside].mean()) / inside.sum())
            assert abs(imbalanced[inside].mean() - p[inside].mean()) < error + 0.02, (low, high)


def two(locs: tuple[float, float], scales: tuple[float, float], dofs: tuple[float, float], balanced: int) -> MixtureFit:
    """A fit of two of weights .7 and .3."""
    return MixtureFit(
        "gaussian" if np.isinf(dofs).all() else "student-t",
        np.array([0.7, 0.3]),
        np.array(locs),
        np.array(scales),
        np.array(dofs),
        balanced,
        "second_moment",
    )


def test_turning_points_by_hand():
    # The log odds of N(0, 1) and N(1, 2^2) turn where x = (x - 1) / 4: at -1/3; of N(0, 2^2) and N(1, 1) at 4/3.
    assert monotone_limits(two((0, 1), (1, 2), (np.inf, np.inf), 0)) == pytest.approx((-1 / 3, np.inf))
    assert monotone_limits(two((0, 1), (2, 1), (np.inf, np.inf), 0)) == pytest.approx((-np.inf, 4 / 3))
    assert monotone_limits(two((0, 1), (1, 1), (np.inf, np.inf), 0)) == (-np.inf, np.inf)
    # Cauchy, scales 1: x / (1 + x^2) = (x - 1) / (1 + (x - 1)^2) where x^2 - x - 1 = 0.
    assert monotone_limits(two((0, 1), (1, 1), (1, 1), 0)) == pytest.approx(((1 - 5**0.5) / 2, (1 + 5**0.5) / 2))


@settings(max_examples=60)
@given(
    st.tuples(st.floats(-1, 1), st.floats(-1, 1)).map(sorted),
    st.tuples(st.floats(0.01, 0.6), st.floats(0.01, 0.6)),
    st.sampled_from([np.inf, 4.0, 1.0]),
    st.sampled_from([0, 1]),
)
def test_a_monotone_posterior_is_monotone_and_literal_between_the_locations(locs, scales, dof, balanced):
    assume(locs[1] - locs[0] > 1e-3)
    literal = two(tuple(locs), scales, (dof, dof), balanced)
    limits = monotone_limits(literal)
    assert limits[0] <= locs[0] < locs[1] <= limits[1]
    grid = np.linspace(-3, 3, 2001)
    monotone = MixtureFit(**{**vars(literal), "limits": limits})
    p = p_balanced(monotone, grid) if balanced == 1 else -p_balanced(monotone, grid)
    assert (np.diff(p) >= -1e-9).all()
    inside = (grid >= limits[0]) & (grid <= limits[1])
    np.testing.assert_array_equal(p_balanced(monotone, grid[inside]), p_balanced(literal, grid[inside]))


@pytest.mark.parametrize("family", ["gaussian", "student-t"])
def test_literal_posteriors_of_a_fit_turn_and_monotone_ones_do_not(family):
    x, grid = draw("spike and wide majority", 0)[0], np.linspace(-1, 1, 401)
    literal, monotone = (fit(x, family, posterior=form) for form in ("literal", "monotone"))
    assert np.diff(p_balanced(literal, grid)).max() > 0.01
    assert np.diff(p_balanced(monotone, grid)).max() <= 1e-12
    np.testing.assert_array_equal(literal.locs, monotone.locs)
    assert literal.limits == (-np.inf, np.inf)
    np.testing.assert_allclose(
        p_balanced(fit(-x, family, posterior="monotone"), -grid), p_balanced(monotone, grid), atol=1e-9
    )
