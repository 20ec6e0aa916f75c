"""How much too sure of itself a model is, on probabilities whose nature is known by construction."""

from __future__ import annotations

import numpy as np
import pytest

from curate.predictions.judging import judge_labels
from curate.predictions.values import softmax
from curate.scores.sureness import softened, temperature
from curate.scores.two_groups import CLAIMED
from curate.types import FUSED, Predictions

COUNT, CLASSES = 2000, 8


def world(seed: int, wrong: float = 0.0, scale: float = 1.4):
    """(N, K) logits of which the classes are drawn, so that their softmax is calibrated, and labels; some wrong."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, scale, (COUNT, CLASSES)) + 6 * np.eye(CLASSES)[rng.integers(0, CLASSES, COUNT)]
    labels = (softmax(logits).cumsum(axis=1) > rng.random((COUNT, 1))).argmax(axis=1)
    changed = rng.random(COUNT) < wrong
    return logits, np.where(changed, (labels + rng.integers(1, CLASSES, COUNT)) % CLASSES, labels), changed


@pytest.mark.parametrize("wrong", [0.0, 0.15])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_found_beside_wrong_labels(seed: int, wrong: float) -> None:
    logits, labels, _ = world(seed, wrong)
    assert temperature(softmax(logits), labels) <= 1.15
    assert temperature(softmax(5 * logits), labels) == pytest.approx(5, rel=0.15)
    assert temperature(softmax(logits / 3), labels) == 1, "a model that is less sure than it could be is left so"


def test_softening_by_hand() -> None:
    """Roots of 0.64 : 0.32 : 0.04 are as 0.8 : 0.566 : 0.2."""
    roots = np.sqrt([[0.64, 0.32, 0.04]])
    np.testing.assert_allclose(softened(np.array([[0.64, 0.32, 0.04]]), 2.0), roots / roots.sum())
    np.testing.assert_allclose(
        softened(softmax(np.array([[4.0, 2.0, 0.0]])), 2.0), softmax(np.array([[2.0, 1.0, 0.0]]))
    )
    assert softened(roots, 1.0) is roots


def test_without_any_held_out_label_nothing_is_known() -> None:
    assert temperature(np.empty((0, 3)), np.empty(0, dtype=np.int64)) == 1


@pytest.mark.parametrize("seed", range(3))
def test_labels_are_not_called_wrong_because_the_model_is_too_sure(seed: int) -> None:
    """One label in five is less probable than one other class, by any amount; no label is wrong."""
    rng, rows = np.random.default_rng(seed), np.arange(1000)
    labels = rng.integers(0, CLASSES, len(rows))
    logits = rng.normal(-2, 0.3, (len(rows), CLASSES))
    logits[rows, (labels + rng.integers(1, CLASSES, len(rows))) % CLASSES] = 0
    logits[rows, labels] = 1 + rng.standard_t(2, len(rows))
    probs = softmax(5 * logits)
    names = tuple(f"k{c}" for c in range(CLASSES))
    said = Predictions(rows.astype(str), labels, names, ("a", "b"), dict.fromkeys(("a", "b", FUSED), probs))
    assert (np.nan_to_num(judge_labels([said])[1]) > CLAIMED).mean() <= 0.02
