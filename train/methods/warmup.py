"""The warm-up loss, continued: the fair baseline of every method that starts from the warm checkpoint."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from curate.torch.losses import multimodal_cross_entropy
from curate.train.data.samples import Batch
from curate.train.models.model import Outputs

from .method import Method


class WarmUp(Method):
    """The warm-up loss: cross-entropy of the fusion and of every modality (Eq. 8), as `train` continued."""

    name = "warmup"
    paper = "Liu et al., arXiv 2510.21797 (2025), Eq. 8"

    @override
    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        return multimodal_cross_entropy(outputs.logits, outputs.fused, batch.labels)
