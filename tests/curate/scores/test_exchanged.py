"""Labels of two classes that are exchanged, on margins whose nature is known by construction."""

from __future__ import annotations

import numpy as np
import pytest

from curate.scores.exchanged import FEWEST, _apart, exchanged
from curate.scores.labels import judge
from curate.scores.preferences import Preferences
from curate.scores.two_groups import CLAIMED, Groups

COUNT, CLASSES = 1000, 5
LABELS = np.arange(COUNT) % CLASSES
EVERY = np.ones(COUNT)


def world(share: float = 0.3, sure: float = 1.0, spread: float = 0.3, seed: int = 0):
    """(N,) margin, other class and whether the label is wrong: so many labels of the classes 0 and 1 are exchanged.

    All other classes, whose other class is any, have a margin of 4.
    """
    rng = np.random.default_rng(seed)
    of_pair = LABELS < 2
    wrong = of_pair & (rng.random(COUNT) < share)
    margin = rng.normal(np.where(of_pair, np.where(wrong, -sure, sure), 4.0), spread)
    other = np.where(of_pair, 1 - LABELS, (LABELS + rng.integers(1, CLASSES, COUNT)) % CLASSES)
    return margin, other, wrong


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", [0.1, 0.3, 0.45])
def test_labels_that_are_exchanged_are_told(share: float, seed: int) -> None:
    margin, other, wrong = world(share, seed=seed)
    claimed = exchanged(margin, other, LABELS, EVERY) > CLAIMED
    assert wrong[claimed].mean() >= 0.95 and claimed[wrong].mean() >= 0.9


@pytest.mark.parametrize("seed", range(3))
def test_what_is_between_two_classes_is_one_group(seed: int) -> None:
    """Half of the labels are denied, by as much as the others are preferred: around zero, not on both sides of it."""
    margin, other, _ = world(0.0, sure=0.0, spread=0.5, seed=seed)
    assert (margin < 0).sum() > COUNT / 10 and not exchanged(margin, other, LABELS, EVERY).any()


@pytest.mark.parametrize("seed", range(3))
def test_a_class_that_is_named_as_another_throughout_is_hardly_learnt(seed: int) -> None:
    """Nine tenths of one class are given the name of another, as deep as if they belonged to it."""
    margin, other, _ = world(0.0, seed=seed)
    unlearnt = (LABELS == 0) & (np.random.default_rng(seed).random(COUNT) < 0.9)
    assert not exchanged(np.where(unlearnt, -margin, margin), other, LABELS, EVERY).any()


def test_most_of_a_small_class_may_not_be_named_as_a_large_one() -> None:
    """Of a class of 50, 45 are given the name of one of 400: fewer than half of both, but most of the small one."""
    labels = np.repeat([0, 1, 2], [50, 400, 550])
    other = np.repeat([1, 0, 0], [50, 400, 550])
    margin = np.random.default_rng(0).normal(np.repeat([-1.0, 1.0, 1.0, 4.0], [45, 5, 400, 550]), 0.3)
    assert not exchanged(margin, other, labels, EVERY).any()
    of_large = np.roll(np.arange(COUNT), 50)  # as many of the large class are few of it
    margin = np.where(labels == 1, margin[of_large], np.abs(margin))
    assert exchanged(margin, other, labels, EVERY).any()


def test_what_is_asked_by_half_is_told_by_half() -> None:
    margin, other, wrong = world()
    found, half = (exchanged(margin, other, LABELS, weight * EVERY) for weight in (1.0, 0.6))
    np.testing.assert_allclose(half, 0.6 * found, atol=1e-4)
    assert half[wrong].min() > CLAIMED


def test_three_classes_that_are_all_taken_for_each_other_are_not_told() -> None:
    """Each of their pairs has a third of what is denied. The same labels of one pair alone are told."""
    margin, _, _ = world(0.0)
    turn = np.arange(COUNT) // CLASSES  # of a sample within its class
    other = np.where(LABELS < 3, (LABELS + 1 + turn % 2) % 3, 4)
    deep = np.where((LABELS < 3) & (turn // 2 % 3 == 0), -1.0, 1.0) + margin - np.where(LABELS < 2, 1.0, 4.0)
    assert not exchanged(np.where(LABELS < 3, deep, 4.0), other, LABELS, EVERY).any()
    alone = (LABELS < 3) & (other + LABELS == 1)
    found = exchanged(np.where(alone, deep, 4.0), other, LABELS, EVERY)
    assert found[alone & (deep < 0)].min() > CLAIMED


@pytest.mark.parametrize(
    ("share", "low", "spread", "told"),
    [
        (0.3, -0.3, 0.6, True),  # two modes, and a mean below a tenth of the other on the other side of zero
        (0.3, -0.1, 0.6, False),
        (0.01, -1.2, 1.2, True),  # one mode, as log(99) = 4.6 > 1.1; 2.67 spreads apart, and deep
        (0.01, -0.8, 1.0, False),
        (0.01, -1.2, 1.32, False),  # 2.42 spreads
    ],
)
def test_groups_are_apart_with_two_modes_or_deep(share: float, low: float, spread: float, told: bool) -> None:
    assert _apart(Groups(share, low, 2.0, spread)) == told


def test_a_pair_is_told_that_has_more_than_a_third_of_what_is_denied() -> None:
    margin, other, wrong = world()
    hard = np.flatnonzero(LABELS > 1)[: int(2.5 * wrong.sum())]
    besides = margin.copy()
    besides[hard] = -0.1
    assert exchanged(margin, other, LABELS, EVERY).any() and not exchanged(besides, other, LABELS, EVERY).any()
    asked = np.where(LABELS > 1, 0.0, 1.0)
    assert exchanged(besides, other, LABELS, asked)[wrong].min() > 0, "denied labels that are not asked do not count"


def test_two_classes_alone_and_few_denied_labels_are_not_asked() -> None:
    margin, other, wrong = world()
    pair = LABELS < 2
    assert not exchanged(margin[pair], other[pair], LABELS[pair], EVERY[pair]).any()
    kept = ~wrong | (np.cumsum(wrong) < FEWEST)
    assert not exchanged(margin[kept], other[kept], LABELS[kept], EVERY[kept]).any()


def test_names_of_classes_do_not_matter() -> None:
    margin, other, _ = world()
    renamed = np.random.default_rng(0).permutation(CLASSES)
    found = exchanged(margin, other, LABELS, EVERY)
    np.testing.assert_allclose(exchanged(margin, renamed[other], renamed[LABELS], EVERY), found)


def test_labels_are_judged_by_pairs_of_classes_and_the_rest_as_before() -> None:
    """A fifth of the labels of two classes, of which the model is little sure, and a tenth of those of the others."""
    margin, other, wrong = world(0.2, sure=0.8, spread=0.2)
    rng = np.random.default_rng(5)
    rest = (LABELS > 1) & (rng.random(COUNT) < 0.1)
    margin[rest] = rng.normal(-4.0, 0.2, rest.sum())
    own = np.full((COUNT, 2), 0.01)
    said = Preferences(own, np.column_stack([other, other]), np.repeat((own / np.exp(margin)[:, None])[:, None], 2, 1))
    claimed = judge(said, LABELS, np.zeros((COUNT, 1))).p_mislabelled > CLAIMED
    assert claimed[wrong].mean() >= 0.9 and claimed[rest].mean() >= 0.9 and (wrong | rest)[claimed].mean() >= 0.95
