"""The training split cut into folds for out-of-fold scores: stratified by class, groups never divided.

Letters: N samples, K folds.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from curate.errors import CurateError

SHOWN = 3
LESS = "use fewer folds, or score without --folds"


def cut_folds(
    labels: NDArray[np.int64], groups: Sequence[str | None], classes: Sequence[str], count: int, seed: int
) -> NDArray[np.int64]:
    """The fold in which each sample is held out; it depends on the arguments alone.

    Without groups the folds have equally many samples of every class, to within one. With groups, each is in one fold
    only, and the folds are as even as scikit-learn's `StratifiedGroupKFold` makes them.

    Args:
        labels: (N,) class indices.
        groups: (N,) group that must not be divided (speaker, source video); None stands for a group of its own.
        classes: class names.
        count: K, at least 2.
        seed: of the shuffle before the cut.

    Returns:
        (N,) folds, 0 to K - 1, each of which occurs.

    Raises:
        CurateError: a class has fewer samples than there are folds, there are fewer groups than folds, a fold would be
            empty, or the samples that remain for training would lack a class.
    """
    present, sizes = np.unique(labels, return_counts=True)
    if (sizes < count).any():
        rare = [f"{str(classes[k])!r} {n}" for k, n in zip(present[sizes < count], sizes[sizes < count], strict=True)]
        message = f"{count} folds need {count} training samples of every class; there are of {_first(rare)}"
        raise CurateError(message, LESS)
    units = np.unique([f"row {i}" if g is None else f"group {g}" for i, g in enumerate(groups)], return_inverse=True)[1]
    if units.max() + 1 < count:
        raise CurateError(f"{count} folds need as many groups; the training split has {units.max() + 1}", LESS)
    grouped = units.max() + 1 < len(labels)
    cutter = (StratifiedGroupKFold if grouped else StratifiedKFold)(count, shuffle=True, random_state=seed)
    folds = np.empty(len(labels), dtype=np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # warnings about what `_check` checks
        for number, (_, held_out) in enumerate(cutter.split(labels, labels, units)):
            folds[held_out] = number
    _check(folds, labels, classes, count)
    return folds


def _check(folds: NDArray[np.int64], labels: NDArray[np.int64], classes: Sequence[str], count: int) -> None:
    """Check that no fold is empty, and that the samples outside each fold have every class."""
    for number in range(count):
        held_out = folds == number
        if not held_out.any():
            message = f"the groups are too uneven for {count} folds: fold {number} would be empty"
            raise CurateError(message, LESS)
        if lost := np.setdiff1d(labels, labels[~held_out]).tolist():
            names = _first([repr(str(classes[k])) for k in lost])
            raise CurateError(
                f"all training samples of class {names} are in one fold, so that no model could learn it without them",
                "a group of fold " + str(number) + " holds the whole class: divide it, or score without --folds",
            )


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f", ... ({len(names)} classes in all)" if len(names) > SHOWN else "")
