"""What an epoch counts for, and what is found of labels that are known by heart in the end."""

from __future__ import annotations

import numpy as np
import pytest

from curate.scores.heart import epoch_weights
from curate.scores.labels import judge
from curate.scores.preferences import preferences
from curate.scores.two_groups import CLAIMED
from curate.types import FUSED

NAMES = ("audio", "visual")


def test_weights_by_hand() -> None:
    """n = 10: errors are 0.6 of 0.6, 0.2 of 0.3 and 0.1 of 0.3; sound has learnt half of its best at first."""
    right = np.array([0.5, 0.9, 1.0])
    held = {"audio": np.array([0.4, 0.8, 0.8]), "visual": np.zeros(3), FUSED: np.array([0.5, 0.8, 0.8])}
    found = epoch_weights(right, held, 10)
    assert found["audio"] == pytest.approx([1 / 16, 4 / 9, 1 / 9])
    assert found["visual"] == pytest.approx([1, 4 / 9, 1 / 9]), "one that learns nothing has no best epoch"
    assert found[FUSED] == pytest.approx([(5 / 8) ** 4, 4 / 9, 1 / 9])
    by_audio = epoch_weights(np.array([0.4, 0.8, 0.9]), held, 10, "audio")  # errors 0.7 of 0.7, 0.3 of 0.3, 0.2 of 0.3
    assert by_audio["audio"] == pytest.approx([1 / 16, 1, 4 / 9])
    assert by_audio[FUSED] == pytest.approx([(5 / 8) ** 4, 1, 4 / 9])


def test_what_is_never_known_by_heart_counts_as_it_was_learnt() -> None:
    held = {FUSED: np.array([0.3, 0.6, 0.6])}
    for right in (held[FUSED], np.zeros(3)):
        assert epoch_weights(right, held, 100)[FUSED] == pytest.approx([1 / 16, 1, 1])
    perfect = np.ones(3)
    assert epoch_weights(perfect, {FUSED: perfect}, 100)[FUSED] == pytest.approx(perfect), (
        "not known by heart, but read"
    )


def test_wrong_labels_are_found_that_the_last_epochs_know_by_heart() -> None:
    """A tenth of 1000 labels is wrong. Three epochs deny them, as they do of held-out samples; seventeen give them."""
    rng, count, classes = np.random.default_rng(0), 1000, 5
    truth = np.arange(count) % classes
    wrong = np.arange(count) < count // 10
    labels = np.where(wrong, (truth + rng.integers(1, classes, count)) % classes, truth)

    def epoch(shown: np.ndarray) -> dict[str, np.ndarray]:
        sure = 1 / (1 + np.exp(-rng.normal(3, 0.7, (3, count))))[..., None]
        one_hot = np.eye(classes)[shown]
        probs = sure * one_hot + (1 - sure) * (1 - one_hot) / (classes - 1)
        return dict(zip((*NAMES, FUSED), probs, strict=True))

    epochs = [epoch(truth) for _ in range(3)] + [epoch(labels) for _ in range(17)]
    right = np.array([(e[FUSED].argmax(axis=1) == labels).mean() for e in epochs])
    weights = epoch_weights(right, dict.fromkeys((*NAMES, FUSED), np.full(20, 0.9)), 300)
    whole = np.zeros((count, 2))
    alike = judge(preferences(epochs, NAMES, labels), labels, whole).p_mislabelled > CLAIMED
    weighed = judge(preferences(epochs, NAMES, labels, weights), labels, whole).p_mislabelled > CLAIMED
    assert not alike.any()
    assert np.array_equal(weighed, wrong)
