"""ReconBoost: one modality at a time learns what the others do not yet fit, then all are rectified together.

Letters: B batch, K classes, D features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from curate.train.data.samples import Batch
from curate.train.models.fusion import common_dim
from curate.train.models.model import FusionModel, Outputs

from .knobs import check_ranges
from .method import Context, Method

HIDDEN = 256


class ReconBoost(Method):
    """Alternating stages: one modality against the residual of the others, then all, on a head that they share.

    The ensemble is l = s sum_m l_m with a learned scale s, l_m = H(f_m), H one hidden layer of 256. Stage n takes
    modality n mod M. Its first phase trains that encoder and H by
    -(w1 - w2 J[y]) / K * log softmax(l_m)[y], J = softmax(s sum of the other modalities' l), without gradient; its
    second trains everything by CE(l). Each phase begins with new optimizer state. In the first phase the others are
    in eval mode, so nothing in them changes, batch statistics included.

    Departures:
        batch norm: in a first phase the others are in evaluation mode; the published code updates their statistics.
        agreement: that code's term for agreement with the previous modality has no gradient, so it is off; `memory`
            gives it one.
        first stage: J is that of the untrained others; there it is 1.
        length: the stages end with the run's epochs; the published 1001 stages never do.
    """

    name = "reconboost"
    tried = "first=2,10"
    paper = "Hua, Xu, Bao, Yang, Huang, ICML 2024"
    start = "scratch"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Weights and length of a phase.

        Attributes:
            first: w1; the paper's AVE has 4.
            second: w2.
            memory: weight of mean (softmax l_m - softmax l_previous)^2 in a first phase, gradient into l_m alone, from
                the second stage on; the paper's is 0.5, which in the published code has the same effect as 0.
            epochs: of a phase, two phases per stage; fewer if a run is too short for one stage per modality.
        """

        first: float = 5.0
        second: float = 1.0
        memory: float = 0.0
        epochs: int = 4

        def __post_init__(self) -> None:
            rules = {"first >= second": self.first >= self.second, "second >= 0": self.second >= 0}
            check_ranges(self, rules | {"memory >= 0": self.memory >= 0, "epochs >= 1": self.epochs >= 1})

    alone: str | None = None
    previous: str | None = None

    @override
    def attach(self, model: FusionModel, warm: bool) -> None:
        model.extra["boost"] = Ensemble(common_dim(model.dims, "ReconBoost"), len(model.classes))

    @override
    def begin_epoch(self, model: FusionModel, epoch: int, context: Context) -> None:
        length = self.config.epochs
        if context.epochs:
            length = max(1, min(length, context.epochs // (2 * len(model.modalities))))
        stage, phase = divmod(epoch // length, 2)
        order = model.modalities
        self.alone = order[stage % len(order)] if phase == 0 else None
        self.previous = order[(stage - 1) % len(order)] if stage else None
        if epoch % length == 0 and context.optimizer is not None:
            context.optimizer.state.clear()

    @override
    def forward(self, model: FusionModel, inputs: Mapping[str, Tensor]) -> Outputs:
        features = self._encode_alone(model, inputs) if self.alone and model.training else model.encode(inputs)
        ensemble = _ensemble(model)
        logits = {m: ensemble.head(f) for m, f in features.items()}
        self.scale = ensemble.scale.detach()
        return Outputs(features, logits, ensemble.scale * torch.stack(list(logits.values())).sum(dim=0))

    def _encode_alone(self, model: FusionModel, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Features with gradient into one encoder; the others run in eval mode, without gradient."""
        others = {m: x for m, x in inputs.items() if m != self.alone}
        for m in others:
            model.encoders[m].eval()
        with torch.no_grad():
            features = model.encode(others)
        for m in others:
            model.encoders[m].train()
        features |= model.encode({m: x for m, x in inputs.items() if m == self.alone})
        return {m: features[m] for m in model.modalities}

    @override
    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        if self.alone is None:
            return super().loss(outputs, batch)
        own = outputs.logits[self.alone]
        others = torch.stack([x.detach() for m, x in outputs.logits.items() if m != self.alone]).sum(dim=0)
        loss = boosting_loss(own, self.scale * others, batch.labels, self.config.first, self.config.second)
        if self.config.memory and self.previous is not None:
            target = F.softmax(outputs.logits[self.previous].detach(), dim=1)
            loss = loss + self.config.memory * F.mse_loss(F.softmax(own, dim=1), target)
        return loss

    @override
    def end_epoch(self, model: FusionModel) -> Sequence[tuple[str, str, float]]:
        alone = [(m, "alone", float(m == self.alone)) for m in model.modalities]
        return [*alone, ("all", "scale", _ensemble(model).scale.item())]


class Ensemble(nn.Module):
    """The head that all modalities share, (B, D) to (B, K), and the scale of the sum of its logits."""

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Linear(dim, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, classes))
        self.scale = nn.Parameter(torch.ones(()))


def _ensemble(model: FusionModel) -> Ensemble:
    ensemble = model.extra["boost"]
    assert isinstance(ensemble, Ensemble)
    return ensemble


def boosting_loss(logits: Tensor, others: Tensor, labels: Tensor, first: float, second: float) -> Tensor:
    """Mean of -(w1 - w2 J[y]) / K * log softmax(l)[y], J = softmax of the (B, K) logits of the others; a scalar."""
    known = F.softmax(others, dim=1).gather(1, labels[:, None])[:, 0]
    losses = F.cross_entropy(logits, labels, reduction="none")
    return ((first - second * known) * losses).mean() / logits.shape[1]
