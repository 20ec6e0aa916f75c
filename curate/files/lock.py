"""Locks on folders of runs and caches: one process works on a folder, until it ends in any way."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from curate.errors import LockedError

FILE, OWNER = ".lock", ".owner"
"""What is locked, and who locked it: on Windows a locked file cannot be read."""


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
    lock, owner = FileLock(folder / FILE), folder / OWNER
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        name = ""
        with suppress(OSError):
            name = owner.read_text(encoding="utf-8").strip()
        raise LockedError(
            f"{folder.name} is being worked on by process {name or 'unknown'}", "wait for it to finish, or stop it"
        ) from None
    try:
        with suppress(OSError):  # a full disk must not keep anybody from making room
            owner.write_text(f"{os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
        yield
    finally:
        with suppress(OSError):  # the folder may be gone; Windows removes no open file
            owner.unlink(missing_ok=True)
            if [left.name for left in folder.iterdir()] == [FILE]:
                (folder / FILE).unlink()
                folder.rmdir()
        lock.release()


def is_vacant(folder: Path) -> bool:
    """Whether a run's folder has no file and no process works on it; a lock file of an ended process is ignored."""
    if not folder.exists():
        return True
    if any(left.name not in (FILE, OWNER) for left in folder.iterdir()):
        return False
    try:
        with claimed(folder):
            return True
    except LockedError:
        return False


def is_held(folder: Path) -> bool:
    """Whether a process works on a folder, as far as can be known here; nothing is written."""
    if not (folder / FILE).exists():
        return False
    lock = FileLock(folder / FILE)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError, NotImplementedError):  # a disk that may only be read, or has no locks, lets nobody look
        return True
    lock.release()
    return False


def is_gone(folder: Path) -> bool:
    """Whether the process that worked on a folder is known to have been killed; nothing is written.

    Of one on another machine it is not known: its lock may not be seen here.
    """
    try:
        owner = (folder / OWNER).read_text(encoding="utf-8")  # a process that ends by itself removes it
    except OSError:
        return False
    return owner.strip().endswith(f" on {socket.gethostname()}") and not is_held(folder)
