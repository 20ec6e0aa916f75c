"""A mixture whose posterior falls with |gap| on both sides of zero for any data: the default of `score`. Pure.

The paper's two components divide any gaps, and where they do so depends on the machine, the seed and chance: the
posterior may rise again in a tail, or never reach a threshold. The form of this mixture excludes that:

    p(g) = pi_0 t(g; s_0) + pi_1 (g^2 / v_1) t(g; s_1),    v_1 = s_1^2 nu / (nu - 2),

with t the Student-t density of nu degrees of freedom at zero. The first component is a balanced peak at zero. The
second is two tails, one on each side, that vanish at zero; it is a density because v_1 is the second moment of t.
With s_0 <= s_1 the odds of the tails grow with |g| everywhere. The posterior of the peak is therefore 1 at zero, falls
steadily on both sides, and ranks samples exactly as |gap| does. The tails of t are heavy enough that it never rounds to
0.

The data determine where it falls: weights and scales maximise the likelihood within bounds (`WEIGHTS`, `PEAK`, `TAILS`,
in units of the gap). The bounds fix the meaning of a gap: one of 0.1 is balanced, one of 0.8 is not. If hardly a sample
is balanced in that sense, both scales are enlarged until a tenth of the samples (`LEAST`) has a posterior of `REACHED`:
a high posterior then means one of the *least* imbalanced samples, and the fit has a warning.

With several pairs of modalities there is one mixture of all their gaps: the meaning of a gap does not depend on the
pair. A sample's smallest posterior over its pairs therefore falls with its largest |gap|.

Letters: N samples, P pairs, G cells.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import gammaln

from curate.types import Floats, MixtureFit

from .cells import Cells, Source, gather

FAMILY = "two-sided"
RULE = "zero"
"""How the balanced component is chosen: it is the one at zero."""
DOF = 4.0
WEIGHTS = (0.5, 0.8)
"""Bounds of the peak's weight: the paper's own assumption is that most samples are balanced."""
PEAK = (0.05, 0.2)
"""Bounds of the peak's scale, in units of the gap (`gap.gap_scale`)."""
TAILS = (0.25, 0.6)
"""Bounds of the tails' scale, in the same units; they are above those of the peak, which makes the posterior fall."""
USUAL = (0.65, 0.1, 0.3)
"""Weight and scale of the peak and scale of the tails, used if there are too few gaps; the fit starts from them."""
LEAST, REACHED = 0.1, 0.81
TOLERANCE, STEPS = 1e-10, 2000
ONE_BELL = (
    "one bell explains the gaps as well as a peak and tails: p_balanced is a scale of |gap| here, not a line between "
    "two populations"
)
FEWEST = 10
CONSTANT = 1e-4
"""Gaps that differ by no more, in units of the gap, are constant."""


def fit(gaps: Source, dof: float = DOF, scale: float = 1.0) -> MixtureFit:
    """Fit the two-sided mixture to finite gaps by EM; up to 20 000 of them one by one, more in cells.

    Args:
        gaps: (N,), or (N, P) of several pairs, which are fitted as one; or a function that reads (N,) in portions.
        dof: degrees of freedom nu of both components, above 2.
        scale: the unit of the gaps, see `gap.gap_scale`.

    Returns:
        The fit, component 0 the peak and 1 the tails, both located at zero. Outcomes: `ok`; `one_bell`, one bell at any
        location explains the gaps as well; `none_balanced`, the scales were enlarged; `too_few` and `degenerate`
        (constant gaps), the scales are the usual ones.

    Raises:
        ValueError: a gap is not finite, or `dof` is not above 2.
    """
    if not dof > 2:
        raise ValueError(f"dof must be above 2, got {dof}")
    x, largest = _prepared(gaps, scale)
    signed = gather(x)
    size = signed.folded()
    outcome, notes = _fittable(signed)
    (weight, *scales), trace, converged = climb(size, dof) if outcome == "ok" else (USUAL, [], True)
    # BIC: the bell has two free parameters, the mixture three.
    if trace and _one_bell(signed, dof) >= trace[-1] - 0.5 * float(np.log(size.total)):
        outcome = "one_bell"
        notes.append(ONE_BELL)
    found = MixtureFit(
        FAMILY,
        np.array([weight, 1 - weight]),
        np.zeros(2),
        np.array(scales) * scale,
        np.full(2, float(dof)),
        0,
        RULE,
        log_likelihoods=tuple(trace),
        converged=converged,
    )
    least = 0.0
    if size.total:
        least = scale * float(size.quantiles([LEAST])[0] if largest is None else np.quantile(largest, LEAST))
    own = reach(found, REACHED)
    if least > own:
        found, outcome = replace(found, scales=found.scales * (least / own)), "none_balanced"
        notes.insert(
            0,
            f"hardly a sample is balanced, nine in ten have a |gap| above {least:.2f}: p_balanced says which are the "
            "least imbalanced of them",
        )
    if not converged:
        notes.append("the likelihood was still rising when the fit stopped")
    return replace(found, outcome=outcome, warnings=tuple(notes))


def _prepared(gaps: Source, scale: float) -> tuple[Source, Floats | None]:
    """All gaps in units of `scale`, and the largest |gap| of each sample (N,); None for portions."""
    if callable(gaps):
        return lambda: (np.asarray(portion, dtype=np.float64) / scale for portion in gaps()), None
    x = np.asarray(gaps, dtype=np.float64)
    if x.ndim not in (1, 2) or (x.size and not np.isfinite([x.min(), x.max()]).all()):
        raise ValueError("gaps must be (N,) or (N, P), and finite")
    largest = np.abs(x if x.ndim == 2 else x[:, None]).max(axis=1, initial=0) / scale
    return x.ravel() / scale, largest


def _fittable(signed: Cells) -> tuple[str, list[str]]:
    """The outcome before the fit, `ok` if the gaps can be fitted; and a note otherwise."""
    if signed.total < FEWEST:
        few = f"only {signed.total:g} gaps, at least {FEWEST} are needed to fit them: the usual scales are taken"
        return "too_few", [few]
    if float(np.ptp(signed.means)) <= CONSTANT:
        return "degenerate", ["the gaps are constant, there is nothing to tell apart: the usual scales are taken"]
    return "ok", []


def climb(size: Cells, dof: float) -> tuple[tuple[float, float, float], list[float], bool]:
    """EM of weight and scales within their bounds, on cells of |gap|; the likelihood never falls.

    With u = (nu + 1) / (nu + g^2 / s^2), the latent precision of t, s_0^2 is the mean of u g^2 over the peak's samples
    and s_1^2 a third of that mean over the tails' samples. Each maximises its part of the expected complete
    log-likelihood. That part has one maximum; the value clipped to its bounds is therefore the best within them.

    Returns:
        (weight of the peak, its scale, scale of the tails), the log-likelihoods of the steps, whether it converged.
    """
    weight, peak, tails = USUAL
    square = size.means**2 + size.variances
    trace: list[float] = []
    for _ in range(STEPS):
        joint = _log_densities(square, weight, peak, tails, dof)
        total = np.logaddexp(*joint)
        trace.append(float(total @ size.counts))
        if len(trace) > 1 and trace[-1] - trace[-2] <= TOLERANCE * size.total:
            return (weight, peak, tails), trace, True
        mine = np.exp(joint[0] - total) * size.counts
        theirs = size.counts - mine
        scales = []
        for mass, s, share, bounds in ((mine, peak, 1, PEAK), (theirs, tails, 3, TAILS)):
            precision = (dof + 1) / (dof + square / s**2)
            variance = float(mass @ (precision * square)) / max(share * float(mass.sum()), np.finfo(float).tiny)
            scales.append(float(np.clip(np.sqrt(variance), *bounds)))
        weight, (peak, tails) = float(np.clip(mine.sum() / size.total, *WEIGHTS)), scales
    return (weight, peak, tails), trace, False


def _log_densities(square: Floats, weight: float, peak: float, tails: float, dof: float) -> Floats:
    """(2, G) log of each weighted component at the squared gaps (G,); -inf for the tails at zero."""
    norm = gammaln((dof + 1) / 2) - gammaln(dof / 2) - 0.5 * np.log(dof * np.pi)

    def bell(s: float) -> Floats:
        result: Floats = norm - np.log(s) - (dof + 1) / 2 * np.log1p(square / s**2 / dof)
        return result

    with np.errstate(divide="ignore"):
        rising = np.log(square) - np.log(tails**2 * dof / (dof - 2))
    return np.stack([np.log(weight) + bell(peak), np.log1p(-weight) + rising + bell(tails)])


def log_joint(fitted: MixtureFit, gaps: Floats) -> Floats:
    """log pi_k f_k(g) of a two-sided fit, (N,) gaps to (2, N)."""
    (weight, _), (peak, tails) = fitted.weights.tolist(), fitted.scales.tolist()
    return _log_densities(np.asarray(gaps, dtype=np.float64) ** 2, weight, peak, tails, float(fitted.dofs[0]))


def reach(fitted: MixtureFit, threshold: float) -> float:
    """The largest |gap| with a posterior of at least `threshold`, in the gap's units; by bisection."""
    low, high = 0.0, float(fitted.scales[1])
    while _p_balanced(fitted, high) >= threshold and high < 1e6 * fitted.scales[1]:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _p_balanced(fitted, middle) >= threshold else (low, middle)
    return low


def _p_balanced(fitted: MixtureFit, gap: float) -> float:
    peak, tails = log_joint(fitted, np.array([gap]))[:, 0]
    return float(1 / (1 + np.exp(tails - peak)))


def _one_bell(x: Cells, dof: float) -> float:
    """The log-likelihood of one Student-t bell of free location and scale, by EM."""
    loc, variance, before = float(x.quantiles([0.5])[0]), max(x.variance, 1e-8), -np.inf
    norm = gammaln((dof + 1) / 2) - gammaln(dof / 2) - 0.5 * np.log(dof * np.pi)
    for _ in range(STEPS):
        square = ((x.means - loc) ** 2 + x.variances) / variance
        now = float((norm - 0.5 * np.log(variance) - (dof + 1) / 2 * np.log1p(square / dof)) @ x.counts)
        if now - before <= TOLERANCE * x.total:
            break
        before, mass = now, (dof + 1) / (dof + square) * x.counts
        loc = float(mass @ x.means / mass.sum())
        variance = max(float(mass @ ((x.means - loc) ** 2 + x.variances)) / x.total, 1e-12)
    return now
