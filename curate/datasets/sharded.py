"""Base of the data sets whose samples and media lie together in a few large files; nothing is unpacked."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

from curate.errors import CurateError
from curate.files.remote import Remote
from curate.files.tables import TableFile

from .manifest import Manifest
from .rows import SPLIT_NAMES, Row

TARRED = (".tgz", ".tbz2", ".txz")
PACKED = (".gz", ".bz2", ".xz", ".zst")
"""Endings of files that are compressed as a whole: of tar files, and added to any."""


class Sharded(Manifest):
    """A file, or a folder of files, each with the rows and the media of many samples.

    Class attributes:
        ending: of the files, such as `.tar`.
    """

    ending: ClassVar[str]

    @abstractmethod
    def rows(self, path: Path, name: str) -> Iterable[Row]:
        """The samples of one file; columns of media hold parts or cells of it, see `curate.files.remote.Remote`.

        Args:
            name: of the file, from the folder of the data set.

        Raises:
            CurateError: it is no such file.
        """

    def joined(self, files: dict[str, list[Row]]) -> list[Row]:
        """The rows of all files, as one table; a data set may change them, and add to its `notes`.

        Args:
            files: {name of a file: its rows}, in the order of the names.
        """
        return [row for rows in files.values() for row in rows]

    def unread(self) -> Iterable[str]:
        """Columns of the files that no row has; a note names them."""
        return ()

    def no_file(self, root: Path) -> CurateError:
        """The error for a folder that has no such file."""
        return CurateError(f"{self.name}: no {self.ending} file in {root}", f"expected {self.layout}")

    def columns(self, found: Iterable[str]) -> tuple[str, ...]:
        """The columns of all rows, in the order that gives the gap its sign; by default as they were found."""
        return tuple(found)

    def _read(self, root: Path) -> tuple[list[Row], TableFile, Path]:
        """The rows of all files. A split may be a word in a file's name, such as `train-0001.tar`."""
        folder = root if root.is_dir() else root.parent
        every = list(_every(root)) if root.is_dir() else [root]
        files = sorted(path for path in every if path.suffix == self.ending) if root.is_dir() else every
        self.notes += tuple(notes := _packed(every, self.ending))
        if not files and notes:
            raise CurateError(f"{self.name}: no {self.ending} file in {root}", f"{notes[0]}; expected {self.layout}")
        if not files:
            raise self.no_file(root)
        found: dict[str, list[Row]] = {}
        for path in files:
            name = path.relative_to(folder).as_posix()
            words = re.split(r"[^a-z]+", name.lower())
            split = next((SPLIT_NAMES[w] for w in words if w in SPLIT_NAMES), "")
            found[name] = list(self.rows(path, name))
            for number, own in enumerate(found[name], 1):
                own.place = f"row {number} of {name}"
                if split:
                    own.setdefault("split", split)
        rows = self.joined(found)
        if not rows:
            raise CurateError(f"{self.name}: no sample in {files[0]}", f"expected {self.layout}")
        names = self.columns(dict.fromkeys(column for row in rows for column in row))
        for row in rows:
            row |= {column: "" for column in names if column not in row}
        shown = (*names, *(column for column in self.unread() if column not in names))
        return rows, TableFile(root, f"{self.name}: ", shown), folder


def files_in(folder: Path, ending: str) -> Iterator[Path]:
    """The files with an ending in a folder and in those within it."""
    return (path for path in _every(folder) if path.suffix == ending)


def _every(folder: Path) -> Iterator[Path]:
    """The files in a folder and in those within it; on another machine a name with an ending is taken for a file's."""
    for path in folder.iterdir():
        if path.suffix and (isinstance(path, Remote) or not path.is_dir()):
            yield path
        elif path.is_dir():
            yield from path.iterdir()


def _packed(paths: Iterable[Path], ending: str) -> list[str]:
    """The note on files that are compressed as a whole, such as `.tar.gz`, if there are any."""
    found = sorted(p.name for p in paths if p.name.endswith(tuple(f"{ending}{packing}" for packing in PACKED)))
    found += sorted(p.name for p in paths if ending == ".tar" and p.suffix in TARRED)
    shown = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
    return [f"compressed files are not read, unpack them: {shown} ({len(found)} in all)"] if found else []
