"""Two mixups of normalised features.

Letters: B batch, D features of a modality.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def normalize(x: Tensor) -> Tensor:
    """x / max(||x||, 1e-12) over the last axis; a zero vector stays zero and has finite gradients."""
    return F.normalize(x, dim=-1, eps=1e-12)


def geodesic_mixup(a: Tensor, b: Tensor, weight_a: Tensor, weight_b: Tensor) -> Tensor:
    """Spherical mixture of unit vectors: sin(w_a t) / sin t * a + sin(w_b t) / sin t * b, t the angle between them.

    The "GMM" on the poster of IPRM (Yang, Wu, Jiang, IJCAI 2025). With w_a + w_b = 1 the result has unit norm;
    w = (1, 0) gives a. If sin t < 1e-3 (parallel or opposite vectors), it is the linear mixture, normalised near
    opposite vectors. Values and gradients thus stay finite; the published code gives zeros or NaN there.

        mixed = geodesic_mixup(F.normalize(audio), F.normalize(visual), torch.tensor(0.3), torch.tensor(0.7))

    Args:
        a: (B, D) of unit norm (or zero).
        b: the same.
        weight_a: a scalar, or a shape that broadcasts with (B, 1), in [0, 1].
        weight_b: the same.

    Returns:
        (B, D).
    """
    # Twice the half angle by atan2 is exact for nearly parallel vectors, where arccos of a rounded dot is not.
    difference, total = (a - b).square().sum(-1, keepdim=True), (a + b).square().sum(-1, keepdim=True)
    degenerate = (difference * total).sqrt() / 2 < 1e-3  # = sin t for unit vectors; also true for a zero vector
    safe = torch.full_like(difference, 2.0)
    half_sine, half_cosine = (torch.where(degenerate, safe, x).sqrt() for x in (difference, total))
    angle = 2 * torch.atan2(half_sine, half_cosine)
    on_sphere = (torch.sin(weight_a * angle) * a + torch.sin(weight_b * angle) * b) / torch.sin(angle)
    linear = linear_mixup(a, b, weight_a, weight_b)
    opposite = total < difference
    linear = torch.where(opposite, normalize(linear), linear)
    return torch.where(degenerate, linear, on_sphere)


def linear_mixup(a: Tensor, b: Tensor, weight_a: Tensor, weight_b: Tensor) -> Tensor:
    """w_a a + w_b b, not renormalised: the ablation "w/ L-Mixup"."""
    return weight_a * a + weight_b * b
