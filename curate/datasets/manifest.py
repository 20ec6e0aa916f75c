"""`manifest`: any data set, told by a CSV or Parquet file with a path per sample and modality."""

from __future__ import annotations

import csv
import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from curate.errors import CurateError, MediaError
from curate.media import Decoded, Window, stamp
from curate.source import Segment, split_source
from curate.text import make_tokenizer
from curate.types import FUSED, AudioSpec, Sample, TextSpec, VisualSpec

from .base import SPLITS
from .degrade import generator
from .measure import fallback, measure
from .recordings import Recordings, parse_range

KNOWN_MODALITIES = ("audio", "visual", "video", "image", "rgb", "depth", "flow", "text")
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}

Row = dict[str, str]


class Manifest(Recordings):
    """Rows of a table: `sample_id`, `label`, optional `split` and `group`, and a column of paths per modality.

    Paths are relative to the manifest's folder; `clip.mp4#t=2,8` is the stretch from 2 to 8 s of one. `audio` columns
    are sound, `text` columns hold the texts themselves, all others are pictures or video; an audio and a visual column
    may name the same video file. Missing or broken media are no errors here: they get a status in the cache.

    Without a `split` column the rows are split at random but reproducibly, classes in proportion, no group across
    splits (see `draw`); with one that names no `val`, val is drawn from train in the same way. Rows are sorted by
    `sample_id` before anything is drawn, so their order in the file does not matter.
    """

    name = "manifest"
    reusable = True
    summary = "your own data: a CSV or Parquet file with sample_id, label and a path per modality"
    layout = "a CSV or Parquet file with columns sample_id, label, [split], [group] and a column of paths per modality"

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Options(Recordings.Options):
        """Settings of `manifest`; what is not said here is said by `AudioSpec`, `VisualSpec` and `Recordings`.

        `rate`, `seconds`, `n_fft`, `hop`, `frames`, `size` and `depth_range` are measured where they are none: so that
        little is enlarged or cut, and no more than the papers have (22.05 kHz, 224 pixels, 3 frames) or 10 s.

        Attributes:
            modalities: columns to use, comma separated, in the order that gives the gap its sign; '' takes every
                column called audio, visual, video, image, rgb, depth, flow or text.
            audio: which of them are sound, comma separated.
            text: which of them hold texts, comma separated.
            tokenizer: `words` = those of the training texts, or a folder with a Hugging Face tokenizer.
            seed: of the splits that are drawn.
            val_fraction: share of the drawn-from rows that becomes val, in [0, 1).
            test_fraction: share that becomes test when there is no `split` column, in [0, 1).
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
        assert root is not None  # the base class has refused it
        self._folder = root.parent
        rows = sorted(read_rows(root), key=lambda row: row.get("sample_id", ""))
        self.modalities = _modalities(rows, options)
        options = self.options = self._measured(rows, options)
        _check_options(options)
        self.depth_range = parse_range(options.depth_range or "", self.name)
        check_rows(rows)
        self.classes = tuple(sorted({row["label"] for row in rows}))
        splits = split_rows(rows, options.seed, options.val_fraction, options.test_fraction)
        own = [row for row, split in zip(rows, splits, strict=True) if split == "train"]
        self._tokenizers = {
            m: make_tokenizer(options.tokenizer, [row[m] for row in own])
            for m in self.modalities
            if m in _listed(options.text)
        }
        self.specs = {
            m: self._tokenizers[m].spec(options.tokens)
            if m in self._tokenizers
            else _spec(m, options, self.depth_range)
            for m in self.modalities
        }
        self.samples = tuple(self._sample(row, split) for row, split in zip(rows, splits, strict=True))

    def _measured(self, rows: list[Row], options: Manifest.Options) -> Manifest.Options:
        """The options, with what they leave open measured; what was chosen goes to `notes`."""
        left_open = [name for name in fallback() if getattr(options, name) is None]
        if not left_open:
            return options
        heard = {m for m in self.modalities if m in _listed(options.audio)}
        seen = set(self.modalities) - heard - set(_listed(options.text))
        named = {m: [split_source(row[m]) for row in rows if row[m]] for m in (*heard, *seen)}
        files = {m: [(self._folder / path, segment) for path, segment in own] for m, own in named.items()}
        sounds = (
            [f for m in sorted(heard) for f in files[m]] if {"rate", "seconds", "n_fft", "hop"} & {*left_open} else []
        )
        pictures = (
            [f for m in sorted(seen) for f in files[m]] if {"frames", "size", "depth_range"} & {*left_open} else []
        )
        found = measure(sounds, pictures)
        self.notes = found.notes(left_open)
        values = {**fallback(), **found.settings}
        return dataclasses.replace(options, **{name: values[name] for name in left_open})

    def _sample(self, row: Row, split: str) -> Sample:
        return Sample(
            sample_id=row["sample_id"],
            label=row["label"],
            split=split,
            inputs={modality: row[modality] for modality in self.modalities},
            group=row.get("group") or None,
        )

    def content(self, sample: Sample) -> Any:
        """The texts; the paths, with size and time of each file: one that was missing and now is there is decoded."""
        files = self.media(sample)
        return {
            m: source if m in self._tokenizers else [source, stamp(files[m][0]) if source else None]
            for m, source in sample.inputs.items()
        }

    def media(self, sample: Sample) -> dict[str, tuple[Path, Segment | None]]:
        """The files that a row names."""
        parts = {m: split_source(s) for m, s in sample.inputs.items() if s and m not in self._tokenizers}
        return {m: (self._folder / path, segment) for m, (path, segment) in parts.items()}

    def decode(self, sample: Sample, modality: str) -> Decoded:
        """One file, decoded; or one text."""
        spec, source = self.specs[modality], sample.inputs[modality]
        if isinstance(spec, TextSpec):
            return Decoded(self._tokenizers[modality].load(source, spec), {})
        if not source:
            raise MediaError("missing", "the manifest names no file")
        return super().decode(sample, modality)


def read_rows(path: Path, who: str = "manifest") -> list[Row]:
    """The rows of a CSV (UTF-8, byte order mark or not) or Parquet file, every value a stripped string, NULL = ''.

    Args:
        path: the file.
        who: the data set that errors speak for.

    Raises:
        CurateError: the file is a folder, cannot be read, has no rows, or a row does not fit its header.
    """
    if path.is_dir():
        raise CurateError(f"{who}: {path} is a folder", "give the CSV or Parquet file itself as --root")
    rows = _parquet_rows(path, who) if path.suffix.lower() in (".parquet", ".pq") else _csv_rows(path, who)
    if not rows:
        raise CurateError(f"{who}: {path} has no rows", "expected a header and a row a sample")
    return rows


def _csv_rows(path: Path, who: str) -> list[Row]:
    rows = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            for cells in reader:
                if not cells:
                    continue  # an empty line
                if len(cells) != len(header):
                    found = f"line {reader.line_num} of {path} has {len(cells)} cells, its header {len(header)}"
                    raise CurateError(f"{who}: {found}", 'put a value with a comma in it between "quotes"')
                rows.append(dict(zip(header, map(str.strip, cells), strict=True)))
    except (UnicodeDecodeError, csv.Error) as error:
        raise CurateError(f"{who}: {path} cannot be read: {error}", "expected CSV in UTF-8") from error
    return rows


def _parquet_rows(path: Path, who: str) -> list[Row]:
    import duckdb

    try:
        with duckdb.connect() as connection:
            # As text in SQL: a detour over floating point would round ids of 18 digits.
            found = connection.execute("SELECT COLUMNS(*)::VARCHAR FROM read_parquet(?)", [str(path)])
            header = [column[0] for column in found.description]
            return [{k: (v or "").strip() for k, v in zip(header, row, strict=True)} for row in found.fetchall()]
    except duckdb.Error as error:
        raise CurateError(f"{who}: {path} cannot be read: {error}", "expected a Parquet file") from error


def _check_options(options: Manifest.Options) -> None:
    """Refuse settings that no spec can follow."""
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
        raise CurateError(f"manifest: impossible settings: {'; '.join(wrong)}", "see `curate datasets manifest`")
    check_fractions(options.val_fraction, options.test_fraction)


def check_fractions(val: float, test: float, who: str = "manifest") -> None:
    """Refuse shares that leave nothing to train on."""
    if min(val, test) < 0 or val + test >= 1:
        message = f"{who}: val_fraction={val} and test_fraction={test} leave nothing for train"
        raise CurateError(message, "they must be 0 or more and add to less than 1")


def _listed(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(",") if name.strip())


def _modalities(rows: list[Row], options: Manifest.Options) -> tuple[str, ...]:
    """The modality columns, in the order of the option or of the file."""
    columns = list(rows[0])
    absent = [name for name in ("sample_id", "label", *_listed(options.modalities)) if name not in columns]
    if absent:
        message = f"manifest: no column {', '.join(map(repr, absent))}; found: {', '.join(columns)}"
        raise CurateError(message, f"expected {Manifest.layout}")
    chosen = _listed(options.modalities) or tuple(name for name in columns if name in KNOWN_MODALITIES)
    if len(set(chosen)) < 2:
        message = f"manifest: two columns of paths are needed, found {list(chosen)} among {', '.join(columns)}"
        raise CurateError(message, "name them with `--set data.modalities=first,second`")
    reserved = {"sample_id", "label", "split", "group", FUSED}
    if wrong := [name for name in chosen if name in reserved or chosen.count(name) > 1 or set(name) & set("|+/\\")]:
        raise CurateError(f"manifest: {wrong[0]!r} cannot be a modality", "rename or leave out this column")
    return chosen


def _spec(modality: str, options: Manifest.Options, depth_range: tuple[float, float] | None) -> AudioSpec | VisualSpec:
    """How a column's files are kept."""
    kind = AudioSpec if modality in _listed(options.audio) else VisualSpec
    values = {field.name: getattr(options, field.name) for field in dataclasses.fields(kind)}
    return kind(**values | ({"depth_range": depth_range} if kind is VisualSpec else {}))


def check_rows(rows: list[Row], who: str = "manifest") -> None:
    """Refuse rows without id or label, repeated ids, and tables of a single class."""
    for column in ("sample_id", "label"):
        if empty := sum(not row[column] for row in rows):
            raise CurateError(f"{who}: {empty} rows have no {column}", f"give every row a {column}")
    repeated = [name for name, count in Counter(row["sample_id"] for row in rows).items() if count > 1]
    if repeated:
        message = f"{who}: {len(repeated)} sample_ids occur more than once: {', '.join(repeated[:3])}"
        raise CurateError(message, "sample_id is the only key; make it unique")
    labels = {row["label"] for row in rows}
    if len(labels) < 2:
        raise CurateError(f"{who}: every row has the label {labels.pop()!r}", "a classifier needs two classes")


def split_rows(
    rows: list[Row], seed: int, val_fraction: float, test_fraction: float, who: str = "manifest"
) -> list[str]:
    """The split of every row: given, or drawn, or given with val drawn from train.

    Args:
        rows: ascending by id, so that what is drawn does not depend on a file's order.
        seed: of what is drawn.
        val_fraction, test_fraction: shares, as `Manifest.Options` has them.
        who: the data set that errors speak for.

    Raises:
        CurateError: an unknown split, a group in two splits, or nothing in train.
    """
    splits = _given_splits(rows, who) if "split" in rows[0] else ["train"] * len(rows)
    if "split" not in rows[0]:
        _draw_into("test", test_fraction, rows, splits, seed, who)
        _draw_into("val", val_fraction / (1 - test_fraction), rows, splits, seed, who)
    elif "val" not in splits:
        _draw_into("val", val_fraction, rows, splits, seed, who)
    if "train" not in splits:
        raise CurateError(f"{who}: no row belongs to train", "check the split column")
    return splits


def _given_splits(rows: list[Row], who: str) -> list[str]:
    """The split column under our names.

    Raises:
        CurateError: an unknown name, or a group in two splits.
    """
    names = [row["split"].lower() for row in rows]
    if unknown := sorted(set(names) - set(SPLIT_NAMES)):
        message = f"{who}: unknown splits {', '.join(map(repr, unknown[:3]))}"
        raise CurateError(message, f"expected {', '.join(SPLITS)}, in every row")
    splits = [SPLIT_NAMES[name] for name in names]
    seen: dict[str, set[str]] = defaultdict(set)
    for row, split in zip(rows, splits, strict=True):
        if row.get("group"):
            seen[row["group"]].add(split)
    if crossing := sorted(group for group, where in seen.items() if len(where) > 1):
        message = f"{who}: {len(crossing)} groups are in more than one split: {', '.join(crossing[:3])}"
        raise CurateError(message, "move each group to one split, or leave out the group column")
    return splits


def _draw_into(split: str, fraction: float, rows: list[Row], splits: list[str], seed: int, who: str) -> None:
    """Turn a drawn part of the train rows into `split`, in place."""
    pool = [i for i, own in enumerate(splits) if own == "train"]
    if fraction == 0 or not pool:
        return
    labels = [rows[i]["label"] for i in pool]
    groups = [rows[i].get("group") or None for i in pool]
    drawn = draw(labels, groups, fraction, generator(seed, split))
    if not drawn:
        message = f"{who}: no {split} rows can be drawn without emptying a class or breaking a group"
        raise CurateError(message, "add rows, or give a split column")
    for position in drawn:
        splits[pool[position]] = split


def draw(labels: Sequence[str], groups: Sequence[str | None], fraction: float, rng: np.random.Generator) -> list[int]:
    """Positions of a stratified part of about `fraction` of the rows, groups whole.

    Units (a group, or a row without one) are walked class by class, in random order within a class, the class of a
    group being its commonest label. A unit is taken when that brings the taken rows closer to `fraction` of the rows
    walked so far; so each class is in proportion to within a row or two, and the total to within half a group. The
    first unit of a class is never taken: every class keeps a part for training. If nothing comes out, the smallest
    unit that may be taken is.

    Args:
        labels: (n,) class names.
        groups: (n,) what must stay together, or None.
        fraction: share wanted, in (0, 1).
        rng: the only source of chance.

    Returns:
        Positions, ascending.
    """
    units = _units(labels, groups)
    order = rng.permutation(len(units))
    majority = [_commonest(labels[i] for i in unit) for unit in units]
    walk = sorted(order, key=lambda u: majority[u])  # stable: random within a class
    taken: list[list[int]] = []
    candidates: list[list[int]] = []
    seen_labels: set[str] = set()
    seen = have = 0
    for u in walk:
        unit = units[u]
        seen += len(unit)
        if majority[u] not in seen_labels:
            seen_labels.add(majority[u])
            continue
        candidates.append(unit)
        if fraction * seen - have >= len(unit) / 2:
            taken.append(unit)
            have += len(unit)
    if not taken and candidates:
        taken = [min(candidates, key=len)]
    return sorted(i for unit in taken for i in unit)


def _units(labels: Sequence[str], groups: Sequence[str | None]) -> list[list[int]]:
    """Positions that stay together, in order of first appearance."""
    units: dict[tuple[str, object], list[int]] = defaultdict(list)
    for i, group in enumerate(groups):
        units[("row", i) if group is None else ("group", group)].append(i)
    return list(units.values())


def _commonest(labels: Iterable[str]) -> str:
    """The most frequent label, the first in the alphabet among equals."""
    counts = Counter(labels)
    return min(counts, key=lambda label: (-counts[label], label))
