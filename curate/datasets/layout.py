"""Find annotation lists and media below a data set's root, in any of the usual layouts."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from curate.errors import CurateError

VIDEO_ENDINGS = (".mp4", ".flv", ".avi", ".mkv", ".webm")
SOUND_ENDINGS = (".wav", ".flac", ".mp3")
HEADER = re.compile(r"(name|file|file_?name|clip|video|id|sample_?id|youtube_?id)(,\w+)*,(label|class|emotion)", re.I)
"""The line above a list."""


def inner(root: Path, name: str) -> Path:
    """The folder `name` that an archive unpacks to, if it is below the root; else the root itself."""
    return root / name if (root / name).is_dir() else root


def find_list(folders: Iterable[Path], names: Sequence[str]) -> Path | None:
    """The first of some file names in the first folder that has one."""
    for folder in folders:
        for name in names:
            if (folder / name).is_file():
                return folder / name
    return None


def list_folders(root: Path, chosen: str, usual: Sequence[str]) -> list[Path]:
    """Folders to search for annotation lists: that of `data.splits` alone, or the root and the usual ones below it.

    Raises:
        CurateError: the chosen folder does not exist.
    """
    if not chosen:
        return [root, *(root / name for name in usual)]
    for folder in (Path(chosen).expanduser(), root / chosen):
        if folder.is_dir():
            return [folder]
    raise CurateError(f"data.splits={chosen}: there is no such folder", f"give one, or put the lists under {root}")


def read_text(path: Path) -> str:
    """The text of a list: UTF-8 with or without byte order mark, any line ending.

    Raises:
        CurateError: the file cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CurateError(
            f"{path} cannot be read: {error}", "expected a list in UTF-8, as its authors publish it"
        ) from error


def read_lines(path: Path) -> list[str]:
    """The lines of a list, as `read_text` reads it, without space around them; blank lines are left out.

    Raises:
        CurateError: the file cannot be read, or has no lines.
    """
    if kept := [line.strip() for line in read_text(path).splitlines() if line.strip()]:
        return kept
    raise CurateError(f"{path} has no lines", "fetch it again")


def read_rows(path: Path) -> list[str]:
    """The lines of a list of cells with commas, without quotes around cells and without a header.

    Raises:
        CurateError: the file cannot be read, or has no lines beside a header.
    """
    rows = [
        next(csv.reader([line], skipinitialspace=True)) if '"' in line else line.split(",") for line in read_lines(path)
    ]
    lines = [",".join(cell.strip() for cell in row) for row in rows]
    if HEADER.fullmatch(lines[0]):
        del lines[0]
    if not lines:
        raise CurateError(f"{path} has a header and no lines", "fetch it again")
    return lines


def index_media(root: Path, folders: Iterable[str], endings: Sequence[str]) -> Mapping[str, str]:
    """{name without ending: path relative to the root} of media files and, with the ending '/', of folders of frames.

    Args:
        folders: below the root, highest precedence first; `*` stands for any one name.
        endings: highest precedence within a folder first; lower case.
    """
    found: dict[str, str] = {}
    for pattern in folders:
        for folder in sorted(root.glob(pattern)) if "*" in pattern else [root / pattern]:
            for ending in endings if folder.is_dir() else ():
                for path in sorted(folder.iterdir()):
                    if (ending == "/") == path.is_dir() and (ending == "/" or path.suffix.lower() == ending):
                        stem = path.name if ending == "/" else path.stem
                        found.setdefault(stem, path.relative_to(root).as_posix())
    return found
