"""Write the files that a user asked for: completely or not at all, without touching other files."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from curate.errors import CurateError

from .remote import Remote, upload

if TYPE_CHECKING:
    import pandas as pd

LOG = logging.getLogger(__name__)


@contextmanager
def replacing(path: Path, message: bool = True) -> Iterator[Path]:
    """A temporary path to write to: at the end the file is moved to `path`, or deleted if something fails.

    It is in a new folder beside `path`: files that the writer puts next to it cannot overwrite others. A remote file is
    written on this machine, and uploaded at the end.

    Args:
        message: log a warning if an earlier file was replaced.

    Raises:
        CurateError: the file cannot be written, or the disk is full; an earlier file is unchanged.
    """
    try:
        remote = isinstance(path, Remote)
        with TemporaryDirectory(prefix=f".{path.name}.", dir=None if remote else path.parent) as folder:
            fresh = Path(folder) / path.name
            yield fresh
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
            raise OSError(str(error).splitlines()[0]) from None
