"""Which file contains which modality, and which function reads it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from curate.errors import CurateError
from curate.files.names import by_number
from curate.files.remote import located
from curate.files.shards import shards_of
from curate.files.writing import ending
from curate.store.names import MODALITY, name_hint

from .arrays import read_npz
from .lines import DYNAMICS, read_jsonl
from .part import Part
from .recorded import read_recorded
from .wide import WIDE, read_wide

READERS = {
    ".parquet": read_wide,
    ".pq": read_wide,
    ".csv": read_wide,
    ".tsv": read_wide,
    ".npz": read_npz,
    ".jsonl": read_jsonl,
}


def read_all(sources: Sequence[str]) -> list[Part]:
    """Read every source in the order given: `FILE`, `MODALITY=FILE`, `MODALITY=FOLDER` (of JSONL files), or `FOLDER`.

    A folder without a modality holds what a `curate.torch.Recorder` wrote.
    """
    parts = []
    for source in sources:
        named = re.fullmatch(r"([A-Za-z][\w-]*)=(.+)", source)
        modality, path = (named[1], located(named[2])) if named and not Path(source).exists() else ("", located(source))
        if not modality and path.is_dir() and shards_of(path):
            parts.append(read_recorded(path))
            continue
        inner = sorted(path.glob("*.jsonl"), key=by_number) if path.is_dir() else [path]
        if not inner:
            if modality:
                raise CurateError(f"no .jsonl file in the folder {path}", "name the file itself")
            raise CurateError(
                f"no complete epoch in {path}, and no .jsonl file",
                "record an epoch to its end: `with recorder.epoch(): ...` in every process; or name the file itself",
            )
        parts += [_named(read(each), modality) for each in inner]
    return parts


def read(path: Path) -> Part:
    """One file, read according to its suffix; training dynamics get the modality name ''.

    Raises:
        CurateError: it is missing, has an unknown format, cannot be read, is empty, or has an unexpected structure.
    """
    if not path.exists():
        raise CurateError(f"no file or folder of predictions at {path}", "check the path")
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise CurateError(f"{path}: cannot read predictions from {ending(path)}", f"expected {', '.join(READERS)}")
    if not path.is_file():
        raise CurateError(f"{path} is no file", "check the path")
    part = READERS[suffix](path)
    if not len(part.sample_ids):
        raise CurateError(f"{path} holds no predictions", f"expected {WIDE}")
    return part


def _named(part: Part, modality: str) -> Part:
    """The part with its only modality renamed to the name that the user gave; every name is checked."""
    if modality:
        if len(part.values) > 1:
            raise CurateError(
                f"{part.source} holds {', '.join(part.values)}, and is to be {modality}",
                f"MODALITY=FILE takes one modality a file; give {part.source} without a name",
            )
        part = replace(part, values={modality: next(iter(part.values.values()))})
    if "" in part.values:
        raise CurateError(f"{part.source}: which modality is it?", DYNAMICS)
    for name in part.values:
        if not MODALITY.fullmatch(name):
            raise CurateError(f"{part.source}: {name!r} cannot be the name of a modality", name_hint(name))
    return part
