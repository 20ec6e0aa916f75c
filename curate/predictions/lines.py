"""JSON lines: predictions by class name, lists with `classes`, or the training dynamics of dataset cartography."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from curate.errors import CurateError
from curate.types import Floats

from .labels import class_names, named
from .part import Part, Texts, complete, group_names, shown

LINES = 'lines like {"sample_id": "a", "label": "cat", "audio": {"cat": 0.9, "dog": 0.1}, "visual": {...}}'
DYNAMICS = "training dynamics are of one modality: --predictions audio=FILE --predictions visual=FILE"


def read_jsonl(path: Path) -> Part:
    """One object per line: predictions by class name, or lists with `classes`, or training dynamics."""
    rows = list(_lines(path))
    if not rows:
        raise CurateError(f"{path} is empty", f"expected {LINES}")
    first = rows[0][1]
    dynamics = [key for key in first if re.fullmatch(r"logits_epoch_\d+", key)]
    if "guid" in first and dynamics:
        return _dynamics(rows, dynamics, path)
    keys = dict.fromkeys(key for _, row in rows for key in row)
    shape = {key: next((r[key] for _, r in rows if isinstance(r.get(key), dict | list)), None) for key in keys}
    modalities = [key for key, value in shape.items() if value is not None and key not in ("classes", "group")]
    if not modalities:
        raise CurateError(f"{path}: no modality in its first line", f"expected {LINES}")
    needed = ["sample_id", "label", *modalities, *(key for key in ("split", "epoch") if key in keys)]
    for number, row in rows:
        _need(row, needed, f"line {number} of {path}", modalities)
    listed = first.get("classes")
    classes = {m: _classes(shape[m], listed, f"{path}: {m}") for m in modalities}
    values = {m: (classes[m], _matrix(rows, m, shape[m], classes[m], path)) for m in modalities}
    every = list(dict.fromkeys(name for own in classes.values() for name in own))
    names = every if listed is None else _listed(listed, str(path))
    labels, note = named([row["label"] for _, row in rows], names, str(path), positions=listed is not None)
    return Part(
        str(path),
        np.array(["" if row["sample_id"] is None else str(row["sample_id"]).strip() for _, row in rows]),
        labels,
        np.array([str(row["split"]).strip() for _, row in rows]) if "split" in keys else None,
        complete([row["epoch"] for _, row in rows], str(path)) if "epoch" in keys else None,
        values,
        note,
        groups=_groups(rows, path),
        not_read=tuple(key for key in keys if key not in (*needed, "classes", "group")),
    )


def _groups(rows: Sequence[tuple[int, dict[str, Any]]], path: Path) -> Texts | None:
    """(N,) names of groups; None if no line has one."""
    given = [row.get("group") for _, row in rows]
    for (number, _), group in zip(rows, given, strict=True):
        if isinstance(group, dict | list):
            raise CurateError(f"line {number} of {path}: group is no name", 'expected "group": "a name", or null')
    return group_names(np.array(["" if group is None else str(group).strip() for group in given]))


def _classes(given: Any, listed: Any, where: str) -> tuple[str, ...]:
    """The class names of a modality, whose numbers are given by name or as a list in the order of `classes`."""
    return class_names(list(given), where) if isinstance(given, dict) else _listed(listed, where)


def _dynamics(rows: Sequence[tuple[int, dict[str, Any]]], keys: Sequence[str], path: Path) -> Part:
    """Dataset cartography's lines: `guid`, `gold` (a position) and `logits_epoch_N`; class names are positions."""
    for number, row in rows:
        _need(row, ["guid", "gold", *keys], f"line {number} of {path}")
        if type(row["gold"]) is not int:
            raise CurateError(f"line {number} of {path}: gold is {row['gold']!r}", "expected a position, 0, 1, ...")
    count = len(rows[0][1][keys[0]]) if isinstance(rows[0][1][keys[0]], list) else 0
    classes = tuple(str(k) for k in range(count))
    labels, _ = named([row["gold"] for _, row in rows], classes, str(path), positions=True)
    groups, every = _groups(rows, path), dict.fromkeys(key for _, row in rows for key in row)
    return Part(
        str(path),
        np.array([str(row["guid"]) for _, row in rows] * len(keys)),
        np.tile(labels, len(keys)),
        None,
        np.repeat([int(key.rpartition("_")[2]) for key in keys], len(rows)),
        {"": (classes, np.concatenate([_matrix(rows, key, rows[0][1][key], classes, path) for key in keys]))},
        groups=None if groups is None else np.tile(groups, len(keys)),
        not_read=tuple(key for key in every if key not in ("guid", "gold", "group", *keys)),
    )


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of every line that is not empty."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise CurateError(f"line {number} of {path} is no object", f"expected {LINES}")
                    yield number, row
    except UnicodeDecodeError as error:
        raise CurateError(f"{path} cannot be read: {error}", "expected JSON in UTF-8, one object a line") from None
    except (ValueError, RecursionError) as error:
        raise CurateError(f"line {number} of {path} is not JSON: {error}", f"expected {LINES}") from None


def _need(row: Mapping[str, Any], keys: Sequence[str], where: str, modalities: Sequence[str] = ()) -> None:
    """Check that a line has all keys: one that is not there may be misspelt, null says that nothing is known."""
    if absent := [key for key in keys if key not in row]:
        without = next((f'; write "{key}": null where a sample lacks it' for key in absent if key in modalities), "")
        raise CurateError(f"{where} lacks {shown(absent)}", f"expected {LINES}{without}")


def _listed(classes: Any, where: str) -> tuple[str, ...]:
    """The class names that belong to a list of numbers."""
    if not isinstance(classes, list):
        raise CurateError(f"{where} is a list, and no class is named", 'add "classes": [...] to the first line')
    return class_names(classes, where)


def _matrix(
    rows: Sequence[tuple[int, dict[str, Any]]], key: str, like: Any, classes: tuple[str, ...], path: Path
) -> Floats:
    """(N, K) numbers of one key; every line must have the classes of `like`, or null, which is NaN for all."""
    out, kind = np.full((len(rows), len(classes)), np.nan), type(like)
    names = list(like) if isinstance(like, dict) else []
    for i, (number, row) in enumerate(rows):
        given = row[key]
        if given is None:
            continue
        fits = type(given) is kind and len(given) == len(classes)
        if isinstance(given, dict) and fits:
            fits = all(c in given for c in names)
            given = [given[c] for c in names] if fits else given
        if not fits:
            message = f"line {number} of {path}: {key} does not hold one number for each of {len(classes)} classes"
            raise CurateError(message, f"expected {', '.join(classes[:10])}, as in the first line; or null")
        try:
            numbers = np.asarray([np.nan if v is None else v for v in given])
        except (ValueError, OverflowError):  # nested lists of different lengths, or whole numbers that are too large
            numbers = np.empty(0)
        if numbers.shape != (len(classes),) or numbers.dtype.kind not in "fiu":
            raise CurateError(f"line {number} of {path}: {key} holds what is no number", f"expected {LINES}")
        out[i] = numbers
    return out
