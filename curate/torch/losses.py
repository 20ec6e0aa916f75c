"""Losses over unimodal and fused logits, pure; `train/methods` trains with these functions.

Letters: N samples, B batch, M modalities, P pairs = M (M - 1) / 2, K classes. Logits are {modality: (B, K)} in declared
order, fused logits (B, K), labels (B,) class indices.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from curate.arguments import one_of
from curate.scores.two_sided import FAMILY
from curate.types import MixtureFit, modality_pairs

MODES = ("soften", "skip")
"""What `usable_loss` does with a broken modality."""


def unimodal_cross_entropy(logits: Mapping[str, Tensor], labels: Tensor) -> Tensor:
    """sum_m CE(l_m), a value per sample: (B,)."""
    total = torch.zeros(len(labels), device=labels.device)
    for x in logits.values():
        total = total + F.cross_entropy(x, labels, reduction="none")
    return total


def multimodal_cross_entropy(logits: Mapping[str, Tensor], fused: Tensor, labels: Tensor) -> Tensor:
    """Eq. 8 of arXiv 2510.21797: CE of the fusion plus CE of every modality, mean over the batch; a scalar.

        loss = multimodal_cross_entropy({"audio": audio, "visual": visual}, fused, labels)

    Args:
        logits: {m: (B, K)}.
        fused: (B, K).
        labels: (B,).
    """
    return (F.cross_entropy(fused, labels, reduction="none") + unimodal_cross_entropy(logits, labels)).mean()


def usable_loss(
    logits: Mapping[str, Tensor],
    fused: Tensor,
    labels: Tensor,
    p_broken: Tensor,
    mode: Literal["soften", "skip"] = "soften",
) -> Tensor:
    """Eq. 8 with the unimodal losses of broken modalities softened or left out, mean over the batch; a scalar.

    With u_m = 1 - p_broken and targets as in label smoothing (Szegedy et al., CVPR 2016), by sample:
    `soften`: CE(l) + sum_m CE(l_m, q_m), q_m = u_m onehot(y) + (1 - u_m) / K: a broken modality is trained to predict
    the uniform distribution; `skip`: CE(l) + sum_m u_m CE(l_m). With p_broken 0 both are `multimodal_cross_entropy`.

        loss = usable_loss({"audio": audio, "visual": visual}, fused, labels, torch.rand(len(labels), 2))

    Args:
        p_broken: (B, M) probability that a modality is broken on a sample, in the order of `logits`.

    Raises:
        ValueError: the mode is not known.
    """
    one_of("mode", mode, MODES)
    total = F.cross_entropy(fused, labels, reduction="none")
    unimodal = torch.zeros_like(total)
    for own, broken in zip(logits.values(), p_broken.T, strict=True):
        loss = (1 - broken) * F.cross_entropy(own, labels, reduction="none")
        if mode == "soften":
            loss = loss - broken * F.log_softmax(own, dim=1).mean(dim=1)
        unimodal = unimodal + loss
    return (total + unimodal).mean()


def trimmed_loss(
    logits: Mapping[str, Tensor],
    fused: Tensor,
    labels: Tensor,
    share: float,
    odds: Tensor | None = None,
) -> Tensor:
    """Eq. 8 over the samples of a batch that are least at odds with their labels, mean over these; a scalar.

    A trimmed loss (Shen and Sanghavi, ICML 2019): the round(share B) samples with the largest fused cross-entropy take
    no part, in no loss, and have no gradient. With share 0 it is `multimodal_cross_entropy`.

        loss = trimmed_loss({"audio": audio, "visual": visual}, fused, labels, share=0.2)

    Args:
        share: of the batch that is left out, 0 or more, below 1; about the share of wrong labels.
        odds: (B,) what to leave out the largest of, in place of the fused cross-entropy.

    Raises:
        ValueError: the share is no share, as where it comes from a table in which wrong labels were not judged.
    """
    if share is None or not 0 <= share < 1:
        unknown = share is None or share != share
        otherwise = "; where wrong labels were not judged, give a share of your own, or multimodal_cross_entropy"
        raise ValueError(f"share is {share}, expected 0 or more, below 1{otherwise if unknown else ''}")
    fused_loss = F.cross_entropy(fused, labels, reduction="none")
    kept = max(len(labels) - round(share * len(labels)), 1)
    least = (fused_loss.detach() if odds is None else odds).argsort(stable=True)[:kept].sort().values
    return (fused_loss + unimodal_cross_entropy(logits, labels))[least].mean()


def modality_gaps(
    logits: Mapping[str, Tensor], labels: Tensor, kind: str = "prob", detach_strong: bool = False
) -> Tensor:
    """(B, P) gaps of Eq. 6 (`prob`) or 7 (`kl`), first minus second modality of each pair, with gradient.

    Args:
        detach_strong: no gradient into the modality that is ahead; the paper has gradient into both.

    Raises:
        ValueError: the kind is not known.
    """
    one_of("kind", kind, ("prob", "kl"))
    known = {m: _knowledge(x, labels, kind) for m, x in logits.items()}
    gaps = []
    for first, second in modality_pairs(tuple(known)):
        a, b = known[first], known[second]
        if detach_strong:
            a, b = torch.where(a > b, a.detach(), a), torch.where(b > a, b.detach(), b)
        gaps.append(a - b)
    return torch.stack(gaps, dim=1)


def _knowledge(logits: Tensor, labels: Tensor, kind: str) -> Tensor:
    """(B,) the quantity whose difference is the gap: p(y), or -H."""
    if kind == "prob":
        return F.softmax(logits, dim=1).gather(1, labels[:, None])[:, 0]
    return negative_entropy(logits)


def negative_entropy(logits: Tensor) -> Tensor:
    """(B,) -H(p) = KL(p || uniform) - log K, from -log K, where p is uniform, to 0, where it is certain."""
    log_p = F.log_softmax(logits, dim=1)
    return (log_p.exp() * log_p).sum(dim=1)


def posterior_balanced(gap: Tensor, fitted: MixtureFit) -> Tensor:
    """Eq. 10 on the device: (B,) gaps to the (B,) posterior of the balanced component."""
    weights, locs, scales, dofs = (gap.new_tensor(v) for v in (fitted.weights, fitted.locs, fitted.scales, fitted.dofs))
    z2 = ((gap.clamp(*fitted.limits)[:, None] - locs) / scales).square()
    log_f = -0.5 * z2 - scales.log()
    if torch.isfinite(dofs).all():
        norm = torch.lgamma((dofs + 1) / 2) - torch.lgamma(dofs / 2) - 0.5 * dofs.log()
        log_f = norm - scales.log() - (dofs + 1) / 2 * torch.log1p(z2 / dofs)
    if fitted.family == FAMILY:  # the tails' density is 0 at zero: it has the factor g^2, of mean one
        rising = z2[:, 1].clamp_min(torch.finfo(z2.dtype).tiny).log() + ((dofs[1] - 2) / dofs[1]).log()
        log_f = log_f + torch.stack([torch.zeros_like(rising), rising], dim=1)
    return torch.softmax(weights.log() + log_f, dim=1)[:, fitted.balanced]


def gap_scale(kind: str, classes: int, literal: bool = False) -> float:
    """What a gap is divided by in the loss: log K for `kl`, so that beta and gamma mean the same for both gaps."""
    return math.log(classes) if kind == "kl" and not literal else 1.0


def adaptive_loss(
    gaps: Tensor,
    logits: Mapping[str, Tensor],
    fused: Tensor,
    labels: Tensor,
    w0: Tensor,
    centres: Sequence[float],
    *,
    annealing: float = 1.0,
    alpha: float = 1.0,
    beta: float = 1.0,
    gamma: float = 1.0,
    scale: float = 1.0,
    use_weights: bool = True,
    unimodal: bool = True,
) -> Tensor:
    """Eq. 11 of arXiv 2510.21797, mean over the batch; a scalar.

    alpha w0 CE(l) + lambda [ beta g^2 + gamma w1 (g - mu0)^2 + sum_m CE(l_m) ], w1 = 1 - w0. With M > 2 the gap terms
    and w0 are means over the pairs; the paper has M = 2.

    Args:
        gaps: (B, P) g, see `modality_gaps`.
        w0: (B, P) posterior of the balanced component.
        centres: (P,) mu0, in units of the gap.
        annealing: lambda.
        scale: what g and mu0 are divided by, see `gap_scale`.
        use_weights: False sets w0 = w1 = 1.
        unimodal: False leaves sum_m CE(l_m) out.
    """
    centre = gaps.new_tensor(tuple(centres)) / scale
    w1 = 1 - w0
    if not use_weights:
        w0, w1 = torch.ones_like(w0), torch.ones_like(w1)
    gaps = gaps / scale
    damped = (beta * gaps.square() + gamma * w1 * (gaps - centre).square()).mean(dim=1)
    if unimodal:
        damped = damped + unimodal_cross_entropy(logits, labels)
    result: Tensor = (
        (alpha * w0.mean(dim=1) * F.cross_entropy(fused, labels, reduction="none")).add(annealing * damped).mean()
    )
    return result
