"""Combine parts of one or several files to predictions, joined by `sample_id` alone, and check them.

Letters: N samples, M modalities, K classes, E epochs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curate.blocks import are_ascending, by_row, every, fill, scratch, take
from curate.datasets.rows import NO_LABEL, SPLIT_NAMES
from curate.errors import MOST_NAMES, CurateError, counted
from curate.files.names import composed
from curate.scores.metrics import accuracy
from curate.types import FUSED, Floats, Predictions

from .part import Part, Texts, distinct, shown
from .values import SHARES, Reading, Values, product, resolution, to_probabilities, which_kind


@dataclass(frozen=True)
class Saved:
    """Aligned and checked predictions.

    Attributes:
        sample_ids: (N,) strings of every split, ascending.
        labels: (N,) indices into `classes`; -1 where there is no label.
        splits: (N,) `train`, `val` or `test`.
        status, reason: (N,) `ok` and '', or what is wrong: `no_label`, or `missing` if a modality has no prediction.
        classes: K names, ascending.
        modalities: M names in the files' order, or in that of the run they go on with; it gives the gap its sign.
        epochs: E numbers, newest first; (0,) when the files name none.
        rounds: for each epoch, the predictions of the training samples that have a label and every modality.
        held_out: {`val` or `test`: the newest epoch's predictions of its samples with a label and numbers of every
            modality}, for the splits that occur.
        validated: {modality or fused: (E,) share of the samples of `val` that it is right on}, epochs as in `epochs`;
            {} of a single epoch, and where an epoch has no such samples.
        others: for the newest epoch, predictions of the training samples that lack a modality, by the modalities that
            they have.
        readings: {modality: kind of its numbers}, fusion included where given.
        form: how the files are written, if that is not the usual form.
        groups: (N,) names of what belongs together, '' where there is none; None if no sample has one.
        notes: what the files hold that is not read.
    """

    sample_ids: Texts
    labels: NDArray[np.int64]
    splits: Texts
    status: Texts
    reason: Texts
    classes: tuple[str, ...]
    modalities: tuple[str, ...]
    epochs: tuple[int, ...]
    rounds: tuple[Predictions, ...]
    held_out: Mapping[str, Predictions]
    validated: Mapping[str, Floats]
    others: tuple[Predictions, ...]
    readings: Mapping[str, Reading]
    form: str = ""
    groups: Texts | None = None
    notes: tuple[str, ...] = ()

    @property
    def kinds(self) -> dict[str, str]:
        """{modality: the kind of its numbers}."""
        return {m: reading.kind for m, reading in self.readings.items()}


def align(parts: Sequence[Part], values: Values = "auto", order: Sequence[str] = ()) -> Saved:
    """Combine parts of one or several files, modalities and epochs to predictions, joined by `sample_id` alone.

    A modality is missing for a sample if it has no number for it in any epoch; a single missing number is an error.

    Args:
        values: kind of the numbers, see `PredictionsConfig`.
        order: of the modalities, if these are their names; else they are in the order of the files.

    Raises:
        CurateError: repeated ids, ids or labels that differ between parts, a missing class or modality, a label that
            is not a class, or numbers that are not of the kind `values`. The message names the first such samples.
    """
    if len({part.epochs is None for part in parts}) > 1:
        without = next(part.source for part in parts if part.epochs is None)
        raise CurateError(f"{without} names no epoch, other files do", "give every file an epoch, or none")
    pieces = [(epoch, piece) for part in parts for epoch, piece in _epochs(part)]
    first = next((piece for _, piece in pieces if piece.splits is not None), pieces[0][1])
    for epoch, piece in pieces:
        if piece is not first:
            _same_samples(first, piece, f"{piece.source}, epoch {epoch}")
    by_epoch: dict[int, dict[str, tuple[tuple[str, ...], Floats]]] = {}
    for epoch, piece in pieces:
        known = by_epoch.setdefault(epoch, {})
        if twice := set(known) & set(piece.values):
            message = f"{piece.source}: {', '.join(sorted(twice))} is given twice for epoch {epoch}"
            raise CurateError(message, "give each modality once an epoch")
        known.update(piece.values)
    modalities, classes = _modalities(by_epoch, order), _classes(by_epoch)
    labels = _indices(first, classes)
    splits = np.full(len(labels), "train") if first.splits is None else first.splits
    epochs = tuple(sorted(by_epoch, reverse=True))
    raw = {m: [_by_name(by_epoch[e][m], classes) for e in epochs] for m in by_epoch[epochs[0]]}
    lacks = {m: np.all([by_row(_all_nan, a) for a in arrays], axis=0) for m, arrays in raw.items()}
    status, reason = _status(labels, {m: own & (splits == "train") for m, own in lacks.items()}, modalities)
    wanted = (splits == "train") & (labels >= 0)
    if not (splits == "train").any():
        raise CurateError(f"{first.source}: no sample of split train", "only these are scored; check the split column")
    if not (wanted & (status == "ok")).any():
        message = f"{first.source}: no training sample has a label and numbers of {' and '.join(modalities)}"
        raise CurateError(message, "a gap is between two modalities of one sample")
    kinds, readings, least = {part.kind for part in parts}, {}, {}
    told = kinds.pop() if len(kinds) == 1 else ""
    for m, arrays in raw.items():
        there = wanted & ~lacks[m]
        own = [take(a, there) for a in arrays]
        readings[m] = which_kind(m, own, values, first.sample_ids, told, there)
        least[m] = resolution(own, readings[m])
    given = Given(first.sample_ids, labels, classes, modalities, raw, readings, least)
    rounds = tuple(given.predictions(e, wanted & (status == "ok"), modalities) for e in range(len(epochs)))
    others = tuple(given.others(wanted & (status == "missing"), lacks))
    held_out, validated = _held_out(given, splits), _validated(given, splits)
    form = "; ".join(dict.fromkeys(part.form for part in parts if part.form))
    items = (first.sample_ids, labels, splits, status, reason)
    groups = next((piece.groups for _, piece in pieces if piece.groups is not None), None)
    said = (form, groups, _notes(parts))
    return Saved(*items, classes, modalities, epochs, rounds, held_out, validated, others, readings, *said)


def _notes(parts: Sequence[Part]) -> tuple[str, ...]:
    """A line on what is not read, of the first file that has it."""
    first: dict[tuple[str, ...], str] = {}
    for part in parts:
        first.setdefault(part.not_read, Path(part.source).name)
    return tuple(
        f"note: {name}: column{'s' * (len(rest) > 1)} {shown(rest, MOST_NAMES)} {'are' if len(rest) > 1 else 'is'} "
        "not read"
        for rest, name in first.items()
        if rest
    )


@dataclass(frozen=True)
class Given:
    """The numbers of every modality for every sample, as they were given.

    Attributes:
        numbers: {modality, or fusion where given: (N, K) of each epoch}, NaN where there is no prediction.
        readings: of what kind they are.
        least: what a probability of zero counts as in a product, see `values.resolution`.
    """

    sample_ids: Texts
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    modalities: tuple[str, ...]
    numbers: Mapping[str, Sequence[Floats]]
    readings: Mapping[str, Reading]
    least: Mapping[str, float]

    def predictions(self, epoch: int, rows: NDArray[np.bool_], modalities: tuple[str, ...]) -> Predictions:
        """Predictions of some samples by modalities that they all have; the fusion as given, or their product."""
        own = {m: self._probabilities(m, epoch, rows) for m in modalities}
        least = [self.least[m] for m in modalities]
        empty = scratch(int(rows.sum()), len(self.classes))
        fused = fill(empty, lambda *parts: product(parts, least), *own.values())
        if FUSED in self.numbers:
            fused = fill(fused, _where_given, fused, self._probabilities(FUSED, epoch, rows))
        ids = take(self.sample_ids, rows)
        return Predictions(ids, self.labels[rows], self.classes, modalities, {**own, FUSED: fused})

    def _probabilities(self, modality: str, epoch: int, rows: NDArray[np.bool_]) -> Floats:
        """(n, K) of some samples, NaN where there is no prediction."""
        values, reading = take(self.numbers[modality][epoch], rows), self.readings[modality]
        return fill(scratch(*values.shape), lambda own: to_probabilities(own, reading), values)

    def others(self, rows: NDArray[np.bool_], lacks: Mapping[str, NDArray[np.bool_]]) -> Iterator[Predictions]:
        """The newest epoch's predictions of samples that lack a modality, grouped by the modalities that they have."""
        has = np.stack([~lacks[m] for m in self.modalities], axis=1)
        for pattern in np.unique(has[rows], axis=0) if rows.any() else ():
            modalities = tuple(m for m, own in zip(self.modalities, pattern, strict=True) if own)
            if modalities:
                yield self.predictions(0, rows & (has == pattern).all(axis=1), modalities)


def _held_out(
    given: Given, splits: Texts, wanted: Sequence[str] = ("val", "test"), epoch: int = 0
) -> dict[str, Predictions]:
    """{split: the predictions of an epoch, 0 = the newest} of labelled samples with valid numbers of every modality.

    Other samples of these splits are ignored without an error, because they are not scored.
    """
    sound = given.labels >= 0
    for m, arrays in given.numbers.items():
        sound &= by_row(lambda v: np.isfinite(v).all(axis=1), arrays[epoch])
        if given.readings[m].kind in SHARES:
            sound &= by_row(lambda v: np.nansum(v.clip(0, None), axis=1) > 0, arrays[epoch])
    rows = {split: sound & (splits == split) for split in wanted}
    return {split: given.predictions(epoch, own, given.modalities) for split, own in rows.items() if own.any()}


def _validated(given: Given, splits: Texts) -> dict[str, Floats]:
    """See `Saved.validated`."""
    count = len(given.numbers[given.modalities[0]])
    if count == 1 or not (splits == "val").any():
        return {}
    found = [_held_out(given, splits, ("val",), epoch).get("val") for epoch in range(count)]
    known = [p for p in found if p is not None]
    if len(known) < count:
        return {}
    return {m: np.array([accuracy(p.probs[m], p.labels) for p in known]) for m in known[0].probs}


def _status(
    labels: NDArray[np.int64], lacks: Mapping[str, NDArray[np.bool_]], modalities: Sequence[str]
) -> tuple[Texts, Texts]:
    """(N,) status and reason of every sample."""
    code = np.zeros(len(labels), dtype=np.int64)
    for j, m in enumerate(modalities):
        code += lacks[m].astype(np.int64) << j
    code[labels < 0] = -1
    kinds, which = np.unique(code, return_inverse=True)
    said = {-1: (NO_LABEL, "no label is given"), 0: ("ok", "")}
    for kind in kinds[kinds > 0].tolist():
        own = [m for j, m in enumerate(modalities) if kind >> j & 1]
        said[kind] = ("missing", f"no prediction by {'; '.join(own)}")
    own_status, own_reasons = zip(*(said[kind] for kind in kinds.tolist()), strict=True)
    return take(np.array(own_status, dtype=np.str_), which), take(np.array(own_reasons, dtype=np.str_), which)


def _where_given(made: Floats, given: Floats) -> Floats:
    return np.where(np.isnan(given), made, given)


def _all_nan(values: Floats) -> NDArray[np.bool_]:
    return np.asarray(np.isnan(values).all(axis=1))


def _epochs(part: Part) -> Iterator[tuple[int, Part]]:
    """(epoch, its rows ascending by id), splits as `train`, `val` and `test`; epoch 0 if the part names none."""
    _check_keys(part)
    splits = None if part.splits is None else _splits(part.splits, part.source)
    for epoch in [0] if part.epochs is None else np.unique(part.epochs).tolist():
        rows = np.arange(len(part.labels)) if part.epochs is None else np.flatnonzero(part.epochs == epoch)
        if len(rows) == len(part.labels) and are_ascending(part.sample_ids):
            yield epoch, replace(part, splits=splits, epochs=None)
            continue
        rows = rows[np.argsort(take(part.sample_ids, rows), kind="stable")]
        ids = take(part.sample_ids, rows)
        if not are_ascending(ids):
            where = part.source if part.epochs is None else f"{part.source}, epoch {epoch}"
            repeated = np.unique(ids[1:][ids[1:] == ids[:-1]])
            raise CurateError(f"{where}: repeated sample_id {shown(repeated)}", "sample_id is the only key")
        chosen = {m: (classes, take(array, rows)) for m, (classes, array) in part.values.items()}
        own_splits, own_groups = (None if column is None else take(column, rows) for column in (splits, part.groups))
        labels = take(part.labels, rows)
        yield epoch, Part(part.source, ids, labels, own_splits, None, chosen, part.form, groups=own_groups)


def _check_keys(part: Part) -> None:
    """Check for rows without an id, zero bytes in ids, and ids and classes that are not valid Unicode."""
    if empty := int(by_row(lambda own: own == "", part.sample_ids).sum()):
        raise CurateError(f"{part.source}: {counted(empty, 'row has', 'rows have')} no sample_id", "give every row one")
    letters = part.sample_ids.view(np.uint32).reshape(len(part.sample_ids), -1)
    if not every(lambda own: ~((own[:, :-1] == 0) & (own[:, 1:] != 0)).any(axis=1), letters):
        raise CurateError(f"{part.source}: a sample_id holds a zero byte", "the file is damaged, or no table of text")
    half = not every(lambda own: ~(own - 0xD800 < 0x800).any(axis=1), letters)
    _check_names([name for names, _ in part.values.values() for name in names], part.source, half)
    groups = [] if part.groups is None else distinct(part.groups)[0]
    _check_names(groups, part.source)
    if any("\0" in name for name in groups):
        raise CurateError(f"{part.source}: a group holds a zero byte", "the file is damaged, or no table of text")


def _check_names(names: Iterable[str], source: str, half: bool = False) -> None:
    """Check for halves of a pair of code units, which no text has; `half`: one was found already."""
    if half or any("\ud800" <= letter <= "\udfff" for name in names for letter in name):
        raise CurateError(f"{source}: a name is not valid Unicode", "write names as UTF-8")


def _splits(given: Texts, source: str) -> Texts:
    names, where = distinct(given)
    if unknown := [name for name in sorted(names) if name.lower() not in SPLIT_NAMES]:
        raise CurateError(f"{source}: unknown splits {shown(unknown)}", "expected train, val, test, in every row")
    return take(np.array([SPLIT_NAMES[name.lower()] for name in names]), where)


def _same_samples(first: Part, other: Part, where: str) -> None:
    """Check that ids, labels and splits are the same as those of the first part."""
    if not np.array_equal(first.sample_ids, other.sample_ids):
        more = np.setdiff1d(other.sample_ids, first.sample_ids)
        less = np.setdiff1d(first.sample_ids, other.sample_ids)
        said = f"has {shown(more)} besides" if len(more) else f"lacks {shown(less)}"
        message = f"rows do not match: {where} {said}, compared with {first.source}"
        if {composed(i) for i in more.tolist()} == {composed(i) for i in less.tolist()}:
            raise CurateError(f"{message}: the same in another Unicode form", "write ids in one form, NFC or NFD")
        raise CurateError(message, "every file and epoch must hold the same samples")
    pairs = [("label", first.labels, other.labels)]
    if first.splits is not None and other.splits is not None:
        pairs.append(("split", first.splits, other.splits))
    if first.groups is not None and other.groups is not None:
        pairs.append(("group", first.groups, other.groups))
    for what, ours, theirs in pairs:
        if differ := first.sample_ids[ours != theirs].tolist():
            message = f"{where} and {first.source} disagree on the {what} of {shown(differ)}"
            raise CurateError(message, f"a sample has one {what}")


def _modalities(by_epoch: Mapping[int, Mapping[str, object]], order: Sequence[str]) -> tuple[str, ...]:
    """The modalities, in the given order if these are their names, else in that of the files; the same every epoch."""
    every = list(dict.fromkeys(m for found in by_epoch.values() for m in found))
    for epoch, found in by_epoch.items():
        if absent := [m for m in every if m not in found]:
            raise CurateError(f"epoch {epoch} lacks {', '.join(absent)}", "give every epoch the same modalities")
    modalities = tuple(m for m in every if m != FUSED)
    if len(modalities) < 2:
        message = f"two modalities are needed, found {', '.join(modalities) or 'none'}"
        raise CurateError(message, "a gap is between two: columns such as audio.cat and visual.cat, or a file for each")
    return tuple(order) if set(order) == set(modalities) else modalities


def _classes(by_epoch: Mapping[int, Mapping[str, tuple[tuple[str, ...], Floats]]]) -> tuple[str, ...]:
    """The class names, ascending; every modality and epoch must have the same."""
    given = [(m, set(classes)) for found in by_epoch.values() for m, (classes, _) in found.items()]
    every = sorted(set().union(*(classes for _, classes in given)))
    lacking = {m: absent for m, classes in given if (absent := [c for c in every if c not in classes])}
    if lacking:
        said = "; ".join(f"{m} lacks the class {shown(absent)}" for m, absent in lacking.items())
        raise CurateError(said, "every modality predicts every class, under one name")
    if len(every) < 2:
        raise CurateError(f"the only class is {shown(every)}", "a classifier needs two classes")
    return tuple(every)


def _indices(part: Part, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """(N,) labels as positions in the ascending class names."""
    names, which = distinct(part.labels)
    _check_names(names, part.source)
    known = {name: k for k, name in enumerate(classes)} | {"": -1}
    if absent := [i for i, name in enumerate(names) if name not in known]:
        wrong = np.isin(which, absent)
        labels, ids = np.unique(part.labels[wrong]), part.sample_ids[wrong]
        message = f"{part.source}: label {shown(labels)} of {shown(ids)} is not among the classes {shown(classes)}"
        alike = {c.casefold() for c in classes} & {label.casefold() for label in labels.tolist()}
        hint = "write labels and classes in the same case" if alike else "labels are class names, as the predictions'"
        raise CurateError(message, hint)
    return np.array([known[name] for name in names], dtype=np.int64)[which]


def _by_name(given: tuple[tuple[str, ...], Floats], classes: tuple[str, ...]) -> Floats:
    """(N, K) values, their columns in the order of `classes`."""
    position = {c: k for k, c in enumerate(given[0])}
    order = [position[c] for c in classes]
    if order == list(range(given[1].shape[1])):
        return given[1]
    return fill(scratch(len(given[1]), len(order)), lambda own: own[:, order], given[1])
