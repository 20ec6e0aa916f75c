"""Which class a warm-up preferred to the label."""

from __future__ import annotations

import numpy as np
import pytest

from curate.scores.preferences import Preferences, preferences
from curate.types import FUSED


@pytest.mark.parametrize("m", [0, 1, 2])
def test_led_by_a_modality_is_as_if_it_were_the_fusion(m: int) -> None:
    rng, names, labels = np.random.default_rng(0), ("audio", "visual", "text"), np.arange(30) % 4
    epochs = [{name: rng.dirichlet(np.ones(4), 30) for name in (*names, FUSED)} for _ in range(3)]
    said = preferences(epochs, names, labels)
    led = said.led_by(m, said)
    expected = preferences([{**probs, FUSED: probs[names[m]]} for probs in epochs], names, labels)
    for found, same in ((led.own, expected.own), (led.other, expected.other), (led.cross, expected.cross)):
        assert np.array_equal(found, same)
    assert np.array_equal(led.margin(3), led.margin(m)) and np.array_equal(led.margin(0, 3), led.margin(0, m))


def test_who_leads_has_weights_of_its_own_and_the_others_keep_theirs() -> None:
    rng, names, labels = np.random.default_rng(0), ("audio", "visual"), np.arange(30) % 4
    epochs = [{name: rng.dirichlet(np.ones(4), 30) for name in (*names, FUSED)} for _ in range(3)]
    first, own = (
        preferences(epochs, names, labels, {m: np.array(w) for m in (*names, FUSED)}) for w in ([3, 1, 1], [1, 1, 9])
    )
    led = first.led_by(1, own)
    assert np.array_equal(led.margin(2), own.margin(1)) and not np.array_equal(led.margin(2), first.margin(1))
    for m in (0, 1):
        assert np.array_equal(led.margin(m), first.margin(m)) and np.array_equal(led.margin(m, 0), first.margin(m, 0))


def one_modality() -> tuple[Preferences, np.ndarray]:
    """What a modality and the fusion found of three samples of the classes 0, 0 and 1; of class 2 there is none."""
    cross = np.array([[[0.2, 0.1], [0.1, 0.3]], [[0.3, 0.1], [0.2, 0.6]], [[0.4, 0.2], [0.1, 0.1]]])
    own, other = np.array([[0.6, 0.5], [0.4, 0.2], [0.5, 0.7]]), np.array([[1, 2], [2, 1], [0, 2]])
    return Preferences(own, other, cross), np.array([0, 0, 1])


def test_the_fusion_decides_by_hand() -> None:
    said, labels = one_modality()
    p, denied, given = said.decided(labels)
    assert list(p) == [0.5, 0.6, 0.7] and list(denied) == [False, True, False] and list(given) == [0, 1, 1]


def test_frequency_and_confidence_are_made_equal_by_hand() -> None:
    """The classes have 2, 1 and 0 samples, and one more each. They are found at .5, .5 and, as there is none, 1 by the
    modality, and at .35, .7 and 1 by the fusion."""
    said, labels = one_modality()
    of_others = np.array([[3 / 2, 3], [3, 3 / 2], [2 / 3, 2]])
    np.testing.assert_allclose(said.at_equal_frequency(labels).cross / said.cross, np.dstack([of_others, of_others]))
    of_both = [[[1, 0.5], [0.5, 0.35]], [[0.5, 0.35], [1, 0.5]], [[1, 2], [0.5, 0.7]]]
    np.testing.assert_allclose(said.at_equal_confidence(labels).cross / said.cross, of_both)
