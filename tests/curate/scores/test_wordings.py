"""How texts look, by numbers computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from curate.scores.wordings import FEW, ONE, wordings

TEXTS = np.array([[2, 3, 4, 5, 0], [2, 3, 4, 5, 0], [2, 6, 1, 1, 5], [7, 8, 9, 5, 0]])
"""The third may go on: its end is not known."""


def test_looks_by_hand() -> None:
    known = wordings(TEXTS)
    assert not isinstance(known, str) and known.texts == 4
    length, unknown, different, centre, spread, met, ends = known.of(TEXTS, np.ones(4, dtype=bool)).T
    assert length == pytest.approx(np.log([4, 4, 5, 4])) and unknown == pytest.approx([0, 0, 0.4, 0])
    assert different == pytest.approx([1, 1, 0.8, 1])
    # Of the first, the words are in 2, 1, 1 and 3 of the three others; of the last, in 0, 0, 0 and 3.
    usual = np.log(np.array([2.5, 1.5, 1.5, 3.5]) / 4), np.log(np.array([0.5, 0.5, 0.5, 3.5]) / 4)
    assert centre[[0, 3]] == pytest.approx([u.mean() for u in usual])
    assert spread[[0, 3]] == pytest.approx([u.std() for u in usual])
    # Pairs, the begin among them: all four of the first are in the second too; the third begins as these do.
    assert met == pytest.approx([1, 1, 0.2, 0])
    assert ends[[0, 1, 3]] == pytest.approx(np.log([2.5 / 4] * 3)) and ends[2] == np.median(ends[[0, 1, 3]])


def test_a_new_text_is_compared_with_all_that_are_known() -> None:
    known = wordings(TEXTS)
    _, unknown, _, centre, _, met, ends = known.of(np.array([[2, 3, 4, 5, 0], [30, 31, 32, 0, 0]])).T
    assert centre[0] == pytest.approx(np.log(np.array([3.5, 2.5, 2.5, 4.5]) / 4).mean())
    assert met.tolist() == [1, 0] and ends == pytest.approx(np.log([3.5 / 4, 0.5 / 4]))
    assert centre[1] == pytest.approx(np.log(0.5 / 4)) and not unknown.any(), "ids that no text had are not `unknown`"


def test_a_text_of_nothing_has_finite_looks() -> None:
    assert np.isfinite(wordings(TEXTS).of(np.zeros((1, 5), dtype=int))).all()
    assert np.isfinite(wordings(TEXTS[:, :4]).of(TEXTS[:, :4], np.ones(4, dtype=bool))).all(), "no end is known"


def test_of_one_text_and_of_texts_of_a_few_words_nothing_is_said() -> None:
    assert wordings(TEXTS[:1]) == ONE
    assert wordings(TEXTS * (np.arange(5) < 3)) == FEW and wordings(TEXTS) != FEW
