"""Branches of a model on their own: their losses and accuracies, and copies of which one branch is trained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from curate.train.data.samples import Batch, DataView, Split
from curate.train.models.model import FusionModel
from curate.types import FUSED

from .method import Context
from .updates import Updates


class Result(NamedTuple):
    """A branch on a split: mean cross-entropy, and the share of samples that it predicts right."""

    loss: float
    accuracy: float


def branch(model: FusionModel, name: str, batch: Batch) -> Tensor:
    """(B, K) logits of one modality's own head, or of the fusion; encoders that it does not need are not run."""
    if name == FUSED:
        result: Tensor = model.fusion(model.encode(batch.inputs))[1]
        return result
    return model.own_logits(model.encode({name: batch.inputs[name]}))[name]


@torch.no_grad()
def results(model: FusionModel, data: DataView, split: Split, names: Sequence[str]) -> dict[str, Result]:
    """Each branch over all samples of a split in eval mode; the model's mode is restored."""
    training = model.training
    model.eval()
    losses: dict[str, list[Tensor]] = {name: [] for name in names}
    hits: dict[str, list[Tensor]] = {name: [] for name in names}
    for batch in data.ordered(split):
        for name in names:
            logits = branch(model, name, batch)
            losses[name].append(F.cross_entropy(logits, batch.labels, reduction="none"))
            hits[name].append(logits.argmax(dim=1) == batch.labels)
    model.train(training)
    return {name: Result(*(float(torch.cat(p[name]).double().mean()) for p in (losses, hits))) for name in names}


def train_alone(model: FusionModel, name: str, epochs: Iterable[int], context: Context) -> None:
    """Train one branch of a copy with a new optimizer at the run's current rate; all branches get the same batches."""
    assert context.data is not None and context.optimizer is not None
    optimizer = replace(context.optim, lr=context.optimizer.param_groups[-1]["lr"]).make(model)
    Updates(context.optim, optimizer, model.precision)
    model.train()
    for epoch in epochs:
        for batch in context.data.shuffled(epoch):
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(branch(model, name, batch), batch.labels).backward()
            optimizer.step()
