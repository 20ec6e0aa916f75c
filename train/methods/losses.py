"""Losses that several methods share, of a model's outputs."""

from __future__ import annotations

from torch import Tensor

from curate.torch import losses
from curate.train.models.model import Outputs


def unimodal_cross_entropy(outputs: Outputs, labels: Tensor) -> Tensor:
    """sum_m CE(l_m), a value per sample: (B,)."""
    return losses.unimodal_cross_entropy(outputs.logits, labels)


def multimodal_cross_entropy(outputs: Outputs, labels: Tensor) -> Tensor:
    """Eq. 8 of arXiv 2510.21797: CE of the fusion plus CE of every modality, mean over the batch; a scalar."""
    return losses.multimodal_cross_entropy(outputs.logits, outputs.fused, labels)
