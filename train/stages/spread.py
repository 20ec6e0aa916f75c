"""Tasks on several devices at once: a process a device, each task on the first device that is free."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, as_completed
from dataclasses import replace
from queue import Queue
from typing import Any, TypeVar

from curate.errors import CurateError
from curate.render import no_message, no_progress

from .session import Session

T = TypeVar("T")
Task = Callable[[Session], T]
"""What is to be done with a session; it can be pickled."""


def spread(session: Session, devices: Sequence[str], tasks: Sequence[Task[T]]) -> Iterator[tuple[int, T]]:
    """(position of the task, its result), in the order in which they end.

    The processes are started anew, each with a session of its own on the same table; they report no progress.

    Raises:
        CurateError: a process was killed; or a task's own error. The tasks that were not begun are left out.
    """
    bare = replace(session, progress=no_progress, message=no_message)
    spawn = multiprocessing.get_context("spawn")
    with spawn.Manager() as manager, ProcessPoolExecutor(len(devices), spawn) as pool:
        free = manager.Queue()
        for device in devices:
            free.put(device)
        jobs: dict[Future[T], int] = {pool.submit(_work, bare, free, task): i for i, task in enumerate(tasks)}
        try:
            for job in as_completed(jobs):
                yield jobs[job], job.result()
        except BrokenExecutor as error:
            message = "a process of a device was killed; what it had finished is stored"
            raise CurateError(message, "the same command goes on from there") from error
        finally:
            pool.shutdown(cancel_futures=True)


def _work(session: Session, free: Queue[Any], task: Task[T]) -> T:
    device = free.get()
    try:
        return task(replace(session, runtime=replace(session.runtime, device=device)))
    finally:
        free.put(device)
