"""How vectors look, worked out by hand on a line of ten."""

from __future__ import annotations

import numpy as np
import pytest

from curate.scores.vectors import AXES, FEW, FEWEST, LEAST, ONE, vector_looks
from curate.scores.vectors import ZEROS as NEARLY_ALL_ZEROS

WIDE = np.repeat(np.arange(10.0)[:, None], FEWEST, axis=1)
"""Ten vectors of equal numbers, 0 to 9: on one axis, and one standard deviation of each number is sqrt(8.25)."""
UNIT = np.sqrt(8.25)
MEAN, REST, RAW_MEAN, ZEROS, SPREAD, LARGEST, DISTANCE, RAW_SPREAD = range(8)


def test_every_statistic_by_hand():
    looks, members = vector_looks(WIDE)
    assert members.tolist() == list(range(10))
    found = looks.of(WIDE, np.ones(10, dtype=bool))
    assert found[:, MEAN] == pytest.approx((np.arange(10) - 4.5) / UNIT)
    assert found[:, REST] == pytest.approx(np.zeros(10), abs=1e-6)  # all on one axis
    assert found[:, RAW_MEAN] == pytest.approx(np.arange(10))
    assert found[:, ZEROS].tolist() == [1.0] + [0.0] * 9
    assert found[:, SPREAD] == pytest.approx(np.full(10, np.log(LEAST)))  # its numbers are equal
    assert found[:, LARGEST] == pytest.approx(np.log(np.abs(np.arange(10) - 4.5) / UNIT + LEAST))
    # The fifth nearest of 0 is 5, of 4 (besides 3, 5, 2, 6) it is 1 or 7; 4 = sqrt(16) numbers differ by as much.
    assert found[[0, 4], DISTANCE] == pytest.approx(np.log(np.array([5, 3]) * np.sqrt(FEWEST) / UNIT + LEAST))
    assert found[:, RAW_SPREAD] == pytest.approx(np.full(10, np.log(LEAST)))


def test_others_have_the_bank_for_neighbours():
    looks, _ = vector_looks(WIDE)
    known, off = WIDE[:1], WIDE[:1].copy()
    off[0, : FEWEST // 2] += 3.0
    off[0, FEWEST // 2 :] -= 3.0
    found = looks.of(np.concatenate([known, off]))
    assert found[0, DISTANCE] == pytest.approx(np.log(4 * np.sqrt(FEWEST) / UNIT + LEAST)), "its twin is nearest"
    # Beside the line by 3 in each number: to that of 4 it is the hypotenuse of 4 and 3.
    assert found[1, DISTANCE] == pytest.approx(np.log(5 * np.sqrt(FEWEST) / UNIT + LEAST))
    assert found[1, RAW_SPREAD] == pytest.approx(np.log(3 / UNIT + LEAST))


def test_what_the_main_axes_leave_out():
    """Of more numbers than axes: what is on the axes and what is not are the sides of a right angle."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(300, 2 * AXES))
    looks, _ = vector_looks(values)
    x = rng.normal(size=(5, 2 * AXES))
    z = (x - values.mean(axis=0)) / values.std(axis=0)
    on_axes = np.linalg.norm(z @ looks.axes, axis=1)
    assert looks.of(x)[:, REST] == pytest.approx(np.sqrt((z**2).sum(axis=1) - on_axes**2))
    assert looks.of(values[:1])[0, REST] > 1


def test_the_order_of_equally_distributed_numbers_says_nothing():
    """A look is no content: the same numbers in another order, in columns of one mean and spread, look the same."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, FEWEST))
    values = (values - values.mean(axis=0)) / values.std(axis=0)
    looks, _ = vector_looks(values)
    x = rng.normal(size=(1, FEWEST))
    same, other = looks.of(x)[0], looks.of(x[:, ::-1])[0]
    free = [MEAN, RAW_MEAN, ZEROS, SPREAD, LARGEST, RAW_SPREAD]
    assert same[free] == pytest.approx(other[free]) and same[DISTANCE] != pytest.approx(other[DISTANCE])


def test_a_few_numbers_are_content_and_constant_ones_do_not_count():
    assert vector_looks(WIDE[:, 1:]) == FEW
    constant = WIDE.copy()
    constant[:, 0] = 3.0
    assert vector_looks(constant) == FEW
    more = np.concatenate([WIDE, np.full((10, 4), 7.0)], axis=1)
    looks, _ = vector_looks(more)
    assert np.isfinite(looks.of(more)).all()
    assert vector_looks(WIDE[:1]) == ONE


def test_counts_of_words_are_content():
    """One of twenty numbers is not zero, or three are."""
    words = np.zeros((2, 30, 20))
    for i, count in enumerate((1, 3)):
        for row in range(30):
            words[i, row, (row + np.arange(count)) % 20] = 1
    assert vector_looks(words[0]) == NEARLY_ALL_ZEROS and not isinstance(vector_looks(words[1]), str)
