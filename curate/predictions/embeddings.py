"""Embeddings beside saved predictions: usability by look-alikes where a model's early layers are not available.

Embeddings are deep features. Look-alikes among them are similar in content, and also in how well they were memorised:
usability from them only ranks samples; nothing is claimed.

Letters: N samples, M modalities, D features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curate.errors import CurateError
from curate.files.npz import open_npz, texts
from curate.scores.gap import log_margin, true_class_probability
from curate.scores.usability import Evidence, Usability, assess, contradiction
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
        for modality, values in _read(Path(path), modalities, sample_ids).items():
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


def judge(epochs: Sequence[Predictions], embeddings: Mapping[str, Floats]) -> tuple[Usability, Floats]:
    """Usability, without claims, and the (N, M) contradiction of the labels, from saved predictions.

    Both are computed from means over all epochs: samples that were learnt late, or never, then differ from the others.
    A single epoch of a model that has memorised its training samples carries little information.

    Args:
        epochs: predictions of the same N samples.
        embeddings: {modality: (N, D)} of the same.
    """
    ids, labels, classes = epochs[0].sample_ids, epochs[0].labels, len(epochs[0].classes)
    unseen = np.empty(0)
    evidence, denied = {}, []
    for modality, values in embeddings.items():
        said = [p.probs[modality] for p in epochs]
        p_true = np.mean([true_class_probability(p, labels) for p in said], axis=0)
        evidence[modality] = Evidence(p_true, values, unseen, unseen, deep=True)
        denied.append(contradiction(np.mean([log_margin(p, labels) for p in said], axis=0)))
    return assess(ids, evidence, classes), np.stack(denied, axis=1)
