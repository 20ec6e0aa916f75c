"""Balance-aware sequence sampling: balanced samples are trained on first.

Letters: N training samples, M modalities, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from curate.torch.losses import unimodal_cross_entropy
from curate.train.data.samples import Batch, DataView
from curate.train.models.model import FusionModel, Outputs

from .knobs import check_ranges
from .method import Context
from .own_heads import OwnHeads

FUSED, OWN = 0.1, 0.9
"""The published weights of the fused and of each unimodal cross-entropy."""
FIRST, FULL = 0.1, 1 / 3
"""The published share of the samples before the first epoch, and of the epochs (40 of 120) until all are read."""
LEAST = 0.01
"""Added to the weights that are drawn by, so that none is zero."""


class Bss(OwnHeads):
    """Balanced samples first: those whose modalities agree, and whose loss is small.

    The loss is 0.1 CE(f) + 0.9 sum_m CE(l_m), l_m of the modality's own head; the sum of the l_m predicts. Of each
    sample, s is the cosine of the modalities' softmaxes and c its loss, both scaled to 0..1 over the training samples.
    With `schedule=learned` each epoch reads all samples, in an order drawn without replacement with probabilities in
    proportion to 1 - (c - s) + 0.01, measured before the epoch. With `schedule=heuristic` samples are ranked once,
    before the first epoch, by (1 - s) + c, and epoch t reads, shuffled, the first min(1, sqrt((1 - 0.1^2) (t + 1) / T
    + 0.1^2)) of them, T a third of the run.

    Departures:
        mode of measuring: the published pass runs in training mode, with the statistics of its batches, and moves the
            running ones; here in evaluation mode.
        more than two modalities: not defined there; here s is the mean over pairs.
        length: published T is 40 of 120 epochs; here that share of the run.
        last batch: published epochs drop one that is not full; here it is trained on, as with every method.
    """

    name = "bss"
    tried = "schedule=heuristic"
    paper = "Guan, Jiang, Yang, IJCAI 2025"
    start = "scratch"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """The schedule.

        Attributes:
            schedule: `learned` draws a new order each epoch, `heuristic` reads ever more of a fixed one.
        """

        schedule: Literal["learned", "heuristic"] = "learned"

        def __post_init__(self) -> None:
            check_ranges(self, {})

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self.ranked: list[str] = []
        self.now: list[str] = []

    @override
    def begin_epoch(self, model: FusionModel, epoch: int, context: Context) -> None:
        if context.data is None:
            return
        if self.config.schedule == "learned":
            ids, balance = self._measured(model, context.data)
            order = torch.multinomial(1 + balance + LEAST, len(ids), generator=context.generator)
            self.now = [ids[i] for i in order.tolist()]
            return
        if not self.ranked:
            ids, balance = self._measured(model, context.data)
            self.ranked = [ids[i] for i in torch.argsort(balance, descending=True, stable=True).tolist()]
        count = max(int(pace(epoch, context.epochs) * len(self.ranked)), 1)
        self.now = [self.ranked[i] for i in torch.randperm(count, generator=context.generator).tolist()]

    @torch.no_grad()
    def _measured(self, model: FusionModel, data: DataView) -> tuple[list[str], Tensor]:
        """Ids of the training samples, and s - c of each (N,), -1..1, higher = more balanced; in evaluation mode."""
        model.eval()
        ids: list[str] = []
        similar, losses = [], []
        for batch in data.ordered("fit"):
            outputs = self.forward(model, batch.inputs)
            ids += batch.sample_ids.tolist()
            similar.append(agreement(outputs.logits).cpu())
            losses.append(self._each(outputs, batch).double().cpu())
        return ids, scaled(torch.cat(similar)) - scaled(torch.cat(losses))

    @override
    def order(self, sample_ids: NDArray[np.str_]) -> Sequence[int] | None:
        if not self.now:
            return None
        places = {name: i for i, name in enumerate(sample_ids.tolist())}
        return [places[name] for name in self.now]

    @staticmethod
    def _each(outputs: Outputs, batch: Batch) -> Tensor:
        """(B,) losses."""
        fused = F.cross_entropy(outputs.fused, batch.labels, reduction="none")
        return FUSED * fused + OWN * unimodal_cross_entropy(outputs.logits, batch.labels)

    @override
    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        return self._each(outputs, batch).mean()

    @override
    def predict(self, outputs: Outputs) -> tuple[dict[str, Tensor], Tensor]:
        return outputs.logits, torch.stack(list(outputs.logits.values())).sum(dim=0)

    @override
    def end_epoch(self, model: FusionModel) -> Sequence[tuple[str, str, float]]:
        return [("all", "samples_read", float(len(self.now)))] if self.now else []

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"ranked": list(self.ranked)}

    @override
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.ranked = list(state["ranked"])


def agreement(logits: Mapping[str, Tensor]) -> Tensor:
    """{m: (B, K)} to (B,), the mean cosine of two modalities' softmaxes, 0..1; higher = more alike."""
    probs = [x.double().softmax(dim=1) for x in logits.values()]
    return torch.stack([F.cosine_similarity(a, b, dim=1) for a, b in combinations(probs, 2)]).mean(dim=0)


def scaled(values: Tensor) -> Tensor:
    """(N,) to 0..1 by the smallest and the largest; zeros where all are equal."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else torch.zeros_like(values)


def pace(epoch: int, epochs: int) -> float:
    """The share of the ranked samples that an epoch reads, counted from 0, of a run of so many; 0..1."""
    grown = min((epoch + 1) / (FULL * epochs), 1.0) if epochs else 1.0
    return float(((1 - FIRST**2) * grown + FIRST**2) ** 0.5)
