"""The model: one encoder per modality, one fusion, and the heads that a method attaches.

Letters: B batch, K classes, D features.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import override

from curate.config import check_within
from curate.errors import CurateError
from curate.specs import InputSpec, TextSpec

from .encoders import make_encoders, pairs, size_of
from .features import StandardisedFeatures
from .fusion import FUSIONS
from .precision import Precision
from .texts import Pretrained, TextTransformer
from .weights import load_encoder

HEADS = 4  # of attention in the text encoder


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Architecture.

    Attributes:
        encoder: `auto` by input size; `resnet18` or `small_cnn`, pooled over frames; `r3d_18`, `mc3_18`,
            `r2plus1d_18` or `small_3d`, which convolve over time; of features `linear` or `mlp`; or `modality=name`
            pairs, comma separated.
        fusion: `concat` (unimodal logits = split head), `sum` or `weight`.
        dim: features of every modality; if an encoder's own number differs, a linear layer follows. None keeps it.
        weights: local files to start encoders from, `modality=FILE` pairs, comma separated.
        text: folder of a Hugging Face model, for texts from its tokeniser; '' is a Transformer from scratch.
        text_width: width of that Transformer.
        text_layers: number of its layers.
        channels_last: keep the kernels of convolutions with the channels as the last axis, which is faster on GPUs with
            `--precision bf16` or `fp16`.
        compile: compile the encoders; the first steps take longer. Needs a C++ compiler.
    """

    encoder: str = "auto"
    fusion: Literal["concat", "sum", "weight"] = "concat"
    dim: int | None = None
    weights: str = ""
    text: str = ""
    text_width: int = 128
    text_layers: int = 2
    channels_last: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        ranges = {"dim": (1, 1 << 16), "text_layers": (1, 100), "text_width": (HEADS, 1 << 14)}
        check_within(self, "model", ranges)
        if self.text_width % HEADS:
            raise CurateError(f"out of range: model.text_width={self.text_width}", f"a multiple of {HEADS}")

    def text_encoder(self, spec: TextSpec, dim: int) -> nn.Module:
        """The encoder of a text, with `dim` features."""
        if self.text:
            return Pretrained(Path(self.text).expanduser(), spec, dim)
        return TextTransformer(spec, dim, self.text_width, self.text_layers, HEADS)


@dataclass
class Outputs:
    """The result of one forward.

    Attributes:
        features: {m: (B, D)}.
        logits: {m: (B, K)} unimodal logits.
        fused: (B, K).
        mixed: {(first, second): (B, K)} logits of mixed pairs, if a method has them.
    """

    features: dict[str, Tensor]
    logits: dict[str, Tensor]
    fused: Tensor
    mixed: dict[tuple[str, str], Tensor] = field(default_factory=dict)


class FusionModel(nn.Module):
    """Encoders, fusion, and heads attached by a method in `extra`.

    Args:
        specs: {modality: its input}, in declared order.
        classes: class names.
        config: architecture.
        precision: `fp32`, or `bf16` or `fp16` for the encoders; see `Precision`.
    """

    def __init__(
        self, specs: Mapping[str, InputSpec], classes: Sequence[str], config: ModelConfig, precision: str = "fp32"
    ) -> None:
        super().__init__()
        self.modalities = tuple(specs)
        self.classes = tuple(classes)
        self.config = config
        self.precision = Precision(precision)
        encoders = make_encoders(specs, config.encoder, config.dim, config.text_encoder)
        self.dims = {m: size_of(e) for m, e in encoders.items()}
        self.encoders = nn.ModuleDict(encoders)
        if config.channels_last:
            _channels_last(self.encoders)
        if config.compile:
            _compile(self.encoders)
        self.fusion = FUSIONS[config.fusion](self.dims, len(classes))
        self.extra = nn.ModuleDict()

    def observe(self, arrays: Mapping[str, NDArray[Any]], rows: NDArray[np.int64]) -> None:
        """Set the mean and deviation of encoders that standardise their inputs, only from the samples trained on.

        Args:
            arrays: {m: (N, ...)} from a cache.
            rows: the training samples among the N.
        """
        for m, encoder in self.encoders.items():
            for part in encoder.modules():
                if isinstance(part, StandardisedFeatures):
                    part.observe(arrays[m], rows)

    def load_weights(self) -> None:
        """Start encoders from the files of `ModelConfig.weights`.

        Raises:
            CurateError: an unknown modality, or a file that does not fit.
        """
        for modality, path in pairs(self.config.weights, "model.weights", self.modalities).items():
            load_encoder(self.encoders.get_submodule(modality), Path(path).expanduser())

    def encode(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{m: input} to features {m: (B, D)}, fp32, of the modalities that are given."""
        with self.autocast(inputs):
            features = {m: self.encoders[m](inputs[m]) for m in self.modalities if m in inputs}
        return {m: self.precision.leave(f) for m, f in features.items()}

    def autocast(self, inputs: Mapping[str, Tensor], *beside: nn.Module) -> torch.autocast:
        """The context in which the encoders run, and other modules between their layers; see `Precision`."""
        return self.precision.autocast(next(iter(inputs.values())).device, self.encoders, *beside)

    @override
    def forward(self, inputs: Mapping[str, Tensor]) -> Outputs:
        features = self.encode(inputs)
        logits, fused = self.fusion(features)
        return Outputs(features, logits, fused)

    def encoder_parameters(self, modality: str) -> list[nn.Parameter]:
        """The parameters of one modality's encoder, found by module, not by name."""
        return list(self.encoders[modality].parameters())

    def modality_parameters(self, modality: str) -> list[nn.Parameter]:
        """The parameters that only one modality uses: its encoder's, and its head's if the fusion has one."""
        return [*self.encoder_parameters(modality), *self.fusion.own_parameters(modality)]

    def add_own_heads(self, warm: bool) -> None:
        """Add a linear head for every modality to `extra`; `warm` ones compute the fusion's unimodal logits."""
        heads = {
            m: self.fusion.unimodal_head(m) if warm else nn.Linear(d, len(self.classes)) for m, d in self.dims.items()
        }
        self.extra["own"] = nn.ModuleDict(heads)

    def own_logits(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Features {m: (B, D)} to the logits {m: (B, K)} of the own heads."""
        return {m: self.extra["own"].get_submodule(m)(f) for m, f in features.items()}


def _channels_last(encoders: nn.Module) -> None:
    """Store the kernels of convolutions with the channels last; a convolution keeps to the order of its kernel."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for p in encoders.parameters():
        if p.ndim in formats:
            p.data = p.data.contiguous(memory_format=formats[p.ndim])


def _compile(encoders: nn.Module) -> None:
    """Compile each encoder when it first runs.

    Raises:
        CurateError: there is no C++ compiler.
    """
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise CurateError(
            f"model.compile=true needs a C++ compiler, {compiler} was not found",
            "install it, or leave model.compile out",
        )
    for encoder in encoders.children():
        encoder.compile()
