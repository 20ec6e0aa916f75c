"""JSON lines: predictions by class name, lists beside `classes`, or the training dynamics of dataset cartography."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from curate.errors import CurateError
from curate.types import Floats

from .part import Part, by_index, distinct, shown, whole

LINES = 'lines like {"sample_id": "a", "label": "cat", "audio": {"cat": 0.9, "dog": 0.1}, "visual": {...}}'
DYNAMICS = "training dynamics are of one modality: --predictions audio=FILE --predictions visual=FILE"


def read_jsonl(path: Path) -> Part:
    """An object a line: predictions by class name, or lists beside `classes`, or training dynamics."""
    rows = list(_lines(path))
    if not rows:
        raise CurateError(f"{path} is empty", f"expected {LINES}")
    first = rows[0][1]
    dynamics = [key for key in first if re.fullmatch(r"logits_epoch_\d+", key)]
    if "guid" in first and dynamics:
        return _dynamics(rows, dynamics, path)
    modalities = [key for key, value in first.items() if isinstance(value, dict | list) and key != "classes"]
    if not modalities:
        raise CurateError(f"{path}: no modality in its first line", f"expected {LINES}")
    needed = ["sample_id", "label", *modalities, *(key for key in ("split", "epoch") if key in first)]
    listed = first.get("classes")
    classes = {
        m: tuple(first[m]) if isinstance(first[m], dict) else _listed(listed, f"{path}: {m}") for m in modalities
    }
    for number, row in rows:
        _need(row, needed, f"line {number} of {path}")
    values = {m: (classes[m], _matrix(rows, m, classes[m], path)) for m in modalities}
    at = [i for i, (_, row) in enumerate(rows) if listed is not None and type(row["label"]) is int]
    labels = np.array([str(row["label"]) for _, row in rows])
    if at:
        names = by_index([rows[i][1]["label"] for i in at], _listed(listed, str(path)), path)
        labels = labels.astype(np.result_type(labels, names))
        labels[at] = names
    return Part(
        str(path),
        np.array([str(row["sample_id"]) for _, row in rows]),
        labels,
        np.array([str(row["split"]) for _, row in rows]) if "split" in first else None,
        whole([row["epoch"] for _, row in rows], str(path)) if "epoch" in first else None,
        values,
    )


def _dynamics(rows: Sequence[tuple[int, dict[str, Any]]], keys: Sequence[str], path: Path) -> Part:
    """Dataset cartography's lines: `guid`, `gold` (a position) and `logits_epoch_N`; class names are positions."""
    for number, row in rows:
        _need(row, ["guid", "gold", *keys], f"line {number} of {path}")
        if type(row["gold"]) is not int:
            raise CurateError(f"line {number} of {path}: gold is {row['gold']!r}", "expected a position, 0, 1, ...")
    count = len(rows[0][1][keys[0]]) if isinstance(rows[0][1][keys[0]], list) else 0
    classes = tuple(str(k) for k in range(count))
    labels = by_index([row["gold"] for _, row in rows], classes, path)
    return Part(
        str(path),
        np.array([str(row["guid"]) for _, row in rows] * len(keys)),
        np.tile(labels, len(keys)),
        None,
        np.repeat([int(key.rpartition("_")[2]) for key in keys], len(rows)),
        {"": (classes, np.concatenate([_matrix(rows, key, classes, path) for key in keys]))},
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


def _need(row: Mapping[str, Any], keys: Sequence[str], where: str) -> None:
    absent = [key for key in keys if key not in row]
    if absent:
        raise CurateError(f"{where} lacks {shown(absent)}", f"expected {LINES}")


def _listed(classes: Any, where: str) -> tuple[str, ...]:
    """The class names that belong to a list of numbers."""
    if not isinstance(classes, list):
        raise CurateError(f"{where} is a list, and no class is named", 'add "classes": [...] to the first line')
    return distinct([str(c) for c in classes], where)


def _matrix(rows: Sequence[tuple[int, dict[str, Any]]], key: str, classes: tuple[str, ...], path: Path) -> Floats:
    """(N, K) numbers of one key; every line must have the classes of the first."""
    out, kind = np.empty((len(rows), len(classes))), type(rows[0][1][key])
    for i, (number, row) in enumerate(rows):
        given = row[key]
        fits = type(given) is kind and len(given) == len(classes)
        if isinstance(given, dict) and fits:
            fits = all(c in given for c in classes)
            given = [given[c] for c in classes] if fits else given
        if not fits:
            message = f"line {number} of {path}: {key} does not hold one number for each of {len(classes)} classes"
            raise CurateError(message, f"expected {', '.join(classes[:10])}, as in the first line")
        try:
            numbers = np.asarray([np.nan if v is None else v for v in given])
        except ValueError:  # lists in it, of several lengths
            numbers = np.empty(0)
        if numbers.shape != (len(classes),) or numbers.dtype.kind not in "fiu":
            raise CurateError(f"line {number} of {path}: {key} holds what is no number", f"expected {LINES}")
        out[i] = numbers
    return out
