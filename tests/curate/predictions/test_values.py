"""Logits or probabilities, whatever finite numbers come."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from curate.errors import CurateError
from curate.predictions.align import align
from curate.predictions.part import Part
from curate.predictions.values import Reading, product, resolution, to_probabilities, which_kind
from curate.scores.scoring import MixtureConfig, fit_round

IDS = np.array(["a", "b", "c", "d"])
LOGITS, PROBABILITIES = Reading("logits", ""), Reading("probabilities", "")
ANY = st.floats(allow_nan=True, allow_infinity=True)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def part(audio, visual, labels=None):
    """A part of two modalities over classes 0, 1, ...; ids and labels are made up."""
    n, k = audio.shape
    classes = tuple(f"k{c}" for c in range(k))
    labels = np.array([classes[i % k] for i in range(n)] if labels is None else labels)
    values = {"audio": (classes, audio), "visual": (classes, visual)}
    return Part("file", np.array([f"s{i:03}" for i in range(n)]), labels, None, None, values)


def test_softmax_by_hand():
    p = to_probabilities(np.log([[1.0, 2.0, 5.0]]), LOGITS)
    np.testing.assert_allclose(p, [[1 / 8, 2 / 8, 5 / 8]], rtol=1e-15)


def test_the_product_by_hand():
    """0.8 * 0.5 : 0.2 * 0.5 = 0.8 : 0.2, and 0.8 * 0.6 : 0.2 * 0.4 = 0.48 : 0.08 = 6 : 1."""
    a = np.array([[0.8, 0.2], [0.8, 0.2]])
    b = np.array([[0.5, 0.5], [0.6, 0.4]])
    np.testing.assert_allclose(product([a, b]), [[0.8, 0.2], [6 / 7, 1 / 7]], rtol=1e-14)


def test_modalities_that_exclude_each_other_have_a_product():
    np.testing.assert_allclose(product([np.eye(2), np.eye(2)[::-1]]), np.full((2, 2), 0.5))


def test_a_zero_of_few_votes_outweighs_no_other_modality():
    """Of 10 votes 3 are for the first class and none for the last: 1 / (10 * 3) for it in place of 0. The other
    modality is sure of the last: 0.3 * 0.02 : 0.7 * 0.02 : 0.96 / 30 = 0.006 : 0.014 : 0.032."""
    votes = np.array([[0.3, 0.7, 0.0], [0.1, 0.2, 0.7]])
    other = np.array([[0.02, 0.02, 0.96], [0.02, 0.02, 0.96]])
    assert resolution([votes], PROBABILITIES) == pytest.approx(1 / 30)
    fused = product([votes, other], [resolution([p], PROBABILITIES) for p in (votes, other)])
    np.testing.assert_allclose(fused[0], np.array([6, 14, 32]) / 52)


def test_a_softmax_that_became_zero_stays_next_to_zero():
    logits = np.array([[0.0, -740.0, -2000.0]])
    assert resolution([logits], LOGITS) == 0 and resolution([to_probabilities(logits, LOGITS)], PROBABILITIES) < 1e-300
    assert resolution([np.eye(4)], PROBABILITIES) == 0.25
    assert resolution([np.eye(4), np.full((1, 4), 0.25)], PROBABILITIES) == 0.0625, "of every epoch"
    assert resolution([100 * np.eye(4) * 0.5 + 50 / 4], Reading("percentages", "")) == pytest.approx(0.125 / 4)


def test_saved_votes_are_fused_with_what_a_zero_of_them_is_worth():
    """Without it a class for which one of ten trees voted would be as good as sure where the other modality has 0."""
    votes = np.array([[0.9, 0.1], [0.1, 0.9]] * 15)
    saved = align([part(votes, np.eye(2)[np.arange(30) % 2 ^ 1])])
    np.testing.assert_allclose(saved.rounds[0].probs["fused"][0], np.array([0.9 * 0.5, 0.1]) / 0.55)


def test_zeros_are_worth_the_same_in_every_split_and_epoch():
    """A validation sample for which all trees vote alike is fused as a training sample of the same votes."""
    votes = np.array([[0.9, 0.1], [0.1, 0.9], [1.0, 0.0], [1.0, 0.0]] * 10)
    told = part(votes, votes, ["k0", "k1", "k0", "k0"] * 10)
    splits = np.array(["train", "train", "train", "val"] * 10)
    saved = align([replace(told, splits=splits)])
    expected = np.array([1.0, 0.05**2]) / (1 + 0.05**2)
    np.testing.assert_allclose(saved.rounds[0].probs["fused"][2], expected)
    np.testing.assert_allclose(saved.held_out["val"].probs["fused"][0], expected)


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        ([[0.25, 0.75], [1.0, 0.0]], "probabilities"),
        ([[0.2501, 0.7503], [1.0, 0.0]], "probabilities"),  # four digits, rounded
        ([[-1e-9, 1.0], [0.5, 0.5]], "probabilities"),  # an ensemble's mean
        ([[0.25, 0.5], [2.0, -1.5]], "logits"),
        ([[0.0, 1.0], [5.0, 0.0]], "logits"),  # whole numbers add to one by chance
        ([[-0.7, -0.7], [-0.1, -2.3]], "log-probabilities"),
        ([[0.0, -np.inf], [-0.1, -2.3]], "log-probabilities"),
        ([[-0.30103, -0.30103], [-1, -0.0457575], [-2, -0.0043648]], "log10-probabilities"),
        ([[-1, -1], [-2, -0.4150375], [-3, -0.1926451]], "log2-probabilities"),
        ([[25.0, 75.0], [100.0, 0.0]], "percentages"),
        ([[25, 75], [33, 67]], "percentages"),
    ],
)
def test_what_values_are_is_seen(rows, kind):
    assert which_kind("audio", [np.array(rows, dtype=float)], "auto", IDS[: len(rows)]).kind == kind


def test_rows_that_speak_against_the_others_are_refused_by_id():
    """What nearly all rows are is no guess; a row that is something else is an error, never a reason to read all so."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet([1, 1, 1], 40)
    ids = np.array([f"s{i:02}" for i in range(40)])
    for scale in (1, 100):
        for outlier in ([1.002, -0.002, 0], [0.5, 0.5, 0.5], [3.1, -2.2, 0.4], [1.02, 0.0, 0.0]):
            given = scale * np.vstack([p[:39], outlier])
            with pytest.raises(CurateError, match=r"(?m): 's39'$"):
                which_kind("audio", [given], "auto", ids)
            with pytest.raises(CurateError, match=r"(?m): 's39'$"):
                which_kind("audio", [scale * p, given], "auto", ids)
    with pytest.raises(CurateError, match=r"(?m): 's39'$"):
        which_kind("audio", [np.vstack([np.log10(p[:39]), [-1, -1, -1]])], "auto", ids)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda p: 2 * p, "add to 2 in each row"),
        (lambda p: 255 * p, "add to 255 in each row"),
        (lambda p: p**0.5, "as sigmoids do not"),
        (lambda p: 90 * p**0.5, "are never negative"),
        (lambda p: -np.log(p), "are negative log-probabilities"),
    ],
)
def test_what_is_neither_is_refused_with_a_way_in(make, told):
    rng = np.random.default_rng(0)
    ids, p = np.arange(50).astype(str), rng.dirichlet([1, 1, 1], 50)
    with pytest.raises(CurateError, match=told) as refused:
        which_kind("audio", [make(p)], "auto", ids)
    if "log" not in told:
        assert "score.values=proportions" in refused.value.hint
        read = which_kind("audio", [make(p)], "proportions", ids)
        np.testing.assert_allclose(to_probabilities(make(p), read), make(p) / make(p).sum(axis=1, keepdims=True))


def bfloat16(p: np.ndarray) -> np.ndarray:
    """To the nearest number of 8 significant bits."""
    bits = p.astype(np.float32).view(np.uint32)
    return ((bits + 0x8000) & 0xFFFF0000).astype(np.uint32).view(np.float32).astype(np.float64)


@pytest.mark.parametrize("classes", [2, 10, 1000])
@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda p: p.astype(np.float16).astype(float), 1e-3),
        (bfloat16, 5e-3),
        (lambda p: p.round(4), 1e-3),
        (lambda p: p.round(3), 5e-3),
        (lambda p: p.round(2), 2e-2),
        (lambda p: p.astype(np.float32).round(2).astype(float), 2e-2),
        (lambda p: (100 * p).round(1), 5e-3),
        (lambda p: (100 * p).round(0), 2e-2),
        (lambda p: np.vectorize(lambda x: float(f"{x:.3g}"))(p), 6e-3),
    ],
)
def test_rounding_is_made_good_and_said(classes, make, error):
    """However it was rounded, a probability comes back within about the rounding of the largest."""
    rng = np.random.default_rng(classes)
    z = rng.normal(size=(60, classes))
    z[np.arange(60), np.arange(60) % classes] += 2 + np.log(classes)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    read = which_kind("audio", [make(p)], "auto", np.arange(60).astype(str))
    assert read.kind in ("probabilities", "percentages") and (read.changed or classes == 2)
    np.testing.assert_allclose(to_probabilities(make(p), read), p, atol=error)


def test_an_epoch_that_is_something_else_is_refused():
    first, later = np.full((2, 2), 0.5), np.array([[3.0, -3.0], [0.2, 1.0]])
    with pytest.raises(CurateError, match="add to one in 2 of 4 rows"):
        which_kind("audio", [first, later], "auto", IDS[:2])


@pytest.mark.parametrize("values", ["auto", "probabilities"])
def test_shares_that_do_not_add_to_one_are_refused_by_id(values):
    rows = np.array([[0.5, 0.5], [0.5, 0.6], [0.1, 0.1], [1.0, 0.0]])
    with pytest.raises(CurateError, match=r"(?m)do not lie in 0..1 and add to one: 'b', 'c'$"):
        which_kind("audio", [rows], values, IDS)
    assert which_kind("audio", [rows], "logits", IDS).kind == "logits"


def test_stated_probabilities_lie_between_0_and_1():
    with pytest.raises(CurateError, match=r"(?m): 'd'$"):
        which_kind("audio", [np.array([[0.5, 0.5]] * 3 + [[2.0, -1.0]])], "probabilities", IDS)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_by_id(bad):
    rows = np.zeros((4, 2))
    rows[2, 1] = bad
    for values in ("auto", "logits", "probabilities"):
        with pytest.raises(CurateError, match=r"(?m)for 'c'$"):
            which_kind("audio", [rows], values, IDS)


def test_rounded_probabilities_are_renormalised():
    p = to_probabilities(np.array([[0.3334, 0.3333, 0.3330]]), PROBABILITIES)
    np.testing.assert_allclose(p, np.array([[0.3334, 0.3333, 0.3330]]) / 0.9997, rtol=1e-15)
    assert abs(p.sum() - 1) < 1e-15


@given(arrays(np.float64, (12, 3), elements=FINITE), arrays(np.float64, (12, 3), elements=FINITE))
def test_any_finite_numbers_give_posteriors_or_a_named_error(audio, visual):
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            (found,) = align([part(audio, visual)]).rounds
        except CurateError as refused:
            assert refused.hint and "'s0" in refused.message
            return
        for p in found.probs.values():
            assert np.isfinite(p).all() and (p >= 0).all()
            np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-12)
        scored = fit_round(found, MixtureConfig())
    assert np.isfinite(scored.p_balanced).all()
    assert (scored.p_balanced >= 0).all() and (scored.p_balanced <= 1).all()


@given(arrays(np.float64, (4, 2), elements=ANY))
def test_any_numbers_at_all_give_probabilities_or_a_named_error(values):
    try:
        p = to_probabilities(values, which_kind("audio", [values], "auto", IDS))
    except CurateError as refused:
        assert refused.hint and refused.message.startswith(("audio", "the values of audio"))
    else:
        np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-12)


@given(
    arrays(np.float64, (6, 3), elements=st.floats(-30, 30)),
    arrays(np.float64, (6, 1), elements=st.floats(-100, 100)),
)
def test_logits_shifted_by_a_constant_are_the_same(logits, shift):
    np.testing.assert_allclose(
        to_probabilities(logits + shift, LOGITS), to_probabilities(logits, LOGITS), rtol=1e-11, atol=1e-14
    )


@given(arrays(np.float64, (6, 3), elements=st.floats(-20, 20)))
def test_logits_and_their_probabilities_are_the_same(logits):
    p = to_probabilities(logits, LOGITS)
    assert which_kind("audio", [p], "auto", np.arange(6).astype(str)).kind == "probabilities"
    np.testing.assert_allclose(to_probabilities(p, PROBABILITIES), p, rtol=1e-14)
    np.testing.assert_allclose(to_probabilities(np.log(p), LOGITS), p, rtol=1e-11)
