"""Many gaps as few cells: what is kept exactly, how far a fit is from the exact one, weights, memory, symmetry.

Letters: N samples, G cells, S starts, C components.
"""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from curate.scores import cells, mixture
from curate.scores.cells import CHUNK, EXACT, Cells, gather
from curate.scores.em import Components, e_step, log_density, m_step, starts
from curate.scores.posteriors import p_balanced, posterior


def fit(x, family="gaussian", **options):
    """The paper's mixtures, Gaussian if nothing is said."""
    return mixture.fit(x, family, **options)


FIELDS = ("weights", "locs", "scales")


def world(name: str, n: int = 60_000) -> np.ndarray:
    """Shuffled gaps of two groups."""
    rng = np.random.default_rng(0)
    first, second = int(0.7 * n), n - int(0.7 * n)
    groups = {
        "balanced": lambda: (rng.normal(0, 0.1, first), rng.normal(0.6, 0.15, second)),
        "spike": lambda: (rng.normal(0, 0.001, first), rng.normal(0.3, 0.3, second)),
        "heavy": lambda: (0.05 * rng.standard_t(3, first), 0.7 + 0.1 * rng.standard_t(3, second)),
        "zeros": lambda: (np.zeros(first), rng.normal(0.5, 0.2, second)),
    }
    return rng.permutation(np.concatenate(groups[name]()))


WORLDS = ["balanced", "spike", "heavy", "zeros"]
KINDS = [("gaussian", 4.0), ("student-t", 4.0), ("student-t", None)]


@pytest.mark.parametrize("name", WORLDS)
def test_cells_keep_count_mean_and_variance(name):
    x = world(name)
    g = gather(x)
    assert 100 < g.counts.size <= cells.SHARES + cells.STRIPES + 2 or name == "zeros"
    assert g.total == x.size and (g.counts > 0).all() and (np.diff(g.means) > 0).all() and (g.variances >= 0).all()
    assert g.mean == pytest.approx(x.mean(), abs=1e-12)
    assert g.variance == pytest.approx(x.var(), rel=1e-10)


def test_cells_are_narrow_where_gaps_are_dense():
    g = gather(world("spike"))
    near = np.abs(g.means) < 0.003
    assert np.diff(g.means[near]).max() < 1e-3 / 5, "a spike of sd .001 is not resolved"
    assert near.sum() > 50 and np.sqrt(g.variances[near]).max() < 1e-4


def test_wild_values_cost_no_resolution():
    x = np.concatenate([world("balanced"), [-1e9, 1e6]])
    g = gather(x)
    bulk = np.abs(g.means - 0.3) < 0.6
    assert np.diff(g.means[bulk]).max() < 0.05 and bulk.sum() > 500
    assert g.total == x.size and g.means[0] == -1e9 and g.means[-1] == 1e6


@pytest.mark.parametrize(("family", "dof"), KINDS)
@pytest.mark.parametrize("name", ["balanced", *(pytest.param(n, marks=pytest.mark.long) for n in WORLDS[1:])])
def test_a_fit_of_cells_is_the_exact_fit(name, family, dof, monkeypatch):
    x = world(name)
    fast = fit(x, family, dof=dof)
    monkeypatch.setattr(cells, "EXACT", x.size)
    exact = fit(x, family, dof=dof)
    for field in FIELDS:
        np.testing.assert_allclose(getattr(fast, field), getattr(exact, field), atol=1e-3)
    np.testing.assert_allclose(1 / fast.dofs, 1 / exact.dofs, atol=5e-3)
    assert np.abs(p_balanced(fast, x) - p_balanced(exact, x)).mean() < 1e-3
    assert (fast.outcome, fast.balanced) == (exact.outcome, exact.balanced)


@pytest.mark.parametrize("nu", [np.inf, 4.0, 1.0])
@pytest.mark.parametrize("counts", [(20, 20), (200, 1)])
def test_the_likelihood_of_cells_is_below_the_exact_one_by_no_more_than_the_bound(nu, counts):
    x = np.sort(world("balanced", 4000))
    parts = [p for half, k in zip(np.array_split(x, 2), counts, strict=True) for p in np.array_split(half, k)]
    grouped = Cells(
        np.array([float(p.size) for p in parts]),
        np.array([p.mean() for p in parts]),
        np.array([p.var() for p in parts]),
    )
    c = Components(*(np.array([v]) for v in ([0.7, 0.3], [0.0, 0.6], [0.1, 0.15], [nu, nu])))
    exact, low = e_step(x, c)[1][0], e_step(grouped, c)[1][0]
    log_f = log_density(x, c)[0]
    bound, at = 0.0, 0
    for part in parts:
        inside = slice(at, at := at + part.size)
        z2 = ((part - c.locs[0][:, None]) / c.scales[0][:, None]) ** 2
        precision = 0.0 if np.isinf(nu) else (nu + 1) / (4 * nu**2) * z2.var(axis=1).max()
        bound += part.size * ((log_f[1] - log_f[0])[inside].var() / 8 + precision)
    assert 0 < exact - low <= bound


def test_one_sample_a_cell_is_no_approximation():
    x = world("heavy", 3000)
    c = starts(x, 4.0)
    np.testing.assert_allclose(e_step(gather(x), c)[1], e_step(x, c)[1], rtol=1e-12)


@pytest.mark.parametrize(("family", "dof"), KINDS)
def test_the_likelihood_of_cells_never_falls(family, dof):
    trace = np.array(fit(world("spike"), family, dof=dof).log_likelihoods)
    assert len(trace) > 5 and (np.diff(trace) >= -1e-12 * np.abs(trace[:-1])).all()


def test_acceleration_reaches_in_few_cycles_what_plain_em_crawls_towards():
    x = gather(world("balanced", 5000))
    fast = fit(world("balanced", 5000), "student-t", dof=None)
    plain = starts(x, 10.0).rows(np.array([0]))
    for _ in range(500):
        plain = m_step(x, e_step(x, plain)[0], plain, 1e-6, True)
    assert fast.converged and len(fast.log_likelihoods) < 500
    assert fast.log_likelihoods[-1] >= e_step(x, plain)[1][0] - 1e-6


@pytest.mark.parametrize(("family", "dof"), KINDS)
@pytest.mark.parametrize("n", [800, 30_000])
def test_a_weight_counts_samples(family, dof, n):
    x, weights = world("balanced", n), np.random.default_rng(1).integers(0, 4, n)
    there, back = fit(x, family, dof=dof, weights=weights), fit(np.repeat(x, weights), family, dof=dof)
    for field in FIELDS:
        np.testing.assert_allclose(getattr(there, field), getattr(back, field), atol=1e-8 if n == 800 else 2e-4)
    assert there.log_likelihoods[-1] == pytest.approx(back.log_likelihoods[-1], rel=1e-3)


def test_unusable_weights():
    x = world("balanced", 100)
    for bad in (-np.ones(100), np.full(100, np.nan), np.full(100, np.inf), np.ones(99)):
        with pytest.raises(ValueError, match="weights"):
            fit(x, weights=bad)
    for n in (100, EXACT + 1):
        assert fit(np.linspace(-1, 1, n), weights=np.zeros(n)).outcome == "too_few"


@pytest.mark.long
@pytest.mark.parametrize("name", WORLDS)
def test_mirrored_cells_give_the_mirrored_fit(name):
    x = world(name)
    there, back = fit(x), fit(-x)
    np.testing.assert_allclose(back.locs, -there.locs[::-1], atol=1e-9)
    np.testing.assert_allclose(p_balanced(back, -x), p_balanced(there, x), atol=1e-7)


def test_other_precisions_and_strides_are_read_in_place():
    x = world("balanced", 30_000).astype(np.float32)
    expected = fit(x.astype(np.float64))
    for same in (x, np.stack([x, -x], axis=1)[:, 0]):
        np.testing.assert_array_equal(fit(same).locs, expected.locs)


@pytest.mark.parametrize("n", [CHUNK - 1, CHUNK, 2 * CHUNK + 1])
def test_posteriors_by_chunks_are_those_of_the_whole(n):
    fitted, x = fit(world("balanced", 1000)), world("balanced", n)
    whole = e_step(x, Components(*(v[None] for v in (fitted.weights, fitted.locs, fitted.scales, fitted.dofs))))[0][0].T
    np.testing.assert_allclose(posterior(fitted, x), whole, atol=1e-15)
    np.testing.assert_allclose(p_balanced(fitted, x), whole[:, fitted.balanced], atol=1e-15)


@pytest.mark.parametrize(("family", "dof"), KINDS)
def test_memory_beyond_the_input_does_not_grow_with_it(family, dof):
    def peak(n: int) -> int:
        x = world("balanced", n)
        tracemalloc.start()
        fit(x, family, dof=dof)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    small, large = peak(200_000), peak(2_000_000)
    assert large < 1.5 * small and large < 12e6  # of 16 MB of gaps ten times as many
