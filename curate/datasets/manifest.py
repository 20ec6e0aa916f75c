"""`manifest`: any data set, described by a CSV or Parquet file with a path per sample and modality."""

from __future__ import annotations

import dataclasses
import os
import re
import unicodedata
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from curate.errors import CurateError, MediaError
from curate.files.remote import Remote, beside
from curate.files.tables import TableFile, is_missing
from curate.media import Decoded, Window
from curate.media.endings import SOUND, VISUAL
from curate.media.files import lost
from curate.media.source import Segment, split_source
from curate.media.text import make_tokenizer
from curate.specs import AudioSpec, TextSpec, VisualSpec
from curate.store.names import MODALITY, name_hint
from curate.types import FUSED, Sample

from .measure import fallback, measure
from .recordings import Recordings, parse_range
from .rows import NO_LABEL, MissingWords, Row, check_fractions, check_rows, listed, read_rows, split_rows, understood

KNOWN_MODALITIES = ("audio", "visual", "video", "image", "rgb", "depth", "flow", "text")
SENTENCES = 20
"""Number of cells of a column that are checked for being texts, or paths of media."""


class Manifest(Recordings):
    """Rows of a table: `sample_id`, `label`, optional `split` and `group`, and a column of paths per modality.

    Paths are relative to the manifest's folder, or URLs; `clip.mp4#t=2,8` is the stretch from 2 to 8 s of a file.
    `audio` columns are sound, `text` columns hold the texts themselves, all others are pictures or video; an audio and
    a visual column may name the same video file. Missing or broken media are not errors here: they get a status in the
    cache.

    Without a `split` column the rows are split at random but reproducibly, with the same class proportions and no group
    in two splits (see `draw`). With a `split` column without `val`, val is drawn from train in the same way. Rows are
    sorted by `sample_id` before anything is drawn, so their order in the file does not matter.
    """

    name = "manifest"
    remote = True
    reusable = True
    summary = "your own data: a CSV or Parquet file with sample_id, label and a path per modality"
    layout = "a CSV or Parquet file with columns sample_id, label, [split], [group] and a column of paths per modality"

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Options(Recordings.Options):
        """Settings of `manifest`; the others are described in `AudioSpec`, `VisualSpec` and `Recordings`.

        `rate`, `seconds`, `n_fft`, `hop`, `frames`, `size` and `depth_range` are measured where they are none. The
        measured values enlarge or cut little, and are at most those of the papers (22.05 kHz, 224 pixels, 3 frames) and
        10 s.

        Attributes:
            modalities: columns to use, comma separated, in the order that gives the gap its sign; '' takes every
                column called audio, visual, video, image, rgb, depth, flow or text.
            audio: which of them are sound, comma separated.
            text: which of them hold texts, comma separated.
            tokenizer: `words` = those of the training texts, or a folder with a Hugging Face tokenizer.
            seed: seed of the splits that are drawn.
            val_fraction: share of the drawn-from rows that becomes val, in [0, 1).
            test_fraction: share that becomes test when there is no `split` column, in [0, 1).
            missing_words: what NA, nan, None, null, ? or - mean in the column of labels: `ask` is an error for them,
                `class` takes them for names of classes, `missing` for rows without a label.
        """

        modalities: str = ""
        audio: str = "audio"
        text: str = "text"
        tokenizer: str = "words"
        tokens: int = TextSpec.tokens
        window: Window = "loudest"
        seed: int = 0
        val_fraction: float = 0.1
        test_fraction: float = 0.2
        missing_words: MissingWords = "ask"
        rate: int | None = None
        seconds: float | None = None
        n_fft: int | None = None
        hop: int | None = None
        n_mels: int | None = AudioSpec.n_mels
        fill: str = AudioSpec.fill
        standardize: bool = AudioSpec.standardize
        features: str = AudioSpec.features
        columns: int | None = AudioSpec.columns
        frames: int | None = None
        size: int | None = None
        depth_range: str | None = None
        channels: int = VisualSpec.channels
        augment: str = VisualSpec.augment

    options: Options

    def __init__(self, root: Path | None, options: Options) -> None:
        super().__init__(root, options)
        root = self.root
        assert root is not None  # the base class raises an error for None
        given, table, self._folder = self._read(root)
        rows = sorted(given, key=lambda row: row["sample_id"])
        self.modalities = self._chosen(table, rows[0].dataset)
        check_rows(rows, f"{self.name}: {root}", options.missing_words)
        self._refuse_texts(rows, options)
        self._refuse_sound(rows, options)
        options = self.options = self._measured(rows, options)
        _check_options(options, self.name)
        self.depth_range = parse_range(options.depth_range or "", self.name)
        self.classes = tuple(sorted({row["label"] for row in rows if row["label"]}))
        splits = split_rows(rows, options.seed, options.val_fraction, options.test_fraction, f"{self.name}: {root}")
        paths = [m for m in self.modalities if m not in _listed(options.text)]
        self.notes = (
            understood(table, rows, splits, paths),
            *_unread(table, self.modalities, rows, options),
            *self.notes,
        )
        own = [row for row, split in zip(rows, splits, strict=True) if split == "train"]
        self._tokenizers = {
            m: make_tokenizer(options.tokenizer, [row[m] for row in own])
            for m in self.modalities
            if m in _listed(options.text)
        }
        self.notes += tuple(f"{m}: {note}" for m, t in self._tokenizers.items() for note in t.notes)
        self.specs = {
            m: self._tokenizers[m].spec(options.tokens)
            if m in self._tokenizers
            else _spec(m, options, self.depth_range)
            for m in self.modalities
        }
        self.samples = tuple(self._sample(row, split) for row, split in zip(rows, splits, strict=True))

    def _read(self, root: Path) -> tuple[list[Row], TableFile, Path]:
        """The rows, how they were written, and the folder from which their paths are named."""
        known = (*KNOWN_MODALITIES, *_listed(self.options.modalities))
        return *read_rows(root, self.name, known, self.layout), root.parent

    def _chosen(self, table: TableFile, exported: str) -> tuple[str, ...]:
        """The modality columns, in the order of the option or of the file; `exported` is the data set of an export."""
        columns = [name for name in table.names if name]
        wanted = _listed(self.options.modalities)
        if absent := [name for name in wanted if name not in columns]:
            message = f"{self.name}: no column {', '.join(map(repr, absent))}; found: {', '.join(columns)}"
            raise CurateError(message, f"expected {self.layout}")
        chosen = wanted or tuple(name for name in columns if name in KNOWN_MODALITIES)
        if len(set(chosen)) < 2:
            if exported and not chosen:
                raise CurateError(
                    f"{self.name}: {table.path} is an export of {exported}, and names no files of media",
                    f"there are none: go on with the data set itself, `--dataset {exported}`; "
                    "saved predictions get the files of their media by --media, before they are exported",
                )
            found, shown = ", ".join(chosen) or "none", ", ".join(columns)
            message = f"{self.name}: two columns of paths are needed, found {found} among {shown}"
            raise CurateError(message, "name them with `--set data.modalities=first,second`")
        reserved = {"sample_id", "label", "split", "group"}
        if wrong := [n for n in chosen if n in reserved or chosen.count(n) > 1]:
            message = f"{self.name}: {wrong[0]!r} cannot be a modality"
            raise CurateError(message, "name each column of paths once, and no other column")
        if wrong := [n for n in chosen if n == FUSED or not MODALITY.fullmatch(n)]:
            hint = f"leave this column out, or rename it: {name_hint(wrong[0])}"
            raise CurateError(f"{self.name}: {wrong[0]!r} cannot be a modality", hint)
        return chosen

    def _measured(self, rows: list[Row], options: Manifest.Options) -> Manifest.Options:
        """The options, with the settings that are None measured; the values chosen are listed in `notes`."""
        left_open = [name for name in fallback() if getattr(options, name) is None]
        if not left_open:
            return options
        heard = {m for m in self.modalities if m in _listed(options.audio)}
        seen = set(self.modalities) - heard - set(_listed(options.text))
        named = {m: [split_source(row[m]) for row in rows if not is_missing(row[m])] for m in (*heard, *seen)}
        files = {m: [(find_file(self._folder, path), segment) for path, segment in own] for m, own in named.items()}
        sounds = (
            [f for m in sorted(heard) for f in files[m]] if {"rate", "seconds", "n_fft", "hop"} & {*left_open} else []
        )
        pictures = (
            [f for m in sorted(seen) for f in files[m]] if {"frames", "size", "depth_range"} & {*left_open} else []
        )
        found = measure(sounds, pictures)
        self.notes += tuple(found.notes(left_open))
        values = {**fallback(), **found.settings}
        return dataclasses.replace(options, **{name: values[name] for name in left_open})

    def _sample(self, row: Row, split: str) -> Sample:
        inputs = {m: "" if m not in self._tokenizers and is_missing(row[m]) else row[m] for m in self.modalities}
        return Sample(
            sample_id=row["sample_id"], label=row["label"], split=split, inputs=inputs, group=row.get("group") or None
        )

    def _refuse_texts(self, rows: Sequence[Row], options: Manifest.Options) -> None:
        """Check that no column of paths holds sentences instead."""
        for modality in (m for m in self.modalities if m not in _listed(options.text)):
            cells = [row[modality] for row in rows if not is_missing(row[modality])][:SENTENCES]
            long = [c for c in cells if len(c.split()) > 2 and "://" not in c]
            texts = [c for c in long if not os.path.exists(find_file(self._folder, c))]
            if len(texts) > len(cells) / 2 and not any(Path(c).suffix[1:].isalnum() for c in texts):
                message = f"{self.name}: the column {modality!r} holds texts, not paths: {texts[0][:40]!r}"
                listed = ",".join((*(m for m in _listed(options.text) if m in self.modalities), modality))
                raise CurateError(message, f"name the columns of texts: --set data.text={listed}")

    def _refuse_sound(self, rows: Sequence[Row], options: Manifest.Options) -> None:
        """Check that no column that is read as pictures or video names files of sound."""
        named = (*_listed(options.audio), *_listed(options.text))
        heard = [m for m in self.modalities if m not in named and _end_with(_cells(rows, m), SOUND)]
        if heard:
            listed = ",".join((*(m for m in _listed(options.audio) if m in self.modalities), *heard))
            raise CurateError(
                f"{self.name}: the column {heard[0]!r} names files of sound, such as {_cells(rows, heard[0])[0]}, "
                "and is read as pictures or video",
                f"name the columns of sound: --set data.audio={listed}",
            )

    def content(self, sample: Sample) -> Any:
        """The texts; the paths, with size and time of each file: a missing file is decoded once it is there."""
        files = self.media(sample)
        found = {
            m: source if m in self._tokenizers else [source, self.stamp(files[m][0]) if source else None]
            for m, source in sample.inputs.items()
        }
        return found if sample.label else [NO_LABEL, found]

    def media(self, sample: Sample) -> dict[str, tuple[Path, Segment | None]]:
        """The files that a row names."""
        parts = {m: split_source(s) for m, s in sample.inputs.items() if s and m not in self._tokenizers}
        return {m: (find_file(self._folder, path), segment) for m, (path, segment) in parts.items()}

    def decode(self, sample: Sample, modality: str) -> Decoded:
        """One file, decoded; or one text."""
        spec, source = self.specs[modality], sample.inputs[modality]
        if not sample.label:
            raise MediaError(NO_LABEL, f"{self.name} gives it no label")
        if isinstance(spec, TextSpec):
            return Decoded(self._tokenizers[modality].load(source, spec), {})
        if not source:
            raise MediaError("missing", f"{self.name} names no file")
        if not isinstance(path := self.media(sample)[modality][0], Remote) and not os.path.exists(path):
            self.check_file(sample, modality)
        return super().decode(sample, modality)

    def check_file(self, sample: Sample, modality: str) -> None:
        """As of every data set, with the likely reason why a path that a person wrote does not exist."""
        path, source = self.media(sample)[modality][0], sample.inputs[modality]
        if not os.path.exists(path):
            raise MediaError("missing", f"{path} does not exist{_cause(path, source)}")
        super().check_file(sample, modality)


def _check_options(options: Manifest.Options, who: str) -> None:
    """Check for settings that no spec allows."""
    positive = ("rate", "seconds", "n_fft", "hop", "frames", "size", "tokens")
    wrong = [f"{name}={getattr(options, name)}" for name in positive if getattr(options, name) <= 0]
    features = ("features", ("stft", "spectrogram", "fbank"))
    for name, choices in (
        features,
        ("fill", ("tile", "pad")),
        ("augment", ("none", "crop_flip")),
        ("channels", (1, 3)),
    ):
        if getattr(options, name) not in choices:
            wrong.append(f"{name}={getattr(options, name)} (known: {', '.join(map(str, choices))})")
    wrong += [f"{k}={v}" for k in ("n_mels", "columns") if (v := getattr(options, k)) is not None and v <= 0]
    if options.features != "stft" and (options.n_mels is not None) != (options.features == "fbank"):
        wrong.append(f"n_mels={options.n_mels} with features={options.features}")
    if wrong:
        known = f"see `curate datasets {who.partition('.')[0]}`"
        raise CurateError(f"{who}: impossible settings: {'; '.join(wrong)}", known)
    check_fractions(options.val_fraction, options.test_fraction, who)


def find_file(folder: Path, path: str) -> Path:
    """A path relative to the table's folder: as written or, if no such file exists, with / for \\, or in the other
    Unicode form of its letters. The name of a remote file is taken as written.
    """
    written = beside(folder, path)
    if isinstance(written, Remote) or os.path.exists(written) or (path.isascii() and "\\" not in path):
        return written
    slashed = path.replace("\\", "/")
    for other in (slashed, *(unicodedata.normalize(form, text) for text in (path, slashed) for form in ("NFC", "NFD"))):
        if os.path.exists(folder / other):
            return folder / other
    return written


def _cause(path: Path, source: str) -> str:
    """A likely reason why a path does not exist, as the end of a sentence; '' if none is found."""
    if source.startswith("~"):
        return "; ~ is not expanded: write the whole path"
    if "#t=" in source and split_source(source)[1] is None:
        return "; a stretch is written #t=START,END in seconds, such as #t=2,8, at the very end"
    if "\\" in source:
        return "; folders are separated by /"
    if re.search(r"%[0-9A-Fa-f]{2}", source):
        return "; it looks percent-encoded: write a space for %20"
    return lost(path)


def _listed(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(",") if name.strip())


def _unread(table: TableFile, modalities: Sequence[str], rows: Sequence[Row], options: Manifest.Options) -> list[str]:
    """That columns have no part, if there are any, and how those that name media get one."""
    taken = ("sample_id", "label", "split", "group", *modalities)
    left = [name for name in table.names if name and name not in taken]
    if not left:
        return []
    where = "; what must stay within a split is read from a column `group`" if "group" not in table.names else ""
    said = [f"columns that are not read: {listed(left)}{where}"]
    if media := [name for name in left if _end_with(_cells(rows, name), (*SOUND, *VISUAL))]:
        sound = [m for m in _listed(options.audio) if m in modalities]
        sound += [name for name in media if _end_with(_cells(rows, name), SOUND)]
        kinds = f" --set data.audio={','.join(sound)}" if set(sound) - {*_listed(options.audio)} else ""
        every = ",".join(name for name in table.names if name in (*modalities, *media))
        said.append(
            f"files of media are named in {listed(media)}, too: --set data.modalities={every}{kinds} reads them"
        )
    return said


def _cells(rows: Sequence[Row], name: str) -> list[str]:
    """The first cells of a column that say something."""
    return list(islice((str(row[name]) for row in rows if not is_missing(row.get(name, ""))), SENTENCES))


def _end_with(cells: Sequence[str], endings: tuple[str, ...]) -> bool:
    """Whether most cells are names of files that end so, with or without a stretch."""
    return sum(split_source(cell)[0].lower().endswith(endings) for cell in cells) > len(cells) / 2


def _spec(modality: str, options: Manifest.Options, depth_range: tuple[float, float] | None) -> AudioSpec | VisualSpec:
    """The spec of the arrays that are made from a column's files."""
    kind = AudioSpec if modality in _listed(options.audio) else VisualSpec
    values = {field.name: getattr(options, field.name) for field in dataclasses.fields(kind)}
    return kind(**values | ({"depth_range": depth_range} if kind is VisualSpec else {}))
