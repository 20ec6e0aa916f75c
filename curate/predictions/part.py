"""The content of a file of predictions, before it is checked.

Letters: N samples, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.blocks import blocks, release, take
from curate.errors import CurateError, counted
from curate.files.tables import is_missing
from curate.types import Floats

SHOWN = 3
FEW = 16
"""So many texts are told apart by comparing arrays."""
KEYS = ("sample_id", "label", "split", "epoch", "group")

Texts = NDArray[np.str_]


@dataclass(frozen=True)
class Part:
    """The unchanged content of one file.

    Attributes:
        source: the file, for errors.
        sample_ids, labels: (N,) strings, in the file's order; labels are class names, '' where there is none.
        splits: (N,) strings, or None where the file has none.
        epochs: (N,) whole numbers, or None where the file has none.
        values: {modality: (K class names, (N, K) float64)}, in the file's order; NaN where there was no number. Large
            ones are in a temporary file, see `curate.blocks`.
        form: how the file is written and its labels were read, if that is not the usual form; else ''.
        kind: of the values, where whoever wrote the file made sure of it, see `values.Reading`; '' where it is unknown.
        groups: (N,) names of what belongs together (speaker, source video), '' where there is none; or None.
        not_read: names of what else the file holds.
    """

    source: str
    sample_ids: Texts
    labels: Texts
    splits: Texts | None
    epochs: NDArray[np.int64] | None
    values: Mapping[str, tuple[tuple[str, ...], Floats]]
    form: str = ""
    kind: str = ""
    groups: Texts | None = None
    not_read: tuple[str, ...] = ()


def distinct(texts: Texts) -> tuple[list[str], NDArray[np.int64]]:
    """The different texts in the order in which they appear, and (N,) which of them each is."""
    known = {text: number for number, text in enumerate(dict.fromkeys(texts[:1000].tolist()))}
    which = np.full(len(texts), -1, dtype=np.int64)
    for block in blocks(len(texts)):
        own, found = texts[block], which[block]
        for text, number in islice(known.items(), FEW):  # comparing arrays is faster than looking up each text
            found[own == text] = number
        left = np.flatnonzero(found < 0)
        cells = own[left].tolist()
        for text in dict.fromkeys(cells):
            known.setdefault(text, len(known))
        found[left] = np.fromiter(map(known.__getitem__, cells), np.int64, len(cells))
        release(texts)
    return list(known), which


def group_names(texts: Texts | None) -> Texts | None:
    """(N,) names of groups, '' for a word for a missing value; None if no sample has one."""
    if texts is None:
        return None
    names, which = distinct(texts)
    found = np.array(["" if is_missing(name) else name for name in names], dtype=np.str_)
    return take(found, which) if (found != "").any() else None


def shown(items: Sequence[Any] | NDArray[Any], most: int = SHOWN) -> str:
    """The first few items, quoted; if there are more, also their number."""
    more = f", ... ({len(items)} in all)" if len(items) > most else ""
    return ", ".join(repr(str(item)) for item in items[:most]) + more


def complete(values: Any, source: str) -> NDArray[np.int64]:
    """(N,) epochs as whole numbers."""
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        numbers = np.array([np.nan])
    wrong = ~(np.isfinite(numbers) & (np.abs(numbers) < 2**31) & (numbers == np.round(numbers)))
    if wrong.any():
        raise CurateError(
            f"{source}: {counted(int(wrong.sum()), 'epoch is no whole number', 'epochs are no whole numbers')}",
            "count epochs 0, 1, 2, ...",
        )
    return numbers.astype(np.int64)
