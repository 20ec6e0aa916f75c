"""The kinds of gap beyond the paper's two, and their mean over epochs, by hand and by symmetry."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import CurateError
from curate.scores.gap import (
    FLOOR,
    KINDS,
    describe,
    gap_limit,
    gap_scale,
    known,
    loss_kind,
    mean_gap,
    modality_gap,
    signed_gap,
)
from curate.types import Known, Predictions

SHARES = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=8)


def of(*p: tuple[float, ...], modalities: tuple[str, ...] = ("audio", "visual")) -> Known:
    """Knowledge from rows of p(true class), of two classes."""
    p_true = np.array(p)
    q = np.clip(np.stack([p_true, 1 - p_true]), 1e-300, 1)
    ids = np.array([f"s{i}" for i in range(len(p))])
    return Known(ids, modalities, p_true, -(q * np.log(q)).sum(axis=0), p_true > 0.5)


def test_every_kind_by_hand():
    one = of((0.75, 0.5))
    assert signed_gap("prob", one)[0, 0] == 0.25
    assert signed_gap("log_prob", one)[0, 0] == pytest.approx(math.log(1.5))
    assert signed_gap("log_odds", one)[0, 0] == pytest.approx(math.log(3))
    assert signed_gap("kl", one)[0, 0] == pytest.approx(0.130812, abs=1e-6)


def test_logarithms_stop_at_the_floor():
    sure, lost = of((1.0, 0.0)), of((1.0, FLOOR / 1000))
    assert signed_gap("log_prob", sure)[0, 0] == pytest.approx(-math.log(1e-6)) == gap_limit("log_prob", 2)
    assert signed_gap("log_odds", sure)[0, 0] == pytest.approx(-2 * math.log(1e-6), abs=2e-6)
    assert signed_gap("log_odds", sure)[0, 0] <= gap_limit("log_odds", 2)
    assert signed_gap("log_prob", lost) == signed_gap("log_prob", sure)


@given(SHARES)
def test_gaps_are_bounded_and_change_sign_with_the_order(rows):
    here, there = of(*rows), of(*(row[::-1] for row in rows))
    for kind in KINDS:
        x = signed_gap(kind, here)
        assert (np.abs(x) <= gap_limit(kind, 2) + 1e-12).all()
        np.testing.assert_array_equal(signed_gap(kind, there), -x)
    a, b = signed_gap("prob", here), signed_gap("log_prob", here)
    assert (a * b >= 0).all() and (a * signed_gap("log_odds", here) >= 0).all(), "one sign"


def test_the_papers_gaps_are_the_same_numbers(predictions):
    p = predictions(modalities=("text", "audio", "visual"))
    both = modality_gap(p)
    np.testing.assert_array_equal(signed_gap("prob", known(p)), both.prob)
    np.testing.assert_array_equal(signed_gap("kl", known(p)), both.kl)


def test_three_modalities_give_pairs_that_telescope(predictions):
    x = signed_gap("log_odds", known(predictions(modalities=("text", "audio", "visual"))))
    np.testing.assert_allclose(x[:, 0] + x[:, 2], x[:, 1], atol=1e-12)


def test_scales_are_units_and_limits_the_largest_gaps():
    assert [gap_scale(k, 7) for k in KINDS] == [1, math.log(7), math.log(7), 4]
    assert [gap_limit(k, 7) for k in KINDS] == [1, math.log(7), -math.log(1e-6), -2 * math.log(1e-6)]
    small = of((0.5 + 1e-4, 0.5 - 1e-4))
    assert signed_gap("log_odds", small) / gap_scale("log_odds", 2) == pytest.approx(2e-4, rel=1e-6)
    assert signed_gap("log_prob", of((1.0, 1 / 7))) == pytest.approx(gap_scale("log_prob", 7))


def test_a_mean_is_over_epochs_and_of_gaps_not_of_probabilities(predictions):
    epochs = [known(predictions(seed=s)) for s in range(3)]
    for kind in KINDS:
        expected = sum(signed_gap(kind, e) for e in epochs) / 3
        np.testing.assert_allclose(mean_gap(kind, iter(epochs)), expected, atol=1e-15)
    np.testing.assert_array_equal(mean_gap("log_odds", epochs[:1]), signed_gap("log_odds", epochs[0]))


def test_what_cannot_be_averaged_is_refused(predictions):
    one = known(predictions())
    with pytest.raises(CurateError, match="no epochs"):
        mean_gap("prob", [])
    bare = replace(one, entropy=np.full_like(one.entropy, np.nan))
    with pytest.raises(CurateError, match="without entropies"):
        mean_gap("kl", [one, bare])
    assert np.isfinite(mean_gap("log_odds", [one, bare])).all(), "no other kind needs them"
    with pytest.raises(ValueError, match="different samples"):
        mean_gap("prob", [one, replace(one, sample_ids=one.sample_ids[::-1])])


def test_the_loss_draws_the_papers_gaps():
    assert [loss_kind(k) for k in KINDS] == ["prob", "kl", "prob", "prob"]


def test_what_was_fitted_in_words():
    assert describe("prob", pair=("audio", "visual")) == "prob gap audio - visual"
    assert describe("log_odds", "absolute", "warmup", ("a", "v")) == "|log_odds gap a - v|, mean over the warm-up"


@pytest.mark.parametrize("wrong", [np.ones(3, dtype=bool), np.ones(60)])
def test_in_sample_is_one_boolean_a_sample(predictions, wrong):
    p = predictions()
    with pytest.raises(ValueError, match="in_sample"):
        Predictions(p.sample_ids, p.labels, p.classes, p.modalities, p.probs, wrong)


def test_knowledge_is_checked_at_birth():
    one = of((0.7, 0.5))
    with pytest.raises(ValueError, match=r"must be \(1, 2\)"):
        replace(one, entropy=one.entropy[:, :1])
