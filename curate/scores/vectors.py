"""How vectors look besides what they say: statistics over all of their numbers. Not of the papers. Pure.

Features computed beforehand have no first layers to look at. What an encoder makes of them tells content, and how well
a sample is known. But a vector of noise, of nothing, or of a damaged picture differs from the others as a whole: in its
size, its spread, its zeros, and in how far it lies from all others. These say little of a class where the numbers are
many; of a few numbers they are the content itself.

Letters: N vectors, D numbers, n others, d main axes, B bank members.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.types import Floats

from .references import main_axes

FEWEST = 16
"""Vectors of fewer numbers that vary have no look besides their content."""
SPARSE = 0.9
"""Nor have vectors that are nearly all zeros, such as counts of words: which are not is what they say."""
AXES = 64
"""Number of main axes on which the distance to others is measured."""
NEAR, AMONG = 5, 4000
"""The distance to the fifth nearest counts, among so many vectors."""
ONE = "only one vector is known"
FEW = f"its vectors have fewer than {FEWEST} numbers that vary"
ZEROS = f"more than {SPARSE:.0%} of its middle vector is zeros"
"""Why vectors have no look, in words."""
LEAST = 0.01
"""Added to what is a logarithm's argument, in standard deviations of all vectors."""


@dataclass(frozen=True)
class VectorLooks:
    """What vectors are compared with.

    Attributes:
        centre, spread: (D,) of the vectors that it was made from; a number that does not vary has an infinite spread.
        axes: (D, d) main axes of what is standardised by them.
        bank: (B, d) places of some of these vectors.
        unit: standard deviation of all their numbers.
    """

    centre: Floats
    spread: Floats
    axes: Floats
    bank: Floats
    unit: float

    def of(self, vectors: Floats, members: NDArray[np.bool_] | None = None) -> Floats:
        """(n, D) vectors to their (n, 8) looks.

        Of the standardised numbers the mean, the logarithm of the standard deviation and of the largest, the length of
        what the main axes leave out, and the logarithm of the distance to the fifth nearest of the bank. Of the numbers
        as they are the mean, the logarithm of the standard deviation, and the share of zeros.

        Args:
            members: (n,) which of them are in the bank, where they are not their own neighbours; None: none.
        """
        from sklearn.neighbors import NearestNeighbors

        x = np.asarray(vectors, dtype=np.float64)
        z = (x - self.centre) / self.spread
        places = z @ self.axes
        rest = np.sqrt(np.maximum((z**2).sum(axis=1) - (places**2).sum(axis=1), 0))
        near = min(NEAR, len(self.bank) - 1)
        search = NearestNeighbors(n_neighbors=near + 1, algorithm="brute").fit(self.bank)
        distances, _ = search.kneighbors(places)
        own = np.zeros(len(x), dtype=bool) if members is None else members
        distance = np.where(own, distances[:, near], distances[:, near - 1])
        logs = [z.std(axis=1), np.abs(z).max(axis=1), distance, x.std(axis=1) / self.unit]
        return np.column_stack(
            [z.mean(axis=1), rest, x.mean(axis=1), (x == 0).mean(axis=1), *(np.log(v + LEAST) for v in logs)]
        )


def vector_looks(vectors: Floats) -> tuple[VectorLooks, NDArray[np.int64]] | str:
    """What (N, D) vectors, and others, are compared with, and which of them are its bank: (B,), ascending.

    Returns:
        Why there is none, in words: of fewer than `FEWEST` numbers that vary, where a larger share than `SPARSE` of the
        middle vector is zeros, or of fewer than two vectors.
    """
    x = np.asarray(vectors, dtype=np.float64)
    if len(x) < 2:
        return ONE
    if np.median((x == 0).mean(axis=1)) > SPARSE:
        return ZEROS
    centre, spread, axes = main_axes(x, AXES)
    if np.isfinite(spread).sum() < FEWEST:
        return FEW
    members = np.sort(np.random.default_rng(0).permutation(len(x))[:AMONG])
    bank = (x[members] - centre) / spread @ axes
    return VectorLooks(centre, spread, axes, bank, float(x.std())), members
