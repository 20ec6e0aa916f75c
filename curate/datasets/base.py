"""The interface of a data set: its samples, its classes, and one array per sample and modality."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from curate.config import check_within
from curate.errors import CurateError
from curate.files.remote import Remote, located, whole
from curate.files.stamps import stamps
from curate.media import DECODING, Decoded, check_file
from curate.media.source import Segment
from curate.specs import InputSpec, TextSpec
from curate.types import Sample

SPLITS = ("train", "val", "test")
SHARE, COUNT = (0, 1), (0, 2**31 - 1)
OWN_NAME = re.compile(r"[a-z0-9_]{1,60}")
RANGES: Mapping[str, tuple[float, float]] = {
    "seed": COUNT,
    "train_samples": COUNT,
    "frames": (1, 100_000),
    "size": (1, 16_384),
    "tokens": (1, 1_000_000),
    "rate": (1, 1_000_000),
    "seconds": (0, 86_400),
    "n_fft": (1, 1 << 20),
    "hop": (1, 1 << 24),
    "n_mels": (1, 1 << 16),
    "columns": (1, 1 << 24),
    "length_slack": (0, 86_400),
    "flow_limit": (0, 1e6),
    **{f"{what}_fraction": SHARE for what in ("val", "test")},
    **{f"{what}_{m}": SHARE for what in ("degraded", "harmless", "swapped") for m in ("audio", "visual", "voice")},
}
"""{setting: (least, largest)} for the settings of all data sets."""


def named(path: Path, segment: Segment | None, folder: str) -> dict[str, Any]:
    """Where a medium is, as the sample table keeps it, see `Dataset.all_sources`."""
    file = whole(path)
    if folder and file.startswith((f"{folder}{os.sep}", f"{folder}/")):
        file = file[len(folder) + 1 :]
    return {"file": file, **({} if segment is None else {"start": segment.start, "end": segment.end})}


class Dataset(ABC):
    """One data set: a file in this folder with one subclass, found by its `name`.

    A subclass fills `modalities`, `classes`, `specs` and `samples` in `__init__`, which reads annotation files only.
    Only `load` reads media; it runs in worker processes, so an instance must be picklable.

    Class attributes:
        name: the name on the command line; of an instance with `options.name`, both, as `manifest.cars`.
        summary: one line for `curate datasets`.
        layout: what is expected under `--root`, shown when it is missing; '' when no root is needed.
        revision: increased whenever `load` gives other arrays for the same samples; old caches are then not used.
        remote: True if the root may be on another machine, such as `s3://bucket/clips.csv`.
        reusable: True if an array depends on the sample's own content alone; when some files change, only these are
            decoded again.
        defaults: default settings of this data set, e.g. `{"score.epochs": 20}`; a user's own settings win.

    Attributes:
        root: the folder given by `--root`, or None.
        options: the resolved `Options`.
        modalities: names in declared order; the gap is the first minus the second.
        classes: class names; a sample's class index is its position here.
        specs: {modality: how its arrays are stored}.
        samples: every item of every split, in a fixed order.
        notes: what a user should know about how the data were read, one sentence each.
    """

    name: str
    summary: ClassVar[str]
    layout: ClassVar[str] = ""
    revision: ClassVar[int] = 1
    remote: ClassVar[bool] = False
    reusable: ClassVar[bool] = False
    defaults: ClassVar[Mapping[str, Any]] = {}

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Options:
        """Settings of a data set, reached by `--set data.KEY=VALUE`.

        Attributes:
            name: of these data beside others of their kind in one table: `cars` makes `manifest.cars`, which may be
                typed as `--dataset manifest.cars`.
            drop_leaks: leave out training samples that share a medium with val or test, with status `dropped_leak`.
        """

        name: str = ""
        drop_leaks: bool = False

        def __post_init__(self) -> None:
            check_within(self, "data", RANGES)
            if self.name and not OWN_NAME.fullmatch(self.name):
                shown = repr(self.name[:60]) + "..." * (len(self.name) > 60)
                hint = "use lower-case letters, digits and _, at most 60 of them"
                raise CurateError(f"data.name: {shown} cannot be the name of data", hint)

    modalities: tuple[str, ...]
    classes: tuple[str, ...]
    specs: Mapping[str, InputSpec]
    samples: tuple[Sample, ...]
    notes: tuple[str, ...] = ()

    def __init__(self, root: Path | None, options: Options) -> None:
        if options.name:
            self.name = f"{type(self).name}.{options.name}"
        root = None if root is None else located(root)
        if isinstance(root, Remote) and not self.remote:
            raise CurateError(f"{self.name}: {root} is on another machine", "copy it to this one, or write a manifest")
        if self.layout and (root is None or not root.exists()):
            found = "no --root was given" if root is None else f"{root} does not exist"
            raise CurateError(f"{self.name}: {found}", f"expected under --root: {self.layout}")
        self.root = root
        self.options = options

    @abstractmethod
    def load(self, sample: Sample, modality: str) -> np.ndarray:
        """The array of one modality of one sample, of the spec's shape and dtype.

        Raises:
            MediaError: the medium is missing or unusable.
        """

    def decode(self, sample: Sample, modality: str) -> Decoded:
        """The array of `load`, and what was done to the medium."""
        return Decoded(self.load(sample, modality), {})

    def decode_all(self, samples: Sequence[Sample], modality: str) -> Iterator[Decoded | Exception]:
        """`decode` for several samples in order; an exception in place of a result where it failed."""
        for sample in samples:
            try:
                yield self.decode(sample, modality)
            except Exception as error:  # an error of one file must not end the run
                yield error

    @property
    def decodes(self) -> bool:
        """Whether `load` decodes files; then one process per core is worthwhile."""
        return self.root is not None

    def content(self, sample: Sample) -> Any:
        """What identifies the content of a sample's media, JSON-like; by default the sources themselves."""
        return dict(sample.inputs)

    def media(self, sample: Sample) -> Mapping[str, tuple[Path, Segment | None]]:
        """{modality: (file, stretch of it)} that the checks compare; by default none, for generated data."""
        return {}

    def check_file(self, sample: Sample, modality: str) -> None:
        """Check that the file of a medium, which is on this machine, is there, without decoding it.

        Raises:
            MediaError: it is not, or has no content.
        """
        check_file(self.media(sample)[modality][0])

    def texts(self, sample: Sample) -> Mapping[str, str]:
        """{modality: text} that the checks compare."""
        own = [m for m, spec in self.specs.items() if isinstance(spec, TextSpec)]
        return {m: sample.inputs[m] for m in own if m in sample.inputs}

    def all_sources(self) -> list[dict[str, dict[str, Any]]]:
        """Per sample {modality: `{"text": ...}`, or `{"file": ..., "start": s, "end": s}`}, the last two of a stretch.

        A file in the folder of `root` is named from there, another one by its whole path.
        """
        folder = "" if self.root is None else whole(self.root if self.root.is_dir() else self.root.parent)
        return [
            {m: {"text": text} for m, text in self.texts(sample).items()}
            | {m: named(path, segment, folder) for m, (path, segment) in self.media(sample).items()}
            for sample in self.samples
        ]

    def recipe(self) -> Any:
        """Everything except the samples' content that determines their arrays; JSON-like."""
        specs = {m: [s.kind, dataclasses.asdict(s)] for m, s in self.specs.items()}
        decoding = [DECODING] if self.decodes else []
        options = {key: value for key, value in dataclasses.asdict(self.options).items() if key != "name"}
        return [self.revision, *decoding, self.modalities, self.classes, specs, options]

    def data_id(self) -> str:
        """`name-xxxxxxxxxx`: a digest of samples, labels, splits, content and specs; the key of everything stored."""
        digest = hashlib.sha256(json.dumps(self.recipe(), sort_keys=True, default=str).encode())
        for sample in self.samples:
            row = [sample.sample_id, sample.label, sample.split, sample.planted, self.content(sample)]
            if sample.extra:
                row.append(dict(sample.extra))
            digest.update(json.dumps(row, sort_keys=True, default=str).encode())
        return f"{self.name}-{digest.hexdigest()[:10]}"


def remote_stamps(dataset: Dataset) -> dict[Remote, list[Any] | None]:
    """{remote file: its size and checksum or time}, see `curate.files.stamps`, whose errors it raises."""
    named = {path for sample in dataset.samples for path, _ in dataset.media(sample).values()}
    return stamps(path for path in named if isinstance(path, Remote))
