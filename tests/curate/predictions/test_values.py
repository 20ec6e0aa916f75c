"""Logits or probabilities, whatever finite numbers come."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from curate.errors import CurateError
from curate.predictions.align import align
from curate.predictions.part import Part
from curate.predictions.values import product, to_probabilities, which_kind
from curate.scoring import MixtureConfig, fit_round

IDS = np.array(["a", "b", "c", "d"])
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
    p = to_probabilities(np.log([[1.0, 2.0, 5.0]]), "logits")
    np.testing.assert_allclose(p, [[1 / 8, 2 / 8, 5 / 8]], rtol=1e-15)


def test_the_product_by_hand():
    """0.8 * 0.5 : 0.2 * 0.5 = 0.8 : 0.2, and 0.8 * 0.6 : 0.2 * 0.4 = 0.48 : 0.08 = 6 : 1."""
    a = np.array([[0.8, 0.2], [0.8, 0.2]])
    b = np.array([[0.5, 0.5], [0.6, 0.4]])
    np.testing.assert_allclose(product([a, b]), [[0.8, 0.2], [6 / 7, 1 / 7]], rtol=1e-14)


def test_modalities_that_exclude_each_other_have_a_product():
    np.testing.assert_allclose(product([np.eye(2), np.eye(2)[::-1]]), np.full((2, 2), 0.5))


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        ([[0.25, 0.75], [1.0, 0.0]], "probabilities"),
        ([[0.2501, 0.7503], [1.0, 0.0]], "probabilities"),  # four digits, rounded
        ([[-1e-9, 1.0], [0.5, 0.5]], "probabilities"),  # an ensemble's mean
        ([[0.25, 0.75], [2.0, -1.0]], "logits"),
        ([[-0.7, -0.7], [-0.1, -2.3]], "logits"),  # log-probabilities
    ],
)
def test_what_values_are_is_seen(rows, kind):
    assert which_kind("audio", [np.array(rows)], "auto", IDS) == kind


def test_one_epoch_outside_makes_all_epochs_logits():
    first, later = np.full((2, 2), 0.5), np.array([[3.0, -3.0], [0.0, 1.0]])
    assert which_kind("audio", [first, later], "auto", IDS) == "logits"


@pytest.mark.parametrize("values", ["auto", "probabilities"])
def test_shares_that_do_not_add_to_one_are_refused_by_id(values):
    rows = np.array([[0.5, 0.5], [0.5, 0.6], [0.1, 0.1], [1.0, 0.0]])
    with pytest.raises(CurateError, match=r"audio do not .* for 'b', 'c'$"):
        which_kind("audio", [rows], values, IDS)
    assert which_kind("audio", [rows], "logits", IDS) == "logits"


def test_stated_probabilities_lie_between_0_and_1():
    with pytest.raises(CurateError, match=r"for 'd'$"):
        which_kind("audio", [np.array([[0.5, 0.5]] * 3 + [[2.0, -1.0]])], "probabilities", IDS)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_by_id(bad):
    rows = np.zeros((4, 2))
    rows[2, 1] = bad
    for values in ("auto", "logits", "probabilities"):
        with pytest.raises(CurateError, match=r"for 'c'$"):
            which_kind("audio", [rows], values, IDS)


def test_rounded_probabilities_are_renormalised():
    p = to_probabilities(np.array([[0.3334, 0.3333, 0.3330]]), "probabilities")
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
        assert refused.hint and refused.message.startswith(("audio", "the probabilities of audio"))
    else:
        np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-12)


@given(
    arrays(np.float64, (6, 3), elements=st.floats(-30, 30)),
    arrays(np.float64, (6, 1), elements=st.floats(-100, 100)),
)
def test_logits_shifted_by_a_constant_are_the_same(logits, shift):
    np.testing.assert_allclose(
        to_probabilities(logits + shift, "logits"), to_probabilities(logits, "logits"), rtol=1e-11, atol=1e-14
    )


@given(arrays(np.float64, (6, 3), elements=st.floats(-20, 20)))
def test_logits_and_their_probabilities_are_the_same(logits):
    p = to_probabilities(logits, "logits")
    assert which_kind("audio", [p], "auto", IDS) == "probabilities"
    np.testing.assert_allclose(to_probabilities(p, "probabilities"), p, rtol=1e-14)
    np.testing.assert_allclose(to_probabilities(np.log(p), "logits"), p, rtol=1e-11)
