"""Selection rules: nested, exact, and the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from curate.errors import CurateError
from curate.selection import class_balance, random_subset, select_above, select_top

PROBABILITY = st.floats(0, 1)
PROBABILITIES = arrays(np.float64, st.integers(1, 30), elements=PROBABILITY)


@given(PROBABILITIES, PROBABILITY, PROBABILITY)
def test_a_higher_threshold_keeps_a_subset(p, one, other):
    low, high = select_above(p, min(one, other)), select_above(p, max(one, other))
    assert not (high & ~low).any()


@given(PROBABILITIES)
def test_threshold_zero_keeps_all(p):
    assert select_above(p, 0).all()


def test_the_threshold_itself_is_kept():
    assert list(select_above(np.array([0.7, np.nextafter(0.7, 0), 0.8, 1.0]), 0.7)) == [True, False, True, True]
    assert list(select_above(np.array([0.5, 1.0]), 1)) == [False, True]


@pytest.mark.parametrize("threshold", [-0.01, 1.01, 80, float("nan")])
def test_a_threshold_that_is_no_probability_is_refused(threshold):
    with pytest.raises(CurateError, match="probability") as error:
        select_above(np.array([0.5]), threshold)
    assert "--threshold" in error.value.hint


@given(PROBABILITIES, st.integers(1, 40))
def test_top_keeps_exactly_the_count_and_none_better_is_left(p, count):
    ids = np.array([f"s{i:03d}" for i in range(len(p))])
    mask = select_top(p, ids, count)
    assert mask.sum() == min(count, len(p))
    if not mask.all():
        assert p[mask].min() >= p[~mask].max()


def test_ties_at_the_edge_go_to_the_smaller_id_wherever_it_stands():
    p, ids = np.array([0.5, 0.5, 0.9, 0.5]), np.array(["b", "d", "c", "a"])
    assert set(ids[select_top(p, ids, 2)]) == {"c", "a"}
    assert set(ids[select_top(p, ids, 3)]) == {"c", "a", "b"}


def test_top_of_nothing_is_refused():
    with pytest.raises(CurateError, match="at least 1"):
        select_top(np.array([0.5]), np.array(["a"]), 0)


@given(st.integers(1, 50), st.data(), st.integers(0, 2**32))
def test_a_random_subset_has_its_size_and_follows_its_seed(candidates, data, seed):
    count = data.draw(st.integers(0, candidates))
    mask = random_subset(candidates, count, seed)
    assert mask.shape == (candidates,) and mask.sum() == count
    np.testing.assert_array_equal(mask, random_subset(candidates, count, seed))


def test_random_subsets_of_other_seeds_differ_and_reach_every_sample():
    masks = np.array([random_subset(20, 10, seed) for seed in range(50)])
    assert len(np.unique(masks, axis=0)) > 40
    assert masks.any(axis=0).all() and not masks.all(axis=0).any()


def test_class_balance_by_hand_and_in_sum():
    names, kept = np.array(["dog", "cat", "dog", "bird", "dog"]), np.array([True, False, False, True, True])
    balance = class_balance(names, kept)
    assert balance == {"bird": (1, 1), "cat": (0, 1), "dog": (2, 3)} and list(balance) == ["bird", "cat", "dog"]
    assert sum(k for k, _ in balance.values()) == kept.sum() and sum(n for _, n in balance.values()) == len(names)
