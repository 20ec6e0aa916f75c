"""How many labels are wrong, as held-out samples and a plain classifier show it: bounds, whichever they are. Pure.

Letters: N samples, P numbers of a coarse pattern.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.types import FUSED, Floats, Predictions

from .groups import reading

SUREST, SURE_SHARE, PART, FEW = 75, 4, 10, 0.05
"""Of held-out samples, those that the fusion is surest of are so many, at most a 4th of all and at least a 10th; a
share of wrong labels below a 20th is none: on samples that are merely hard it is wrong there that often too."""


MAJORITY = 0.5
"""More than half of the labels cannot be wrong: the classes would have other names."""
SIDED = 1.645
"""Normal quantile of a one-sided interval of 95 %."""


class WrongBounds(NamedTuple):
    """Bounds of the share of wrong labels, 0..1.

    Attributes:
        least, most: among held-out samples, see `wrong_bounds`.
        limit: among training samples, see `limited`.
    """

    least: float = 0.0
    most: float = 1.0
    limit: float = MAJORITY


UNKNOWN = WrongBounds()


def wrong_bounds(sure: Floats, denied: NDArray[np.bool_]) -> WrongBounds:
    """Bounds of the share of wrong labels among held-out samples, each one-sided with 95 % (Clopper-Pearson); a lower
    one below `FEW` is 0.

    Where the fusion is surest, it is hardly ever wrong: what it denies there has a wrong label. So this tells how many
    there are even where no group of margins stands apart, which tells which they are. Of a model that has learnt little
    this does not hold: nothing is known where more than half would be wrong.

    Args:
        sure: (N,) the largest probability that the fusion gives a class, of samples that it was not trained on.
        denied: (N,) whether that class is another than the label.
    """
    from scipy.special import betaincinv  # late: few commands need it

    count = max(min(len(sure) // SURE_SHARE, SUREST), len(sure) // PART)
    if not count:
        return UNKNOWN
    surest = np.argsort(-sure, kind="stable")[:count]
    hits = int(denied[surest].sum())
    low = float(betaincinv(hits, count - hits + 1, 0.05)) if hits else 0.0
    high = float(betaincinv(hits + 1, count - hits, 0.95)) if hits < count else 1.0
    return WrongBounds(low if low >= FEW else 0.0, high) if low <= MAJORITY else UNKNOWN


def wrong_among(held: Predictions) -> WrongBounds:
    """`wrong_bounds` of held-out samples, by what the fusion predicts for them."""
    probs = held.probs[FUSED]
    return wrong_bounds(probs.max(axis=1), probs.argmax(axis=1) != held.labels)


def limited(found: WrongBounds, patterns: Iterable[Floats | None], labels: NDArray[np.int64], seed: int) -> WrongBounds:
    """The bounds with a limit that does not depend on the model: what a plain classifier of the coarse content gives.

    A label that is wrong by accident is not given by a classifier that has not seen it. So at most 1 - given are wrong,
    `given` being the share of labels that it gives out of fold, less 1.645 standard errors, by the modality that tells
    most. Where held-out samples seem to show more, it is the fusion that is wrong there: nothing is known by them.

    Args:
        patterns: (N, P) coarse content of each modality; None = not known.
        labels: (N,).
        seed: of the samples that are asked, and of the folds.
    """
    given = max((_surely_given(*reading(p, labels, seed)) for p in patterns if p is not None), default=0.0)
    limit = min(found.limit, 1 - given)
    return WrongBounds(limit=limit) if found.least > limit else found._replace(limit=limit)


def _surely_given(accuracy: float, error: float) -> float:
    return max(0.0, accuracy - SIDED * error)


def read_at_least(right: float, wrong: float) -> float:
    """Share of held-out samples whose class the fusion reads, 0..1: right / (1 - wrong), at most 1.

    What it reads of a sample with a wrong label counts as wrong too. With `wrong` a lower bound, so is this.

    Args:
        right: share of the held-out samples whose label it gives.
        wrong: share of them that have a wrong label, in [0, 1), see `wrong_bounds`.
    """
    return min(1.0, right / (1 - wrong))
