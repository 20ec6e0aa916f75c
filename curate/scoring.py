"""Predictions to a round: gaps, one mixture a pair, posteriors. What every way of scoring shares."""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import numpy as np

from . import gap, mixture
from .errors import CurateError
from .types import GapScores, Predictions, Round


@dataclass(frozen=True, kw_only=True)
class MixtureConfig:
    """Which gap is fitted, and how.

    Attributes:
        gap: `prob` (Eq. 6) or `kl` (Eq. 7).
        family: `gaussian` or `student-t`.
        dof: degrees of freedom of the Student-t; none estimates them.
        rule: which component is the balanced one, see `mixture.balanced_component`.
        check: `bic` falls back to one component where BIC does not support two; `none` fits two always, as the paper.
        posterior: `literal` (Eq. 10) or `monotone` in the gap, see `mixture.monotone_limits`.
    """

    gap: Literal["prob", "kl"] = "prob"
    family: Literal["gaussian", "student-t"] = "gaussian"
    dof: float | None = 4.0
    rule: Literal["second_moment", "weight", "abs_mean"] = "second_moment"
    check: Literal["bic", "none"] = "bic"
    posterior: Literal["literal", "monotone"] = "literal"

    def __post_init__(self) -> None:
        if self.dof is not None and self.dof <= 0:
            raise CurateError(f"out of range: score.dof={self.dof}", "positive, or none, to be estimated")


def fit_round(predictions: Predictions, config: MixtureConfig) -> Round:
    """Gaps, mixtures and posteriors of a set of predictions.

    Unlike `fit_gaps` it sees whether the modalities know the samples by heart, the outcome `memorised`.
    """
    found = fit_gaps(gap.modality_gap(predictions), config, len(predictions.classes))
    if predictions.fold is not None:
        return found  # nobody can know by heart what was never seen
    labels, probs = predictions.labels, predictions.probs
    right = {m: float((probs[m].argmax(axis=1) == labels).mean()) for m in predictions.modalities}
    scale = gap.gap_scale(config.gap, len(predictions.classes))
    fits = tuple(
        mixture.blamed_on_memory(fitted, x, min(right[m] for m in pair), scale)
        for fitted, x, pair in zip(found.fits, found.gaps.of(config.gap).T, found.gaps.pairs, strict=True)
    )
    return replace(found, fits=fits)


def fit_gaps(gaps: GapScores, config: MixtureConfig, classes: int) -> Round:
    """Mixtures and posteriors of given gaps, of a problem with so many classes."""
    scale = gap.gap_scale(config.gap, classes)
    columns = gaps.of(config.gap).T
    fits = tuple(
        mixture.fit(
            x,
            config.family,
            dof=config.dof,
            rule=config.rule,
            check=config.check,
            posterior=config.posterior,
            scale=scale,
        )
        for x in columns
    )
    weights = np.stack([mixture.p_balanced(f, x) for f, x in zip(fits, columns, strict=True)], axis=1)
    return Round(gaps.sample_ids, gaps, fits, weights)


def versions() -> dict[str, str]:
    """Of Python and of every library that can change a number."""
    found = {"python": platform.python_version()}
    for name in ("curate-mm", "torch", "torchvision", "torchaudio", "numpy", "scipy", "scikit-learn", "duckdb", "av"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed as a package"
    return found
