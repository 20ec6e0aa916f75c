"""On-the-fly prediction modulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from curate.torch.balance import discrepancy, drop_features, drop_probabilities
from curate.train.data.samples import Batch
from curate.train.models.model import FusionModel, Outputs

from .knobs import check_ranges
from .means import Means
from .method import Context, Method
from .windows import Window, window_rules

PUBLISHED = Window(first=6, stop=None, epochs=100)


class Opm(Method):
    """On-the-fly prediction modulation: drop the features of the modality that is ahead from some of the samples.

    With rho_m as in OGM and t_m = tanh(max(rho_m - 1, 0)): a modality that is ahead is dropped from a sample with
    probability q_m = min(q_base (1 + growth t_m), 1). All features are then divided by the share that is kept,
    1 - sum_m D_m q_m / sum_m D_m, and fused; the loss is the cross-entropy of the fusion. Only some batches are treated
    (`p_exe`), none in the first epochs; batch norm still runs on all samples. The paper has two modalities; with more,
    rho compares with the mean of the others. The weakest modality is never dropped, so no sample loses all.

    Departures:
        window: published from epoch 6 of 100 on; here from that share of the run on, so that a short run is treated at
            all.
        more than two modalities: not defined there; here each is compared with the mean of the others.
    """

    name = "opm"
    tried = "q_base=0.25,0.75"
    paper = "Wei, Hu, Du, Wen, TPAMI 2024"
    start = "scratch"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How often, how much, and from when; the values are those of the published scripts.

        Attributes:
            q_base: probability of dropping a modality that is barely ahead.
            growth: the paper's lambda: how much a lead adds to it.
            p_exe: share of the batches that are treated.
            first_epoch: the first treated epoch, counted from 0; none is the published share of the run, 6 of 100.
        """

        q_base: float = 0.5
        growth: float = 0.5
        p_exe: float = 0.7
        first_epoch: int | None = None

        def __post_init__(self) -> None:
            check_ranges(
                self,
                {
                    "0 <= q_base <= 1": 0 <= self.q_base <= 1,
                    "growth >= 0": self.growth >= 0,
                    "0 <= p_exe <= 1": 0 <= self.p_exe <= 1,
                }
                | window_rules(self.first_epoch, names="first_epoch"),
            )

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self.active = False
        self.means = Means()

    @override
    def attach(self, model: FusionModel, warm: bool) -> None:
        self.fuse = model.fusion

    @override
    def windows(self, epochs: int) -> dict[str, range]:
        return {"dropping": PUBLISHED.of(epochs, self.config.first_epoch)}

    @override
    def begin_epoch(self, model: FusionModel, epoch: int, context: Context) -> None:
        self.active = self.acts("dropping", epoch, context)
        self.means = Means()

    @override
    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        c = self.config
        if not self.active or torch.rand(()) >= c.p_exe:
            return super().loss(outputs, batch)
        probabilities = drop_probabilities(discrepancy(outputs.logits, batch.labels), c.q_base, c.growth)
        self.means.add(drop_probability=probabilities)
        _, fused = self.fuse(drop_features(outputs.features, probabilities))
        return F.cross_entropy(fused, batch.labels)

    @override
    def end_epoch(self, model: FusionModel) -> Sequence[tuple[str, str, float]]:
        return self.means.rows()
