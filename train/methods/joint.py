"""Plain late fusion: one cross-entropy on the fused logits."""

from __future__ import annotations

from .method import Method


class Joint(Method):
    """Plain late fusion, cross-entropy of the fused logits only: the baseline every method is compared with.

    The fusion is `model.fusion`: `concat`, `sum` or `weight`.
    """

    name = "joint"
    paper = "baseline"
    start = "scratch"
