"""What callers of the Python API give, checked before anything is done with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .errors import shorten, unknown_name

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")
NONE = type(None)
FILE = (str, PathLike)
"""What names a file or a folder."""
WORDS: Mapping[type, str] = {
    str: "a text",
    PathLike: "a path",
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    Iterable: "a list of them",
    NONE: "None",
}
OTHERS: Mapping[type, tuple[type, ...]] = {bool: (bool, np.bool_), int: (Integral,), float: (Real,)}
"""Types that do as well, those of numpy among them; True and False are no numbers."""


def need(name: str, value: object, *kinds: type) -> None:
    """Check the type of an argument.

    Args:
        kinds: types of `WORDS` or others; one of them is enough.

    Raises:
        ValueError: it is of none of them.
    """
    if not any(_is(value, kind) for kind in kinds):
        expected = " or ".join(WORDS.get(kind, f"a {kind.__name__}") for kind in kinds)
        raise ValueError(f"{name} is {expected}, got {described(value)}")


def _is(value: object, kind: type) -> bool:
    if kind in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, OTHERS.get(kind, (kind,)))


def one_of(name: str, value: object, known: Sequence[str]) -> None:
    """Check an argument that chooses by its name.

    Raises:
        ValueError: it is none of the known names; the message has them.
    """
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} is one of {', '.join(known)}, got {described(value)}")


def described(value: object) -> str:
    """A value as a message shows it: what is not short is named by its type."""
    if value is None or isinstance(value, str | bytes | int | float | np.generic):
        return shorten(value)
    return f"an object of type {type(value).__name__}"


def known_names(what: str, given: Mapping[str, Any], known: Sequence[str]) -> Mapping[str, Any]:
    """Arguments by name, unchanged.

    Raises:
        CurateError: a name is not known; the hint has the nearest one, and all.
    """
    for name in given:
        if name not in known:
            raise unknown_name(what, name, known)
    return given


def made(kind: type[T], what: str, given: Mapping[str, Any]) -> T:
    """An instance of a dataclass from arguments by name; raises as `known_names`."""
    return kind(**known_names(what, given, [field.name for field in dataclasses.fields(kind)]))


def numbers(name: str, values: Any) -> NDArray[np.floating]:
    """(N,) numbers as an array, not copied if they are one of floats already.

    Raises:
        ValueError: they are no numbers, or not one-dimensional.
    """
    try:
        x = np.asarray(values)
        if x.dtype.kind not in "fiubO":
            raise ValueError
        x = x if x.dtype.kind == "f" else x.astype(np.float64)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name} are numbers, (N,), got {described(values)}") from None
    if x.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, (N,), got the shape {x.shape}")
    return x
