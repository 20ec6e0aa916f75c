"""Which class a warm-up preferred to the label."""

from __future__ import annotations

import numpy as np
import pytest

from curate.scores.preferences import preferences
from curate.types import FUSED


@pytest.mark.parametrize("m", [0, 1, 2])
def test_led_by_a_modality_is_as_if_it_were_the_fusion(m: int) -> None:
    rng, names, labels = np.random.default_rng(0), ("audio", "visual", "text"), np.arange(30) % 4
    epochs = [{name: rng.dirichlet(np.ones(4), 30) for name in (*names, FUSED)} for _ in range(3)]
    led = preferences(epochs, names, labels).led_by(m)
    expected = preferences([{**probs, FUSED: probs[names[m]]} for probs in epochs], names, labels)
    for found, same in ((led.own, expected.own), (led.other, expected.other), (led.cross, expected.cross)):
        assert np.array_equal(found, same)
    assert np.array_equal(led.margin(3), led.margin(m)) and np.array_equal(led.margin(0, 3), led.margin(0, m))
