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

from .bounds import MAJORITY, UNKNOWN, WrongBounds, accidents, wrong_bounds
from .exchanged import exchanged
from .groups import alike
from .preferences import Preferences
from .references import Looks
from .swaps import swapped
from .together import as_elsewhere, denied_together
from .two_groups import CLAIMED, at_most, two_groups, two_modes

READS = 0.6
"""Labels are judged if the fusion reads this share of the held-out samples."""
DEPTH = 0.1
"""The lower group counts if it prefers another class: its mean is below minus this share of the other mean. What is
only hard, or shows nothing, has a mean near zero. And both groups must be modes: two Gaussians fit a tail as well."""
DISTINCT = 2.5
"""Where held-out samples show that there are wrong labels, these need not be a mode: so many spreads are enough."""
BEYOND = 4 / 3
"""Nor is any label judged if so many times the limit of `bounds.limited` would be wrong, or of `bounds.accidents`, or
most labels: it is what is hard that is denied."""
UNEQUAL = 3
"""Classes are very unequal if one has more than so many times the samples of another."""
DENIES = float(np.log(2))
"""A modality denies a label if it finds another class twice as probable; one that shows nothing does not. In nats."""
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
        unjudged: why that is, in words, of each modality; '' where its clips are judged; () = not said.
    """

    p_mislabelled: Floats
    p_swapped: Floats
    unjudged: tuple[str, ...] = ()


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
    parts: NDArray[np.int64] | None = None,
) -> Denied:
    """Which labels are wrong, and which clips are swapped.

    What a modality denies may be a swapped clip, see `swaps`; then the label is not wrong. Labels are judged by the
    fusion, on samples of which nothing is claimed to be broken: damage hides the class, and a right label is denied.
    Classes count as equally frequent and as found equally surely. Of very unequal classes that may hide a group: where
    more is told by margins as they are, most of it of samples that are denied at equal frequency too, these are
    claimed; all of it where one class is `UNEQUAL` times another and held-out samples show wrong labels. Two classes
    that are often taken for each other are asked by themselves, see `exchanged`; the others without them. The lower
    group must be a mode, or held-out samples must show that labels are wrong. Nothing is judged where most labels would
    be wrong, more than a plain classifier of the content leaves room for, or more than held-out samples do: a model
    that has learnt little, or is too sure of itself, denies labels of what is hard. Nor is a label wrong if each
    modality that denies it shows what it shows of another sample with that label. Of copies with several labels one at
    most is right, group or not: its probability is that of the two classes which the fusion prefers, sigmoid(margin).
    They pull the model both ways, so they are in no group. Of a group and class that is denied as a whole no more
    labels are wrong than elsewhere.

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
        parts: (N,) groups by class, see `together.parts_of`, where none was seen by its model; None: not so.
    """
    count, modalities = p_broken.shape
    given, said, whole = said, said.at_equal_frequency(labels), p_broken <= CLAIMED
    fitted = _fitted(count, seed)
    swaps = swapped(said, labels, whole, fitted, looks, wrong)
    if reads < READS:
        return Denied(np.full(count, np.nan), swaps.p, swaps.unjudged)
    weights = (1 - swaps.elsewhere.max(axis=1)) * whole.all(axis=1)
    if vouches is not None:
        denies = np.column_stack([said.margin(m) < -DENIES for m in range(modalities)])
        weights = weights * ~(denies.any(axis=1) & (vouches | ~denies).all(axis=1))
    copies = np.zeros(count, dtype=bool) if copies is None else copies & whole.all(axis=1)
    p_wrong = _denied(given, labels, weights * ~copies, fitted, wrong)
    if parts is not None and not np.isnan(p_wrong).all():
        p_wrong = as_elsewhere(p_wrong, denied_together(p_wrong > CLAIMED, parts))
    of_copies = 1 / (1 + np.exp(given.margin(modalities)))
    return Denied(np.where(copies & ~np.isnan(p_wrong), of_copies, p_wrong), swaps.p, swaps.unjudged)


def _denied(
    given: Preferences, labels: NDArray[np.int64], weights: Floats, fitted: NDArray[np.int64], wrong: WrongBounds
) -> Floats:
    """(N,) probability that a label is wrong, by what the fusion prefers: of all classes, or of two alone."""
    said = given.at_equal_frequency(labels)
    margin, equal = given.margin(-1), said.margin(-1)
    surely = said.at_equal_confidence(labels).margin(-1)
    of_pairs = exchanged(surely, said.other[:, -1], labels, weights)
    ways = [_wrong(x, weights * (1 - of_pairs), fitted, wrong) for x in (surely, margin)]
    counts = np.bincount(labels)
    if not wrong.least or counts.max() <= UNEQUAL * counts[counts > 0].min():
        ways[1] = _mostly(ways[1], equal < -DENIES)
    result: Floats = np.maximum(max(ways, key=lambda p: int((p > CLAIMED).sum())), of_pairs)
    return result


def own_bounds(
    said: Preferences,
    labels: NDArray[np.int64],
    p_broken: Floats,
    seed: int = 0,
    looks: Sequence[Looks | None] = (),
    parts: NDArray[np.int64] | None = None,
) -> WrongBounds:
    """`bounds.wrong_bounds` by the samples themselves, where these are out of fold: by those of which nothing is broken
    and no clip shows what is not there, and that are not denied together. The fusion denies the labels of such, too,
    surely, and these are right. Without them no more are wrong by accident than with them.

    Args:
        said, labels, p_broken, seed, looks, parts: as in `judge`.
    """
    whole = p_broken <= CLAIMED
    shown = swapped(said.at_equal_frequency(labels), labels, whole, _fitted(len(labels), seed), looks).elsewhere
    told = whole.all(axis=1) & (shown <= CLAIMED).all(axis=1)
    sure, denied, given = said.decided(labels)
    if parts is not None:
        told &= denied_together(denied, parts).part < 0
    found = wrong_bounds(sure[told], denied[told], given[told])
    return found._replace(accidents=min(found.accidents, accidents(sure, denied, given)))


def _fitted(count: int, seed: int) -> NDArray[np.int64]:
    """The samples that mixtures are fitted to, ascending."""
    result: NDArray[np.int64] = np.sort(np.random.default_rng(seed).permutation(count)[:BANK])
    return result


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
