"""Each modality trained alone, and the sum of their log-probabilities."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from curate.torch.losses import unimodal_cross_entropy
from curate.train.data.samples import Batch
from curate.train.models.model import FusionModel, Outputs

from .method import Method


class Unimodal(Method):
    """Each modality alone with its own head; the fused prediction is the sum of their log-probabilities.

    The networks share no parameter, so one backward of the summed losses trains each exactly as it would alone.
    """

    name = "unimodal"
    paper = "baseline"
    start = "scratch"

    @override
    def attach(self, model: FusionModel, warm: bool) -> None:
        model.add_own_heads(warm)

    @override
    def forward(self, model: FusionModel, inputs: Mapping[str, Tensor]) -> Outputs:
        features = model.encode(inputs)
        logits = model.own_logits(features)
        fused = torch.stack([F.log_softmax(v, dim=1) for v in logits.values()]).sum(dim=0)
        return Outputs(features, logits, fused)

    @override
    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        return unimodal_cross_entropy(outputs.logits, batch.labels).mean()
