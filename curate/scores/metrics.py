"""Metrics of predicted class probabilities, most by scikit-learn; it is imported late, for it takes a second."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from curate.types import Floats, Predictions


def accuracy(probs: Floats, labels: NDArray[np.int64]) -> float:
    """Share of samples whose largest probability is the label's, in [0, 1]."""
    return float((probs.argmax(axis=1) == labels).mean())


def macro_f1(probs: Floats, labels: NDArray[np.int64]) -> float:
    """Unweighted mean of the F1 of each class that occurs among labels or predictions, in [0, 1]."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels, probs.argmax(axis=1), average="macro", zero_division=0.0))


def mean_average_precision(probs: Floats, labels: NDArray[np.int64]) -> float:
    """Mean over the classes present of one-against-rest average precision, in [0, 1]."""
    from sklearn.metrics import average_precision_score

    present = np.unique(labels)
    return float(np.mean([average_precision_score(labels == k, probs[:, k]) for k in present]))


METRICS = {"accuracy": accuracy, "macro_f1": macro_f1, "map": mean_average_precision}


def measure(predictions: Predictions) -> Mapping[str, Mapping[str, float]]:
    """{modality or "fused": {metric: value}}, every metric in [0, 1], higher = better."""
    return {
        m: {name: metric(p, predictions.labels) for name, metric in METRICS.items()}
        for m, p in predictions.probs.items()
    }


def auroc(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> float | None:
    """Probability that a true item scores above a false one, ties count half; None if one kind is missing.

    By the sum of the ranks of the true items (Mann and Whitney); scikit-learn's takes longer to import than to compute.
    """
    true, false = int(truth.sum()), int((~truth).sum())
    if not true or not false:
        return None
    _, where, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (counts.cumsum() - (counts - 1) / 2)[where]  # equal scores share the mean of their ranks
    return float((ranks[truth].sum() - true * (true + 1) / 2) / (true * false))


def degraded_alone(planted: Iterable[str]) -> NDArray[np.str_]:
    """(N,) from degraded modalities joined by '+', the one that is degraded alone; '' if none or several are."""
    return np.array([text if "+" not in text else "" for text in planted], dtype=np.str_)


def degraded_in_part(planted: Iterable[str], modalities: int) -> NDArray[np.bool_]:
    """(N,) whether some of the modalities are degraded and some are not; with two modalities: exactly one."""
    return np.array([bool(text) and text.count("+") + 1 < modalities for text in planted], dtype=np.bool_)


def direction_auroc(gap: Floats, alone: NDArray[np.str_], pair: tuple[str, str]) -> float | None:
    """AUROC of the signed gap of a pair for which modality is degraded: the second (true) or the first (false).

    Only samples in which one modality of the pair is degraded alone are used.

    Args:
        gap: (N,) first minus second.
        alone: (N,) from `degraded_alone`.
    """
    asked = np.isin(alone, pair)
    return auroc(gap[asked], alone[asked] == pair[1])


def planted_recovery(
    planted: Iterable[str], gap: Floats, p_imbalanced: Floats, pair: tuple[str, str], imbalance: Floats | None = None
) -> dict[str, float | None]:
    """How well the scores find samples degraded on purpose: AUROCs in [0, 1], 0.5 = chance, None = undefined.

    A sample is truly imbalanced if exactly one modality is degraded.

    Args:
        planted: (N,) degraded modalities joined by '+', '' for none.
        gap: (N,) signed gap, first minus second.
        p_imbalanced: (N,) posterior.
        pair: the two modalities.
        imbalance: (N,) by usability; None where that is not known.

    Returns:
        `usability`, `size` of |gap| and `p_imbalanced`, all for finding the imbalanced; `direction`, see
        `direction_auroc`.
    """
    alone = degraded_alone(planted)
    return {
        "usability": None if imbalance is None else auroc(imbalance, alone != ""),
        "size": auroc(np.abs(gap), alone != ""),
        "direction": direction_auroc(gap, alone, pair),
        "p_imbalanced": auroc(p_imbalanced, alone != ""),
    }
