"""On-the-fly prediction and gradient modulation together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from curate.torch.balance import discrepancy, drop_features, drop_probabilities
from curate.train.data.samples import Batch
from curate.train.models.model import FusionModel, Outputs

from .damping import damp
from .knobs import check_ranges
from .means import Means
from .method import Context, Method
from .windows import Window, window_rules

OPM = Window(first=6, stop=None, epochs=100)
OGM = Window(first=6, stop=61, epochs=100)


class OpmOgm(Method):
    """OPM in the forward pass and OGM after the backward pass, by the same scores of the undropped features.

    The two parts are those of `opm` and `ogm`.

    Departures:
        window: published from epoch 6 on and, of the gradients, to epoch 60, of 100; here these shares of the run.
        noise: the published script adds OGM-GE's noise and edits convolutions alone; here neither, since the method is
            named after OGM (`noise=all`, `conv_only` for the script's).
    """

    name = "opm_ogm"
    tried = "alpha=0.1,0.3"
    paper = "Wei, Hu, Du, Wen, TPAMI 2024"
    start = "scratch"
    edits_encoders = True

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """The knobs of both; the values are those of the published scripts.

        Attributes:
            q_base: probability of dropping a modality that is barely ahead.
            growth: the paper's lambda: how much a lead adds to it.
            p_exe: share of the batches whose features are dropped.
            opm_first_epoch: the first epoch of dropping, counted from 0; none is the published share of the run, 6 of
                100.
            alpha: strength of the gradient modulation, at least 0.
            ogm_first_epoch, ogm_last_epoch: epochs of gradient modulation, counted from 0, both included; none is the
                published share of the run, epochs 6 to 60 of 100.
            conv_only: modulate convolutions alone, as the published code does.
            noise: Gaussian noise in the gradients as in `ogm_ge`: `none`, the `damped` modalities, or `all`.
        """

        q_base: float = 0.5
        growth: float = 0.5
        p_exe: float = 0.7
        opm_first_epoch: int | None = None
        alpha: float = 0.8
        ogm_first_epoch: int | None = None
        ogm_last_epoch: int | None = None
        conv_only: bool = False
        noise: Literal["none", "damped", "all"] = "none"

        def __post_init__(self) -> None:
            check_ranges(
                self,
                {
                    "0 <= q_base <= 1": 0 <= self.q_base <= 1,
                    "growth >= 0": self.growth >= 0,
                    "0 <= p_exe <= 1": 0 <= self.p_exe <= 1,
                    "alpha >= 0": self.alpha >= 0,
                }
                | window_rules(self.opm_first_epoch, names="opm_first_epoch")
                | window_rules(self.ogm_first_epoch, self.ogm_last_epoch, "ogm_first_epoch, ogm_last_epoch"),
            )

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self.dropping = self.damping = False
        self.dropped, self.damped = Means(), Means()

    @override
    def attach(self, model: FusionModel, warm: bool) -> None:
        self.fuse = model.fusion

    @override
    def windows(self, epochs: int) -> dict[str, range]:
        c = self.config
        return {
            "dropping": OPM.of(epochs, c.opm_first_epoch),
            "gradient modulation": OGM.of(epochs, c.ogm_first_epoch, c.ogm_last_epoch),
        }

    @override
    def begin_epoch(self, model: FusionModel, epoch: int, context: Context) -> None:
        self.dropping = self.acts("dropping", epoch, context)
        self.damping = self.acts("gradient modulation", epoch, context)
        self.dropped, self.damped = Means(), Means()

    @override
    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        c = self.config
        if not self.dropping or torch.rand(()) >= c.p_exe:
            return super().loss(outputs, batch)
        probabilities = drop_probabilities(discrepancy(outputs.logits, batch.labels), c.q_base, c.growth)
        self.dropped.add(drop_probability=probabilities)
        _, fused = self.fuse(drop_features(outputs.features, probabilities))
        return F.cross_entropy(fused, batch.labels)

    @override
    def modulate(self, model: FusionModel, outputs: Outputs, batch: Batch) -> int | None:
        return damp(model, outputs, batch, self.config, self.config.noise, self.damped) if self.damping else None

    @override
    def end_epoch(self, model: FusionModel) -> Sequence[tuple[str, str, float]]:
        return [*self.dropped.rows(), *self.damped.rows()]
