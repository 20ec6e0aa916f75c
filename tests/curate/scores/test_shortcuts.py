"""Classes whose look gives them away: damage that is tied to a class, of groups known by construction."""

from __future__ import annotations

import numpy as np
import pytest

from curate.scores.groups import PURE, shortcuts


def classes_in_a_plane() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(0, 1, (600, 2)), np.resize(np.arange(4), 600)


def test_damage_tied_to_a_class_is_a_shortcut_and_an_easy_class_is_not() -> None:
    places, labels = classes_in_a_plane()
    damaged = (labels == 2) & (np.arange(600) % 5 < 3)  # 60 % of it
    places[damaged] += 30
    found = shortcuts(places, labels, 4)
    assert found.classes.tolist() == [False, False, True, False]
    assert np.array_equal(found.given_away, damaged) and found.purity[damaged].min() == 1
    places, labels = classes_in_a_plane()
    places[labels == 2] += 3  # told by its look, with a border
    assert not shortcuts(places, labels, 4).classes.any()


@pytest.mark.parametrize("first", [32, 96])
def test_a_few_others_among_what_is_damaged_do_not_hide_a_shortcut(first: int) -> None:
    """Some of the damaged, or most, have too many neighbours of other classes for their own look to tell the class."""
    places, labels = np.random.default_rng(0).normal(0, 1, (600, 8)), np.resize(np.arange(4), 600)
    damaged = (labels == 2) & (np.arange(600) % 16 < 12)
    among = (labels == 0) & (np.arange(600) < first)
    places[damaged | among] += 30
    found = shortcuts(places, labels, 4)
    assert (found.purity[damaged] < PURE).mean() > 0.1
    assert found.classes.tolist() == [False, False, True, False] and np.array_equal(found.given_away, damaged)


def damaged_by_degrees(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places, labels, and three quarters of class 2, which are moved by 3 to 9 spreads."""
    rng = np.random.default_rng(seed)
    places, labels = rng.normal(0, 1, (600, 8)), np.resize(np.arange(4), 600)
    damaged = (labels == 2) & (np.arange(600) % 16 < 12)
    places[damaged, 0] += rng.uniform(3, 9, damaged.sum())
    return places, labels, damaged


@pytest.mark.parametrize("seed", range(4))
def test_damage_of_varied_strength_is_a_shortcut_where_looks_tell_no_other_class(seed: int) -> None:
    places, labels, damaged = damaged_by_degrees(seed)
    found = shortcuts(places, labels, 4)
    assert found.classes.tolist() == [False, False, True, False]
    assert found.given_away[damaged].mean() > 0.6 and not found.given_away[~damaged].any()
    places[labels == 0, 1] += 30  # told by its look too
    assert not shortcuts(places, labels, 4).classes.any()


def test_damage_of_a_small_class_is_a_shortcut_though_it_has_fewer_samples_than_look_alikes_are_asked() -> None:
    """17 of 30: of 20 look-alikes 16 at most have its label, of 15 all."""
    places, labels = np.random.default_rng(0).normal(0, 1, (300, 8)), np.resize(np.arange(10), 300)
    damaged = (labels == 3) & (np.arange(300) < 170)
    assert damaged.sum() == 17
    places[damaged, 0] += 30
    places[labels == 5, 1] += 4  # looks tell another class, too
    found = shortcuts(places, labels, 10)
    assert found.classes.tolist() == [c == 3 for c in range(10)] and np.array_equal(found.given_away, damaged)
    assert found.purity[damaged].tolist() == [1.0] * 17


@pytest.mark.parametrize("seed", range(8))
def test_one_class_that_is_easy_to_tell_is_no_shortcut(seed: int) -> None:
    rng = np.random.default_rng(seed)
    places, labels = rng.normal(0, 1, (600, 4)), np.resize(np.arange(4), 600)
    places[labels == 2, 0] += 3 + seed / 4
    found = shortcuts(places, labels, 4)
    assert (found.purity[labels == 2] >= PURE).mean() > 0.2 and not found.classes.any()


def test_of_a_class_that_most_samples_have_look_alikes_say_little() -> None:
    """Nine tenths have class 0: of the look-alikes of a part of it, too, though the other tenth is there as well."""
    places, labels = np.random.default_rng(0).normal(0, 1, (600, 8)), (np.arange(600) % 10 == 0).astype(int)
    places[np.arange(600) % 3 > 0] += 30
    found = shortcuts(places, labels, 2)
    assert (found.purity >= PURE).mean() > 0.5 and not found.classes.any()


@pytest.mark.parametrize("share", [1, 3, 5])
def test_copies_of_one_class_are_a_shortcut_however_many_of_it_they_are(share: int) -> None:
    places, labels = classes_in_a_plane()
    same = (labels == 2) & (np.arange(600) % 5 < share)  # 20 %, 60 %, or all
    places[same] = [30, 0]
    places[same] += 1e-9 * np.random.default_rng(1).normal(size=(same.sum(), 2))
    found = shortcuts(places, labels, 4)
    assert np.array_equal(found.given_away, same) and found.classes.tolist() == [False, False, True, False]
    assert not shortcuts(places, np.resize(np.arange(3), 600), 4).classes.any(), "of all classes"
    places[same, 1] += np.random.default_rng(2).normal(0, 1, same.sum())  # apart, and no copies
    assert shortcuts(places, labels, 4).classes.any() == (share == 3)
