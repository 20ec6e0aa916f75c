"""What each modality contributes to the prediction of a single sample.

Y. Wei, R. Feng, Z. Wang, D. Hu, "Enhancing Multimodal Cooperation via Sample-level Modality Valuation", CVPR 2024.
Letters: B batch, M modalities, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .agm import Coalitions, shapley


@torch.no_grad()
def contributions(values: Coalitions, labels: Tensor, modalities: Sequence[str]) -> dict[str, Tensor]:
    """{m: phi_m}, (B,) Shapley values of being right; together they are M where the fusion is right, and 0 elsewhere.

        both, one, other = (frozenset(names) for names in (("audio", "visual"), ("audio",), ("visual",)))
        found = contributions({both: fused, one: audio, other: visual}, labels, ("audio", "visual"))

    The value of a set of modalities is its size where its prediction is right, and 0 where it is wrong. With two
    modalities phi_a = (2 r_av + r_a - r_v) / 2 with r = 1 for right: from -1/2, where the other one alone would be
    right, through 0 and 1/2, to 3/2, where only this one is right and the fusion too; 1 is an equal share.

    Args:
        values: {the modalities that are present: (B, K) logits}, of every set but the empty one.
        labels: (B,).
        modalities: their names.
    """
    right = {present: len(present) * (x.argmax(dim=1) == labels).double() for present, x in values.items()}
    return shapley(right, modalities)


def copies(contribution: Tensor) -> Tensor:
    """(B,) how often a sample is repeated with this modality alone: the whole number nearest to 2 (1 - phi), or 0.

        times = copies(torch.tensor([1.0, 0.5, 0.0, -0.5]))  # 0, 1, 2, 3

    None where the modality contributes its share (phi >= 1), one at 1/2, two at 0, three at -1/2, as published.
    """
    return (2 * (1 - contribution)).round().clamp(min=0)
