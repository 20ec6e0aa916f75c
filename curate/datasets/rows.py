"""Rows of ids and labels, from tables: read, checked, split, and summarised in one line."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from curate.errors import CurateError, counted
from curate.files.names import composed
from curate.files.tables import SHOWN, TableFile, is_missing, open_table, places

from .base import SPLITS
from .degrade import generator
from .exported import is_export, manifest_columns, manifest_row, unread_columns

COLUMNS = ("sample_id", "label", "split", "group")
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}

MissingWords = Literal["ask", "class", "missing"]
NO_LABEL = "no_label"
"""The status of a row whose label is empty."""


class Row(dict[str, str]):
    """The cells of a row by column.

    Attributes:
        line: where it ends in the file, 0 if it is not from a text table.
        place: where it is among several files, in words; '' if it is a line.
        exported: its columns in an export, where a description in a tar file has them; see `manifest_row`.
        dataset: what it was exported from; '' if it is not of an export.
    """

    line: int = 0
    place: str = ""
    exported: dict[str, str] | None = None
    dataset: str = ""


def exported_row(cells: dict[str, str]) -> Row:
    """A row of an export, see `manifest_row`."""
    row = Row(manifest_row(cells))
    row.dataset = cells.get("dataset", "")
    return row


def placed(rows: Sequence[Row]) -> str:
    """Where the first few rows are; if there are more, also how many there are."""
    if not rows[0].place:
        return places([row.line for row in rows])
    more = f", ... ({len(rows)} in all)" if len(rows) > SHOWN else ""
    return ", ".join(row.place for row in rows[:SHOWN]) + more


def read_rows(
    path: Path, who: str = "manifest", known: Sequence[str] = (), expected: str = ""
) -> tuple[list[Row], TableFile]:
    """The rows of a CSV or Parquet file, every value a stripped string, and how they were written.

    Args:
        path: the file, read as described in `curate.files.tables`; one of `curate export` is read as a manifest.
        who: name of the data set, with which error messages begin.
        known: columns that are looked for, beside `sample_id`, `label`, `split` and `group`.
        expected: one line on what the table should look like.

    Raises:
        CurateError: the file is not such a table, has no rows, or a row does not fit its header.
    """
    table = open_table(path, (*COLUMNS, *known), ("sample_id", "label"), expected, f"{who}: ")
    names = [name for name in table.names if name]
    found = table.read(names)
    if not len(found.lines):
        raise CurateError(f"{who}: {path} has no rows", "expected a header and a row a sample")
    cells = zip(*(found.texts[name] for name in names), strict=True)
    rows = [Row(zip(names, row, strict=True)) for row in cells]
    if is_export(names):
        rows = [exported_row(row) for row in rows]
        table = replace(table, names=(*manifest_columns(names), *unread_columns(names)))
    for row, line in zip(rows, found.lines.tolist(), strict=True):
        row.line = line
        row["label"] = composed(row["label"])
        if is_missing(row.get("group", "")):
            row["group"] = ""
    return rows, table


def check_rows(rows: Sequence[Row], who: str = "manifest", missing_words: MissingWords = "ask") -> None:
    """Check for rows without id, repeated ids, words for missing values as labels, and tables of a single class.

    With `missing_words="missing"` a label that is a word for a missing value becomes '', in place.
    """
    if empty := [row for row in rows if not row["sample_id"]]:
        raise CurateError(
            f"{who}: {counted(len(empty), 'row has', 'rows have')} no sample_id: {placed(empty)}",
            "give every row a sample_id",
        )
    repeated = [name for name, count in Counter(row["sample_id"] for row in rows).items() if count > 1]
    if repeated:
        message = (
            f"{who}: {counted(len(repeated), 'sample_id occurs', 'sample_ids occur')} "
            f"more than once: {', '.join(repeated[:3])}"
        )
        raise CurateError(message, "sample_id is the only key; make it unique")
    forms = Counter(composed(row["sample_id"]) for row in rows)
    if alike := [name for name, count in forms.items() if count > 1]:
        message = (
            f"{who}: {counted(len(alike), 'sample_id differs', 'sample_ids differ')} "
            f"in their Unicode form alone: {', '.join(alike[:3])}"
        )
        raise CurateError(message, "they look the same; give each sample its own id")
    if any("\0" in row["sample_id"] or "\0" in row["label"] for row in rows):
        raise CurateError(f"{who}: an id or a label holds a zero byte", "the file is damaged, or no table of text")
    unsure = [row for row in rows if row["label"] and is_missing(row["label"])]
    if missing_words == "missing":
        for row in unsure:
            row["label"] = ""
    elif unsure and missing_words == "ask":
        words = ", ".join(repr(word) for word in sorted({row["label"] for row in unsure}))
        message = f"{who}: column 'label': {words} in {placed(unsure)}: a class, or no label?"
        hint = "--set data.missing_words=class takes it for a class, =missing for rows without a label"
        raise CurateError(message, hint)
    labels = {row["label"] for row in rows} - {""}
    if len(labels) < 2:
        shown = f"every row has the label {labels.pop()!r}" if labels else "no row has a label"
        raise CurateError(f"{who}: {shown}", "a classifier needs two classes")


def understood(table: TableFile, rows: Sequence[Row], splits: Sequence[str], modalities: Sequence[str] = ()) -> str:
    """One line on how a table was read: format, and numbers of rows, splits, classes and missing values.

    Args:
        modalities: columns in which an empty cell is a missing medium.
    """
    form = f" ({table.form})" if table.form else ""
    counts = Counter(split for row, split in zip(rows, splits, strict=True) if row["label"])
    trained = {row["label"] for row, split in zip(rows, splits, strict=True) if split == "train"}
    classes = sorted({row["label"] for row in rows} - {""})
    shown = [
        f"{table.path.name}{form}: {counted(len(rows), 'row and id', 'rows and ids')}",
        ", ".join(f"{counts[split]} {split}" for split in SPLITS if counts[split]),
        counted(len(classes), "class", "classes"),
    ]
    if absent := [name for name in classes if name not in trained]:
        shown.append(f"in no training sample: {listed(absent)}")
    if alike := similar(classes):
        shown.append(f"classes that differ in case or spaces alone: {listed(alike)}")
    if empty := sum(not row["label"] for row in rows):
        shown.append(f"{empty} without label, status {NO_LABEL}")
    counts = Counter(m for m in modalities for row in rows if is_missing(row[m]))
    shown += [f"{counts[m]} without {m}" for m in modalities if counts[m]]
    return "; ".join(shown)


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first few names, quoted; if there are more, also their number."""
    more = f", ... ({len(names)} in all)" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more


def similar(names: Sequence[str]) -> list[str]:
    """Names that differ from another one in case, spaces and invisible characters alone."""
    plain = [re.sub(r"[\s_\u200b-\u200f\ufeff-]+", "", unicodedata.normalize("NFKC", n).casefold()) for n in names]
    counts = Counter(plain)
    return [name for name, form in zip(names, plain, strict=True) if counts[form] > 1]


def split_rows(
    rows: list[Row], seed: int, val_fraction: float, test_fraction: float, who: str = "manifest"
) -> list[str]:
    """The split of every row: given, or drawn, or given with val drawn from train.

    Args:
        rows: ascending by id; the draw then does not depend on a file's order.
        seed: of the draw.
        val_fraction, test_fraction: shares, as in `Manifest.Options`.
        who: name of the data set, with which error messages begin.

    Raises:
        CurateError: an unknown split, a group in two splits, or nothing in train.

    Rows without a label are in train where no split is given; they are never drawn into another split.
    """
    given = "split" in rows[0]
    splits = _given_splits(rows, who) if given else ["train"] * len(rows)
    known = [i for i, row in enumerate(rows) if row["label"]]
    drawn = [splits[i] for i in known]
    own = [rows[i] for i in known]
    if not given:
        _draw_into("test", test_fraction, own, drawn, seed, who)
        _draw_into("val", val_fraction / (1 - test_fraction), own, drawn, seed, who)
    elif "val" not in splits:
        _draw_into("val", val_fraction, own, drawn, seed, who)
    for i, split in zip(known, drawn, strict=True):
        splits[i] = split
    if "train" not in splits:
        raise CurateError(f"{who}: no row belongs to train", "check the split column")
    return splits


def _given_splits(rows: list[Row], who: str) -> list[str]:
    """The split column, with names translated to `train`, `val` and `test`.

    Raises:
        CurateError: an unknown name, or a group in two splits.
    """
    names = [row["split"].lower() for row in rows]
    if unknown := sorted(set(names) - set(SPLIT_NAMES)):
        found = [row for row, name in zip(rows, names, strict=True) if name in unknown]
        message = f"{who}: unknown splits {', '.join(map(repr, unknown[:3]))} in {placed(found)}"
        raise CurateError(message, f"expected {', '.join(SPLITS)}, in every row")
    splits = [SPLIT_NAMES[name] for name in names]
    seen: dict[str, set[str]] = defaultdict(set)
    for row, split in zip(rows, splits, strict=True):
        if row.get("group"):
            seen[row["group"]].add(split)
    if crossing := sorted(group for group, where in seen.items() if len(where) > 1):
        message = (
            f"{who}: {counted(len(crossing), 'group is', 'groups are')} "
            f"in more than one split: {', '.join(crossing[:3])}"
        )
        raise CurateError(message, "move each group to one split, or leave out the group column")
    return splits


def _draw_into(split: str, fraction: float, rows: list[Row], splits: list[str], seed: int, who: str) -> None:
    """Move a drawn part of the train rows to `split`, in place."""
    pool = [i for i, own in enumerate(splits) if own == "train"]
    if fraction == 0 or not pool:
        return
    labels = [rows[i]["label"] for i in pool]
    groups = [rows[i].get("group") or None for i in pool]
    drawn = draw(labels, groups, fraction, generator(seed, split))
    if not drawn:
        message = f"{who}: no {split} rows can be drawn without emptying a class or breaking a group"
        raise CurateError(message, "add rows, or give a split column")
    for position in drawn:
        splits[pool[position]] = split


def draw(labels: Sequence[str], groups: Sequence[str | None], fraction: float, rng: np.random.Generator) -> list[int]:
    """Positions of a stratified part of about `fraction` of the rows; groups are never divided.

    A unit is a group, or a row without one; the class of a group is its commonest label. Units are visited class by
    class, in random order within a class. A unit is taken if that brings the number of taken rows closer to `fraction`
    of the rows visited so far. Each class is therefore in proportion to within a row or two, and the total to within
    half a group. The first unit of a class is never taken, nor one without which a label would have no row left: every
    class keeps a part for training. If no unit was taken, the smallest one that may be taken is, the first of a class
    too if there is no other: speakers, say, of whom each has rows of all classes.

    Args:
        labels: (n,) class names.
        groups: (n,) name of the group that must stay together, or None.
        fraction: share wanted, in (0, 1).
        rng: the only source of randomness.

    Returns:
        Positions, ascending.
    """
    units = _units(groups)
    order = rng.permutation(len(units))
    majority = [_commonest(labels[i] for i in unit) for unit in units]
    walk = sorted(order, key=lambda u: majority[u])  # stable: random within a class
    taken: list[list[int]] = []
    candidates: list[list[int]] = []
    firsts: list[list[int]] = []
    left = Counter(labels)
    seen_labels: set[str] = set()
    seen = have = 0
    for u in walk:
        unit = units[u]
        seen += len(unit)
        if majority[u] not in seen_labels:
            seen_labels.add(majority[u])
            firsts.append(unit)
        elif len(unit) == 1 or _spared(unit, labels, left):
            candidates.append(unit)
            if fraction * seen - have >= len(unit) / 2:
                taken.append(unit)
                have += len(unit)
                left.subtract(labels[i] for i in unit)
    if not taken:
        candidates = candidates or [unit for unit in firsts if _spared(unit, labels, left)]
        taken = [min(candidates, key=len)] if candidates else []
    return sorted(i for unit in taken for i in unit)


def _spared(unit: Sequence[int], labels: Sequence[str], left: Mapping[str, int]) -> bool:
    """Whether every label of a unit has rows outside it, among those that are left."""
    return all(left[label] > count for label, count in Counter(labels[i] for i in unit).items())


def _units(groups: Sequence[str | None]) -> list[list[int]]:
    """Positions that stay together, in order of first appearance."""
    units: dict[tuple[str, object], list[int]] = defaultdict(list)
    for i, group in enumerate(groups):
        units[("row", i) if group is None else ("group", group)].append(i)
    return list(units.values())


def _commonest(labels: Iterable[str]) -> str:
    """The most frequent label, the first in the alphabet among equals."""
    counts = Counter(labels)
    return min(counts, key=lambda label: (-counts[label], label))


def check_fractions(val: float, test: float, who: str = "manifest") -> None:
    """Check that the shares leave something to train on."""
    if min(val, test) < 0 or val + test >= 1:
        message = f"{who}: val_fraction={val} and test_fraction={test} leave nothing for train"
        raise CurateError(message, "they must be 0 or more and add to less than 1")
