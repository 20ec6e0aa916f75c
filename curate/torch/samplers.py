"""Posteriors and selections for your own training loop: weights of samples, a `Subset`, and a sampler for both.

All take the ids of the samples in the order of your data set; samples are matched by id alone, never by position.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler, Subset
from typing_extensions import override

from curate.arguments import NONE, need, one_of
from curate.errors import CurateError, counted
from curate.table import Table

from .processes import place
from .recorder import Recorder
from .rows import texts

T = TypeVar("T")
LARGEST = 1 << 24
"""The most samples that `torch.multinomial` draws from."""


def sampler_weights(
    source: Table | Recorder,
    sample_ids: Sequence[Any],
    run_id: str | None = None,
    by: Literal["p_balanced", "p_imbalanced"] = "p_balanced",
) -> Tensor:
    """Weights for `torch.utils.data.WeightedRandomSampler`: the posterior of each sample, (N,) float64 in [0, 1].

        sampler = WeightedRandomSampler(sampler_weights(table, ids), len(ids))
        for epoch in range(10):
            ...                                                # with recorder.epoch(): a pass over all samples
            sampler.weights = sampler_weights(recorder, ids)   # of what the newest epoch recorded

    A weighted draw repeats samples and leaves others out, so it is no epoch to record: a recorder wants every sample
    once, e.g. from a pass in eval mode.

    Args:
        source: a table, from `curate.open`; or a recorder, whose newest complete epoch is fitted, without a table.
        sample_ids: (N,) ids in the order of your data set.
        run_id: the scored run of the table; the newest when left out.
        by: draw the balanced samples more often, or the imbalanced ones.

    Raises:
        CurateError: some of the ids were not scored; the message names the first.
        ValueError: the source is neither, or `by` is not known.
    """
    need("source", source, Table, Recorder)
    one_of("by", by, ("p_balanced", "p_imbalanced"))
    if isinstance(source, Recorder):
        found, where = source.scored(), str(source.folder)
    else:
        run = source.find_run(run_id, kind="score", status=None if run_id else "done")
        found, where = source.scored(run.run_id), run.run_id
    known = dict(zip(found.sample_ids.tolist(), found.balanced.tolist(), strict=True))
    ids = texts(sample_ids)
    if missing := [i for i in ids if i not in known]:
        raise CurateError(
            f"{len(missing)} of {counted(len(ids), 'sample')} {'is' if len(missing) == 1 else 'are'} "
            f"not scored in {where}: {', '.join(missing[:3])}",
            "pass the ids of training samples, as `samples.sample_id` has them",
        )
    weights = torch.tensor([known[i] for i in ids], dtype=torch.float64)
    return weights if by == "p_balanced" else 1 - weights


def selected_rows(sample_ids: Sequence[Any], table: Table, selection: str) -> list[int]:
    """Positions of the samples of a stored selection, ascending.

        rows = selected_rows(ids, table, "clean")

    Args:
        sample_ids: (N,) ids in the order of your data set.
        table: from `curate.open`.
        selection: its name.

    Raises:
        CurateError: the selection has samples that are not among the ids; the message names the first.
    """
    chosen = table.store.selections.find(selection).sample_ids
    ids = np.array(texts(sample_ids), dtype=np.str_)
    if missing := np.setdiff1d(chosen, ids).tolist():
        raise CurateError(
            f"{counted(len(missing), 'sample')} of {str(selection)!r} {'is' if len(missing) == 1 else 'are'} "
            f"not in the data set: {', '.join(missing[:3])}",
            "pass the ids of the data set the selection was made on",
        )
    rows: list[int] = np.flatnonzero(np.isin(ids, chosen)).tolist()
    return rows


def selected(dataset: Dataset[T], sample_ids: Sequence[Any], table: Table, selection: str) -> Subset[T]:
    """The samples of a data set that are in a stored selection, in the data set's order; see `selected_rows`.

        loader = DataLoader(selected(dataset, ids, table, "clean"), batch_size=64, shuffle=True)

    Raises:
        CurateError: the selection has samples that are not among the ids.
        ValueError: there are not as many ids as the data set has samples.
    """
    if isinstance(dataset, Sized) and len(dataset) != len(sample_ids):
        raise ValueError(
            f"{counted(len(sample_ids), 'id')} "
            f"of a data set of {counted(len(dataset), 'sample')}: pass all, in its order"
        )
    return Subset(dataset, selected_rows(sample_ids, table, selection))


class EpochSampler(Sampler[int]):
    """The samples of an epoch, drawn by weight or each once in random order, divided among the processes.

        sampler = EpochSampler(len(ids), weights=sampler_weights(table, ids), rows=selected_rows(ids, table, "clean"))
        loader = DataLoader(dataset, batch_size=64, sampler=sampler)
        for epoch in range(10):
            sampler.set_epoch(epoch)
            ...
            sampler.weights = sampler_weights(recorder, ids)  # in every process

    Every process makes the same draw, from seed and epoch, and takes every W-th of it, so that the shares are disjoint
    and of one length. Without weights the permutation is filled up with its own beginning if W does not divide it, as
    `torch.utils.data.DistributedSampler` does; with weights some more are drawn.

    Args:
        size: N, number of samples of the data set.
        weights: (N,) at least 0; samples are drawn with replacement. None takes each once.
        rows: positions to draw from, see `selected_rows`; all when left out.
        draws: how many all processes together draw by weight in an epoch; as many as there are rows when left out.
        seed: of the draws, the same in every process.

    Raises:
        CurateError: weights are not N finite numbers of at least 0, all that can be drawn are 0, or no row is left.
        ValueError: size, draws or seed are no whole numbers, or size or draws are below 1.
    """

    def __init__(
        self,
        size: int,
        *,
        weights: Tensor | None = None,
        rows: Sequence[int] | None = None,
        draws: int | None = None,
        seed: int = 0,
    ) -> None:
        need("size", size, int)
        need("seed", seed, int)
        need("draws", draws, int, NONE)
        if size < 1 or (draws is not None and draws < 1):
            raise ValueError(f"size and draws are 1 or more, got {size} and {draws}")
        self.size, self.seed, self.epoch = size, seed, 0
        self.rows = torch.arange(size) if rows is None else torch.as_tensor(list(rows), dtype=torch.int64)
        if not len(self.rows) or self.rows.min() < 0 or self.rows.max() >= size:
            raise CurateError(f"{len(self.rows)} rows, expected one or more below {size}", "see `selected_rows`")
        self.draws = len(self.rows) if draws is None or weights is None else draws
        self.weights = weights

    @property
    def weights(self) -> Tensor | None:
        """(N,) weights of the next draws; set them in every process alike."""
        return self._weights

    @weights.setter
    def weights(self, weights: Tensor | None) -> None:
        if weights is not None:
            weights = torch.as_tensor(weights, dtype=torch.float64).cpu()
            if weights.shape != (self.size,) or not torch.isfinite(weights).all() or (weights < 0).any():
                raise CurateError(
                    f"weights are {tuple(weights.shape)}, expected {self.size} finite numbers of at least 0",
                    "give one a sample of the data set, in its order: `sampler_weights(table, sample_ids)`",
                )
            if not weights[self.rows].sum() > 0:
                raise CurateError("no sample has a weight above 0", "draw from others, or leave the weights out")
            if len(self.rows) > LARGEST:
                raise CurateError(f"{len(self.rows)} samples, weights are for {LARGEST}", "draw from a selection")
        self._weights = weights

    def set_epoch(self, epoch: int) -> None:
        """Choose the draw: call it before each epoch, with the same number in every process."""
        need("epoch", epoch, int)
        self.epoch = epoch

    def draw(self) -> Tensor:
        """The positions of the epoch, of all processes together; process r takes those at r, r + W, r + 2 W, ..."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + self.epoch) % 2**63)
        world = place()[1]
        total = -(-self.draws // world) * world
        if self._weights is not None:
            return self.rows[torch.multinomial(self._weights[self.rows], total, True, generator=generator)]
        order = torch.randperm(len(self.rows), generator=generator)
        return self.rows[order[torch.arange(total) % len(order)]]

    @override
    def __iter__(self) -> Iterator[int]:
        rank, world = place()
        share: list[int] = self.draw()[rank::world].tolist()
        return iter(share)

    def __len__(self) -> int:
        """How many this process gets in an epoch."""
        return -(-self.draws // place()[1])
