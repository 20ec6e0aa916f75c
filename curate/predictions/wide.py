"""Wide tables, Parquet or CSV: a column `<modality>.<class>` for each modality and class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from curate.blocks import take
from curate.errors import CurateError
from curate.files.names import composed
from curate.files.tables import open_table

from .labels import named
from .part import KEYS, Part, complete, distinct, group_names, shown

WIDE = "one row a sample: sample_id, label, [split], [epoch], [group] and a column <modality>.<class> for each of both"


def read_wide(path: Path) -> Part:
    """A table with a column `<modality>.<class>` for each modality and class, read by `curate.files.tables`."""
    table = open_table(path, KEYS, ("sample_id", "label"), WIDE)
    columns = _columns(table.names, path)
    keys = [k for k in KEYS if k in table.names]
    found = table.arrays(keys, [column for own in columns.values() for column in own.values()])
    texts = found.arrays
    given, which = distinct(texts["label"])
    _refuse_copies(columns, set(map(composed, given)), path)
    values, start = {}, 0
    for modality, own in columns.items():
        values[modality] = (tuple(own), found.numbers[:, start : start + len(own)])
        start += len(own)
    every = list(dict.fromkeys(name for own in columns.values() for name in own))
    names, note = named(given, every, str(path))
    epochs = complete(texts["epoch"], str(path)) if "epoch" in texts else None
    described = [table.form, "decimal commas" if found.decimal_comma else "", note]
    form = ", ".join(part for part in described if part)
    groups, rest = group_names(texts.get("group")), _not_read(table.names)
    labels, splits = take(names, which), texts.get("split")
    return Part(str(path), texts["sample_id"], labels, splits, epochs, values, form, groups=groups, not_read=rest)


def _not_read(names: Sequence[str]) -> tuple[str, ...]:
    """The columns that are neither known nor of a modality; those without a name, as of pandas' index, left out."""
    return tuple(name for name in names if name and name not in KEYS and "." not in name and not _of_index(name))


def _of_index(name: str) -> bool:
    return name.startswith("Unnamed: ")


def _columns(names: Sequence[str], path: Path) -> dict[str, dict[str, str]]:
    """{modality: {class name: column}} of the columns `<modality>.<class>`, in the file's order."""
    found: dict[str, dict[str, str]] = {}
    for name in names:
        modality, dot, label = (part.strip() for part in name.partition("."))
        if not dot or _of_index(name):
            continue
        own = found.setdefault(modality.lower(), {})
        if not label:
            raise CurateError(f"{path}: the column {name!r} names no class", f"expected {WIDE}")
        if label in own:
            raise CurateError(f"{path}: {own[label]!r} and {name!r} are one class", "give each column its own name")
        own[label] = name
    if not found:
        hint = _dotted(names) or f"expected {WIDE}"
        raise CurateError(f"{path}: no modality: no column is called <modality>.<class>", hint)
    return found


def _dotted(names: Sequence[str]) -> str:
    """A hint that another sign stands where a dot is expected, as in `audio_bark`, `audio_horn`, `visual_bark` and
    `visual_horn`; '' if no two modalities have the same classes that way."""
    for sign in "_:/-|":
        classes: dict[str, set[str]] = {}
        for before, _, after in (name.partition(sign) for name in names if name not in KEYS):
            classes.setdefault(before, set()).add(after)
        for before, own in classes.items():
            if len(own) > 1 and sum(own == other for other in classes.values()) > 1:
                return f"a dot divides the two: {before}{sign}{(c := min(own))} is to be called {before}.{c}"
    return ""


def _refuse_copies(columns: dict[str, dict[str, str]], labels: set[str], path: Path) -> None:
    """Check for a class such as `bark.1` beside `bark` that no row has: pandas names a repeated column so."""
    twins = [own[c] for own in columns.values() for c in own if _copied(c) in own and c not in labels]
    if twins:
        message = f"{path}: {shown(twins)} is a copy of another column, as pandas names a repeated one"
        raise CurateError(message, "keep one column a class; if it is a class of its own, rename it")


def _copied(label: str) -> str:
    first, _, number = label.rpartition(".")
    return first if number.isdigit() else ""
