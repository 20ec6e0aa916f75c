"""Parts of a low group that are merely rare, on groups known by construction."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from curate.scores.groups import Readable
from curate.scores.guard import Cut
from curate.scores.rare import lowest, rare_parts


def test_a_rare_part_is_sought_in_a_separate_low_group_else_in_the_largest() -> None:
    def cut(count: int, separation: float) -> Cut:
        return Cut((np.arange(100) < count).astype(float), np.zeros(10, dtype=bool), separation, count / 100)

    few, more, most = cut(5, 3.0), cut(20, 1.0), cut(60, 1.0)
    assert lowest([few, more, most], 100).sum() == 5
    assert lowest([more, cut(10, 1.5), most], 100).sum() == 20
    assert lowest([most], 100).sum() == lowest([], 100).sum() == 0


def test_a_low_group_that_looks_all_the_same_has_no_parts() -> None:
    group = np.arange(400) < 60
    places = np.where(group[:, None], 1.0, np.arange(400)[:, None] % 7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not rare_parts(group, places, lambda part: None, 0).any()


def test_a_rare_group_is_asked_as_a_whole_first() -> None:
    """Of one cloud, a part is beside the other part: only the whole has a look of its own."""
    group = np.arange(600) < 50
    places = np.random.default_rng(0).normal(size=(600, 3)) + 20 * group[:, None]
    asked: list[int] = []

    def read(part: np.ndarray) -> Readable:
        asked.append(int(part.sum()))
        return Readable(0.9 if part.sum() == 50 else 0.3, 0.02, 0.9, 0.25)

    assert np.array_equal(rare_parts(group, places, read, 0), group) and asked[0] == 50
    assert not rare_parts(group, places, lambda part: Readable(0.3, 0.02, 0.9, 0.25), 0).any()
    large = np.arange(600) < 90  # more than a tenth is not rare
    assert not rare_parts(large, np.where(large[:, None], 20.0, 0) + places, lambda part: None, 0).any()


@pytest.mark.parametrize("count", [60, 61, 100])
def test_of_a_kind_with_more_than_a_tenth_of_the_samples_nothing_is_rare_not_even_a_half(count: int) -> None:
    group = np.arange(600) < count
    places = np.random.default_rng(0).normal(size=(600, 3)) + 20 * group[:, None]
    assert np.array_equal(
        rare_parts(group, places, lambda part: Readable(0.9, 0.02, 0.9, 0.25), 0), group & (count < 61)
    )


def test_a_rare_part_of_which_some_are_a_little_better_known_is_found_beside_what_is_broken() -> None:
    """30 that are broken and 30 of another kind, 20 of which are in the low group: all 30 of that kind are rare."""
    group, kind = np.arange(600) < 50, (np.arange(600) >= 30) & (np.arange(600) < 60)
    broken = np.arange(600) < 30
    places = np.random.default_rng(0).normal(size=(600, 3)) + 20 * broken[:, None] - 20 * kind[:, None]

    def read(part: np.ndarray) -> Readable:
        return Readable(0.3 if part[broken].any() else 0.9, 0.02, 0.9, 0.25)

    assert np.array_equal(rare_parts(group, places, read, 0), kind)
