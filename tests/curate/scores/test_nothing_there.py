"""Pictures of one colour and the like are broken however few they are, unless they tell a class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from curate.scores.groups import agreement, flat
from curate.scores.guard import Guard, Labels
from curate.scores.usability import Evidence, assess

CLASSES, COUNT = 5, 400


def test_what_is_of_one_level_is_flat():
    pattern = np.random.default_rng(0).normal(size=(20, 64))
    pattern[3], pattern[7] = 5.0, 0.0
    pattern[11] *= 0.5
    assert np.flatnonzero(flat(pattern)).tolist() == [3, 7]
    assert not flat(np.ones((4, 64))).any()  # where all are of one level, that is how they are


def test_agreement_by_hand():
    """Classes 0, 0, 0, 1: the others of the first three have their class in 2 of 3, those of the last in none."""
    a, error = agreement(np.array([0, 0, 0, 1]))
    assert a == pytest.approx((3 * 2 / 3 + 0) / 4) and error == pytest.approx(np.sqrt(0.5 * 0.5 / 6))
    assert agreement(np.arange(4)) == pytest.approx((0.0, 1 / 6))  # at least that of one pair


def made(blank: int, told: bool = False, recognised: bool = False, learnt: bool = True) -> Evidence:
    """Pictures that are read well, the first few of one colour; of these few held-out samples are known."""
    rng = np.random.default_rng(0)
    labels, held = np.arange(COUNT) % CLASSES, np.arange(100) % CLASSES
    if told:
        labels[:blank] = 2
    pattern = rng.normal(size=(COUNT, 64))
    pattern[:blank] = 0.25
    look = rng.normal(size=(COUNT, 5))
    look[:blank] = 6.0
    p = np.clip(rng.normal(0.7 if learnt else 0.2, 0.1, COUNT), 0, 1)
    p[:blank] = p[blank:].mean() if recognised else 0.2
    held_p = np.clip(rng.normal(0.7 if learnt else 0.2, 0.1, 100), 0, 1)
    names = tuple("abcde")
    return Evidence(p, look, held_p, rng.normal(size=(100, 5)), labels=Labels(labels, held, names), pattern=pattern)


def claimed(e: Evidence) -> tuple[np.ndarray, Guard, np.ndarray]:
    found = assess(np.array([f"s{i:03}" for i in range(COUNT)]), {"visual": e}, CLASSES)
    return found.p_broken[:, 0] > 0.5, found.guards[0], found.usability[:, 0]


def test_a_few_pictures_of_one_colour_are_broken_without_held_out_ones():
    broken, guard, usable = claimed(made(10))
    assert np.flatnonzero(broken).tolist() == list(range(10)) and not usable[:10].any()
    assert guard.found and guard.share == pytest.approx(10 / COUNT) and guard.ratio < 0.25


@pytest.mark.parametrize(
    "e",
    [
        pytest.param(made(10, told=True), id="they are all of one class, which they tell"),
        pytest.param(made(10, recognised=True), id="the model recognises them: a coarse pattern does not show all"),
        pytest.param(made(10, learnt=False), id="the model recognises nothing of the others"),
        pytest.param(made(2), id="two may differ by accident"),
        pytest.param(made(0), id="nobody"),
    ],
)
def test_nothing_is_claimed_where(e):
    broken, guard, _ = claimed(e)
    assert not broken.any() and not guard.found


@pytest.mark.parametrize("recognised", [False, True])
def test_zero_vectors_are_broken_without_held_out_ones_unless_they_are_recognised(recognised: bool):
    e = made(40, recognised=recognised)
    e.p_true[:40] -= 0.0 if recognised else 0.1
    broken, guard, usable = claimed(replace(e, deep=True, look=(e.appearance, e.held_appearance)))
    assert np.flatnonzero(broken).tolist() == ([] if recognised else list(range(40)))
    assert guard.found != recognised and (usable[:40].max() < usable[40:].min()) != recognised


def test_zero_vectors_are_broken_where_vectors_are_hardly_read():
    """No other vector is judged there: what is hard looks like a group too."""
    e = made(40, learnt=False)
    e = replace(e, p_true=np.where(np.arange(COUNT) < 40, 0.2, e.p_true + 0.12), held_p_true=e.held_p_true + 0.12)
    vectors = replace(e, deep=True, look=(e.appearance, e.held_appearance))
    broken, guard, usable = claimed(vectors)
    assert np.flatnonzero(broken).tolist() == list(range(40)) and not usable[:40].any()
    assert guard.found and not guard.withheld and guard.share == pytest.approx(40 / COUNT)
    apart = e.appearance.copy()
    apart[:40] += np.random.default_rng(1).normal(size=(40, 5))  # of a look of their own, and no copies
    broken, guard, _ = claimed(replace(vectors, appearance=apart, look=(apart, e.held_appearance)))
    assert not broken.any() and guard.withheld
