"""A one-dimensional two-component mixture of the modality gap, Gaussian or Student-t: fit, outcome, posterior. Pure.

Equations 9 and 10 of arXiv 2510.21797 v2: p(g) = sum_k pi_k f(g; mu_k, sigma_k), and the posterior of each component.

Letters: N samples, C components, S starts.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .cells import CHUNK, Cells, gather
from .em import DOF_BOUNDS, Components, climb, e_step, log_density, starts
from .types import Floats, MixtureFit

RULES = ("second_moment", "weight", "abs_mean")
FAMILIES = ("gaussian", "student-t")
CHECKS = ("bic", "none")
POSTERIORS = ("literal", "monotone")
MIN_SAMPLES = 10
MIN_VARIANCE = 1e-8
TAIL = 0.3
"""Where a gap, divided by its scale, counts to a tail."""
TWO_TAILED = 0.05
"""The share of gaps in the smaller tail from which on there are two."""
SMALL_GAP = 0.1
"""Mean |gap|, divided by its scale, below which gaps are small."""
MEMORISED = 0.98
"""Accuracy on the scored samples above which small gaps show a training set known by heart."""
POLISH = 10
"""Cycles after the likelihood stopped to rise."""


def balanced_component(weights: Floats, locs: Floats, scales: Floats, rule: str = "second_moment") -> int:
    """Which component (C,) is the balanced one.

    Args:
        rule: `second_moment` smallest mu^2 + sigma^2, the smallest expected squared gap (the default: on fits of a
            spike and a wide component the paper's own rule picks the wrong one); `weight` largest pi, the paper's
            "assuming pi_0 > pi_1"; `abs_mean` mean nearest zero.
    """
    score = {"second_moment": locs**2 + scales**2, "weight": -weights, "abs_mean": np.abs(locs)}[rule]
    return int(np.argmin(score))


def fit(
    gaps: NDArray[np.floating],
    family: str = "gaussian",
    *,
    weights: NDArray[np.floating] | None = None,
    dof: float | None = 4.0,
    rule: str = "second_moment",
    check: str = "bic",
    posterior: str = "literal",
    scale: float = 1.0,
    tolerance: float = 1e-11,
    iterations: int = 1000,
) -> MixtureFit:
    """Fit two components to (N,) gaps by accelerated EM from several starts, keeping the best likelihood.

    Up to 20 000 gaps are fitted one by one, more of them in at most some 3000 cells that keep count, mean and variance
    (`cells.gather`); `em` states how far the likelihood is then from the exact one. Memory beyond the input is a few
    MB, whatever N.

    Args:
        gaps: (N,) finite values.
        family: `gaussian` or `student-t`.
        weights: (N,) finite, >= 0: how many samples each gap stands for; None is one each.
        dof: degrees of freedom of the t components; None estimates them in [1, 100].
        rule: see `balanced_component`.
        check: `bic` calls the fit `one_component` where the Bayesian information criterion prefers one (it rarely does:
            on data with nothing planted it preferred two as well); `none` keeps two, as the paper does.
        posterior: `literal`, Eq. 10 as it stands, or `monotone`, see `monotone_limits`.
        scale: what the gaps are divided by before the warnings' thresholds apply, see `gap.gap_scale`.
        tolerance: stop when a cycle of EM raises the log-likelihood per sample by less.
        iterations: cycles, at most.

    Returns:
        The fit. With the outcomes `too_few`, `degenerate` and `one_component` it holds one component, and every
        posterior of "balanced" is 1; `two_tailed` and `rule_conflict` name the gravest warning about a fit of two.

    Raises:
        ValueError: a gap is not finite, a weight negative, or an option unknown.
    """
    x = _checked(gaps, weights)
    for name, value, known in (
        ("family", family, FAMILIES),
        ("rule", rule, RULES),
        ("check", check, CHECKS),
        ("posterior", posterior, POSTERIORS),
    ):
        if value not in known:
            raise ValueError(f"{name} is one of {known}, got {value!r}")
    cells = gather(x, weights)
    if cells.total < MIN_SAMPLES:
        return _one_component(cells, family, rule, "too_few")
    if cells.variance < MIN_VARIANCE * scale**2:
        return _one_component(cells, family, rule, "degenerate")
    # One orientation for x and -x, so that both are fitted by the very same numbers.
    mirror = cells.mean < 0
    seen = cells.mirrored() if mirror else cells
    found, trace, converged = _fit_components(seen, 2, family, dof, scale, tolerance, iterations)
    if (found.weights * cells.total < 1).any():
        return _one_component(cells, family, rule, "one_component", "a second component found no samples")
    if check == "bic":
        excess = _bic_excess(seen, trace[-1], family, dof, scale, tolerance, iterations)
        if excess > 0:
            why = f"one population explains the gaps better than two (BIC lower by {excess:.1f})"
            return _one_component(cells, family, rule, "one_component", why)
    locs = (-1 if mirror else 1) * found.locs[0]
    order = np.argsort(locs, kind="stable")
    locs, pi, scales, dofs = (v[order] for v in (locs, found.weights[0], found.scales[0], found.dofs[0]))
    choices = {r: balanced_component(pi, locs, scales, r) for r in RULES}
    fitted = MixtureFit(
        family,
        pi / pi.sum(),
        locs,
        scales,
        dofs,
        choices[rule],
        rule,
        rule_conflict=len(set(choices.values())) > 1,
        log_likelihoods=tuple(trace),
        converged=converged,
    )
    if posterior == "monotone":
        fitted = replace(fitted, limits=monotone_limits(fitted))
    return diagnosed(fitted, cells, scale)


def _checked(gaps: NDArray[np.floating], weights: NDArray[np.floating] | None) -> NDArray[np.floating]:
    """The gaps as an array of floats, not copied where they are one; they and their weights are usable."""
    x = np.asarray(gaps)
    x = x if x.dtype.kind == "f" else x.astype(np.float64)
    # The extremes are NaN or infinite if any gap is, and need no memory.
    if x.ndim != 1 or (x.size and not np.isfinite([x.min(), x.max()]).all()):
        raise ValueError("gaps must be one-dimensional and finite")
    if weights is not None:
        w = np.asarray(weights)
        if w.shape != x.shape or (w.size and not (w.min() >= 0 and np.isfinite(w.max()))):
            raise ValueError("weights must be finite and not negative, one a gap")
    return x


def _fit_components(
    cells: Cells, count: int, family: str, dof: float | None, scale: float, tolerance: float, iterations: int
) -> tuple[Components, list[float], bool]:
    """The best mixture of so many components."""
    floor = 1e-6 * scale**2
    first = starts(cells, np.inf if family == "gaussian" else (dof or 10.0), count)
    # A start below the floor would lose likelihood in its first step, and be set aside for that.
    first = replace(first, scales=np.maximum(first.scales, np.sqrt(floor)))
    estimate_dof = dof is None and family != "gaussian"
    found, trace, converged = climb(cells, first, floor, estimate_dof, tolerance, iterations)
    if converged:  # the likelihood is flat at its top: some cycles more settle the parameters
        found, _, _ = climb(cells, found, floor, estimate_dof, -np.inf, POLISH)
    return found, trace, converged


def _bic_excess(
    cells: Cells, likelihood: float, family: str, dof: float | None, scale: float, tolerance: float, iterations: int
) -> float:
    """BIC of two components, of that log-likelihood, less BIC of one: positive = one is preferred."""
    _, alone, _ = _fit_components(cells, 1, family, dof, scale, tolerance, iterations)
    added = 3 + (dof is None and family != "gaussian")
    return added * float(np.log(cells.total)) - 2 * (likelihood - alone[-1])


def _one_component(cells: Cells, family: str, rule: str, outcome: str, why: str = "") -> MixtureFit:
    """A fit in which every sample is balanced; `outcome` says why."""
    some = cells.total > 0
    loc, scale = (cells.mean, float(np.sqrt(cells.variance))) if some else (0.0, 1.0)
    dof = np.inf if family == "gaussian" else DOF_BOUNDS[1]
    one = np.ones(1)
    note = {
        "too_few": f"only {cells.total:g} gaps, at least {MIN_SAMPLES} are needed: every sample counts as balanced; "
        "score more samples",
        "degenerate": "the gaps are constant: every sample counts as balanced; train longer before scoring",
        "one_component": f"{why}: every sample counts as balanced; rank by |gap|, or fit two all the same with "
        "score.check=none",
    }[outcome]
    return MixtureFit(
        family, one, one * loc, one * max(scale, 1e-3), one * dof, 0, rule, outcome=outcome, warnings=(note,)
    )


def posterior(fitted: MixtureFit, gaps: NDArray[np.floating]) -> Floats:
    """Eq. 10: (N,) gaps to (N, C) posteriors, each row adding to one.

    Column `fitted.balanced` is the probability of being balanced. Not monotone in the gap where variances differ,
    unless the fit has the limits of `monotone_limits`.
    """
    out = np.empty((len(gaps), len(fitted.weights)))
    for start in range(0, len(gaps), CHUNK):
        part = np.clip(np.asarray(gaps[start : start + CHUNK], dtype=np.float64), *fitted.limits)
        out[start : start + CHUNK] = e_step(part, _components(fitted))[0][0].T
    return out


def p_balanced(fitted: MixtureFit, gaps: NDArray[np.floating]) -> Floats:
    """w_0 of the paper, (N,): the posterior of the balanced component, in [0, 1]; higher = more balanced."""
    out = np.empty(len(gaps))
    for start in range(0, len(gaps), CHUNK):
        out[start : start + CHUNK] = posterior(fitted, gaps[start : start + CHUNK])[:, fitted.balanced]
    return out


def density(fitted: MixtureFit, grid: NDArray[np.floating]) -> Floats:
    """pi_k f(g; mu_k, sigma_k) on a (G,) grid: (C, G), for plots."""
    return fitted.weights[:, None] * np.exp(log_density(np.asarray(grid, dtype=np.float64), _components(fitted))[0])


def _components(fitted: MixtureFit) -> Components:
    return Components(*(v[None] for v in (fitted.weights, fitted.locs, fitted.scales, fitted.dofs)))


def monotone_limits(fitted: MixtureFit) -> tuple[float, float]:
    """Between which gaps the posterior of a fit of two is monotone; clipped to them, it is so everywhere.

    From mu_0, of the balanced component, to mu_1 the log odds rise. Outside they may turn: a Gaussian wider than the
    other wins on both sides. The limits are the turning points nearest to the two locations, infinite where there is
    none; clipped to them, p_imbalanced no longer falls beyond mu_1, and p_balanced no longer falls on the far side of
    mu_0. So "imbalanced" means carried by the modality that mu_1 leans to; a large gap of the other sign counts as
    balanced (the outcome `two_tailed` names the data where that is wrong).
    """
    if len(fitted.weights) < 2:
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


def diagnosed(fitted: MixtureFit, cells: Cells, scale: float) -> MixtureFit:
    """The fit of two with what speaks against reading it as a balanced and an imbalanced population, and its outcome.

    Args:
        cells: of the gaps; shares of them are exact to a cell.
        scale: what a gap is divided by to lie in [-1, 1].
    """
    locs, sd, x = fitted.locs / scale, fitted.scales / scale, cells.means / scale
    low, high, mean = (float(cells.counts @ v) / cells.total for v in (x < -TAIL, x > TAIL, np.abs(x)))
    outcome, notes = "ok", []
    if fitted.rule_conflict:
        outcome = "rule_conflict"
    if min(low, high) >= TWO_TAILED:
        outcome = "two_tailed"
        notes.append(
            f"two tails: {low:.0%} of gaps below -{TAIL} and {high:.0%} above {TAIL}; two components cannot "
            "hold three groups, so the smaller tail counts as balanced. Rank by |gap| instead"
        )
    if sd[fitted.balanced] > 0.25:
        notes.append(f"no balanced peak: the balanced component has spread {sd[fitted.balanced]:.2f}")
    if np.ptp(locs) < 0.3:
        notes.append(f"concentric: the two locations differ by only {np.ptp(locs):.2f}")
    if np.abs(locs).min() > 0.2:
        notes.append(f"no component is near zero: the nearest is at {locs[np.abs(locs).argmin()]:+.2f}")
    if mean < SMALL_GAP:
        notes.append(f"small gaps: mean |gap| is {mean:.2f}; scored too early or memorised")
    if fitted.rule_conflict:
        picks = {r: balanced_component(fitted.weights, fitted.locs, fitted.scales, r) for r in RULES}
        notes.append(
            "the rules for the balanced component disagree: "
            + ", ".join(f"{r} at {locs[k]:+.2f}" for r, k in picks.items())
            + "; look at the histogram and choose with score.rule"
        )
    if not fitted.converged:
        notes.append("the likelihood was still rising when the fit stopped")
    return replace(fitted, outcome=outcome, warnings=tuple(notes))


def blamed_on_memory(fitted: MixtureFit, gaps: NDArray[np.floating], accuracy: float, scale: float) -> MixtureFit:
    """The fit, called `memorised` where its gaps are small because both modalities know the scored samples by heart.

    A fit of one component keeps its outcome and gains the warning.

    Args:
        accuracy: of the less accurate of the two modalities on the scored samples, in [0, 1].
    """
    mean = float(np.abs(gaps).mean()) / scale if len(gaps) else 0.0
    if not (accuracy >= MEMORISED and mean < SMALL_GAP):
        return fitted
    note = (
        f"memorised: each modality alone is right on at least {accuracy:.1%} of the scored samples and mean |gap| is "
        f"{mean:.2f}; score after fewer epochs"
    )
    outcome = "memorised" if len(fitted.weights) > 1 else fitted.outcome
    return replace(fitted, outcome=outcome, warnings=(note, *fitted.warnings))
