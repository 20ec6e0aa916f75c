"""Random rectangles drawn for a batch, and the batch's crops against torchvision's, clip by clip."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from curate.specs import VisualSpec
from curate.train.data.crops import random_boxes, resized_crops
from curate.train.data.samples import GREY, IMAGENET, Frames


@given(st.integers(0, 2**31), st.integers(1, 64), st.integers(1, 64))
def test_every_rectangle_lies_in_the_frame(seed: int, height: int, width: int) -> None:
    torch.manual_seed(seed)
    top, left, high, wide = random_boxes(64, height, width).T
    assert (top >= 0).all() and (left >= 0).all() and (high >= 1).all() and (wide >= 1).all()
    assert (top + high <= height).all() and (left + wide <= width).all()


def test_areas_shapes_and_places_are_those_of_torchvision() -> None:
    """Two samples of one distribution: their quantiles agree, and every border is reached."""
    torch.manual_seed(0)
    count, side = 4000, 224
    ours = random_boxes(count, side, side).float()
    crop = v2.RandomResizedCrop(side)
    frame = [torch.zeros(1, side, side)]
    drawn = [crop.make_params(frame) for _ in range(count)]
    theirs = torch.tensor([[d["top"], d["left"], d["height"], d["width"]] for d in drawn], dtype=torch.float32)
    at = torch.linspace(0.05, 0.95, 7)
    measures = [
        lambda b: b[:, 2] * b[:, 3] / side**2,
        lambda b: (b[:, 3] / b[:, 2]).log(),
        lambda b: b[:, 0] / side,
        lambda b: b[:, 1] / side,
    ]
    for measure in measures:
        torch.testing.assert_close(
            torch.quantile(measure(ours), at), torch.quantile(measure(theirs), at), atol=0.04, rtol=0
        )
    assert ours[:, 0].min() == 0 and (ours[:, 0] + ours[:, 2]).max() == side


def test_a_frame_too_flat_for_any_shape_is_kept_whole() -> None:
    assert random_boxes(20, 1, 64).unique(dim=0).tolist() == [[0, 0, 1, 64]]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_of_crops_equals_torchvision_clip_by_clip(channels: int) -> None:
    torch.manual_seed(1)
    frames = torch.randint(0, 256, (12, 2, 40, 48, channels), dtype=torch.uint8)
    boxes, flipped = random_boxes(12, 40, 48), torch.arange(12) % 2 == 0
    found = resized_crops(frames, boxes, flipped, 24)
    for i, (top, left, high, wide) in enumerate(boxes.tolist()):
        clip = functional.resized_crop(frames[i].movedim(-1, 1), top, left, high, wide, [24, 24], antialias=True)
        assert torch.equal(found[i], (functional.horizontal_flip(clip) if flipped[i] else clip).float())


@pytest.mark.parametrize(("channels", "moments"), [(1, GREY), (3, IMAGENET)])
def test_frames_are_normalised_as_torchvision_does(channels: int, moments: tuple[list[float], list[float]]) -> None:
    frames = torch.randint(0, 256, (2, 3, 8, 8, channels), dtype=torch.uint8)
    before = frames.clone()
    seen = Frames(VisualSpec(frames=3, size=8, channels=channels)).eval()(frames)
    expected = v2.Normalize(*moments)(frames.movedim(-1, 2).float() / 255)
    torch.testing.assert_close(seen, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(frames, before) and seen.is_contiguous()
