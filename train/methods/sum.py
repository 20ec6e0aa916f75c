"""Late fusion by adding up."""

from __future__ import annotations

from .method import Method


class Sum(Method):
    """Late fusion that adds one linear layer per modality, cross-entropy of the fused logits only.

    l = sum_m (W_m f_m + b_m), unimodal logits W_m f_m + b_m: `joint` with `model.fusion=sum`, whatever the scored run's
    fusion was. It differs from `concat` only in the number of biases.

    Departures:
        unimodal logits: with the whole bias everywhere; OGM-GE's code takes half of it in validation.
    """

    name = "sum"
    paper = "baseline"
    start = "scratch"
    fusion = "sum"
