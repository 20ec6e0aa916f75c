"""Locks on folders of runs and caches: one process works on a folder, until it ends in any way."""

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
    """Lock a folder against other processes; it is made if it does not exist.

    The lock is the operating system's: it is released when the process is killed, and forked processes do not inherit
    it. The lock file stays, unless the folder contains nothing else at the end.

    Args:
        wait: if another process holds the lock, wait until it is released.

    Raises:
        LockedError: another process holds the lock; the message names it.
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
    """Whether a run's folder has no file and no process works on it; a lock file of an ended process is ignored."""
    if not folder.exists():
        return True
    if any(left.name != FILE for left in folder.iterdir()):
        return False
    try:
        with claimed(folder):
            return True
    except LockedError:
        return False
