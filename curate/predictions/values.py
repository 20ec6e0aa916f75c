"""Detect from their sums what kind of numbers a modality has, and convert them to probabilities in float64.

Letters: N samples, K classes, R rows of all epochs together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from curate.blocks import Growing, blocks, by_row, every, release, take
from curate.errors import CurateError
from curate.types import Floats

from .part import Texts, shown

Owners = Callable[[NDArray[np.bool_]], Texts]
"""Ids of the samples of some rows (R,)."""
Values = Literal["auto", "logits", "probabilities", "proportions"]
TOLERANCE = 1e-3
"""How far probabilities may be outside [0, 1], and their sum from one, if no rounding explains it."""
LOG_TOLERANCE = 1.2e-2
"""How far the sum of probabilities may be from one if their logarithms were rounded to two decimals."""
SHARE = 0.2
"""If at least this share of rows add to one, all count as probabilities; logits add to one by chance alone."""
FEW = 20
"""With fewer rows, numbers that are never negative may be logits."""
TINY = float(np.finfo(float).tiny)
BASES = {"log-probabilities": np.e, "log10-probabilities": 10.0, "log2-probabilities": 2.0}
PROPORTIONS = "--set score.values=proportions divides each row by its sum"
LOGITS = "--set score.values=logits takes them for logits"


SHARES = ("probabilities", "percentages", "proportions")
"""Kinds whose rows are shares: one without a positive number says nothing."""


@dataclass(frozen=True)
class Reading:
    """The kind of a modality's values, and the evidence for it.

    Attributes:
        kind: `logits`, `probabilities`, `percentages`, `proportions`, `log-odds`, or one of `BASES`.
        why: the evidence, as a part of a sentence.
        step: of the decimals that probabilities were rounded to, 0.01 for two; 0 if they were not rounded.
        changed: number of rows of probabilities or percentages whose sum differs from one by more than 1e-6.
    """

    kind: str
    why: str
    step: float = 0.0
    changed: int = 0


def which_kind(
    modality: str,
    arrays: Sequence[Floats],
    values: Values,
    ids: Texts,
    known: str = "",
    there: NDArray[np.bool_] | None = None,
) -> Reading:
    """The kind of the (N, K) values of a modality, from all epochs together.

    Args:
        ids: of the samples, for errors.
        values: the kind given by the user; `auto` uses the evidence alone.
        known: the kind that whoever wrote the numbers made sure of; there is no evidence to look for then.
        there: which of `ids` these N samples are; None = all.

    Raises:
        CurateError: numbers are missing, or are not of the given kind; or, with `auto`, the evidence is not clear, or
            some rows contradict the others. The message names the first such samples.
    """
    rows = arrays[0] if len(arrays) == 1 else _joined(arrays)

    def owners(wrong: NDArray[np.bool_]) -> Texts:
        at = np.flatnonzero(wrong) % len(arrays[0])
        return ids[at if there is None else np.flatnonzero(there)[at]]

    seen = _Seen(rows)
    wrong = ~np.isfinite(seen.most)  # NaN or infinity, of minus infinity alone, is the largest
    if wrong.any():
        message = f"{modality} is missing, NaN or infinite, or no number, for {_named(owners, wrong)}"
        raise CurateError(message, "predict these samples again, or leave all their classes of this modality empty")
    if values == "auto" and known:
        return Reading(known, "as recorded")
    if values == "logits":
        return Reading("logits", "as score.values says")
    if values == "proportions":
        negative = (seen.least < 0) | ~_positive(seen.total)
        _refuse(modality, "are negative, or add to nothing", owners, negative, "")
        return Reading("proportions", "as score.values says, each row divided by its sum")
    fits, reading = _as_probabilities(seen, 1.0)
    if values == "probabilities":
        _refuse(modality, "do not lie in 0..1 and add to one", owners, ~fits, f"{PROPORTIONS}; {LOGITS}")
        return reading
    return _by_evidence(modality, seen, owners, fits, reading)


class _Seen:
    """Rows with what is asked of each of them, found at once.

    Attributes:
        rows: (R, K).
        least, most, total: (R,) smallest and largest number, and the sum; NaN where one is NaN.
        whole: (R,) whether all are whole numbers.
    """

    def __init__(self, rows: Floats) -> None:
        def work(own: Floats) -> Floats:
            with np.errstate(over="ignore", invalid="ignore"):
                whole = (own == np.round(own)).all(axis=1)
                return np.stack([own.min(axis=1), own.max(axis=1), own.sum(axis=1), whole], axis=1)

        self.rows = rows
        self.least, self.most, self.total, whole = by_row(work, rows).T
        self.whole = whole.astype(np.bool_)


def _by_evidence(modality: str, seen: _Seen, owners: Owners, fits: NDArray[np.bool_], reading: Reading) -> Reading:
    """The only kind that agrees with all rows."""
    rows, least, most, total = seen.rows, seen.least, seen.most, seen.total
    hint = f"mend these rows or leave them out; {PROPORTIONS}; {LOGITS}"
    with np.errstate(over="ignore", invalid="ignore"):
        near = fits | (np.abs(total - 1) <= TOLERANCE)
    telling = ~seen.whole  # rows of whole numbers may add to one by chance
    if fits.all() or (telling.any() and near[telling].mean() >= SHARE):
        described = f"add to one in {near.sum()} of {len(rows)} rows, but do not lie in 0..1 and add to one"
        _refuse(modality, described, owners, ~fits, hint)
        return reading
    fits, reading = _as_probabilities(seen, 100.0)
    if fits.mean() >= SHARE:
        described = f"add to 100 in {fits.sum()} of {len(rows)} rows, as percentages, but not"
        _refuse(modality, described, owners, ~fits, hint)
        return reading
    if (logs := _as_logarithms(modality, seen, owners)) is not None:
        return logs
    if rows.shape[1] > 2 and every(lambda x: np.abs(_sigmoid(x).sum(axis=1) - 1) <= TOLERANCE, rows):
        return Reading("log-odds", "log p / (1 - p) of probabilities that add to one")
    all_rows = np.ones(len(rows), dtype=bool)
    if (least >= -TOLERANCE).all():
        if (most <= 1 + TOLERANCE).all():
            what = "lie in 0..1 as probabilities do, but do not add to one, as sigmoids do not"
            _refuse(modality, what, owners, all_rows, f"{PROPORTIONS}; {LOGITS}")
        if len(rows) > 2 and telling.any() and np.ptp(total) <= TOLERANCE * total.max():
            what = f"add to {total.mean():.4g} in each row, as probabilities times {total.mean():.4g} would"
            _refuse(modality, what, owners, all_rows, f"{PROPORTIONS}; {LOGITS}")
        if len(rows) >= FEW:
            what = "are never negative, as logits hardly are, and do not add to one"
            _refuse(modality, what, owners, all_rows, f"{PROPORTIONS}; {LOGITS}")
    if not np.isfinite(least).all():
        least = by_row(lambda x: np.where(np.isfinite(x), x, np.inf).min(axis=1), rows)
    return Reading("logits", f"from {least.min():.3g} to {most.max():.3g}")


def _as_logarithms(modality: str, seen: _Seen, owners: Owners) -> Reading | None:
    """The reading as logarithms of probabilities, whose powers add to one; None if they are not logarithms."""
    rows = seen.rows
    if (seen.least >= 0).all():
        sure = by_row(lambda x: np.exp(-x).max(axis=1) > 0.99, rows)  # (5, 0) are logits of two classes as well
        ones = by_row(lambda x: np.abs(np.exp(-x).sum(axis=1) - 1) <= LOG_TOLERANCE, rows)
        if sure.mean() < 0.5 and ones.mean() > 1 - SHARE:
            described = "are negative log-probabilities: exp(-x) adds to one"
            _refuse(modality, described, owners, np.full(len(rows), True), "write log-probabilities, with their sign")
        return None
    if not (seen.most <= LOG_TOLERANCE).all():
        return None
    for kind, base in BASES.items():
        off = by_row(lambda x, b=base: np.abs((b**x).sum(axis=1) - 1) > LOG_TOLERANCE, rows)
        if off.mean() < SHARE:
            if base != np.e and len(rows) < 3:
                continue  # two rows may add to one by chance
            if base != np.e:  # natural logarithms are valid logits even if their powers do not add to one
                described = f"are logarithms to base {base:.0f} in {(~off).sum()} of {len(rows)} rows, but not"
                _refuse(modality, described, owners, off, "mend these rows, or leave them out")
            return Reading(kind, f"{'e' if base == np.e else f'{base:.0f}'} to the power of them adds to one")
    return None


def _as_probabilities(seen: _Seen, total: float) -> tuple[NDArray[np.bool_], Reading]:
    """(R,) which rows are in 0..total and add to it, within rounding; and the reading if all of them do."""
    with np.errstate(invalid="ignore"):
        inside = (seen.least / total >= -TOLERANCE) & (seen.most / total <= 1 + TOLERANCE)
    excess, own = np.full(len(inside), -1.0), take(seen.rows, inside)
    excess[inside] = by_row(lambda x: (x / total).clip(0, None).sum(axis=1) - 1, own)
    fits, name, step = inside & (np.abs(excess) <= TOLERANCE), "", 0.0
    if not fits.all() and inside.any():
        name, step, more, less = _rounding(own, total)
        wider = np.zeros(len(inside), dtype=bool)
        wider[inside] = (excess[inside] <= more) & (-excess[inside] <= less) & (excess[inside] > -1)
        fits = fits | wider
    changed = int((np.abs(excess) > 1e-6).sum())
    kind, what = ("probabilities", "one") if total == 1 else ("percentages", "100")
    why = f"rows add to {what}"
    if changed:
        explained = name or "rounding"
        why += f"; {changed} of {len(inside)} made to add to it, {explained}"
    return fits, Reading(kind, why, step, changed)


def _rounding(rows: Floats, total: float) -> tuple[str, float, Floats, Floats]:
    """How the values were rounded, and how far the sums of rows may then be above and below one.

    The coarsest rounding that all values fit: bfloat16, or a number of decimals or digits.

    Args:
        rows: (R, K), of which `total` is a share of one.

    Returns:
        Its name, the step of decimals or 0, and (R,) bounds above and below.
    """

    def holds(fits: Callable[[Floats], NDArray[np.bool_]]) -> bool:
        return every(lambda own: np.asarray(fits(own / total).all(axis=1)), rows)

    def bounds(work: Callable[[Floats], Floats]) -> Floats:
        result: Floats = by_row(lambda own: work(own / total), rows)
        return result

    usual = np.full(len(rows), TOLERANCE)
    found = [("", 0.0, usual, usual)]
    if holds(_is_bfloat16):
        bound = bounds(lambda p: p.sum(axis=1) * 2.0**-8)
        found.append(("as bfloat16 rounds", 0.0, bound, bound))
    for digits in range(2, 6):
        step = 10.0**-digits
        if holds(partial(_has_decimals, digits=digits)):
            above = bounds(lambda p: (p > 0).sum(axis=1)) * step / 2
            found.append((f"as {digits} decimals round", step, above, np.full(len(rows), rows.shape[1] * step / 2)))
            break
    for digits in range(2, 6):
        if holds(partial(_has_digits, digits=digits)):
            bound = bounds(partial(_half_steps, digits=digits))
            found.append((f"as {digits} digits round", 0.0, bound, bound))
            break
    return max(found, key=lambda form: float((form[2] + form[3]).sum()))


def _is_bfloat16(p: Floats) -> NDArray[np.bool_]:
    single = p.astype(np.float32)
    result: NDArray[np.bool_] = ((single.view(np.uint32) & 0xFFFF) == 0) & (single == p)
    return result


def _has_decimals(p: Floats, digits: int) -> NDArray[np.bool_]:
    """Whether each value has no more decimals."""
    result: NDArray[np.bool_] = np.abs(p - np.round(p, digits)) <= _slack(p) + 1e-12
    return result


def _half_steps(p: Floats, digits: int) -> Floats:
    """(R,) half of the sum of the steps of values with so many digits."""
    result: Floats = (_unit(p) * 10.0 ** (1 - digits)).sum(axis=1) / 2
    return result


def _slack(p: Floats) -> Floats:
    """float32 cannot hold decimals."""
    result: Floats = 2.4e-7 * np.abs(p)
    return result


def _unit(p: Floats) -> Floats:
    """The power of ten of the first digit of each value; 0 of what is not positive."""
    with np.errstate(divide="ignore"):
        return np.where(p > 0, 10.0 ** np.floor(np.log10(np.maximum(p, 1e-300))), 0)


def _has_digits(p: Floats, digits: int) -> NDArray[np.bool_]:
    """Whether each value has no more digits that count."""
    step = _unit(p) * 10.0 ** (1 - digits)
    scaled = np.divide(p, step, out=np.zeros_like(p), where=step > 0)
    result: NDArray[np.bool_] = np.abs(scaled - np.round(scaled)) * step <= _slack(p) + 1e-15
    return result


def to_probabilities(values: Floats, reading: Reading) -> Floats:
    """(N, K) values of the kind `reading` to rows that add to one; float64.

    The probability that was lost by rounding to decimals is added to the classes that were rounded to 0, in equal parts
    of at most half a step: a class of 0.50 among a thousand small ones stays 0.50.
    """
    if reading.kind == "log-odds":
        return to_probabilities(_sigmoid(values), Reading("probabilities", ""))
    if reading.kind in ("logits", *BASES):
        return softmax(values * np.log(BASES.get(reading.kind, np.e)))
    p = values.clip(0, None)
    if reading.kind == "percentages":
        p = p / 100
    if reading.kind == "proportions":
        p = p / p.max(axis=1, keepdims=True)
    if reading.step:
        zeros = p == 0
        lost = np.clip(1 - p.sum(axis=1), 0, None) / np.maximum(zeros.sum(axis=1), 1)
        p = p + zeros * np.minimum(lost, reading.step / 2)[:, None]
    result: Floats = p / p.sum(axis=1, keepdims=True)
    return result


def softmax(logits: Floats) -> Floats:
    """(N, K) logits of any size to probabilities; -inf gives 0."""
    with np.errstate(over="ignore"):
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: Floats = e / e.sum(axis=1, keepdims=True)
    return result


def product(probs: Sequence[Floats], least: Sequence[float] | None = None) -> Floats:
    """The fusion of independent modalities under equal priors: the product of their (N, K) probabilities, normalised.

    Args:
        least: of each modality, what a smaller probability counts as, see `resolution`; None: the smallest normal
            float. Modalities that exclude each other's classes then still have a product.
    """
    bounds = [TINY] * len(probs) if least is None else [max(bound, TINY) for bound in least]
    return softmax(reduce(np.add, [np.log(np.maximum(p, bound)) for p, bound in zip(probs, bounds, strict=True)]))


def resolution(arrays: Sequence[Floats], reading: Reading) -> float:
    """What a probability of zero counts as in a product: the smallest of all that are not zero, divided by K.

    A forest of n trees gives a class for which none voted exactly 0, and others at least 1 / n. That excludes no class:
    one more vote, given to all K classes alike, would be 1 / (n K). So would rounding to decimals. As a factor of a
    product a zero would outweigh all that the other modalities say. Logits exclude no class: of these it is 0.

    Args:
        arrays: (N, K) values of the kind `reading`, of every epoch: all samples are fused alike.
    """
    if reading.kind == "logits":
        return 0.0

    def smallest(values: Floats) -> Floats:
        p = to_probabilities(values, reading)
        result: Floats = np.where(p > 0, p, np.inf).min(axis=1, initial=np.inf)
        return result

    found = [float(by_row(smallest, values).min(initial=1.0)) / max(values.shape[1], 1) for values in arrays]
    return min(found, default=0.0)


def _joined(arrays: Sequence[Floats]) -> Floats:
    """The rows of several (N, K) arrays."""
    joined = Growing(np.empty((0, arrays[0].shape[1])))
    for array in arrays:
        for block in blocks(*array.shape):
            joined.append(np.array(array[block]))
        release(array)
    return joined.array()


def _sigmoid(x: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def _positive(total: Floats) -> NDArray[np.bool_]:
    return (total > 0) & np.isfinite(total)


def _named(owners: Owners, wrong: NDArray[np.bool_]) -> str:
    """The first few samples of the wrong rows, each once, in the order of the rows."""
    return shown(list(dict.fromkeys(owners(wrong).tolist())))


def _refuse(modality: str, what: str, owners: Owners, wrong: NDArray[np.bool_], hint: str) -> None:
    if wrong.any():
        hint = hint or "predict these samples again, or leave them out of the file"
        raise CurateError(f"the values of {modality} {what}: {_named(owners, wrong)}", hint)
