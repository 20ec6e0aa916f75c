"""NPZ: arrays by name, loaded as data only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.errors import CurateError
from curate.files.npz import Archive, open_npz, texts

from .labels import class_names, named
from .part import KEYS, Part, Texts, complete, group_names, shown

ARRAYS = "arrays sample_id (N,), label (N,), classes (K,), [group (N,)] and one (N, K) array a modality"
OUT_OF_FOLD = ("fold", "in_sample")
"""Arrays that say how samples were predicted."""


def read_npz(path: Path) -> Part:
    """Arrays by name; loaded as data only, never as Python objects, and only after their shapes were checked."""
    archive = open_npz(path, ARRAYS)
    rest = _not_read(archive)
    modalities = _modalities(archive, rest)
    arrays = archive.load(["sample_id", "label", "classes", *(k for k in KEYS[2:] if k in archive.shapes)])
    names = class_names(arrays["classes"].tolist(), str(path))
    labels, note = named(arrays["label"].tolist(), names, str(path), positions=True)
    return Part(
        str(path),
        np.array(texts(arrays["sample_id"], f"{path}: sample_id"), dtype=np.str_),
        labels,
        _texts(arrays, "split", path),
        complete(arrays["epoch"], str(path)) if "epoch" in arrays else None,
        {m: (names, archive.load([m])[m].astype(np.float64)) for m in modalities},
        note,
        groups=group_names(_texts(arrays, "group", path)),
        not_read=rest,
    )


def _texts(arrays: Mapping[str, NDArray[Any]], name: str, path: Path) -> Texts | None:
    return np.array(texts(arrays[name], f"{path}: {name}"), dtype=np.str_) if name in arrays else None


def _not_read(archive: Archive) -> tuple[str, ...]:
    """The arrays of a text or a truth value a sample, and those of `OUT_OF_FOLD`: they cannot be a modality."""
    size = archive.shapes["sample_id"][0] if "sample_id" in archive.shapes else ()
    return tuple(
        name
        for name, (shape, dtype) in archive.shapes.items()
        if name not in (*KEYS, "classes") and shape == size and (dtype.kind in "USb" or name in OUT_OF_FOLD)
    )


def _modalities(archive: Archive, rest: Sequence[str]) -> list[str]:
    """The names of the arrays of predictions: of those that are not among the rest.

    Raises:
        CurateError: an array is missing, its shape does not fit the others, or it does not contain numbers.
    """
    path, shapes = archive.path, {name: found for name, found in archive.shapes.items() if name not in rest}
    if absent := [name for name in ("sample_id", "label", "classes") if name not in shapes]:
        raise CurateError(f"{path}: no array {shown(absent)}; found: {', '.join(shapes)}", f"expected {ARRAYS}")
    modalities = [name for name in shapes if name not in (*KEYS, "classes")]
    if not modalities:
        raise CurateError(f"{path}: no modality: no array beside {', '.join(KEYS)}", f"expected {ARRAYS}")
    n, k = (shapes[name][0][0] if len(shapes[name][0]) == 1 else -1 for name in ("sample_id", "classes"))
    for name, (shape, dtype) in shapes.items():
        expected = (n, k) if name in modalities else (k,) if name == "classes" else (n,)
        if shape != expected or -1 in expected:
            wanted = str(expected).replace("-1", "N")
            raise CurateError(f"{path}: {name} is {shape}, expected {wanted}", f"expected {ARRAYS}")
        if name in modalities and dtype.kind not in "fiu":
            kind = f"{dtype}, not numbers"
            hint = "save it as float32" if dtype.kind == "V" else f"expected {ARRAYS}"
            raise CurateError(f"{path}: {name} holds {kind}", hint)
    return modalities
