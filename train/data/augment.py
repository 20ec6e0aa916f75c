"""Plain augmentation, the same for every data set: circular rolls, and masked bands of spectrograms.

Every remedy must be compared with it: it needs no score, and is better than most remedies that do. Its extents are
shares of the input, taken from those that helped on inputs of 32 x 32: rolls of up to 3, masks of up to 5 bins and 6
columns.

Letters: B batch, C all axes between batch and the last two, H rows or bins, W columns.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from curate.specs import AudioSpec, ClipSpec, InputSpec, VisualSpec

Augment = Literal["dataset", "shift"]
ROLL, BINS, COLUMNS = 3 / 32, 5 / 32, 6 / 32
"""Shares of the extent: the farthest roll in either direction, the widest mask in frequency, the widest in time."""


def shifted(x: Tensor, spec: InputSpec) -> Tensor:
    """A batch of network inputs, with random changes for each sample; texts and features are left unchanged.

    Spectrograms (B, 1, bins, columns) are rolled in time, and some bins and some columns are set to the sample's mean.
    Waveforms (B, T) are rolled in time. Frames (B, F, C, H, W) are rolled in both directions of space, by the same
    steps for all frames of a sample.
    """
    if isinstance(spec, AudioSpec) and x.ndim == 2:
        steps = torch.stack([torch.zeros(len(x), dtype=torch.long), draw_rolls(len(x), x.shape[-1])], dim=1)
        return rolled(x[:, None, None], steps)[:, 0, 0]
    if isinstance(spec, AudioSpec):
        x = rolled(x, torch.stack([torch.zeros(len(x), dtype=torch.long), draw_rolls(len(x), x.shape[-1])], dim=1))
        bins, columns = (draw_bands(len(x), n, s) for n, s in ((x.shape[-2], BINS), (x.shape[-1], COLUMNS)))
        return masked(x, bins, columns)
    if isinstance(spec, VisualSpec | ClipSpec):
        return rolled(x, torch.stack([draw_rolls(len(x), x.shape[axis]) for axis in (-2, -1)], dim=1))
    return x


def widest(extent: int, share: float) -> int:
    """A share of an extent in whole steps, at least one."""
    return max(1, round(extent * share))


def draw_rolls(count: int, extent: int) -> Tensor:
    """(count,) whole steps, uniform up to `ROLL` of the extent in either direction."""
    reach = widest(extent, ROLL)
    return torch.randint(-reach, reach + 1, (count,))


def draw_bands(count: int, extent: int, share: float) -> Tensor:
    """(count, extent) true on a band at a random place, its width uniform from 1 to `share` of the extent."""
    width = torch.randint(1, widest(extent, share) + 1, (count, 1))
    start = (torch.rand(count, 1) * (extent - width + 1)).long()
    places = torch.arange(extent)
    return (places >= start) & (places < start + width)


def rolled(x: Tensor, by: Tensor) -> Tensor:
    """(B, ..., H, W), every sample rolled circularly by its (B, 2) steps down and to the right."""
    height, width = x.shape[-2:]
    down, right = by.to(x.device).T
    rows = (torch.arange(height, device=x.device) - down[:, None]) % height
    columns = (torch.arange(width, device=x.device) - right[:, None]) % width
    flat = x.flatten(1, -3)
    sample = torch.arange(len(x), device=x.device)[:, None, None, None]
    channel = torch.arange(flat.shape[1], device=x.device)[:, None, None]
    return flat[sample, channel, rows[:, None, :, None], columns[:, None, None, :]].view_as(x)


def masked(x: Tensor, bins: Tensor, columns: Tensor) -> Tensor:
    """(B, 1, H, W) with the sample's mean where the (B, H) or the (B, W) mask is true."""
    hidden = (bins[:, :, None] | columns[:, None, :])[:, None].to(x.device)
    return torch.where(hidden, x.mean(dim=(1, 2, 3), keepdim=True), x)
