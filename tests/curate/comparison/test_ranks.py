"""Mean ranks and their critical difference, against published numbers and rows whose order is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from curate.comparison.ranks import Ranks, critical_difference, mean_ranks
from curate.comparison.summary import Cell


def cells(accuracy: dict[str, list[float | None]], dataset: str = "toy") -> list[Cell]:
    """Cells of rows with an accuracy a seed; None is a cell without a result."""
    return [
        Cell("c", dataset, label, "m", False, "", seed, values={} if v is None else {("fused", "accuracy"): v})
        for label, values in accuracy.items()
        for seed, v in enumerate(values)
    ]


def test_the_critical_difference_is_that_of_published_tables() -> None:
    """Demsar's quantiles for 3, 4, 5 and 10 classifiers, and his example: four of them on 14 data sets, 1.25."""
    quantiles = [critical_difference(k, 1) / np.sqrt(k * (k + 1) / 6) for k in (3, 4, 5, 10)]
    assert quantiles == pytest.approx([2.343, 2.569, 2.728, 3.164], abs=1e-3)
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=5e-3)


def test_ranks_are_means_over_blocks_with_ties_shared() -> None:
    """By hand: a is 1, 1, 1.5; b is 2, 3, 1.5; c is 3, 2, 3."""
    found = mean_ranks(cells({"c": [0.1, 0.5, 0.2], "a": [0.9, 0.8, 0.7], "b": [0.5, 0.2, 0.7]}))
    assert found is not None and found.labels == ("a", "b", "c")
    assert found.values == pytest.approx([3.5 / 3, 6.5 / 3, 8 / 3])
    assert (found.datasets, found.blocks, found.left_out) == (1, 3, ())


def test_the_probability_of_ranks_as_unequal_by_hand() -> None:
    """Three rows in one order in four blocks: 12 (4^2 + 8^2 + 12^2) / (4 * 3 * 4) - 3 * 4 * 4 = 8, and exp(-8 / 2)."""
    found = mean_ranks(cells({"a": [0.9] * 4, "b": [0.8] * 4, "c": [0.7] * 4}))
    assert found is not None and found.chance == pytest.approx(math.exp(-4))


def test_a_row_that_lacks_a_block_is_named_and_the_others_are_ranked_without_it() -> None:
    two = [*cells({"a": [0.9] * 2, "b": [0.8] * 2, "c": [0.7] * 2, "d": [0.95, None]})]
    two += cells({"a": [0.9], "b": [0.8], "c": [0.7], "d": [0.95]}, "other")
    found = mean_ranks(two)
    assert found is not None and found.left_out == ("d",) and list(found.values) == [1, 2, 3]
    assert (found.datasets, found.blocks) == (2, 3)


def test_tuned_rows_alone_are_ranked_whatever_settings_were_chosen() -> None:
    """On each data set another setting was chosen; untuned rows, and what they would change, are left out."""
    here = cells({"a": [0.1] * 2, "a, tuned (optim.lr=0.1)": [0.9] * 2, "b, tuned": [0.8] * 2, "c, tuned": [0.7] * 2})
    there = cells({"a, tuned": [0.9], "b, tuned (k=2)": [0.8], "c, tuned (k=3)": [0.7], "b": [0.95]}, "other")
    found = mean_ranks([*here, *there])
    assert found is not None and found.labels == ("a, tuned", "b, tuned", "c, tuned")
    assert list(found.values) == [1, 2, 3] and (found.datasets, found.blocks, found.left_out) == (2, 3, ())


def test_ranks_in_words_name_the_first_rows_and_the_difference_that_counts() -> None:
    found = Ranks(tuple("abcdefg"), np.arange(1.0, 8.0), 3.25, 0.01, 2, 6, ())
    assert found.said == (
        "mean ranks over 2 data sets, 6 with their seeds: a 1.0; b 2.0; c 3.0; d 4.0; e 5.0; ... (7 rows); they differ "
        "where they are 3.2 apart (Nemenyi, 5 %)"
    )


def test_too_little_has_no_ranks_and_equal_rows_are_no_finding() -> None:
    assert mean_ranks(cells({"a": [1, 1, 1], "b": [0, 0, 0]})) is None
    assert mean_ranks(cells({"a": [1, 1], "b": [0, 0], "c": [0, 0]})) is None
    assert mean_ranks([]) is None
    found = mean_ranks(cells({label: [0.5, 0.6, 0.7] for label in "abc"}))
    assert found is not None and found.chance == 1 and list(found.values) == [2, 2, 2] and found.groups() == [(0, 2)]


def test_groups_are_the_longest_runs_within_the_critical_difference() -> None:
    """Of 1.0, 1.5, 2.4 and 4.0, at a difference of 1: the first two, the second with the third; the last is alone."""
    ranks = Ranks(tuple("abcd"), np.array([1.0, 1.5, 2.4, 4.0]), 1.0, 0.01, 1, 9, ())
    assert ranks.groups() == [(0, 1), (1, 2)]
