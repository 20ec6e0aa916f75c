"""Gradient-Blending: losses weighted by the gain of each on held-out samples over its squared overfitting."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from curate.train.data.samples import Batch, DataView, Split
from curate.train.models.model import FusionModel, Outputs
from curate.types import FUSED

from .alone import results, train_alone
from .knobs import check_ranges
from .method import Context, per_modality
from .own_heads import OwnHeads

Losses = dict[str, float]
FLOOR = 1e-4
SPLITS: tuple[Split, Split] = ("fit", "val")


class Gblend(OwnHeads):
    """Cross-entropies of every modality's own head and of the fusion, blended by weights that probes estimate.

    L = sum_k w_k CE(l_k) over the modalities and the fusion, sum_k w_k = 1. At the start of a super-epoch a copy of
    each branch k is trained alone from the current weights, for as many epochs as the super-epoch has. With mean losses
    L^T on the training and L^V on the held-out samples before and after, and O = L^V - L^T,
    w_k ~ max(dG_k, 0) / max(dO_k^2, 1e-4), dG_k = L^V_before - L^V_after, dO_k = O_after - O_before.
    If no branch gained, all weights are equal. The held-out samples are the run's validation split, on which no method
    trains. The prediction is that of the fusion.

    Departures:
        floors: the gain is at least 0 and the squared overfitting at least 0.0001; the paper divides by the square,
            however small.
        held-out samples: the run's validation split, so that this method has as many training samples as the others;
            the paper takes them from the training set.
        public re-implementations: use |dG|, which rewards a branch that got worse, and sums of losses over splits of
            different size; neither is offered. The authors' code has constants only (`mode=fixed`).
    """

    name = "gblend"
    tried = "mode=offline"
    paper = "Wang, Tran, Feiszli, CVPR 2020"
    start = "scratch"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How often the weights are estimated.

        Attributes:
            mode: `online` at every super-epoch; `offline` once, before the first epoch; `fixed` never.
            super_epoch: epochs of a super-epoch, and of each probe; 0 is a tenth of all epochs.
            weights: of `fixed`, e.g. `audio=0.2,visual=0.2,fused=0.6`; a branch that is not named has 0; if none is
                named, all are equal. The authors' code has only such constants, and fused=1 by default.
        """

        mode: Literal["online", "offline", "fixed"] = "online"
        super_epoch: int = 0
        weights: str = ""

        def __post_init__(self) -> None:
            check_ranges(self, {"super_epoch >= 0": self.super_epoch >= 0})

    @override
    def attach(self, model: FusionModel, warm: bool) -> None:
        super().attach(model, warm)
        names = (*model.modalities, FUSED)
        self.weights = dict.fromkeys(names, 1 / len(names))
        if self.config.mode == "fixed" and self.config.weights:
            self.weights = per_modality(self.config.weights, names, 0.0, "method.weights")
        self.measured: list[tuple[str, str, float]] = []

    @override
    def begin_epoch(self, model: FusionModel, epoch: int, context: Context) -> None:
        self.measured = []
        length = self.config.super_epoch or max(1, context.epochs // 10)
        due = epoch % length == 0 if self.config.mode == "online" else self.config.mode == "offline" and epoch == 0
        if due:
            self._estimate(model, epoch, length, context)

    def _estimate(self, model: FusionModel, epoch: int, length: int, context: Context) -> None:
        assert context.data is not None
        names = tuple(self.weights)
        before = [_losses(model, context.data, split, names) for split in SPLITS]
        after: list[Losses] = [{}, {}]
        for name in names:
            probe = copy.deepcopy(model)
            train_alone(probe, name, range(epoch, epoch + length), context)
            for losses, split in zip(after, SPLITS, strict=True):
                losses |= _losses(probe, context.data, split, (name,))
        gained, overfitted = generalisation(before, after)
        self.weights = blend(gained, overfitted)
        for name in names:
            self.measured += [(name, "delta_g", gained[name]), (name, "delta_o", overfitted[name])]

    @override
    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        branches = {**outputs.logits, FUSED: outputs.fused}
        weighted = [self.weights[k] * F.cross_entropy(logits, batch.labels) for k, logits in branches.items()]
        return torch.stack(weighted).sum()

    @override
    def end_epoch(self, model: FusionModel) -> Sequence[tuple[str, str, float]]:
        return [*self.measured, *((name, "weight", w) for name, w in self.weights.items())]

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"weights": dict(self.weights)}

    @override
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.weights = dict(state["weights"])


def _losses(model: FusionModel, data: DataView, split: Split, names: Sequence[str]) -> Losses:
    return {name: result.loss for name, result in results(model, data, split, names).items()}


def generalisation(before: Sequence[Losses], after: Sequence[Losses]) -> tuple[Losses, Losses]:
    """dG and dO of every branch from its (training, held-out) losses before and after; positive dG is a gain."""
    gained = {k: before[1][k] - after[1][k] for k in before[1]}
    overfitted = {k: (after[1][k] - after[0][k]) - (before[1][k] - before[0][k]) for k in before[1]}
    return gained, overfitted


def blend(gained: Losses, overfitted: Losses) -> Losses:
    """Weights max(dG, 0) / max(dO^2, 1e-4), scaled to sum 1; all equal if no branch gained or a probe diverged."""
    raw = {k: max(g, 0.0) / max(overfitted[k] ** 2, FLOOR) for k, g in gained.items()}
    total = sum(raw.values())
    if not math.isfinite(total) or total <= 0:
        return dict.fromkeys(raw, 1 / len(raw))
    return {k: v / total for k, v in raw.items()}
