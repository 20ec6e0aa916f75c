"""`features`: a folder of features computed beforehand, one array per modality, with ids and labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from curate.errors import CurateError, MediaError, counted
from curate.files.remote import RemoteError
from curate.files.tables import TableFile
from curate.files.vectors import FORMATS, KEYS, Head, read_head, read_values
from curate.media import stamp
from curate.specs import FeatureSpec
from curate.store.names import MODALITY, name_hint
from curate.types import FUSED, Sample

from .base import Dataset
from .rows import NO_LABEL, MissingWords, Row, check_fractions, check_rows, read_rows, split_rows, understood

SAMPLES = ("samples.csv", "samples.parquet", "samples.pq")
SHOWN = 3


class Features(Dataset):
    """Features of any network, one vector per sample and modality, on which heads are trained.

    The folder holds a file of features for each modality, named after it: NPY (N, D), its rows in the order of
    `samples.csv`; NPZ with arrays `sample_id` and `features`; or Parquet with `sample_id` and either numeric columns or
    one column of lists. Files with ids are joined by them. Ids and labels, and optional `split` and `group`, are in
    `samples.csv` or `samples.parquet`; without such a file they are in the NPZ or Parquet files themselves. Values that
    occur in two files must agree. Other files are ignored.

    Splits are given or drawn as in `manifest`. Vectors are stored unchanged, in float32: their mean and scale are
    estimated from the samples that a model is trained on, see `curate.train.models.features`. A vector with NaN or an
    infinite value cannot be used, and has the status `not_finite`.
    """

    name = "features"
    remote = True
    summary = "features you have computed: a folder with an .npy, .npz or .parquet file a modality, ids and labels"
    layout = (
        "a folder with samples.csv or samples.parquet (sample_id, label, [split], [group]) and a file of features a "
        "modality, e.g. audio.npy, visual.npz"
    )
    defaults: ClassVar[Mapping[str, Any]] = {"optim.lr": 0.01, "score.epochs": 20, "train.epochs": 20}

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Options(Dataset.Options):
        """Settings of `features`.

        Attributes:
            modalities: files to use, without suffix, comma separated, in the order that gives the gap its sign; ''
                takes all, in alphabetical order.
            seed, val_fraction, test_fraction: of the splits that are drawn, as in `manifest`.
            missing_words: what NA, nan, None and the like mean as labels, as in `manifest`.
        """

        modalities: str = ""
        seed: int = 0
        val_fraction: float = 0.1
        test_fraction: float = 0.2
        missing_words: MissingWords = "ask"

    options: Options

    def __init__(self, root: Path | None, options: Options) -> None:
        super().__init__(root, options)
        root = self.root
        assert root is not None  # the base class raises an error for None
        check_fractions(options.val_fraction, options.test_fraction, self.name)
        heads = {m: read_head(path) for m, path in _files(root, options.modalities).items()}
        rows, table = _rows(root, heads)
        check_rows(rows, f"{self.name}: {table.path if table else root}", options.missing_words)
        places = {m: _places(head, rows) for m, head in heads.items()}
        self.modalities = tuple(heads)
        self.classes = tuple(sorted({row["label"] for row in rows} - {""}))
        self.specs = {m: FeatureSpec(dim=head.dim) for m, head in heads.items()}
        self._stamps = {m: stamp(head.path) or [] for m, head in heads.items()}
        rows = sorted(rows, key=lambda row: row["sample_id"])
        splits = split_rows(rows, options.seed, options.val_fraction, options.test_fraction, self.name)
        self.notes = (understood(table, rows, splits),) if table else ()
        self.samples = tuple(
            Sample(
                sample_id=row["sample_id"],
                label=row["label"],
                split=split,
                inputs={m: f"{heads[m].path.name}#{places[m][row['sample_id']]}" for m in heads},
                group=row.get("group") or None,
            )
            for row, split in zip(rows, splits, strict=True)
        )

    @property
    def decodes(self) -> bool:
        """False: reading a row of an array is faster than sending it to another process."""
        return False

    def content(self, sample: Sample) -> Any:
        """File and row of each vector, with size and time of the file."""
        found = {m: [source, *self._stamps[m]] for m, source in sample.inputs.items()}
        return found if sample.label else [NO_LABEL, found]

    def load(self, sample: Sample, modality: str) -> np.ndarray:
        """One vector, (D,) float32."""
        if not sample.label:
            raise MediaError(NO_LABEL, "no file gives it a label")
        name, _, row = sample.inputs[modality].rpartition("#")
        assert self.root is not None
        try:
            values = read_values(self.root / name, tuple(self._stamps[modality]))
        except RemoteError as error:
            raise MediaError(error.status, error.message) from None
        with np.errstate(over="ignore"):  # too large for float32 becomes infinite, reported below
            vector = np.asarray(values[int(row)], dtype=np.float32)
        wrong = np.flatnonzero(~np.isfinite(vector))
        if len(wrong):
            reason = f"{len(wrong)} of {len(vector)} features are NaN or infinite, the first is number {wrong[0]}"
            raise MediaError("not_finite", reason)
        return vector


def _files(root: Path, wanted: str) -> dict[str, Path]:
    """{modality: its file}, in the order wanted, or alphabetical.

    Raises:
        CurateError: no folder, a modality missing or named twice, a forbidden name, or fewer than two modalities.
    """

    if not root.is_dir():
        raise CurateError(f"features: {root} is not a folder", f"expected {Features.layout}")
    found: dict[str, Path] = {}
    for path in sorted(root.iterdir()):
        if path.suffix.lower() not in FORMATS or path.name in SAMPLES:
            continue
        if path.stem in found:
            message = f"features: {found[path.stem].name} and {path.name} are both of {path.stem}"
            raise CurateError(message, "keep one file a modality")
        found[path.stem] = path
    names = [name.strip() for name in wanted.split(",") if name.strip()] or list(found)
    if absent := [name for name in names if name not in found]:
        message = f"features: no file of {absent[0]!r} in {root}; found: {', '.join(found) or 'none'}"
        raise CurateError(message, f"expected {', '.join(absent[0] + suffix for suffix in FORMATS)}")
    if len(set(names)) < 2 or len(set(names)) < len(names):
        message = f"features: two or more modalities are needed, found {', '.join(names) or 'none'} in {root}"
        raise CurateError(message, f"expected {Features.layout}")
    if wrong := [name for name in names if not MODALITY.fullmatch(name) or name == FUSED]:
        message = f"features: {wrong[0]!r} cannot be the name of a modality"
        raise CurateError(message, f"rename the file: {name_hint(wrong[0])}")
    return {name: found[name] for name in names}


def _rows(root: Path, heads: Mapping[str, Head]) -> tuple[list[Row], TableFile | None]:
    """Ids, labels, splits and groups, from `samples.*` or, without it, from the files of features."""
    paths = [root / name for name in SAMPLES if (root / name).exists()]
    if len(paths) > 1:
        raise CurateError(f"features: {' and '.join(p.name for p in paths)} are both in {root}", "keep one of them")
    if paths:
        return read_rows(paths[0], Features.name, expected=Features.layout)
    telling = [head.keys for head in heads.values() if {"sample_id", "label"} <= set(head.keys)]
    if not telling:
        raise CurateError(f"features: nothing in {root} tells ids and labels", f"expected {Features.layout}")
    keys = {name: values.tolist() for name, values in telling[0].items()}
    return [Row(zip(keys, values, strict=True)) for values in zip(*keys.values(), strict=True)], None


def _places(head: Head, rows: Sequence[Row]) -> dict[str, int]:
    """{sample_id: its row in a file of features}.

    Raises:
        CurateError: there are too few or too many rows, ids are repeated, missing or unknown, or a label, split or
            group of the file differs from that in the other files.
    """
    name, ids = head.path.name, [row["sample_id"] for row in rows]
    if "sample_id" not in head.keys:
        if head.rows != len(rows):
            message = f"features: {name} has {counted(head.rows, 'row')} for {counted(len(rows), 'sample')}"
            raise CurateError(
                message, "an .npy file has a row a sample, in the order of samples.csv; or use .npz with ids"
            )
        return {i: place for place, i in enumerate(ids)}
    own = head.keys["sample_id"].tolist()
    places = {i: place for place, i in enumerate(own)}
    known = set(ids)
    wrong = {
        "repeated": [i for place, i in enumerate(own) if places[i] != place],
        "without a label": [i for i in own if i not in known],
        "missing": [i for i in ids if i not in places],
    }
    for what, offenders in wrong.items():
        if offenders:
            message = (
                f"features: {counted(len(offenders), 'sample_id')} "
                f"of {name} {'is' if len(offenders) == 1 else 'are'} {what}: {_first(offenders)}"
            )
            raise CurateError(message, "every file has every sample once; they are joined by sample_id")
    for key in (k for k in KEYS[1:] if k in head.keys and k in rows[0]):
        values = head.keys[key].tolist()
        for row in rows:
            if values[places[row["sample_id"]]] != row[key]:
                shown = f"{key} {values[places[row['sample_id']]]!r}, and {row[key]!r} elsewhere"
                raise CurateError(f"features: {name} gives sample {row['sample_id']!r} {shown}", "make the files agree")
    return places


def _first(ids: Sequence[str]) -> str:
    return ", ".join(ids[:SHOWN]) + (", ..." if len(ids) > SHOWN else "")
