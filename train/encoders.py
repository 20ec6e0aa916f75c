"""Encoders: a batch of one modality's inputs to features (B, D).

Inputs are spectrograms (B, 1, frequency, time) or frames (B, F, C, H, W); several frames are pooled over time.
"""

from __future__ import annotations

from typing import Protocol, cast, runtime_checkable

from torch import Tensor, nn
from torchvision.models import resnet18

from curate.types import AudioSpec, InputSpec


class Encoder(Protocol):
    """What a model needs of an encoder: its feature size, and a forward to (B, D)."""

    dim: int

    def __call__(self, x: Tensor) -> Tensor: ...


@runtime_checkable
class StagedEncoder(Encoder, Protocol):
    """An encoder that can be run stage by stage: `pool` after all four `stages` is its network.

    Attributes:
        stages: four picture networks that follow one another.
        pool: from the last stage's maps (B, C, H, W) to (B, D).
        widths: channels after each stage.
    """

    widths: tuple[int, ...]

    @property
    def stages(self) -> tuple[nn.Module, ...]: ...

    @property
    def pool(self) -> nn.Module: ...


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
    widths = (64, 128, 256, 512)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.net = resnet18(weights=None)
        self.net.conv1 = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(self.net.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.net.fc = cast(nn.Linear, nn.Identity())

    @property
    def stages(self) -> tuple[nn.Module, ...]:
        """The four layers, the first with the stem."""
        n = self.net
        return nn.Sequential(n.conv1, n.bn1, n.relu, n.maxpool, n.layer1), n.layer2, n.layer3, n.layer4

    @property
    def pool(self) -> nn.Module:
        """(B, 512, H, W) to (B, 512)."""
        return nn.Sequential(self.net.avgpool, nn.Flatten())

    def forward(self, x: Tensor) -> Tensor:
        return over_frames(self.net, x)


class SmallCNN(nn.Module):
    """Four 3x3 convolutions with batch norm, 8-16-32-64, all but the last of stride 2, pooled to 64 features.

    For inputs near 32x32.
    """

    dim = 64
    widths = (8, 16, 32, 64)

    def __init__(self, channels: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for width in self.widths:
            stride = 2 if width < 64 else 1
            blocks += [nn.Conv2d(channels, width, 3, stride, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        self.net = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())

    @property
    def stages(self) -> tuple[nn.Module, ...]:
        """The four blocks."""
        return tuple(self.net[i : i + 3] for i in range(0, 12, 3))

    @property
    def pool(self) -> nn.Module:
        """(B, 64, H, W) to (B, 64)."""
        return self.net[12:]

    def forward(self, x: Tensor) -> Tensor:
        return over_frames(self.net, x)


ENCODERS: dict[str, type[ResNet18] | type[SmallCNN]] = {"resnet18": ResNet18, "small_cnn": SmallCNN}


def input_size(spec: InputSpec) -> tuple[int, int, int]:
    """(channels, height, width) that the network sees of a modality."""
    if isinstance(spec, AudioSpec):
        return 1, spec.n_mels or spec.n_fft // 2 + 1, spec.shape[0] // spec.hop + 1
    return spec.channels, spec.size, spec.size


def make_encoder(kind: str, spec: InputSpec) -> ResNet18 | SmallCNN:
    """An encoder for a modality; `auto` takes the small CNN for inputs of at most 64x64."""
    channels, height, width = input_size(spec)
    if kind == "auto":
        kind = "small_cnn" if max(height, width) <= 64 else "resnet18"
    return ENCODERS[kind](channels)
