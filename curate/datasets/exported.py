"""Rows that `curate export` has written, as rows of a manifest: the same ids, classes, splits, groups and media."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from curate.media.source import Segment, join_source

OWN = frozenset({"sample_id", "run_id", "label", "label_name", "split", "group_id"})
"""Columns that every export has; no manifest has them all."""


def is_export(columns: Iterable[str]) -> bool:
    """Whether a table has the columns of an export."""
    return set(columns) >= OWN


def manifest_columns(columns: Iterable[str]) -> tuple[str, ...]:
    """The columns of a manifest that are made of those of an export, media in the run's order."""
    media = [name.partition("_")[2] for name in columns if name.startswith(("file_", "text_"))]
    return ("sample_id", "label", "split", "group", *dict.fromkeys(media))


def unread_columns(columns: Iterable[str]) -> tuple[str, ...]:
    """Those of an export that have no part in a manifest."""
    return tuple(c for c in columns if c and c not in OWN and not c.startswith(("file_", "text_", "start_", "end_")))


def manifest_row(cells: Mapping[str, str]) -> dict[str, str]:
    """A row of an export as that of a manifest: the class by its name, and of a file the stretch that was taken."""
    row = {"sample_id": cells["sample_id"], "label": cells["label_name"]}
    row |= {"split": cells["split"], "group": cells["group_id"]}
    for modality in manifest_columns(cells)[4:]:
        source, start, end = (cells.get(f"{part}_{modality}", "") for part in ("file", "start", "end"))
        if source and start and end:
            source = join_source(source, Segment(float(start), float(end)))
        row[modality] = source or cells.get(f"text_{modality}", "")
    return row
