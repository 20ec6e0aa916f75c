"""Wrong labels of two classes that are often taken for each other. Not of the papers. Pure.

Where many labels of one class are those of one other, a model is sure of neither class: the margins of wrong labels
there are shallow beside those of all other classes, and no group of all margins stands apart. Among the samples that
are between the two classes they do: right labels have the margin of these classes, and wrong ones that, mirrored. What
is truly between two classes has margins around zero, in one group.

Letters: N samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curate.types import Floats

from .bounds import MAJORITY
from .two_groups import CLAIMED, Groups, two_groups, two_modes

FEWEST, MOST = 10, 1 / 3
"""Two classes are asked if so many of the labels between them are denied, and more than this share of all that are."""
OTHERS = 1 / 2
"""And if of no other pair with one of these classes so many times as many are: where more than two classes cannot be
told apart, each of their pairs has its part."""
DEPTH = 0.1
"""The mean of the lower group is below minus this share of the other mean, and both are modes."""
DEEP, DISTINCT = 0.5, 2.5
"""Or it is below minus this share, and so many spreads away."""


def exchanged(margin: Floats, other: NDArray[np.int64], labels: NDArray[np.int64], weights: Floats) -> Floats:
    """(N,) probability that a label is wrong, of pairs of classes in which wrong ones form a group; 0 elsewhere.

    Two Gaussians are fitted to the margins of the samples that have one of two classes as label and the other as what
    is preferred besides. They must be apart, and most of the denied labels in the lower one. Nor may it have most of
    the labels of a class: one that the model has hardly learnt is named as the other throughout, and looks the same.
    Nothing is told of two classes alone: these margins are all there are.

    Args:
        margin: (N,) of the fusion, at equal frequency and confidence, nats.
        other: (N,) the class that it prefers besides the label.
        labels: (N,).
        weights: (N,) in [0, 1], 0 where nothing is asked.
    """
    p = np.zeros(len(labels))
    if len(np.unique(labels)) < 3:
        return p
    ends = np.stack([np.minimum(labels, other), np.maximum(labels, other)], axis=1)
    denied = (margin < 0) & (weights > CLAIMED)
    pairs, counts = np.unique(ends[denied], axis=0, return_counts=True)
    many = counts >= max(FEWEST, MOST * denied.sum())
    for pair, count in zip(pairs[many], counts[many], strict=True):
        if counts[np.isin(pairs, pair).sum(axis=1) == 1].max(initial=0) >= OTHERS * count:
            continue
        rows = np.flatnonzero((ends == pair).all(axis=1))
        found = two_groups(margin[rows], weights[rows])
        if found and _apart(found):
            lower = found.lower(margin[rows]) * weights[rows]
            own = labels[rows[lower > CLAIMED]]
            learnt = all((own == c).sum() <= MAJORITY * (labels == c).sum() for c in pair)
            p[rows] = lower * (len(own) > count / 2 and learnt)
    return p


def _apart(found: Groups) -> bool:
    """Whether two groups of margins are right and wrong labels, not one group of what is between two classes."""
    modes = two_modes(found.share, found.separation) and found.low <= -DEPTH * found.high
    return modes or (found.separation > DISTINCT and found.low <= -DEEP * found.high)
