"""The mixture-guided adaptive loss of arXiv 2510.21797 v2, Algorithm 1 after its warm-up.

Letters: B batch, M modalities, P pairs = M (M - 1) / 2, C components.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from curate.scores.two_sided import FAMILY
from curate.train.data.samples import Batch
from curate.train.models.model import FusionModel, Outputs
from curate.types import MixtureFit, modality_pairs

from .knobs import check_ranges
from .losses import unimodal_cross_entropy
from .method import Context, Method


class Adaptive(Method):
    """Alternating adaptive rounds: score, fit the mixture, train with posterior-weighted losses (Eq. 11).

    Per sample, then mean over the batch:
    L = alpha w0 CE(l) + lambda_t [ beta g^2 + gamma w1 (g - mu0)^2 + sum_m CE(l_m) ], lambda_t = decay^epoch,
    with g the current gap (with gradient), w0 = `p_balanced` of the table, w1 = 1 - w0, mu0 the balanced component's
    location. With M > 2 the gap terms and w0 are means over the pairs; the paper has M = 2.

    If the scored run's mixture was fitted to something other than the paper's gap (its absolute value, its mean over
    the warm-up, log probabilities or odds), w0 still comes from that mixture, g is the probability gap (the KL gap for
    `kl`), and mu0 is the mean of that gap weighted by w0. Later rounds fit the same form to the gaps of their own
    epoch, without a mean over epochs.
    """

    name = "adaptive"
    paper = "Liu et al., arXiv 2510.21797 (2025)"
    uses_posteriors = True

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Coefficients that the paper does not give are 1 by default.

        Attributes:
            alpha: weight of the fused cross-entropy.
            beta: weight of the squared gap.
            gamma: weight of the squared distance of the gap to the balanced location.
            decay: base of lambda_t = decay^epoch, epochs counted from 0 over all adaptive rounds.
            rounds: S, how often the training set is scored and the mixture fitted.
            epochs_per_round: E; 0 divides `train.epochs` by the rounds.
            posteriors: `fixed` weights from the table for the whole round, or `online` from the current gap and the
                round's mixture, without gradient; refused unless that mixture was fitted to a `prob` or `kl` gap of
                one epoch.
            gap, family: `scored` as in the scored run, or a gap and mixture family of this method's own; a gap that
                differs from the scored one is that of the last epoch.
            use_weights: False sets w0 = w1 = 1, the ablation "w/o w".
            unimodal: False drops sum_m CE(l_m), the ablation "w/o L_a, L_v".
            detach_strong: no gradient of the gap into the modality that is ahead; the paper has gradient into both.
            kl_scale: `log_classes` divides the KL gap by log K, so that beta and gamma mean the same for both gaps;
                `literal` does not.
        """

        alpha: float = 1.0
        beta: float = 1.0
        gamma: float = 1.0
        decay: float = 0.96
        rounds: int = 4
        epochs_per_round: int = 0
        posteriors: Literal["fixed", "online"] = "fixed"
        gap: Literal["scored", "prob", "kl"] = "scored"
        family: Literal["scored", "gaussian", "student-t"] = "scored"
        use_weights: bool = True
        unimodal: bool = True
        detach_strong: bool = False
        kl_scale: Literal["log_classes", "literal"] = "log_classes"

        def __post_init__(self) -> None:
            rules = {
                f"{name} >= 0": getattr(self, name) >= 0 for name in ("alpha", "beta", "gamma", "epochs_per_round")
            }
            check_ranges(self, rules | {"rounds >= 1": self.rounds >= 1, "0 <= decay <= 1": 0 <= self.decay <= 1})

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self.annealing = 1.0
        self.context = Context()

    @override
    @property
    def rounds(self) -> int:
        result: int = self.config.rounds
        return result

    @override
    def begin_epoch(self, model: FusionModel, epoch: int, context: Context) -> None:
        self.annealing = self.config.decay**epoch
        self.context = context

    @override
    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        c = self.config
        gap = self._gap(outputs, batch.labels)
        kl = self.context.gap_kind == "kl"
        scale = math.log(outputs.fused.shape[1]) if kl and c.kl_scale == "log_classes" else 1.0
        centres = self.context.centres
        if centres is None:
            centres = tuple(float(f.locs[f.balanced]) for f in self.context.fits)
        centre = gap.new_tensor(centres) / scale
        w0 = self._posteriors(gap, batch)
        w1 = 1 - w0
        if not c.use_weights:
            w0, w1 = torch.ones_like(w0), torch.ones_like(w1)
        gap = gap / scale
        per_pair = c.beta * gap.square() + c.gamma * w1 * (gap - centre).square()
        damped = per_pair.mean(dim=1)
        if c.unimodal:
            damped = damped + unimodal_cross_entropy(outputs, batch.labels)
        fused = F.cross_entropy(outputs.fused, batch.labels, reduction="none")
        result: Tensor = (c.alpha * w0.mean(dim=1) * fused + self.annealing * damped).mean()
        return result

    def _gap(self, outputs: Outputs, labels: Tensor) -> Tensor:
        """(B, P) gaps of Eq. 6 or 7, with gradient."""
        known = {m: _knowledge(logits, labels, self.context.gap_kind) for m, logits in outputs.logits.items()}
        gaps = []
        for first, second in modality_pairs(tuple(known)):
            a, b = known[first], known[second]
            if self.config.detach_strong:
                a, b = torch.where(a > b, a.detach(), a), torch.where(b > a, b.detach(), b)
            gaps.append(a - b)
        return torch.stack(gaps, dim=1)

    def _posteriors(self, gap: Tensor, batch: Batch) -> Tensor:
        """(B, P) w0 without gradient."""
        if self.config.posteriors == "online":
            seen = gap.detach().abs() if self.context.absolute else gap.detach()
            columns = [posterior_balanced(seen[:, j], f) for j, f in enumerate(self.context.fits)]
            return torch.stack(columns, dim=1)
        assert batch.p_balanced is not None
        return batch.p_balanced

    @override
    def end_epoch(self, model: FusionModel) -> Sequence[tuple[str, str, float]]:
        return [("all", "lambda", self.annealing)]


def _knowledge(logits: Tensor, labels: Tensor, kind: str) -> Tensor:
    """(B,) the quantity whose difference is the gap: p(y), or -H = KL from uniform minus a constant."""
    if kind == "prob":
        return F.softmax(logits, dim=1).gather(1, labels[:, None])[:, 0]
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
