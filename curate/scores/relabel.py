"""Labels that are changed for a training, and how much a change of the training pays. Pure.

Letters: N samples, S runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Labels = NDArray[np.int64]
GIVEN, MARKED, GUESSED, DENIED, RANDOM = "", "marked", "marked, class predicted", "denied", "random"
"""Why a label is changed: not at all; a person gave the class; a person called the label wrong without a class; the
fused prediction denies it; drawn at random."""
Z = 1.959964
"""The normal quantile of a two-sided interval of 95 %."""


def corrected(
    labels: Labels, other: Labels, denied: NDArray[np.bool_], decided: Mapping[int, int | None]
) -> tuple[Labels, NDArray[np.object_]]:
    """(N,) labels to train with, and (N,) why each was changed.

    What a person decided is kept, whatever is predicted. Of the others, a label that is denied becomes the class that
    is most probable besides it.

    Args:
        labels: (N,) class indices as given.
        other: (N,) the class that the fusion finds most probable besides the label; negative: not known, so the label
            is left.
        denied: (N,) the label is probably wrong.
        decided: {row: the class that a person gave, or None: the label is wrong}; the given class = it is right.
    """
    used, why = labels.copy(), np.full(len(labels), GIVEN, dtype=object)
    asked = np.zeros(len(labels), dtype=np.bool_)
    asked[list(decided)] = True
    guessed = np.zeros(len(labels), dtype=np.bool_)
    guessed[[row for row, label in decided.items() if label is None]] = True
    for rows, reason in ((denied & ~asked, DENIED), (guessed, GUESSED)):
        known = rows & (other >= 0)
        used[known], why[known] = other[known], reason
    for row, label in decided.items():
        if label is not None and label != labels[row]:
            used[row], why[row] = label, MARKED
    return used, why


def at_random(labels: Labels, used: Labels, seed: int) -> tuple[Labels, NDArray[np.object_]]:
    """The control: as many labels changed from each class to each other one, of samples drawn at random.

    Samples whose label would be changed are drawn only where a class has no others left.

    Args:
        labels, used: (N,) labels as given, and as they would be changed.
    """
    rng, changed = np.random.default_rng(seed), used != labels
    out = labels.copy()
    for label in np.unique(labels[changed]):
        moved, others = (np.flatnonzero(mask & (labels == label)) for mask in (changed, ~changed))
        rows = np.concatenate([rng.permutation(others), rng.permutation(moved)])[: len(moved)]
        out[rows] = used[moved]
    return out, np.where(out != labels, RANDOM, GIVEN).astype(object)


@dataclass(frozen=True)
class Gain:
    """How much more often one training is right than another on the same samples.

    Attributes:
        mean: as a share, -1 to 1; positive = the first is right more often.
        low, high: interval of 95 %, over the samples.
        by_run: mean of each pair of runs.
    """

    mean: float
    low: float
    high: float
    by_run: tuple[float, ...]

    @property
    def text(self) -> str:
        """In points: `+1.2 [-0.3, +2.7]`."""
        return f"{100 * self.mean:+.1f} [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"


def gain(mine: ArrayLike, other: ArrayLike) -> Gain:
    """The paired difference of two trainings, with its interval.

    d_i = mine_i - other_i, averaged over the S pairs of runs. The interval is that of Bonett and Price (2012) for two
    paired proportions: one more sample counts as won and one as lost, and then the normal interval of the mean of the
    n + 2 differences, m +- z sqrt((sum d^2 + 2) / (n + 2) - m^2) / sqrt(n + 2). It has a width even where no sample
    differs. Samples count as independent; how much runs differ is seen in `by_run`.

    Args:
        mine, other: (S, N) whether a sample is labelled right, by runs that are paired.
    """
    d = np.asarray(mine, dtype=np.float64) - np.asarray(other, dtype=np.float64)
    each, n = d.mean(axis=0), d.shape[1] + 2
    middle = each.sum() / n
    half = Z * np.sqrt(((each**2).sum() + 2) / n - middle**2) / np.sqrt(n)
    return Gain(float(each.mean()), float(middle - half), float(middle + half), tuple(d.mean(axis=1).tolist()))
