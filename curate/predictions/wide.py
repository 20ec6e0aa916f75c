"""Wide tables, Parquet or CSV: a column `<modality>.<class>` for each modality and class."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import duckdb
import numpy as np

from curate.errors import CurateError

from .part import KEYS, Part, shown, whole

WIDE = "one row a sample: sample_id, label, [split], [epoch] and a column <modality>.<class> for each of both"
CSV = "all_varchar=true, header=true, delim=',', quote='\"', escape='\"'"


def read_wide(path: Path) -> Part:
    """A Parquet or CSV table with a column `<modality>.<class>` for each modality and class."""
    header = _csv_header(path) if path.suffix.lower() == ".csv" else None
    scan = "read_parquet(?)" if header is None else f"read_csv(?, {CSV})"
    try:
        with duckdb.connect() as con:
            if header is None:
                found = con.execute("SELECT name FROM parquet_schema(?)", [str(path)]).fetchall()
                header = [name for (name,) in found[1:]]
            modalities = _wide_columns(header, path)
            keys = [k for k in KEYS if k in header]
            # As text in SQL: a detour over floating point would round ids of 18 digits.
            wanted = [f"coalesce({_quoted(k)}::VARCHAR, '')" for k in keys]
            names = [f"{m}.{c}" for m, classes in modalities.items() for c in classes]
            wanted += [f"coalesce(TRY_CAST({_quoted(n)} AS DOUBLE), 'nan'::DOUBLE)" for n in names]
            aliased = ", ".join(f"{expression} AS c{i}" for i, expression in enumerate(wanted))
            columns = list(con.execute(f"SELECT {aliased} FROM {scan}", [str(path)]).fetchnumpy().values())
    except (duckdb.Error, RuntimeError) as error:
        raise CurateError(f"{path} cannot be read: {str(error).splitlines()[0]}", f"expected {WIDE}") from None
    texts = {k: np.asarray(c).astype(str) for k, c in zip(keys, columns, strict=False)}
    numbers = iter(columns[len(keys) :])
    values = {
        m: (classes, np.stack([np.asarray(next(numbers), dtype=np.float64) for _ in classes], axis=1))
        for m, classes in modalities.items()
    }
    epochs = whole(texts["epoch"], str(path)) if "epoch" in texts else None
    return Part(str(path), texts["sample_id"], texts["label"], texts.get("split"), epochs, values)


def _csv_header(path: Path) -> list[str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header = next(csv.reader(file), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise CurateError(f"{path} cannot be read: {error}", "expected CSV in UTF-8") from None
    if not header:
        raise CurateError(f"{path} is empty", f"expected {WIDE}")
    return header


def _wide_columns(header: Sequence[str], path: Path) -> dict[str, tuple[str, ...]]:
    """{modality: class names} of the columns `<modality>.<class>`, in the file's order."""
    absent = [name for name in ("sample_id", "label") if name not in header]
    if absent:
        message = f"{path}: no column {shown(absent)}; found: {', '.join(header[:10])}"
        raise CurateError(message, f"expected {WIDE}")
    of_use = [name for name in header if name in KEYS or "." in name]
    twice = [name for name, count in Counter(map(str.lower, of_use)).items() if count > 1]
    if twice:
        message = f"{path}: columns occur twice, or differ in upper and lower case only: {shown(twice)}"
        raise CurateError(message, "rename them, or write NPZ or JSONL")
    found: dict[str, tuple[str, ...]] = {}
    for name in of_use:
        modality, dot, label = name.partition(".")
        if dot:
            found[modality] = (*found.get(modality, ()), label)
    if not found:
        raise CurateError(f"{path}: no modality: no column is called <modality>.<class>", f"expected {WIDE}")
    return found


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
