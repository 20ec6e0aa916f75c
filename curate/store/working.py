"""Locks of runs: one process works on a run, and others see whether it still does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace

from curate.errors import LockedError
from curate.files.lock import claimed
from curate.types import Run

from .store import Store


@contextmanager
def working(store: Store, run: Run, new: bool = False) -> Iterator[Run]:
    """Lock a run's folder beside the table against other processes, and give the run.

    A run of saved predictions has no files: its folder is there for the lock, and goes at the end.

    Args:
        new: it was only planned. If another process has begun a run of its name since, it gets the next free name.

    Raises:
        LockedError: another process works on a run that is not new.
    """
    folder = store.path.with_suffix(".runs")
    with ExitStack() as lock:
        while not _claimed(store, lock, run, new):
            lock.close()
            name = store.runs.new_id(run.run_id.rpartition("-")[0], folder)
            run = replace(run, run_id=name, folder=str(folder / name) if run.folder else "")
        yield run
    if not run.folder:
        with suppress(OSError):  # other runs have files in it
            folder.rmdir()


def _claimed(store: Store, lock: ExitStack, run: Run, new: bool) -> bool:
    """Lock the folder; False if the name of a new run is another's by now."""
    try:
        lock.enter_context(claimed(store.path.with_suffix(".runs") / run.run_id))
    except LockedError:
        if not new:
            raise
        return False
    return not (new and store.path.exists() and store.runs.all(run_id=run.run_id))


@contextmanager
def recorded(store: Store, run: Run) -> Iterator[Run]:
    """Lock a new run, write its row and give it, and store `interrupted` or `failed` if an exception ends it."""
    with working(store, run, new=True) as named:
        begun = store.runs.begin(named)
        try:
            yield begun
        except BaseException as error:
            store.runs.finish(begun.run_id, "interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
            raise
