"""Late fusion by attention over the modalities."""

from __future__ import annotations

from .method import Method


class Weight(Method):
    """Late fusion by element-wise attention over modalities, cross-entropy of the fused logits only.

    h = sum_m r_m * f_m, r_m = a_m / sum_k a_k, a_m = softmax of f_m over its features. One linear layer is applied to h
    and to every f_m, whose sizes must be equal: `joint` with `model.fusion=weight`, whatever the scored run's fusion.

    Departures:
        underflow: shares are computed in log space; the published code has 0 / 0 where every softmax underflows.
    """

    name = "weight"
    paper = "baseline, in the manner of Yang et al., IJCAI 2019"
    start = "scratch"
    fusion = "weight"
