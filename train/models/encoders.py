"""Encoders: a batch of one modality's inputs to features (B, D).

Inputs are spectrograms (B, 1, frequency, time), frames (B, F, C, H, W), or token ids (B, L) for those of `texts`.
Encoders of pictures process each frame by itself and are pooled over time, those of clips convolve over time too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Protocol, cast, runtime_checkable

from torch import Tensor, nn
from torchvision.models import resnet18, video
from typing_extensions import override

from curate.errors import CurateError, unknown_name
from curate.specs import AudioSpec, ClipSpec, FeatureSpec, InputSpec, TextSpec

from .external.description import Description
from .external.names import assign, make, plain_choice
from .features import FEATURE_ENCODERS
from .texts import Pretrained


class Encoder(Protocol):
    """What a model needs from an encoder: its feature size, and a forward to (B, D)."""

    dim: int

    def __call__(self, x: Tensor) -> Tensor:
        """Features (B, D)."""
        ...


@runtime_checkable
class StagedEncoder(Encoder, Protocol):
    """An encoder that can be run stage by stage: its network is the four `stages`, then `pool`.

    Attributes:
        widths: channels after each stage.
    """

    widths: tuple[int, ...]

    @property
    def stages(self) -> tuple[nn.Module, ...]:
        """Four picture networks, to be applied in order."""
        ...

    @property
    def pool(self) -> nn.Module:
        """From the last stage's maps (B, C, H, W) to (B, D)."""
        ...


def over_frames(net: nn.Module, x: Tensor) -> Tensor:
    """Apply a picture network to (B, C, H, W), or to each of (B, F, C, H, W) and average over F."""
    result: Tensor
    if x.ndim == 4:
        result = net(x)
        return result
    b, f = x.shape[:2]
    result = net(x.flatten(0, 1)).unflatten(0, (b, f)).mean(dim=1)
    return result


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
    def early(self) -> tuple[nn.Module, ...]:
        """The modules that end the first two stages."""
        return self.net.layer1, self.net.layer2

    @property
    def pool(self) -> nn.Module:
        """(B, 512, H, W) to (B, 512)."""
        return nn.Sequential(self.net.avgpool, nn.Flatten())

    @override
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
    def early(self) -> tuple[nn.Module, ...]:
        """The modules that end the first two stages."""
        return self.net[2], self.net[5]

    @property
    def pool(self) -> nn.Module:
        """(B, 64, H, W) to (B, 64)."""
        return self.net[12:]

    @override
    def forward(self, x: Tensor) -> Tensor:
        return over_frames(self.net, x)


class VideoResNet(nn.Module):
    """A 3-D ResNet of 18 layers (Tran et al., CVPR 2018), from random initialisation, pooled to 512 features.

    Args:
        kind: `r3d_18`, `mc3_18` or `r2plus1d_18` of torchvision.
        channels: 1 (depth), 2 (optical flow) or 3 (RGB).
    """

    dim = 512

    def __init__(self, kind: str, channels: int) -> None:
        super().__init__()
        self.net: video.VideoResNet = getattr(video, kind)(weights=None)
        first = cast(nn.Conv3d, self.net.stem[0])
        if channels != first.in_channels:
            kernel, stride, padding = (
                cast(tuple[int, int, int], x) for x in (first.kernel_size, first.stride, first.padding)
            )
            own = nn.Conv3d(channels, first.out_channels, kernel, stride, padding, bias=False)
            nn.init.kaiming_normal_(own.weight, mode="fan_out", nonlinearity="relu")
            self.net.stem[0] = own
        self.net.fc = cast(nn.Linear, nn.Identity())

    @property
    def early(self) -> tuple[nn.Module, ...]:
        """The modules that end the first two stages."""
        return self.net.layer1, self.net.layer2

    @override
    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.net(x.transpose(1, 2))
        return result


class Small3D(nn.Module):
    """`SmallCNN` with 3x3x3 convolutions: time is halved with height and width, and pooled at the end."""

    dim = 64

    def __init__(self, channels: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for width in (8, 16, 32, 64):
            stride = 2 if width < 64 else 1
            blocks += [nn.Conv3d(channels, width, 3, stride, padding=1, bias=False), nn.BatchNorm3d(width), nn.ReLU()]
            channels = width
        self.net = nn.Sequential(*blocks, nn.AdaptiveAvgPool3d(1), nn.Flatten())

    @property
    def early(self) -> tuple[nn.Module, ...]:
        """The modules that end the first two stages."""
        return self.net[2], self.net[5]

    @override
    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.net(x.transpose(1, 2))
        return result


class Projected(nn.Module):
    """An encoder and a linear layer to another feature size."""

    def __init__(self, encoder: nn.Module, own: int, dim: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.dim = dim
        self.net = nn.Linear(own, dim)

    @property
    def early(self) -> tuple[nn.Module, ...]:
        """Those of the encoder."""
        return getattr(self.encoder, "early", ())

    @override
    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.net(self.encoder(x))
        return result


PICTURES: dict[str, Callable[[int], nn.Module]] = {"resnet18": ResNet18, "small_cnn": SmallCNN}
CLIPS: dict[str, Callable[[int], nn.Module]] = {
    **{kind: partial(VideoResNet, kind) for kind in ("r3d_18", "mc3_18", "r2plus1d_18")},
    "small_3d": Small3D,
}
TEXT_DIM = 512  # features of a text if the other encoders differ in theirs

TextMaker = Callable[[TextSpec, int], nn.Module]


def input_size(spec: InputSpec) -> tuple[int, int, int]:
    """(channels, height, width) of a modality's network input; a text or a vector is one row of one channel."""
    if isinstance(spec, FeatureSpec):
        return 1, 1, spec.dim
    if isinstance(spec, AudioSpec):
        return (1, 1, math.prod(spec.shape)) if spec.features == "waveform" else (1, *spec.picture)
    if isinstance(spec, TextSpec):
        return 1, 1, spec.tokens
    side = spec.crop if isinstance(spec, ClipSpec) else spec.size
    return spec.channels, side, side


def make_encoder(kind: str, spec: InputSpec) -> nn.Module:
    """An encoder of sound, frames, clips or features computed beforehand.

    Args:
        kind: a name that `suits` the modality; `auto` takes the small one for inputs of at most 64x64, one that
            convolves over time for a `ClipSpec`, and `linear` for features.
        spec: the modality's input.
    """
    if isinstance(spec, FeatureSpec):
        return FEATURE_ENCODERS["linear" if kind == "auto" else kind](spec.dim)
    channels, height, width = input_size(spec)
    if kind == "auto":
        small = max(height, width) <= 64
        kind = ("resnet18", "small_cnn", "r3d_18", "small_3d")[2 * isinstance(spec, ClipSpec) + small]
    return {**PICTURES, **CLIPS}[kind](channels)


def make_encoders(
    specs: Mapping[str, InputSpec],
    choice: str,
    dim: int | None,
    text: TextMaker,
    described: Mapping[str, Description] | None = None,
) -> dict[str, nn.Module]:
    """One encoder per modality, in declared order.

    Args:
        specs: {modality: its input}.
        choice: see `choose`; or names of `external.names`.
        dim: feature size of all; None keeps each encoder's own, and gives texts that of the others.
        text: makes the encoder of a text, with a given feature size.
        described: {modality: its encoder by name}, if that is known already.

    Raises:
        CurateError: as in `choose` and `external.names`.
    """
    if described is None:
        described = {m: d.settled(specs[m]) for m, d in assign(choice, specs).items()}
    kinds = choose(plain_choice(choice), {m: spec for m, spec in specs.items() if m not in described})
    made = {
        m: make(described[m], spec) if m in described else make_encoder(kinds[m], spec)
        for m, spec in specs.items()
        if m in described or m in kinds
    }
    if dim is not None:
        made = {m: e if size_of(e) == dim else Projected(e, size_of(e), dim) for m, e in made.items()}
    sizes = {size_of(e) for e in made.values()}
    agreed = dim or (sizes.pop() if len(sizes) == 1 else TEXT_DIM)
    texts = {m: text(spec, agreed) for m, spec in specs.items() if isinstance(spec, TextSpec) and m not in made}
    return {m: {**made, **texts}[m] for m in specs}


def body_of(encoder: nn.Module) -> nn.Module:
    """An encoder without the linear layer that follows a network with weights of its own."""
    if isinstance(encoder, Projected):
        return encoder.encoder
    return encoder.net if isinstance(encoder, Pretrained) else encoder


def size_of(encoder: nn.Module) -> int:
    """The number of features D of an encoder."""
    return int(cast(Encoder, encoder).dim)


def choose(choice: str, specs: Mapping[str, InputSpec]) -> dict[str, str]:
    """{modality: name of its encoder} for all modalities except texts.

    Args:
        choice: `auto`; a name, for every modality that it suits; or `modality=name` pairs, comma separated, with
            `auto` for the rest.
        specs: {modality: its input}.

    Raises:
        CurateError: an unknown name or modality, or an encoder that does not suit its modality.
    """
    seen = [m for m, spec in specs.items() if not isinstance(spec, TextSpec)]
    if "=" in choice:
        given = pairs(choice, "model.encoder", seen)
        if wrong := next((m for m, name in given.items() if not suits(name, specs[m])), None):
            raise CurateError(
                f"model.encoder: {given[wrong]} cannot read {wrong}", f"choose among {', '.join(suiting(specs[wrong]))}"
            )
        return {m: given.get(m, "auto") for m in seen}
    found = {m: choice if suits(choice, specs[m]) else "auto" for m in seen}
    if seen and choice != "auto" and choice not in found.values():
        known = sorted({name for m in seen for name in suiting(specs[m])})
        raise CurateError(f"model.encoder={choice} cannot read {', '.join(seen)}", f"choose among {', '.join(known)}")
    return found


def suits(name: str, spec: InputSpec) -> bool:
    """Whether an encoder can read a modality.

    Raises:
        CurateError: there is no such encoder.
    """
    known = ["auto", *PICTURES, *CLIPS, *FEATURE_ENCODERS]
    if name not in known:
        raise unknown_name("value of model.encoder:", name, known)
    return name in suiting(spec)


def suiting(spec: InputSpec) -> list[str]:
    """The names of the encoders that can read a modality; sound has no frames to convolve over."""
    if isinstance(spec, FeatureSpec):
        return ["auto", *FEATURE_ENCODERS]
    return ["auto", *PICTURES, *([] if isinstance(spec, AudioSpec) else CLIPS)]


def pairs(text: str, setting: str, modalities: Iterable[str]) -> dict[str, str]:
    """{modality: value} of `modality=value,...`.

    Raises:
        CurateError: a part is not such a pair, or its modality is unknown.
    """
    known, found = list(modalities), {}
    for part in filter(None, map(str.strip, text.split(","))):
        modality, equals, value = part.partition("=")
        if not equals or not value.strip():
            raise CurateError(f"{setting} is modality=value, comma separated; got {part!r}", f"of {', '.join(known)}")
        if modality.strip() not in known:
            raise unknown_name(f"modality in {setting}:", modality.strip(), known)
        found[modality.strip()] = value.strip()
    return found
