"""Crops of frames and clips for the network: a window of frames, and a square or any rectangle of them.

Letters: B batch, F frames stored, T frames cropped, H height, W width, S side of the stored or the resized frame,
C channels.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from curate.specs import ClipSpec, FlowSpec


class Clips(nn.Module):
    """Clips (B, F, S, S, C) of integers to (B, T, C, crop, crop): a part of each, scaled for the network.

    Optical flow becomes motion in units of `FlowSpec.limit`, in [-1, 1]; RGB is normalised by ImageNet's mean and
    deviation; grey is scaled to [-1, 1].
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
        """Crop and scale clips.

        Args:
            clips: (B, F, S, S, C).
            place: (B, 3) in [0, 1), where the window begins, and top and left of the square, as shares of the range
                available; equal places give the same part in every modality. None is the middle.
        """
        window, crop = self.spec.window, self.spec.crop
        spare = torch.tensor([self.spec.frames - window, self.spec.size - crop, self.spec.size - crop])
        corners = (spare // 2).expand(len(clips), 3) if place is None else (place * (spare + 1)).long()
        parts = [
            clip[t : t + window, y : y + crop, x : x + crop]
            for clip, (t, y, x) in zip(clips, corners.tolist(), strict=True)
        ]
        return (torch.stack(parts).movedim(-1, 2).float() - self.mean) / self.deviation


AREA, RATIO, TRIES = (0.08, 1.0), (3 / 4, 4 / 3), 10


def random_boxes(count: int, height: int, width: int) -> Tensor:
    """Rectangles of random area and shape, as those of torchvision's `RandomResizedCrop`, drawn for a batch at once.

    The area is uniform in 0.08 to 1 of the frame, the logarithm of width / height uniform between those of 3/4 and
    4/3. The first of ten draws that fits in the frame is used, or the whole frame if none fits.

    Returns:
        (count, 4) int64: top, left, height, width.
    """
    area = height * width * torch.empty(TRIES, count).uniform_(*AREA)
    ratio = torch.empty(TRIES, count).uniform_(math.log(RATIO[0]), math.log(RATIO[1])).exp()
    high, wide = (area / ratio).sqrt().round(), (area * ratio).sqrt().round()
    fits = (high >= 1) & (high <= height) & (wide >= 1) & (wide <= width)
    first = fits.int().argmax(dim=0, keepdim=True)
    found = fits.any(dim=0)
    high = torch.where(found, high.gather(0, first)[0], height)
    wide = torch.where(found, wide.gather(0, first)[0], width)
    corner = torch.rand(2, count) * torch.stack([height - high + 1, width - wide + 1])
    return torch.stack([*corner.floor(), high, wide], dim=1).long()


def resized_crops(frames: Tensor, boxes: Tensor, flipped: Tensor, side: int) -> Tensor:
    """The rectangle of each clip resized to a square, and mirrored if asked for.

    Resizing is bilinear with antialiasing: if a rectangle is larger than the square, its pixels are averaged. Values
    are rounded to whole numbers. The result equals torchvision's `resized_crop` of each clip, on a CPU bit for bit.

    Args:
        frames: (B, F, H, W, C) uint8.
        boxes: (B, 4) top, left, height, width; one for all frames of a clip.
        flipped: (B,) bool, left and right exchanged.
        side: of the square, pixels.

    Returns:
        (B, F, C, side, side) float32, whole numbers in 0..255.
    """
    b, f, _, _, c = frames.shape
    out = torch.empty(b, f, c, side, side, device=frames.device)
    complete = frames.device.type == "cpu"  # integers can be resized only on a CPU, and that is faster
    for i, ((top, left, high, wide), mirror) in enumerate(zip(boxes.tolist(), flipped.tolist(), strict=True)):
        part = frames[i, :, top : top + high, left : left + wide].movedim(-1, 1)
        square = F.interpolate(part if complete else part.float(), (side, side), mode="bilinear", antialias=True)
        out[i] = square.flip(-1) if mirror else square
    return out if complete else out.round_().clamp_(0, 255)
