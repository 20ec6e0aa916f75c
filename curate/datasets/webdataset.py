"""`webdataset`: tar files in the order of WebDataset, in a folder or a bucket."""

from __future__ import annotations

import json
import re
import tarfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from curate.errors import CurateError, counted
from curate.files.remote import local
from curate.media.endings import MOVING, PICTURES, SOUND

from .exported import is_export
from .manifest import KNOWN_MODALITIES
from .rows import COLUMNS, Row, exported_row
from .sharded import Sharded

MEDIA = {
    ending[1:]: read_for
    for endings, read_for in ((SOUND, ("audio",)), (PICTURES, ("visual",)), (MOVING, ("audio", "visual")))
    for ending in endings
}
"""{ending: the modalities that such a file is read for}."""
WORDS = ("cls", "txt", "json")
"""Endings of files that are read when samples are listed."""
JSON_LABEL = "json label"
"""Key of a label from a description; it is kept apart until all files of a sample are known."""
MOST_TEXT = 1 << 20
"""Bytes of a label, a text or a description."""
SHOWN = 8
"""Kinds of files in a note."""
MOST_COLUMNS = 32
"""Columns that are called by the endings of files."""


class WebDataset(Sharded):
    """Files of the same name up to the first dot, one after another in a tar file, are a sample.

    The name is its `sample_id`; where a name occurs in several tar files, the ids are file and name, such as
    `0001-clip07`. Sound, pictures and video are known by their endings, `.txt` is a text, `.cls` the label, or `.json`
    an object with `label` and, if wanted, `split` and `group`; a note counts the files that are not read. If samples
    have several sounds or several pictures, such as `.rgb.png` and `.thumb.png`, their columns are called by what
    stands before the last ending, `rgb` and `thumb`. A split may also be a word in the name of the tar file or its
    folder, such as `train-0001.tar`. Media are read where they lie in the tar files; only these bytes are fetched of a
    remote one. Of what `curate export` writes, the description alone is read: ids, classes by their names, and the
    media that it names. Everything else is as in `manifest`.
    """

    name = "webdataset"
    ending = ".tar"
    summary = "tar files of samples, as WebDataset writes them: sound, pictures or video beside .cls or .json"
    layout = "a .tar file, or a folder of them: files KEY.wav, KEY.jpg, KEY.txt, ... and KEY.cls or KEY.json per sample"

    def __init__(self, root: Path | None, options: Sharded.Options) -> None:
        self._not_read: Counter[str] = Counter()
        self._exported, self._cut = False, 0
        super().__init__(root, options)

    def columns(self, found: Iterable[str]) -> tuple[str, ...]:
        """The known columns in one order, whatever the order within the tar files, then the others by name.

        Those of an export keep the order of its run.
        """
        if self._exported:
            return tuple(found)
        own = set(found)
        first = [column for column in (*COLUMNS, *KNOWN_MODALITIES) if column in own]
        return (*first, *sorted(own.difference(first)))

    def rows(self, path: Path, name: str) -> Iterator[Row]:
        """Files of one name, one after another, are a row; its media are under their whole endings, as `.rgb.png`."""
        row, seen, endings = Row(), set[str](), set[str]()
        try:
            with local(path) as file, tarfile.open(file, "r:") as archive:
                for member in archive:
                    key, ending = _named(member.name)
                    if reason := _passed_over(member, ending):
                        self._not_read[reason] += not member.isdir()
                        continue
                    if key != row.get("sample_id"):
                        if row:
                            yield self._whole(row)
                        if key in seen:
                            raise self._apart(path, key)
                        row, endings = Row(sample_id=key, label=""), set()
                        seen.add(key)
                    if ending in endings:
                        self._not_read["all but the last file of a name"] += 1
                    endings.add(ending)
                    self._cut += ending in WORDS and member.size > MOST_TEXT
                    _add(row, archive, member, ending, f"{name}#bytes={member.offset_data},{member.size}")
        except (tarfile.TarError, UnicodeDecodeError, ValueError) as error:
            said = f"{self.name}: {path} cannot be read: {error}"
            raise CurateError(said, "expected a tar file without compression, whose texts are UTF-8") from None
        if row:
            yield self._whole(row)

    def joined(self, files: dict[str, list[Row]]) -> list[Row]:
        """Rows with an id that no other tar file has, one file a column, and one label."""
        rows = [row for own in files.values() for row in own]
        notes = [*_count_not_read(self._not_read), *_own_ids(files), *_one_label(rows)]
        if self._cut:
            notes.append(
                f"{counted(self._cut, 'text or label is', 'texts or labels are')} "
                f"longer than {MOST_TEXT >> 20} MiB: the rest is not read"
            )
        self.notes += (*notes, *_one_file_a_column(rows, self.name))
        return rows

    def _whole(self, row: Row) -> Row:
        """The row of a sample; one that `curate export` has written names its media itself."""
        if not row.exported:
            return row
        self._exported = True
        return exported_row(row.exported)

    def _apart(self, path: Path, key: str) -> CurateError:
        message = f"{self.name}: the files of {key!r} do not lie one after another in {path}"
        return CurateError(message, "write it anew in the order of names: tar --sort=name -cf NEW.tar -C FOLDER .")


def _named(path: str) -> tuple[str, str]:
    """The name of the sample, and the ending in lower case, of a file in a tar file."""
    folder, _, base = path.removeprefix("./").rpartition("/")
    key, _, ending = base.partition(".")
    return (f"{folder}/{key}" if folder else key), ("" if not key else ending.lower())


def _passed_over(member: tarfile.TarInfo, ending: str) -> str:
    """What the note calls a file that is not read; '' for one that is."""
    if not member.isfile():
        return "links"
    if not ending:
        return "names without ending, or that begin with a dot"
    last = ending.rpartition(".")[2]
    if ending in WORDS or last in MEDIA:
        return ""
    return f".{ending if last in WORDS else last}"


def _add(row: Row, archive: tarfile.TarFile, member: tarfile.TarInfo, ending: str, source: str) -> None:
    """Add one file to the row of its sample."""
    if ending not in WORDS:
        row[f".{ending}"] = source
        return
    file = archive.extractfile(member)
    assert file is not None  # it is a plain file
    if ending == "json" and member.size > MOST_TEXT:
        raise ValueError(f"{member.name} has {member.size:,} bytes, and a description at most {MOST_TEXT:,}")
    whole = member.size <= MOST_TEXT  # the last character of what is cut may be a part of one
    text = file.read(MOST_TEXT).decode("utf-8", "strict" if whole else "ignore").strip()
    if ending == "json":
        found = json.loads(text)
        wanted = {"label": JSON_LABEL, "split": "split", "group": "group"}
        if isinstance(found, dict) and is_export(found):
            row.exported = {key: "" if value is None else str(value) for key, value in found.items()}
        elif isinstance(found, dict):
            row |= {column: str(found[k]).strip() for k, column in wanted.items() if found.get(k) is not None}
    else:
        row["label" if ending == "cls" else "text"] = text


def _count_not_read(counts: Counter[str]) -> list[str]:
    """The note on files that are not read, if there are any."""
    kinds = [(what, count) for what, count in counts.most_common() if count]
    more = f", ... ({len(kinds)} kinds in all)" if len(kinds) > SHOWN else ""
    shown = ", ".join(f"{what} ({count})" for what, count in kinds[:SHOWN])
    return [f"files that are not read: {shown}{more}"] if kinds else []


def _own_ids(files: dict[str, list[Row]]) -> list[str]:
    """Where a name occurs in several tar files, make the file a part of every id; the note says so."""
    counts = Counter(row["sample_id"] for rows in files.values() for row in rows)
    if not (again := [key for key, count in counts.items() if count > 1]):
        return []
    for name, rows in files.items():
        for row in rows:
            row["sample_id"] = f"{name.removesuffix(WebDataset.ending)}-{row['sample_id']}"
    first = next(row["sample_id"] for rows in files.values() for row in rows)
    shown = (
        f"{counted(len(again), 'name of a sample occurs', 'names of samples occur')} "
        f"in several tar files, e.g. {again[0]}"
    )
    return [f"{shown}: every id is made of the file and the name, as {first}"]


def _one_label(rows: list[Row]) -> list[str]:
    """Take the label of a description where there is no `.cls`; the note counts samples for which the two differ."""
    differ = 0
    for row in rows:
        if described := row.pop(JSON_LABEL, ""):
            differ += row["label"] not in ("", described)
            row["label"] = row["label"] or described
    return (
        [
            f"{counted(differ, 'sample has', 'samples have')} "
            "one label in .cls and another in .json: that in .cls is used"
        ]
        if differ
        else []
    )


def _one_file_a_column(rows: list[Row], who: str) -> list[str]:
    """Put media into columns, in place; the notes say how columns are called, and which files are passed over."""
    named = _own_columns(rows, who)
    passed: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        files: dict[str, list[str]] = defaultdict(list)
        for ending in sorted(key for key in row if key.startswith(".")):
            for kind in MEDIA[ending.rpartition(".")[2]]:
                files[named.get((kind, ending), kind)].append(ending)
        for column, endings in files.items():
            first, *others = sorted(endings, key=lambda ending: (_second(column, ending), ending))
            row[column] = row[first]
            passed.update((column, first, other) for other in others)
        for ending in {ending for endings in files.values() for ending in endings}:
            del row[ending]
    notes = [
        f"{column} is read from {first}, not from {other}: {counted(n, 'sample')}"
        for (column, first, other), n in sorted(passed.items())
    ]
    for kind in ("audio", "visual"):
        own = sorted({(column, ending) for (of, ending), column in named.items() if of == kind})
        if own:
            shown = ", ".join(f"{column} ({ending})" for column, ending in own)
            columns = ",".join(dict.fromkeys(column for column, _ in own))
            sound = f"; name those of sound with --set data.audio={columns}" if kind == "audio" else ""
            notes.append(
                f"samples have several {kind} files, whose columns are called by their endings: {shown}{sound}"
            )
    return notes


def _second(column: str, ending: str) -> bool:
    """Whether another kind of file is read first: a sound before that of a video, and a video before a picture."""
    return ending.endswith(MOVING if column == "audio" else PICTURES)


def _own_columns(rows: list[Row], who: str) -> dict[tuple[str, str], str]:
    """{(modality, ending): its column} of files that would be a modality together with others of the same sample.

    The sound of a video has no column of its own.

    Raises:
        CurateError: there are too many columns; the names of samples may have dots.
    """
    several: set[str] = set()
    every: dict[tuple[str, str], str] = {}
    for row in rows:
        before: dict[str, set[str]] = defaultdict(set)
        for ending in (key for key in row if key.startswith(".")):
            first, _, last = ending[1:].rpartition(".")
            kind = MEDIA[last][-1]
            before[kind].add(first)
            if first:
                every[kind, ending] = first
        several |= {kind for kind, names in before.items() if len(names) > 1}
    found = {key: first for key, first in every.items() if key[0] in several}
    if len(set(found.values())) > MOST_COLUMNS:
        shown = ", ".join(ending for _, ending in list(found)[:3])
        message = f"{who}: files of {len(set(found.values()))} different endings are of one sample: {shown}, ..."
        raise CurateError(message, "a sample's name ends at the first dot: write names without other dots")
    taken = {
        first for (kind, _), first in found.items() if any(k != kind and f == first for (k, _), f in found.items())
    }
    taken |= {*COLUMNS, "text", "audio", "visual"}
    return {
        (kind, ending): re.sub(r"\W", "_", ending[1:] if first in taken - {kind} else first)
        for (kind, ending), first in found.items()
    }
