"""Transforms of stored rows that networks receive nearly as they are: token ids and waveforms."""

from __future__ import annotations

from torch import Tensor, nn
from typing_extensions import override


class Tokens(nn.Module):
    """Token ids (B, L) int32 to int64, cut to the length of the longest text of the batch."""

    @override
    def forward(self, ids: Tensor) -> Tensor:
        used = (ids != 0).any(dim=0).nonzero()
        longest = int(used.max()) + 1 if len(used) else 1
        return ids[:, :longest].long()


class Waveform(nn.Module):
    """Waveforms (B, T) int16 to [-1, 1], for encoders that read sound itself."""

    @override
    def forward(self, waveforms: Tensor) -> Tensor:
        return waveforms.float() / 32767
