"""Adaptive gradient modulation by each modality's share in the response."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from curate.errors import CurateError
from curate.torch.agm import AdaptiveModulation, Coalitions, shapley
from curate.train.data.samples import Batch
from curate.train.models.model import FusionModel, Outputs

from .knobs import check_ranges
from .means import Means
from .method import Context, Method
from .windows import Window, window_rules

PUBLISHED = Window(first=0, stop=20, epochs=100)


class Agm(Method):
    """Adaptive gradient modulation: each modality's gradient by its strength now against its running average.

    o_m is modality m's Shapley value of the fused logits over forwards in which absent modalities are zero inputs, the
    value of no modality being 0, so that sum_m o_m is the fused logits. u_m = mean of -log softmax(o_m)[y], and
    r_m = exp(M / (M - 1) (mean_j u_j - u_m)): above 1 = stronger than the others. tau_m is the same function of the
    running means of u, before they are updated with this step. The gradient through modality m's logits is multiplied
    by k_m = exp(alpha min(tau_m - r_m, 10)): below 1 for a modality stronger than it used to be. (A public benchmark
    has this sign inverted.)

    The masked forwards run without gradient and in evaluation mode, each encoder once on its inputs and once on a zero
    sample. Outside the window k is 1. The logits must be a sum over modalities: fusion `concat` or `sum`.

    Departures:
        masked forwards: the published code backpropagates through them too, in evaluation mode. Without batch norm the
            real inputs then have the same k_m as here. With batch norm the gradients differ: there the part (k_m -
            k_other) / 2 flows through the running statistics instead of the batch's. Here all of it flows through those
            of the batch, so that the gradient is k_m times that of joint training.
        zero inputs: there they have a gradient of their own; here none, since a zero input teaches nothing.
        running means: there over all steps of the run, from the first on; here over the modulated ones, the same up to
            the end of a window that begins with the run.
        window: published epochs 1 to 20 of 100, counted from 1; here that share of the run. After it k is 1; there the
            last k stays in the hooks.
        clipping: by the largest element of the fusion's weight there, of its weight and bias here.
    """

    name = "agm"
    tried = "alpha=0.5,2"
    paper = "Li et al., ICCV 2023"
    start = "scratch"
    edits_encoders = True

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Strength, window and clipping.

        Attributes:
            alpha: strength, at least 0; published with 1 to 2.5.
            first_epoch, last_epoch: modulated epochs, counted from 0, both included; none is the published share of
                the run, the first 20 of 100.
            clip: norm to which all gradients together are clipped in a step where an element of the fusion's gradient
                exceeds 1, outside the window too, as the published code does for CREMA-D; 0 never clips.
        """

        alpha: float = 1.0
        first_epoch: int | None = None
        last_epoch: int | None = None
        clip: float = 1.0

        def __post_init__(self) -> None:
            rules = {"alpha >= 0": self.alpha >= 0, "clip >= 0": self.clip >= 0}
            check_ranges(self, rules | window_rules(self.first_epoch, self.last_epoch))

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self.active = False
        self.means = Means()
        self.shares: dict[str, Tensor] = {}

    @override
    def attach(self, model: FusionModel, warm: bool) -> None:
        if model.config.fusion not in ("concat", "sum"):
            raise CurateError(
                f"agm needs a fusion whose logits add up over modalities, got model.fusion={model.config.fusion}",
                "use --set model.fusion=concat or sum",
            )
        self.modulation = AdaptiveModulation(model.modalities, self.config.alpha)

    @override
    def windows(self, epochs: int) -> dict[str, range]:
        return {"gradient modulation": PUBLISHED.of(epochs, self.config.first_epoch, self.config.last_epoch)}

    @override
    def begin_epoch(self, model: FusionModel, epoch: int, context: Context) -> None:
        self.active = self.acts("gradient modulation", epoch, context)
        self.means = Means()

    @override
    def forward(self, model: FusionModel, inputs: Mapping[str, Tensor]) -> Outputs:
        outputs = super().forward(model, inputs)
        if model.training and self.active:
            self.shares = shapley(_coalitions(model, inputs, outputs.fused.detach()), model.modalities)
        return outputs

    @override
    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        if not self.active:
            return super().loss(outputs, batch)
        loss: Tensor = self.modulation(self.shares, outputs.logits, batch.labels)
        self.means.add(gradient_factor=self.modulation.factors)
        return loss

    def modulate(self, model: FusionModel, outputs: Outputs, batch: Batch) -> int | None:
        """Count the encoder parameters with a gradient, clip the gradients, and update the running means."""
        if self.config.clip:
            _clip(model, self.config.clip)
        if not self.active:
            return None
        self.modulation.update()
        return sum(p.grad is not None for m in model.modalities for p in model.encoder_parameters(m))

    @override
    def end_epoch(self, model: FusionModel) -> Sequence[tuple[str, str, float]]:
        return self.means.rows()

    @override
    def state_dict(self) -> dict[str, Any]:
        return dict(self.modulation.state_dict())

    @override
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.modulation.load_state_dict(state)


@torch.no_grad()
def _coalitions(model: FusionModel, inputs: Mapping[str, Tensor], complete: Tensor) -> Coalitions:
    """{modalities present: (B, K) fused logits}, absent inputs zero, in evaluation mode; `complete` is for all present.

    An encoder gets only its own modality's input, so one forward on the batch and one on a zero sample are enough for
    all masks.
    """
    with _evaluating(model):
        there = model.encode(inputs)
        absent = model.encode({m: torch.zeros_like(x[:1]) for m, x in inputs.items()})
    names = model.modalities
    values = {frozenset(names): complete}
    for size in range(1, len(names)):
        for present in combinations(names, size):
            features = {m: f if m in present else absent[m].expand_as(f) for m, f in there.items()}
            values[frozenset(present)] = model.fusion(features)[1]
    return values


@contextmanager
def _evaluating(model: FusionModel) -> Iterator[None]:
    model.eval()
    try:
        yield
    finally:
        model.train()


@torch.no_grad()
def _clip(model: FusionModel, norm: float) -> None:
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    steepest = torch.stack([p.grad.abs().max() for p in model.fusion.parameters() if p.grad is not None]).max()
    shrink = (norm / (torch.nn.utils.get_total_norm(gradients) + 1e-6)).clamp(max=1)
    torch._foreach_mul_(gradients, torch.where(steepest > 1, shrink, torch.ones_like(shrink)))
