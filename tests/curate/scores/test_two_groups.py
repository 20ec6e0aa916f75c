"""Two Gaussians of equal spread, and whether they are two modes."""

from __future__ import annotations

import numpy as np
import pytest

from curate.scores.two_groups import Groups, two_groups, two_modes


@pytest.mark.parametrize("share", [0.03, 0.3, 0.5, 0.7])
def test_groups_of_any_share_are_found(share: float) -> None:
    rng = np.random.default_rng(0)
    x = np.where(rng.random(5000) < share, rng.normal(-1, 0.5, 5000), rng.normal(1.5, 0.5, 5000))
    found = two_groups(x, np.ones(5000))
    assert found is not None
    assert np.array(found) == pytest.approx([share, -1, 1.5, 0.5], abs=0.08)


def test_of_two_starts_the_more_probable_fit_is_kept_and_nothing_is_found_below_zero() -> None:
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(-2, 0.5, 600), rng.normal(1, 0.5, 400)])
    found = two_groups(x, np.ones(1000))
    assert found is not None and found.share == pytest.approx(0.6, abs=0.03)
    assert two_groups(x - 5, np.ones(1000)) is None
    assert two_groups(x, np.full(1000, 0.04)) is None, "the weight of 40 samples"
    assert two_groups(np.ones(100), np.ones(100)) is None and two_groups(np.empty(0), np.empty(0)) is None


def test_density_and_posterior_by_hand() -> None:
    """At the middle of the means both densities are equal, so the posterior is the share."""
    groups = Groups(0.3, -1.0, 2.0, 1.5)
    assert groups.separation == 2 and groups.lower(np.array([0.5])) == pytest.approx([0.3])
    x = np.linspace(-20, 20, 4001)
    assert np.exp(groups.log_density(x)).sum() * 0.01 == pytest.approx(1)
    normal = np.exp(-((x - -1) ** 2) / 4.5) / (1.5 * np.sqrt(2 * np.pi))
    assert groups.lower(x) * np.exp(groups.log_density(x)) == pytest.approx(0.3 * normal, abs=1e-12)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.5])
def test_two_modes_are_those_of_the_density(share: float) -> None:
    for separation in np.linspace(1.5, 6, 46):
        x = np.linspace(-5, separation + 5, 20_001)
        density = share * np.exp(-(x**2) / 2) + (1 - share) * np.exp(-((x - separation) ** 2) / 2)
        modes = int(((density[1:-1] > density[:-2]) & (density[1:-1] > density[2:])).sum())
        assert two_modes(share, float(separation)) == (modes == 2), separation
