"""Folders of temporary files: their names have the number of the process, and those of killed ones are removed."""

from __future__ import annotations

import glob
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

ABANDONED = 24 * 3600.0
"""s after which such a folder is of a process that was killed, if none has its number. Another one may have its own
numbers, in a container that shares the folder."""


def remove_abandoned(folder: Path, beginning: str) -> None:
    """Remove the folders of temporary files that killed processes of this user have left in `folder`.

    Args:
        beginning: of their names; the number of the process follows, and then nothing or `-` and more.
    """
    if os.name == "nt":  # there `os.kill` ends the process that it asks for
        return
    for left in folder.glob(f"{glob.escape(beginning)}*"):
        with suppress(OSError, ValueError):
            if left.is_symlink() or left.stat().st_uid != os.getuid():
                continue
            number = int(left.name.removeprefix(beginning).partition("-")[0])
            newest = max(path.stat().st_mtime for path in (left, *left.rglob("*")))
            if time.time() - newest > ABANDONED:
                try:
                    os.kill(number, 0)
                except ProcessLookupError:
                    shutil.rmtree(left, ignore_errors=True)
