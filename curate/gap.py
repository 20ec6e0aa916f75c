"""Predictions to modality gap: how differently two modalities know a sample. Pure.

The gap of a pair is *first minus second* modality in declared order, never folded and never swapped, so exchanging
the modalities changes its sign and nothing else. Equations are of arXiv 2510.21797 v2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .types import Floats, GapScores, Predictions, modality_pairs


def true_class_probability(probs: Floats, labels: NDArray[np.int64]) -> Floats:
    """p(y | x) of the labelled class: (N, K) and (N,) to (N,), in [0, 1]; higher = better known."""
    return probs[np.arange(len(labels)), labels]


def entropy(probs: Floats) -> Floats:
    """Shannon entropy in nats, (..., K) to (...), in [0, log K]; 0 log 0 = 0. Higher = less sure."""
    p = np.asarray(probs, dtype=np.float64)
    return -np.sum(p * np.log(np.where(p > 0, p, 1.0)), axis=-1)


def probability_gap(first: Floats, second: Floats, labels: NDArray[np.int64]) -> Floats:
    """Eq. 6: p_first[y] - p_second[y]; (N, K) twice and (N,) to (N,), in [-1, 1]."""
    return true_class_probability(first, labels) - true_class_probability(second, labels)


def kl_gap(first: Floats, second: Floats) -> Floats:
    """Eq. 7: KL(first || u) - KL(second || u) = H(second) - H(first), u uniform; label-free.

    Shapes (N, K) twice to (N,), in [-log K, log K], nats.
    """
    return entropy(second) - entropy(first)


def modality_gap(predictions: Predictions) -> GapScores:
    """Both gaps of every pair of modalities."""
    pairs = modality_pairs(predictions.modalities)
    probs, labels = predictions.probs, predictions.labels
    n = len(labels)
    prob, kl = np.empty((n, len(pairs))), np.empty((n, len(pairs)))
    for j, (a, b) in enumerate(pairs):
        prob[:, j] = probability_gap(probs[a], probs[b], labels)
        kl[:, j] = kl_gap(probs[a], probs[b])
    return GapScores(predictions.sample_ids, pairs, prob, kl)


def gap_scale(kind: str, classes: int) -> float:
    """What a gap is divided by to lie in [-1, 1]: 1 for `prob`, log K for `kl` (nats)."""
    return {"prob": 1.0, "kl": float(np.log(max(classes, 2)))}[kind]
