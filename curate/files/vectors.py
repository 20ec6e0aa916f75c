"""Arrays of features in files: NPY, NPZ and Parquet, one row per sample.

Letters: N rows, D features.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from curate.errors import CurateError

from .asking import quoted, reading
from .names import known_name
from .npz import open_npz, texts
from .remote import local

FORMATS = (".npy", ".npz", ".parquet", ".pq")
KEYS = ("sample_id", "label", "split", "group")
NPY = "expected one (samples, features) array of numbers"
NPZ = "arrays sample_id (N,) and features (N, D), and if you like label, split and group (N,)"
PARQUET = "expected a column sample_id and numeric columns, or one column of lists of numbers"
LIST = re.compile(r"\[\d*\]$")
NUMBER = re.compile(r"(U?(TINY|SMALL|BIG|HUGE)?INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL\(\d+,\d+\))(\[\d*\])?$")

Texts = NDArray[np.str_]


@dataclass(frozen=True)
class Head:
    """The content of a file of features except the numbers.

    Attributes:
        path: the file.
        rows: N.
        dim: D.
        keys: {`sample_id`, `label`, `split` or `group`: (N,)}, those that the file has; {} for an NPY file.
    """

    path: Path
    rows: int
    dim: int
    keys: Mapping[str, Texts]


def read_head(path: Path) -> Head:
    """Read everything except the numbers.

    Raises:
        CurateError: the file cannot be read as plain data, or does not have the expected form.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == ".npy":
            with local(path) as file:
                array = np.load(file, mmap_mode="r", allow_pickle=False)
            return Head(path, *_shape(path, array.shape, array.dtype, NPY), {})
        return _npz_head(path) if suffix == ".npz" else _parquet_head(path)
    except CurateError:
        raise
    except Exception as error:  # a damaged file may raise anything
        shown = str(error).splitlines()[0] if str(error) else type(error).__name__
        objects = "bject" in shown or "pickle" in shown
        hint = "save numbers and text, not Python objects" if objects else NPY
        raise CurateError(f"{path} cannot be read: {shown}", hint) from None


@lru_cache(maxsize=16)
def read_values(path: Path, stamp: tuple[int, ...]) -> NDArray[Any]:
    """(N, D) features in the file's order; memory-mapped where the format allows it, else read once per process.

    Args:
        path: a file that `read_head` accepted.
        stamp: of the file; with another stamp it is read again.
    """
    suffix = path.suffix.lower()
    if suffix == ".npy":
        with local(path) as file:  # a map stays where its file is deleted
            return cast(NDArray[Any], np.load(file, mmap_mode="r", allow_pickle=False))
    if suffix == ".npz":
        return open_npz(path, NPZ).load(["features"])["features"]
    return _parquet_values(path)


def _shape(path: Path, shape: tuple[int, ...], dtype: np.dtype, hint: str) -> tuple[int, int]:
    """(N, D) of an array that holds features."""
    if len(shape) != 2 or 0 in shape:
        raise CurateError(f"{path}: features are {shape}, expected (samples, features)", hint)
    if dtype.kind not in "fiu":
        raise CurateError(f"{path}: features are {dtype}, not real numbers", hint)
    return shape[0], shape[1]


def _texts(values: NDArray[Any]) -> Texts:
    return np.char.strip(np.asarray(values).astype(np.str_))


def _npz_head(path: Path) -> Head:
    archive = open_npz(path, NPZ)
    shapes = archive.shapes
    absent = [name for name in ("sample_id", "features") if name not in shapes]
    unknown = [name for name in shapes if name not in (*KEYS, "features")]
    if absent or unknown:
        wrong = f"no array {absent[0]!r}" if absent else f"an unknown array {unknown[0]!r}"
        raise CurateError(f"{path}: {wrong}; found: {', '.join(shapes)}", NPZ)
    rows, dim = _shape(path, *shapes["features"], NPZ)
    names = [name for name in KEYS if name in shapes]
    for name in names:
        if shapes[name][0] != (rows,):
            raise CurateError(f"{path}: {name} is {shapes[name][0]}, features are ({rows}, {dim})", NPZ)
    keys = {name: np.array(texts(v, f"{path}: {name}"), dtype=np.str_) for name, v in archive.load(names).items()}
    return Head(path, rows, dim, keys)


def _parquet_head(path: Path) -> Head:
    keys, numbers, lists = _parquet_columns(path)
    width = f"coalesce(len({quoted(numbers[0])}), 0)" if lists else str(len(numbers))
    wanted = [f"coalesce({quoted(raw)}::VARCHAR, '') AS {key}" for key, raw in keys.items()]
    found = _select(path, f"{', '.join(wanted)}, ({width})::BIGINT AS width")
    widths, texts = found.pop("width"), {k: _texts(v) for k, v in found.items()}
    other = np.flatnonzero(widths != widths[0]) if len(widths) else np.array([], dtype=np.int64)
    if len(other):
        first, ids = int(other[0]), texts["sample_id"].tolist()
        shown = f"{path}: sample {ids[0]!r} has {widths[0]} features, {ids[first]!r} has {widths[first]}"
        raise CurateError(shown, "give every sample the same number of features")
    dim = int(widths[0]) if len(widths) else 0
    return Head(path, *_shape(path, (len(widths), dim), np.dtype(np.float64), PARQUET), texts)


def _parquet_values(path: Path) -> NDArray[Any]:
    _, numbers, lists = _parquet_columns(path)
    names = [quoted(name) for name in numbers]
    if lists:
        flat = _select(path, "coalesce(x, 'nan'::DOUBLE) AS x", f"SELECT unnest({names[0]})::DOUBLE AS x FROM ")["x"]
        (rows,) = _select(path, "count(*) AS n")["n"]
        return np.asarray(flat).reshape(rows, -1)
    columns = [f"coalesce({name}::DOUBLE, 'nan'::DOUBLE) AS c{i}" for i, name in enumerate(names)]
    return np.stack([np.asarray(c) for c in _select(path, ", ".join(columns)).values()], axis=1)


def _parquet_columns(path: Path) -> tuple[dict[str, str], list[str], bool]:
    """{key: its column}, names of the columns with features, and whether these are one column of lists."""
    found = _select(path, "*", describe=True)
    types = dict(zip(found["column_name"].tolist(), found["column_type"].tolist(), strict=True))
    keys: dict[str, str] = {}
    for raw in types:
        key = known_name(raw, KEYS)
        if key in keys:
            raise CurateError(f"{path}: {keys[key]!r} and {raw!r} are both {key}", "keep one of them")
        if key in KEYS:
            keys[key] = raw
    if "sample_id" not in keys:
        raise CurateError(f"{path}: no column 'sample_id'; found: {', '.join(list(types)[:10])}", PARQUET)
    numbers = {name: kind for name, kind in types.items() if name not in keys.values()}
    lists = [name for name, kind in numbers.items() if LIST.search(kind)]
    wrong = [name for name, kind in numbers.items() if not NUMBER.match(kind)]
    if wrong:
        raise CurateError(f"{path}: column {wrong[0]!r} holds {numbers[wrong[0]]}, not numbers", PARQUET)
    if not numbers or (lists and len(numbers) > 1):
        shown = f"{lists[0]!r} holds lists, and there is {next(n for n in numbers if n != lists[0])!r}" if lists else ""
        raise CurateError(f"{path}: {shown or 'no column of features'}", PARQUET)
    return {k: keys[k] for k in KEYS if k in keys}, list(numbers), bool(lists)


def _select(path: Path, wanted: str, inner: str = "FROM ", describe: bool = False) -> dict[str, NDArray[Any]]:
    """Columns of a Parquet file, rows in the file's order; with `describe` names and types of its columns."""
    import duckdb

    source = f"{inner}read_parquet(?)"
    sql = f"SELECT {wanted} FROM ({source})"
    with local(path) as file, reading(path), duckdb.connect() as connection:
        return connection.execute(f"DESCRIBE {sql}" if describe else sql, [str(file)]).fetchnumpy()
