"""A folder of predictions that a training recorded, see `curate.files.shards`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.blocks import fill, scratch
from curate.errors import CurateError
from curate.files.shards import KEYS, not_in_both, read_shards

from .part import Part, shown

SAME = "record every sample in every epoch: drop_last=False, or a pass in eval mode"


def other_samples(folder: Path, number: int) -> str:
    """That an epoch does not hold the training samples of the first one, and what to do; '' if it does."""
    if not (differ := not_in_both(folder, "train", number)):
        return ""
    other = f"epoch {number} in {folder} does not hold the samples of the first: {shown(differ)}"
    return f"{other}; score refuses that: {SAME}"


def read_recorded(folder: Path) -> Part:
    """All complete epochs of the training samples, with the predictions of the others; log-probabilities.

    Raises:
        CurateError: no epoch is complete, epochs have other training samples, or what was recorded contradicts itself.
    """
    columns, notes = read_shards(folder)
    columns = _aligned(columns, folder)
    names = [name for name in columns if name not in KEYS]
    own: dict[str, list[str]] = {}
    for name in names:
        own.setdefault(name.partition(".")[0], []).append(name)
    values = {}
    for modality, of_one in own.items():
        matrix = scratch(len(columns["sample_id"]), len(of_one))
        beside = fill(matrix, lambda *of: np.stack(of, axis=1), *(columns[name] for name in of_one))
        values[modality] = (tuple(name.partition(".")[2] for name in of_one), beside)
    keys = (columns["sample_id"], columns["label"], columns["split"], columns["epoch"])
    return Part(str(folder), *keys, values, "; ".join(["recorded", *notes]), "log-probabilities")


def _aligned(columns: Mapping[str, NDArray[Any]], folder: Path) -> dict[str, NDArray[Any]]:
    """The same samples in every epoch.

    Samples of other splits are those of the newest epoch that has any. Where another epoch was not recorded of the same
    ones, they have the newest predictions there.
    """
    splits, epochs = columns["split"], columns["epoch"]
    own = splits == "train"
    if own.all() and len(own) and epochs[0] == epochs[-1]:  # ascending: a single epoch, as it is
        return dict(columns)
    trained = np.unique(epochs[own])
    if not len(trained):
        raise CurateError(
            f"{folder} holds no complete epoch of the training samples", 'record them: recorder.epoch(split="train")'
        )
    first = columns["sample_id"][own & (epochs == trained[0])]  # ascending, as all are
    for epoch in trained[1:].tolist():
        ids = columns["sample_id"][own & (epochs == epoch)]
        if not np.array_equal(ids, first):
            differ = np.setxor1d(ids, first)
            raise CurateError(
                f"epochs {trained[0]} and {epoch} in {folder} do not hold the same samples: {shown(differ)}",
                SAME,
            )
    rows = [np.flatnonzero(own)]
    numbers = [epochs[rows[0]]]
    for split in ("val", "test"):
        of_split = splits == split
        if of_split.any():
            of_epoch = {e: np.flatnonzero(of_split & (epochs == e)) for e in np.unique(epochs[of_split]).tolist()}
            newest = of_epoch[max(of_epoch)]
            for epoch in trained.tolist():
                own_rows = of_epoch.get(epoch, newest)
                same = np.array_equal(columns["sample_id"][own_rows], columns["sample_id"][newest])
                rows.append(own_rows if same else newest)
                numbers.append(np.full(len(newest), epoch))
    taken = np.concatenate(rows)
    if len(rows) == 1 and len(taken) == len(epochs):  # all rows, as they are
        return dict(columns)
    return {**{name: values[taken] for name, values in columns.items()}, "epoch": np.concatenate(numbers)}
