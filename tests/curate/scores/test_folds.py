"""The cut of the training split: every class in proportion, no group divided, refused where that cannot be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import CurateError
from curate.scores.folds import cut_folds

CLASSES = ("ant", "bee", "cow")


@given(st.lists(st.integers(4, 30), min_size=2, max_size=3), st.integers(2, 4), st.integers(0, 9), st.randoms())
def test_without_groups_every_class_is_in_every_fold_to_within_one(sizes, count, seed, random):
    labels = [k for k, n in enumerate(sizes) for _ in range(n)]
    random.shuffle(labels)
    labels = np.array(labels)
    folds = cut_folds(labels, [None] * len(labels), CLASSES, count, seed)
    assert set(folds) == set(range(count))
    for k, n in enumerate(sizes):
        held = np.bincount(folds[labels == k], minlength=count)
        assert held.sum() == n and held.max() - held.min() <= 1


@given(st.integers(12, 40), st.integers(2, 4), st.integers(0, 9))
def test_groups_stay_whole_and_rows_without_one_stand_alone(groups, count, seed):
    rng = np.random.default_rng([groups, count, seed])
    names = [f"g{i}" for i in range(groups) for _ in range(rng.integers(1, 5))] + [None] * 20
    labels = rng.permutation(np.arange(len(names)) % 3)
    folds = cut_folds(labels, names, CLASSES, count, seed)
    assert set(folds) == set(range(count))
    for name in {n for n in names if n is not None}:
        assert len({f for f, n in zip(folds, names, strict=True) if n == name}) == 1
    assert len({f for f, n in zip(folds, names, strict=True) if n is None}) > 1
    for number in range(count):
        assert set(labels[folds != number]) == {0, 1, 2}


def test_a_group_called_like_a_row_is_not_that_row():
    """Row 0 has no group; a group named '0' or 'row 0' must not swallow it."""
    labels, groups = np.array([0] * 8 + [1] * 8), [None, "row 0", "0", *[None] * 5, "x", "x", *[None] * 6]
    cuts = [cut_folds(labels, groups, CLASSES, 2, seed) for seed in range(20)]
    assert {bool(folds[0] == folds[1]) for folds in cuts} == {True, False}


def test_the_seed_decides():
    labels = np.arange(30) % 3
    one, again, other = (cut_folds(labels, [None] * 30, CLASSES, 3, seed) for seed in (1, 1, 2))
    assert (one == again).all() and (one != other).any()


def test_as_many_groups_as_folds_are_enough_and_a_fold_may_lack_a_class():
    """Three groups for three folds; the third has no sample of the second class, of which training keeps some."""
    labels, groups = np.array([0, 0, 1, 1] * 2 + [0] * 4), list("aaaabbbbcccc")
    folds = cut_folds(labels, groups, CLASSES, 3, 0)
    assert sorted(folds[::4]) == [0, 1, 2] and (folds == np.repeat(folds[::4], 4)).all()


@pytest.mark.parametrize(
    ("labels", "groups", "count", "told"),
    [
        (
            [0] * 4 + [1] * 3 + [2] * 2,
            None,
            4,
            r"(?m)4 folds need 4 training samples of every class; there are of 'bee' 3, 'cow' 2$",
        ),
        ([0, 1] * 6, ["a"] * 4 + ["b"] * 4 + ["c"] * 4, 4, "4 folds need as many groups; the training split has 3"),
        ([0] * 6 + [1] * 6, list("aabbcc") + ["d"] * 6, 2, r"all training samples of class 'bee' are in one fold"),
    ],
)
def test_what_cannot_be_cut_is_refused(labels, groups, count, told):
    with pytest.raises(CurateError, match=told) as caught:
        cut_folds(np.array(labels), groups or [None] * len(labels), CLASSES, count, 0)
    assert "--folds" in caught.value.hint
