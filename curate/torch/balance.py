"""Which modality is ahead in a batch, and how training counteracts it: OGM, OGM-GE and OPM, by logits and parameters.

Letters: B batch, M modalities, K classes, D features of a modality.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from curate.arguments import one_of

Scalars = dict[str, Tensor]
"""{modality: a tensor without axes, on the model's device}."""
EPS = 1e-8


@torch.no_grad()
def discrepancy(logits: Mapping[str, Tensor], labels: Tensor) -> Scalars:
    """How far each modality is ahead of the others in this batch; above 1 = ahead.

    rho_m = S_m / mean of the other modalities' S, S_m = sum_i softmax(l_m)[y_i] + 1e-8: with two modalities the ratio
    of OGM-GE (Peng et al., CVPR 2022). No gradient. The weakest modality's ratio is at most 1, in spite of rounding.

    Args:
        logits: {m: (B, K)} unimodal logits of two or more modalities.
        labels: (B,).
    """
    scores = torch.stack([F.softmax(x, dim=1).gather(1, labels[:, None]).double().sum() + EPS for x in logits.values()])
    m = len(scores)
    ratios = scores / ((1 - torch.eye(m, device=scores.device, dtype=scores.dtype)) @ scores / (m - 1))
    ratios = torch.where(scores == scores.min(), ratios.clamp(max=1), ratios)
    return dict(zip(logits, ratios.unbind(), strict=True))


def damping(ratios: Mapping[str, Tensor], alpha: float) -> Scalars:
    """OGM's coefficient of each modality, in (0, 1]: k = 1 - tanh(alpha rho) where rho > 1, else 1.

    As in the paper it jumps at rho = 1, where k falls from 1 to 1 - tanh(alpha).
    """
    return {m: torch.where(r > 1, 1 - torch.tanh(alpha * r), torch.ones_like(r)) for m, r in ratios.items()}


def modulate_gradients(
    parameters: Mapping[str, Iterable[Tensor]],
    logits: Mapping[str, Tensor],
    labels: Tensor,
    *,
    alpha: float = 0.8,
    conv_only: bool = False,
    noise: Literal["none", "damped", "all"] = "all",
) -> tuple[Scalars, int]:
    """OGM-GE (Peng et al., CVPR 2022) between `backward` and the optimizer's step; with `noise="none"` it is OGM.

        loss.backward()
        encoders = {"audio": model.audio.parameters(), "visual": model.visual.parameters()}
        modulate_gradients(encoders, {"audio": audio, "visual": visual}, labels)
        optimizer.step()

    g <- k_m g + e, e ~ N(0, std(g)^2), with k_m of `damping` by `discrepancy`; see `damp_gradients` for what is edited.
    With several processes each sees its share of the batch; the factors then differ a little between them, as in the
    published code.

    Args:
        parameters: {m: those of the modality's encoder, without heads}.
        logits: {m: (B, K)} unimodal logits of this step.
        labels: (B,).
        alpha: strength, at least 0; the paper has 0.8 for CREMA-D and 0.1 for VGGSound.
        conv_only: see `damp_gradients`.
        noise: see `damp_gradients`.

    Returns:
        {m: k_m}, and how many parameters were edited; 0 means that none has a gradient of two or more axes.

    Raises:
        ValueError: the noise is not known.
    """
    factors = damping(discrepancy(logits, labels), alpha)
    return factors, damp_gradients(parameters, factors, conv_only=conv_only, noise=noise)


@torch.no_grad()
def damp_gradients(
    parameters: Mapping[str, Iterable[Tensor]],
    factors: Mapping[str, Tensor],
    *,
    conv_only: bool = False,
    noise: Literal["none", "damped", "all"] = "none",
) -> int:
    """Multiply the gradients of each modality's encoder by its factor; return the number of parameters edited.

    Only tensors of two or more axes are edited: biases and batch norm keep their gradients, and so do all heads.

    Args:
        parameters: {m: those of the modality's encoder}.
        factors: {m: k_m}.
        conv_only: edit only tensors of four axes, as published; an encoder without convolutions has none.
        noise: add Gaussian noise with the standard deviation that the tensor's gradient had before the damping, to
            `all` modalities, to the `damped` ones (k < 1), or to `none`.

    Raises:
        ValueError: the noise is not known; nothing was edited.
    """
    one_of("noise", noise, ("none", "damped", "all"))
    edited = 0
    for modality, factor in factors.items():
        for p in parameters[modality]:
            if p.grad is None or (p.ndim != 4 if conv_only else p.ndim < 2):
                continue
            spread = p.grad.std(correction=min(1, p.grad.numel() - 1)) + EPS
            p.grad.mul_(factor)
            if noise != "none":
                p.grad.add_(torch.randn_like(p.grad) * spread * (1 if noise == "all" else factor < 1))
            edited += 1
    return edited


def drop_probabilities(ratios: Mapping[str, Tensor], base: float, growth: float) -> Scalars:
    """OPM's probability that a sample loses a modality, in [0, 1]; 0 for every modality that is not ahead.

    t = tanh(max(rho - 1, 0)); q = min(base (1 + growth t), 1) where t > 0, else 0.
    """
    ahead = {m: torch.tanh(torch.relu(r - 1)) for m, r in ratios.items()}
    return {
        m: torch.where(t > 0, (base * (1 + growth * t)).clamp(max=1), torch.zeros_like(t)) for m, t in ahead.items()
    }


def drop_features(features: Mapping[str, Tensor], probabilities: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Features {m: (B, D_m)} with each sample's modalities dropped at random, and the rest rescaled.

    mask * f / (1 - theta) in every modality, theta = sum_m D_m q_m / sum_m D_m. The divisor is the kept share of the
    whole concatenation, as published, not that of each modality.
    """
    dropped = sum(f.shape[1] * probabilities[m] for m, f in features.items())
    kept_share = 1 - dropped / sum(f.shape[1] for f in features.values())
    return {
        m: f * (torch.rand(len(f), 1, device=f.device) >= probabilities[m]) / kept_share for m, f in features.items()
    }
