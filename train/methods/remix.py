"""Data remixing: each sample trains the modality that knows least of it.

Letters: B batch, N training samples, M modalities, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer
from typing_extensions import override

from curate.torch.losses import negative_entropy, unimodal_cross_entropy
from curate.train.data.samples import Batch
from curate.train.models.model import FusionModel, Outputs

from .knobs import check_ranges
from .method import Context
from .own_heads import OwnHeads
from .windows import Window, window_rules

PUBLISHED = Window(first=10, stop=None, epochs=60)


class Remix(OwnHeads):
    """A warm-up, then steps on one modality at a time, each sample for the modality whose prediction says least.

    In the warm-up CE(f) + alpha sum_m CE(l_m) is minimised, l_m of the modality's own head. After it, before each
    epoch, a sample is assigned to the modality of smallest KL(p_m || uniform), measured in evaluation mode. The
    modalities then step one after the other, on the samples assigned to them, with CE(f) + gamma CE(l_m), where f has
    features of zero for all other modalities.

    Departures:
        batches: published batches hold samples of one modality, and an epoch does all of one modality first; here each
            modality steps on its samples of a batch, so that all methods read the same batches.
        batch norm: published encoders run on batches of either modality; here on whole batches, once a step.
        more than two modalities: not defined there; here the smallest of all.
        window: published from epoch 10 of 60 on; here from that share of the run on.
    """

    name = "remix"
    tried = "gamma=0.5,2"
    paper = "Ma, Chen, Deng, ICML 2025"
    start = "scratch"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Weights of the unimodal losses, and the end of the warm-up.

        Attributes:
            alpha: of the unimodal losses in the warm-up, 0 or more; 0.5 as published.
            gamma: of the unimodal loss after it, 0 or more; 1 as published.
            first_epoch: the first epoch after the warm-up, counted from 0; none is the published share, 10 of 60.
        """

        alpha: float = 0.5
        gamma: float = 1.0
        first_epoch: int | None = None

        def __post_init__(self) -> None:
            rules = {"alpha >= 0": self.alpha >= 0, "gamma >= 0": self.gamma >= 0}
            check_ranges(self, rules | window_rules(self.first_epoch, names="first_epoch"))

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self.assigned: dict[str, int] = {}

    @override
    def windows(self, epochs: int) -> dict[str, range]:
        return {"remixing": PUBLISHED.of(epochs, self.config.first_epoch)}

    @override
    @torch.no_grad()
    def begin_epoch(self, model: FusionModel, epoch: int, context: Context) -> None:
        self.assigned = {}
        if not self.acts("remixing", epoch, context) or context.data is None:
            return
        model.eval()
        for batch in context.data.ordered("fit"):
            logits = self.forward(model, batch.inputs).logits
            known = torch.stack([negative_entropy(logits[m]) for m in model.modalities])
            self.assigned.update(zip(batch.sample_ids.tolist(), known.argmin(dim=0).tolist(), strict=True))

    @override
    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """The warm-up's."""
        unimodal = unimodal_cross_entropy(outputs.logits, batch.labels).mean()
        total: Tensor = F.cross_entropy(outputs.fused, batch.labels) + self.config.alpha * unimodal
        return total

    @override
    def step(self, model: FusionModel, optimizer: Optimizer, batch: Batch) -> Tensor:
        if not self.assigned:
            return super().step(model, optimizer, batch)
        places = torch.tensor([self.assigned[i] for i in batch.sample_ids.tolist()], device=batch.labels.device)
        losses = []
        for number, m in enumerate(model.modalities):
            rows = (places == number).nonzero()[:, 0]
            optimizer.zero_grad(set_to_none=True)  # None, not zero: the idle encoders must not move
            if len(rows):
                own = model.encode({m: batch.inputs[m]})[m][rows]
                zero = {x: own.new_zeros(len(rows), size) for x, size in model.dims.items()}
                fused = model.fusion({**zero, m: own})[1]
                logits = model.own_logits({m: own})[m]
                loss = F.cross_entropy(fused, batch.labels[rows])
                loss = loss + self.config.gamma * F.cross_entropy(logits, batch.labels[rows])
                loss.backward()
                losses.append(loss.detach() * len(rows))
            optimizer.step()  # without samples too: gradients of several batches are added up by the step's number
        return torch.stack(losses).sum() / len(places)

    @override
    def end_epoch(self, model: FusionModel) -> Sequence[tuple[str, str, float]]:
        places = list(self.assigned.values())
        share = {m: places.count(i) / len(places) for i, m in enumerate(model.modalities) if places}
        return [(m, "assigned", x) for m, x in share.items()]

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"assigned": dict(self.assigned)}

    @override
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.assigned = dict(state["assigned"])
