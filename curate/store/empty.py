"""A file of zero bytes, as `touch` or a full disk leaves it: it holds nothing to lose, and a table may begin in it."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

import duckdb

from curate.errors import CurateError
from curate.files.asking import literal

from .schema import NEW


def is_empty(path: Path) -> bool:
    """Whether a file has no bytes."""
    return path.is_file() and not path.stat().st_size


def log_of(path: Path) -> Path | None:
    """The log beside a file, with what was committed and is not yet in the file; None if there is none."""
    log = path.with_name(f"{path.name}.wal")
    return log if log.exists() and log.stat().st_size else None


def begin(path: Path) -> None:
    """Write a database without tables into a file of zero bytes, which DuckDB would refuse.

    It stays the same file, and DuckDB's lock on it is taken: another process may begin its table in it now. Nothing is
    done where a log beside it holds something. The file must not be open in this process: closing it here ends the
    locks on it.

    Raises:
        CurateError: the disk is full; the file has no bytes still.
    """
    with suppress(ImportError, OSError):  # Windows, others' files and locks
        if not is_empty(path) or log_of(path):
            return
        import fcntl

        content = _database()
        with path.open("rb+") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(file.fileno()).st_size:
                return
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            except OSError as error:
                os.ftruncate(file.fileno(), 0)
                raise CurateError(
                    f"cannot write {path}: {error.strerror}",
                    "check the space left on the disk, and who may write there",
                ) from None


def _database() -> bytes:
    """The bytes of a new file of DuckDB."""
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as con:
        path = Path(folder) / "new.duckdb"
        options = ", ".join(f"{name} '{value}'" for name, value in NEW.items())
        con.execute(f"ATTACH {literal(str(path))} AS fresh ({options})")
        con.execute("DETACH fresh")
        return path.read_bytes()
