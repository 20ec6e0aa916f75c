"""Rules that select samples by posterior or another quality. Pure.

`select_above` is Section III-D of the adaptive-loss paper.

Letters: N candidates, the scored training samples of a run.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from curate.arguments import NONE, need, numbers, one_of
from curate.blocks import are_ascending, take
from curate.errors import CurateError
from curate.types import Floats

Mask = NDArray[np.bool_]
By = Literal["p_balanced", "usability", "gap"]
QUALITY: dict[By, str] = {"p_balanced": "p_balanced", "usability": "least usability", "gap": "1 - |gap|"}
"""The quality as an expression of the columns of `samples`."""
LOWER = (0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0)
"""Thresholds that are tried if the given one keeps nothing."""

ROUNDING = 1e-6
"""So far a probability may be outside of [0, 1]."""


@dataclass(frozen=True)
class Candidates:
    """The samples from which a rule chooses, in any order.

    Attributes:
        sample_ids: (N,) unique strings.
        label_names: (N,) class names.
        groups: (N,) names of groups (speaker, source video); '' for a sample without a group.
        quality: (N,) value by which they are ranked, in [0, 1], higher = kept sooner; see `Rule.by`.
        fulfils: (N,) whether the condition `where` of the rule holds.
    """

    sample_ids: NDArray[np.str_]
    label_names: NDArray[np.str_]
    groups: NDArray[np.str_]
    quality: Floats
    fulfils: Mask


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Which candidates to keep; the parts are applied in the order listed, each to what the earlier ones kept.

    Attributes:
        threshold: `quality >= threshold`, in [0, 1].
        where: a condition on the columns of `samples`.
        per_class: number to keep of each class, those of highest quality; all of a smaller class.
        top: number to keep, those of highest quality.
        fraction: number to keep as a share of all N candidates, in (0, 1], those of highest quality.
        whole_groups: drop every group that lost a candidate; may keep fewer than `top`.
        by: the quality: the posterior `p_balanced`; for `usability` that of the least usable modality; for `gap`
            1 - |gap|, which needs no mixture.

    Ties are broken by ascending id.

    Raises:
        ValueError: a part is of another type.
    """

    threshold: float | None = None
    where: str | None = None
    per_class: int | None = None
    top: int | None = None
    fraction: float | None = None
    whole_groups: bool = False
    by: By = "p_balanced"

    def __post_init__(self) -> None:
        for name in ("threshold", "fraction"):
            need(name, getattr(self, name), float, NONE)
        for name in ("per_class", "top"):
            need(name, getattr(self, name), int, NONE)
        need("where", self.where, str, NONE)
        need("whole_groups", self.whole_groups, bool)
        one_of("by", self.by, tuple(QUALITY))

    def keep(self, seen: Candidates) -> Mask:
        """(N,) mask of the candidates that fulfil every part."""
        p, ids, labels = seen.quality, seen.sample_ids, seen.label_names
        left = np.flatnonzero(select_above(p, 0 if self.threshold is None else self.threshold) & seen.fulfils)
        if self.per_class is not None:
            left = left[select_per_class(p[left], take(ids, left), take(labels, left), self.per_class)]
        if self.top is not None:
            left = left[select_top(p[left], take(ids, left), self.top)]
        if self.fraction is not None:
            left = left[select_top(p[left], take(ids, left), fraction_count(self.fraction, len(p)))]
        kept = np.zeros(len(p), dtype=bool)
        kept[left] = True
        return keep_whole_groups(kept, seen.groups) if self.whole_groups else kept

    @property
    def options(self) -> str:
        """The rule as options of `curate select`."""
        by = None if self.by == "p_balanced" else self.by
        values = {
            "threshold": self.threshold,
            "where": self.where and _quoted(self.where),
            "per-class": self.per_class,
            "top": self.top,
            "fraction": self.fraction,
            "by": by,
        }
        words = [f"--{name} {value}" for name, value in values.items() if value is not None]
        return " ".join([*words, *(["--whole-groups"] if self.whole_groups else [])])

    def __str__(self) -> str:
        quality = QUALITY[self.by]
        by = "" if self.by == "p_balanced" else f" by {quality}"
        parts = {
            f"{quality} >= {self.threshold}": self.threshold,
            str(self.where): self.where,
            f"top {self.per_class} of each class{by}": self.per_class,
            f"top {self.top}{by}": self.top,
            f"top {self.fraction} of all{by}": self.fraction,
            "whole groups": self.whole_groups or None,
        }
        return " and ".join(text for text, value in parts.items() if value is not None)


def _quoted(text: str) -> str:
    """A text quoted as one word for a shell, in plain double quotes where possible."""
    return shlex.quote(text) if set('"$`\\!') & set(text) else f'"{text}"'


def relaxed(rule: Rule, seen: Candidates) -> tuple[Rule, int] | None:
    """A rule close to one that keeps nothing, and how many samples it keeps; None if there are no candidates.

    Tried in turn: lower thresholds, then without whole groups, then without the condition, then without both.
    """
    loose = [
        rule,
        replace(rule, whole_groups=False),
        replace(rule, where=None),
        replace(rule, where=None, whole_groups=False),
    ]
    for other in loose:
        fulfils = seen.fulfils if other.where else np.ones_like(seen.fulfils)
        for threshold in (other.threshold, *(t for t in LOWER if t < (other.threshold or 0.0))):
            tried = replace(other, threshold=threshold)
            kept = int(tried.keep(replace(seen, fulfils=fulfils)).sum())
            if kept:
                return tried, kept
    return None


def select_above(p_balanced: Floats | Sequence[float], threshold: float) -> Mask:
    """Keep samples with `p_balanced >= threshold`: (N,) in [0, 1] to an (N,) mask.

    With a higher threshold the kept set is a subset of that with a lower one; 0 keeps all.

    Raises:
        CurateError: the threshold is not in [0, 1].
        ValueError: these are not (N,) numbers and a number, or not probabilities.
    """
    p = numbers("p_balanced", p_balanced)
    if (outside := ~((p >= -ROUNDING) & (p <= 1 + ROUNDING))).any():
        first = int(outside.argmax())
        raise ValueError(
            f"p_balanced are probabilities in [0, 1], got {p[first]:g} at place {first}"
            f"{f' and {outside.sum() - 1} more' if outside.sum() > 1 else ''}; leave these out, or give posteriors"
        )
    need("threshold", threshold, float)
    if not 0 <= threshold <= 1:
        raise CurateError(f"the threshold is a probability in [0, 1], got {threshold}", "try --threshold 0.8")
    return p >= threshold


def select_top(quality: Floats, sample_ids: NDArray[np.str_], count: int) -> Mask:
    """Keep exactly `min(count, N)` samples of highest quality, ties by ascending id: an (N,) mask."""
    if count < 1:
        raise CurateError(f"top is a count of at least 1, got {count}", "try --top 1000")
    mask = np.zeros(len(quality), dtype=bool)
    mask[_in_order(sample_ids, -quality)[:count]] = True
    return mask


def select_per_class(quality: Floats, sample_ids: NDArray[np.str_], label_names: NDArray[np.str_], count: int) -> Mask:
    """`select_top` within each class: exactly `min(count, size)` of every class, an (N,) mask."""
    if count < 1:
        raise CurateError(f"the count per class is at least 1, got {count}", "try --per-class 100")
    _, codes, sizes = np.unique(label_names, return_inverse=True, return_counts=True)
    rank = np.arange(len(codes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # within its class, in sorted order
    mask = np.zeros(len(codes), dtype=bool)
    mask[_in_order(sample_ids, -quality, codes)[rank < count]] = True
    return mask


def _in_order(sample_ids: NDArray[np.str_], *keys: NDArray[Any]) -> NDArray[np.int64]:
    """(N,) places in the order of the last key, within equal ones of the key before it, at last of ascending ids."""
    return np.lexsort(keys if are_ascending(sample_ids) else (sample_ids, *keys))  # equal ones stay in their order


def fraction_count(fraction: float, candidates: int) -> int:
    """Number of candidates in a share in (0, 1]: halves round up, at least 1.

    Computed from the decimal number as typed: 0.29 of 50 is 14.5, thus 15, though 0.29 * 50 < 14.5 in floating point.
    """
    if not 0 < fraction <= 1:
        raise CurateError(f"the fraction is a share in (0, 1], got {fraction}", "try --fraction 0.5")
    exact = Decimal(str(fraction)) * candidates
    return max(1, int(exact.to_integral_value(ROUND_HALF_UP)))


def keep_whole_groups(kept: Mask, groups: NDArray[np.str_]) -> Mask:
    """Drop each kept sample whose group lost a member; samples without group ('') are not affected: an (N,) mask."""
    if not (groups != "").any():
        raise CurateError(
            "whole groups are asked for, but no scored sample has a group",
            "a manifest, or saved predictions, name them in a column `group`",
        )
    _, codes = np.unique(groups, return_inverse=True)
    broken = np.bincount(codes, weights=~kept) > 0
    result: Mask = kept & ((groups == "") | ~broken[codes])
    return result


def random_subset(candidates: int, count: int, seed: int) -> Mask:
    """A uniformly random subset of exactly `count` of `candidates` samples: the control of every selection."""
    mask = np.zeros(candidates, dtype=bool)
    mask[np.random.default_rng(seed).permutation(candidates)[:count]] = True
    return mask


def class_balance(label_names: NDArray[np.str_], kept: Mask) -> dict[str, tuple[int, int]]:
    """{class name: (kept, candidates)} in ascending order of names."""
    names, codes, seen = np.unique(label_names, return_inverse=True, return_counts=True)
    counts = np.bincount(codes, weights=kept, minlength=len(names))
    return {str(c): (int(k), int(n)) for c, k, n in zip(names, counts, seen, strict=True)}
