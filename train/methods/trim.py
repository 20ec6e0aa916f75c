"""The warm-up loss without the samples of each batch that are most at odds with their labels.

Letters: B batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from curate.torch.losses import multimodal_cross_entropy, trimmed_loss
from curate.train.data.samples import Batch
from curate.train.models.model import FusionModel, Outputs

from .knobs import check_ranges
from .method import Context, Method


class Trim(Method):
    """The warm-up loss continued, of each batch without the share that is most at odds with its labels.

    `trimmed_loss` of `curate.torch.losses`: the samples with the largest fused loss, as the network is now, take no
    part in any loss. How many is known from the scored run: the mean of its `p_mislabelled`, or, where it claims none,
    as many as the validation labels that its model denies most surely prove. Which ones is found anew in every batch,
    so it need not be known before. If no labels are wrong by either, it is the warm-up loss, bit for bit.

    Departures:
        share of wrong labels: Co-teaching raises the share over the first epochs and takes it as known;
            here training begins warm, and the share is that of the scored run.
        two networks: Co-teaching lets each choose for the other; here the fusion chooses for itself and its modalities.
    """

    name = "trim"
    tried = "share=0.1,0.2,0.05"
    paper = "curate's own; a trimmed loss, Shen and Sanghavi, ICML 2019, as in Co-teaching, Han et al., NeurIPS 2018"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How many samples are left out.

        Attributes:
            share: of each batch, 0 or more, below 1; none: as many as the scored run shows to have wrong labels.
            control: `random` leaves out as many at random; without this control, a gain from smaller batches looks like
                a gain from leaving out the right samples.
        """

        share: float | None = None
        control: Literal["none", "random"] = "none"

        def __post_init__(self) -> None:
            check_ranges(self, {"0 <= share < 1": self.share is None or 0 <= self.share < 1})

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self.share = self.config.share or 0.0
        self._draws = torch.Generator()

    @property
    @override
    def uses_wrong_share(self) -> bool:
        return self.config.share is None

    @override
    def begin_epoch(self, model: FusionModel, epoch: int, context: Context) -> None:
        if self.uses_wrong_share:
            self.share = context.wrong_share
        self._draws = context.generator

    @override
    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        if not self.share:
            return multimodal_cross_entropy(outputs.logits, outputs.fused, batch.labels)
        if self.config.control == "random":
            odds = torch.rand(len(batch.labels), generator=self._draws).to(batch.labels.device)
        else:
            odds = F.cross_entropy(outputs.fused.detach(), batch.labels, reduction="none")
        return trimmed_loss(outputs.logits, outputs.fused, batch.labels, self.share, odds)
