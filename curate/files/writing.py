"""Write the files that a user asked for: completely or not at all, without touching other files."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import TYPE_CHECKING

from curate.errors import CurateError, first_line

from .abandoned import remove_abandoned
from .remote import Remote, RemoteError, upload

if TYPE_CHECKING:
    import pandas as pd

LOG = logging.getLogger(__name__)
UNFINISHED = "curate-"
"""In the name of a hidden folder that something is written in; the number of the process follows."""


def ending(path: Path) -> str:
    """What a message says of how the name of a file ends."""
    return repr(path.suffix) if path.suffix else "a file without suffix"


def check_output(path: Path, suffixes: Collection[str] = ()) -> None:
    """Check what can be known of a file before anything is computed or stored for it; of a remote one its suffix alone.

    Args:
        suffixes: those that it may have; any if there are none.

    Raises:
        CurateError: it has another suffix, it is a folder or on a web server, or its own folder does not exist or may
            not be written.
    """
    if suffixes and path.suffix not in suffixes:
        raise CurateError(f"cannot write {ending(path)}", f"name a file ending in {', '.join(suffixes)}")
    if isinstance(path, Remote):
        check_protocol(path)
        return
    if path.is_dir():
        raise CurateError(f"cannot write {path}: it is a folder", "name a file")
    if not path.parent.is_dir():
        raise CurateError(f"cannot write {path}: the folder {path.parent} does not exist", "make it first")
    if not os.access(path.parent, os.W_OK):
        raise CurateError(
            f"cannot write {path}: writing to the folder {path.parent} is not allowed", "name one where you may write"
        )


def check_protocol(path: Path) -> None:
    """Check that a remote name is one of a file system that is written to.

    Raises:
        CurateError: it is on a web server.
    """
    if isinstance(path, Remote) and str(path).startswith(("http://", "https://")):
        raise CurateError(
            f"cannot write {path}: files on a web server are read, not written", "name a file here, or in a bucket"
        )


@contextmanager
def replacing(path: Path, message: bool = True) -> Iterator[Path]:
    """A temporary path to write to: at the end the file is moved to `path`, or deleted if something fails.

    It is in a new folder beside `path`: files that the writer puts next to it cannot overwrite others. A remote file is
    written on this machine, and uploaded at the end.

    Args:
        message: log a warning if an earlier file was replaced.

    Raises:
        CurateError: the file cannot be written, see `check_output`, or the disk is full; an earlier file is unchanged.
    """
    check_output(path)
    try:
        remote = isinstance(path, Remote)
        with _beside(path, Path(gettempdir()) if remote else path.absolute().parent) as folder:
            fresh = folder / path.name
            yield fresh
            existed = False
            with suppress(RemoteError):  # who may write somewhere may not always read there
                existed = path.exists()
            if isinstance(path, Remote):
                upload(fresh, path)
            else:
                fresh.replace(path)
    except OSError as error:
        raise CurateError(
            f"cannot write {path}: {error.strerror or error}",
            "check who may write there, and the space left on the disk",
        ) from None
    if existed and message:
        LOG.warning("replaced %s", path)


@contextmanager
def making(path: Path) -> Iterator[Path]:
    """A temporary folder to fill: at the end it gets the name `path`, or is deleted if something fails.

    A remote folder is filled file by file. That of a killed process stays beside `path`, hidden, until something is
    written there a day later.

    Args:
        path: an empty folder, or nothing.

    Raises:
        CurateError: it cannot be written, or the disk is full.
    """
    if isinstance(path, Remote):
        yield path
        return
    try:
        with _beside(path, path.absolute().parent) as folder:
            fresh = folder / path.name
            fresh.mkdir()
            yield fresh
            with suppress(FileNotFoundError):
                path.rmdir()
            fresh.rename(path)
    except OSError as error:
        raise CurateError(
            f"cannot write {path}: {error.strerror or error}",
            "check who may write there, and the space left on the disk",
        ) from None


@contextmanager
def _beside(path: Path, place: Path) -> Iterator[Path]:
    """A new hidden folder in `place`, named for `path`; those that killed processes have left there are removed."""
    beginning = f".{path.name}.{UNFINISHED}"  # nobody's own folder has such a name
    remove_abandoned(place, beginning)
    with TemporaryDirectory(prefix=f"{beginning}{os.getpid()}-", dir=place) as folder:
        yield Path(folder)


def write_whole(path: Path, content: bytes | pd.DataFrame, message: bool = True) -> None:
    """Write bytes, or a frame as CSV, as `replacing` does."""
    with replacing(path, message) as fresh:
        if isinstance(content, bytes):
            fresh.write_bytes(content)
        else:
            write_csv(fresh, content)


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write the columns of a frame; NaN and None are empty cells. Many times as fast as pandas, and without a copy.

    Raises:
        OSError: it cannot be written.
    """
    import duckdb

    with duckdb.connect(config={"pandas_analyze_sample": "0"}) as con:  # Python objects are text
        con.register("rows", frame)
        try:
            con.execute("COPY (FROM rows) TO $path (FORMAT csv, HEADER)", {"path": str(path)})
        except duckdb.IOException as error:
            raise OSError(first_line(error)) from None
