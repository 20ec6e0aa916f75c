"""Multimodal transfer module: squeeze-and-excitation across the feature maps of several modalities.

Joze, Shaban, Iuzzolino, Koishida, CVPR 2020, with two changes of Wu et al., ICML 2022: the gate is sigmoid(E) instead
of 2 sigmoid(E), and it has a running mean. Letters: B batch, F frames, C channels of a modality.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Gate(nn.Module):
    """From the shared squeeze (B, Z) to one modality's gate (B, C), in (0, 1), and its mean over all training steps."""

    mean: Tensor
    steps: Tensor

    def __init__(self, squeezed: int, channels: int) -> None:
        super().__init__()
        self.excite = nn.Linear(squeezed, channels)
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward(self, squeezed: Tensor, frozen: bool) -> Tensor:
        """The gate, or if `frozen` its running mean, which is the same for every sample and has no gradient."""
        gate = torch.sigmoid(self.excite(squeezed))
        if self.training:
            self.steps += 1
            self.mean += (gate.detach().mean(dim=0) - self.mean) / self.steps
        return self.mean.clone().expand_as(gate) if frozen else gate


class MMTM(nn.Module):
    """Multiplies every modality's maps by a gate that is computed from the pooled maps of all modalities.

    Args:
        channels: {m: C_m}.
        ratio: the shared squeeze has 2 sum(C) / ratio features.
    """

    def __init__(self, channels: Mapping[str, int], ratio: float) -> None:
        super().__init__()
        total = sum(channels.values())
        squeezed = int(2 * total / ratio)
        self.squeeze = nn.Linear(total, squeezed)
        self.gates = nn.ModuleDict({m: Gate(squeezed, c) for m, c in channels.items()})

    def forward(self, maps: Mapping[str, Tensor], frozen: str | None = None) -> dict[str, Tensor]:
        """Maps {m: (B, F, C_m, H, W)} to the same, gated; the gate of the modality `frozen` is its running mean."""
        pooled = torch.cat([maps[m].mean(dim=(1, 3, 4)) for m in self.gates], dim=1)
        squeezed = F.relu(self.squeeze(pooled))
        return {m: maps[m] * gate(squeezed, m == frozen)[:, None, :, None, None] for m, gate in self.gates.items()}
