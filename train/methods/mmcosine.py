"""Modality-wise cosine logits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from typing_extensions import override

from curate.torch.mixup import normalize
from curate.train.models.model import FusionModel, Outputs

from .knobs import check_ranges
from .method import Method


class MMCosine(Method):
    """Cosine logits per modality, added up: no modality can win by the length of its features or weights.

    l_m[c] = scale cos(f_m, W_m[c]), l = sum_m l_m, no bias; cross-entropy of l. A zero feature has zero logits.

    Departures:
        evaluation: the published code trains on the cosine sum but predicts by the plain linear head; here both use the
            cosine sum.
        initial weights: the slices of the concatenation's head, as there; with another fusion, its own heads.
    """

    name = "mmcosine"
    tried = "scale=5,20"
    paper = "Xu, Feng, Zhang, Hu, ICASSP 2023"
    start = "scratch"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Scale.

        Attributes:
            scale: factor of the cosines, above 0; the size of a fused logit is at most M times this factor.
        """

        scale: float = 10.0

        def __post_init__(self) -> None:
            check_ranges(self, {"scale > 0": self.scale > 0})

    @override
    def attach(self, model: FusionModel, warm: bool) -> None:
        heads = nn.ModuleDict({m: nn.Linear(d, len(model.classes), bias=False) for m, d in model.dims.items()})
        with torch.no_grad():  # warm or not: their length, which cosines do not see, sets the size of their steps
            for m in model.modalities:
                heads.get_parameter(f"{m}.weight").copy_(model.fusion.unimodal_head(m).weight)
        model.extra["cosine"] = heads

    @override
    def forward(self, model: FusionModel, inputs: Mapping[str, Tensor]) -> Outputs:
        features = model.encode(inputs)
        heads, scale = model.extra["cosine"], self.config.scale
        logits = {
            m: scale * normalize(f) @ normalize(heads.get_parameter(f"{m}.weight")).T for m, f in features.items()
        }
        return Outputs(features, logits, torch.stack(list(logits.values())).sum(dim=0))
