"""What a sample looks or sounds like at the lowest level: statistics of an encoder's first two stages.

Deeper layers encode what a sample *is* and have memorised it: samples that are close there are alike in how well they
were memorised, which shows nothing about whether a modality is broken.

Letters: N samples, B batch, C channels, D appearance statistics.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from curate.torch.heads import channel_statistics
from curate.train.data.samples import RunData, Samples
from curate.train.loop.engine import Trainer
from curate.types import Floats

SIDE, CHUNK = 8, 512
"""Side of the grid of coarse content, and samples read at once."""


def early_layers(encoder: nn.Module) -> tuple[nn.Module, ...]:
    """The layers that end the first two stages of an encoder of pictures or clips; () of any other encoder."""
    return getattr(encoder, "early", ())


def is_deep(encoder: nn.Module) -> bool:
    """Whether an encoder gives only its final features, as those of texts and of features computed beforehand do."""
    return not early_layers(encoder)


@torch.no_grad()
def appearance(trainer: Trainer, data: RunData, samples: Samples) -> dict[str, Floats]:
    """{modality: (N, D)} in eval mode and un-augmented: spatial mean and standard deviation of each channel.

    The statistics are averaged over frames. For an encoder without early layers they are its features, see `is_deep`.
    """
    model = trainer.evaluated
    model.eval()
    trainer.transform.eval()
    parts: dict[str, list[Tensor]] = {m: [] for m in model.modalities}
    for raw in data.ordered_batches(samples):
        batch = trainer.transform(raw.to(trainer.device))
        for m in model.modalities:
            encoder = model.encoders.get_submodule(m)
            with _watched(early_layers(encoder)) as seen:
                features = model.encode({m: batch.inputs[m]})[m]
            found = torch.cat([channel_statistics(x, len(features)) for x in seen], dim=1) if seen else features
            parts[m].append(found.double().cpu())
    return {m: torch.cat(p).numpy().astype(np.float64) for m, p in parts.items()}


def patterns(samples: Samples, modality: str) -> Floats | None:
    """(N, 64) coarse content of pictures (8 x 8 pixels) or sounds (log power, 8 bands by 8 times); None of others.

    Pictures are averaged over frames and colours.
    """
    array = samples.cache.arrays[modality]
    rows = samples.rows
    coarse = {5: _coarse_pictures, 2: _coarse_sounds}.get(array.ndim)
    if coarse is None or (array.ndim == 2 and array.dtype != np.int16):
        return None
    found = [coarse(np.asarray(array[rows[i : i + CHUNK]], dtype=np.float64)) for i in range(0, len(rows), CHUNK)]
    return np.concatenate(found)


def _coarse_pictures(x: Floats) -> Floats:
    """(n, F, S, S, C) to (n, 64)."""
    return _pooled(x.mean(axis=(1, 4)))


def _coarse_sounds(x: Floats) -> Floats:
    """(n, T) to (n, 64): eight stretches, of each the log power in eight bands that widen upwards."""
    pieces = x[:, : x.shape[1] // SIDE * SIDE].reshape(len(x), SIDE, -1)
    power = np.abs(np.fft.rfft(pieces * np.hanning(pieces.shape[2]))) ** 2
    edges = np.unique(np.geomspace(1, power.shape[2], SIDE + 1).astype(int))
    bands = [power[..., a:b].mean(axis=2) for a, b in itertools.pairwise(edges)]
    return np.log(np.stack(bands, axis=2) + 1.0).reshape(len(x), -1)


def _pooled(x: Floats) -> Floats:
    """(n, S, S) to (n, 64) means over an even grid; smaller pictures are kept as they are."""
    side = min(SIDE, x.shape[1])
    parts = [np.stack([c.mean(axis=(1, 2)) for c in np.array_split(r, side, axis=2)], 1)
             for r in np.array_split(x, side, axis=1)]  # fmt: skip
    return np.concatenate(parts, axis=1)


@contextmanager
def _watched(layers: tuple[nn.Module, ...]) -> Iterator[list[Tensor]]:
    """The outputs of the layers during one forward, in order."""
    seen: list[Tensor] = []
    hooks = [layer.register_forward_hook(lambda _, __, output: seen.append(output)) for layer in layers]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
