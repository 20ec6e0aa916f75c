"""The part of a clip that a network sees: a window of frames and a square of them.

Letters: B batch, F frames kept, T frames seen, S side of the kept frame, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from curate.types import ClipSpec, FlowSpec


class Clips(nn.Module):
    """Clips (B, F, S, S, C) of integers to (B, T, C, crop, crop): a part of each, scaled as the network wants it.

    Optical flow becomes motion in units of `FlowSpec.limit`, in [-1, 1]; RGB has ImageNet's mean and deviation, grey
    lies in [-1, 1].
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, spec: ClipSpec, mean: list[float], deviation: list[float]) -> None:
        super().__init__()
        self.spec = spec
        shift, scale = ([0.0], [127.0]) if isinstance(spec, FlowSpec) else (mean, deviation)
        unit = 1.0 if isinstance(spec, FlowSpec) else 255.0
        self.register_buffer("mean", unit * torch.tensor(shift)[:, None, None], persistent=False)
        self.register_buffer("deviation", unit * torch.tensor(scale)[:, None, None], persistent=False)

    def forward(self, clips: Tensor, place: Tensor | None = None) -> Tensor:
        """The parts.

        Args:
            clips: (B, F, S, S, C).
            place: (B, 3) in [0, 1), where the window begins, and top and left of the square, as shares of the room
                there is; equal places see the same part in every modality. None is the middle.
        """
        window, crop = self.spec.window, self.spec.crop
        room = torch.tensor([self.spec.frames - window, self.spec.size - crop, self.spec.size - crop])
        corners = (room // 2).expand(len(clips), 3) if place is None else (place * (room + 1)).long()
        parts = [
            clip[t : t + window, y : y + crop, x : x + crop]
            for clip, (t, y, x) in zip(clips, corners.tolist(), strict=True)
        ]
        return (torch.stack(parts).movedim(-1, 2).float() - self.mean) / self.deviation
