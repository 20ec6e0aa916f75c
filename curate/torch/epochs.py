"""What the callbacks for other trainers share: epochs recorded, scored, and handed back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from copy import copy
from pathlib import Path
from typing import Any

from curate.arguments import known_names, need
from curate.errors import CurateError
from curate.table import Table

from .processes import in_first, place
from .recorder import Recorder, Split

LOG = logging.getLogger(__name__)


class Epochs:
    """Records the epochs of a trainer that calls back; one of validation may lie inside one of training.

    A trainer counts each training from 1; a second training is recorded after the epochs of the first.

    Args:
        folder, classes, options: see `Recorder`.
        table: where what was recorded is scored, at the end of training and after every `every`-th epoch; None never
            scores.
        every: 0 scores at the end alone.
        after: called in every process with the table after each scoring, e.g. `loss.refresh`.

    Raises:
        CurateError: as `Recorder`; or it has no such option.
        ValueError: as `Recorder`; or `every` or `after` without a table, which would do nothing.
    """

    def __init__(
        self,
        folder: str | Path,
        classes: Sequence[str],
        *,
        table: str | Path | None = None,
        every: int = 0,
        after: Callable[[Table], Any] | None = None,
        **options: Any,
    ) -> None:
        known_names("option of a recorder", options, ("values", "features", "rows"))
        need("every", every, int)
        if table is None and (every or after is not None):
            unused = "every" if every else "after"
            raise ValueError(f"{unused} is of scoring, and without a table nothing is scored: give table=")
        self._first = Recorder(folder, classes, **options)  # refuses now what it would refuse when an epoch begins
        self.table, self.every, self.after = table, every, after
        self.scored = 0
        self.last = 0
        self.number = 1
        self.before = 0  # epochs of earlier trainings
        self._recorders: dict[Split, Recorder] = {}
        self._open: dict[Split, AbstractContextManager[None]] = {}

    def begin(self, split: Split, number: int) -> None:
        """Open an epoch; the weights move in those of training. Recorders are made once processes are known."""
        self.drop(split)
        if split == "train" and number == 1:
            self.before = self.last
        self.number = self.before + number
        if split not in self._recorders:
            recorder = self._recorders[split] = copy(self._first)
            recorder.process, recorder.processes = place()
        self._open[split] = self._recorders[split].epoch(split, self.number, moving=split == "train")
        self._open[split].__enter__()

    def is_open(self, split: Split) -> bool:
        """Whether an epoch of the split is being recorded."""
        return split in self._open

    def add(self, split: Split, record: Any, number: int | None = None) -> None:
        """Record a batch; an epoch that is not open is opened.

        Args:
            record: the arguments of `Recorder.add` by name.
            number: of the epoch; None = the one begun last.

        Raises:
            CurateError: it is no such mapping, or does not fit.
        """
        if not isinstance(record, Mapping) or not {"sample_ids", "labels", "logits"} <= set(record):
            given = ", ".join(map(str, record)) if isinstance(record, Mapping) else type(record).__name__
            raise CurateError(
                f"a record has sample_ids, labels and logits, got {given or 'nothing'}",
                'e.g. {"sample_ids": ids, "labels": y, "logits": {"audio": a, "visual": v}, "fused": f}',
            )
        if split not in self._open:
            self.begin(split, number or self.number - self.before)
        self._recorders[split].add(**record)

    def end(self, split: Split, whole: bool = True) -> None:
        """Close an epoch, so that it appears.

        Args:
            whole: whether it went through all its samples. One that did not, as where a limit of steps ends a training,
                is dropped with a warning: it would not fit the other epochs.
        """
        if not whole:
            if split in self._open:
                LOG.warning("epoch %d of %s ended before its last batch: it is not recorded", self.number, split)
            self.drop(split)
            return
        if split in self._open:
            self._open.pop(split).__exit__(None, None, None)
        if split == "train":
            self.last = self.number

    def score_if_due(self) -> None:
        """Score after every `every`-th epoch of training."""
        done = self.last - self.before
        if self.every and done and done % self.every == 0:
            self.score()

    def score(self) -> None:
        """Score what was recorded, unless it is already, and hand the table back."""
        if self.table is None or self.scored == self.last:
            if self.table is not None and not self.last:
                LOG.warning("no epoch of train was recorded to its end: nothing is scored")
            return
        table, recorder = Table(self.table), self._recorders["train"]
        in_first(lambda: _discard(recorder.score(table.path)))
        self.scored = self.last
        if self.after is not None:
            self.after(table)

    def drop(self, *splits: Split) -> None:
        """Forget the open epochs of some splits."""
        for split in splits:
            if opened := self._open.pop(split, None):
                opened.__exit__(CurateError, CurateError("it broke off"), None)


def _discard(_: object) -> None:
    """An action without a result."""
