"""One DuckDB instance for the process, to which database files are attached.

To make an instance takes about 30 ms of processor time, to attach a file about 1 ms.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import duckdb

from curate.files.abandoned import remove_abandoned
from curate.files.asking import literal

from .stopping import ctrl_c_put_off

LOCK = threading.RLock()
NAMES = itertools.count()
SPILLING = "curate-duckdb-"
"""How the names of folders begin that have what does not fit into memory; the process's number follows."""
SETTINGS = {
    "pandas_analyze_sample": "0",  # Python objects are text; DuckDB before 2.0 cannot guess a column of NULLs
    "threads": str(min(os.cpu_count() or 1, 4)),  # each has a part of a writer's memory
    "memory_limit": "3GB",  # of reading: what does not fit goes to the disk
    "temp_directory": str(Path(tempfile.gettempdir()) / f"{SPILLING}{os.getpid()}"),  # not the working folder
}
SPILLED = {name: SETTINGS[name] for name in ("memory_limit", "temp_directory")}
MEMORY = "400MB"
"""Of a writer: what does not fit goes to the disk, and nothing that was written stays in memory."""
GROUP = 16_384
"""Rows of a row group: what is inserted at once has several, and a file of many classes is written in little memory."""
INSERTING = "120MB"
"""Of one that inserts block after block: a row group is in memory, those before it are in the file."""


@dataclass
class _File:
    """An attached file, its name in the instance, and how many connections use it."""

    name: str
    write: bool
    users: int = 1


class _Instance:
    """The instance, and the files that are attached to it now."""

    def __init__(self) -> None:
        remove_abandoned(Path(SETTINGS["temp_directory"]).parent, SPILLING)
        self.base = duckdb.connect(":memory:", config=dict(SETTINGS))
        self.files: dict[str, _File] = {}


CURRENT: list[_Instance] = []
"""The instance of this process, once there is one; a new one is made after a fatal error, and after a fork."""
LEFT: list[_Instance] = []
"""Those of a process that this one was forked from: without their threads they can neither be used nor ended."""


def _before_fork() -> None:
    LOCK.acquire()
    if CURRENT and not CURRENT[0].files:
        CURRENT.clear()


def _in_child() -> None:
    LEFT.extend(CURRENT)
    CURRENT.clear()
    LOCK.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=LOCK.release, after_in_child=_in_child)


class Attached:
    """A connection to one database file; several of a process that read the same file share it.

    Args:
        path: the file; made where it is to be written.
        write: whether it may be written; nobody else may then have it open.
        options: further options of `ATTACH`.

    Raises:
        duckdb.Error: the file is no database, is locked by another process, or is open in this one for writing.
    """

    def __init__(self, path: Path, write: bool, options: Mapping[str, str] = MappingProxyType({})) -> None:
        try:
            with ctrl_c_put_off():  # it would end the statement, and nobody would know whether the file is attached
                self._open(path, write, options)
        except KeyboardInterrupt:
            self.close()
            raise

    def _open(self, path: Path, write: bool, options: Mapping[str, str]) -> None:
        with LOCK:
            if not CURRENT:
                CURRENT.append(_Instance())
            self._in = CURRENT[0]
            self._key = os.path.realpath(path)
            file = self._in.files.get(self._key)
            if file is None or write or file.write:
                file = _File(f"file_{next(NAMES)}", write)
                kind = ["TYPE duckdb", f"READ_WRITE, ROW_GROUP_SIZE {GROUP}" if write else "READ_ONLY"]
                given = ", ".join((*kind, *(f"{name} '{value}'" for name, value in options.items())))
                self._in.base.execute(f"ATTACH {literal(str(path))} AS {file.name} ({given})")
                self._in.files[self._key] = file
            else:
                file.users += 1
            self._file = file
        self._bound(MEMORY)
        self.connection = self._in.base.cursor()
        self.connection.execute(f"USE {file.name}")

    def _bound(self, memory: str) -> None:
        if self._file.write:
            _limit(self._in.base, memory)

    def close(self) -> None:
        """Close the connection, and the file if no other uses it; what was written is then in the file itself."""
        with ctrl_c_put_off():
            self._close()

    def _close(self) -> None:
        self.connection.close()
        with LOCK:
            self._file.users -= 1
            if self._file.users:
                return
            del self._in.files[self._key]
            self._bound(SETTINGS["memory_limit"])
            try:
                self._in.base.execute(f"DETACH {self._file.name}")
            except duckdb.Error:  # after a fatal error nothing can be done with an instance any more
                with suppress(duckdb.Error):
                    self._in.base.close()
                if self._in in CURRENT:
                    CURRENT.clear()


@contextmanager
def inserting(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Let a writer insert block after block in little memory, the same for any number of rows."""
    _limit(con, INSERTING)
    try:
        yield
    finally:
        _limit(con, MEMORY)


def _limit(con: duckdb.DuckDBPyConnection, memory: str) -> None:
    with suppress(duckdb.Error):  # others use more now
        con.execute(f"SET memory_limit = '{memory}'")


class Own:
    """A connection to one database file, read-only, by an instance of its own, whose settings bind nobody else.

    Raises:
        duckdb.Error: as `Attached`, also where the file is open in this process for writing.
    """

    def __init__(self, path: Path, settings: Mapping[str, str]) -> None:
        config: dict[str, str | bool | int | float | list[str]] = {**settings, **SPILLED}
        self.connection = duckdb.connect(str(path), read_only=True, config=config)

    def close(self) -> None:
        """Close the connection and the file."""
        self.connection.close()
