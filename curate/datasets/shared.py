"""Caches on a remote file system: fetched to this machine to be memory-mapped, and uploaded when they are made."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from curate.errors import CurateError
from curate.files.copies import near
from curate.files.lock import claimed
from curate.files.remote import Remote, download, upload

from .decoding import array_file

STATUS_FILE = "status.json"
CLAIM, FETCHED = ".claim", ".fetched"
FOLDER = "shared"


def is_made(final: Path) -> bool:
    """Whether a cache is there.

    Raises:
        CurateError: its folder may not be entered, as the home of another user in a container.
    """
    try:
        return final.exists()
    except OSError as error:
        message = f"the cache {final} cannot be read: {error.strerror}"
        raise CurateError(message, "choose another cache folder (CURATE_CACHE)") from None


def here(folder: Path, data_id: str) -> Path:
    """The folder of a cache on this machine; of a remote one a copy, fetched if it is complete there and not yet here.

    Raises:
        CurateError: the remote one cannot be read.
    """
    if not isinstance(folder, Remote):
        return folder / data_id
    final = near() / FOLDER / hashlib.sha256(str(folder).encode()).hexdigest()[:20] / data_id
    if final.exists() or not (folder / data_id / STATUS_FILE).exists():
        return final
    with claimed(final.with_name(data_id + CLAIM), wait=True):
        if not final.exists():
            fetched = final.with_name(data_id + FETCHED)
            fetched.mkdir(exist_ok=True)
            download(folder / data_id / STATUS_FILE, fetched / STATUS_FILE)
            for modality in json.loads((fetched / STATUS_FILE).read_text(encoding="utf-8"))["media"]:
                file = array_file(fetched, modality)
                download(folder / data_id / file.name, file)
            fetched.rename(final)
    return final


def share(made: Path, folder: Remote) -> None:
    """Upload a cache, its status file last: with it the remote one is complete.

    Args:
        made: its folder on this machine.
        folder: its remote folder.

    Raises:
        CurateError: it cannot be written there.
    """
    media = json.loads((made / STATUS_FILE).read_text(encoding="utf-8"))["media"]
    for file in (*(array_file(made, modality) for modality in media), made / STATUS_FILE):
        upload(file, folder / file.name)
