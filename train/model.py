"""The model: one encoder a modality, one fusion, and whatever heads a method attaches.

Letters: B batch, K classes, D features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from curate.types import InputSpec

from .encoders import make_encoder
from .features import StandardisedFeatures
from .fusion import FUSIONS


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Architecture.

    Attributes:
        encoder: `resnet18`, `small_cnn`, or `auto` by input size; of features `linear` (`auto`) or `mlp`.
        fusion: `concat` (unimodal logits = split head), `sum` or `weight`.
    """

    encoder: Literal["auto", "resnet18", "small_cnn", "linear", "mlp"] = "auto"
    fusion: Literal["concat", "sum", "weight"] = "concat"


@dataclass
class Outputs:
    """What one forward gives.

    Attributes:
        features: {m: (B, D)}.
        logits: {m: (B, K)} unimodal logits.
        fused: (B, K).
        mixed: {(first, second): (B, K)} logits of mixed pairs, where a method has them.
    """

    features: dict[str, Tensor]
    logits: dict[str, Tensor]
    fused: Tensor
    mixed: dict[tuple[str, str], Tensor] = field(default_factory=dict)


class FusionModel(nn.Module):
    """Encoders, fusion, and heads attached by a method in `extra`.

    Args:
        specs: {modality: how its input looks}, in declared order.
        classes: class names.
        config: architecture.
        precision: `fp32`, or `bf16` for the encoders; heads, losses and logits are fp32 either way.
    """

    def __init__(
        self, specs: Mapping[str, InputSpec], classes: Sequence[str], config: ModelConfig, precision: str = "fp32"
    ) -> None:
        super().__init__()
        self.modalities = tuple(specs)
        self.classes = tuple(classes)
        self.config = config
        self.precision = precision
        encoders = {m: make_encoder(config.encoder, spec) for m, spec in specs.items()}
        self.dims = {m: e.dim for m, e in encoders.items()}
        self.encoders = nn.ModuleDict(encoders)
        self.fusion = FUSIONS[config.fusion](self.dims, len(classes))
        self.extra = nn.ModuleDict()

    def observe(self, arrays: Mapping[str, NDArray[Any]], rows: NDArray[np.int64]) -> None:
        """Let encoders that standardise their inputs see the samples that are trained on, and no others.

        Args:
            arrays: {m: (N, ...)} of a cache.
            rows: the training samples among the N.
        """
        for m, encoder in self.encoders.items():
            if isinstance(encoder, StandardisedFeatures):
                encoder.observe(arrays[m], rows)

    def encode(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{m: input} to features {m: (B, D)}, fp32, of the modalities that are given."""
        device = next(iter(inputs.values())).device.type
        with torch.autocast(device, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            features = {m: self.encoders[m](inputs[m]) for m in self.modalities if m in inputs}
        return {m: f.to(torch.promote_types(f.dtype, torch.float32)) for m, f in features.items()}

    def forward(self, inputs: Mapping[str, Tensor]) -> Outputs:
        features = self.encode(inputs)
        logits, fused = self.fusion(features)
        return Outputs(features, logits, fused)

    def encoder_parameters(self, modality: str) -> list[nn.Parameter]:
        """The parameters of one modality's encoder, by module and never by name."""
        return list(self.encoders[modality].parameters())

    def modality_parameters(self, modality: str) -> list[nn.Parameter]:
        """The parameters that serve one modality alone: its encoder's, and its head's where the fusion has one."""
        return [*self.encoder_parameters(modality), *self.fusion.own_parameters(modality)]

    def add_own_heads(self, warm: bool) -> None:
        """A linear head for every modality in `extra`; `warm` ones compute the fusion's unimodal logits."""
        heads = {
            m: self.fusion.unimodal_head(m) if warm else nn.Linear(d, len(self.classes)) for m, d in self.dims.items()
        }
        self.extra["own"] = nn.ModuleDict(heads)

    def own_logits(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Features {m: (B, D)} to the logits {m: (B, K)} of the own heads."""
        return {m: self.extra["own"].get_submodule(m)(f) for m, f in features.items()}
