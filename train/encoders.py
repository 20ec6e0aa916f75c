"""Encoders: a batch of one modality's inputs to features (B, D).

Inputs are spectrograms (B, 1, frequency, time) or frames (B, F, C, H, W); several frames are pooled over time.
"""

from __future__ import annotations

from typing import Protocol, cast

from torch import Tensor, nn
from torchvision.models import resnet18

from curate.errors import CurateError
from curate.types import AudioSpec, FeatureSpec, InputSpec

from .features import FEATURE_ENCODERS, StandardisedFeatures


class Encoder(Protocol):
    """What a model needs of an encoder: its feature size, and a forward to (B, D)."""

    dim: int

    def __call__(self, x: Tensor) -> Tensor: ...


def over_frames(net: nn.Module, x: Tensor) -> Tensor:
    """Apply a picture network to (B, C, H, W), or to each of (B, F, C, H, W) and average over F."""
    if x.ndim == 4:
        return net(x)
    b, f = x.shape[:2]
    return net(x.flatten(0, 1)).unflatten(0, (b, f)).mean(dim=1)


class ResNet18(nn.Module):
    """ResNet-18 from random initialisation, adaptive average pooling to 512 features.

    Averaging the frames' pooled features equals pooling over time, height and width at once, as the papers do.
    """

    dim = 512

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.net = resnet18(weights=None)
        self.net.conv1 = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(self.net.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.net.fc = cast(nn.Linear, nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        return over_frames(self.net, x)


class SmallCNN(nn.Module):
    """Four 3x3 convolutions with batch norm, 8-16-32-64, all but the last of stride 2, pooled to 64 features.

    For inputs near 32x32.
    """

    dim = 64

    def __init__(self, channels: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for width in (8, 16, 32, 64):
            stride = 2 if width < 64 else 1
            blocks += [nn.Conv2d(channels, width, 3, stride, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        self.net = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, x: Tensor) -> Tensor:
        return over_frames(self.net, x)


ENCODERS: dict[str, type[ResNet18] | type[SmallCNN]] = {"resnet18": ResNet18, "small_cnn": SmallCNN}


def input_size(spec: InputSpec) -> tuple[int, int, int]:
    """(channels, height, width) that the network sees of a modality."""
    if isinstance(spec, FeatureSpec):
        return 1, 1, spec.dim
    if isinstance(spec, AudioSpec):
        return 1, *spec.picture
    return spec.channels, spec.size, spec.size


def make_encoder(kind: str, spec: InputSpec) -> ResNet18 | SmallCNN | StandardisedFeatures:
    """An encoder for a modality; `auto` takes the small CNN for inputs of at most 64x64, and `linear` for features.

    Raises:
        CurateError: an encoder of features is asked for sound or pictures, or the reverse.
    """
    if kind != "auto" and (kind in FEATURE_ENCODERS) != isinstance(spec, FeatureSpec):
        own = FEATURE_ENCODERS if isinstance(spec, FeatureSpec) else ENCODERS
        raise CurateError(f"model.encoder={kind} cannot read {spec.kind}", f"choose among auto, {', '.join(own)}")
    if isinstance(spec, FeatureSpec):
        return FEATURE_ENCODERS["linear" if kind == "auto" else kind](spec.dim)
    channels, height, width = input_size(spec)
    if kind == "auto":
        kind = "small_cnn" if max(height, width) <= 64 else "resnet18"
    return ENCODERS[kind](channels)
