"""Parts of one or several files to predictions, joined by `sample_id` alone, and checked.

Letters: N samples, M modalities, K classes, E epochs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.datasets.rows import SPLIT_NAMES
from curate.errors import CurateError
from curate.types import FUSED, Floats, Predictions

from .part import Part, Texts, shown
from .values import product, to_probabilities, which_kind


@dataclass(frozen=True)
class Saved:
    """Aligned and checked predictions.

    Attributes:
        sample_ids: (N,) strings of every split, ascending.
        labels: (N,) indices into `classes`.
        splits: (N,) `train`, `val` or `test`.
        classes: K names, ascending.
        modalities: M names in the files' order, which gives the gap its sign.
        epochs: E numbers, newest first; (0,) when the files name none.
        rounds: of each epoch, the predictions of the training samples.
        kinds: {modality: `logits` or `probabilities`}, fusion included where given.
    """

    sample_ids: Texts
    labels: NDArray[np.int64]
    splits: Texts
    classes: tuple[str, ...]
    modalities: tuple[str, ...]
    epochs: tuple[int, ...]
    rounds: tuple[Predictions, ...]
    kinds: Mapping[str, str]


def align(parts: Sequence[Part], values: str = "auto") -> Saved:
    """Parts of one or several files, modalities and epochs to predictions, joined by `sample_id` alone.

    Args:
        values: what the numbers are, see `PredictionsConfig`.

    Raises:
        CurateError: repeated ids, ids or labels that differ between parts, a missing class or modality, a label that
            is no class, numbers that are not finite, or probabilities that do not add to one. First offenders named.
    """
    if len({part.epochs is None for part in parts}) > 1:
        without = next(part.source for part in parts if part.epochs is None)
        raise CurateError(f"{without} names no epoch, other files do", "give every file an epoch, or none")
    pieces = [(epoch, piece) for part in parts for epoch, piece in _epochs(part)]
    first = next((piece for _, piece in pieces if piece.splits is not None), pieces[0][1])
    for epoch, piece in pieces:
        _same_samples(first, piece, f"{piece.source}, epoch {epoch}")
    by_epoch: dict[int, dict[str, tuple[tuple[str, ...], Floats]]] = {}
    for epoch, piece in pieces:
        known = by_epoch.setdefault(epoch, {})
        if twice := set(known) & set(piece.values):
            message = f"{piece.source}: {', '.join(sorted(twice))} is given twice for epoch {epoch}"
            raise CurateError(message, "give each modality once an epoch")
        known.update(piece.values)
    modalities, classes = _modalities(by_epoch), _classes(by_epoch)
    labels = _indices(first, classes)
    splits = np.full(len(labels), "train") if first.splits is None else first.splits
    scored = splits == "train"
    if not scored.any():
        raise CurateError(f"{first.source}: no sample of split train", "only these are scored; check the split column")
    ids = first.sample_ids[scored]
    epochs = tuple(sorted(by_epoch, reverse=True))
    raw = {m: [_by_name(by_epoch[e][m], classes)[scored] for e in epochs] for m in by_epoch[epochs[0]]}
    kinds = {m: which_kind(m, arrays, values, ids) for m, arrays in raw.items()}
    rounds = []
    for position in range(len(epochs)):
        probs = {m: to_probabilities(arrays[position], kinds[m]) for m, arrays in raw.items()}
        if FUSED not in probs:
            probs[FUSED] = product([probs[m] for m in modalities])
        rounds.append(Predictions(ids, labels[scored], classes, modalities, probs))
    return Saved(first.sample_ids, labels, splits, classes, modalities, epochs, tuple(rounds), kinds)


def _epochs(part: Part) -> Iterator[tuple[int, Part]]:
    """(epoch, its rows ascending by id), splits under our names; epoch 0 where the part names none."""
    _check_keys(part)
    splits = None if part.splits is None else _splits(part.splits, part.source)
    for epoch in [0] if part.epochs is None else np.unique(part.epochs).tolist():
        rows = np.arange(len(part.labels)) if part.epochs is None else np.flatnonzero(part.epochs == epoch)
        rows = rows[np.argsort(part.sample_ids[rows], kind="stable")]
        ids = part.sample_ids[rows]
        repeated = np.unique(ids[1:][ids[1:] == ids[:-1]])
        if len(repeated):
            where = part.source if part.epochs is None else f"{part.source}, epoch {epoch}"
            raise CurateError(f"{where}: repeated sample_id {shown(repeated)}", "sample_id is the only key")
        chosen = {m: (classes, array[rows]) for m, (classes, array) in part.values.items()}
        yield epoch, Part(part.source, ids, part.labels[rows], None if splits is None else splits[rows], None, chosen)


def _check_keys(part: Part) -> None:
    """Refuse rows without an id, or with one that no file can hold."""
    if empty := int((part.sample_ids == "").sum()):
        raise CurateError(f"{part.source}: {empty} rows have no sample_id", "give every row one")
    for names in (part.sample_ids.tolist(), np.unique(part.labels).tolist(), *(c for c, _ in part.values.values())):
        try:
            "".join(names).encode()
        except UnicodeEncodeError:
            raise CurateError(f"{part.source}: a name is not valid Unicode", "write names as UTF-8") from None


def _splits(given: Texts, source: str) -> Texts:
    names, where = np.unique(given, return_inverse=True)
    if unknown := [name for name in names.tolist() if name.lower() not in SPLIT_NAMES]:
        raise CurateError(f"{source}: unknown splits {shown(unknown)}", "expected train, val, test, in every row")
    return np.array([SPLIT_NAMES[name.lower()] for name in names.tolist()])[where]


def _same_samples(first: Part, other: Part, where: str) -> None:
    """Refuse other ids, labels or splits than the first part has."""
    if not np.array_equal(first.sample_ids, other.sample_ids):
        more = np.setdiff1d(other.sample_ids, first.sample_ids)
        less = np.setdiff1d(first.sample_ids, other.sample_ids)
        said = f"has {shown(more)} besides" if len(more) else f"lacks {shown(less)}"
        message = f"rows do not match: {where} {said}, compared with {first.source}"
        raise CurateError(message, "every file and epoch must hold the same samples")
    pairs = [("label", first.labels, other.labels)]
    if first.splits is not None and other.splits is not None:
        pairs.append(("split", first.splits, other.splits))
    for what, ours, theirs in pairs:
        if differ := first.sample_ids[ours != theirs].tolist():
            message = f"{where} and {first.source} disagree on the {what} of {shown(differ)}"
            raise CurateError(message, f"a sample has one {what}")


def _modalities(by_epoch: Mapping[int, Mapping[str, object]]) -> tuple[str, ...]:
    """The modalities, in the order of the files; every epoch must have the same."""
    every = list(dict.fromkeys(m for found in by_epoch.values() for m in found))
    for epoch, found in by_epoch.items():
        if absent := [m for m in every if m not in found]:
            raise CurateError(f"epoch {epoch} lacks {', '.join(absent)}", "give every epoch the same modalities")
    modalities = tuple(m for m in every if m != FUSED)
    if len(modalities) < 2:
        message = f"two modalities are needed, found {', '.join(modalities) or 'none'}"
        raise CurateError(message, "a gap is between two: columns such as audio.cat and visual.cat, or a file for each")
    return modalities


def _classes(by_epoch: Mapping[int, Mapping[str, tuple[tuple[str, ...], Floats]]]) -> tuple[str, ...]:
    """The class names, ascending; every modality and epoch must have the same."""
    given = [(m, set(classes)) for found in by_epoch.values() for m, (classes, _) in found.items()]
    every = sorted(set().union(*(classes for _, classes in given)))
    for modality, classes in given:
        if absent := [c for c in every if c not in classes]:
            raise CurateError(f"{modality} lacks the class {shown(absent)}", "every modality predicts every class")
    if len(every) < 2:
        raise CurateError(f"the only class is {shown(every)}", "a classifier needs two classes")
    return tuple(every)


def _indices(part: Part, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """(N,) labels as positions in the ascending class names."""
    names = np.array(classes)
    found = np.minimum(np.searchsorted(names, part.labels), len(names) - 1)
    if (wrong := names[found] != part.labels).any():
        labels, ids = np.unique(part.labels[wrong]), part.sample_ids[wrong]
        message = f"{part.source}: label {shown(labels)} of {shown(ids)} is not among the classes {shown(classes)}"
        raise CurateError(message, "labels are class names, as in the columns <modality>.<class>")
    return found.astype(np.int64)


def _by_name(given: tuple[tuple[str, ...], Floats], classes: tuple[str, ...]) -> Floats:
    """(N, K) values, their columns in the order of `classes`."""
    position = {c: k for k, c in enumerate(given[0])}
    return given[1][:, [position[c] for c in classes]]
