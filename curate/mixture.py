"""A one-dimensional two-component mixture of the modality gap: Gaussian or Student-t, by EM in log space. Pure.

Equations 9 and 10 of arXiv 2510.21797 v2: p(g) = sum_k pi_k f(g; mu_k, sigma_k), and the posterior of each component.

Letters: N samples, C components, S starts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import digamma, gammaln, logsumexp

from .types import Floats, MixtureFit

RULES = ("second_moment", "weight", "abs_mean")
FAMILIES = ("gaussian", "student-t")
MIN_SAMPLES = 10
MIN_VARIANCE = 1e-8
TAIL = 0.3
"""Where a gap, divided by its scale, counts to a tail."""
DOF_BOUNDS = (1.0, 100.0)


@dataclass(frozen=True)
class Components:
    """Parameters of S mixtures at once, each field (S, C): weights, locs, scales, dofs (infinite = Gaussian)."""

    weights: Floats
    locs: Floats
    scales: Floats
    dofs: Floats


def log_density(x: Floats, c: Components) -> Floats:
    """log f(x; mu, sigma, nu) without mixing weights: (N,) to (S, C, N). Infinite nu is the Gaussian."""
    z2 = ((x - c.locs[..., None]) / c.scales[..., None]) ** 2
    log_scale = np.log(c.scales)[..., None]
    if np.isinf(c.dofs).all():
        return -0.5 * (np.log(2 * np.pi) + z2) - log_scale
    nu = c.dofs[..., None]
    norm = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(nu * np.pi)
    return norm - log_scale - (nu + 1) / 2 * np.log1p(z2 / nu)


def e_step(x: Floats, c: Components) -> tuple[Floats, Floats]:
    """Posteriors (S, C, N), Eq. 10, and the total log-likelihood (S,)."""
    with np.errstate(divide="ignore"):
        joint = np.log(c.weights)[..., None] + log_density(x, c)
    total = logsumexp(joint, axis=1, keepdims=True)
    return np.exp(joint - total), total.sum(axis=(1, 2))


def m_step(x: Floats, posterior: Floats, c: Components, variance_floor: float, estimate_dof: bool) -> Components:
    """The next parameters from the posteriors (S, C, N) of `c`; the likelihood never falls.

    For Student-t this is EM with the latent precision u = (nu + 1) / (nu + z^2) beside the membership; with
    `estimate_dof` each nu follows from its own equation in `DOF_BOUNDS`.
    """
    mass = posterior.sum(axis=2)
    weights = mass / x.size
    if np.isinf(c.dofs).all():
        u = posterior
    else:
        z2 = ((x - c.locs[..., None]) / c.scales[..., None]) ** 2
        precision = (c.dofs[..., None] + 1) / (c.dofs[..., None] + z2)
        u = posterior * precision
    tiny = np.finfo(float).tiny
    locs = (u @ x) / np.maximum(u.sum(axis=2), tiny)
    variances = (u * (x - locs[..., None]) ** 2).sum(axis=2) / np.maximum(mass, tiny)
    scales = np.sqrt(np.maximum(variances, variance_floor))
    dofs = c.dofs
    if estimate_dof:
        dofs = np.array(
            [
                [_next_dof(nu, p, q) for nu, p, q in zip(*row, strict=True)]
                for row in zip(c.dofs, posterior, precision, strict=True)
            ]
        )
    return Components(weights, locs, scales, dofs)


def _next_dof(nu: float, posterior: Floats, precision: Floats) -> float:
    """The maximiser of the expected complete log-likelihood over nu, for one component, clipped to `DOF_BOUNDS`."""
    mean = (posterior * (np.log(precision) - precision)).sum() / max(posterior.sum(), np.finfo(float).tiny)
    constant = 1 + mean + digamma((nu + 1) / 2) - np.log((nu + 1) / 2)

    def slope(v: float) -> float:
        return constant - digamma(v / 2) + np.log(v / 2)

    low, high = DOF_BOUNDS
    if slope(low) <= 0:
        return low
    return high if slope(high) >= 0 else brentq(slope, low, high)


def starts(x: Floats, dof: float) -> Components:
    """Five deterministic starts: two mirrored quantile pairs, two concentric, and one-dimensional 2-means.

    The set is symmetric, so that fitting -x gives the mirrored fit.
    """
    q05, q25, q75, q95 = np.quantile(x, [0.05, 0.25, 0.75, 0.95])
    median, sd = np.median(x), x.std()
    mad = max(float(np.median(np.abs(x - median))), sd / 20)
    low, high = _two_means(x)
    locs = np.array([[q25, q95], [q05, q75], [median, median], [median, median], [low, high]])
    scales = np.array([[sd / 2, sd / 2], [sd / 2, sd / 2], [mad, 2 * sd], [mad / 3, sd], [sd / 2, sd / 2]])
    return Components(np.full(locs.shape, 0.5), locs, scales, np.full(locs.shape, dof))


def _two_means(x: Floats, iterations: int = 50) -> tuple[float, float]:
    """The centres of 2-means in one dimension, started at the extremes."""
    low, high = float(x.min()), float(x.max())
    for _ in range(iterations):
        above = x > (low + high) / 2
        if above.all() or not above.any():
            break
        new = float(x[~above].mean()), float(x[above].mean())
        if new == (low, high):
            break
        low, high = new
    return low, high


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
    dof: float | None = 4.0,
    rule: str = "second_moment",
    scale: float = 1.0,
    tolerance: float = 1e-8,
    iterations: int = 1000,
) -> MixtureFit:
    """Fit two components to (N,) gaps by EM from several starts, keeping the best likelihood.

    Args:
        gaps: (N,) finite values.
        family: `gaussian` or `student-t`.
        dof: degrees of freedom of the t components; None estimates them in [1, 100].
        rule: see `balanced_component`.
        scale: what the gaps are divided by before the warnings' thresholds apply, see `gap.gap_scale`.
        tolerance: stop when the log-likelihood per sample rises by less.
        iterations: at most so many.

    Returns:
        The fit; its `outcome` is not `ok` where two components have no meaning (fewer than 10 samples, constant gaps,
        a component that died): one component then, and every posterior of "balanced" is 1.

    Raises:
        ValueError: a gap is not finite, or family or rule is unknown.
    """
    x = np.asarray(gaps, dtype=np.float64)
    if x.ndim != 1 or not np.isfinite(x).all():
        raise ValueError("gaps must be one-dimensional and finite")
    if family not in FAMILIES or rule not in RULES:
        raise ValueError(f"family is one of {FAMILIES} and rule one of {RULES}, got {family!r} and {rule!r}")
    if x.size < MIN_SAMPLES:
        return _one_component(x, family, rule, "too_few")
    if x.var() < MIN_VARIANCE * scale**2:
        return _one_component(x, family, rule, "degenerate")
    floor = 1e-6 * scale**2
    start_dof = np.inf if family == "gaussian" else (dof or 10.0)
    first = starts(x, start_dof)
    # A start below the floor would lose likelihood in its first step, and be set aside for that.
    first = replace(first, scales=np.maximum(first.scales, np.sqrt(floor)))
    result, trace, converged = _best_of(x, first, floor, dof is None and family != "gaussian", tolerance, iterations)
    if (result.weights < 1 / x.size).any():
        return _one_component(x, family, rule, "one_component")
    order = np.argsort(result.locs[0], kind="stable")
    weights, locs, scales, dofs = (v[0][order] for v in (result.weights, result.locs, result.scales, result.dofs))
    choices = {r: balanced_component(weights, locs, scales, r) for r in RULES}
    fitted = MixtureFit(
        family,
        weights / weights.sum(),
        locs,
        scales,
        dofs,
        choices[rule],
        rule,
        rule_conflict=len(set(choices.values())) > 1,
        log_likelihoods=tuple(trace),
        converged=converged,
    )
    return replace(fitted, warnings=diagnose(fitted, x / scale, scale))


def _best_of(
    x: Floats, first: Components, floor: float, estimate_dof: bool, tolerance: float, iterations: int
) -> tuple[Components, list[float], bool]:
    """Run EM from all starts together; the parameters, trace and convergence of the best one.

    A start that has stopped rising is set aside, so that late iterations cost only what still moves.
    """
    finished: list[tuple[float, Components, list[float], bool]] = []
    count = len(first.weights)
    active, previous = first, np.full(count, -np.inf)
    traces: list[list[float]] = [[] for _ in range(count)]
    for step in range(iterations + 1):
        posterior, likelihood = e_step(x, active)
        for trace, value in zip(traces, likelihood, strict=True):
            trace.append(float(value))
        rising = likelihood - previous > tolerance * x.size
        last = step == iterations
        for s in np.flatnonzero(~rising | last):
            finished.append((float(likelihood[s]), _pick(active, np.array([s])), traces[s], bool(~rising[s])))
        if last or not rising.any():
            break
        keep = np.flatnonzero(rising)
        previous, traces = likelihood[keep], [traces[s] for s in keep]
        active = m_step(x, posterior[keep], _pick(active, keep), floor, estimate_dof)
    _, best, trace, converged = max(finished, key=lambda f: f[0])
    return best, trace, converged


def _pick(c: Components, rows: NDArray[np.integer]) -> Components:
    return Components(c.weights[rows], c.locs[rows], c.scales[rows], c.dofs[rows])


def _one_component(x: Floats, family: str, rule: str, outcome: str) -> MixtureFit:
    """A fit in which every sample is balanced; `outcome` says why."""
    loc = float(x.mean()) if x.size else 0.0
    scale = float(x.std()) if x.size else 1.0
    dof = np.inf if family == "gaussian" else DOF_BOUNDS[1]
    one = np.ones(1)
    note = {
        "too_few": f"only {x.size} gaps, at least {MIN_SAMPLES} are needed: every sample counts as balanced",
        "degenerate": "the gaps are constant: every sample counts as balanced; train longer before scoring",
        "one_component": "a second component found no samples: every sample counts as balanced",
    }[outcome]
    return MixtureFit(
        family, one, one * loc, one * max(scale, 1e-3), one * dof, 0, rule, outcome=outcome, warnings=(note,)
    )


def posterior(fitted: MixtureFit, gaps: NDArray[np.floating]) -> Floats:
    """Eq. 10: (N,) gaps to (N, C) posteriors, each row adding to one.

    Column `fitted.balanced` is the probability of being balanced. Not monotone in the gap where variances differ.
    """
    c = Components(*(v[None] for v in (fitted.weights, fitted.locs, fitted.scales, fitted.dofs)))
    post, _ = e_step(np.asarray(gaps, dtype=np.float64), c)
    return post[0].T


def p_balanced(fitted: MixtureFit, gaps: NDArray[np.floating]) -> Floats:
    """w_0 of the paper, (N,): the posterior of the balanced component, in [0, 1]; higher = more balanced."""
    return posterior(fitted, gaps)[:, fitted.balanced]


def density(fitted: MixtureFit, grid: NDArray[np.floating]) -> Floats:
    """pi_k f(g; mu_k, sigma_k) on a (G,) grid: (C, G), for plots."""
    c = Components(*(v[None] for v in (fitted.weights, fitted.locs, fitted.scales, fitted.dofs)))
    return fitted.weights[:, None] * np.exp(log_density(np.asarray(grid, dtype=np.float64), c)[0])


def diagnose(fitted: MixtureFit, x: Floats, scale: float) -> tuple[str, ...]:
    """What speaks against reading the fit as a balanced and an imbalanced population.

    Args:
        x: (N,) gaps divided by `scale`, in [-1, 1].
    """
    locs, sd = fitted.locs / scale, fitted.scales / scale
    b = fitted.balanced
    low, high = float((x < -TAIL).mean()), float((x > TAIL).mean())
    notes = []
    if min(low, high) >= 0.05:
        notes.append(
            f"two tails: {low:.0%} of gaps below -{TAIL} and {high:.0%} above {TAIL}; two components cannot "
            "hold three groups, so the smaller tail counts as balanced. Rank by |gap| instead"
        )
    if sd[b] > 0.25:
        notes.append(f"no balanced peak: the balanced component has spread {sd[b]:.2f}")
    if np.ptp(locs) < 0.3:
        notes.append(f"concentric: the two locations differ by only {np.ptp(locs):.2f}")
    if np.abs(locs).min() > 0.2:
        notes.append(f"no component is near zero: the nearest is at {locs[np.abs(locs).argmin()]:+.2f}")
    if np.abs(x).mean() < 0.1:
        notes.append(f"small gaps: mean |gap| is {np.abs(x).mean():.2f}; scored too early or memorised")
    if fitted.rule_conflict:
        picks = {r: balanced_component(fitted.weights, fitted.locs, fitted.scales, r) for r in RULES}
        notes.append(
            "the rules for the balanced component disagree: "
            + ", ".join(f"{r} at {locs[k]:+.2f}" for r, k in picks.items())
        )
    if not fitted.converged:
        notes.append("the likelihood was still rising when the fit stopped")
    return tuple(notes)
