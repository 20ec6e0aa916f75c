"""Wrong labels and swapped clips: where a warm-up preferred another class, and by whom. Not of the papers. Pure.

Margins are those of `preferences`, each p divided by the share of its class. What nothing is known of is given to the
most frequent class: that does not deny the label, and has a margin of 0. Where labels are judged, each p is also
divided by what a class has on its own samples: that of a class of which many samples are named as another is low. Right
samples have a large margin. A wrong label or a swapped clip has the margin of another class, mirrored: about as far
below zero. So the margins are a mixture of two Gaussians of equal spread, and the posterior of the lower one is a
probability, fitted without truth.

Letters: N samples, M modalities.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.types import Floats

from .bounds import MAJORITY, SIDED, UNKNOWN, WrongBounds
from .groups import alike
from .metrics import auroc
from .preferences import Preferences
from .references import Looks
from .two_groups import SMALLEST, STEPS, TOLERANCE, Groups, two_groups, two_modes

CLAIMED = 0.5
"""A label is called wrong, and a clip swapped, above this probability."""
READS, PREFERS = 0.6, 0.7
"""Labels are judged if the fusion reads the first share of the held-out samples; the clips of a modality, if it prefers
the label of the second share of its intact samples."""
SEPARATION, DEPTH, MIRRORED = 2.3, 0.1, 0.8
"""The lower group counts if the means are further apart than so many spreads, and if it prefers another class: its mean
is below minus this share of the other mean. What is only hard, or shows nothing, has a mean near zero. A swapped clip
is read as well as any, as another class: minus `MIRRORED`. Of wrong labels the margin is the only evidence, so there
both groups must be modes: two Gaussians fit a tail as well."""
DISTINCT = 2.5
"""Where held-out samples show that there are wrong labels, these need not be a mode: so many spreads are enough."""
TYPICAL = 0.1
"""Clips are not swapped if the classes that they show instead clearly go with the labels further than this, see
`typical`."""
ORDINARY, ASKED = 2 / 3, 500
"""Nor if their look-alikes deny their labels too, more than those of others, by this AUROC; of so many of each."""
VOUCHES = 0.35
"""Others tell a right label from a wrong one if they prefer the right ones by this many spreads."""
BEYOND = 4 / 3
"""Nor is any label judged if so many times the limit of `bounds.limited` would be wrong, or of `bounds.accidents`, or
most labels: it is what is hard that is denied."""
DENIES = float(np.log(2))
"""A modality denies a label if it finds another class twice as probable; one that shows nothing does not. In nats."""
LOWEST = 60.0
"""Log-odds are lowered by less than this."""
PLACES = 4
"""Decimals of a deviation within which two looks are the same: a network's features differ a little between batches."""

BANK = 20_000
"""Samples that a mixture is fitted to, at most."""


@dataclass(frozen=True)
class Denied:
    """Probabilities that a label is wrong and that a clip belongs to another sample.

    Attributes:
        p_mislabelled: (N,) in [0, 1]; 0 throughout where no group of wrong labels is told apart; NaN = not judged.
        p_swapped: (N, M) of each modality's clip, likewise; NaN in the column of a modality that reads too little, or
            beside which none reads enough, or where wrong labels may explain as much.
    """

    p_mislabelled: Floats
    p_swapped: Floats


def vouched(looks: Iterable[Floats], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(N, M) whether another sample that looks exactly the same by a modality has the same label.

    Such a look has that label too, however rarely: of a name without any known word, of a blank picture, of a few
    numbers from a short scale. Looks are compared by three random projections of the standardised statistics.

    Args:
        looks: (N, D) statistics of each modality, see `usability.Evidence`.
        labels: (N,).
    """
    return np.column_stack([alike(np.column_stack([_place(look), labels])) > 1 for look in looks])


def contradicted(looks: Iterable[Floats], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(N,) whether a sample that looks exactly the same by every modality has another label, and none has the same.

    At least one label of such copies is wrong.

    Args:
        looks, labels: as in `vouched`.
    """
    places = np.column_stack([_place(look) for look in looks])
    result: NDArray[np.bool_] = (alike(places) > 1) & (alike(np.column_stack([places, labels])) == 1)
    return result


def _place(look: Floats) -> NDArray[np.int64]:
    """(N, 3) random projections of standardised (N, D) statistics."""
    spread = look.std(axis=0)
    directions = np.random.default_rng(0).normal(size=(look.shape[1], 3)) / np.where(spread > 0, spread, 1)[:, None]
    places = look @ directions
    result: NDArray[np.int64] = np.round((places - places.mean(axis=0)) * 10**PLACES).astype(np.int64)
    return result


def judge(
    said: Preferences,
    labels: NDArray[np.int64],
    p_broken: Floats,
    reads: float = 1.0,
    seed: int = 0,
    vouches: NDArray[np.bool_] | None = None,
    wrong: WrongBounds = UNKNOWN,
    looks: Sequence[Looks | None] = (),
    copies: NDArray[np.bool_] | None = None,
) -> Denied:
    """Which labels are wrong, and which clips are swapped.

    A modality denies a label where its margin belongs to the lower group, if there is one. Such a clip is swapped if
    the other modalities prefer the label to what it shows, as they do elsewhere; if they do not, the label is wrong. It
    is claimed only where most of what the modality denies is so. Where less than half is, wrong labels are the simpler
    explanation; where that is not clear, neither is claimed. What the clips show instead must not go with the label,
    see `typical`, nor with how they look, see `ordinary`: damage may be read as another class; then the label is not
    wrong either. A modality that reads few labels is not asked and vouches for none, nor do others that do not clearly
    prefer the rest of the labels. Labels are then judged by the fusion, on samples of which nothing is claimed to be
    broken: damage hides the class, and a right label is denied. Classes count as equally frequent and as found equally
    surely. Of very unequal classes that may hide a group: where more is told by margins as they are, most of it of
    samples that are denied at equal frequency too, these are claimed. The lower group must be a mode, or held-out
    samples must show that labels are wrong. Nothing is judged where most labels would be wrong, more than a plain
    classifier of the content leaves room for, or more than held-out samples do: a model that has learnt little, or is
    too sure of itself, denies labels of what is hard. Nor is a label wrong if each modality that denies it shows what
    it shows of another sample with that label. Of copies with several labels one at most is right, group or not: its
    probability is that of the two classes which the fusion prefers, sigmoid(margin). They pull the model both ways, so
    they are in no group.

    Args:
        labels: (N,), for how frequent classes are.
        p_broken: (N, M) probability that a modality is broken.
        reads: share of the held-out samples whose class the fusion reads, see `read_at_least`; below `READS` no label
            is judged.
        seed: of the samples that a mixture is fitted to.
        vouches: (N, M) whether another sample that looks the same has the same label, see `vouched`; None: unknown.
        wrong: share of wrong labels that held-out samples show, and its limit.
        looks: of each modality, how its samples look; None or (): unknown.
        copies: (N,) whether a copy has another label, see `contradicted`; None: unknown.
    """
    count, modalities = p_broken.shape
    given, said, whole = said, said.at_equal_frequency(labels), p_broken <= CLAIMED
    fitted = np.sort(np.random.default_rng(seed).permutation(count)[:BANK])
    swapped, elsewhere = _swaps(said, labels, whole, fitted, looks)
    if reads < READS:
        return Denied(np.full(count, np.nan), swapped)
    weights = (1 - elsewhere.max(axis=1)) * whole.all(axis=1)
    if vouches is not None:
        denies = np.column_stack([said.margin(m) < -DENIES for m in range(modalities)])
        weights = weights * ~(denies.any(axis=1) & (vouches | ~denies).all(axis=1))
    margin, equal = given.margin(modalities), said.margin(modalities)
    copies = np.zeros(count, dtype=bool) if copies is None else copies & whole.all(axis=1)
    weights = weights * ~copies
    ways = [
        _wrong(said.at_equal_confidence(labels).margin(modalities), weights, fitted, wrong),
        _mostly(_wrong(margin, weights, fitted, wrong), equal < -DENIES),
    ]
    p_wrong = max(ways, key=lambda p: int((p > CLAIMED).sum()))
    return Denied(np.where(copies & ~np.isnan(p_wrong), 1 / (1 + np.exp(margin)), p_wrong), swapped)


def _mostly(p: Floats, denied: NDArray[np.bool_]) -> Floats:
    """(N,) the same where a label is denied, 0 elsewhere; 0 throughout unless most of it is of denied ones."""
    less = float(p @ denied) <= float(p.sum()) / 2
    return np.zeros(len(p)) if less else p * denied


def _wrong(margin: Floats, weights: Floats, fitted: NDArray[np.int64], wrong: WrongBounds) -> Floats:
    """(N,) probability that a label is wrong, by the margins of the fusion; 0 where no group of them is told apart.

    NaN where so many would be wrong that nothing is judged.
    """
    found = two_groups(margin[fitted], weights[fitted])
    if found is None or found.low > -DEPTH * found.high:
        return np.zeros(len(margin))
    told_apart = two_modes(found.share, found.separation) or (wrong.least > 0 and found.separation > DISTINCT)
    p_wrong = found.lower(margin) * weights
    share = float((p_wrong > CLAIMED).mean())
    if share > min(MAJORITY, BEYOND * wrong.limit) or (told_apart and share > BEYOND * wrong.accidents):
        return np.full(len(margin), np.nan)
    return at_most(p_wrong, wrong.accidents) * told_apart


def at_most(p: Floats, share: float) -> Floats:
    """(N,) probabilities whose mean is no more than a share: the log-odds of all are lowered by the same amount.

    A fitted mixture may give to the lower group what is only hard; held-out samples bound how large it is.

    Args:
        share: in [0, 1].
    """
    from scipy.optimize import brentq  # late: few commands need it
    from scipy.special import expit, logit

    if p.mean() <= share:
        return p
    odds = logit(np.minimum(p, 1 - TOLERANCE))
    if expit(odds - LOWEST).mean() >= share:
        return np.zeros(len(p))
    result: Floats = expit(odds - brentq(lambda shift: expit(odds - shift).mean() - share, 0, LOWEST))
    return result


def _swaps(
    said: Preferences,
    labels: NDArray[np.int64],
    whole: NDArray[np.bool_],
    fitted: NDArray[np.int64],
    looks: Sequence[Looks | None],
) -> tuple[Floats, Floats]:
    """(N, M) probabilities that a clip is swapped, NaN in the columns that are not judged, and see `_elsewhere`."""
    swapped, elsewhere = np.zeros(whole.shape), np.zeros(whole.shape)
    asked = [
        m for m, intact in enumerate(whole.T) if (said.margin(m) > 0)[intact].sum() >= max(PREFERS * intact.sum(), 1)
    ]
    for m in range(whole.shape[1] if whole.shape[1] > 1 else 0):
        others = [o for o in asked if o != m]
        if m not in asked or not others:
            swapped[:, m] = np.nan
            continue
        elsewhere[:, m], claim = _elsewhere(said, labels, whole, m, others, fitted, looks[m] if looks else None)
        swapped[:, m] = np.nan if claim is None else elsewhere[:, m] * claim
    return swapped, elsewhere


def _elsewhere(
    said: Preferences,
    labels: NDArray[np.int64],
    whole: NDArray[np.bool_],
    m: int,
    others: Sequence[int],
    fitted: NDArray[np.int64],
    looks: Looks | None,
) -> tuple[Floats, bool | None]:
    """(N,) probability that a modality shows what is not there, and whether its clips are those of other samples.

    It is 0 where that explains clearly less than half of what it denies, and where what is shown goes with the label.
    They are no swapped clips if it goes with how they look; None: whether it explains more than half is not clear.
    """
    margin, intact = said.margin(m), whole[:, m]
    nothing = np.zeros(len(margin))
    found = two_groups(margin[fitted], intact[fitted].astype(float))
    if found is None or found.separation <= SEPARATION or found.low > -MIRRORED * found.high:
        return nothing, False
    denies = found.lower(margin) * intact
    rest = np.sum([said.margin(o, m) * whole[:, o] for o in others], axis=0)
    swapped: Floats = denies * (1 - _label_wrong(rest, denies, (1 - denies) * intact, fitted))
    mass, doubt = float(denies.sum()), SIDED * float(np.sqrt(0.25 / max(denies.sum(), 1)))
    share = float(swapped.sum()) / mass
    if share + doubt <= 0.5 or swapped.mean() <= SMALLEST:
        return nothing, False
    if share - doubt <= 0.5:
        return swapped, None
    goes_with_label = typical(labels, said.other[:, m], swapped)
    if goes_with_label is None:
        by_chance = two_modes(found.share, found.separation)
    else:
        together, error = goes_with_label
        by_chance = together - SIDED * error <= TYPICAL
    if not by_chance:
        return nothing, False
    return swapped, looks is None or ordinary(looks, denies, swapped)


def ordinary(looks: Looks, denies: Floats, swapped: Floats) -> bool:
    """Whether the clips that would be called swapped look as others do, of which the labels are denied no less often.

    A clip of another sample looks like any. Where the look-alikes of these clips deny their labels as well, it is what
    they look like that is read as another class: the AUROC of how often look-alikes deny, of these against the others,
    is above `ORDINARY`.

    Args:
        looks: of the modality.
        denies: (N,) probability that its margin belongs to the lower group.
        swapped: (N,) probability that the clip is another sample's.
    """
    claimed = swapped > CLAIMED
    groups = [np.flatnonzero(claimed), np.flatnonzero(~claimed)]
    asked = [rows[np.linspace(0, len(rows) - 1, min(len(rows), ASKED)).astype(int)] for rows in groups]
    if not all(len(rows) for rows in asked):
        return True
    pooled = [looks.pooled(denies, rows) for rows in asked]
    of_claimed = np.repeat([True, False], [len(rows) for rows in asked])
    return (auroc(np.concatenate(pooled), of_claimed) or 0.0) <= ORDINARY


def typical(labels: NDArray[np.int64], shown: NDArray[np.int64], weights: Floats) -> tuple[float, float] | None:
    """How far the class that is shown instead of the label goes with the label, and the standard error of that.

    (a - e) / (1 - e), 0 as if drawn at random and 1 always: a is the weighted share of pairs of samples with the same
    label that show the same class, and e what is expected of clips of samples drawn at random among those with another
    label. A clip swapped at random has any class; a class that is taken for one other, or often labelled as one other,
    shows that one. It may be below 0. The error counts pairs as independent: sqrt(a (1 - a) / pairs) / (1 - e).

    Args:
        labels: (N,), of all samples.
        shown: (N,) the class that is shown instead.
        weights: (N,) probability that it is shown at all, in [0, 1].

    Returns:
        None where it cannot differ: of two classes, or where no label has two samples.
    """
    share = np.bincount(labels) / len(labels)
    drawn = (share @ share - share**2) / np.maximum((1 - share) ** 2, np.finfo(float).tiny)
    pairs = _pairs(labels, weights)
    count, by_chance = float(pairs.sum()), float(pairs @ drawn)
    if count - by_chance <= TOLERANCE:
        return None
    both = np.unique(labels * (int(shown.max()) + 1) + shown, return_inverse=True)[1]
    alike = float(_pairs(both, weights).sum())
    error = float(np.sqrt(max(alike * (count - alike), 0) / count))
    return (alike - by_chance) / (count - by_chance), error / (count - by_chance)


def _pairs(kinds: NDArray[np.int64], weights: Floats) -> Floats:
    """(K,) weight of the pairs of samples of each kind: (sum w)^2 / 2 - sum w^2 / 2."""
    result: Floats = (np.bincount(kinds, weights) ** 2 - np.bincount(kinds, weights**2)) / 2
    return result


def _label_wrong(rest: Floats, denies: Floats, others: Floats, fitted: NDArray[np.int64]) -> Floats:
    """(N,) probability that it is the label that is wrong where a modality denies it, by what the others prefer.

    1 where the others do not prefer the labels that it does not deny, clearly enough to vouch for any, see `VOUCHES`.

    How much they prefer a right label is known from the samples that are not denied: mean and spread. How much they
    prefer a wrong one, and its share, are fitted to the denied.

    Args:
        rest: (N,) how much the other modalities prefer the label to what the modality shows.
        denies, others: (N,) weights of the samples that it denies, and of those that it does not.
    """
    x, d, o = rest[fitted], denies[fitted], others[fitted]
    if o.sum() <= 0 or d.sum() <= 0:
        return np.ones_like(rest)
    high = float(o @ x / o.sum())
    spread = max(float(np.sqrt(o @ (x - high) ** 2 / o.sum())), TOLERANCE)
    if high <= VOUCHES * spread:
        return np.ones_like(rest)
    found = Groups(0.5, min(0.0, high - 2 * spread), high, spread)
    for _ in range(STEPS):
        p, before = found.lower(x), found.low
        mass = float(d @ p)
        if mass < TOLERANCE or float(d.sum()) - mass < TOLERANCE:
            return np.full(len(rest), float(mass > d.sum() / 2))
        found = found._replace(share=mass / float(d.sum()), low=min(float(d * p @ x) / mass, high - spread))
        if abs(found.low - before) < TOLERANCE:
            break
    return found.lower(rest)
