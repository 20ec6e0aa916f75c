"""Posteriors of a fitted mixture (Eq. 10 of arXiv 2510.21797), and its densities. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from curate.arguments import need, numbers
from curate.types import Floats, MixtureFit

from . import two_sided
from .cells import CHUNK
from .em import Components, e_step, log_density


def posterior(fitted: MixtureFit, gaps: NDArray[np.floating]) -> Floats:
    """Eq. 10: (N,) gaps to (N, C) posteriors; each row adds to one.

    Column `fitted.balanced` is the probability of being balanced. It is not monotone in the gap if variances differ,
    unless the fit has the limits of `monotone_limits`.
    """
    out = np.empty((len(gaps), len(fitted.weights)))
    for start in range(0, len(gaps), CHUNK):
        part = np.clip(np.asarray(gaps[start : start + CHUNK], dtype=np.float64), *fitted.limits)
        if fitted.family == two_sided.FAMILY:
            out[start : start + CHUNK] = softmax(two_sided.log_joint(fitted, part), axis=0).T
        else:
            out[start : start + CHUNK] = e_step(part, _components(fitted))[0][0].T
    return out


def p_balanced(fitted: MixtureFit, gaps: NDArray[np.floating] | Sequence[float]) -> Floats:
    """w_0 of the paper, (N,): the posterior of the balanced component, in [0, 1]; higher = more balanced.

    Raises:
        ValueError: it is no fit, or these are not (N,) numbers.
    """
    need("fitted", fitted, MixtureFit)
    gaps = numbers("gaps", gaps)
    out = np.empty(len(gaps))
    for start in range(0, len(gaps), CHUNK):
        out[start : start + CHUNK] = posterior(fitted, gaps[start : start + CHUNK])[:, fitted.balanced]
    return out


def p_ahead(fitted: MixtureFit, gaps: NDArray[np.floating]) -> Floats:
    """Posteriors of each direction of a fit of three, (N, 2): first modality ahead, second ahead; else NaN.

    They are the posteriors of the right and of the left tail, and add to 1 - `p_balanced`.
    """
    out = np.full((len(gaps), 2), np.nan)
    if len(fitted.weights) == 3:
        for start in range(0, len(gaps), CHUNK):
            out[start : start + CHUNK] = posterior(fitted, gaps[start : start + CHUNK])[:, [2, 0]]
    return out


def density(fitted: MixtureFit, grid: NDArray[np.floating]) -> Floats:
    """pi_k f(g; mu_k, sigma_k) on a (G,) grid: (C, G), for plots."""
    x = np.asarray(grid, dtype=np.float64)
    if fitted.family == two_sided.FAMILY:
        return np.exp(two_sided.log_joint(fitted, x))
    result: Floats = fitted.weights[:, None] * np.exp(log_density(x, _components(fitted))[0])
    return result


def _components(fitted: MixtureFit) -> Components:
    return Components(*(v[None] for v in (fitted.weights, fitted.locs, fitted.scales, fitted.dofs)))


def monotone_limits(fitted: MixtureFit) -> tuple[float, float]:
    """(low, high) gaps between which the posterior of a fit of two is monotone; with gaps clipped to them it always is.

    From mu_0, of the balanced component, to mu_1 the log odds of imbalanced rise. Outside they may turn: a Gaussian
    that is wider than the other has the larger density on both sides. The limits are the turning points nearest to the
    two locations, infinite where there is none. With gaps clipped to them, p_imbalanced no longer falls beyond mu_1,
    and p_balanced no longer falls on the far side of mu_0. "Imbalanced" then means carried by the modality that the
    sign of mu_1 indicates; a large gap of the other sign counts as balanced (where that is wrong, the outcome is
    `two_tailed`).
    """
    if len(fitted.weights) != 2:
        return -np.inf, np.inf
    low, high = fitted.locs
    width = high - low if high > low else 1.0
    # In units of the distance, from the lower location: a = y - position, the slope of log f is -a * top / bottom.
    y = np.polynomial.Polynomial([0, 1])
    slopes = []
    for loc, scale, nu in zip(fitted.locs, fitted.scales, fitted.dofs, strict=True):
        a, variance = y - (loc - low) / width, (scale / width) ** 2
        slopes.append((a, variance + 0 * y) if np.isinf(nu) else (a * (nu + 1), nu * variance + a**2))
    (top, bottom), (other_top, other_bottom) = slopes
    roots = (top * other_bottom - other_top * bottom).trim().roots()
    turns = low + width * np.real(roots[np.abs(np.imag(roots)) < 1e-9])
    return float(turns[turns <= low].max(initial=-np.inf)), float(turns[turns >= high].min(initial=np.inf))
