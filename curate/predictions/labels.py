"""Labels as names of classes, from any type in which they were stored."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from curate.errors import CurateError
from curate.files.names import composed
from curate.files.tables import is_missing

from .part import Texts, shown

WHOLE_NUMBER = re.compile(r"[+-]?\d+(\.0*)?")


def class_names(given: Sequence[Any], where: str) -> tuple[str, ...]:
    """K class names, composed and stripped; whole numbers without a decimal point.

    Raises:
        CurateError: one is empty, or occurs twice.
    """
    names = [composed(_text(name).strip()) for name in given]
    if "" in names:
        raise CurateError(f"{where}: class {names.index('') + 1} of {len(names)} has no name", "name every class")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise CurateError(f"{where}: classes occur twice: {shown(twice)}", "give each class its own name")
    return tuple(names)


def named(given: Sequence[Any], classes: Sequence[str], where: str, positions: bool = False) -> tuple[Texts, str]:
    """(N,) names of classes, '' where there is no label; and how numbers were read, '' where that is clear.

    A label that is a class name is that class; `1.0` is the class `1` if no class is called `1.0`. A label that is not
    a class but a word for a missing value is no label. If every label is a whole number, not every one is a class and
    `positions` allows it, the numbers are positions among the classes, counted from 0.

    Args:
        given: texts, numbers, or None.

    Raises:
        CurateError: numbers that are neither classes nor positions.
    """
    exact = {name: name for name in classes}
    complete = [(str(int(float(name))), name) for name in classes if WHOLE_NUMBER.fullmatch(name) and len(name) < 16]
    counts = Counter(number for number, _ in complete)
    by_number = {number: name for number, name in complete if counts[number] == 1}
    distinct = {value: _text(value) for value in dict.fromkeys(map(_hashable, given))}
    found = {v: exact.get(composed(t.strip())) or by_number.get(_complete(t), "") for v, t in distinct.items()}
    rest = [v for v, t in distinct.items() if not found[v] and not is_missing(t)]
    numbers = [_complete(t) for v, t in distinct.items() if found[v] or v in rest]
    note = ""
    if positions and all(numbers) and numbers and all(_is_number(v) for v in rest):
        at = [int(number) for number in numbers]
        counted = all(0 <= i < len(classes) for i in at)
        if rest and not counted:
            names = f"the classes {shown(list(classes))}, nor positions among {len(classes)}"
            out = [v for v in rest if not 0 <= int(_complete(distinct[v])) < len(classes)] or rest
            raise CurateError(f"{where}: labels {shown(out)} are not {names}", "give the names of classes")
        if rest:
            found = {v: classes[int(_complete(t))] if _complete(t) else "" for v, t in distinct.items()}
            note = "labels are positions, counted from 0"
        elif counted and any(found[v] != classes[int(_complete(t))] for v, t in distinct.items() if _complete(t)):
            note = "labels are names of classes, not positions"
        rest = []
    for value in rest:  # reported later as an unknown class
        found[value] = composed(distinct[value].strip())
    return np.array([found[_hashable(value)] for value in given], dtype=np.str_), note


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _hashable(value: Any) -> Any:
    """The value as a dictionary key; booleans differ from 0 and 1, and all NaN are the same key."""
    if isinstance(value, bool | bytes):
        return _text(value)
    if isinstance(value, float):
        return "nan" if math.isnan(value) else int(value) if value.is_integer() else value
    return value if isinstance(value, str | int) else "" if value is None else str(value)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)


def _complete(text: str) -> str:
    """The digits of a whole number; '' if the text is not one."""
    text = text.strip()
    return str(int(float(text))) if WHOLE_NUMBER.fullmatch(text) and len(text) < 16 else ""
