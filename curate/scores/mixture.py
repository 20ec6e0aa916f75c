"""A one-dimensional mixture of the modality gap: fit, outcome, posterior. Pure.

Equations 9 and 10 of arXiv 2510.21797 v2: p(g) = sum_k pi_k f(g; mu_k, sigma_k), and the posterior of each component.
The paper has two Gaussian or Student-t components; three are a left tail, a balanced middle and a right tail. The
default, `two-sided`, is our own form; its posterior can always be used for decisions, see `two_sided`.

Letters: N samples, C components, S starts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from curate.arguments import NONE, need, numbers, one_of
from curate.types import Floats, MixtureFit

from . import two_sided
from .cells import Cells, Source, gather
from .em import DOF_BOUNDS, Components, climb, starts
from .posteriors import monotone_limits, p_ahead

RULES = ("second_moment", "weight", "abs_mean")
FAMILIES = (two_sided.FAMILY, "gaussian", "student-t")
CHECKS = ("bic", "none")
POSTERIORS = ("literal", "monotone")
MIDDLE = "middle"
"""The rule of a fit of three, see `holds_both_tails`."""
MIN_SAMPLES = 10
MIN_VARIANCE = 1e-8
TAIL = 0.3
"""A gap whose size, divided by its scale, exceeds this belongs to a tail."""
TWO_TAILED = 0.05
"""There are two tails if the smaller one has at least this share of the gaps."""
SMALL_GAP = 0.1
"""Mean |gap|, divided by its scale, below which gaps are small."""
MEMORISED = 0.98
"""Accuracy on the scored samples from which on small gaps show a memorised training set."""
POLISH = 10
"""Cycles after the likelihood has stopped rising."""


def balanced_component(weights: Floats, locs: Floats, scales: Floats, rule: str = "second_moment") -> int:
    """Index of the balanced one among (C,) components.

    Args:
        rule: `second_moment`: smallest mu^2 + sigma^2, that is, the smallest expected squared gap (the default: on fits
            of a spike and a wide component the paper's own rule picks the wrong one); `weight`: largest pi, the paper's
            "assuming pi_0 > pi_1"; `abs_mean`: mean nearest zero.
    """
    score = {"second_moment": locs**2 + scales**2, "weight": -weights, "abs_mean": np.abs(locs)}[rule]
    return int(np.argmin(score))


def chosen_family(family: str, of_components: bool) -> str:
    """The family that `auto` means: `gaussian` if an option of the paper's mixtures is given, else `two-sided`."""
    if family != "auto":
        return family
    return "gaussian" if of_components else two_sided.FAMILY


def fit(
    gaps: Source,
    family: str = "auto",
    *,
    weights: NDArray[np.floating] | None = None,
    dof: float | None = 4.0,
    rule: str = "second_moment",
    check: str = "bic",
    posterior: str = "literal",
    components: int = 2,
    scale: float = 1.0,
    tolerance: float = 1e-11,
    iterations: int = 1000,
) -> MixtureFit:
    """Fit a mixture to (N,) gaps: by accelerated EM from several starts, keeping the best likelihood.

    Up to 20 000 gaps are fitted one by one. More gaps are gathered into about 3000 cells at most, with count, mean and
    variance (`cells.gather`); `em` states how far the likelihood is then from the exact one. Memory beyond the input is
    a few MB for any N. Gaps that memory does not hold come in portions, which are read twice.

    Args:
        gaps: (N,) finite values; or a function that reads them in portions (n,), the same in each call, such as
            `curate.column`. Both give the same fit.
        family: `two-sided`, see `two_sided.fit`, which has only the options `dof`, above 2, and `scale` of those below;
            or the paper's `gaussian` or `student-t`. `auto` is `gaussian` if one of weights, rule, check, posterior and
            components is given.
        weights: (N,) finite, >= 0: how many samples each gap stands for; None is one each. Not for portions.
        dof: degrees of freedom of the t components; None estimates them in [1, 100].
        rule: see `balanced_component`.
        check: `bic` gives the outcome `one_component` if the Bayesian information criterion prefers one (it rarely
            does: on data with nothing planted it preferred two as well), and replaces three by two if it prefers fewer;
            `none` keeps two, as in the paper, or three that hold both tails.
        posterior: `literal`, Eq. 10 unchanged, or `monotone`, see `monotone_limits`; with three only `literal`.
        components: 2, or 3 for both tails and a balanced middle: the best of the optima found that satisfies
            `holds_both_tails`. If there is none, two are fitted, with the given `rule`.
        scale: the gaps are divided by it before the warnings' thresholds apply, see `gap.gap_scale`.
        tolerance: stop when a cycle of EM raises the log-likelihood per sample by less.
        iterations: greatest number of cycles.

    Returns:
        The fit. For the paper's components: with the outcomes `too_few`, `degenerate` and `one_component` it has one
        component, and every posterior of "balanced" is 1; `two_tailed` and `rule_conflict` name the most serious
        warning about the fit; `two_components` is a fit of two without such a warning where three were asked for.

    Raises:
        ValueError: a gap is not finite, a weight is negative, or an option is unknown or excluded by another.
    """
    _check_numbers(dof, scale, tolerance, iterations)
    given = weights is not None or (rule, check, posterior, components) != ("second_moment", "bic", "literal", 2)
    family = chosen_family(family, given)
    x = _checked(gaps, weights)
    for name, value, known in (
        ("family", family, ("auto", *FAMILIES)),
        ("rule", rule, RULES),
        ("check", check, CHECKS),
        ("posterior", posterior, POSTERIORS),
    ):
        one_of(name, value, known)
    if components not in (2, 3) or (components == 3 and posterior == "monotone"):
        raise ValueError(f"components is 2, or 3 with the literal posterior, got {components} and {posterior!r}")
    if family == two_sided.FAMILY:
        if given:
            raise ValueError("weights, rule, check, posterior and components are not of the two-sided family")
        return two_sided.fit(x, two_sided.DOF if dof is None else dof, scale)
    cells = gather(x, weights)
    if cells.total < MIN_SAMPLES:
        return _one_component(cells, family, rule, "too_few")
    if cells.variance < MIN_VARIANCE * scale**2:
        return _one_component(cells, family, rule, "degenerate")
    # The same orientation for x and -x: both are then fitted with exactly the same numbers.
    mirror = cells.mean < 0
    seen = cells.mirrored() if mirror else cells

    @cache
    def search(count: int) -> _Found:
        return _fit_components(seen, count, family, dof, scale, tolerance, iterations)

    three, fewer = _three(seen, search, check) if components == 3 else (None, "")
    found = three or search(2)
    if found.died(cells.total):
        return _one_component(cells, family, rule, "one_component", "a second component found no samples")
    if check == "bic" and three is None:
        excess = _bic_excess(found, search(1), cells.total)
        if excess > 0:
            why = f"one population explains the gaps better than two (BIC lower by {excess:.1f})"
            return _one_component(cells, family, rule, "one_component", why)
    fitted = diagnosed(_as_fit(found, mirror, family, rule), cells, scale, asked=components)
    if posterior == "monotone":
        fitted = replace(fitted, limits=monotone_limits(fitted))
    if fewer:
        outcome = "two_components" if fitted.outcome == "ok" else fitted.outcome
        note = f"{fewer}: two components were fitted, and no posterior for each direction"
        fitted = replace(fitted, outcome=outcome, warnings=(note, *fitted.warnings))
    return fitted


def _as_fit(found: _Found, mirror: bool, family: str, rule: str) -> MixtureFit:
    """The fit in the orientation of the gaps: components sorted by location, with the index of the balanced one."""
    c = found.components
    locs = (-1 if mirror else 1) * c.locs[0]
    order = np.argsort(locs, kind="stable")
    locs, pi, scales, dofs = (v[order] for v in (locs, c.weights[0], c.scales[0], c.dofs[0]))
    choices = {r: balanced_component(pi, locs, scales, r) for r in RULES}
    three = len(locs) == 3
    return MixtureFit(
        family,
        pi / pi.sum(),
        locs,
        scales,
        dofs,
        1 if three else choices[rule],
        MIDDLE if three else rule,
        rule_conflict=len(set(choices.values())) > 1,
        log_likelihoods=tuple(found.trace),
        converged=found.converged,
    )


def _check_numbers(dof: float | None, scale: float, tolerance: float, iterations: int) -> None:
    """Check the options that are numbers.

    Raises:
        ValueError: one is no number, or out of range.
    """
    need("dof", dof, float, NONE)
    need("scale", scale, float)
    need("tolerance", tolerance, float)
    need("iterations", iterations, int)
    if not ((dof is None or dof > 0) and 0 < scale < np.inf and iterations >= 1):
        raise ValueError(f"dof, scale and iterations are above 0, got {dof}, {scale} and {iterations}")


def _checked(gaps: Source, weights: NDArray[np.floating] | None) -> Source:
    """The gaps as an array of floats, not copied if they are one already; gaps and weights are checked.

    Portions are checked when they are read.
    """
    if callable(gaps):
        if weights is not None:
            raise ValueError("gaps in portions have no weights: give them as an array")
        return gaps
    x = numbers("gaps", gaps)
    # The extremes are NaN or infinite if any gap is, and need no memory.
    if x.size and not np.isfinite([x.min(), x.max()]).all():
        bad = x.size - np.count_nonzero(np.isfinite(x))
        raise ValueError(f"{bad} of {x.size} gaps are NaN or infinite: leave them out, e.g. gaps[np.isfinite(gaps)]")
    if weights is not None:
        w = numbers("weights", weights)
        if w.shape != x.shape or (w.size and not (w.min() >= 0 and np.isfinite(w.max()))):
            raise ValueError("weights must be finite and not negative, one a gap")
    return x


@dataclass(frozen=True)
class _Found:
    """A fitted mixture (1, C), the log-likelihoods of its iterations, and its number of free parameters."""

    components: Components
    trace: list[float]
    converged: bool
    free: int

    def died(self, total: float) -> bool:
        """Whether a component has a weight of less than one sample of `total`."""
        return bool((self.components.weights * total < 1).any())


def _fit_components(
    cells: Cells, count: int, family: str, dof: float | None, scale: float, tolerance: float, iterations: int
) -> _Found:
    """The best mixture of `count` components; for three, the best that holds both tails, if any does."""
    floor = 1e-6 * scale**2
    first = starts(cells, np.inf if family == "gaussian" else (dof or 10.0), count)
    # A start below the floor would lose likelihood in its first step, and would be abandoned for that.
    first = replace(first, scales=np.maximum(first.scales, np.sqrt(floor)))
    estimate_dof = dof is None and family != "gaussian"
    # Starts that meet are abandoned only if the fit is expensive; otherwise every start is followed to its end.
    dear = estimate_dof or count == 3
    wanted = (lambda c: holds_both_tails(c, cells.total)) if count == 3 else (lambda c: True)
    found, trace, converged = climb(cells, first, floor, estimate_dof, tolerance, iterations, merge=dear, wanted=wanted)
    if converged:  # the likelihood is flat at its maximum: a few more cycles make the parameters precise
        found, _, _ = climb(cells, found, floor, estimate_dof, -np.inf, POLISH)
    return _Found(found, trace, converged, count * (3 + estimate_dof) - 1)


def holds_both_tails(c: Components, total: float) -> bool:
    """Whether a mixture (1, 3) of `total` samples is a left tail, a balanced middle and a right tail.

    That is, every component has at least one sample, the outer two are on opposite sides of zero, and the middle one
    has the smallest second moment. Three concentric components, or two peaks on one side, are not tails.
    """
    order = np.argsort(c.locs[0], kind="stable")
    weights, locs, scales = (v[0][order] for v in (c.weights, c.locs, c.scales))
    inside = balanced_component(weights, locs, scales) == 1
    return bool(inside and locs[0] < 0 < locs[2] and (weights * total >= 1).all())


def _three(cells: Cells, search: Callable[[int], _Found], check: str) -> tuple[_Found | None, str]:
    """The fit of three and '', or None and the reason: no tails on both sides, or BIC prefers fewer components."""
    found = search(3)
    if not holds_both_tails(found.components, cells.total):
        return None, "the gaps do not fall into a left tail, a balanced middle and a right tail"
    if check == "none":
        return found, ""
    excess, count = max((_bic_excess(found, search(n), cells.total), n) for n in (1, 2))
    if excess <= 0:
        return found, ""
    words = {1: "one population explains", 2: "two populations explain"}[count]
    return None, f"{words} the gaps better than three (BIC lower by {excess:.1f})"


def _bic_excess(more: _Found, fewer: _Found, total: float) -> float:
    """BIC of the fit with more components minus BIC of the other: positive = the other is preferred."""
    return (more.free - fewer.free) * float(np.log(total)) - 2 * (more.trace[-1] - fewer.trace[-1])


def _one_component(cells: Cells, family: str, rule: str, outcome: str, why: str = "") -> MixtureFit:
    """A fit in which every sample is balanced; `outcome` is the reason."""
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


def diagnosed(fitted: MixtureFit, cells: Cells, scale: float, asked: int = 2) -> MixtureFit:
    """The fit with its outcome, and warnings against reading it as a balanced population and imbalanced ones.

    Args:
        cells: of the gaps; shares of gaps are exact to one cell.
        scale: a gap is divided by it to be in about [-1, 1], see `gap.gap_scale`.
        asked: how many components were asked for.
    """
    locs, sd, x = fitted.locs / scale, fitted.scales / scale, cells.means / scale
    low, high, mean = (float(cells.counts @ v) / cells.total for v in (x < -TAIL, x > TAIL, np.abs(x)))
    outcome, notes = "ok", []
    if fitted.rule_conflict:
        outcome = "rule_conflict"
    if min(low, high) >= TWO_TAILED and len(locs) == 2:
        outcome = "two_tailed"
        notes.append(
            f"two tails: {low:.0%} of gaps below -{TAIL} and {high:.0%} above {TAIL}; two components cannot "
            "hold three groups, so the smaller tail counts as balanced. Rank by |gap| instead"
            + (", or fit three with score.components=3" if asked == 2 else "")
        )
    if sd[fitted.balanced] > 0.25:
        notes.append(f"no balanced peak: the balanced component has spread {sd[fitted.balanced]:.2f}")
    if (apart := float(np.diff(locs).min())) < 0.3:
        which = "the two locations differ" if len(locs) == 2 else "a tail's location differs from the middle's"
        notes.append(f"concentric: {which} by only {apart:.2f}")
    notes += _crossed(fitted, cells)
    if np.abs(locs).min() > 0.2:
        notes.append(f"no component is near zero: the nearest is at {locs[np.abs(locs).argmin()]:+.2f}")
    if mean < SMALL_GAP:
        notes.append(f"small gaps: mean |gap| is {mean:.2f}; scored too early or memorised")
    if fitted.rule_conflict:
        picks = {r: balanced_component(fitted.weights, fitted.locs, fitted.scales, r) for r in RULES}
        notes.append(
            "the rules for the balanced component disagree: "
            + ", ".join(f"{r} at {locs[k]:+.2f}" for r, k in picks.items())
            + "; look at the histogram"
            + (" and choose with score.rule" if len(locs) == 2 else ", the middle one is called balanced")
        )
    if not fitted.converged:
        notes.append("the likelihood was still rising when the fit stopped")
    return replace(fitted, outcome=outcome, warnings=tuple(notes))


def _crossed(fitted: MixtureFit, cells: Cells) -> list[str]:
    """A note for each end of the gaps where the posteriors of a fit of three prefer the wrong modality."""
    ends = cells.means[[0, -1]]
    first, second = p_ahead(fitted, ends).T  # NaN unless three were fitted; comparisons with NaN are False
    return [
        f"crossed tails: at the gap {gap:+.2f} the wider tail of the other side is the likelier; trust the gap's sign"
        for gap, wrong in zip(ends, (first[0] > second[0], second[1] > first[1]), strict=True)
        if wrong
    ]


def marked_memorised(fitted: MixtureFit, gaps: NDArray[np.floating], accuracy: float, scale: float) -> MixtureFit:
    """The fit, with the outcome `memorised` if its gaps are small because both modalities memorised the scored samples.

    A fit of one component keeps its outcome and gets the warning.

    Args:
        accuracy: of the less accurate of the two modalities on the scored samples, in [0, 1].
    """
    mean = float(np.abs(gaps).mean()) / scale if len(gaps) else 0.0
    if not (accuracy >= MEMORISED and mean < SMALL_GAP):
        return fitted
    note = (
        f"memorised: each modality alone is right on at least {accuracy:.1%} of the scored samples and mean |gap| is "
        f"{mean:.2f}; score after fewer epochs, or out of fold"
    )
    outcome = "memorised" if len(fitted.weights) > 1 else fitted.outcome
    return replace(fitted, outcome=outcome, warnings=(note, *fitted.warnings))
