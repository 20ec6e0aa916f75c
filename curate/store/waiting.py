"""A file that another process holds: how long it is waited for, and what is said of that."""

from __future__ import annotations

import logging
import os
import re
import time
from pathlib import Path

from curate.errors import LockedError, NoTableError

from .empty import is_empty, log_of

PAUSE = 0.1
"""Seconds between two tries."""
SILENT = 3.0
"""After so many seconds it is said what is waited for."""
HOLDER = re.compile(r"held in (.*?) \(PID (\d+)\)")
DENIED = ("Read-only file system", "Permission denied")
"""How the system's refusals end."""
LOG = logging.getLogger(__name__)


class Waiting:
    """Waits for one file.

    Args:
        path: the file.
        patience: how long, s.
    """

    def __init__(self, path: Path, patience: float) -> None:
        self.path, self.patience = path, patience
        self.started, self.told = time.monotonic(), False

    def once(self, refusal: str) -> None:
        """Sleep until it is worth another try.

        Args:
            refusal: DuckDB's, which names the process.

        Raises:
            LockedError: it has been waited for long enough; the message names the process.
        """
        waited, holder = time.monotonic() - self.started, HOLDER.search(refusal)
        said = f"{self.path} is locked{f' by process {holder[2]} ({holder[1]})' if holder else ''}"
        if waited >= self.patience:
            raise LockedError(said, "wait for it to finish, or stop it")
        if waited >= SILENT and not self.told:
            LOG.warning("%s: waiting for it, %.0f s at most", said, self.patience)
            self.told = True
        time.sleep(PAUSE)


def check_name(path: Path) -> None:
    """Check that DuckDB can keep a table of this name, and its log.

    It takes what follows a `?` for a query, as of a URL, and a backslash for a slash.

    Raises:
        NoTableError: it cannot.
    """
    if os.name != "nt" and (found := sorted(set(str(path.resolve())) & {"?", "\\"})):
        raise NoTableError(
            f"{path.resolve()} has a name with {' '.join(found)}, and DuckDB cannot keep a table there",
            "name a file in a folder without, with --db",
        )


def not_opened(path: Path, refusal: str) -> NoTableError:
    """The error of a file that is not opened, and that no other process holds.

    Args:
        refusal: DuckDB's.
    """
    said = refusal.splitlines()[0]
    if is_empty(path) and (log := log_of(path)):
        return NoTableError(
            f"{path} has no bytes any more, but {log} holds something",
            f"bring both back from a copy; to begin anew, move {log} away",
        )
    if is_empty(path):
        return nothing_yet(path)
    if said.endswith(DENIED):
        return NoTableError(f"not allowed to open {path}: {said}", "check who may read and write there")
    return NoTableError(f"cannot open {path}: {said}", "name a DuckDB file with --db")


def nothing_yet(path: Path) -> NoTableError:
    """The error of a file in which no table has begun: it has no bytes, or the command that made it was stopped."""
    return NoTableError(
        f"{path} holds nothing yet",
        "fill it with `curate score --dataset NAME` or --predictions FILE, or name another file with --db",
    )
