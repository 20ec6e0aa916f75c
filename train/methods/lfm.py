"""Learning to rebalance by the modality gap (LFM): classification and alignment, with weights that change over epochs.

Letters: B batch, K classes, D features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from curate.torch.mixup import normalize
from curate.train.data.samples import Batch
from curate.train.models.fusion import common_dim
from curate.train.models.model import FusionModel, Outputs
from curate.types import modality_pairs

from .knobs import check_ranges
from .method import Context, Method


class Lfm(Method):
    """Cross-entropy of averaged own heads, gaining weight over the epochs, and alignment of the modalities.

    L = scale * (a CE(l) + (1 - a) A), l = mean_m l_m, a growing linearly from `begin` in the first to `end` in the last
    epoch. A is a mean over pairs: `js_code`, (KL(n || p) + KL(n || q)) / 2 with n = (p + q) / 2 of the predictions, or
    `infonce`, a contrastive loss on unit features.

    Departures:
        alignment: the paper describes a contrastive loss (`infonce`); the published code has none, and aligns
            predictions, which is the default (`js_code`, scale 2). It is not the Jensen-Shannon divergence that its
            name suggests. With the weights of that code `infonce` would outweigh the cross-entropy by far.
        schedule: a polynomial in the epoch there, which fits only its own 200 epochs and otherwise leaves [0, 1]; here
            a line between nearly the same ends, of any run.
        learned weights: not offered: the published step is so small that they hardly change.
        small probabilities: through log_softmax here, so that none becomes infinite.
    """

    name = "lfm"
    tried = "begin=0.05,0.5"
    paper = "Yang, Wan, Jiang, Xu, NeurIPS 2024"
    start = "scratch"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Alignment and its schedule.

        Attributes:
            align: `js_code`, as the published code, or `infonce`.
            begin, end: weight of the cross-entropy in the first and in the last epoch; alignment has the rest.
            temperature: of `infonce`.
            scale: of the whole loss; the published code has 2.
        """

        align: Literal["js_code", "infonce"] = "js_code"
        begin: float = 0.2
        end: float = 0.9
        temperature: float = 0.1
        scale: float = 2.0

        def __post_init__(self) -> None:
            rules = {"0 <= begin <= 1": 0 <= self.begin <= 1, "0 <= end <= 1": 0 <= self.end <= 1}
            check_ranges(self, rules | {"temperature > 0": self.temperature > 0, "scale > 0": self.scale > 0})

    @override
    def attach(self, model: FusionModel, warm: bool) -> None:
        if self.config.align == "infonce":
            common_dim(model.dims, "LFM's contrastive loss")
        model.add_own_heads(warm)

    @override
    def begin_epoch(self, model: FusionModel, epoch: int, context: Context) -> None:
        share = min(epoch / (context.epochs - 1), 1.0) if context.epochs > 1 else 0.0
        self.weight = self.config.begin + (self.config.end - self.config.begin) * share

    @override
    def forward(self, model: FusionModel, inputs: Mapping[str, Tensor]) -> Outputs:
        features = model.encode(inputs)
        logits = model.own_logits(features)
        return Outputs(features, logits, torch.stack(list(logits.values())).mean(dim=0))

    @override
    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        loss = self.weight * super().loss(outputs, batch)
        if self.weight < 1:
            loss = loss + (1 - self.weight) * self._alignment(outputs)
        result: Tensor = self.config.scale * loss
        return result

    def _alignment(self, outputs: Outputs) -> Tensor:
        if self.config.align == "infonce":
            unit = {m: normalize(f) for m, f in outputs.features.items()}
            terms = [infonce(unit[a], unit[b], self.config.temperature) for a, b in modality_pairs(tuple(unit))]
        else:
            logits = outputs.logits
            terms = [divergence_from_mean(logits[a], logits[b]) for a, b in modality_pairs(tuple(logits))]
        return torch.stack(terms).mean()

    @override
    def end_epoch(self, model: FusionModel) -> Sequence[tuple[str, str, float]]:
        return [("all", "weight", self.weight)]


def infonce(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """Contrastive loss of (B, D) unit features: find each one's counterpart in the batch; mean of both directions."""
    similarity = a @ b.T / temperature
    own = torch.arange(len(a), device=a.device)
    return (F.cross_entropy(similarity, own) + F.cross_entropy(similarity.T, own)) / 2


def divergence_from_mean(a: Tensor, b: Tensor) -> Tensor:
    """(KL(n || p) + KL(n || q)) / 2, n = (p + q) / 2, of the softmax of (B, K) logits; mean over the batch, >= 0."""
    log_p, log_q = F.log_softmax(a, dim=1), F.log_softmax(b, dim=1)
    log_n = torch.logaddexp(log_p, log_q) - math.log(2)
    return (log_n.exp() * (log_n - (log_p + log_q) / 2)).sum(dim=1).mean()
