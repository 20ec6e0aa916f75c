"""Base of the data sets whose samples and media lie together in a few large files; nothing is unpacked."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

from curate.errors import CurateError
from curate.files.tables import TableFile

from .manifest import Manifest
from .rows import SPLIT_NAMES, Row


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
        files = sorted(files_in(root, self.ending)) if root.is_dir() else [root]
        if not files:
            raise self.no_file(root)
        found: dict[str, list[Row]] = {}
        for path in files:
            name = path.relative_to(folder).as_posix()
            words = re.split(r"[^a-z]+", name.lower())
            split = next((SPLIT_NAMES[w] for w in words if w in SPLIT_NAMES), "")
            found[name] = list(self.rows(path, name))
            for row in found[name] if split else ():
                row.setdefault("split", split)
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
    for path in folder.iterdir():
        if path.suffix == ending:
            yield path
        elif not path.suffix and path.is_dir():
            yield from (inner for inner in path.iterdir() if inner.suffix == ending)
