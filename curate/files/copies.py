"""Copies of remote files on this machine: together they take no more than a bound, shared by all processes.

A copy appears under its name by one rename, complete. Whoever uses it has it open and locked for sharing, which the
operating system ends with the process; only copies that nobody uses are deleted, those unused for longest first. The
copies in use may exceed the bound.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from curate.errors import CurateError

LIMIT, USUAL = "CURATE_MAX_CACHE_GB", 10.0
FOLDER, LOCK, TOTAL, PART = "remote", ".lock", ".bytes", ".part-"
ROOM = 0.1
"""Share of the bound that is made free at once, so that the folder is not searched for each file."""
ABANDONED = 24 * 3600.0
"""s after which an unfinished copy is of a process that was killed."""


def near() -> Path:
    """The folder on this machine for what is kept of others: of the cache, if that is here, else the usual one."""
    chosen, base = os.environ.get("CURATE_CACHE", ""), os.environ.get("XDG_CACHE_HOME")
    if chosen and not re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", chosen):
        return Path(chosen).expanduser()
    return (Path(base) if base else Path.home() / ".cache") / "curate"


def bound() -> int:
    """Most bytes of all copies.

    Raises:
        CurateError: the variable is not a number of 0 or more.
    """
    text = os.environ.get(LIMIT, "")
    try:
        limit = float(text) if text else USUAL
        if limit >= 0:
            return int(limit * 1e9)
    except (ValueError, OverflowError):
        pass
    raise CurateError(f"{LIMIT}={text} is no size in GB", "e.g. 10, or 0 to keep no copy")


def obtain(key: str, ending: str, size: int, fetch: Callable[[Path], None]) -> IO[bytes]:
    """The copy of a file, which stays until this is closed; made by `fetch` if it is not there.

    Args:
        key: the file and its version.
        ending: of the copy's name.
        size: bytes, 0 where they are not known beforehand.
        fetch: writes the file to the path that it is given.
    """
    folder = near() / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}{ending}"
    while (used := _use(copy)) is None:
        _make(copy, size, fetch)
    return used


def trim(size: int) -> None:
    """Delete a copy of so many bytes, which is used no more, if it alone exceeds the bound."""
    if size > bound():
        _account(near() / FOLDER, 0, recount=True)


def _make(copy: Path, size: int, fetch: Callable[[Path], None]) -> None:
    part = copy.with_name(f"{PART}{size}-{uuid.uuid4().hex}{copy.suffix}")
    _account(copy.parent, size, part)
    try:
        fetch(part)
        if not size:
            size = part.stat().st_size
            _account(copy.parent, size, part)
        part.replace(copy)
    except BaseException:
        _account(copy.parent, -size)  # before it is gone: who counts in between counts too much, and not too little
        part.unlink(missing_ok=True)
        raise


def _use(copy: Path) -> IO[bytes] | None:
    """The copy, open and locked for sharing; None if it is not there, or was just deleted."""
    try:
        file = copy.open("rb")
    except FileNotFoundError:
        return None
    with suppress(ImportError):  # on Windows an open file cannot be deleted
        import fcntl

        fcntl.flock(file, fcntl.LOCK_SH)
        with suppress(FileNotFoundError):
            if os.fstat(file.fileno()).st_ino == copy.stat().st_ino:
                os.utime(copy)
                return file
        file.close()
        return None
    return file


def _account(folder: Path, size: int, part: Path | None = None, recount: bool = False) -> None:
    """Add to the bytes of all copies; if they exceed the bound, delete some.

    Args:
        part: the unfinished copy that so many bytes are added for; made if it is not there, so that who counts sees it.
        recount: count the copies, even if they are not known to exceed the bound.
    """
    from filelock import FileLock

    limit = bound()
    with FileLock(folder / LOCK):
        try:
            total = int((folder / TOTAL).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):  # none yet, or a process was killed while it wrote
            total = limit + 1
        if recount or total + size > limit:
            total = _delete(folder, limit - size if size else limit, limit, part)
        (folder / TOTAL).write_text(str(max(total + size, 0)), encoding="utf-8")
        if part is not None:
            part.open("ab").close()


def _delete(folder: Path, most: int, limit: int, but: Path | None) -> int:
    """Delete copies until those but one take `most` bytes, and a share less; returns the bytes that are left."""
    found = []
    for entry in os.scandir(folder):
        if Path(entry.path) != but and (not entry.name.startswith(".") or entry.name.startswith(PART)):
            with suppress(FileNotFoundError):
                status, expected = entry.stat(), re.match(rf"{re.escape(PART)}(\d+)-", entry.name)
                size = max(status.st_size, int(expected[1])) if expected else status.st_size
                found.append((status.st_mtime, size, Path(entry.path)))
    total = sum(size for _, size, _ in found)
    wanted = most if total <= most else most - ROOM * limit
    for used, size, path in sorted(found):
        if total <= wanted:
            break
        unfinished = path.name.startswith(PART)
        if (time.time() - used > ABANDONED) if unfinished else _unused(path):
            with suppress(OSError):
                path.unlink()
                total -= size
    return total


def _unused(path: Path) -> bool:
    """Whether no process uses a copy."""
    with suppress(ImportError, OSError):
        import fcntl

        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    return os.name == "nt"
