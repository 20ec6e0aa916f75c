"""One DuckDB instance for the process, to which database files are attached.

To make an instance takes about 30 ms of processor time, to attach a file about 1 ms.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import tempfile
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import duckdb

from curate.files.abandoned import remove_abandoned
from curate.files.asking import literal, quoted

from .holding import LOCK, forget, give, take
from .stopping import ctrl_c_put_off

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
INTERNAL = ("memory", "system", "temp")
"""Names that an instance has for databases of its own."""
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
OPENED: weakref.WeakSet[_Opened] = weakref.WeakSet()
"""The connections to files that this process, or one that it was forked from, has made."""


def _before_fork() -> None:
    LOCK.acquire()
    if CURRENT and not CURRENT[0].files:
        CURRENT.clear()


def _in_child() -> None:
    """Forget what the process has that this one was forked from: without its threads it can be neither used nor freed.

    One reference more to each connection: also at the end of this process nothing frees it.
    """
    usual = [duckdb.default_connection()] if duckdb.__version__.startswith("1.") else []  # made with the import
    for left in (*(one.base for one in CURRENT), *(one.connection for one in OPENED), *usual):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(left))
    CURRENT.clear()
    forget()
    LOCK.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=LOCK.release, after_in_child=_in_child)


def statements(sql: str) -> list[duckdb.Statement]:
    """The statements of a text.

    By the instance of this process: that which DuckDB makes for questions without a connection is freed at the end of a
    forked process too, which then waits for threads that it does not have.

    Raises:
        duckdb.Error: it is not SQL.
    """
    return _instance().base.extract_statements(sql)


def _instance() -> _Instance:
    with LOCK:
        if not CURRENT:
            CURRENT.append(_Instance())
        return CURRENT[0]


class _Opened(ABC):
    """A connection of this process; in one that is forked from it, it is neither used nor closed."""

    connection: duckdb.DuckDBPyConnection | Any = None

    def __init__(self) -> None:
        self._process, self._closed = os.getpid(), False
        OPENED.add(self)

    def is_ours(self) -> bool:
        """Whether this process has made it."""
        return self._process == os.getpid()

    def close(self) -> None:
        """Close the connection, and the file if no other uses it; what was written is then in the file itself."""
        with ctrl_c_put_off(), LOCK:
            if self.is_ours() and not self._closed:
                self._closed = True
                self._close()

    @abstractmethod
    def _close(self) -> None:
        """Close it; it is ours, and open."""


class Attached(_Opened):
    """A connection to one database file; several of a process that read the same file share it.

    Args:
        path: the file; made where it is to be written.
        write: whether it may be written; nobody else may then have it open.
        options: further options of `ATTACH`.

    Raises:
        duckdb.Error: the file is no database, is locked by another process, or is open in this one for writing.
    """

    def __init__(self, path: Path, write: bool, options: Mapping[str, str] = MappingProxyType({})) -> None:
        super().__init__()
        try:
            with ctrl_c_put_off():  # it would end the statement, and nobody would know whether the file is attached
                self._open(path, write, options)
        except KeyboardInterrupt:
            self.close()
            raise

    def _open(self, path: Path, write: bool, options: Mapping[str, str]) -> None:
        with LOCK:
            self._key = take(path, write)
            try:
                self._file = self._attached(path, write, options)
            except BaseException:
                give(self._key)
                raise
        self._bound(MEMORY)
        self.connection = self._in.base.cursor()
        self.connection.execute(f"USE {self._file.name}")

    def _attached(self, path: Path, write: bool, options: Mapping[str, str]) -> _File:
        self._in = _instance()
        file = self._in.files.get(self._key)
        if file is not None:
            file.users += 1
            return file
        file = _File(f"file_{next(NAMES)}", write)
        kind = ["TYPE duckdb", f"READ_WRITE, ROW_GROUP_SIZE {GROUP}" if write else "READ_ONLY"]
        given = ", ".join((*kind, *(f"{name} '{value}'" for name, value in options.items())))
        self._in.base.execute(f"ATTACH {literal(str(path))} AS {file.name} ({given})")
        self._in.files[self._key] = file
        return file

    def _bound(self, memory: str) -> None:
        if self._file.write:
            _limit(self._in.base, memory)

    def _close(self) -> None:
        self.connection.close()
        self._file.users -= 1
        give(self._key, self._detach)

    def _detach(self) -> None:
        if self._in.files.get(self._key) is not self._file:  # another connection to it has done so
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


@contextmanager
def bounded(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Let a reader have as little memory as a writer has, and give back what it used."""
    _limit(con, MEMORY)
    try:
        yield
    finally:
        _limit(con, SETTINGS["memory_limit"])


def _limit(con: duckdb.DuckDBPyConnection, memory: str) -> None:
    with suppress(duckdb.Error):  # others use more now
        con.execute(f"SET memory_limit = '{memory}'")


class Own(_Opened):
    """A connection to one database file, read-only, by an instance of its own, whose settings bind nobody else.

    Raises:
        duckdb.Error: as `Attached`, also where the file is open in this process for writing.
    """

    def __init__(self, path: Path, settings: Mapping[str, str]) -> None:
        super().__init__()
        with ctrl_c_put_off(), LOCK:
            self._key = take(path, False)
            try:
                # Not by its path: DuckDB would give two such connections one instance, with the settings of the first.
                self.connection = duckdb.connect(config={**settings, **SPILLED})
                name = quoted(path.stem + "_" * (path.stem in INTERNAL))
                self.connection.execute(f"ATTACH {literal(str(path))} AS {name} (TYPE duckdb, READ_ONLY)")
                self.connection.execute(f"USE {name}")
            except BaseException:
                give(self._key)
                raise

    def _close(self) -> None:
        give(self._key, self.connection.close)
