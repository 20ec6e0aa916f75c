"""How texts look besides what they say: how long they are, and how usual their words are. Not of the papers. Pure.

What an encoder makes of texts tells content, and how well a text is known. But a text that was cut, garbled, or is in
another language differs from the others as a whole: it is shorter, its words are seldom met, or not beside each other.

Letters: N texts, L ids of a text, V size of the vocabulary, n others, S statistics.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.specs import UNKNOWN
from curate.types import Floats

FEWEST = 4
"""Texts of which the middle one has fewer words have no look besides their content."""
FEW = f"its middle text has fewer than {FEWEST} words"
ONE = "only one text is known"
"""Why texts have no look, in words."""
SELDOM = 0.5
"""Added to a number of texts before its logarithm is taken."""


class Counts(NamedTuple):
    """In how many texts a code is.

    Attributes:
        codes: (C,) ascending.
        texts: (C,) of each.
    """

    codes: NDArray[np.int64]
    texts: NDArray[np.int64]

    def of(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of each code, of any shape; 0 of one that is in none."""
        if not len(self.codes):
            return np.zeros(codes.shape, dtype=np.int64)
        at = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
        result: NDArray[np.int64] = np.where(self.codes[at] == codes, self.texts[at], 0)
        return result


class Wordings(NamedTuple):
    """What texts are compared with.

    Attributes:
        texts: number of those that it was made from.
        words, pairs: in how many of them a word, and a pair of neighbouring words, is. The begin and the end of a text
            count as neighbours.
        end: usual logarithm of how many of them, as a share, end as one does.
    """

    texts: int
    words: Counts
    pairs: Counts
    end: float

    def of(self, ids: NDArray[np.int64], members: NDArray[np.bool_] | None = None) -> Floats:
        """(n, L) ids of texts, followed by zeros, to their (n, 7) looks.

        The logarithm of the number of words; the share that the vocabulary does not have, and of different words; mean
        and standard deviation of the logarithm of the share of other texts that a word is in; the share of pairs that
        some other text has; and the logarithm of the share of other texts that end with the same word.

        Args:
            members: (n,) which of them it was made from; they are not among the others. None: none.
        """
        own = np.zeros((len(ids), 1), dtype=np.int64) if members is None else members[:, None].astype(np.int64)
        there, length = ids > 0, np.maximum((ids > 0).sum(axis=1), 1)

        def mean(values: Floats) -> Floats:
            result: Floats = np.where(there, values, 0).sum(axis=1) / length
            return result

        def logs(known: Counts, codes: NDArray[np.int64]) -> Floats:
            others = np.maximum(known.of(codes) - own, 0)  # of what is no word none
            result: Floats = np.log((others + SELDOM) / self.texts)
            return result

        usual = logs(self.words, ids)
        centre = mean(usual)
        spread = np.sqrt(mean((usual - centre[:, None]) ** 2))
        ordered = np.sort(ids, axis=1)
        different = ((np.diff(ordered, axis=1, prepend=0) != 0) & (ordered > 0)).sum(axis=1) / length
        met = mean((self.pairs.of(pairs(ids)) > own).astype(float))
        ends = logs(self.pairs, ends_of(ids)[:, None])[:, 0]
        ends = np.where(there.all(axis=1), self.end, ends)  # cut when it was stored: its end is not known
        unknown = mean((ids == UNKNOWN).astype(float))
        return np.column_stack([np.log(length), unknown, different, centre, spread, met, ends])


def wordings(ids: NDArray[np.int64]) -> Wordings | str:
    """What (N, L) ids of texts, and others, are compared with.

    Returns:
        Why there is nothing, in words: of fewer than two texts, or of texts of hardly any words, see `FEWEST`.
    """
    if len(ids) < 2:
        return ONE
    if np.median((ids > 0).sum(axis=1)) < FEWEST:
        return FEW
    found = Wordings(len(ids), _counts(ids), _counts(np.column_stack([pairs(ids), ends_of(ids)])), 0.0)
    ends = found.of(ids, np.ones(len(ids), dtype=bool))[:, -1][(ids == 0).any(axis=1)]
    return found._replace(end=float(np.median(ends)) if len(ends) else 0.0)


def pairs(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N, L) codes of each word and the one before it, 0 before the first; 0 where there is no word."""
    before = np.pad(ids[:, :-1], ((0, 0), (1, 0))).astype(np.int64)
    return np.where(ids > 0, _pair(before, ids), 0)


def ends_of(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) code of the last word and nothing after it; 0 of an empty text, and of one that may go on."""
    length = (ids > 0).sum(axis=1)
    last = ids[np.arange(len(ids)), np.maximum(length - 1, 0)].astype(np.int64)
    result: NDArray[np.int64] = np.where((length > 0) & (length < ids.shape[1]), _pair(last, np.zeros_like(last)), 0)
    return result


def _pair(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """One code of two ids below 2^31; of none of both 0."""
    result: NDArray[np.int64] = (first.astype(np.int64) << 31) + second
    return result


def _counts(codes: NDArray[np.int64]) -> Counts:
    """In how many rows of (N, C) codes each one but 0 is."""
    ordered = np.sort(codes.astype(np.int64), axis=1)
    first = (np.diff(ordered, axis=1, prepend=0) != 0) & (ordered > 0)
    return Counts(*np.unique(ordered[first], return_counts=True))
