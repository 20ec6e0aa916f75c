"""The mixture-guided adaptive loss of arXiv 2510.21797 v2, Algorithm 1 after its warm-up.

Letters: B batch, M modalities, P pairs = M (M - 1) / 2, C components.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from typing_extensions import override

from curate.torch.losses import adaptive_loss, gap_scale, modality_gaps, posterior_balanced
from curate.train.data.samples import Batch
from curate.train.models.model import FusionModel, Outputs

from .knobs import check_ranges
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

    Departures:
        code: no code is published: what the paper leaves open is stated at the knobs.
        mixture: that of the scored run, by default the two-sided one; the paper's two components, the larger one
            balanced, are `score --paper`, and those of its tables.
        KL gap: divided by log K by default, so that beta and gamma mean the same for both gaps (`kl_scale=literal`).
    """

    name = "adaptive"
    tried = "beta=0.3,3"
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
        c, kind = self.config, self.context.gap_kind
        gaps = modality_gaps(outputs.logits, batch.labels, kind, c.detach_strong)
        centres = self.context.centres
        if centres is None:
            centres = tuple(float(f.locs[f.balanced]) for f in self.context.fits)
        return adaptive_loss(
            gaps,
            outputs.logits,
            outputs.fused,
            batch.labels,
            self._posteriors(gaps, batch),
            centres,
            annealing=self.annealing,
            alpha=c.alpha,
            beta=c.beta,
            gamma=c.gamma,
            scale=gap_scale(kind, outputs.fused.shape[1], literal=c.kl_scale == "literal"),
            use_weights=c.use_weights,
            unimodal=c.unimodal,
        )

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
