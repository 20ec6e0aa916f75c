"""Mixup of the features of all modalities.

Letters: B batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer
from typing_extensions import override

from curate.train.data.samples import Batch
from curate.train.models.model import FusionModel

from .knobs import check_ranges
from .method import Method


class Mixup(Method):
    """Features of two samples are mixed, in all modalities alike, and so are their labels.

    Each step draws a partner j(i) of every sample, a permutation of the batch, and one lambda ~ Beta(alpha, alpha):
    z_m = lambda f_m(i) + (1 - lambda) f_m(j), and the loss is lambda CE(l, y_i) + (1 - lambda) CE(l, y_j), l the fused
    logits of the z_m: cross-entropy with the mixed label. The encoders run once; nothing is mixed to predict.

    Departures:
        source: the equations of MM are from a report of the paper, which was not at hand; alpha, and that lambda is one
            number a batch, are those of mixup of pictures (Zhang et al., ICLR 2018).
        balanced form: B-MM, in which the share of each modality follows what it contributes, is not here: its rule is
            in no report.
    """

    name = "mixup"
    tried = "alpha=0.2,0.4"
    paper = "MM of Ma, Ding, Chen, arXiv 2510.10986, 2025"
    start = "scratch"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How far samples are mixed.

        Attributes:
            alpha: of the Beta distribution, above 0; 1 is uniform, near 0 hardly mixes.
        """

        alpha: float = 1.0

        def __post_init__(self) -> None:
            check_ranges(self, {"alpha > 0": self.alpha > 0})

    def drawn(self, count: int) -> tuple[Tensor, float]:
        """(B,) position of each sample's partner, and lambda in [0, 1]."""
        alpha = torch.tensor(self.config.alpha)
        return torch.randperm(count), float(torch.distributions.Beta(alpha, alpha).sample())

    @override
    def step(self, model: FusionModel, optimizer: Optimizer, batch: Batch) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        partners, share = self.drawn(len(batch.labels))
        partners, features = partners.to(batch.labels.device), model.encode(batch.inputs)
        fused = model.fusion({m: share * f + (1 - share) * f[partners] for m, f in features.items()})[1]
        own, other = (F.cross_entropy(fused, y) for y in (batch.labels, batch.labels[partners]))
        loss = share * own + (1 - share) * other
        loss.backward()
        optimizer.step()
        return loss.detach()
