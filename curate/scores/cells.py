"""Many gaps as few cells with count, mean and variance: a fit then costs the same for 10 million gaps as for 20 000.

Letters: N samples, G cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from curate.types import Floats

EXACT = 20_000
"""Up to this number, gaps are kept one by one."""
GRID = 1 << 16
"""Cells of the first, fine grid."""
SHARES, STRIPES = 2048, 1024
"""A merged cell holds about a share of 1 / SHARES of all gaps at most, and 1 / STRIPES of the grid's length."""
CHUNK = 1 << 16
SKETCH = 1 << 15
"""At most so many gaps tell where the middle 98 % lie."""
Source = NDArray[np.floating] | Callable[[], Iterable[NDArray[np.floating]]]
"""(N,) finite gaps; or, for more than memory holds, a function that reads them in portions (n,), alike in each call."""


@dataclass(frozen=True)
class Cells:
    """Gaps, gathered into cells: each field (G,).

    Attributes:
        counts: total weight, > 0.
        means: ascending, in units of the gap.
        variances: within the cell, about its mean; 0 for a cell of one sample.
    """

    counts: Floats
    means: Floats
    variances: Floats

    @property
    def total(self) -> float:
        """Total weight of all gaps; N without weights."""
        return float(self.counts.sum())

    @property
    def mean(self) -> float:
        """Mean of all gaps, exact."""
        return float(self.counts @ self.means) / self.total

    @property
    def variance(self) -> float:
        """Variance of all gaps, exact except for rounding."""
        return float(self.counts @ ((self.means - self.mean) ** 2 + self.variances)) / self.total

    def quantiles(self, q: list[float]) -> Floats:
        """Weighted quantiles, with all samples of a cell at its mean."""
        return np.interp(q, (np.cumsum(self.counts) - self.counts / 2) / self.total, self.means)

    def mirrored(self) -> Cells:
        """The cells of -x."""
        return Cells(self.counts[::-1].copy(), -self.means[::-1], self.variances[::-1].copy())

    def folded(self) -> Cells:
        """The cells of |x|, with exact second moments; the one across zero, if any, stays at its mean."""
        order = np.argsort(np.abs(self.means), kind="stable")
        return Cells(self.counts[order], np.abs(self.means)[order], self.variances[order])


def single(x: NDArray[np.floating], weights: NDArray[np.floating] | None = None) -> Cells:
    """One cell for each gap, ascending; gaps of weight 0 are left out."""
    order = np.argsort(x, kind="stable")
    counts = np.ones(x.size) if weights is None else np.asarray(weights, dtype=np.float64)[order]
    kept = counts > 0
    return Cells(counts[kept], np.asarray(x, dtype=np.float64)[order][kept], np.zeros(int(kept.sum())))


def gather(x: Source, weights: NDArray[np.floating] | None = None) -> Cells:
    """N finite gaps to cells: one for each gap up to `EXACT` gaps, beyond that about `SHARES + STRIPES` at most.

    The first pass finds the range, the second sorts the gaps into a fine uniform grid, chunk by chunk. Far outside the
    middle 98 % the grid is logarithmic: a few outliers then cost no resolution. Neighbouring cells with few samples are
    then merged: cells are narrow where the gaps are dense (a spike at zero) and wide in the tails. Count, mean and
    variance of every cell are exact. Memory does not grow with N. Mirrored gaps give mirrored cells, and gaps in
    portions those of the same gaps in one array, to the last digit.

    Raises:
        ValueError: a gap is not finite, a portion is not one-dimensional, or the passes read different gaps.
    """
    seen = _survey(x)
    if seen.count <= EXACT:
        every = np.concatenate([np.empty(0), *chunks(x)])
        _check_passes(seen.count, every.size)
        return single(every, weights)
    place, anchors = _grid(seen)
    sums, count = np.zeros((3, GRID + 1)), 0
    shares = repeat(None) if weights is None else chunks(weights)
    for part, w in zip(chunks(x), shares, strict=False):
        index = place(part)
        off = part - anchors[index]
        first = off if w is None else off * w
        for row, values in zip(sums, (w, first, first * off), strict=True):
            row += np.bincount(index, values, GRID + 1)
        count += part.size
    _check_passes(seen.count, count)
    filled = np.flatnonzero(sums[0] > 0)
    counts, first, second = sums[:, filled]
    means = anchors[filled] + first / counts
    return _merged(Cells(counts, means, np.maximum(second / counts - (first / counts) ** 2, 0)), filled)


def _check_passes(first: int, second: int) -> None:
    if first != second:
        raise ValueError(
            f"the first pass read {first} gaps, the second {second}: the function must read all of them in each call"
        )


def chunks(x: Source) -> Iterator[Floats]:
    """Arrays of `CHUNK` numbers, the last one shorter, in whatever portions they come: sums then have one order."""
    rest: NDArray[np.floating] = np.empty(0)
    for portion in x() if callable(x) else (x,):
        part = np.asarray(portion)
        if part.ndim != 1:
            raise ValueError(f"gaps must be one-dimensional, got an array of {part.ndim} dimensions")
        part = np.concatenate([rest, part]) if rest.size else part
        whole = part.size // CHUNK * CHUNK
        for start in range(0, whole, CHUNK):
            yield np.asarray(part[start : start + CHUNK], dtype=np.float64)
        rest = part[whole:]
    if rest.size:
        yield np.asarray(rest, dtype=np.float64)


@dataclass(frozen=True)
class _Survey:
    """What a first pass over all gaps finds.

    Attributes:
        low, high: of all gaps.
        some: every k-th gap, at most `SKETCH`.
    """

    count: int
    low: float
    high: float
    some: Floats


def _survey(x: Source) -> _Survey:
    count, low, high, step = 0, np.inf, -np.inf, 1
    some: Floats = np.empty(0)
    for part in chunks(x):
        low, high = float(np.minimum(low, part.min())), float(np.maximum(high, part.max()))
        some = np.concatenate([some, part[-count % step :: step]])
        count += part.size
        while some.size > SKETCH:
            some, step = some[::2], 2 * step
    if count and not np.isfinite([low, high]).all():
        raise ValueError("some gaps are NaN or infinite: leave them out")
    return _Survey(count, low, high, some)


def _grid(seen: _Survey) -> tuple[Callable[[Floats], NDArray[np.intp]], Floats]:
    """A function from gaps to their positions among `GRID + 1` cells, symmetric about the middle one; and the cells'
    centres.
    """
    inner = np.quantile(seen.some, [0.01, 0.99])
    centre, half = float(inner.mean()), 2 * float(np.ptp(inner))
    reach = max(seen.high - centre, centre - seen.low, np.finfo(float).tiny)
    linear = reach <= half or half == 0
    half = reach if linear else half
    length = 1.0 if linear else 1 + np.log(reach / half)
    rate, middle = GRID / 2 / length, GRID // 2

    def place(part: Floats) -> NDArray[np.intp]:
        u = part - centre
        u /= half
        if not linear and (far := np.flatnonzero(np.abs(u) > 1)).size:
            u[far] = np.sign(u[far]) * (1 + np.log(np.abs(u[far])))
        u *= rate
        return np.clip(np.rint(u, out=u).astype(np.intp) + middle, 0, GRID)

    u = np.arange(-middle, middle + 1) / rate
    stretch = np.where(np.abs(u) > 1, np.sign(u) * np.exp(np.maximum(np.abs(u), 1) - 1), u)
    return place, centre + half * stretch


def _merged(fine: Cells, places: NDArray[np.intp]) -> Cells:
    """Merge neighbouring cells whose middles round to the same share of the total and the same stripe of the grid."""
    if not fine.counts.size:
        return fine
    rank = np.cumsum(fine.counts) - fine.counts / 2 - fine.total / 2
    share = np.rint(rank / fine.total * SHARES)
    stripe = np.rint((places - GRID // 2) / (GRID / STRIPES))
    starts = np.flatnonzero(np.r_[True, (np.diff(share) != 0) | (np.diff(stripe) != 0)])
    counts = np.add.reduceat(fine.counts, starts)
    means = np.add.reduceat(fine.counts * fine.means, starts) / counts
    own = np.repeat(means, np.diff(np.r_[starts, fine.counts.size]))
    squares = np.add.reduceat(fine.counts * ((fine.means - own) ** 2 + fine.variances), starts)
    return Cells(counts, means, squares / counts)
