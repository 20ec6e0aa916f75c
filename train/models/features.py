"""Encoders of features computed beforehand: vectors (B, D_in) are standardised and become features (B, D)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import override

CHUNK = 8192  # rows


class StandardisedFeatures(nn.Module):
    """Vectors minus their mean, divided by their standard deviation; the fusion's head on them is a linear classifier.

    Mean and standard deviation are those of the samples trained on, and are saved with the weights. Validation and test
    samples are not used for them, nor are samples held out of a fold. A feature that is constant there is only centred.

    Args:
        inputs: number of features, which is also that of the output.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.dim = inputs
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(inputs))

    def observe(self, array: NDArray[Any], rows: NDArray[np.int64]) -> None:
        """Set mean and standard deviation, each (D_in,), from some rows of (N, D_in), in float64 by chunks."""
        mean = sum(part.sum(axis=0) for part in _chunks(array, rows)) / len(rows)
        variance = sum(np.square(part - mean).sum(axis=0) for part in _chunks(array, rows)) / len(rows)
        # Rounding alone makes the deviation of a constant this large.
        constant = np.sqrt(variance) <= 1e-7 * np.abs(mean)
        self.mean.copy_(torch.from_numpy(mean))
        self.scale.copy_(torch.from_numpy(np.where(constant, 1.0, np.sqrt(variance))))

    @override
    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.scale


class MLP(StandardisedFeatures):
    """One hidden layer of 256 rectified units on standardised vectors; its activations are the features."""

    def __init__(self, inputs: int) -> None:
        super().__init__(inputs)
        self.dim = 256
        self.hidden = nn.Linear(inputs, self.dim)

    @override
    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.hidden(super().forward(x)))


FEATURE_ENCODERS: dict[str, type[StandardisedFeatures]] = {"linear": StandardisedFeatures, "mlp": MLP}


def _chunks(array: NDArray[Any], rows: NDArray[np.int64]) -> Iterator[NDArray[np.float64]]:
    """The rows as arrays (at most CHUNK, D)."""
    for start in range(0, len(rows), CHUNK):
        yield array[rows[start : start + CHUNK]].astype(np.float64)
