"""What is merely rare: a small low group with a look of its own that is readable by itself. Not of the papers. Pure.

A group that a model rarely met is recognised as badly as a broken one.

Letters: N samples, H held-out ones, d axes of appearance, P numbers of a coarse pattern.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from curate.types import Floats

from .groups import FEWEST, Mask, Readable, apart, completed, crossing, readable
from .guard import FEWEST as LEAST_HELD
from .guard import SEPARATION, SMALLEST, Cut

RARE = 0.1
"""A low group of at most this share of the samples is asked whether it is merely rare."""
FEW = 20
"""A rare group of fewer samples is not called broken unless it is shown to be unreadable."""
MIXED = 1 / 3
"""A group of which more than this share of the neighbours that mixing at random gives are others has no look of its
own."""
LOW, PARTS = 0.4, (2, 3)
"""Largest share of a low group, and numbers of parts into which it is cut, to find what is merely rare."""
Read = Callable[[Mask], Readable | None]
"""How well the class is read from a group alone, see `groups.readable`."""


def reader(pattern: Floats, seen: NDArray[np.int64], seed: int) -> Read:
    """Reads each group once."""
    known: dict[bytes, Readable | None] = {}

    def read(group: Mask) -> Readable | None:
        key = group.tobytes()
        if key not in known:
            known[key] = readable(pattern, seen, group, seed)
        return known[key]

    return read


def rare_group(found: Iterable[Cut], places: Floats, read: Read, above: Floats) -> Mask:
    """(N,) the largest low group that is small, has a look of its own (`MIXED`), and is read by itself as others are.

    Those that look like it and are a little better known belong to it. Of fewer than `FEW` samples it often cannot be
    told how they are read; it is enough then that the model recognises held-out ones.

    Args:
        above: (H,) probability of the true class of held-out samples, above chance.
    """
    best = np.zeros(len(places), dtype=bool)
    for cut in found:
        group = cut.low > 0.5
        if cut.separation <= SEPARATION or not max(SMALLEST, best.mean()) < group.mean() <= RARE:
            continue
        group = completed(places, group)
        if crossing(places, group) <= MIXED:
            alone = read(group)
            told = alone is not None and alone.tells
            few = group.sum() < FEW and not told and _recognised(above[cut.held])
            best = group if few or (alone is not None and alone.as_others) else best
    return best


def _recognised(above: Floats) -> bool:
    """Whether held-out samples are recognised above chance, beyond one standard error; not told of fewer than five."""
    return len(above) >= LEAST_HELD and bool(above.mean() > above.std(ddof=1) / np.sqrt(len(above)))


def lowest(found: Iterable[Cut], count: int) -> Mask:
    """(N,) the largest separate low group of at most `LOW` of the samples, else the largest; nobody if there is none.

    A few samples make no separate group of recognition beside a class that is hard, and may be among its samples.
    """
    best = {True: np.zeros(count, dtype=bool), False: np.zeros(count, dtype=bool)}
    for cut in found:
        group, separate = cut.low > 0.5, cut.separation > SEPARATION
        if best[separate].mean() < group.mean() <= LOW:
            best[separate] = group
    return best[True] if best[True].any() else best[False]


def rare_parts(group: Mask, places: Floats, read: Read, seed: int) -> Mask:
    """(N,) those parts of a low group that are merely rare: small, apart from all else, and read as others are.

    What is broken and what is rare can be recognised equally badly. The group as a whole is asked, with those that look
    like it and are a little better known; then it is cut into two and into three parts by appearance, and each part is
    asked likewise. Where all of it is of one kind, that cuts through its midst, so that only one half may pass: the
    answer is that of the whole, and of a kind that has more than `RARE` of the samples none is rare. The model met it
    often enough, and what is blurred or dark may still be read by a classifier of its own.
    """
    from sklearn.cluster import KMeans

    def of_a_kind(part: Mask) -> bool:
        alone = read(part)
        return alone is not None and alone.as_others

    rows, found = np.flatnonzero(group), np.zeros(len(group), dtype=bool)
    if not len(rows):
        return found
    whole = completed(places, group)
    if whole.mean() > SMALLEST and crossing(places, whole) <= MIXED and of_a_kind(whole):
        if whole.mean() > RARE:
            return found
        found = whole
    looks = len(np.unique(places[rows], axis=0))
    for count in PARTS:
        if len(rows) < count * FEWEST or looks < count:
            break
        own = KMeans(count, n_init=4, random_state=seed).fit_predict(places[rows])
        for number in range(count):
            part = np.zeros(len(group), dtype=bool)
            part[rows[own == number]] = True
            part = completed(places, part)
            if SMALLEST < part.mean() <= RARE and not found[part].any() and apart(places, part) and of_a_kind(part):
                found = found | part
    return found


def as_others(usable: Floats, recognition: Floats, rare: Mask) -> Floats:
    """(N,) usability in which a rare group is spread as the others are, in the order of its own recognition."""
    if not rare.any() or rare.all():
        return usable
    order = np.argsort(np.argsort(recognition[rare], kind="stable"), kind="stable")
    out = usable.copy()
    out[rare] = np.quantile(usable[~rare], (order + 0.5) / len(order))
    return out
