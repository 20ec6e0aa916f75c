"""What the callbacks for other trainers share: epochs recorded, scored, and handed back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from curate.arguments import known_names
from curate.errors import CurateError
from curate.table import Table

from .processes import in_first
from .recorder import Recorder, Split


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
        ValueError: as `Recorder`.
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
        Recorder(folder, classes, **options)  # refuses at once what it would refuse when the first epoch begins
        self.folder, self.classes, self.options = folder, classes, options
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
            self._recorders[split] = Recorder(self.folder, self.classes, **self.options)
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

    def end(self, split: Split) -> None:
        """Close an epoch, so that it appears."""
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
        if self.table is None or not self.last or self.scored == self.last:
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
