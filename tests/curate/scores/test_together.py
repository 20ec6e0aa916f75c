"""Labels that are denied together: parts of a group and a class in which more is denied than accidents explain."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from curate.scores.labels import judge, own_bounds
from curate.scores.preferences import Preferences
from curate.scores.together import SURE, as_elsewhere, denied_together, parts_of
from curate.scores.two_groups import CLAIMED

COUNT = 1000
LABELS = np.arange(COUNT) % 5
GROUPS = np.arange(COUNT) // 5 % 10
"""20 samples of each class in each group, two of them among the first 100 samples."""
PARTS = parts_of(LABELS, [f"person {g}" for g in GROUPS])
MISREAD = (LABELS == 2) & (GROUPS == 3)


def test_a_part_is_a_group_and_a_class_and_none_is_of_a_group_with_one_class_or_without_a_group() -> None:
    labels, groups = np.array([0, 1, 0, 0, 0, 1, 1]), ["a", "a", "a", "b", "b", None, ""]
    parts = parts_of(labels, groups)
    assert parts[0] == parts[2] != parts[1] and parts[1] >= 0
    assert (parts[3:] == -1).all()
    assert len(np.unique(PARTS)) == 50 and (parts_of(labels, [None] * 7) == -1).all()


@pytest.mark.parametrize("count", [7, 8])
def test_a_part_is_named_from_the_number_on_that_accidents_hardly_reach(count: int) -> None:
    """98 others of 980 are denied. As the first step counts the part itself, its share is (98 + k) / 1000 there."""
    denied = (np.arange(COUNT) < 100) & ~MISREAD
    denied[np.flatnonzero(MISREAD)[:count]] = True
    tail = binom.sf(count - 1, 20, (98 + count) / COUNT)
    found = denied_together(denied, PARTS)
    assert (tail < SURE / 50) == (count == 8)
    assert ((found.part >= 0) == (MISREAD & (count == 8))).all()
    assert found.share == pytest.approx(0.1 if count == 8 else 0.105)


def test_accidents_alone_are_hardly_ever_named() -> None:
    rng = np.random.default_rng(0)
    named = [(denied_together(rng.random(COUNT) < 0.15, PARTS).part >= 0).any() for _ in range(300)]
    assert np.mean(named) < SURE + 3 * (SURE * (1 - SURE) / 300) ** 0.5


def test_where_nothing_is_denied_or_everything_no_part_is_named() -> None:
    for denied in (np.zeros(COUNT, dtype=bool), np.ones(COUNT, dtype=bool)):
        assert (denied_together(denied, PARTS).part == -1).all()
    assert denied_together(np.zeros(0, dtype=bool), np.zeros(0, dtype=int)).share == 0


def test_of_a_part_no_more_is_wrong_than_elsewhere() -> None:
    p = np.where(MISREAD, 0.9, np.where(np.arange(COUNT) < 100, 0.8, 0.0))
    found = denied_together(p > CLAIMED, PARTS)
    lowered = as_elsewhere(p, found)
    assert lowered[MISREAD].mean() == pytest.approx(found.share) == pytest.approx(0.1)
    assert (lowered[~MISREAD] == p[~MISREAD]).all()


def test_a_group_that_is_misread_as_a_whole_has_no_more_wrong_labels_than_others() -> None:
    """A tenth of all labels is wrong; of one person one class is denied besides, as surely."""
    rng = np.random.default_rng(0)
    wrong = np.arange(COUNT) < 100
    margins = rng.normal(np.where(wrong | MISREAD, -1.3, 1.5)[:, None], 0.5, (COUNT, 3))
    own, cross = np.full((COUNT, 3), 0.05), np.repeat((0.05 / np.exp(margins))[:, None, :], 3, axis=1)
    said = Preferences(own, (LABELS[:, None] + rng.integers(1, 5, (COUNT, 3))) % 5, cross)
    whole = np.zeros((COUNT, 2))
    plain, told = (judge(said, LABELS, whole, parts=c).p_mislabelled > CLAIMED for c in (None, PARTS))
    assert plain[MISREAD].mean() > 0.9 and told[MISREAD].mean() <= 0.1
    assert (plain == told)[~MISREAD].all() and told[wrong & ~MISREAD].mean() > 0.9
    seen, shown = (own_bounds(said, LABELS, whole, parts=c) for c in (None, PARTS))
    assert shown.accidents < 0.11 < seen.accidents
