"""Logits of two epochs, and what several processes record of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from curate.torch import Recorder

N, CLASSES = 60, ("bark", "horn", "rain")


def logits(seed: int, labels, skill: float):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(skill * np.eye(3)[labels] + rng.normal(size=(len(labels), 3)))


@pytest.fixture
def batches():
    """Ids, labels and logits of two epochs."""
    labels = np.arange(N) % 3
    ids = [f"s{i:03d}" for i in range(N)]
    return ids, labels, [{"audio": logits(e, labels, 2.0), "visual": logits(9 + e, labels, 0.5)} for e in range(2)]


def record(folder, batches, monkeypatch, ranks=((0, 1),), size=7, **options):
    """Both epochs, by each of some processes with its share of the samples, padded as a sampler does."""
    ids, labels, epochs = batches
    for rank, world in ranks:
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(world))
        recorder = Recorder(folder, CLASSES, **options)
        own = [*range(N), *range(-N % world)][rank::world]
        for predicted in epochs:
            with recorder.epoch():
                for start in range(0, len(own), size):
                    rows = own[start : start + size]
                    recorder.add([ids[i] for i in rows], labels[rows], {m: x[rows] for m, x in predicted.items()})
    return recorder
