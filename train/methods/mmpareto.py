"""Pareto integration of the multimodal and the unimodal gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import override

from curate.torch.losses import multimodal_cross_entropy
from curate.train.data.samples import Batch
from curate.train.models.model import FusionModel, Outputs

from .knobs import check_ranges
from .means import Means
from .method import Context
from .own_heads import OwnHeads

EPS = 1e-12


class MMPareto(OwnHeads):
    """Each encoder learns from a direction common to its multimodal and its unimodal loss, with enlarged magnitude.

    Losses are the cross-entropy of the fusion and that of each modality's own head. For an encoder with gradients g
    (multimodal) and u (unimodal): k = 1/2 where <g, u> > 0, else the k of the shortest k g + (1 - k) u;
    h = 2 k g + 2 (1 - k) u; then, tensor by tensor, h is multiplied by gamma max(||g + u|| / ||h||, 1), which without
    conflict makes gamma (g + u). Heads keep the gradient of the summed losses. If g or u is zero, k is 1/2 too, since
    the shortest vector would be zero. Exactly opposite gradients of equal length leave an encoder unchanged.

    Each loss has its own backward pass, so backward runs through an encoder twice instead of once, for any number of
    modalities.

    Departures:
        zero gradients: k is 1/2 and the result finite; the published code has NaN there.
        bounds of k: between two gradients exactly; the published code keeps 0.001 from either end.
    """

    name = "mmpareto"
    tried = "gamma=1,2"
    paper = "Wei, Hu, ICML 2024"
    start = "scratch"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Magnitude.

        Attributes:
            gamma: what the encoders' gradients are multiplied by, above 0; 1.5 as published.
        """

        gamma: float = 1.5

        def __post_init__(self) -> None:
            check_ranges(self, {"gamma > 0": self.gamma > 0})

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self.means = Means()

    @override
    def begin_epoch(self, model: FusionModel, epoch: int, context: Context) -> None:
        self.means = Means()

    @override
    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        return multimodal_cross_entropy(outputs.logits, outputs.fused, batch.labels)

    @override
    def step(self, model: FusionModel, optimizer: Optimizer, batch: Batch) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        outputs = self.forward(model, batch.inputs)
        encoders = {m: model.encoder_parameters(m) for m in model.modalities}
        fusion = list(model.fusion.parameters())
        joint = F.cross_entropy(outputs.fused, batch.labels)
        gradients = iter(
            torch.autograd.grad(
                joint,
                [p for ps in (*encoders.values(), fusion) for p in ps],
                retain_graph=True,
                materialize_grads=True,  # networks of other libraries may have weights that they do not use
            )
        )
        multimodal = {m: [next(gradients) for _ in ps] for m, ps in encoders.items()}
        _assign(fusion, list(gradients))
        total, conflicts = joint.detach(), {}
        for m, parameters in encoders.items():
            own = list(model.extra["own"].get_submodule(m).parameters())
            alone = F.cross_entropy(outputs.logits[m], batch.labels)
            unimodal = torch.autograd.grad(alone, [*parameters, *own], materialize_grads=True)
            _assign(own, unimodal[len(parameters) :])
            if parameters:
                edited, conflicts[m] = integrate(multimodal[m], unimodal[: len(parameters)], self.config.gamma)
                _assign(parameters, edited)
            total = total + alone.detach()
        self.means.add(conflict=conflicts)
        optimizer.step()
        return total

    @override
    def end_epoch(self, model: FusionModel) -> Sequence[tuple[str, str, float]]:
        return self.means.rows()


def _assign(parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor]) -> None:
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = g


def integrate(multimodal: Sequence[Tensor], unimodal: Sequence[Tensor], gamma: float) -> tuple[list[Tensor], Tensor]:
    """An encoder's final gradient, tensor by tensor, and whether the two gradients were in conflict (0 or 1).

    The result overwrites the multimodal gradients: new tensors would cost as much as half a backward pass.
    Norms come from inner products, ||a g + b u||^2 = a^2 <g, g> + b^2 <u, u> + 2 a b <g, u>.
    """
    gg, uu, gu = (_inner(a, b) for a, b in ((multimodal, multimodal), (unimodal, unimodal), (multimodal, unimodal)))
    dot, mm, vv = gu.sum(), gg.sum(), uu.sum()
    conflict = (dot <= 0) & (mm > 0) & (vv > 0)
    k = torch.where(conflict, (vv - dot) / (mm + vv - 2 * dot).clamp(min=EPS), torch.full_like(dot, 0.5))
    a, b = 2 * k, 2 * (1 - k)
    length, plain = (a * a * gg + b * b * uu + 2 * a * b * gu).clamp(min=EPS**2), (gg + uu + 2 * gu).clamp(min=0)
    enlarged = gamma * (plain / length).sqrt().clamp(min=1)
    for g, u, scale in zip(multimodal, unimodal, enlarged, strict=True):
        g.mul_(a * scale).addcmul_(u, b * scale)
    return list(multimodal), conflict.to(dot.dtype)


def _inner(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """(T,) inner products of T pairs of tensors."""
    return torch.stack([torch.dot(a.reshape(-1), b.reshape(-1)) for a, b in zip(first, second, strict=True)])
