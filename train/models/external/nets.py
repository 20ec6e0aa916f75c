"""Encoders made from a network by name: they turn a modality's input into what the network was made for.

A network gets (B, C, H, W), (B, F, C, H, W), a waveform (B, T), or token ids (B, L) with a mask, and gives (B, D).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
import torchaudio
from torch import Tensor, nn
from typing_extensions import override

from curate.specs import GREY, IMAGENET, AudioSpec, ClipSpec, FlowSpec, InputSpec, VisualSpec

from .description import Description

EPS = 1e-6


class External(nn.Module):
    """Base: a network, and its number of features `dim`, which `names.make` finds by one forward."""

    def __init__(self, net: nn.Module, description: Description) -> None:
        super().__init__()
        self.net = net
        self.description = description
        self.dim = 0

    @property
    def early(self) -> tuple[nn.Module, ...]:
        """The modules that end the first two stages of a residual network; () of any other."""
        inner: Any = getattr(self.net, "net", self.net)
        return (inner.layer1, inner.layer2) if hasattr(inner, "layer1") and hasattr(inner, "layer2") else ()

    @override
    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.net(x)
        return result


class Pictures(External):
    """A network of pictures or clips: frames in its own size and normalisation, spectrograms with mean 0, deviation 1.

    A network of pictures processes each frame by itself, and its features are averaged over them.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, net: nn.Module, description: Description, spec: InputSpec) -> None:
        super().__init__(net, description)
        self.whole = description.reads == "clip"
        self.spectrogram = isinstance(spec, AudioSpec)
        channels = spec.channels if isinstance(spec, VisualSpec | ClipSpec) else 1
        scale, shift = _affine(channels, description, isinstance(spec, FlowSpec) or self.spectrogram)
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", shift, persistent=False)

    @override
    def forward(self, x: Tensor) -> Tensor:
        if self.spectrogram:
            over = (-3, -2, -1)
            x = (x - x.mean(over, keepdim=True)) / (x.std(over, keepdim=True) + EPS)
        else:
            x = x * self.scale + self.shift
        result: Tensor
        if x.ndim == 4:
            result = self.net(self._resized(x))
            return result
        b, f = x.shape[:2]
        frames = self._resized(x.flatten(0, 1))
        if self.whole:
            result = self.net(frames.unflatten(0, (b, f)))
            return result
        result = self.net(frames).unflatten(0, (b, f)).mean(dim=1)
        return result

    def _resized(self, x: Tensor) -> Tensor:
        size = self.description.size
        if size is None or tuple(x.shape[-2:]) == size:
            return x
        return F.interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=True)


class Sound(External):
    """A network of waveforms, at its own rate.

    Args:
        extract: the library's preparation, from (B, T) at the network's rate to its input; None to give waveforms.
        standardize: waveforms with mean 0 and deviation 1, as `Wav2Vec2FeatureExtractor` makes them.
    """

    def __init__(
        self,
        net: nn.Module,
        description: Description,
        spec: AudioSpec,
        extract: Callable[[Tensor], Tensor] | None,
        standardize: bool,
    ) -> None:
        super().__init__(net, description)
        self.given = spec.rate
        self.extract = extract
        self.standardize = standardize

    @override
    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.net(self.prepared(x))
        return result

    @torch.no_grad()
    def prepared(self, x: Tensor) -> Tensor:
        """Waveforms (B, T) in [-1, 1] at the stored rate to the network's input."""
        rate = self.description.rate or self.given
        with torch.autocast(x.device.type, enabled=False):
            if rate != self.given:
                x = torchaudio.functional.resample(x, self.given, rate)
            if self.standardize:
                x = (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, correction=0) + 1e-7).sqrt()
            return x if self.extract is None else self.extract(x)


class Texts(External):
    """A network of token ids (B, L), where 0 is padding and the tokenizer's own ids are increased by one."""

    @override
    def forward(self, ids: Tensor) -> Tensor:
        mask = ids != 0
        seen = mask.clone()
        seen[:, 0] |= ~mask.any(dim=1)  # a text of padding only is read as its first token
        result: Tensor = self.net((ids - 1).clamp(min=0), seen)
        return result


def _affine(channels: int, description: Description, plain: bool) -> tuple[Tensor, Tensor]:
    """Factor and summand, (C, 1, 1) each, from the normalisation that all inputs have to that of a network."""
    if plain or not description.mean:
        return torch.ones(channels, 1, 1), torch.zeros(channels, 1, 1)
    mean, std = (torch.tensor(x) for x in (description.mean, description.std))
    if len(mean) != channels:
        mean, std = mean.mean().expand(channels), std.mean().expand(channels)
    own_mean, own_std = (torch.tensor(x) for x in (IMAGENET if channels == 3 else GREY))
    return (own_std / std)[:, None, None], ((own_mean - mean) / std)[:, None, None]
