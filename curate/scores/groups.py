"""What a group of samples is besides broken: a set of classes, a readable minority, or a look that gives a class away.

Pure. Letters: N samples, K classes, P numbers of a coarse pattern, G members of a group, d axes of appearance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.types import Floats

Mask = NDArray[np.bool_]
INSIDE = 0.9
"""A class belongs to a group if at least this share of its samples does."""
ELSEWHERE = 0.5
"""A group is a set of classes only if less than this share of all other samples is in it."""
SURE = 0.01
"""How improbable it must be that chance alone put a class into a group, over all classes together."""
KEPT = 0.5
"""A group is unreadable if a classifier of it alone keeps less than this share of what it reaches on others, above what
is read without the content."""
CLEAR, HARDLY = 0.3, 0.15
"""Content is read clearly from others if their accuracy is so far above what is read without it; below the second,
hardly."""
FOLDS, MOST, DRAWS = 10, 500, 3
"""Folds of that classifier; the largest group it is trained on, or whose neighbours are sought; samples of others that
it is compared with."""
FEWEST = 10
"""The smallest group whose readability is judged."""
PURE, NEAR = 0.9, 20
"""A sample's look gives its class away if this share of so many look-alikes is of its class."""
MOSTLY = 0.5
"""A class has a shortcut if more than this share of it is given away by its look,"""
SAME = 1e-3
"""Samples nearer to each other than about this share of the spread of all are copies."""
CROSSING, ROUNDS = 0.05, 3
"""and these are apart from its others: once each has gone so many times with most of its neighbours of the class, fewer
of these cross than this share of what mixing at random gives."""
SELDOM, MOSTLY_ALONE, ALONE = 0.02, 0.4, ((PURE, 0.2), (0.7, 0.1))
"""Where looks give away at most so much of the other classes, less is enough: so much of the class, and either of these
shares of look-alikes, with so much crossing. A class that is merely easy to tell by its look has a gradual border: .28
and .197 of random mixing at least, of 29 and 38 that were drawn."""
COMPARED, TREE = 20_000, 15
"""Of up to so many samples all are compared to find the nearest of each. Of more they are found by a tree, in so many
dimensions at most; in more, where a tree is no faster, they are sought among a random sample of so many."""
FLAT = 0.03
"""Nothing is there if the numbers of a pattern spread by less than this share of what is usual."""


def weak_classes(inside: Mask, labels: NDArray[np.int64], classes: int) -> Mask:
    """(K,) classes that a group consists of: nearly all of their samples are in it, and few of the others.

    A class counts if at least `INSIDE` of its samples are in the group and that is no accident: were members drawn at
    the rate of the remaining samples, its count would have a probability below `SURE` / K. None counts if `ELSEWHERE`
    or more of the remaining samples is in the group too: the class then does not explain who is in it.
    """
    from scipy.stats import binom

    total = np.bincount(labels, minlength=classes)
    within = np.bincount(labels[inside], minlength=classes)
    weak = (total > 0) & (within >= INSIDE * total)
    others = total[~weak].sum()
    rate = within[~weak].sum() / others if others else 1.0
    if rate >= ELSEWHERE:
        return np.zeros(classes, dtype=bool)
    result: Mask = weak & (binom.sf(within - 1, total, max(rate, 1 / len(labels))) < SURE / classes)
    return result


@dataclass(frozen=True)
class Readable:
    """How well the class is read from coarse patterns of a group alone, by a classifier trained on it alone.

    Attributes:
        accuracy: of the group's samples, each by a model that did not see it, 0..1.
        error: its standard error.
        others: the same of equally many samples outside the group, of the same classes; mean over draws.
        chance: share of the group's largest class.
        bare: accuracy on the group by the values of its patterns without their places: brightness, contrast, and of
            sounds loudness and length.
        others_bare: the same on the others.
    """

    accuracy: float
    error: float
    others: float
    chance: float
    bare: float = 0.0
    others_bare: float = 0.0

    @property
    def base(self) -> float:
        """What is read without the content. Noise that is as long as the sound it replaced tells the class by its
        length, and by that alone."""
        return max(self.chance, self.bare)

    @property
    def content(self) -> float:
        """What is read of the others beyond what is read without the content."""
        return self.others - max(self.chance, self.others_bare)

    @property
    def unreadable(self) -> bool:
        """Whether it is shown that the content is lost: within one standard error, less than `KEPT` of the others'."""
        return self.accuracy + self.error < self.base + KEPT * max(self.content, 0.0)

    @property
    def lost(self) -> bool:
        """Whether that is beyond doubt: content is read clearly from the others, and the group is two errors below."""
        return self.content > CLEAR and self.accuracy + 2 * self.error < self.base + KEPT * self.content

    @property
    def tells(self) -> bool:
        """Whether content is read from the others at all, beyond one standard error; else nothing is told."""
        return self.content > self.error

    @property
    def as_others(self) -> bool:
        """Whether content is read, beyond one standard error, and no worse than of others, within two. Nothing is told
        where hardly any is read of either: a classifier that is too weak for the others is so for the group."""
        own = self.accuracy - self.error - self.base
        read = own > HARDLY or (own > 0 and self.tells and self.content > HARDLY)
        return read and self.accuracy + 2 * self.error >= self.others


def readable(pattern: Floats, labels: NDArray[np.int64], group: Mask, seed: int = 0) -> Readable | None:
    """Whether a group of samples is learnable by itself.

    A group that a model rarely met is not recognised, nor is a broken one; only of the first a classifier that is
    trained on nothing else reads the class.

    Args:
        pattern: (N, P) coarse content, e.g. pictures of 8 x 8 pixels.
        labels: (N,).
        group: (N,).

    Returns:
        None if the group, or what is left of the same classes, is too small to tell.
    """
    rng = np.random.default_rng(seed)
    members = np.flatnonzero(group)
    members = np.sort(rng.permutation(members)[:MOST])
    counts = np.bincount(labels[members], minlength=int(labels.max()) + 1)
    if len(members) < FEWEST or (counts > 1).sum() < 2:
        return None
    outside = [np.flatnonzero(~group & (labels == c)) for c in range(len(counts))]
    if any(len(o) < n for o, n in zip(outside, counts, strict=True)):
        return None
    bare = np.sort(pattern, axis=1)
    accuracy, chance = _read(pattern[members], labels[members], seed), float(counts.max() / len(members))
    error = float(np.sqrt(max(accuracy * (1 - accuracy), 1 / len(members)) / len(members)))
    compared = (pattern, bare) if accuracy - error > chance else (pattern,)  # else it is not readable in any case
    group_bare = _read(bare[members], labels[members], seed) if len(compared) > 1 else 0.0
    others = []
    for _ in range(DRAWS):
        drawn = np.concatenate([rng.permutation(o)[:n] for o, n in zip(outside, counts, strict=True)])
        others.append([_read(x[drawn], labels[drawn], seed) for x in compared])
    of_others, *bare_of_others = np.mean(others, axis=0).tolist()
    return Readable(accuracy, error, of_others, chance, group_bare, bare_of_others[0] if bare_of_others else 0.0)


def reading(pattern: Floats, labels: NDArray[np.int64], seed: int = 0) -> tuple[float, float]:
    """Accuracy of a classifier of coarse patterns alone, on samples that it did not see, and its standard error; of
    `MOST` samples.

    Args:
        pattern: (N, P) coarse content.
        labels: (N,).
    """
    rows = np.sort(np.random.default_rng(seed).permutation(len(labels))[:MOST])
    if len(rows) < FEWEST:
        return 0.0, 1.0
    accuracy = _read(pattern[rows], labels[rows], seed)
    return accuracy, float(np.sqrt(max(accuracy * (1 - accuracy), 1 / len(rows)) / len(rows)))


def _read(pattern: Floats, labels: NDArray[np.int64], seed: int) -> float:
    """Out-of-fold accuracy of a logistic regression."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import KFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    right = 0
    for seen, unseen in KFold(FOLDS, shuffle=True, random_state=seed).split(pattern):
        if len(np.unique(labels[seen])) > 1:
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=200))
            right += int((model.fit(pattern[seen], labels[seen]).predict(pattern[unseen]) == labels[unseen]).sum())
    return right / len(labels)


def flat(pattern: Floats) -> Mask:
    """(N,) whether nothing is there: a picture of one colour, a sound of one level.

    Args:
        pattern: (N, P) coarse content.
    """
    spread = pattern.std(axis=1)
    result: Mask = spread < FLAT * np.median(spread)
    return result


def agreement(labels: NDArray[np.int64]) -> tuple[float, float]:
    """How well the class is known of samples of which nothing else is, and the standard error of that.

    a = sum_c n_c (n_c - 1) / (n (n - 1)): the share of the other samples that have a sample's class, on average. The
    error counts pairs as independent: sqrt(2 a (1 - a) / (n (n - 1))), with a at least that of one pair.

    Args:
        labels: (n,), of at least two samples.
    """
    counts, pairs = np.bincount(labels), len(labels) * (len(labels) - 1) / 2
    a = float((counts * (counts - 1)).sum()) / 2 / pairs
    return a, float(np.sqrt(max(a * (1 - a), 1 / pairs) / pairs))


def apart(places: Floats, group: Mask) -> bool:
    """Whether a group looks like nothing else: `PURE` of its members' nearest samples are members too.

    Args:
        places: (N, d) in the space of appearance.
    """
    return _within(places, group) >= PURE


def completed(places: Floats, group: Mask) -> Mask:
    """(N,) a group with those that look like it: more than half of their nearest samples, as many as `NEAR`, or as the
    group has, are members.

    Args:
        places: (N, d) in the space of appearance.
    """
    near = min(NEAR, int(group[_compared(places)].sum()))
    return group | (group[_nearest(places, near)].mean(axis=1) > 0.5) if near else group


def crossing(places: Floats, group: Mask) -> float:
    """Share of a group's nearest samples that are others, by that of all samples: 0 = apart, about 1 = mixed.

    Args:
        places: (N, d) in the space of appearance.
    """
    others = 1 - float(group.mean())
    return (1 - _within(places, group)) / others if others else 0.0


def _within(places: Floats, group: Mask) -> float:
    """Share of a group's nearest samples that are members too, of `MOST` members; 0 for a single one."""
    members = np.flatnonzero(group)
    near, asked = min(NEAR, len(members) - 1), np.zeros(len(group), dtype=bool)
    asked[members[np.linspace(0, len(members) - 1, min(len(members), MOST)).astype(int)]] = True
    return float(group[_nearest(places, near, asked)].mean()) if near > 0 else 0.0


@dataclass(frozen=True)
class Shortcuts:
    """Looks that give a class away.

    Attributes:
        purity: (N,) share of a sample's nearest look-alikes that have its label, 0..1.
        given_away: (N,) whether it belongs to a class with a shortcut, and to the part of it that is given away.
        classes: (K,) classes with a shortcut.
    """

    purity: Floats
    given_away: Mask
    classes: Mask


def shortcuts(places: Floats, labels: NDArray[np.int64], classes: int) -> Shortcuts:
    """Classes most of which looks like nothing else, not even like the rest of the class.

    Damage that is tied to a class tells the class: it is recognised better than what is whole. A class that simply is
    easy to tell by its look is no shortcut: those of its samples that are told by it and those that are not are mixed.
    Damage of varied strength mixes them a little too: that is told apart where looks tell nothing of the other classes.
    Nor is one told of a class that most samples have: most look-alikes are of it anyhow. Copies are one in any case,
    however few of the class, such as silence, or vectors of zeros: they say nothing but that they are its.

    Args:
        places: (N, d) in the space of appearance.
        labels: (N,).
        classes: K.
    """
    purity = _purity(places, labels)
    given, found = (purity >= PURE) & copied(places), np.zeros(classes, dtype=bool)
    for c in range(classes):
        own, others = np.flatnonzero(labels == c), purity[labels != c]
        found[c] = given[own].any()
        if found[c] or not NEAR < len(own) <= len(labels) / 2:
            continue
        nearest = _nearest(places[own], NEAR // 2)
        alone = [(pure, MOSTLY_ALONE, limit) for pure, limit in ALONE if (others >= pure).mean() <= SELDOM]
        for pure, most, limit in ((PURE, MOSTLY, CROSSING), *alone):
            told = purity[own] >= pure
            for _ in range(ROUNDS):
                told = told[nearest].mean(axis=1) > 0.5
            mixed = 2 * told.mean() * (1 - told.mean())
            if told.mean() > most and (told[nearest] != told[:, None]).mean() < limit * mixed:
                found[c], given[own] = True, told
                break
    return Shortcuts(purity, given, found)


def _purity(places: Floats, labels: NDArray[np.int64]) -> Floats:
    """(N,) share of look-alikes with the same label, 0 of a single sample: of `NEAR`, or of half as many as the class
    has, if that is fewer and the class has more than `NEAR`. Part of a small class has not so many."""
    near, own = min(NEAR, len(labels) - 1), np.bincount(labels)[labels]
    if near < 1:
        return np.zeros(len(labels))
    asked = np.where(own > NEAR, np.minimum(own // 2, near), near)
    same = (labels[_nearest(places, near)] == labels[:, None]).cumsum(axis=1)
    result: Floats = same[np.arange(len(labels)), asked - 1] / asked
    return result


def copied(places: Floats) -> Mask:
    """(N,) whether more than `NEAR` samples look exactly like a sample, itself among them: to `SAME` of the spread.

    Args:
        places: (N, d) in the space of appearance.
    """
    width = SAME * float(np.sqrt(places.var(axis=0).sum()))
    return alike(np.round(places / width) if width else np.zeros_like(places)) > NEAR


def alike(keys: NDArray[Any]) -> NDArray[np.int64]:
    """(N,) how many samples have the same key, a row of (N, d), itself among them."""
    kind = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)  # NumPy 2.0 gives it a second axis
    result: NDArray[np.int64] = np.bincount(kind)[kind]
    return result


def _nearest(places: Floats, near: int, of: Mask | None = None) -> NDArray[np.int64]:
    """(n, near) indices of the samples nearest to each of those `_compared`, or of all to those of a mask; nobody is
    near itself."""
    from sklearn.neighbors import NearestNeighbors

    every = np.arange(len(places))
    rows, among = (every, _compared(places)) if of is None else (np.flatnonzero(of), every)
    by = "kd_tree" if of is None and len(among) > COMPARED else "brute"
    search = NearestNeighbors(n_neighbors=near + 1, algorithm=by).fit(places[among])
    nearest = among[search.kneighbors(places[rows], return_distance=False)]
    order = np.argsort(nearest == rows[:, None], axis=1, kind="stable")
    result: NDArray[np.int64] = np.take_along_axis(nearest, order, axis=1)[:, :near]
    return result


def _compared(places: Floats) -> NDArray[np.int64]:
    """(B,) the samples among which the nearest of all are sought, ascending: all, or a random `COMPARED`."""
    count, axes = places.shape
    few = count <= COMPARED or axes <= TREE
    return np.arange(count) if few else np.sort(np.random.default_rng(0).permutation(count)[:COMPARED])
