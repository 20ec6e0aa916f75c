"""`webdataset`: tar files in the order of WebDataset, in a folder or a bucket."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from curate.errors import CurateError
from curate.files.remote import local

from .rows import Row
from .sharded import Sharded

SOUND = ("wav", "flac", "mp3", "ogg", "opus", "m4a", "aac")
PICTURE = ("jpg", "jpeg", "png", "webp", "bmp", "gif", "avif")
VIDEO = ("mp4", "mkv", "webm", "mov", "avi", "m4v", "flv")
COLUMNS = {
    **dict.fromkeys(SOUND, ("audio",)),
    **dict.fromkeys(PICTURE, ("visual",)),
    **dict.fromkeys(VIDEO, ("audio", "visual")),
}
"""{ending: the modalities that such a file is read for}."""
ORDER = ("sample_id", "label", "split", "group", "audio", "visual", "text")
MOST_TEXT = 1 << 20
"""Bytes of a label, a text or a description."""


class WebDataset(Sharded):
    """Files of the same name up to the first dot, one after another in a tar file, are a sample.

    The name is its `sample_id`. Sound, pictures and video are known by their endings, `.txt` is a text, `.cls` the
    label, or `.json` an object with `label` and, if wanted, `split` and `group`; other files are ignored. A split may
    also be a word in the name of the tar file or its folder, such as `train-0001.tar`. Media are read where they lie in
    the tar files; only these bytes are fetched of a remote one. Everything else is as in `manifest`.
    """

    name = "webdataset"
    ending = ".tar"
    summary = "tar files of samples, as WebDataset writes them: sound, pictures or video beside .cls or .json"
    layout = "a .tar file, or a folder of them: files KEY.wav, KEY.jpg, KEY.txt, ... and KEY.cls or KEY.json per sample"

    def columns(self, found: Iterable[str]) -> tuple[str, ...]:
        """The known columns in one order, whatever the order within the tar files."""
        return tuple(column for column in ORDER if column in found)

    def rows(self, path: Path, name: str) -> Iterator[Row]:
        """Files of one name, one after another, are a row."""
        row = Row()
        try:
            with local(path) as file, tarfile.open(file, "r:") as archive:
                for member in archive:
                    key, _, ending = member.name.removeprefix("./").rpartition("/")[2].partition(".")
                    folder = member.name.removeprefix("./").rpartition("/")[0]
                    key = f"{folder}/{key}" if folder else key
                    if not member.isfile() or not ending:
                        continue
                    if key != row.get("sample_id"):
                        if row:
                            yield row
                        row = Row(sample_id=key, label="")
                    _add(row, archive, member, ending.lower(), f"{name}#bytes={member.offset_data},{member.size}")
        except (tarfile.TarError, UnicodeDecodeError, ValueError) as error:
            said = f"{self.name}: {path} cannot be read: {error}"
            raise CurateError(said, "expected a tar file without compression, whose texts are UTF-8") from None
        if row:
            yield row


def _add(row: Row, archive: tarfile.TarFile, member: tarfile.TarInfo, ending: str, source: str) -> None:
    """Add one file to the row of its sample."""
    for column in COLUMNS.get(ending.rpartition(".")[2], ()):
        row[column] = source
    if ending not in ("cls", "txt", "json"):
        return
    file = archive.extractfile(member)
    assert file is not None  # it is a plain file
    text = file.read(MOST_TEXT).decode("utf-8").strip()
    if ending == "json":
        found = json.loads(text)
        wanted = ("label", "split", "group")
        row |= {k: str(found[k]).strip() for k in wanted if isinstance(found, dict) and found.get(k) is not None}
    else:
        row["label" if ending == "cls" else "text"] = text
