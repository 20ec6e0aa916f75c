"""Which labels are changed, and the interval of a paired difference, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from curate.scores.relabel import at_random, corrected, gain

LABELS = np.array([0, 0, 1, 1, 2, 2])


def test_a_denied_label_becomes_the_other_class_and_people_win() -> None:
    other = np.array([1, 2, 0, 2, -1, 1])
    denied = np.array([True, True, False, True, True, True])
    decided = {1: 0, 2: 2, 3: 0, 5: None}  # 1: the label is right; 2, 3: a class; 5: wrong, no class given
    used, why = corrected(LABELS, other, denied, decided)
    assert used.tolist() == [1, 0, 2, 0, 2, 1]
    assert why.tolist() == ["denied", "", "marked", "marked", "", "marked, class predicted"]
    assert LABELS.tolist() == [0, 0, 1, 1, 2, 2]


def test_nothing_denied_changes_nothing() -> None:
    used, why = corrected(LABELS, np.zeros(6, dtype=int), np.zeros(6, dtype=bool), {})
    assert (used == LABELS).all() and not any(why)


def test_the_control_changes_as_many_of_the_same_classes_of_other_samples() -> None:
    labels = np.repeat([0, 1, 2], 10)
    used = labels.copy()
    used[:3], used[10] = (1, 1, 2), 0
    drawn, why = at_random(labels, used, seed=0)
    moves = [sorted(zip(labels[m], x[m], strict=True)) for x in (used, drawn) for m in [x != labels]]
    assert moves[0] == moves[1] and not (drawn != labels)[used != labels].any()
    assert [w == "random" for w in why] == (drawn != labels).tolist()
    full = np.where(labels == 0, 1, labels)  # no other of the class is left
    assert (at_random(labels, full, seed=0)[0] == full).all()


def test_the_interval_of_a_paired_difference() -> None:
    """Ten samples, won 3, lost 1: with one more of each d = 2/12, var = 6/12 - (2/12)^2 over 12."""
    mine = np.array([[1, 1, 1, 0, 1, 1, 0, 0, 1, 1]])
    other = np.array([[0, 0, 0, 1, 1, 1, 0, 0, 1, 1]])
    found = gain(mine, other)
    half = 1.959964 * ((0.5 - (1 / 6) ** 2) / 12) ** 0.5
    assert found.mean == pytest.approx(0.2) and found.by_run == (pytest.approx(0.2),)
    assert (found.low, found.high) == (pytest.approx(1 / 6 - half), pytest.approx(1 / 6 + half))
    assert gain(other, mine).high == pytest.approx(-found.low)
    same = gain(mine, mine)
    assert same.mean == 0 and same.low < 0 < same.high  # no sample differs, and yet nothing is certain


def test_several_runs_are_averaged_sample_by_sample() -> None:
    found = gain([[1, 0], [1, 1]], [[0, 0], [1, 1]])
    assert found.mean == pytest.approx(0.25) and found.by_run == (0.5, 0.0)
