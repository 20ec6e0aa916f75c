"""By what a changed remote file is known: its size, and its checksum or time, asked for many files together."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from .remote import INSIDE, UNREACHABLE, Remote, RemoteError, Stamp, failing, information, opened, stamp_of
from .unanswered import Unanswered

LISTED = 32
"""Files of one folder, from which on the folder is listed."""
ASKED = 16
"""Files that are asked for at the same time."""
TIME = re.compile(r"\d{4}-\d\d-\d\d|[\d.]+\Z")
"""How a time begins that stands in place of a checksum: a date, or seconds alone."""


def stamps(paths: Iterable[Remote]) -> dict[Remote, Stamp | None]:
    """{file: [size in bytes, checksum or else time of modification]}; None where there is none, or reading it is not
    allowed. Single files that are not answered are left out.

    Folders of which many files are asked for are listed, which takes a request for about a thousand files.

    Raises:
        UnansweredError: several in a row were not answered.
        CurateError: the protocol is not known, or its package is not installed.
    """
    of_folder: dict[Path, list[Remote]] = defaultdict(list)
    for path in paths:
        of_folder[path.parent].append(path)
    found: dict[Remote, Stamp | None] = {}
    lost = Unanswered()
    for folder, files in of_folder.items():
        if len(files) >= LISTED and isinstance(folder, Remote) and not str(folder).startswith("http"):
            with suppress(RemoteError):
                known = _listed(folder, lost)
                found |= {file: known.get(INSIDE.sub("", file.name)) for file in files}
    return found | _asked([file for files in of_folder.values() for file in files if file not in found], lost)


def _asked(paths: list[Remote], lost: Unanswered) -> dict[Remote, Stamp | None]:
    """The stamps of files that are asked for one by one."""
    from concurrent.futures import ThreadPoolExecutor

    found: dict[Remote, Stamp | None] = {}
    pool = ThreadPoolExecutor(ASKED)
    try:
        for path, answer in zip(paths, pool.map(_ask, paths), strict=True):
            if isinstance(answer, RemoteError):
                lost.add(str(path), answer.message)
            else:
                lost.answered(str(path))
                found[path] = answer
    finally:
        pool.shutdown(cancel_futures=True)
    return found


def _ask(path: Remote) -> Stamp | RemoteError | None:
    try:
        known = information(path)
    except RemoteError as error:
        return error if error.status == UNREACHABLE else None
    return None if known is None else stamp_of(known)


def _listed(folder: Remote, lost: Unanswered) -> dict[str, Stamp]:
    try:
        with failing(folder):
            system, name = opened(folder)
            system.invalidate_cache(name)
            found = {posixpath.basename(one["name"]): stamp_of(one) for one in system.ls(name, detail=True)}
    except RemoteError as error:
        if error.status == UNREACHABLE:
            lost.add(str(folder), error.message)
        raise
    lost.answered(str(folder))
    return found


def checksum(stamp: Stamp | None) -> str | None:
    """What two files of the same content have in common; None where it is not known."""
    return f"{stamp[0]} {stamp[1]}" if stamp and stamp[1] and not TIME.match(stamp[1]) else None
