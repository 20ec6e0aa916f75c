"""`parquet`: media in the cells of Parquet files, as Hugging Face `datasets` writes them."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

from curate.errors import CurateError
from curate.files.blobs import bytes_of
from curate.files.parquet import column_names, opened
from curate.files.tables import SYNONYMS

from .exported import is_export, unread_columns
from .manifest import KNOWN_MODALITIES
from .rows import COLUMNS, Row, read_rows
from .sharded import Sharded, files_in

FEATURES = "huggingface"
"""Key of a file's metadata in which `datasets` keeps the names of classes."""
NESTED = re.compile("STRUCT|MAP|UNION")
"""How types of DuckDB begin that are no texts."""


class ParquetMedia(Sharded):
    """Each row of a Parquet file is a sample, and its columns of bytes are media.

    Columns are named as in `manifest`: `audio`, `image`, `video`, ... hold media, `text` texts, `label` (or the column
    that the option `label` names) class names, or class indices whose names `datasets` has written into the file.
    Other columns are not read; a note names them. Without a column `sample_id`, a sample is called by its file and row.
    A split may also be a word in the name of a file or its folder, such as `train-00000-of-00002.parquet`. A medium is
    read where it lies, with the rows around it. Everything else is as in `manifest`.
    """

    name = "parquet"
    ending = ".parquet"
    summary = "Parquet files with media in their cells, as Hugging Face datasets writes them"
    layout = "a .parquet file, or a folder of them: columns audio, image, ... of bytes, and label, [split], [sample_id]"

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Options(Sharded.Options):
        """Settings of `parquet`, and those of `manifest`.

        Attributes:
            label: the column of classes.
        """

        label: str = "label"

    options: Options

    def __init__(self, root: Path | None, options: Options) -> None:
        self._others: dict[str, None] = {}
        super().__init__(root, options)

    def recipe(self) -> Any:
        """Without the name of the column of classes: the classes and labels themselves are in it."""
        *first, options = super().recipe()
        return [*first, {key: value for key, value in options.items() if key != "label"}]

    def joined(self, files: dict[str, list[Row]]) -> list[Row]:
        """The rows of all files; a note says that a column `label` is not read if another one holds the classes."""
        if "label" in self._others:
            self.notes += (f"the column 'label' is not read: the classes are those of {self.options.label!r}",)
        return super().joined(files)

    def unread(self) -> Iterable[str]:
        """The columns that have no part."""
        return self._others

    def no_file(self, root: Path) -> CurateError:
        """For a folder of Arrow files, how to write Parquet files of it."""
        if not any(True for _ in files_in(root, ".arrow")):
            return super().no_file(root)
        message = f"{self.name}: {root} holds Arrow files, as save_to_disk of datasets writes them, and no Parquet file"
        read = f"from datasets import load_from_disk; d = load_from_disk({str(root)!r})"
        one = "d.to_parquet('train.parquet')"
        if (root / "dataset_dict.json").exists():
            one = "[part.to_parquet(f'{split}.parquet') for split, part in d.items()]"
        return CurateError(message, f'write Parquet files: python -c "{read}; {one}"')

    def rows(self, path: Path, name: str) -> Iterator[Row]:
        """A row a sample; of a file that `curate export` has written, with the media that it names."""
        if is_export(found := column_names(path, f"{self.name}: ")):
            self._others |= dict.fromkeys(unread_columns(found))
            yield from read_rows(path, self.name, expected=self.layout)[0]
            return
        who, columns = f"{self.name}: ", self._columns(path)
        with opened(path, list(columns), who) as file:
            kinds = {columns[column]: kind for column, kind in file.kinds().items() if columns[column]}
            sources = {own: column for column, own in columns.items() if own}
            media = {own for own, kind in kinds.items() if own not in COLUMNS and bytes_of(sources[own], kind)}
            plain = [own for own in kinds if own not in media]
            for own in plain:
                if NESTED.match(kinds[own]) or kinds[own] == "BLOB":
                    raise self._nested(path, sources[own], own, kinds[own])
            portions = [file.texts([sources[own] for own in plain], block) for block in file.ranges()]
            texts = {own: list(chain.from_iterable(p[i] for p in portions)) for i, own in enumerate(plain)}
            classes = _class_names(file.metadata(FEATURES))
            count = file.rows
        for own in texts:
            if names := classes.get(sources[own]):
                texts[own] = [_class(value, names) for value in texts[own]]
        for number in range(count):
            row = Row(sample_id=f"{name.removesuffix(self.ending)}-{number:06d}")
            for own in kinds:
                row[own] = f"{name}#cell={number},{sources[own]}" if own in media else texts[own][number]
            yield row

    def _columns(self, path: Path) -> dict[str, str]:
        """{column of a file: what it is read as}, '' for one that has no part."""
        found, label = column_names(path, f"{self.name}: "), self.options.label
        if label not in found:
            meant = next((n for n in found if n.lower() in ("label", *SYNONYMS["label"])), "COLUMN")
            message = f"{self.name}: {path} has no column {label!r}; found: {', '.join(found) or 'none'}"
            raise CurateError(message, f"name the column of classes: --set data.label={meant}")
        chosen = [m.strip() for m in self.options.modalities.split(",") if m.strip()]
        known = {*(chosen or KNOWN_MODALITIES), *COLUMNS} - {"label", label}
        columns = {column: "label" if column == label else column if column in known else "" for column in found}
        self._others |= dict.fromkeys(column for column, own in columns.items() if not own)
        return columns

    def _nested(self, path: Path, column: str, own: str, kind: str) -> CurateError:
        """The error for a column that holds neither media nor texts."""
        shown = kind[:60] + "..." * (len(kind) > 60)
        message = f"{self.name}: column {column!r} of {path} holds {shown}"
        if own == "label":
            return CurateError(
                message, "expected names or numbers of classes: name their column, --set data.label=COLUMN"
            )
        if own in COLUMNS:
            return CurateError(message, "expected texts; rename or remove this column")
        hint = "expected bytes, a struct with `bytes`, or texts; choose others with --set data.modalities=first,second"
        return CurateError(message, hint)


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
