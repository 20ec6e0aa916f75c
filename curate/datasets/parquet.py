"""`parquet`: media in the cells of Parquet files, as Hugging Face `datasets` writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

from curate.errors import CurateError
from curate.files.blobs import bytes_of
from curate.files.parquet import column_names, opened

from .manifest import KNOWN_MODALITIES
from .rows import COLUMNS, Row
from .sharded import Sharded

FEATURES = "huggingface"
"""Key of a file's metadata in which `datasets` keeps the names of classes."""
NESTED = re.compile(r"STRUCT|MAP|UNION|.*\]\Z", re.S)
"""Types of DuckDB that are no texts."""


class ParquetMedia(Sharded):
    """Each row of a Parquet file is a sample, and its columns of bytes are media.

    Columns are named as in `manifest`: `audio`, `image`, `video`, ... hold media, `text` texts, `label` class names, or
    class indices whose names `datasets` has written into the file. Without a column `sample_id`, a sample is called by
    its file and row. A split may also be a word in the name of a file or its folder, such as
    `train-00000-of-00002.parquet`. A medium is read where it lies, with the rows around it. Everything else is as in
    `manifest`.
    """

    name = "parquet"
    ending = ".parquet"
    summary = "Parquet files with media in their cells, as Hugging Face datasets writes them"
    layout = "a .parquet file, or a folder of them: columns audio, image, ... of bytes, and label, [split], [sample_id]"

    def rows(self, path: Path, name: str) -> Iterator[Row]:
        """A row a sample."""
        known = {*KNOWN_MODALITIES, *(m.strip() for m in self.options.modalities.split(",")), *COLUMNS}
        who = f"{self.name}: "
        with opened(path, column_names(path, who), who) as file:
            kinds = {column: kind for column, kind in file.kinds().items() if column in known}
            if "label" not in kinds:
                raise CurateError(f"{self.name}: {path} has no column 'label'", f"expected {self.layout}")
            media = {column for column, kind in kinds.items() if bytes_of(column, kind)}
            plain = [
                c for c, kind in kinds.items() if c not in media and not kind.startswith(("STRUCT", "MAP", "UNION"))
            ]
            portions = [file.texts(plain, block) for block in file.ranges()]
            texts = {c: list(chain.from_iterable(p[i] for p in portions)) for i, c in enumerate(plain)}
            classes = _class_names(file.metadata(FEATURES))
            count = file.rows
        for column in classes.keys() & texts.keys():
            texts[column] = [_class(value, classes[column]) for value in texts[column]]
        for number in range(count):
            row = Row(sample_id=f"{name.removesuffix(self.ending)}-{number:06d}")
            for column in kinds:
                if column in media:
                    row[column] = f"{name}#cell={number},{column}"
                elif column in texts:
                    row[column] = texts[column][number]
            yield row


def _class_names(text: bytes) -> dict[str, tuple[str, ...]]:
    """{column of class indices: names}, as `datasets` describes its features."""
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        features = json.loads(text)["info"]["features"]
        return {
            column: tuple(str(name) for name in feature["names"])
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and feature.get("names")
        }
    return {}


def _class(value: str, names: tuple[str, ...]) -> str:
    """The name of a class index; the value itself if it is none, '' for -1, which `datasets` writes for no label."""
    if value == "-1":
        return ""
    return names[int(value)] if value.isdecimal() and int(value) < len(names) else value
