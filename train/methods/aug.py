"""AUG: sustained boosting of the weaker modality's classifier, one modality a step.

Letters: B batch, M modalities, K classes, D features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import override

from curate.torch.losses import unimodal_cross_entropy
from curate.train.data.samples import Batch
from curate.train.models.model import FusionModel, Outputs

from .knobs import check_ranges
from .method import Context, Method, per_modality

HIDDEN = 256
MARGIN = 0.01
"""How far the ratio of two modalities may be from one before the weaker of them gets a layer."""


class Aug(Method):
    """The weaker modality gets further layers, each of which learns what those before it leave.

    Layer j of modality m is l_mj = H(relu(A_mj f_m)), with a head H that all layers of all modalities share; its logits
    are l_m = sum_j l_mj, the fusion is the mean of the l_m. A step trains one modality after another, by CE(l_m) alone
    while it has one layer, and then, with o the sum without the last layer a, by
    CE(l_m) + CE(o) + (1 - w softmax(o)[y]) CE(a), softmax(o) without gradient: w of the true class is taken from what
    the last layer has to learn. After the first epoch and after each tenth of the run, the modality whose mean
    probability of the true class over the epoch is smallest gets a layer, if the largest is over 1.01 times as large.

    Departures:
        added layers: the published optimizer is made before there are any, so they keep the weights they began with,
            and only the encoder and the head learn from them; here they learn too, as the paper has it.
        idle modality: there the encoder that has had its step moves once more, by its momentum, in the step of the
            other; here it rests.
        more than two modalities: not defined there; here the weakest is compared with the strongest.
        length: published layers come after each tenth of 200 epochs; here of the run.
        fusion: 0.4 and 0.6 for sound and picture in the published CREMA-D script; here equal parts, see `weights`.
    """

    name = "aug"
    tried = "residual=0.2,0.8"
    paper = "Jiang, Huang, Yang, NeurIPS 2025"
    start = "scratch"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Weight of the residual, number of layers, fusion.

        Attributes:
            residual: w, 0..1.
            layers: a modality has at most so many beside its first; a layer may come so many times in a run.
            weights: of the modalities in the fusion, e.g. `audio=0.4,visual=0.6`; 1/M where not named.
        """

        residual: float = 0.5
        layers: int = 10
        weights: str = ""

        def __post_init__(self) -> None:
            check_ranges(self, {"0 <= residual <= 1": 0 <= self.residual <= 1, "layers >= 0": self.layers >= 0})

    @override
    def attach(self, model: FusionModel, warm: bool) -> None:
        self.weights = per_modality(self.config.weights, model.modalities, 1 / len(model.dims), "method.weights")
        model.extra["boosted"] = Boosted(model.dims, len(model.classes), self.config.layers)
        self.seen = dict.fromkeys(model.modalities, 0.0)

    @override
    def begin_epoch(self, model: FusionModel, epoch: int, context: Context) -> None:
        between = max(1, -(-context.epochs // self.config.layers)) if self.config.layers else 0
        if between and epoch and (epoch == 1 or epoch % between == 0) and all(self.seen.values()):
            weakest = min(self.seen, key=lambda m: self.seen[m])
            if max(self.seen.values()) > (1 + MARGIN) * self.seen[weakest]:
                boosted(model).grow(weakest)
        self.seen = dict.fromkeys(model.modalities, 0.0)

    @override
    def forward(self, model: FusionModel, inputs: Mapping[str, Tensor]) -> Outputs:
        features = model.encode(inputs)
        logits = {m: torch.stack(boosted(model)(m, f)).sum(dim=0) for m, f in features.items()}
        return Outputs(features, logits, torch.stack([self.weights[m] * x for m, x in logits.items()]).sum(dim=0))

    @override
    def step(self, model: FusionModel, optimizer: Optimizer, batch: Batch) -> Tensor:
        losses = []
        for m in model.modalities:
            optimizer.zero_grad(set_to_none=True)  # None, not zero: the idle encoders must not move
            layers = boosted(model)(m, model.encode({m: batch.inputs[m]})[m])
            loss = layered_loss(layers, batch.labels, self.config.residual)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
            known = torch.stack(layers).sum(dim=0).detach().softmax(dim=1)
            self.seen[m] += float(known.gather(1, batch.labels[:, None]).sum())
        return torch.stack(losses).sum()

    @override
    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """sum_m CE(l_m); each step minimises one modality's."""
        return unimodal_cross_entropy(outputs.logits, batch.labels).mean()

    @override
    def end_epoch(self, model: FusionModel) -> Sequence[tuple[str, str, float]]:
        return [(m, "layers", float(len(boosted(model).present(m)))) for m in model.modalities]

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"seen": dict(self.seen)}

    @override
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.seen = dict(state["seen"])


class Boosted(nn.Module):
    """The layers of every modality, those to come included, and the head that all of them share.

    Args:
        dims: {modality: D of its features}.
        more: the number of layers that a modality may get beside its first.
    """

    def __init__(self, dims: Mapping[str, int], classes: int, more: int) -> None:
        super().__init__()
        each = {m: nn.ModuleList(nn.Linear(dim, HIDDEN) for _ in range(1 + more)) for m, dim in dims.items()}
        for layer in (layer for own in each.values() for layer in list(own)[1:]):
            assert isinstance(layer, nn.Linear)
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.layers = nn.ModuleDict(each)
        self.head = nn.Linear(HIDDEN, classes)
        self.counts: Tensor
        self.register_buffer("counts", torch.ones(len(dims), dtype=torch.int64))

    def present(self, modality: str) -> list[nn.Module]:
        """The layers that a modality has now."""
        position = list(self.layers).index(modality)
        return list(self.layers[modality].children())[: int(self.counts[position])]

    def grow(self, modality: str) -> None:
        """Give a modality its next layer, if it may have one more."""
        if len(self.present(modality)) < len(list(self.layers[modality].children())):
            self.counts[list(self.layers).index(modality)] += 1

    @override
    def forward(self, modality: str, features: Tensor) -> list[Tensor]:
        """(B, D) features to the (B, K) logits of each layer that the modality has."""
        return [self.head(layer(features).relu()) for layer in self.present(modality)]


def boosted(model: FusionModel) -> Boosted:
    """The layers of a model that the method was attached to."""
    found = model.extra["boosted"]
    assert isinstance(found, Boosted)
    return found


def layered_loss(layers: Sequence[Tensor], labels: Tensor, residual: float) -> Tensor:
    """CE(o + a) + CE(o) + mean (1 - w softmax(o)[y]) CE(a), o the sum of all (B, K) logits but the last, a; a scalar.

    Of one layer alone CE(a).
    """
    last, before = layers[-1], layers[:-1]
    if not before:
        return F.cross_entropy(last, labels)
    others = torch.stack(list(before)).sum(dim=0)
    known = others.detach().softmax(dim=1).gather(1, labels[:, None])[:, 0]
    left = (1 - residual * known) * F.cross_entropy(last, labels, reduction="none")
    return F.cross_entropy(others + last, labels) + F.cross_entropy(others, labels) + left.mean()
