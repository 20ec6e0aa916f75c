"""Look-alikes, and what is expected of samples by theirs."""

from __future__ import annotations

import numpy as np
import pytest

from curate.scores.references import Reference, look_alikes, unseen


def test_twins_do_not_hide_the_sample_itself():
    """Equal appearance puts the sample anywhere among its neighbours; it is left out by identity, not by place."""
    x = np.zeros((9, 1))
    p = np.zeros(9)
    p[4] = 1.0
    q = Reference(look_alikes(x), p, 0.0, 1.0).recognition(x, np.arange(9))
    assert q[4] == 0


def test_what_lies_far_beyond_the_fifth_is_no_look_alike() -> None:
    """Ten dark pictures apart, among 900: they are pooled with one another; copies are, however near others are."""
    rng = np.random.default_rng(0)
    for width, count, alone in ((1e-3, 10, True), (0.0, 10, True), (1e-3, 5, False), (1.0, 10, False)):
        places = rng.normal(size=(900, 4))
        places[:count] = 3 + width * rng.normal(size=(count, 4))
        near = look_alikes(places).nearest(places, np.arange(900))
        assert near.shape == (900, 30)
        own = near[0] < count
        assert own.all() == alone and len(set(near[0][own].tolist())) == count - 1
        assert 0 not in near[0] and len(set(near[500].tolist())) > 25, "in a cloud nobody is far beyond the fifth"


@pytest.mark.parametrize("bad", [np.zeros((1, 2)), np.array([[0.0], [np.nan]]), np.zeros(3)])
def test_appearance_must_be_usable(bad):
    with pytest.raises(ValueError, match="appearance"):
        look_alikes(bad)


def test_what_is_expected_of_the_unseen_by_hand() -> None:
    """Held-out samples on a line, whose own probability is twice that of their training look-alikes less 0.2."""
    x = np.arange(64.0)[:, None]
    p = 0.2 + x[:, 0] / 200
    alike = look_alikes(x)
    held = np.arange(0.5, 62)[:, None]
    seen = p[alike.nearest(held)].mean(axis=1)
    found = unseen(alike, p, held, 2 * seen - 0.2)
    assert found.expected(seen, held, np.arange(62)) == pytest.approx(2 * seen - 0.2, abs=1e-6)
    assert unseen(alike, p, held[:29], seen[:29]) is None and unseen(alike, p, held, np.full(62, 0.5)) is None
