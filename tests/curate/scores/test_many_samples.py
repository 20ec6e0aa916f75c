"""What is done otherwise of many samples says the same."""

from __future__ import annotations

import numpy as np

from curate.scores import groups, references
from curate.scores.groups import completed, shortcuts
from curate.scores.two_groups import total


def test_a_tree_finds_the_same_shortcuts(monkeypatch) -> None:
    places, labels = np.random.default_rng(4).normal(0, 1, (600, 8)), np.resize(np.arange(4), 600)
    places[(labels == 2) & (np.arange(600) % 5 < 3)] += 3
    compared = shortcuts(places, labels, 4)
    monkeypatch.setattr(groups, "COMPARED", 0)
    by_tree = shortcuts(places, labels, 4)
    assert compared.classes.any() and np.array_equal(compared.given_away, by_tree.given_away)
    np.testing.assert_allclose(compared.purity, by_tree.purity)


def test_of_many_samples_in_many_dimensions_the_nearest_are_sought_among_some(monkeypatch) -> None:
    rng, labels = np.random.default_rng(4), np.resize(np.arange(4), 2000)
    places = rng.normal(0, 1, (2000, 20))
    away = (labels == 2) & (np.arange(2000) % 5 < 3)
    places[away] += 3
    group = away & (rng.random(2000) < 0.8)
    every, whole = shortcuts(places, labels, 4), completed(places, group)
    monkeypatch.setattr(groups, "COMPARED", 400)
    some, nearest = shortcuts(places, labels, 4), groups._nearest(places, 5)
    assert len(np.unique(nearest)) <= 400 and nearest.shape == (2000, 5)
    assert not (nearest == np.arange(2000)[:, None]).any()  # nobody is near itself
    assert some.classes.tolist() == every.classes.tolist() == [False, False, True, False]
    assert np.array_equal(some.given_away, every.given_away) and np.array_equal(some.given_away, away)
    assert min((whole == away).mean(), (completed(places, group) == away).mean()) > 0.98


def test_look_alikes_are_averaged_a_part_at_a_time(monkeypatch) -> None:
    rng = np.random.default_rng(2)
    seen, new, both = rng.normal(0, 1, (90, 4)), rng.normal(0, 1, (50, 4)), rng.uniform(0, 1, (90, 2))
    alike, itself, asked = references.look_alikes(seen), np.arange(90), []
    whole = both[alike.nearest(new)].mean(axis=1), both[alike.nearest(seen, itself), 0].mean(axis=1)
    project = references.LookAlikes.project
    monkeypatch.setattr(references.LookAlikes, "project", lambda own, x: asked.append(len(x)) or project(own, x))
    monkeypatch.setattr(references, "BANK", 7)
    np.testing.assert_allclose(alike.mean(both, new), whole[0])
    np.testing.assert_allclose(alike.mean(both[:, 0], seen, itself), whole[1])
    assert max(asked) == 7 and sum(asked) == 140


def test_a_sum_of_products_by_hand() -> None:
    assert total(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == 11
    assert total(np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array([0.5, 0.25])) == 3.5
