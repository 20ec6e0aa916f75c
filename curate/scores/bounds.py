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
from .metrics import auroc

SUREST, SURE_SHARE, PART, FEW = 75, 4, 10, 0.05
"""Of held-out samples, those that the fusion is surest of are so many, at most a 4th of all and at least a 10th; a
share of wrong labels below a 20th is none: on samples that are merely hard it is wrong there that often too."""


MAJORITY = 0.5
"""More than half of the labels cannot be wrong: the classes would have other names."""
WELL = 0.5
"""A model that is right on less of what is above chance has learnt little."""
TEMPERATURES, SHARES, ASKED = np.geomspace(0.5, 12, 40), np.linspace(0, 0.5, 51), 5000
"""What `least_wrong` tries, and of how many samples at most."""
TINY = float(np.finfo(float).tiny)
SIDED = 1.645
"""Normal quantile of a one-sided interval of 95 %."""


class WrongBounds(NamedTuple):
    """Bounds of the share of wrong labels, 0..1.

    Attributes:
        least, most: among held-out samples, see `wrong_bounds`.
        limit: among training samples, see `limited`.
        accidents: at most, as sure errors are among held-out samples, see `accidents`.
    """

    least: float = 0.0
    most: float = 1.0
    limit: float = MAJORITY
    accidents: float = 1.0


UNKNOWN = WrongBounds()


def wrong_bounds(sure: Floats, denied: NDArray[np.bool_], given: NDArray[np.int64], drawn: bool = False) -> WrongBounds:
    """Bounds of the share of wrong labels among held-out samples, each one-sided with 95 % (Clopper-Pearson); a lower
    one below `FEW` is 0.

    Where the fusion is surest, it is hardly ever wrong: what it denies there has a wrong label. So this tells how many
    there are even where no group of margins stands apart, which tells which they are. Of a model that has learnt little
    this does not hold: nothing is known where more than half would be wrong.

    Args:
        sure: (N,) the largest probability that the fusion gives a class, of samples that it was not trained on.
        denied: (N,) whether that class is another than the label.
        given: (N,) that class.
        drawn: see `accidents`.
    """
    from scipy.special import betaincinv  # late: few commands need it

    count = max(min(len(sure) // SURE_SHARE, SUREST), len(sure) // PART)
    if not count:
        return UNKNOWN
    most = accidents(sure, denied, given, drawn)
    surest = np.argsort(-sure, kind="stable")[:count]
    hits = int(denied[surest].sum())
    low = float(betaincinv(hits, count - hits + 1, 0.05)) if hits else 0.0
    high = float(betaincinv(hits + 1, count - hits, 0.95)) if hits < count else 1.0
    if low > MAJORITY:
        return WrongBounds(accidents=most)
    return WrongBounds(low if low >= FEW else 0.0, high, accidents=most)


def accidents(sure: Floats, denied: NDArray[np.bool_], given: NDArray[np.int64], drawn: bool = False) -> float:
    """How many labels are wrong by accident, at most, as a share of the samples; 1 where no label is denied.

    Among samples that are given the same class, whether a label is wrong by accident does not depend on how sure the
    fusion is; what is hard does: it is less sure there. So with the AUROC of being unsure for being denied, A, at most
    2 (1 - A) of what is denied there are accidents: A is 1/2 of these and at most 1 of the rest. The sum over classes,
    plus 1.645 standard errors of it (Hanley and McNeil, 1982), at most all that is denied. A class of which all is
    denied counts whole.

    Args:
        sure: (N,) the largest probability that the fusion gives a class, of samples that it was not trained on.
        denied: (N,) whether that class is another than the label.
        given: (N,) that class.
        drawn: the bound is not of these samples but of others that they were drawn with: how many are wrong among them
            is chance, too, with the error of a share, sqrt(a (1 - a) / N).
    """
    share, variance = 0.0, 0.0
    for kind in np.unique(given[denied]):
        here = given == kind
        wrong, right = int(denied[here].sum()), int((~denied[here]).sum())
        area = auroc(-sure[here], denied[here])
        part = wrong / len(sure)
        if area is None:
            share += part
            continue
        ahead, behind = area / (2 - area) - area**2, 2 * area**2 / (1 + area) - area**2
        own = (area * (1 - area) + (wrong - 1) * ahead + (right - 1) * behind) / (wrong * right)
        share, variance = share + 2 * (1 - area) * part, variance + (2 * part) ** 2 * own
    if not denied.any():
        return 1.0
    every, chance = float(denied.mean()), drawn / len(sure)
    bounds = ((share, variance + share * (1 - share) * chance), (every, every * (1 - every) * chance))
    return min(value + SIDED * float(np.sqrt(error)) for value, error in bounds)


def decider(held: Predictions) -> str:
    """By whom it is judged which labels are wrong: the fusion or, where it is clearly right on fewer held-out samples
    than a modality alone, the modality that is right on most.

    Beside a modality that shows nothing of the class the fusion is less often right than the other one, and denies more
    labels that are right. Clearly: the samples that only the modality is right on outnumber those that only the fusion
    is by more than 1.645 sqrt(both), as under no difference one time in twenty (McNemar, 1947).

    Args:
        held: of at least one modality; N may be 0.
    """
    right = {m: probs.argmax(axis=1) == held.labels for m, probs in held.probs.items()}
    best = max(held.modalities, key=lambda m: int(right[m].sum()))
    won, lost = int((right[best] & ~right[FUSED]).sum()), int((right[FUSED] & ~right[best]).sum())
    return best if won - lost > SIDED * float(np.sqrt(won + lost)) else FUSED


def wrong_among(held: Predictions, by: str = FUSED) -> WrongBounds:
    """`wrong_bounds` of held-out samples, by what is predicted for them; of a model that is right on less than
    `WELL` of what is above chance the lower one is that of `least_wrong`: it is too sure of itself where it is surest.
    Not of two classes, where likelihood hardly tells wrong labels from a model that is less sure.

    Args:
        by: a modality, or the fusion, see `decider`.
    """
    probs = held.probs[by]
    given = probs.argmax(axis=1)
    found, chance = wrong_bounds(probs.max(axis=1), given != held.labels, given, drawn=True), 1 / probs.shape[1]
    if not len(given) or probs.shape[1] == 2 or (given == held.labels).mean() - chance >= WELL * (1 - chance):
        return found
    least = least_wrong(probs, held.labels)
    return found._replace(least=least if least >= FEW else 0.0, most=max(found.most, least))


def least_wrong(probs: Floats, labels: NDArray[np.int64]) -> float:
    """The least share of wrong labels, 0 to 1/2, one-sided with 95 %, by the likelihood of held-out labels.

    The true class has the probabilities that the model gives, less sure by a temperature t, q = softmax(log p / t).
    A share w of the labels is any other of K classes, so that a label y has (1 - w) q_y + w (1 - q_y) / (K - 1). For
    each w the likelihood is that of the best t. The bound is the smallest w whose log-likelihood is within 1.645^2 / 2
    of the best. Labels that are wrong by a rule are not counted: a model learns the rule.

    Args:
        probs: (N, K) of the samples, rows adding to one; of many, `ASKED` are used.
        labels: (N,).
    """
    likelihood = likelihoods(probs, labels).max(axis=1)
    return float(SHARES[likelihood >= likelihood.max() - SIDED**2 / 2].min())


def likelihoods(probs: Floats, labels: NDArray[np.int64]) -> Floats:
    """(shares, temperatures) log-likelihood of held-out labels, as in `least_wrong`, of which the arguments are."""
    rows = np.linspace(0, len(labels) - 1, min(len(labels), ASKED)).astype(int)
    logs, own = np.log(np.maximum(probs[rows], TINY)), labels[rows]
    q = np.empty((len(TEMPERATURES), len(rows)))
    for of, t in zip(q, TEMPERATURES, strict=True):
        powers = np.exp((logs - logs.max(axis=1, keepdims=True)) / t)
        of[:] = np.clip(powers[np.arange(len(rows)), own] / powers.sum(axis=1), TINY, 1)
    others = (1 - q) / (probs.shape[1] - 1)
    return np.array([np.log((1 - w) * q + w * others).sum(axis=1) for w in SHARES])


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
    return found._replace(least=0.0, most=1.0, limit=limit) if found.least > limit else found._replace(limit=limit)


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
