"""How well planted faults are found: shares with their intervals, and the result in a sentence. Pure.

Letters: P planted samples of one kind, U samples without any planted fault.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.types import Floats

Z, DRAWS = 1.96, 400
"""Width of an interval of 95 %, in standard errors; bootstrap samples."""
OFTEN, SELDOM = 0.5, 0.2
"""Shares of planted samples from which a kind counts as found, and below which it does not."""


@dataclass(frozen=True)
class Share:
    """A share of a count, with Wilson's interval of 95 %.

    Attributes:
        hits, of: counts.
    """

    hits: int
    of: int

    @property
    def value(self) -> float | None:
        """0..1; None of nothing."""
        return self.hits / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float]:
        """The bounds, 0..1; of nothing, both extremes."""
        if not self.of:
            return 0.0, 1.0
        share, n = self.hits / self.of, self.of
        centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
        half = Z * float(np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))) / (1 + Z**2 / n)
        return max(0.0, centre - half), min(1.0, centre + half)

    def in_ten(self) -> str:
        """In words, of ten; of twenty or a hundred where that is needed to tell it from nothing or all."""
        share = self.hits / max(self.of, 1)
        for many in (10, 20, 100):
            count = round(share * many)
            if 0 < count < many or share in (0, 1):
                return f"{count} of {many}"
        return "fewer than 1 of 100" if share < OFTEN else "nearly all"


@dataclass(frozen=True)
class Found:
    """What became of the planted faults of one kind.

    Attributes:
        kind, modality: of the fault; '' for a wrong label.
        harmless: the change is no fault, and a claim is wrong.
        claimed: planted samples that are claimed, of all planted.
        right: claims that are of planted samples, of all claims on them and on samples without a planted fault. What
            is really wrong with the data counts against it.
        first: planted samples among the first so many by the score, as there are planted.
        auroc, low, high: probability that a planted sample scores above one without a fault, and its interval.
        chance: what `first` is for a score that says nothing.
    """

    kind: str
    modality: str
    harmless: bool
    claimed: Share
    right: Share
    first: Share
    auroc: float
    low: float
    high: float
    chance: float

    @property
    def ranked(self) -> float:
        """The share among the first, 0 if that may be chance."""
        return (self.first.value or 0.0) if self.first.interval[0] > self.chance else 0.0

    @property
    def words(self) -> str:
        """The result as a sentence."""
        if self.harmless:
            return self._spared()
        share, claims = self.claimed.value or 0.0, self.right.of
        wrong = f", {Share(claims - self.right.hits, claims).in_ten()} claims wrong" if claims else ""
        if share >= SELDOM:
            return f"{self.claimed.in_ten()} would be found{wrong}"
        if self.ranked >= OFTEN:
            few = f"; claimed: {self.claimed.in_ten()}" if self.claimed.hits else ", and not claimed"
            return f"{self.first.in_ten()} would rank first{few}"
        if self.ranked >= SELDOM:
            return f"would hardly be found here: {self.first.in_ten()} rank first"
        return "would not be found here"

    def _spared(self) -> str:
        if (self.claimed.value or 0.0) >= SELDOM:
            return f"no fault, yet {self.claimed.in_ten()} would be called broken"
        if self.ranked >= SELDOM:
            return f"no fault and hardly claimed, but {self.first.in_ten()} would rank first among the broken"
        return "no fault, and not taken for one"


def found(
    kind: str,
    modality: str,
    score: Floats,
    claimed: NDArray[np.bool_],
    planted: NDArray[np.bool_],
    untouched: NDArray[np.bool_],
    *,
    harmless: bool = False,
    seed: int = 0,
) -> Found | None:
    """What became of the planted faults of a kind; None if nothing is planted, or nothing untouched.

    Args:
        score: (N,) higher = more suspicious.
        claimed: (N,) what would be called faulty.
        planted: (N,) the P samples with this fault.
        untouched: (N,) the U samples without any.
        seed: of ties, and of the bootstrap.
    """
    count = int(planted.sum())
    if not count or not untouched.any():
        return None
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(planted | untouched)
    values, truth = score[rows], planted[rows]
    order = np.lexsort((rng.random(len(rows)), -values))
    hits = int((claimed & planted).sum())
    exact, low, high = _auroc(values[truth], values[~truth], rng)
    return Found(
        kind,
        modality,
        harmless,
        Share(hits, count),
        Share(hits, int(claimed[rows].sum())),
        Share(int(truth[order[:count]].sum()), count),
        exact,
        low,
        high,
        count / len(rows),
    )


def _auroc(planted: Floats, others: Floats, rng: np.random.Generator) -> tuple[float, float, float]:
    """Probability that one of the (P,) scores above one of the (U,), ties count half; and its bootstrapped interval."""
    above = (planted[:, None] > others) + 0.5 * (planted[:, None] == others)
    p, u = above.shape
    drawn = [
        rng.multinomial(p, np.full(p, 1 / p)) @ above @ rng.multinomial(u, np.full(u, 1 / u)) / (p * u)
        for _ in range(DRAWS)
    ]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(above.mean()), float(low), float(high)
