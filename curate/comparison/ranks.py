"""Ranks of the rows of a comparison over its data sets and seeds, and the least difference that counts. Pure.

In each block (a data set with a seed) the k rows are ranked by fused test accuracy, 1 for the best, ties by their mean.
Two rows differ by Nemenyi's test at 5 % where their mean ranks over N blocks differ by at least

    CD = q sqrt(k (k + 1) / (6 N)),   q the 95 % quantile of the studentized range of k, over sqrt(2)

(Demsar, Statistical comparisons of classifiers over multiple data sets, JMLR 2006). The test takes blocks as
independent: seeds of one data set tell how steady an order is there, not how it is elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curate.types import Floats

from .plan import is_tuned, without_choice
from .summary import ACCURACY, CONFIDENCE, Cell

LEAST_ROWS, LEAST_BLOCKS = 3, 3
"""Fewer say nothing: two rows are compared by their difference."""
FIRST = 5
"""So many rows are named in words."""


@dataclass(frozen=True)
class Ranks:
    """Mean ranks of k rows, best first.

    Attributes:
        labels: of the rows.
        values: (k,) mean ranks, ascending, 1..k; lower = more accurate.
        critical: the least difference of two mean ranks that counts, in ranks.
        chance: probability of ranks so unequal, or more, if all rows were equal (Friedman's test), 0..1.
        datasets, blocks: how many data sets, and how many of them with a seed.
        left_out: rows without a result in some block, which are not ranked.
    """

    labels: tuple[str, ...]
    values: Floats
    critical: float
    chance: float
    datasets: int
    blocks: int
    left_out: tuple[str, ...]

    @property
    def said(self) -> str:
        """In words: the first `FIRST` rows with their ranks, and what counts."""
        named = list(zip(self.labels, self.values.tolist(), strict=True))
        first = "; ".join(f"{label} {value:.1f}" for label, value in named[:FIRST])
        more = f"; ... ({len(named)} rows)" if len(named) > FIRST else ""
        return (
            f"mean ranks over {self.datasets} data sets, {self.blocks} with their seeds: {first}{more}; they differ "
            f"where they are {self.critical:.1f} apart (Nemenyi, 5 %)"
        )

    def groups(self) -> list[tuple[int, int]]:
        """(first, last) positions of the longest runs of two rows or more within less than the critical difference."""
        ends = [int(np.flatnonzero(self.values - v < self.critical)[-1]) for v in self.values]
        longest = [(i, end) for i, end in enumerate(ends) if end > i]
        return [(i, end) for i, end in longest if not any(j < i and end <= other for j, other in longest)]


def mean_ranks(cells: Sequence[Cell]) -> Ranks | None:
    """The ranks of a comparison's rows; None for fewer than three rows in fewer than three common blocks.

    Where rows were tuned, these alone are ranked, each by its method, whatever settings were chosen on a data set.
    """
    named = {c.label: without_choice(c.label) for c in cells}
    if any(is_tuned(label) for label in named):
        named = {label: own for label, own in named.items() if is_tuned(label)}
    of_rows = [c for c in cells if c.label in named]
    found = {(named[c.label], c.dataset, c.seed): c.values[ACCURACY] for c in of_rows if ACCURACY in c.values}
    blocks = list(dict.fromkeys((dataset, seed) for _, dataset, seed in found))
    labels = list(dict.fromkeys(named[c.label] for c in of_rows))
    whole = [label for label in labels if all((label, *block) in found for block in blocks)]
    if len(whole) < LEAST_ROWS or len(blocks) < LEAST_BLOCKS:
        return None
    from scipy import stats  # imported late: only this picture needs it

    accuracy = np.array([[found[label, *block] for label in whole] for block in blocks])
    ranks = stats.rankdata(-accuracy, axis=1).mean(axis=0)
    order, k = np.argsort(ranks, kind="stable"), len(whole)
    equal = (accuracy == accuracy[:, :1]).all()
    return Ranks(
        tuple(whole[i] for i in order),
        ranks[order],
        critical_difference(k, len(blocks)),
        1.0 if equal else float(stats.friedmanchisquare(*accuracy.T).pvalue),
        len({dataset for dataset, _ in blocks}),
        len(blocks),
        tuple(label for label in labels if label not in whole),
    )


def critical_difference(rows: int, blocks: int) -> float:
    """CD of k rows over N blocks, in ranks."""
    from scipy.stats import studentized_range

    quantile = studentized_range.ppf(CONFIDENCE, rows, np.inf) / np.sqrt(2)
    return float(quantile * np.sqrt(rows * (rows + 1) / (6 * blocks)))
