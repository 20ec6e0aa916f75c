"""Losses that several methods share."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from curate.train.models.model import Outputs


def unimodal_cross_entropy(outputs: Outputs, labels: Tensor) -> Tensor:
    """sum_m CE(l_m), a value per sample: (B,)."""
    return sum(
        (F.cross_entropy(logits, labels, reduction="none") for logits in outputs.logits.values()),
        start=labels.new_zeros((), dtype=outputs.fused.dtype),
    )


def multimodal_cross_entropy(outputs: Outputs, labels: Tensor) -> Tensor:
    """Eq. 8 of arXiv 2510.21797: CE of the fusion plus CE of every modality, mean over the batch; a scalar."""
    fused = F.cross_entropy(outputs.fused, labels, reduction="none")
    return (fused + unimodal_cross_entropy(outputs, labels)).mean()
