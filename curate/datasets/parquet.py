"""`parquet`: media in the cells of Parquet files, as Hugging Face `datasets` writes them; nothing is unpacked."""

from __future__ import annotations

import re
from pathlib import Path

from curate.errors import CurateError
from curate.files.cells import contents, texts
from curate.files.remote import local
from curate.files.tables import TableFile

from .manifest import KNOWN_MODALITIES, Manifest
from .rows import COLUMNS, SPLIT_NAMES, Row
from .webdataset import shards


class ParquetMedia(Manifest):
    """Each row of a Parquet file is a sample, and its columns of bytes are media.

    Columns are named as in `manifest`: `audio`, `image`, `video`, ... hold media, `text` texts, `label` class names, or
    class indices whose names `datasets` has written into the file. Without a column `sample_id`, a sample is called by
    its file and row. A split may also be a word in the name of a file or its folder, such as
    `train-00000-of-00002.parquet`. A medium is read where it lies, with the rows around it. Everything else is as in
    `manifest`.
    """

    name = "parquet"
    summary = "Parquet files with media in their cells, as Hugging Face datasets writes them"
    layout = "a .parquet file, or a folder of them: columns audio, image, ... of bytes, and label, [split], [sample_id]"

    def _read(self, root: Path) -> tuple[list[Row], TableFile, Path]:
        """The rows of all files."""
        folder = root if root.is_dir() else root.parent
        files = sorted(shards(root, ".parquet")) if root.is_dir() else [root]
        if not files:
            raise CurateError(f"{self.name}: no .parquet file in {root}", f"expected {self.layout}")
        known = {*KNOWN_MODALITIES, *(m.strip() for m in self.options.modalities.split(",")), *COLUMNS}
        rows = [row for file in files for row in self._rows(file, file.relative_to(folder).as_posix(), known)]
        if not rows:
            raise CurateError(f"{self.name}: no row in {files[0]}", f"expected {self.layout}")
        named = dict.fromkeys(column for row in rows for column in row)
        if "label" not in named:
            raise CurateError(f"{self.name}: {files[0]} has no column 'label'", f"expected {self.layout}")
        for row in rows:
            row |= {name: "" for name in named if name not in row}
        return rows, TableFile(root, f"{self.name}: ", tuple(named)), folder

    def _rows(self, path: Path, name: str, known: set[str]) -> list[Row]:
        """The samples of one file.

        Args:
            name: of the file, from the folder of the data set.
            known: columns that are read.
        """
        who = f"{self.name}: "
        with local(path) as file:
            held = contents(file, who)
            written = texts(file, [c for c in held.others if c in known], who)
        for column, classes in held.classes.items():
            if column in written:
                written[column] = [_class(value, classes) for value in written[column]]
        split = next((SPLIT_NAMES[w] for w in re.split(r"[^a-z]+", name.lower()) if w in SPLIT_NAMES), "")
        rows = []
        for number in range(held.rows):
            row = Row(sample_id=f"{name.removesuffix('.parquet')}-{number:06d}")
            row |= {"split": split} if split else {}
            for column in (c for c in held.columns if c in known):
                if column in written:
                    row[column] = written[column][number]
                elif column in held.media:
                    row[column] = f"{name}#cell={number},{column}"
            rows.append(row)
        return rows


def _class(value: str, names: tuple[str, ...]) -> str:
    """The name of a class index; the value itself if it is none, '' for -1, which `datasets` writes for no label."""
    if value == "-1":
        return ""
    return names[int(value)] if value.isdecimal() and int(value) < len(names) else value
