"""Embeddings beside saved predictions, and recorded features.

Letters: N samples, H validation samples, M modalities, D features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curate.errors import CurateError, counted
from curate.files.npz import open_npz, texts
from curate.files.remote import located
from curate.files.shards import Features, read_features
from curate.scores.guard import DEEP, UNHELD
from curate.types import Floats, Predictions

from .part import shown

EXPECTED = "an .npz with sample_id (N,) and one (N, D) array of numbers a modality"


def read_embeddings(paths: Sequence[str], modalities: Sequence[str], sample_ids: NDArray[np.str_]) -> dict[str, Floats]:
    """{modality: (N, D)} in the order of the ids, from one or several files; other samples in them are ignored.

    Raises:
        CurateError: a file cannot be read, a modality or a sample has no embedding, one occurs twice, or a number is
            not finite.
    """
    found: dict[str, Floats] = {}
    for path in paths:
        for modality, values in _read(located(path), modalities, sample_ids).items():
            if modality in found:
                raise CurateError(f"{path}: {modality} is given twice", "give each modality once")
            found[modality] = values
    if absent := [m for m in modalities if m not in found]:
        raise CurateError(f"no embeddings of {', '.join(absent)}", "usability is compared between all modalities")
    return {m: found[m] for m in modalities}


def _read(path: Path, modalities: Sequence[str], sample_ids: NDArray[np.str_]) -> dict[str, Floats]:
    """The embeddings of one file."""
    archive = open_npz(path, EXPECTED)
    if "sample_id" not in archive.shapes:
        raise CurateError(f"{path}: no array 'sample_id'; found: {', '.join(archive.shapes)}", f"expected {EXPECTED}")
    if unknown := [name for name in archive.shapes if name not in (*modalities, "sample_id")]:
        raise CurateError(f"{path}: {shown(unknown)} is no modality of the predictions", f"they are {modalities}")
    arrays = archive.load(list(archive.shapes))
    ids = np.array(texts(arrays.pop("sample_id"), f"{path}: sample_id"), dtype=np.str_)
    names, first, counts = np.unique(ids, return_index=True, return_counts=True)
    if (counts > 1).any():
        raise CurateError(f"{path}: repeated sample_id {shown(names[counts > 1])}", "sample_id is the only key")
    if len(absent := np.setdiff1d(sample_ids, names)):
        raise CurateError(f"{path}: no embedding of {shown(absent)}", "give one of every training sample")
    rows = first[np.searchsorted(names, sample_ids)]
    for name, array in arrays.items():
        if array.ndim != 2 or len(array) != len(ids) or array.dtype.kind not in "fiu":
            raise CurateError(f"{path}: {name} is {array.dtype} {array.shape}", f"expected {EXPECTED}")
        if len(wrong := sample_ids[~np.isfinite(array[rows]).all(axis=1)]):
            raise CurateError(f"{path}: {name} of {shown(wrong)} is not finite", "leave such samples out of both files")
    return {name: array[rows].astype(np.float64) for name, array in arrays.items()}


def recorded_features(folder: Path, newest: Predictions, held: Predictions | None) -> tuple[Recorded | None, str]:
    """What a recorded folder holds of features of some samples, and a line on what usability comes from.

    Args:
        newest: predictions of the training samples.
        held: of validation samples, or None.

    Returns:
        None where not all training samples have features of every modality; the line says so.

    Raises:
        CurateError: what was recorded contradicts itself.
    """
    found = read_features(folder, "train")
    if found is None or not set(newest.modalities) <= set(found.values):
        return None, "usability unknown: the newest epoch has no features of every modality, see Recorder.add"
    if absent := len(np.setdiff1d(newest.sample_ids, found.sample_ids)):
        return None, f"usability unknown: {counted(absent, 'sample has', 'samples have')} no features"
    own = _rows(found, newest)
    sizes = " + ".join(str(x.shape[1]) for x in own.values())
    line = f"usability: look-alikes of {len(newest.sample_ids)} samples by {sizes} recorded {found.kind} features"
    if found.kind == "deep":
        return Recorded(own), f"{line}, which rank samples and prove nothing broken"
    seen = None if held is None else read_features(folder, "val")
    if held is None or seen is None or len(np.setdiff1d(held.sample_ids, seen.sample_ids)):
        return Recorded(own, unlooked=UNHELD), f"{line}; no group is judged, since validation samples have none"
    if (seen.kind, *(x.shape[1] for x in seen.values.values())) != ("early", *(x.shape[1] for x in own.values())):
        raise CurateError(f"train and val have other features in {folder}", "record the same features of both")
    return Recorded(own, held, _rows(seen, held)), f"{line}, judged on {len(held.sample_ids)} validation samples"


def _rows(found: Features, wanted: Predictions) -> dict[str, Floats]:
    """{modality: (N, D) float64} of the wanted samples."""
    rows = np.searchsorted(found.sample_ids, wanted.sample_ids)
    return {m: found.values[m][rows].astype(np.float64) for m in wanted.modalities}


@dataclass(frozen=True)
class Recorded:
    """Features of samples that saved predictions have.

    Attributes:
        training: {modality: (N, D)} of the training samples.
        held: predictions of H validation samples whose features are statistics of the first layers; None where there
            are none, or where the features are deep.
        validation: {modality: (H, D)} of these.
        unlooked: why no group is judged where `held` is None, in words.
    """

    training: Mapping[str, Floats]
    held: Predictions | None = None
    validation: Mapping[str, Floats] = field(default_factory=dict)
    unlooked: str = DEEP
