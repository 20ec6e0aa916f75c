"""A folder belongs to the process that works on it, a run's or a cache's, until that ends in whatever way."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from curate.errors import LockedError

FILE = ".lock"


@contextmanager
def claimed(folder: Path, wait: bool = False) -> Iterator[None]:
    """Hold a folder, made if need be, against other processes.

    The lock is the operating system's: a killed process lets go of it, and the processes that it forked have no part in
    it. The lock's file stays, unless there is nothing else in the folder when it ends.

    Args:
        wait: for another process that holds it, until it lets go.

    Raises:
        LockedError: another process, which is named, holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / FILE).open("a+", encoding="utf-8") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except (BlockingIOError, PermissionError):  # which of the two depends on the system
            file.seek(0)
            raise LockedError(
                f"{folder.name} is being worked on by process {file.read().strip() or 'unknown'}",
                "wait for it to finish, or stop it",
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        try:
            yield
        finally:
            if folder.exists() and [left.name for left in folder.iterdir()] == [FILE]:
                (folder / FILE).unlink()
                folder.rmdir()


def is_vacant(folder: Path) -> bool:
    """Whether nothing was made in a run's folder and nobody works there; who is killed early leaves its lock's file."""
    if not folder.exists():
        return True
    if any(left.name != FILE for left in folder.iterdir()):
        return False
    try:
        with claimed(folder):
            return True
    except LockedError:
        return False
