"""Predictions to modality gap: how differently two modalities predict a sample. Pure.

The gap of a pair is *first minus second* modality in declared order, never swapped; exchanging the modalities changes
its sign and nothing else. Equations are those of arXiv 2510.21797 v2, which has the kinds `prob` and `kl`; `log_prob`
and `log_odds` are the difference of log p(y) and of log p(y) / (1 - p(y)).

Letters: N samples, M modalities, K classes, P pairs of modalities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from curate.arguments import need
from curate.blocks import by_row
from curate.errors import CurateError
from curate.types import Floats, GapScores, Known, Predictions, modality_pairs

KINDS = ("prob", "kl", "log_prob", "log_odds")
FLOOR = 1e-6
"""Lower bound of p(y), and of 1 - p(y) for the odds, before the logarithm. Below one in a million a logarithm measures
how saturated the softmax is, not how well a sample is predicted; a p(y) that rounds to 0 would make it infinite."""
LEAST = 1e-3
"""Lower bound of a probability before the logarithm of a margin; one epoch then cannot outweigh a whole warm-up."""


def true_class_probability(probs: Floats, labels: NDArray[np.int64]) -> Floats:
    """p(y | x) of the labelled class: (N, K) and (N,) to (N,), in [0, 1]; higher = better predicted."""
    return by_row(lambda p, y: p[np.arange(len(y)), y], probs, labels)


def log_margin(probs: Floats, labels: NDArray[np.int64]) -> Floats:
    """log p(y) - log of the largest other probability, each at least `LEAST`: (N, K) and (N,) to (N,), nats.

    In [-6.9, 6.9]; negative = another class is preferred.
    """

    def work(own: Floats, y: NDArray[np.int64]) -> Floats:
        others = np.array(own, dtype=np.float64)
        others[np.arange(len(y)), y] = 0.0
        result: Floats = np.log(np.maximum(true_class_probability(own, y), LEAST)) - np.log(
            np.maximum(others.max(1), LEAST)
        )
        return result

    return by_row(work, probs, labels)


def best_other(probs: Floats, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) index of the largest probability besides the label's, the first of equal ones; (N, K) and (N,) to (N,)."""
    others = np.array(probs, dtype=np.float64)
    others[np.arange(len(labels)), labels] = -1.0
    result: NDArray[np.int64] = others.argmax(axis=1)
    return result


def entropy(probs: Floats) -> Floats:
    """Shannon entropy in nats, (..., K) to (...), in [0, log K]; 0 log 0 = 0. Higher = less sure."""
    p = np.asarray(probs, dtype=np.float64)
    result: Floats = -np.sum(p * np.log(np.where(p > 0, p, 1.0)), axis=-1)
    return result


def probability_gap(first: Floats, second: Floats, labels: NDArray[np.int64]) -> Floats:
    """Eq. 6: p_first[y] - p_second[y]; (N, K) twice and (N,) to (N,), in [-1, 1]."""
    return true_class_probability(first, labels) - true_class_probability(second, labels)


def kl_gap(first: Floats, second: Floats) -> Floats:
    """Eq. 7: KL(first || u) - KL(second || u) = H(second) - H(first), u uniform; label-free.

    Shapes (N, K) twice to (N,), in [-log K, log K], nats.
    """
    return entropy(second) - entropy(first)


def modality_gap(predictions: Predictions) -> GapScores:
    """Both gaps of every pair of modalities, in float64 whatever the type of the probabilities.

    Raises:
        ValueError: these are no `Predictions`.
    """
    need("predictions", predictions, Predictions)
    return both_gaps(known(predictions))


def both_gaps(of: Known) -> GapScores:
    """Both gaps of every pair of modalities, Eq. 6 and 7."""
    pairs = modality_pairs(of.modalities)
    return GapScores(of.sample_ids, pairs, signed_gap("prob", of), signed_gap("kl", of))


def known(predictions: Predictions) -> Known:
    """The part of predictions from which every kind of gap is computed."""
    probs, labels = [predictions.probs[m] for m in predictions.modalities], predictions.labels
    return Known(
        predictions.sample_ids,
        predictions.modalities,
        np.stack([np.clip(true_class_probability(p, labels), 0, 1) for p in probs], axis=1, dtype=np.float64),
        np.stack([by_row(entropy, p) for p in probs], axis=1),
        np.stack([by_row(lambda own, y: own.argmax(axis=1) == y, p, labels) for p in probs], axis=1),
        predictions.fold is not None,
    )


def signed_gap(kind: str, of: Known) -> Floats:
    """(N, P) gaps of a kind, first minus second modality of each pair.

    `prob` is in [-1, 1], `kl` in [-log K, log K], `log_prob` in [-13.8, 13.8] and `log_odds` in [-27.6, 27.6], nats.
    For the logarithms, p(y) is kept at least `FLOOR` away from 0, and for the odds from 1 too.
    """
    p = np.clip(of.p_true, FLOOR, None)
    levels: dict[str, Callable[[], Floats]] = {
        "prob": lambda: of.p_true,
        "kl": lambda: -of.entropy,
        "log_prob": lambda: np.log(p),
        "log_odds": lambda: np.log(p) - np.log(np.clip(1 - of.p_true, FLOOR, None)),
    }
    level = levels[kind]()
    position = {m: i for i, m in enumerate(of.modalities)}
    pairs = modality_pairs(of.modalities)
    return np.stack([level[:, position[a]] - level[:, position[b]] for a, b in pairs], axis=1)


def mean_gap(kind: str, epochs: Iterable[Known]) -> Floats:
    """(N, P) mean over epochs of the signed gaps of a kind.

    Raises:
        CurateError: there is no epoch, or one has no entropies, which `kl` needs.
        ValueError: the epochs are not of the same samples.
    """
    total, ids, count = np.zeros(()), None, 0
    for of in epochs:
        ids = of.sample_ids if ids is None else ids
        if not np.array_equal(ids, of.sample_ids):
            raise ValueError("the epochs are of different samples")
        total, count = total + signed_gap(kind, of), count + 1
    if not count:
        raise CurateError("no epochs were kept to average over", "warm up with score.dynamics=true, not --checkpoint")
    if not np.isfinite(total).all():
        raise CurateError(
            "the epochs were kept without entropies, which the KL gap is made of",
            "average another gap, or score again: `curate score`",
        )
    return total / count


def loss_kind(kind: str) -> str:
    """The gap that the loss of Eq. 11 reduces if a mixture was fitted to a gap of `kind`: `kl` for `kl`, else `prob`.

    The paper has these two; a difference of logarithms would have its largest gradients at samples that no modality
    predicts well.
    """
    return "kl" if kind == "kl" else "prob"


def gap_scale(kind: str, classes: int) -> float:
    """The unit of a gap; the thresholds of the fit's warnings are multiples of it.

    For `prob` it is 1 and for `kl` log K (nats), the largest possible |gap|. For `log_prob` it is log K, the gap
    between a certain prediction and guessing. For `log_odds` it is 4, the slope of the log odds at p = 1/2: a small gap
    there is the same share of its unit as the probability gap. The last two can exceed their unit, see `gap_limit`.
    """
    chance = float(np.log(max(classes, 2)))
    return {"prob": 1.0, "kl": chance, "log_prob": chance, "log_odds": 4.0}[kind]


def gap_limit(kind: str, classes: int) -> float:
    """The largest possible |gap|, in the gap's own units."""
    bound = -float(np.log(FLOOR))
    return {"log_prob": bound, "log_odds": 2 * bound}.get(kind) or gap_scale(kind, classes)


def describe(kind: str, input: str = "signed", average: str = "last", pair: tuple[str, str] | None = None) -> str:
    """What a mixture was fitted to, in words: `prob gap`, `|log_prob gap audio - visual|, mean over the warm-up`."""
    name = f"{kind} gap {pair[0]} - {pair[1]}" if pair else f"{kind} gap"
    name = f"|{name}|" if input == "absolute" else name
    return f"{name}, mean over the warm-up" if average == "warmup" else name
