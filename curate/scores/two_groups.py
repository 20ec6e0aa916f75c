"""Two Gaussians of equal spread in weighted numbers, fitted without truth. Pure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from curate.types import Floats

FEWEST = 50
"""Fewest samples with which they are fitted."""
SMALLEST = 0.01
"""The lower group must have more than this share of the samples."""
CLAIMED = 0.5
"""A label is called wrong, and a clip swapped, above this probability of the lower group."""
STEPS, TOLERANCE = 500, 1e-6
"""Steps of EM, and the change of the lower mean at which it ends."""
LOWEST = 60.0
"""Log-odds are lowered by less than this."""


class Groups(NamedTuple):
    """Two Gaussians of equal spread.

    Attributes:
        share: of the lower one, in (0, 1).
        low, high: their means, `low` < `high`.
        spread: standard deviation, above 0.
    """

    share: float
    low: float
    high: float
    spread: float

    @property
    def separation(self) -> float:
        """Of the means, in spreads."""
        return (self.high - self.low) / self.spread

    def lower(self, x: Floats) -> Floats:
        """(n,) posterior of the lower one: a logistic function, falling with x."""
        squares = (x - self.high) ** 2 - (x - self.low) ** 2
        odds = np.log(self.share) - np.log1p(-self.share) + squares / (2 * self.spread**2)
        result: Floats = 1 / (1 + np.exp(-np.clip(odds, -500, 500)))
        return result

    def log_density(self, x: Floats) -> Floats:
        """(n,) log of share * normal(low, spread) + (1 - share) * normal(high, spread)."""
        lower, higher = (-((x - mean) ** 2) / (2 * self.spread**2) for mean in (self.low, self.high))
        both: Floats = np.logaddexp(np.log(self.share) + lower, np.log1p(-self.share) + higher)
        return both - float(np.log(self.spread * np.sqrt(2 * np.pi)))


def two_groups(x: Floats, weights: Floats) -> Groups | None:
    """The two groups of weighted numbers; None of too few, if the lower one is hardly there, or if both lie below 0.

    Few or many may be in it, so EM starts from both: at the median, with a 20th below it, and at the two quartiles. The
    more probable fit is kept.

    Args:
        x: (n,).
        weights: (n,) in [0, 1].
    """
    spread = 0.7 * float(x.std()) if len(x) else 0.0
    if weights.sum() < FEWEST or spread <= 0:
        return None
    first, median, third = np.quantile(x, [0.25, 0.5, 0.75])
    starts = [Groups(0.5, float(first), float(third), spread)]
    if median > 0:
        starts.insert(0, Groups(0.05, -0.7 * float(median), float(median), spread))
    found = [g for start in starts if (g := _fitted(x, weights, start)) is not None and g.high > 0]
    best = max(found, key=lambda g: float(weights @ g.log_density(x)), default=None)
    return best if best is not None and best.share > SMALLEST else None


def _fitted(x: Floats, w: Floats, found: Groups) -> Groups | None:
    """Two groups by EM, from a start, of (n,) numbers and weights; None if one of them vanishes."""
    for _ in range(STEPS):
        p, before = found.lower(x), found.low
        mass = total(w, p)
        if mass < 1 or w.sum() - mass < 1:
            return None
        low, high = total(w, p, x) / mass, total(w, 1 - p, x) / total(w, 1 - p)
        spread = float(np.sqrt(total(w, p * (x - low) ** 2 + (1 - p) * (x - high) ** 2) / w.sum()))
        if spread <= TOLERANCE:
            return None
        found = Groups(mass / float(w.sum()), low, high, spread)
        if abs(low - before) < TOLERANCE:
            break
    return found


def total(*factors: Floats) -> float:
    """Sum of the products of (n,) numbers. `@` shares out more than 10,000 of them among threads, which takes longer
    than the sum, and much longer where other processes are at work."""
    return float(np.multiply.reduce(factors).sum())


def two_modes(share: float, separation: float) -> bool:
    """Whether the density of two Gaussians of equal spread has two modes.

    With d = separation / 2 it has if d > 1 and |log((1 - share) / share)| < 2 log(d - r) + 2 d r, r = sqrt(d^2 - 1)
    (Holzmann and Vollmer, 2008).

    Args:
        share: of one of the groups, in (0, 1).
        separation: of the means, in spreads.
    """
    d = separation / 2
    if d <= 1:
        return False
    root = np.sqrt(d**2 - 1)
    return bool(abs(np.log(1 - share) - np.log(share)) < 2 * np.log(d - root) + 2 * d * root)


def at_most(p: Floats, share: float) -> Floats:
    """(N,) probabilities whose mean is no more than a share: the log-odds of all are lowered by the same amount.

    A fitted mixture may give to the lower group what is only hard; held-out samples bound how large it is.

    Args:
        share: in [0, 1].
    """
    from scipy.optimize import brentq  # late: few commands need it
    from scipy.special import expit, logit

    if p.mean() <= share:
        return p
    p = np.minimum(p, 1 - TOLERANCE)
    if p.mean() <= share:  # sure ones alone were above it, by less than the tolerance
        return p
    odds = logit(p)
    if expit(odds - LOWEST).mean() >= share:
        return np.zeros(len(p))
    result: Floats = expit(odds - brentq(lambda shift: expit(odds - shift).mean() - share, 0, LOWEST))
    return result
