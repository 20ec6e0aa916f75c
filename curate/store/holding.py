"""The tables that this process has open, and when one is closed.

A lock of the system belongs to the process. The first descriptor of a file that is closed, also that of an opening that
DuckDB refuses, ends all locks of the process on it, and another process may then write while this one reads or writes.
So a file is not opened where that would be refused, and all connections to it are closed together.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from . import empty
from .mending import mend, trim

LOCK = threading.RLock()


class InUseError(duckdb.ConnectionException):
    """This process has the file open, and one of the two connections writes."""


@dataclass
class _Use:
    """How many connections use a file, and how those that are done are closed."""

    write: bool
    users: int = 0
    closing: list[Callable[[], object]] = field(default_factory=list)


USED: dict[str, _Use] = {}
"""{real path: its use}."""


def begin(path: Path) -> None:
    """Make a database of a file of zero bytes, unless this process has it open, see `empty.begin`."""
    key = os.path.realpath(path)
    with LOCK:
        if key not in USED:
            empty.begin(Path(key))


def take(path: Path, write: bool) -> str:
    """The key of a file that is about to be opened; `give` must follow.

    Raises:
        InUseError: it is open in this process, and one of the two writes.
    """
    key = os.path.realpath(path)
    with LOCK:
        use = USED.get(key)
        if use is None:
            mend(Path(key))
            use = _Use(write)
        elif write or use.write:
            raise InUseError(f"{path} is open in this process")
        USED[key] = use
        use.users += 1
    return key


def give(key: str, close: Callable[[], object] = lambda: None) -> None:
    """Close a connection to a file as soon as nobody in this process uses the file."""
    with LOCK:
        use = USED[key]
        use.users -= 1
        use.closing.append(close)
        if not use.users:
            with ExitStack() as last:
                last.callback(USED.pop, key)
                if use.write:
                    last.callback(trim, Path(key))
                for one in use.closing:
                    last.callback(one)


def forget() -> None:
    """In a forked process: what its parent has open is none of its business."""
    USED.clear()
