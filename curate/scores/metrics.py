"""Metrics of predicted class probabilities, thin over scikit-learn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from curate.types import Floats, Predictions


def accuracy(probs: Floats, labels: NDArray[np.int64]) -> float:
    """Share of samples whose largest probability is the label's, in [0, 1]."""
    return float((probs.argmax(axis=1) == labels).mean())


def macro_f1(probs: Floats, labels: NDArray[np.int64]) -> float:
    """Unweighted mean of the F1 of each class that occurs among labels or predictions, in [0, 1]."""
    return float(f1_score(labels, probs.argmax(axis=1), average="macro", zero_division=0.0))


def mean_average_precision(probs: Floats, labels: NDArray[np.int64]) -> float:
    """Mean over the classes present of one-against-rest average precision, in [0, 1]."""
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
    """Probability that a true item scores above a false one, ties half; None when one kind is missing."""
    if truth.all() or not truth.any():
        return None
    return float(roc_auc_score(truth, scores))


def degraded_alone(planted: Iterable[str]) -> NDArray[np.str_]:
    """(N,) degraded modalities joined by '+' to the one that is degraded alone, '' where none or several are."""
    return np.array([text if "+" not in text else "" for text in planted], dtype=np.str_)


def degraded_in_part(planted: Iterable[str], modalities: int) -> NDArray[np.bool_]:
    """(N,) whether some of so many modalities are degraded and some are not: of two, exactly one."""
    return np.array([bool(text) and text.count("+") + 1 < modalities for text in planted], dtype=np.bool_)


def direction_auroc(gap: Floats, alone: NDArray[np.str_], pair: tuple[str, str]) -> float | None:
    """How well the signed gap of a pair tells, where one of the two is degraded alone, that it is the second.

    Args:
        gap: (N,) first minus second.
        alone: (N,) of `degraded_alone`.
    """
    asked = np.isin(alone, pair)
    return auroc(gap[asked], alone[asked] == pair[1])


def planted_recovery(
    planted: Iterable[str], gap: Floats, p_imbalanced: Floats, pair: tuple[str, str], imbalance: Floats | None = None
) -> dict[str, float | None]:
    """How well the scores find samples degraded on purpose: AUROCs in [0, 1], 0.5 = chance, None = undefined.

    Truly imbalanced is a sample with exactly one modality degraded.

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
