"""Layers of settings to configuration dataclasses; an unknown key is an error that names the nearest one.

A layer is {section: {key: value}}; later layers win. Sections are `data`, `model`, `optim`, `score`, `train`, `method`.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import CurateError, shorten, unknown_name

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Layer = Mapping[str, Mapping[str, Any]]
LARGEST = 2**31 - 1
"""Largest magnitude of a whole number, the same as in the table."""
T = TypeVar("T", bound="DataclassInstance")


EXAMPLES = {
    "data": "data.drop_leaks=true",
    "model": "model.dim=256",
    "optim": "optim.lr=0.01",
    "score": "score.gap=kl",
    "train": "train.epochs=5",
    "method": "method.alpha=0.3",
}
"""A setting of each section, for hints."""


def dotted(settings: Mapping[str, Any], sections: Sequence[str] = ("optim",)) -> Layer:
    """{"section.key": value} to a layer; a hint names one of the sections."""
    layer: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        section, _, key = name.partition(".")
        if not key:
            raise CurateError(f"a setting is section.key, got {shorten(name)}", _example(sections))
        layer.setdefault(section, {})[key] = value
    return layer


def _example(sections: Sequence[str]) -> str:
    section = "optim" if "optim" in sections else sections[-1]
    listed = f"; its sections: {', '.join(sections)}" if len(sections) > 1 else ""
    return f"e.g. --set {EXAMPLES[section]}{listed}"


def parse_set(assignments: Iterable[str], sections: Sequence[str] = ("optim",)) -> Layer:
    """`section.key=value` strings to a layer; values are TOML, and bare words are strings; hints as in `dotted`.

    Raises:
        CurateError: one is not of that form, or a setting is given two values.
    """
    parsed: dict[str, Any] = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals:
            raise CurateError(f"--set takes section.key=value, got {shorten(text)}", _example(sections))
        try:
            found = tomllib.loads(f"v = {value}")
        except (ValueError, RecursionError):  # TOMLDecodeError, or a number of too many digits
            found = {}
        given = found["v"] if list(found) == ["v"] else value.strip()
        before = parsed.get(key := name.strip(), given)
        if before is not given and before != given:
            raise CurateError(
                f"{key} is given two values: {shorten(str(before))} and {shorten(str(given))}", "leave one of them out"
            )
        parsed[key] = given
    return dotted(parsed, sections)


def read_toml(path: Path) -> Mapping[str, Any]:
    """The content of a TOML file, {} when it does not exist."""
    if not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise CurateError(f"{path} is nested too deeply", "see https://toml.io") from None
    except ValueError as error:  # not TOML, not UTF-8, or a number of too many digits
        raise CurateError(f"{path} is not valid TOML: {error}", "see https://toml.io") from None


def resolve(schemas: Mapping[str, type], *layers: Layer) -> dict[str, Any]:
    """One instance of each schema from layers in rising precedence.

    Raises:
        CurateError: a section or key that no schema has, or a value of the wrong type.
    """
    merged: dict[str, dict[str, Any]] = {name: {} for name in schemas}
    for layer in layers:
        for section, values in layer.items():
            if section not in merged:
                raise unknown_name("section", section, schemas)
            merged[section].update(values)
    return {name: build(schema, merged[name], name) for name, schema in schemas.items()}


def build(schema: type[T], values: Mapping[str, Any], section: str) -> T:
    """An instance of a configuration dataclass, values checked against its annotations."""
    hints = typing.get_type_hints(schema)
    names = [f.name for f in dataclasses.fields(schema)]
    for key in values:
        if key not in names:
            raise unknown_name("setting", f"{section}.{key}", (f"{section}.{n}" for n in names))
    return schema(**{k: _coerce(v, hints[k], f"{section}.{k}") for k, v in values.items()})


def _coerce(value: Any, hint: Any, name: str) -> Any:
    """`value` as the annotated type, or an error that names the expected type."""
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    if type(None) in options and (value is None or value == "none"):
        return None
    for option in options:
        if typing.get_origin(option) is typing.Literal:
            known = typing.get_args(option)
            if value in known:
                return value
            if all(type(k) is int for k in known) and type(value) is not int:
                came = f"the text {shorten(value)}" if isinstance(value, str) else shorten(value)
                expected = " or ".join(map(str, known))
                hint = f"write it without quotes, e.g. {name.rpartition('.')[2]} = {known[-1]}"
                raise CurateError(f"{name} is a number, {expected}, got {came}", hint)
            raise unknown_name(f"value of {name}:", str(value), map(str, typing.get_args(option)))
        if option is float and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
        if option is int and type(value) is int and abs(value) > LARGEST:
            raise CurateError(f"{name} is out of range: {shorten(value)}", f"a whole number up to {LARGEST}")
        if option in (int, bool, str) and type(value) is option:
            return value
        if option is str and isinstance(value, int | float):
            return str(value)
    kinds = {
        int: ("a whole number", "3"),
        float: ("a finite number", "0.5"),
        bool: ("true or false", "true"),
        str: ("a text", "name"),
        type(None): ("none", "none"),
    }
    expected = " or ".join(kinds[o][0] for o in options)
    raise CurateError(f"{name} is {expected}, got {shorten(value)}", f"e.g. --set {name}={kinds[options[0]][1]}")


def check_within(config: Any, section: str, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Check that numbers are within their range.

    Args:
        config: an instance of a configuration dataclass.
        section: the section of its settings.
        ranges: {name: (least, largest)}, both allowed; names that the dataclass lacks, and values of None, are
            skipped.

    Raises:
        CurateError: a number is outside; the message names it and its range.
    """
    values = {name: getattr(config, name, None) for name in ranges}
    wrong = [name for name, v in values.items() if v is not None and not ranges[name][0] <= v <= ranges[name][1]]
    if wrong:
        shown = ", ".join(f"{section}.{name}={values[name]}" for name in wrong)
        hint = ", ".join(f"{ranges[name][0]:.10g} <= {name} <= {ranges[name][1]:.10g}" for name in wrong)
        raise CurateError(f"out of range: {shown}", hint)


def as_layer(configs: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Configuration instances back to a layer, for the `run` table."""
    return {name: dataclasses.asdict(config) for name, config in configs.items()}
