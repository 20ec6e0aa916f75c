"""NPZ: arrays by name, loaded as data only."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from curate.errors import CurateError

from .part import KEYS, Part, by_index, distinct, shown, whole

ARRAYS = "arrays sample_id (N,), label (N,), classes (K,) and one (N, K) array a modality"


def read_npz(path: Path) -> Part:
    """Arrays by name; loaded as data only, never as Python objects."""
    try:
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):  # an .npy by another name
            raise CurateError(f"{path} holds a single array", f"expected {ARRAYS}")
        with file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        hint = "save names as text, np.array(names, dtype=str)" if "pickle" in str(error) else f"expected {ARRAYS}"
        raise CurateError(f"{path} cannot be read: {str(error).splitlines()[0]}", hint) from None
    absent = [name for name in ("sample_id", "label", "classes") if name not in arrays]
    if absent:
        raise CurateError(f"{path}: no array {shown(absent)}; found: {', '.join(arrays)}", f"expected {ARRAYS}")
    classes = arrays.pop("classes")
    n, modalities = len(np.atleast_1d(arrays["sample_id"])), [name for name in arrays if name not in KEYS]
    for name in arrays:
        expected = (n, classes.size) if name in modalities else (n,)
        if arrays[name].shape != expected or classes.ndim != 1:
            raise CurateError(f"{path}: {name} is {arrays[name].shape}, expected {expected}", f"expected {ARRAYS}")
    if not modalities:
        raise CurateError(f"{path}: no modality: no array beside {', '.join(KEYS)}", f"expected {ARRAYS}")
    for name in modalities:
        if arrays[name].dtype.kind not in "fiu":
            raise CurateError(f"{path}: {name} holds {arrays[name].dtype}, not numbers", f"expected {ARRAYS}")
    names = distinct(classes.astype(str).tolist(), str(path))
    label = arrays["label"]
    labels = by_index(label.tolist(), names, path) if label.dtype.kind in "iu" else label.astype(str)
    return Part(
        str(path),
        arrays["sample_id"].astype(str),
        labels,
        arrays["split"].astype(str) if "split" in arrays else None,
        whole(arrays["epoch"], str(path)) if "epoch" in arrays else None,
        {m: (names, arrays[m].astype(np.float64)) for m in modalities},
    )
