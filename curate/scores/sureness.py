"""How much too sure of itself a model is, and its predictions without that. Not of the papers. Pure.

Where a model is too sure of itself, what it finds hard is denied as surely as a wrong label is, and the margins pile up
at both ends: that looks like two groups. On samples that it was not trained on its probabilities show how much of that
is the model's own.

Letters: N samples, K classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curate.types import Floats

from .bounds import TEMPERATURES, TINY, likelihoods


def temperature(probs: Floats, labels: NDArray[np.int64]) -> float:
    """The temperature at which the labels are most likely, at least 1; 1 = the model is not too sure of itself.

    Labels may be wrong by accident, in the share that is most likely, see `bounds.least_wrong`: what is denied surely
    is then no reason to call the model too sure.

    Args:
        probs: (N, K) of samples that the model was not trained on.
        labels: (N,).
    """
    if not len(labels):
        return 1.0
    return max(1.0, float(TEMPERATURES[likelihoods(probs, labels).max(axis=0).argmax()]))


def softened(probs: Floats, t: float) -> Floats:
    """(N, K) the probabilities at a temperature, softmax(log p / t); the same at 1."""
    if t == 1:
        return probs
    from scipy.special import softmax  # late: few commands need it

    result: Floats = softmax(np.log(np.maximum(probs, TINY)) / t, axis=1)
    return result
