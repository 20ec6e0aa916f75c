"""Multimodal learning with alternating unimodal adaptation (MLA): one shared head, one modality a step.

Letters: B batch, M modalities, K classes, D features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import override

from curate.torch.losses import unimodal_cross_entropy
from curate.train.data.samples import Batch
from curate.train.models.fusion import common_dim
from curate.train.models.model import FusionModel, Outputs

from .method import Context, Method, per_modality


class Mla(Method):
    """One step per modality in turn; the shared head's gradient is projected off the features of earlier steps.

    Step of m: gradient of CE(H f_m); the gradient G (K, D) of the head's weight becomes G P; then, with r = mean_B f_m
    and k = P r, P <- P - k k' / (a + r' k), a = 0.1^(1 + t / T) at step t, from 0, of the T of an epoch. P begins as I
    and is never reset. Prediction: sum_m w_m l_m, w = softmax over modalities of the negative entropies, one weight per
    *sample*. P is float64.

    Departures:
        projection: in the published code it never runs, since it looks for a parameter of another name
            (`projection=off`); here it does, as the paper says.
        its denominator: a matrix there, divided element by element, which is no projector; here the number a + r' k.
        its norm: divided by the Frobenius norm there, which would shrink the head's steps; not here.
        order: there a step's features are added before its gradient is projected (`current`); here after.
        entropies: over the batch there, so that a prediction depends on its batch mates; here one weight per sample.
        precision: P is float64 here: in single precision the recursion loses positive definiteness in a long training.
    """

    name = "mla"
    tried = "projection=off,current"
    paper = "Zhang, Yoon, Bansal, Yao, CVPR 2024"
    start = "scratch"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Projection and fusion.

        Attributes:
            projection: `previous` uses the features before this step, as in the paper; `current` adds this step's
                features first, the order in the published code, where it never runs; `off` does not project, which is
                that code's behaviour.
            weights: fixed weights of the fusion instead of entropies, e.g. `audio=0.55,visual=0.45`; 1/M where not
                named.
        """

        projection: Literal["previous", "current", "off"] = "previous"
        weights: str = ""

    @override
    def attach(self, model: FusionModel, warm: bool) -> None:
        dim = common_dim(model.dims, "MLA")
        model.extra["shared"] = nn.Linear(dim, len(model.classes))
        count = len(model.modalities)
        self.fixed = per_modality(self.config.weights, model.modalities, 1 / count, "method.weights")
        self.projection = torch.eye(dim, dtype=torch.float64)
        self.steps = 1
        self.taken = 0

    @override
    def begin_epoch(self, model: FusionModel, epoch: int, context: Context) -> None:
        self.taken = 0
        if context.data is not None:
            self.steps = context.data.steps

    @override
    def forward(self, model: FusionModel, inputs: Mapping[str, Tensor]) -> Outputs:
        features = model.encode(inputs)
        logits = {m: model.extra["shared"](f) for m, f in features.items()}
        stacked = torch.stack(list(logits.values()))
        if self.config.weights:
            weights = stacked.new_tensor([self.fixed[m] for m in logits])[:, None]
        else:
            weights = entropy_weights(stacked)
        return Outputs(features, logits, (weights[:, :, None] * stacked).sum(dim=0))

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """sum_m CE(l_m); each step minimises one of its terms."""
        return unimodal_cross_entropy(outputs.logits, batch.labels).mean()

    @override
    def step(self, model: FusionModel, optimizer: Optimizer, batch: Batch) -> Tensor:
        head = model.extra["shared"]
        assert isinstance(head, nn.Linear)
        losses = []
        for m in model.modalities:
            optimizer.zero_grad(set_to_none=True)  # None, not zero: the idle encoders must not move
            features = model.encode({m: batch.inputs[m]})[m]
            loss = F.cross_entropy(head(features), batch.labels)
            loss.backward()
            if self.config.projection != "off":
                self._project(head, features.detach().mean(dim=0))
            optimizer.step()
            losses.append(loss.detach())
        self.taken += 1
        return torch.stack(losses).sum()

    def _project(self, head: nn.Linear, r: Tensor) -> None:
        """Project the head's gradient, and add the mean feature r (D,) to the projection."""
        before = self.projection.to(r.device)
        self.projection = shrink(before, r.double(), 0.1 ** (1 + self.taken / self.steps))
        used = before if self.config.projection == "previous" else self.projection
        assert head.weight.grad is not None
        head.weight.grad = (head.weight.grad.double() @ used).to(head.weight.grad.dtype)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"projection": self.projection, "taken": self.taken}

    @override
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.projection, self.taken = state["projection"], state["taken"]


def shrink(projection: Tensor, r: Tensor, a: float) -> Tensor:
    """P - k k' / (a + r' k), k = P r, for (D, D) P and (D,) r: it multiplies P r by a / (a + r' P r)."""
    k = projection @ r
    return projection - torch.outer(k, k) / (a + r @ k)


def entropy_weights(logits: Tensor) -> Tensor:
    """(M, B, K) logits to (M, B) weights with sum 1 over modalities; lower entropy gives more weight."""
    log_p = F.log_softmax(logits, dim=2)
    return F.softmax((log_p.exp() * log_p).sum(dim=2), dim=0)
