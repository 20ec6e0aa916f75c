"""What the stages of one command use: store, cache, device, progress and messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from curate.datasets import checks
from curate.datasets.base import Dataset
from curate.datasets.cache import Cache, describe_done, describe_plan, prepare
from curate.datasets.cluster import ENGINES
from curate.datasets.shared import is_made
from curate.render import Message, Progress, no_message, no_progress
from curate.store.store import Store
from curate.store.working import working
from curate.train.loop.engine import Runtime
from curate.types import Run

from .tracking import Tracking


@dataclass(frozen=True)
class Session:
    """What the stages of one command use.

    Attributes:
        store: the sample table.
        cache_folder: where decoded media are.
        runtime: device, precision, loader processes.
        tracking: what is told of each run to a tracker.
        progress: called with (label, done, total, note).
        message: called with a line for the user.
    """

    store: Store
    cache_folder: Path
    runtime: Runtime = field(default_factory=Runtime)
    tracking: Tracking = field(default_factory=Tracking)
    progress: Progress = no_progress
    message: Message = no_message

    @property
    def runs_folder(self) -> Path:
        """The folder of all runs: beside the table, `<its name>.runs`."""
        return self.store.path.with_suffix(".runs")

    def folder(self, run: Run) -> Path:
        """The folder of a run's checkpoints: beside the table, even if that was moved."""
        return self.runs_folder / run.run_id

    @contextmanager
    def working(self, run: Run, new: bool = False) -> Iterator[Run]:
        """Lock a run's folder against other processes, and give the run, see `store.working`."""
        with working(self.store, run, new) as own:
            yield own

    def open_cache(self, dataset: Dataset) -> Cache:
        """The decoded media of a data set, decoded now if needed; every item and its status go into the table."""
        workers = self.runtime.decoders(dataset.decodes)
        if not is_made(self.cache_folder / dataset.data_id()):
            self.message(describe_plan(dataset, self.cache_folder, workers, self.runtime.engine == "processes"))
        cache = prepare(
            dataset,
            self.cache_folder,
            workers=workers,
            progress=lambda done, total: self.progress("decoding", done, total, "items"),
            engine=ENGINES[self.runtime.engine],
        )
        if self.store.samples.count(cache.data_id) != len(dataset.samples):
            status, reason = cache.summary()
            self.store.samples.write(
                cache.data_id, dataset.samples, dataset.classes, status, reason, cache.media(), dataset.all_sources()
            )
            if done := describe_done(cache):
                self.message(done)
            found = checks.check(dataset, cache.status)
            self.store.samples.write_findings(cache.data_id, found)
            if shown := checks.summary(found):
                self.message(shown)
        return cache
