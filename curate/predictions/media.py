"""Where the media of samples are that only predictions are known of: a table with a column of paths per modality."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from curate.datasets.base import named
from curate.datasets.manifest import KNOWN_MODALITIES, find_file
from curate.datasets.rows import COLUMNS
from curate.errors import CurateError
from curate.files.tables import is_missing, open_table
from curate.media.source import split_source

TEXT = "text"
EXPECTED = "a CSV or Parquet file with a column sample_id and a column of paths per modality"


def read_media_cells(path: Path) -> dict[str, dict[str, str]]:
    """{id: {column: path or text}} of a table of media, empty cells left out.

    Raises:
        CurateError: it cannot be read, has no column of media, or an id twice.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[dict[str, dict[str, str]], dict[str, str], list[str]]:
    """Cells of media as in `read_media_cells`, {id: group} where there is one, and the columns that are not read."""
    if not path.exists():
        raise CurateError(f"media: {path} does not exist", f"--media takes {EXPECTED}")
    table = open_table(path, (*COLUMNS, *KNOWN_MODALITIES), ("sample_id",), EXPECTED, "media: ")
    columns = [name for name in table.names if name and name not in COLUMNS]
    if not columns:
        raise CurateError(f"media: {path} has no column of media", f"expected {EXPECTED}")
    has_groups = "group" in table.names
    found = table.read(["sample_id", *columns, *(["group"] if has_groups else [])]).texts
    ids = [str(i) for i in found["sample_id"]]
    if len(set(ids)) < len(ids):
        twice = next(i for k, i in enumerate(ids) if i in ids[:k])
        raise CurateError(f"media: {path} has the sample_id {twice[:60]!r} twice", "give each sample one row")
    cells = zip(ids, *(found[name] for name in columns), strict=True)
    media = {i: {c: str(v) for c, v in zip(columns, row, strict=True) if not is_missing(str(v))} for i, *row in cells}
    named_groups = zip(ids, map(str, found["group"]), strict=True) if has_groups else ()
    groups = {i: group for i, group in named_groups if not is_missing(group)}
    return media, groups, [name for name in ("label", "split") if name in table.names]


def read_sources(path: Path, sample_ids: Iterable[str]) -> tuple[list[dict[str, dict[str, Any]]], list[str], str]:
    """Where the media of samples are, as `Dataset.all_sources`; their groups, '' for none; and one line on both.

    Raises:
        CurateError: the table cannot be read, or names none of the samples.
    """
    (cells, named_groups, rest), ids = _read(path), list(sample_ids)
    folder = path.absolute().parent
    sources = [{c: _source(folder, c, cell) for c, cell in cells.get(i, {}).items()} for i in ids]
    known = sum(bool(s) for s in sources)
    if not known:
        example = next(iter(cells), "")
        raise CurateError(
            f"media: none of the {len(ids)} predicted samples is in {path}, whose ids are like {example[:60]!r}",
            "use the same sample_id in both files",
        )
    groups = [named_groups.get(i, "") for i in ids]
    said = f"media: {path.name} names media of {known} of {len(ids)} samples"
    said += f", the group of {sum(map(bool, groups))}" if named_groups else ""
    said += "".join(f"; its column {name} is not read, the predictions have their own" for name in rest)
    return sources, groups, said


def _source(folder: Path, column: str, cell: str) -> dict[str, Any]:
    if column == TEXT:
        return {"text": cell}
    name, segment = split_source(cell)
    return named(find_file(folder, name), segment, str(folder))
