"""Files that must be on this machine: those that are written bit by bit, or locked."""

from __future__ import annotations

from pathlib import Path

from curate.errors import CurateError

from .remote import Remote, located


def table_here(name: str | Path) -> Path:
    """The path of a sample table.

    Raises:
        CurateError: it names another machine.
    """
    found = located(name)
    return _refuse_remote(
        found,
        "a table is a file of this one",
        f"take over what it holds, and name a file here: curate merge {found}",
    )


def recording_here(name: str | Path) -> Path:
    """The folder of a recording.

    Raises:
        CurateError: it names another machine.
    """
    return _refuse_remote(
        located(name), "a recording is written on this one", "name a folder here, and copy it when it is complete"
    )


def _refuse_remote(found: Path, why: str, hint: str) -> Path:
    if isinstance(found, Remote):
        raise CurateError(f"{found} is on another machine; {why}", hint)
    return found
