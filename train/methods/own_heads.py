"""What methods share whose modalities each have a linear head of their own, beside the fusion."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from typing_extensions import override

from curate.train.models.model import FusionModel, Outputs

from .method import Method


class OwnHeads(Method):
    """Unimodal logits are those of own heads, fused logits those of the fusion."""

    @override
    def attach(self, model: FusionModel, warm: bool) -> None:
        model.add_own_heads(warm)

    @override
    def forward(self, model: FusionModel, inputs: Mapping[str, Tensor]) -> Outputs:
        return model.with_own_heads(inputs)
