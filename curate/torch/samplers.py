"""Posteriors and selections for your own training loop: weights for a sampler, and a `Subset`.

Both take the ids of the samples in the order of your data set; samples are matched by id alone, never by position.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset

from curate.errors import CurateError
from curate.table import Table

T = TypeVar("T")


def sampler_weights(
    table: Table,
    sample_ids: Sequence[str],
    run_id: str | None = None,
    by: Literal["p_balanced", "p_imbalanced"] = "p_balanced",
) -> Tensor:
    """Weights for `torch.utils.data.WeightedRandomSampler`: the posterior of each sample, (N,) float64 in [0, 1].

    Args:
        table: from `curate.open`.
        sample_ids: (N,) ids in the order of your data set.
        run_id: the scored run; the newest when left out.
        by: draw the balanced samples more often, or the imbalanced ones.

    Raises:
        CurateError: some of the ids were not scored; the message names the first.
    """
    run = table.find_run(run_id, kind="score", status=None if run_id else "done")
    found = table.scored(run.run_id)
    known = dict(zip(found.sample_ids.tolist(), found.balanced.tolist(), strict=True))
    if missing := [str(i) for i in sample_ids if str(i) not in known]:
        raise CurateError(
            f"{len(missing)} of {len(sample_ids)} samples are not scored in {run.run_id}: {', '.join(missing[:3])}",
            "pass the ids of training samples, as `samples.sample_id` has them",
        )
    weights = torch.tensor([known[str(i)] for i in sample_ids], dtype=torch.float64)
    return weights if by == "p_balanced" else 1 - weights


def selected(dataset: Dataset[T], sample_ids: Sequence[str], table: Table, selection: str) -> Subset[T]:
    """The samples of a data set that are in a stored selection, in the data set's order.

    Args:
        sample_ids: (N,) ids in the order of `dataset`.
        table: from `curate.open`.
        selection: its name.

    Raises:
        CurateError: the selection has samples that are not among the ids; the message names the first.
    """
    chosen = table.store.selections.find(selection).sample_ids
    ids = np.array([str(i) for i in sample_ids])
    if missing := np.setdiff1d(chosen, ids).tolist():
        raise CurateError(
            f"{len(missing)} samples of {selection!r} are not in the data set: {', '.join(missing[:3])}",
            "pass the ids of the data set the selection was made on",
        )
    return Subset(dataset, np.flatnonzero(np.isin(ids, chosen)).tolist())
