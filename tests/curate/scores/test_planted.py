"""What became of planted faults: intervals by hand, and what is said of them."""

from __future__ import annotations

import numpy as np
import pytest

from curate.scores.planted import Share, found


def test_wilson_by_hand() -> None:
    # 8 of 10 at z = 1.96: centre (0.8 + 0.19208) / 1.38416, half width 1.96 sqrt(0.016 + 0.009604) / 1.38416
    assert Share(8, 10).interval == pytest.approx((0.4901, 0.9433), abs=1e-4)
    assert Share(0, 10).interval == pytest.approx((0, 0.2775), abs=1e-4) and Share(0, 0).interval == (0, 1)
    assert Share(8, 10).in_ten() == "8 of 10" and Share(3, 100).in_ten() == "1 of 20"
    assert Share(1, 100).in_ten() == "1 of 100" and Share(0, 9).in_ten() == "0 of 10"


def planted(scores: np.ndarray, claims: np.ndarray, harmless: bool = False):
    """Ten planted samples first, forty without a fault, and ten with another fault, which do not count."""
    rows = np.arange(60)
    return found("noise", "visual", scores, claims, rows < 10, (rows >= 10) & (rows < 50), harmless=harmless)


def test_counts_by_hand() -> None:
    scores = np.linspace(1, 0, 60)
    claims = np.isin(np.arange(60), (0, 1, 2, 3, 4, 5, 6, 7, 20, 55))
    result = planted(scores, claims)
    assert (result.claimed, result.right, result.first) == (Share(8, 10), Share(8, 9), Share(10, 10))
    assert (result.auroc, result.low, result.high) == pytest.approx((1, 1, 1))
    assert result.words == "8 of 10 would be found, 1 of 10 claims wrong"
    assert planted(scores, claims & False).words == "10 of 10 would rank first, and not claimed"
    assert planted(scores, claims, harmless=True).words == "no fault, yet 8 of 10 would be called broken"


def test_nothing_is_said_to_be_found_by_chance() -> None:
    scores = np.random.default_rng(0).random(60)
    result = planted(scores, np.zeros(60, dtype=bool))
    assert result.low < 0.5 < result.high and result.words == "would not be found here"
    assert planted(scores, scores < 0, harmless=True).words == "no fault, and not taken for one"
    assert found("noise", "visual", scores, scores < 0, scores < 0, scores > 0) is None


def test_ties_are_broken_by_chance_and_not_by_position() -> None:
    rows = np.arange(1000)
    result = found("noise", "visual", np.zeros(1000), rows < 0, rows < 100, rows >= 100)
    assert result.first.hits < 30 and result.auroc == 0.5
