"""A DuckDB file with our schema: opening, locks, versions, transactions, and a user's own SQL.

The file is opened for each call and closed again: other processes can read it during a training.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import resources
from itertools import chain, islice
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb

from curate.errors import CurateError, LockedError, NoTableError, counted, first_line
from curate.files.writing import check_output, replacing

from . import beside, killed
from .holding import begin
from .instance import Attached, Own
from .migration import rebuild, shrink
from .schema import NEW, SCHEMA_VERSION, create
from .statements import check_statement, sql_error
from .stopping import stoppable
from .waiting import Waiting, check_name, not_opened, nothing_yet

if TYPE_CHECKING:
    import pandas as pd

BRIEF = 10
"""A result with fewer portions is fetched completely before it is returned."""
READ_PATIENCE, WRITE_PATIENCE, RUN_PATIENCE = 1.0, 20.0, 600.0
"""Seconds for which another process is waited for by who only reads, by who writes, and by a run that has begun."""
READING = {"python_enable_replacements": "false", "autoinstall_known_extensions": "false"}
SAFE = {**READING, "enable_external_access": "false", "lock_configuration": "true"}
"""The last two are set once the files beside the table are known."""
DRIVES = getattr(os, "listdrives", lambda: ["/"])()  # Windows has several roots
FILES_ONLY = f"SET allowed_directories = {DRIVES}; SET enable_external_access = false; SET lock_configuration = true"
"""Allow local files, but no extensions and no network; directories can be allowed only after the database is open."""
BROKEN = (
    duckdb.IOException,
    duckdb.FatalException,
    duckdb.InternalException,
    duckdb.SerializationException,
    duckdb.TransactionException,
)
"""DuckDB's errors for a full disk, a folder that cannot be written, and a damaged file."""
IN_PLACE = "check who may write there, and the space left on the disk; what was stored before is as it was"
COPIED = {
    ".csv": "FORMAT csv, HEADER",
    ".parquet": "FORMAT parquet, COMPRESSION zstd",
    ".jsonl": "FORMAT json",
    ".txt": "FORMAT csv, HEADER false, QUOTE ''",
}
"""{suffix of a file that rows are written to: how DuckDB writes it}."""
LOG = logging.getLogger(__name__)
Portions = tuple[list[str], Iterator[list[tuple[Any, ...]]]]
"""Column names, and rows in portions as they are fetched."""
T = TypeVar("T")


class Connection:
    """One DuckDB file of our schema.

    Args:
        path: the file; made by the first write.
        writes: whether writing is to follow: reading, too, then waits as long for another writer.
    """

    def __init__(self, path: str | Path, writes: bool = False) -> None:
        self.path, self.writes = Path(path), writes
        self.running = False  # a run has begun, which would be lost for want of patience
        self._held: tuple[int, duckdb.DuckDBPyConnection] | None = None  # with the number of the process

    @contextmanager
    def together(self) -> Iterator[None]:
        """Read in one go: every reading within shares one connection, which keeps writers of other processes waiting.

        Opening a file takes longer than most questions to it. Nothing may be written within.
        """
        with self.open(settings=SAFE) as con:
            outer, self._held = self._held, (os.getpid(), con)
            try:
                yield
            finally:
                self._held = outer

    @contextmanager
    def open(
        self,
        write: bool = False,
        settings: Mapping[str, str] = MappingProxyType({}),
        patience: float | None = None,
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to a file of the right version, with one transaction around writes.

        Args:
            settings: of an instance of DuckDB of its own, for SQL that is not ours; without any, the file is attached
                to the instance that the process has.
            patience: how long to wait for another process to close the file, s; None = as usual.

        Raises:
            LockedError: another process has the file open; the message names it.
            NoTableError: there is no such file, or it is not a sample table.
            CurateError: it is from a newer version, or this process has it open too, and one of the two writes.
        """
        if self._held and self._held[0] == os.getpid() and not write and dict(settings) in ({}, SAFE):
            yield self._held[1]
            return
        if write:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        elif not self.path.exists():
            otherwise = "make one with `curate score --dataset NAME` or --predictions FILE, or name it with --db"
            raise NoTableError(f"no sample table at {self.path}", otherwise)
        patience = self._patience(write) if patience is None else patience
        opened = self._connect(write, settings, patience)
        try:
            with self._told("write" if write else "read"):
                opened = self._ours(opened, write, settings, patience)
                con = opened.connection
                folders = beside.find(con, self.path)
                if not write:
                    _bind(con, settings, folders)
                    yield con
                    return
                con.begin()
                try:
                    if not self.running:
                        killed.record(con, self.path)
                    yield con
                    if not opened.is_ours():  # but of the process that this one was forked from
                        return
                    moved = beside.settle(con, self.path)
                except BaseException:
                    if opened.is_ours():
                        self._undo(con)
                    raise
                con.commit()
                beside.sweep(con, self.path)
        finally:
            opened.close()
        if moved:
            self.shrink()

    def _ours(
        self, opened: Attached | Own, write: bool, settings: Mapping[str, str], patience: float
    ) -> Attached | Own:
        """The connection, or a new one, once the file has our tables in the current version."""
        try:
            # Checked under the lock: two first writers may race; one killed before its commit leaves an empty file.
            if (write or self.writes) and not _has_tables(opened.connection):
                if write:
                    create(opened.connection)
                else:
                    opened.close()
                    with self.open(write=True, patience=patience):
                        pass
                    opened = self._connect(write, settings, patience)
            while self._version(opened.connection) < SCHEMA_VERSION:
                opened.close()
                self._migrate(patience)
                opened = self._connect(write, settings, patience)
        except BaseException:
            opened.close()
            raise
        return opened

    def _undo(self, con: duckdb.DuckDBPyConnection) -> None:
        with suppress(duckdb.Error):  # a full disk has ended the transaction already
            con.rollback()
            beside.sweep(con, self.path)

    def _patience(self, write: bool) -> float:
        return RUN_PATIENCE if self.running else WRITE_PATIENCE if write or self.writes else READ_PATIENCE

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Errors of the file as those of its user, and DuckDB's error for a Ctrl-C as what it is."""
        try:
            yield
        except duckdb.Error as error:
            unread = isinstance(error, duckdb.InvalidInputException) or _is_broken(error)
            if unread and (file := beside.damaged(self.path)):
                raise CurateError(f"{file}, with rows of {self.path}, is damaged", beside.FROM_A_COPY) from None
            if not _is_broken(error):
                raise
            raise CurateError(f"cannot {what} {self.path}: {first_line(error)}", IN_PLACE) from None
        except RuntimeError as error:
            if str(error) == "Query interrupted":
                raise KeyboardInterrupt from None
            raise

    def _connect(self, write: bool, settings: Mapping[str, str], patience: float) -> Attached | Own:
        waiting = Waiting(self.path, patience)
        if write or self.writes:
            check_name(self.path)
            begin(self.path)
        while True:
            try:
                new = write and not self.path.exists()
                return Own(self.path, READING) if settings else Attached(self.path, write, NEW if new else {})
            except (duckdb.Error, UnicodeError, MemoryError, ValueError) as error:  # of a damaged file
                text = str(error) or type(error).__name__
                if isinstance(error, duckdb.ConnectionException) or "already attached" in text:
                    raise CurateError(
                        f"{self.path} is open in this process with other settings", "close that connection first"
                    ) from None
                if "Could not set lock" not in text:
                    raise not_opened(self.path, text) from None
                held = text
            waiting.once(held)

    def _migrate(self, patience: float) -> None:
        """Convert an older file to the current schema, unless another process has just done so; the old one is kept.

        Raises:
            CurateError: it cannot be converted here; the file is unchanged.
        """
        before = self.path.stat().st_ino
        try:
            opened = self._connect(True, {}, patience)
            con = opened.connection
            try:
                old = self._version(con)
                if old == SCHEMA_VERSION or self.path.stat().st_ino != before:
                    return
                backup = rebuild(con, self.path, old, create)
            finally:
                opened.close()
        except LockedError:
            raise
        except (CurateError, duckdb.Error, OSError) as error:
            raise CurateError(
                f"{self.path} has an older schema version, and cannot be brought to {SCHEMA_VERSION} here: "
                f"{first_line(error)}",
                "copy it to where you may write, with as much space again; nothing was changed",
            ) from None
        brought = "%s was brought from schema version %s to %s; the old file is kept as %s"
        if beside.has_files(self.path):
            brought += ", which is whole until rows in the files beside the table change"
        LOG.warning(brought, self.path, old, SCHEMA_VERSION, backup)

    def shrink(self) -> None:
        """Give back the space of deleted rows, see `migration.shrink`; not while another process has the file open."""
        with suppress(LockedError):
            opened = self._connect(True, {}, READ_PATIENCE)
            try:
                shrink(opened.connection, self.path)
            except (duckdb.Error, OSError) as error:
                LOG.warning("%s keeps its size, with free space in it: %s", self.path, first_line(error))
            finally:
                opened.close()

    def _version(self, con: duckdb.DuckDBPyConnection) -> int:
        row: tuple[Any, ...] | None = None
        with suppress(duckdb.CatalogException):
            row = con.execute("SELECT version FROM schema_version").fetchone()
        if row is None and not _has_tables(con):
            raise nothing_yet(self.path)
        if row is None:
            raise NoTableError(f"{self.path} is a DuckDB file, but not a sample table", "name another file with --db")
        if row[0] > SCHEMA_VERSION:
            raise CurateError(
                f"{self.path} has schema version {row[0]}, this curate knows {SCHEMA_VERSION}",
                "install the newer curate that wrote it; nothing was changed",
            )
        result: int = row[0]
        return result

    @contextmanager
    def stream(self, sql: str, allow_files: bool = False, rows: int = 10_000) -> Iterator[Portions]:
        """A user's SQL, read-only and without access to files: column names, and rows in portions as they are fetched.

        DuckDB works in a thread: Ctrl-C stops it at once. A result of a few portions is fetched completely before the
        first is returned, and the file is closed; a user who reads it for long then does not block writers. With a
        larger result the file stays open.

        Args:
            allow_files: let a SELECT read local files, e.g. `FROM 'notes.csv'`, but not write them or use the network.
            rows: number of rows in a portion.

        Raises:
            CurateError: it is not one statement, or DuckDB raises an error, which may also happen while fetching.
        """
        check_statement(sql, "leave --allow-files out" if allow_files else "")
        with self.open(settings=READING if allow_files else SAFE) as con:
            if allow_files:
                con.execute(FILES_ONLY)
            elif beside.files(con):
                check_statement(sql, "bring the rows back first: `curate table --rows inside`")
            cursor = _interruptible(con, lambda: con.execute(sql), allow_files)
            columns = [c[0] for c in cursor.description or []]
            portions = iter(lambda: _interruptible(con, lambda: cursor.fetchmany(rows), allow_files), [])
            first = list(islice(portions, BRIEF))
            if len(first) == BRIEF:
                yield columns, chain(first, portions)
                return
        yield columns, iter(first)

    def query(self, sql: str, allow_files: bool = False) -> tuple[list[str], list[tuple[Any, ...]]]:
        """A user's SQL, as in `stream`, with all rows at once."""
        with self.stream(sql, allow_files) as (columns, portions):
            return columns, [row for portion in portions for row in portion]

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The result of our own SQL as tuples, without pandas."""
        with self.open() as con:
            return con.execute(sql, list(parameters)).fetchall()

    def named_rows(self, sql: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """As `rows`, with parameters by name."""
        with self.open() as con:
            return con.execute(sql, dict(parameters)).fetchall()

    def frame(self, sql: str, parameters: Sequence[Any] = ()) -> pd.DataFrame:
        """The result of our own SQL as a DataFrame."""
        with self.open() as con:
            return con.execute(sql, list(parameters)).df()

    def copy_to(self, sql: str, parameters: Mapping[str, Any], path: Path) -> int:
        """Write the rows of our own SELECT to a `.csv`, `.parquet`, `.jsonl` or, ids alone, `.txt` file.

        Args:
            parameters: by name, none of them `path`: DuckDB before 2.0 confuses the order of unnamed ones in COPY.

        Returns:
            The number of rows.
        """
        check_output(path, COPIED)
        if path.suffix == ".txt":
            sql = f"SELECT sample_id FROM ({sql})"
            self._refuse_line_breaks(sql, parameters, path)
        with replacing(path) as fresh, self.open() as con:
            copy = f"COPY ({sql}) TO $path ({COPIED[path.suffix]})"
            try:
                done = con.execute(copy, {**parameters, "path": str(fresh)}).fetchone()
            except duckdb.IOException as error:
                raise CurateError(f"cannot write {path} from {self.path}: {first_line(error)}", IN_PLACE) from None
        return done[0] if done else 0

    def _refuse_line_breaks(self, sql: str, parameters: Mapping[str, Any], path: Path) -> None:
        """Check that no id has a line break, which would make two lines in a list of ids."""
        broken = f"SELECT count(*) FROM ({sql}) WHERE regexp_matches(sample_id, '[\\n\\r]')"
        with self.open() as con:
            (count,) = con.execute(broken, dict(parameters)).fetchone() or (0,)
        if count:
            raise CurateError(
                f"cannot write {path}: {counted(count, 'id holds', 'ids hold')} "
                "a line break, and .txt has a line an id",
                "write .csv or .parquet",
            )


def _has_tables(con: duckdb.DuckDBPyConnection) -> bool:
    return con.execute("SHOW TABLES").fetchone() is not None


def _bind(con: duckdb.DuckDBPyConnection, settings: Mapping[str, str], folders: Sequence[str]) -> None:
    """Set what binds a user's SQL, but for the folders of files beside the table."""
    if folders and "enable_external_access" in settings:
        con.execute(f"SET allowed_directories = [{beside.quoted(folders)}]")
    for name, value in settings.items():
        if name not in READING:
            con.execute(f"SET {name} = {value}")


def _interruptible(con: duckdb.DuckDBPyConnection, work: Callable[[], T], other_files: bool) -> T:
    """The result of `work`, which runs in a thread; Ctrl-C ends it at once.

    Args:
        other_files: `work` may read other files than the table; a broken file is then not always the table.

    Raises:
        CurateError: DuckDB raises an error for a user's SQL, or Python cannot represent a value.
    """
    try:
        return stoppable(work, con.interrupt)
    except (duckdb.Error, OverflowError, UnicodeError, ValueError, RuntimeError, MemoryError) as error:
        if not other_files and _is_broken(error):
            raise  # the table's fault, not the query's
        raise sql_error(error, other_files) from None


def _is_broken(error: BaseException) -> bool:
    """Whether the cause is the file or its folder; a wrong checksum has no error class of its own."""
    return isinstance(error, BROKEN) or type(error) is duckdb.Error


def query_text(name: str) -> str:
    """A query over the tables of several classes of the store, from `sql/<name>.sql`."""
    return resources.files("curate.store").joinpath(f"sql/{name}.sql").read_text(encoding="utf-8")
