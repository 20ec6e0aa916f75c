"""Labels that are denied together, since a model misreads a group that it has not seen. Not of the papers. Pure.

Out of fold, no model has seen the group that it is asked about, such as a person. Where that person does one exercise
in an own way, the labels of all these samples are denied. Labels that are wrong by accident are denied in all groups
alike. So a group is compared, class by class, with the others.

Letters: N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.types import Floats

from .two_groups import at_most

SURE = 0.05
"""One part is named wrongly in so many data sets, at most, in which accidents are all there is (Bonferroni)."""


class Together(NamedTuple):
    """Parts, each of a group and a class, in which more is denied than accidents explain.

    Attributes:
        part: (N,) number of the part that a sample is in; -1 where that is none of these.
        share: of all other samples, how many are denied, 0..1.
    """

    part: NDArray[np.int64]
    share: float


def parts_of(labels: NDArray[np.int64], groups: Sequence[str | None]) -> NDArray[np.int64]:
    """(N,) number of the group and class of each sample; -1 without a group, or in one that has a single class: there
    the label may be of the group as a whole, and wrong as a whole.
    """
    named = np.array([group is not None for group in groups], dtype=bool)
    found = np.full(len(labels), -1)
    if named.any():
        _, group = np.unique([g or "" for g in groups], return_inverse=True)
        pairs, cell = np.unique(np.column_stack([group, labels]), axis=0, return_inverse=True)
        classes = np.bincount(pairs[:, 0])
        several = named & (classes[group] > 1)
        found[several] = cell.reshape(-1)[several]
    return found


def denied_together(denied: NDArray[np.bool_], parts: NDArray[np.int64]) -> Together:
    """Parts in which more labels are denied than accidents explain.

    Of n samples of a part k are denied. Were each denied with probability a, the share of all samples outside such
    parts, k or more would be with P(K >= k), K binomial. A part is one of them if that is below `SURE` divided by the
    number of parts; then a is taken anew, until no part is added.

    Args:
        denied: (N,).
        parts: (N,) as of `parts_of`.
    """
    from scipy.special import betainc  # late: few commands need it

    inside = parts >= 0
    known, place = np.unique(parts[inside], return_inverse=True)
    size, hits = np.bincount(place), np.bincount(place, weights=denied[inside])
    out = np.zeros(len(known), dtype=bool)
    while True:
        others = ~np.isin(parts, known[out])
        share = float(denied[others].mean()) if others.any() else 0.0
        at_least = max(share, 1 / max(len(parts), 1))
        tail = np.where(hits > 0, betainc(np.maximum(hits, 1), size - hits + 1, at_least), 1.0)
        more = out | (tail < SURE / max(len(known), 1))
        if (more == out).all():
            return Together(np.where(others, -1, parts), share)
        out = more


def as_elsewhere(p: Floats, found: Together) -> Floats:
    """(N,) probabilities that a label is wrong, of which the mean in each of these parts is no more than elsewhere."""
    result = p.copy()
    for part in np.unique(found.part[found.part >= 0]):
        rows = found.part == part
        result[rows] = at_most(p[rows], found.share)
    return result
