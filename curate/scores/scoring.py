"""Predictions to a round: gaps, one mixture per pair, posteriors. Used by every way of scoring."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import numpy as np

from curate.errors import CurateError
from curate.types import Floats, GapScores, Known, MixtureFit, Predictions, Round

from . import gap, mixture, posteriors, two_sided

OF_COMPONENTS = ("input", "components", "rule", "check", "posterior")
"""Settings that the two-sided mixture does not have."""
PAPER = {"family": "gaussian", "components": 2, "input": "signed", "rule": "weight", "check": "none"}
"""Exactly the paper's form: always two Gaussians of the signed gap; that with the larger weight is the balanced one."""


@dataclass(frozen=True, kw_only=True)
class MixtureConfig:
    """Which gap is fitted, and how.

    The default is the `two-sided` mixture of the probability gap of the last epoch: its posterior falls with |gap| on
    any data, see `two_sided`. The paper has `prob` or `kl`, signed, of one epoch, and two `gaussian` or `student-t`
    components; its exact form, with rule `weight` and check `none`, is `PAPER`.

    Attributes:
        gap: `prob` (Eq. 6), `kl` (Eq. 7), `log_prob` or `log_odds`, see `gap.signed_gap`.
        input: `signed`, or `absolute`: the size alone; two components can then hold samples of either direction. One
            population then looks like two to BIC, because its |gap| is half a bell: `check` is less reliable.
        average: `last` epoch, or `warmup`: the gap's mean over the epochs of the warm-up, which needs score.dynamics;
            of saved predictions, over the epochs up to that of the round.
        components: 2, or 3: both tails and a balanced middle, with a posterior for each direction.
        family: `two-sided`, `gaussian` or `student-t`; `auto` is `gaussian` where one of input, components, rule, check
            and posterior is given, which the two-sided mixture has not, and else `two-sided`.
        dof: degrees of freedom of Student-t; none estimates them. Of the two-sided mixture above 2.
        rule: which component of two is the balanced one, see `mixture.balanced_component`; of three it is the middle.
        check: `bic` falls back to fewer components where BIC does not support them; `none` fits two always, as the
            paper, and three wherever the gaps have both tails.
        posterior: `literal` (Eq. 10) or `monotone` in the gap, see `posteriors.monotone_limits`.
    """

    gap: Literal["prob", "kl", "log_prob", "log_odds"] = "prob"
    input: Literal["signed", "absolute"] = "signed"
    average: Literal["last", "warmup"] = "last"
    components: Literal[2, 3] = 2
    family: Literal["auto", "two-sided", "gaussian", "student-t"] = "auto"
    dof: float | None = 4.0
    rule: Literal["second_moment", "weight", "abs_mean"] = "second_moment"
    check: Literal["bic", "none"] = "bic"
    posterior: Literal["literal", "monotone"] = "literal"

    def __post_init__(self) -> None:
        usual = {f.name: f.default for f in fields(MixtureConfig)}
        given = [k for k in OF_COMPONENTS if getattr(self, k) != usual[k]]
        object.__setattr__(self, "family", mixture.chosen_family(self.family, bool(given)))
        if self.family == two_sided.FAMILY:
            if given:
                raise CurateError(
                    f"score.{given[0]}={getattr(self, given[0])} is of the paper's mixtures, the family is two-sided",
                    f"leave --family out or give --family gaussian, or leave score.{given[0]} out",
                )
            if self.dof is None or self.dof <= 2:
                raise CurateError(
                    f"out of range: score.dof={self.dof}",
                    "above 2 in the two-sided mixture; --family student-t has any, or none, to be estimated",
                )
        if self.dof is not None and self.dof <= 0:
            raise CurateError(f"out of range: score.dof={self.dof}", "positive, or none, to be estimated")
        if self.components == 3 and self.input == "absolute":
            raise CurateError(
                "score.components=3 with score.input=absolute: |gap| has no left tail", "leave one of them out"
            )
        if self.components == 3 and self.posterior == "monotone":
            raise CurateError(
                "score.posterior=monotone is for two components, each gap being either balanced or not",
                "with score.components=3 leave it out, or fit two to |gap|: score.input=absolute",
            )


def fit_round(predictions: Predictions, config: MixtureConfig, averaged: Floats | None = None) -> Round:
    """Gaps, mixtures and posteriors of a set of predictions; see `fit_known`.

    Unlike `fit_gaps` it detects whether the modalities memorised the samples, the outcome `memorised`.
    """
    known = gap.known(predictions)
    return fit_known(gap.both_gaps(known), known, config, len(predictions.classes), averaged)


def fit_known(
    gaps: GapScores, known: Known, config: MixtureConfig, classes: int, averaged: Floats | None = None
) -> Round:
    """Mixtures and posteriors of gaps and of the predictions from which they were computed.

    Args:
        gaps: both gaps of the paper.
        known: the predictions, in the form of `gap.known`.
        classes: K.
        averaged: (N, P) signed gaps of `config.gap`, the mean over epochs; with `average=warmup` only.

    Raises:
        ValueError: an average is needed and not given, or given and not needed.
    """
    if (averaged is not None) != (config.average == "warmup"):
        raise ValueError(f"average={config.average}, and averaged gaps are {'not ' * (averaged is None)}given")
    found = fit_gaps(prepared(gaps, known, config, averaged), config, classes)
    if known.held_out or not len(known.correct):
        return found
    right = dict(zip(known.modalities, known.correct.mean(axis=0).tolist(), strict=True))
    scale = gap.gap_scale(config.gap, classes)
    fits = tuple(
        mixture.marked_memorised(fitted, x, min(right[m] for m in pair), scale)
        for fitted, x, pair in zip(found.fits, found.gaps.seen(config.gap).T, found.gaps.pairs, strict=True)
    )
    return replace(found, fits=fits)


def prepared(gaps: GapScores, known: Known, config: MixtureConfig, averaged: Floats | None) -> GapScores:
    """The gaps with the values to fit the mixture to; in the paper's form that is one of both gaps, unchanged."""
    signed = averaged
    if signed is None and config.gap not in ("prob", "kl"):
        signed = gap.signed_gap(config.gap, known)
    return with_input(replace(gaps, fitted=signed, input="signed", average=config.average), config)


def with_input(gaps: GapScores, config: MixtureConfig) -> GapScores:
    """Signed gaps, or their absolute values, according to `config.input`."""
    if config.input == "signed":
        return gaps
    return replace(gaps, fitted=np.abs(gaps.seen(config.gap)), input="absolute")


def fit_gaps(gaps: GapScores, config: MixtureConfig, classes: int) -> Round:
    """Mixtures and posteriors of the gaps of `GapScores.seen`, for a problem with `classes` classes.

    One mixture per pair; the two-sided one is fitted to all pairs together.
    """
    scale = gap.gap_scale(config.gap, classes)
    if config.family == two_sided.FAMILY:
        assert config.dof is not None
        return under((two_sided.fit(gaps.seen(config.gap), config.dof, scale),) * len(gaps.pairs), gaps, config)
    fits = tuple(
        mixture.fit(
            x,
            config.family,
            dof=config.dof,
            rule=config.rule,
            check=config.check,
            posterior=config.posterior,
            components=config.components,
            scale=scale,
        )
        for x in gaps.seen(config.gap).T
    )
    return under(fits, gaps, config)


def under(fits: tuple[MixtureFit, ...], gaps: GapScores, config: MixtureConfig) -> Round:
    """Posteriors of the gaps of `GapScores.seen` under mixtures that were already fitted, one per pair."""
    columns = gaps.seen(config.gap).T
    weights = np.stack([posteriors.p_balanced(f, x) for f, x in zip(fits, columns, strict=True)], axis=1)
    ahead = None
    if any(len(f.weights) == 3 for f in fits):
        ahead = np.stack([posteriors.p_ahead(f, x) for f, x in zip(fits, columns, strict=True)], axis=1)
    return Round(gaps.sample_ids, gaps, fits, weights, ahead)


def centres_of(found: Round, kind: str) -> tuple[float, ...] | None:
    """(P,) where Eq. 11 draws the gaps of one epoch to, if it is not the balanced component's location.

    None for a mixture that was fitted to these very gaps, signed and of one epoch: its locations. If it was fitted to
    something else, its location is not in the units of the gaps. It is then replaced by their mean weighted by w0, or
    by 0 if w0 is 0 throughout. At the optimum of EM, the location of a Gaussian is the same mean of the gaps it was
    fitted to.

    Args:
        found: a scored round.
        kind: the gap that its mixtures were fitted to.
    """
    drawn = gap.loss_kind(kind)
    if drawn == kind and (found.gaps.input, found.gaps.average) == ("signed", "last"):
        return None
    mass = found.p_balanced.sum(axis=0)
    moment = (found.p_balanced * found.gaps.of(drawn)).sum(axis=0)
    return tuple(np.divide(moment, mass, out=np.zeros_like(mass), where=mass > 0).tolist())


def versions() -> dict[str, str]:
    """Versions of Python and of every library that can change a number."""
    return dict(_versions())


@cache
def _versions() -> Mapping[str, str]:
    found = {"python": platform.python_version()}
    for name in ("curate-mm", "torch", "torchvision", "torchaudio", "numpy", "scipy", "scikit-learn", "duckdb", "av"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed as a package"
    return found
