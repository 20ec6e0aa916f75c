"""Logits or probabilities to probabilities, float64.

Letters: N samples, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from curate.errors import CurateError
from curate.types import Floats

from .part import Texts, shown

TOLERANCE = 1e-3
"""How far probabilities may lie outside [0, 1], and their sum from one."""


def which_kind(modality: str, arrays: Sequence[Floats], values: str, ids: Texts) -> str:
    """Whether the (N, K) values of a modality, of all epochs together, are `logits` or `probabilities`."""
    infinite = np.any([~np.isfinite(a).all(axis=1) for a in arrays], axis=0)
    if infinite.any():
        message = f"{modality} is missing, NaN or infinite, or no number, for {shown(ids[infinite])}"
        raise CurateError(message, "predict these samples again, or leave them out of the file")
    if values == "logits":
        return values
    outside = np.any([((a < -TOLERANCE) | (a > 1 + TOLERANCE)).any(axis=1) for a in arrays], axis=0)
    if values == "auto" and outside.any():
        return "logits"
    with np.errstate(over="ignore"):
        off = np.any([np.abs(a.clip(0, None).sum(axis=1) - 1) > TOLERANCE for a in arrays], axis=0) | outside
    if off.any():
        message = f"the probabilities of {modality} do not lie in 0..1 and add to one for {shown(ids[off])}"
        raise CurateError(message, "if these are logits, or log-probabilities, say --set score.values=logits")
    return "probabilities"


def to_probabilities(values: Floats, kind: str) -> Floats:
    """(N, K) logits by softmax, or probabilities renormalised, to rows that add to one; float64."""
    return (
        softmax(values) if kind == "logits" else values.clip(0, None) / values.clip(0, None).sum(axis=1, keepdims=True)
    )


def softmax(logits: Floats) -> Floats:
    """(N, K) finite logits to probabilities; logits of any size."""
    with np.errstate(over="ignore"):
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def product(probs: Sequence[Floats]) -> Floats:
    """The fusion of independent modalities under equal priors: the product of their (N, K) probabilities, normalised.

    A probability below the smallest normal float counts as that, so that modalities which exclude each other's classes
    still have a product.
    """
    return softmax(np.sum([np.log(np.maximum(p, np.finfo(float).tiny)) for p in probs], axis=0))
