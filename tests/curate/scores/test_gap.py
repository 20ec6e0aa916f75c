"""The modality gap against numbers computed by hand, and its symmetries."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from curate.scores.gap import (
    best_other,
    entropy,
    gap_scale,
    kl_gap,
    log_margin,
    modality_gap,
    probability_gap,
    true_class_probability,
)
from curate.types import FUSED, Predictions

MASSES = arrays(np.float64, (6, 4), elements=st.one_of(st.just(0.0), st.floats(1e-6, 1)))


def rows(masses: np.ndarray) -> np.ndarray:
    """(N, K) distributions from masses, zeros kept; a row of zeros becomes certain of class 0."""
    masses = masses.copy()
    masses[masses.sum(axis=1) == 0, 0] = 1
    return masses / masses.sum(axis=1, keepdims=True)


def hand_made() -> Predictions:
    """The paper's two modalities on one sample: s_a = (.75, .25), s_v = (.5, .5), label 0."""
    probs = {"audio": np.array([[0.75, 0.25]]), "visual": np.array([[0.5, 0.5]]), FUSED: np.array([[0.75, 0.25]])}
    return Predictions(np.array(["x"]), np.array([0]), ("yes", "no"), ("audio", "visual"), probs)


def test_both_gaps_by_hand():
    scores = modality_gap(hand_made())
    entropy_audio = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    assert scores.pairs == (("audio", "visual"),)
    assert scores.prob[0, 0] == 0.25
    assert scores.kl[0, 0] == pytest.approx(0.130812, abs=1e-6)
    assert scores.kl[0, 0] == pytest.approx(math.log(2) - entropy_audio, abs=1e-12)


def test_probability_gap_looks_at_the_label_and_kl_gap_does_not():
    p = hand_made()
    assert probability_gap(p.probs["audio"], p.probs["visual"], np.array([1])) == [-0.25]
    relabelled = Predictions(p.sample_ids, np.array([1]), p.classes, p.modalities, p.probs)
    assert modality_gap(relabelled).kl == modality_gap(p).kl


def test_the_largest_gaps_there_are():
    sure, wrong, uniform = np.eye(3)[:1], np.eye(3)[1:2], np.full((1, 3), 1 / 3)
    assert probability_gap(sure, wrong, np.array([0])) == [1]
    assert probability_gap(wrong, sure, np.array([0])) == [-1]
    assert kl_gap(sure, uniform) == pytest.approx([math.log(3)])
    assert kl_gap(sure, wrong) == [0]


@given(MASSES, MASSES)
def test_gaps_stay_in_their_ranges(a, b):
    first, second, labels = rows(a), rows(b), np.arange(6) % 4
    assert (np.abs(probability_gap(first, second, labels)) <= 1).all()
    assert (np.abs(kl_gap(first, second)) <= math.log(4) + 1e-12).all()


@given(MASSES)
def test_kl_gap_is_the_divergence_from_uniform(a):
    probs, uniform = rows(a), np.full((6, 4), 0.25)
    naive = [sum(p * math.log(p / 0.25) for p in row if p > 0) for row in probs]
    np.testing.assert_allclose(kl_gap(probs, uniform), naive, atol=1e-12)


def test_entropy_of_a_certain_and_of_a_uniform_row():
    assert entropy(np.array([[1.0, 0, 0], [1 / 3, 1 / 3, 1 / 3]])) == pytest.approx([0, math.log(3)])


@pytest.mark.parametrize("seed", range(3))
def test_exchanging_the_modalities_negates_both_gaps_exactly(predictions, seed):
    p = predictions(seed=seed)
    swapped = Predictions(p.sample_ids, p.labels, p.classes, p.modalities[::-1], p.probs)
    there, back = modality_gap(p), modality_gap(swapped)
    assert back.pairs == (("visual", "audio"),)
    np.testing.assert_array_equal(back.prob, -there.prob)
    np.testing.assert_array_equal(back.kl, -there.kl)


def test_three_modalities_give_three_pairs_in_declared_order_that_telescope(predictions):
    scores = modality_gap(predictions(modalities=("text", "audio", "visual"), n=12))
    assert scores.pairs == (("text", "audio"), ("text", "visual"), ("audio", "visual"))
    for gaps in (scores.prob, scores.kl):
        np.testing.assert_allclose(gaps[:, 0] + gaps[:, 2], gaps[:, 1], atol=1e-12)


def test_gaps_do_not_depend_on_the_order_of_samples(predictions):
    p = predictions()
    order = np.random.default_rng(1).permutation(len(p.labels))
    shuffled = Predictions(
        p.sample_ids[order], p.labels[order], p.classes, p.modalities, {m: v[order] for m, v in p.probs.items()}
    )
    np.testing.assert_array_equal(modality_gap(shuffled).prob, modality_gap(p).prob[order])
    np.testing.assert_array_equal(modality_gap(shuffled).sample_ids, p.sample_ids[order])


def test_true_class_probability_picks_one_a_row():
    assert list(true_class_probability(np.array([[0.1, 0.9], [0.3, 0.7]]), np.array([1, 0]))) == [0.9, 0.3]


def test_a_margin_is_to_the_largest_other_class_and_stops_at_a_thousandth():
    probs, labels = np.array([[0.2, 0.6, 0.2], [0.6, 0.3, 0.1], [0, 1, 0], [0, 1, 0]]), np.array([0, 0, 1, 2])
    expected = [-math.log(3), math.log(2), math.log(1000), -math.log(1000)]
    assert log_margin(probs, labels) == pytest.approx(expected)


def test_the_best_other_class_is_the_first_of_equal_ones():
    probs = np.array([[0.5, 0.2, 0.3], [0.5, 0.25, 0.25], [0.6, 0.3, 0.1], [0, 0, 1]])
    assert list(best_other(probs, np.array([0, 0, 1, 2]))) == [2, 1, 0, 0]


def test_gap_scale_is_the_largest_gap():
    assert gap_scale("prob", 7) == 1
    assert gap_scale("kl", 7) == math.log(7)
    with pytest.raises(KeyError):
        gap_scale("cosine", 7)


@pytest.mark.parametrize("spoil", ["duplicate", "label", "sum", "nan", "shape", "fused"])
def test_predictions_are_checked_at_birth(predictions, spoil):
    p = predictions(n=4, k=2)
    ids, labels, probs = p.sample_ids.copy(), p.labels.copy(), {m: v.copy() for m, v in p.probs.items()}
    if spoil == "duplicate":
        ids[1] = ids[0]
    elif spoil == "label":
        labels[0] = 2
    elif spoil == "sum":
        probs["audio"][0] *= 1.01
    elif spoil == "nan":
        probs["audio"][0, 0] = np.nan
    elif spoil == "shape":
        probs["audio"] = probs["audio"][:3]
    else:
        del probs[FUSED]
    with pytest.raises(ValueError):
        Predictions(ids, labels, p.classes, p.modalities, probs)
