"""Expectation maximisation of one-dimensional mixtures, Gaussian or Student-t, in log space and accelerated. Pure.

The data are `Cells`. All samples of a cell share one membership (and one latent precision). The density of a cell under
a component is therefore that of its mean square z^2 = ((mean - mu)^2 + variance) / sigma^2. EM then maximises a lower
bound of the exact log-likelihood L, which equals L if every cell is one sample. With d(x) the log odds of two
components, and the variances taken within a cell,

    0 <= L - bound <= sum over cells of count * (var(d) / 8 + max_k (nu_k + 1) / (4 nu_k^2) * var(z_k^2)).

The first term is due to the shared membership; the second, zero for Gaussians, to the shared precision.

Letters: G cells, C components, S starts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, gammaln

from curate.types import Floats

from .cells import Cells, single

DOF_BOUNDS = (1.0, 100.0)
TINY = np.finfo(float).tiny
LONGEST = 256.0
"""The longest leap, in EM steps."""
ROUNDING = 1e-13
"""A log-likelihood may fall by this share of itself, due to rounding."""
SAME = 0.1
"""Two mixtures that differ by less in each coordinate of `_flat` are assumed to reach the same optimum."""
MEANS = 50
"""Steps of the clustering that a start is taken from, at most."""


@dataclass(frozen=True)
class Components:
    """Parameters of S mixtures at once, each field (S, C): weights, locs, scales, dofs (infinite = Gaussian)."""

    weights: Floats
    locs: Floats
    scales: Floats
    dofs: Floats

    def rows(self, index: NDArray[np.integer] | NDArray[np.bool_]) -> Components:
        """Some of the S mixtures."""
        return Components(self.weights[index], self.locs[index], self.scales[index], self.dofs[index])


def _cells(x: Floats | Cells) -> Cells:
    return x if isinstance(x, Cells) else Cells(np.ones(x.size), x, np.zeros(x.size))


def _square(x: Cells, c: Components) -> Floats:
    """Mean of z^2 in each cell, (S, C, G)."""
    off = x.means - c.locs[..., None]
    off *= off
    off += x.variances
    off /= (c.scales**2)[..., None]
    return off


def log_density(x: Floats | Cells, c: Components) -> Floats:
    """log f(x; mu, sigma, nu) without mixing weights: (G,) to (S, C, G). Infinite nu is the Gaussian."""
    z2 = _square(_cells(x), c)
    log_scale = np.log(c.scales)[..., None]
    result: Floats
    if np.isinf(c.dofs).all():
        result = -0.5 * z2 - (0.5 * np.log(2 * np.pi) + log_scale)
        return result
    nu = c.dofs[..., None]
    norm = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(nu * np.pi)
    result = (norm - log_scale) - (nu + 1) / 2 * np.log1p(z2 / nu)
    return result


def e_step(x: Floats | Cells, c: Components) -> tuple[Floats, Floats]:
    """Posteriors (S, C, G), Eq. 10, and the total log-likelihood (S,)."""
    x = _cells(x)
    with np.errstate(divide="ignore"):
        joint = log_density(x, c) + np.log(c.weights)[..., None]
    peak = joint.max(axis=1)
    joint -= peak[:, None]
    np.exp(joint, out=joint)
    total = joint.sum(axis=1)
    joint /= total[:, None]
    return joint, (np.log(total) + peak) @ x.counts


def m_step(
    x: Floats | Cells, posterior: Floats, c: Components, variance_floor: float, estimate_dof: bool
) -> Components:
    """The next parameters from the posteriors (S, C, G) of `c`; the likelihood never falls.

    For Student-t this is EM with two latent variables, the membership and the precision u = (nu + 1) / (nu + z^2); with
    `estimate_dof` each nu is the solution of its own equation in `DOF_BOUNDS`.
    """
    x = _cells(x)
    mass = posterior @ x.counts
    u = posterior * x.counts
    dofs = c.dofs
    if not np.isinf(c.dofs).all():
        precision = (dofs[..., None] + 1) / (dofs[..., None] + _square(x, c))
        if estimate_dof:
            surprise = (u * (np.log(precision) - precision)).sum(axis=2) / np.maximum(mass, TINY)
            dofs = _next_dofs(c.dofs, surprise)
        u *= precision
    locs = (u @ x.means) / np.maximum(u.sum(axis=2), TINY)
    variances = (u * ((x.means - locs[..., None]) ** 2 + x.variances)).sum(axis=2) / np.maximum(mass, TINY)
    return Components(mass / x.total, locs, np.sqrt(np.maximum(variances, variance_floor)), dofs)


def _next_dofs(nu: Floats, surprise: Floats) -> Floats:
    """The maximiser of the expected complete log-likelihood over each nu, by bisection of log nu in `DOF_BOUNDS`.

    Args:
        nu: current values, any shape.
        surprise: the mean of log(u) - u over each component's posterior.
    """
    constant = 1 + surprise + digamma((nu + 1) / 2) - np.log((nu + 1) / 2)
    low, high = (np.full(nu.shape, np.log(b)) for b in DOF_BOUNDS)
    for _ in range(45):
        middle = (low + high) / 2
        half = np.exp(middle) / 2
        rising = constant - digamma(half) + np.log(half) > 0
        low, high = np.where(rising, middle, low), np.where(rising, high, middle)
    result: Floats = np.clip(np.exp((low + high) / 2), *DOF_BOUNDS)
    return result


def starts(x: Floats | Cells, dof: float, components: int = 2) -> Components:
    """Five deterministic starts of two: two mirrored quantile pairs, two concentric, and one-dimensional 2-means.

    The set is symmetric: fitting -x gives the mirrored fit. For one component there is one start, at the median; for
    three see `_three_starts`.
    """
    x = x if isinstance(x, Cells) else single(x)
    if components == 3:
        return _three_starts(x, dof)
    q05, q25, median, q75, q95 = x.quantiles([0.05, 0.25, 0.5, 0.75, 0.95])
    sd = np.sqrt(x.variance)
    if components == 1:
        return Components(np.ones((1, 1)), np.full((1, 1), median), np.full((1, 1), sd), np.full((1, 1), dof))
    mad = _half_width(x, median, sd)
    low, high = _two_means(x)
    locs = np.array([[q25, q95], [q05, q75], [median, median], [median, median], [low, high]])
    scales = np.array([[sd / 2, sd / 2], [sd / 2, sd / 2], [mad, 2 * sd], [mad / 3, sd], [sd / 2, sd / 2]])
    return Components(np.full(locs.shape, 0.5), locs, scales, np.full(locs.shape, dof))


def _half_width(x: Cells, median: float, sd: float) -> float:
    """The median absolute deviation, at least a twentieth of the standard deviation."""
    around = np.abs(x.means - median)
    order = np.argsort(around, kind="stable")
    return max(float(np.interp(x.total / 2, np.cumsum(x.counts[order]), around[order])), sd / 20)


def _three_starts(x: Cells, dof: float) -> Components:
    """Five starts of a left tail, a middle and a right tail: frequent tails, rare tails, 3-means, a narrow middle
    between two wide tails, and a middle at zero, for a middle with few samples. The set is symmetric, as for two.
    """
    q01, q05, q25, median, q75, q95, q99 = x.quantiles([0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99])
    sd = float(np.sqrt(x.variance))
    mad, far = _half_width(x, float(median), sd), float(np.sqrt(x.variance + x.mean**2))
    locs = np.array([[q05, median, q95], [q01, median, q99], _three_means(x), [q25, median, q75], [-far, 0, far]])
    halves = [sd / 2, mad, sd / 2]
    scales = np.array([halves, [sd / 4, mad, sd / 4], [sd / 3] * 3, [sd, mad / 3, sd], [far / 2] * 3])
    even = [1 / 3] * 3
    weights = np.array([[0.25, 0.5, 0.25], [0.05, 0.9, 0.05], even, even, even])
    return Components(weights, locs, scales, np.full(locs.shape, dof))


def _three_means(x: Cells) -> list[float]:
    """The centres of 3-means in one dimension, started at the extremes and their middle."""
    centres = np.array([x.means[0], (x.means[0] + x.means[-1]) / 2, x.means[-1]])
    for _ in range(MEANS):
        edges = np.searchsorted(x.means, (centres[1:] + centres[:-1]) / 2)
        groups = [slice(a, b) for a, b in zip((0, *edges), (*edges, x.means.size), strict=True)]
        new = np.array(
            [
                x.counts[g] @ x.means[g] / x.counts[g].sum() if g.stop > g.start else c
                for g, c in zip(groups, centres, strict=True)
            ]
        )
        if (new == centres).all():
            break
        centres = new
    result: list[float] = centres.tolist()
    return result


def _two_means(x: Cells) -> tuple[float, float]:
    """The centres of 2-means in one dimension, started at the extremes."""
    low, high = float(x.means[0]), float(x.means[-1])
    for _ in range(MEANS):
        above = x.means > (low + high) / 2
        if above.all() or not above.any():
            break
        new = tuple(float(x.counts[s] @ x.means[s] / x.counts[s].sum()) for s in (~above, above))
        if new == (low, high):
            break
        low, high = new
    return low, high


def climb(
    x: Cells,
    start: Components,
    floor: float,
    estimate_dof: bool,
    tolerance: float,
    iterations: int,
    *,
    merge: bool = False,
    wanted: Callable[[Components], bool] = lambda found: True,
) -> tuple[Components, list[float], bool]:
    """Accelerated EM from every start; the mixture (1, C) of best likelihood, its trace, and whether it stopped rising.

    A cycle is two EM steps and a leap along their direction (SQUAREM, Varadhan and Roland 2008, third step length). If
    the leap would lower the likelihood, the second EM step is used instead. The likelihood therefore never falls except
    by rounding, and optima are reached that plain EM approaches very slowly.

    Args:
        floor: of the variance.
        tolerance: a start is finished when a cycle raises its log-likelihood per sample by no more than this.
        iterations: greatest number of cycles.
        merge: abandon a start that has come within `SAME` of one with a better likelihood.
        wanted: condition on the mixture; the best of those that fulfil it is returned, or the best of all if none does.
    """
    unit = np.sqrt(x.variance)
    c, finished = start, []
    posterior, likelihood = e_step(x, c)
    traces = [[float(v)] for v in likelihood]
    for cycle in range(1, iterations + 1):
        one = m_step(x, posterior, c, floor, estimate_dof)
        posterior, first = e_step(x, one)
        two = m_step(x, posterior, one, floor, estimate_dof)
        c = _leap(c, one, two, unit, floor, estimate_dof)
        posterior, reached = e_step(x, c)
        if (fell := np.flatnonzero(~(reached >= first - ROUNDING * np.abs(first)))).size:
            for mine, safe in zip(vars(c).values(), vars(two).values(), strict=True):
                mine[fell] = safe[fell]
            posterior[fell], reached[fell] = e_step(x, two.rows(fell))
        for trace, *values in zip(traces, first, reached, strict=True):
            trace.extend(map(float, values))
        rising = reached - likelihood > tolerance * x.total
        for s in np.flatnonzero(~rising | (cycle == iterations)):
            finished.append((float(reached[s]), c.rows(np.array([s])), traces[s], not rising[s]))
        keep = np.flatnonzero(rising & ~_followers(c, reached, unit) if merge else rising)
        if not keep.size:
            break
        c, posterior, likelihood, traces = c.rows(keep), posterior[keep], reached[keep], [traces[s] for s in keep]
    _, best, trace, converged = max(finished, key=lambda f: (wanted(f[1]), f[0]))
    return best, trace, bool(converged)


def _flat(c: Components, unit: float, with_dof: bool) -> Floats:
    """(log pi, mu / unit, log sigma, log nu) of S mixtures, (S, 3 or 4, C)."""
    parts = [np.log(np.maximum(c.weights, TINY)), c.locs / unit, np.log(c.scales)]
    return np.stack([*parts, np.log(c.dofs)] if with_dof else parts, axis=1)


def _followers(c: Components, likelihood: Floats, unit: float) -> NDArray[np.bool_]:
    """(S,) which mixtures are within `SAME` of one with a higher likelihood, or with the same and a smaller index."""
    order = np.argsort(c.locs, axis=1, kind="stable")
    flat = np.take_along_axis(_flat(c, unit, bool(np.isfinite(c.dofs).all())), order[:, None], axis=2)
    near = np.abs(flat[:, None] - flat[None]).max(axis=(2, 3)) < SAME
    index = np.arange(len(likelihood))
    ahead = (likelihood[None] > likelihood[:, None]) | (
        (likelihood[None] == likelihood[:, None]) & (index[None] < index[:, None])
    )
    result: NDArray[np.bool_] = (near & ahead).any(axis=1)
    return result


def _leap(c: Components, one: Components, two: Components, unit: float, floor: float, estimate_dof: bool) -> Components:
    """Extrapolate three successive EM iterates, in the coordinates of `_flat`."""
    zero, first, second = (_flat(p, unit, estimate_dof) for p in (c, one, two))
    step = first - zero
    bend = (second - first) - step
    length, turn = (np.sqrt((v**2).sum(axis=(1, 2), keepdims=True)) for v in (step, bend))
    size = np.clip(length / np.maximum(turn, TINY**0.5), 1, LONGEST)
    log_weights, locs, log_scales, *log_dofs = np.moveaxis(zero + 2 * size * step + size**2 * bend, 1, 0)
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    scales = np.exp(np.clip(log_scales, 0.5 * np.log(floor), np.log(unit) + 10))
    dofs = np.exp(np.clip(log_dofs[0], *np.log(DOF_BOUNDS))) if estimate_dof else c.dofs.copy()
    return Components(weights / weights.sum(axis=1, keepdims=True), locs * unit, scales, dofs)
