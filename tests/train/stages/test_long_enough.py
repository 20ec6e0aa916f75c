"""The length of a warm-up that nobody set: by the number of steps, not of epochs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from curate.train.stages.score import plan_score
from curate.train.stages.settings import MOST, STEPS, long_enough


@pytest.mark.parametrize(
    ("samples", "batch", "epochs"),
    [
        (1000, 64, 63),  # 16 steps an epoch: 63 x 16 = 1008
        (2048, 64, 32),  # 32 steps
        (5000, 64, 30),  # 79 steps: the usual epochs are enough
        (300, 64, 200),  # 5 steps: exactly 1000
        (40, 64, MOST),
        (0, 64, MOST),
    ],
)
def test_epochs_by_hand(samples: int, batch: int, epochs: int) -> None:
    assert long_enough(30, samples, batch) == epochs and STEPS == 1000


def test_whoever_sets_more_epochs_than_that_has_them() -> None:
    assert long_enough(500, 1000, 64) == 500


@pytest.mark.parametrize(
    ("layer", "chosen"),
    [
        ({}, True),
        ({"score": {"epochs": 30}}, False),
        ({"optim": {"lr": 0.1}}, False),
        ({"optim": {"optimizer": "adam"}}, False),
    ],
)
def test_it_is_chosen_where_nothing_sets_length_rate_or_optimiser(layer, chosen, work, toy, monkeypatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(toy, "defaults", {})
    run, dataset = plan_score(replace(work, message=told.append), "toy", None, [layer], 0)
    count = sum(s.split == "train" for s in dataset.samples)
    expected = long_enough(30, count, 64) if chosen else 30
    assert run.config["score"]["epochs"] == expected and (expected > 30) == chosen
    assert any(f"{expected} epochs were chosen" in line for line in told) == chosen


def test_a_data_set_s_own_length_stays(work, toy) -> None:
    run, _ = plan_score(work, "toy", None, [], 0)
    assert run.config["score"]["epochs"] == toy.defaults["score.epochs"]
