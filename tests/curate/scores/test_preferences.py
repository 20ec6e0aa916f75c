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
