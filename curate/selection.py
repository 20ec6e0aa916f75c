"""Posteriors to a set of samples. Pure rules; `select_above` is Section III-D of the adaptive-loss paper."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .errors import CurateError
from .types import Floats


def select_above(p_balanced: Floats, threshold: float) -> NDArray[np.bool_]:
    """Keep samples with `p_balanced >= threshold`: (N,) in [0, 1] to an (N,) mask.

    The kept set shrinks, nested, as the threshold rises; 0 keeps all.
    """
    if not 0 <= threshold <= 1:
        raise CurateError(f"the threshold is a probability in [0, 1], got {threshold}", "try --threshold 0.8")
    return p_balanced >= threshold


def select_top(p_balanced: Floats, sample_ids: NDArray[np.str_], count: int) -> NDArray[np.bool_]:
    """Keep exactly `min(count, N)` samples of highest `p_balanced`, ties by ascending id: an (N,) mask."""
    if count < 1:
        raise CurateError(f"--top takes a count of at least 1, got {count}", "try --top 1000")
    mask = np.zeros(len(p_balanced), dtype=bool)
    mask[np.lexsort((sample_ids, -p_balanced))[:count]] = True
    return mask


def random_subset(candidates: int, count: int, seed: int) -> NDArray[np.bool_]:
    """A uniformly random subset of exactly `count` of `candidates` samples: the control of every selection."""
    mask = np.zeros(candidates, dtype=bool)
    mask[np.random.default_rng(seed).permutation(candidates)[:count]] = True
    return mask


def class_balance(label_names: NDArray[np.str_], kept: NDArray[np.bool_]) -> dict[str, tuple[int, int]]:
    """{class name: (kept, seen)} in ascending order of names."""
    return {
        str(c): (int((kept & (label_names == c)).sum()), int((label_names == c).sum())) for c in np.unique(label_names)
    }
