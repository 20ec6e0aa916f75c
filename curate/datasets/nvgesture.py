"""`nvgesture`: NVIDIA's dynamic hand gestures in colour, optical flow and depth.

P. Molchanov et al., "Online Detection and Classification of Dynamic Hand Gestures with Recurrent 3D Convolutional
Neural Networks", CVPR 2016.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

import numpy as np

from curate.errors import CurateError, unknown_name
from curate.media import stamp
from curate.media.clips import compute_flow, load_clip, load_flow, need_opencv
from curate.media.source import Segment
from curate.specs import ClipSpec, FlowSpec
from curate.types import Sample

from .base import Dataset
from .layout import read_text

STREAMS = ("visual", "flow", "depth")
LISTS = {
    "v2": "nvgesture_{split}_correct_cvpr2016_v2.lst",
    "v1": "nvgesture_{split}_correct_cvpr2016.lst",
    "mini": "nvgesture_{split}_correct_cvpr2016_v2_mini.lst",
}
FLOW_FOLDER = "Video_data/flow_data"
CLASSES = 25
SUBJECT = re.compile(r"(subject\d+)_r\d+")


@dataclass(frozen=True)
class Line:
    """One line of a list: `path:... depth:sk_depth:146:226 color:sk_color:146:226 duo_left:... label:1`.

    Attributes:
        clip: the clip's folder below `Video_data`, e.g. `class_01/subject3_r0`.
        ranges: {file without ending: (first frame, one past the last)}.
        label: the class name, `class_01` to `class_25`; the folder's name may differ.
    """

    clip: str
    ranges: Mapping[str, tuple[int, int]]
    label: str


class NvGesture(Dataset):
    """Clips of 80 frames in 25 classes, by the official lists; the label is the list's, never the folder's.

    The second edition of the lists corrects 23 labels (15 train, 8 test) and is the default. If both editions are
    there, `extra` has `label_v1` and `label_v2`, an example of real label noise. Subjects are disjoint between train
    and test, and those of `val_subjects` are held out of train for validation.

    Flow is read from `flow_data/{train,test}/<row>.npy` if that folder exists: public code names these files by the row
    of the list, counted from 0, not by the clip. Otherwise it is computed from the colour frames.
    """

    name = "nvgesture"
    summary = "NVIDIA dynamic hand gestures: colour, optical flow, depth; 25 classes"
    layout = (
        "nvgesture_{train,test}_correct_cvpr2016[_v2].lst and Video_data/class_01/subject3_r0/{sk_color,sk_depth}.avi"
    )
    reusable = True
    defaults: ClassVar[Mapping[str, Any]] = {"optim.batch_size": 4, "score.batch_size": 4}

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Options(Dataset.Options):
        """Settings of `nvgesture`; the sizes are those of the literature, and need 48 GB of cache for all three.

        Attributes:
            split_variant: `v2` (corrected labels), `v1` (as first published), or `mini`, a public part of 100 clips.
            modalities: of visual, flow and depth, comma separated, in the order that gives the gap its sign.
            color: the file that `visual` and computed flow come from: sk_color, sk_wrapped or duo_left.
            flow: `files`, `compute` (needs the extra `flow`), or `auto`: files where there is a folder of them.
            val_subjects: subjects of the train list that become val, comma separated.
            frames, size: kept of every clip.
            window, crop: part that the network receives, at random in training.
            flow_limit: pixels of motion, between frames of the kept size, that the largest value stands for.
        """

        split_variant: Literal["v2", "v1", "mini"] = "v2"
        modalities: str = ",".join(STREAMS)
        color: Literal["sk_color", "sk_wrapped", "duo_left"] = "sk_color"
        flow: Literal["auto", "files", "compute"] = "auto"
        val_subjects: str = "subject17,subject18"
        frames: int = ClipSpec.frames
        size: int = ClipSpec.size
        window: int = ClipSpec.window
        crop: int = ClipSpec.crop
        flow_limit: float = FlowSpec.limit

    options: Options

    def __init__(self, root: Path | None, options: Options) -> None:
        super().__init__(root, options)
        assert root is not None  # the base class raises an error for None
        self.root: Path = root
        self.modalities = _modalities(options.modalities)
        self.classes = tuple(f"class_{k:02}" for k in range(1, CLASSES + 1))
        self.specs = self._specs()
        self._flow_files = self._has_flow_files()
        editions = self._read_editions()
        self.samples = tuple(
            self._sample(row, line, split, editions.get(line.clip, {}))
            for split in ("train", "test")
            for row, line in enumerate(self._lines(split, options.split_variant))
        )
        self._check_val()

    def _specs(self) -> dict[str, ClipSpec]:
        o = self.options
        sizes = {"frames": o.frames, "size": o.size, "window": o.window, "crop": o.crop}
        if not (1 <= o.window <= o.frames and 1 <= o.crop <= o.size and o.flow_limit > 0):
            shown = ", ".join(f"{k}={v}" for k, v in {**sizes, "flow_limit": o.flow_limit}.items())
            raise CurateError(
                f"nvgesture: impossible settings: {shown}", "window <= frames and crop <= size, all positive"
            )
        kinds = {
            "visual": ClipSpec(**sizes),
            "flow": FlowSpec(**sizes, limit=o.flow_limit),
            "depth": ClipSpec(**sizes, channels=1),
        }
        return {m: kinds[m] for m in self.modalities}

    def _has_flow_files(self) -> bool:
        """Whether flow is read from files; raises an error where it must be computed and OpenCV is missing."""
        if "flow" not in self.modalities:
            return False
        folder = self.root / FLOW_FOLDER
        wanted = self.options.flow == "files" or (self.options.flow == "auto" and folder.is_dir())
        if wanted and self.options.split_variant == "mini":
            raise CurateError(
                f"nvgesture: {folder} is numbered by the rows of the full lists, which the mini list has not",
                "--set data.flow=compute, or leave flow out of data.modalities",
            )
        if not wanted:
            need_opencv("nvgesture")
        return wanted

    def _lines(self, split: str, variant: str) -> list[Line]:
        path = self.root / LISTS[variant].format(split=split)
        if not path.is_file():
            found = ", ".join(sorted(p.name for p in self.root.glob("*.lst"))) or "no list"
            raise CurateError(f"nvgesture: no {path.name} in {self.root}; found {found}", f"expected {self.layout}")
        return read_list(path)

    def _sample(self, row: int, line: Line, split: str, labels: Mapping[str, str]) -> Sample:
        folder = f"Video_data/{line.clip}"
        color = self._source(folder, self.options.color, line)
        flow = f"{FLOW_FOLDER}/{split}/{row}.npy" if self._flow_files else color
        every = {"visual": color, "flow": flow, "depth": self._source(folder, "sk_depth", line)}
        subject = _subject(line.clip)
        if split == "train" and subject in _listed(self.options.val_subjects):
            split = "val"
        return Sample(
            sample_id=line.clip,
            label=line.label,
            split=split,
            inputs={m: every[m] for m in self.modalities},
            group=subject,
            extra=labels,
        )

    def _source(self, folder: str, stream: str, line: Line) -> str:
        """`<file>@<first>-<end>`; a stream that the list does not name has the frame range of `sk_depth`."""
        first, end = line.ranges.get(stream, line.ranges["sk_depth"])
        return f"{folder}/{stream}.avi@{first}-{end}"

    def _read_editions(self) -> dict[str, dict[str, str]]:
        """{clip: {"label_v1": ..., "label_v2": ...}}, empty unless both editions of the lists are there."""
        files = [(e, self.root / LISTS[e].format(split=split)) for split in ("train", "test") for e in ("v1", "v2")]
        found: dict[str, dict[str, str]] = {}
        if all(path.is_file() for _, path in files):
            for edition, path in files:
                for line in read_list(path):
                    found.setdefault(line.clip, {})[f"label_{edition}"] = line.label
        return found

    def _check_val(self) -> None:
        """Check that the train list has the chosen subjects, and that neither val nor train is empty."""
        groups = {str(s.group) for s in self.samples if s.split != "test"}
        chosen = set(_listed(self.options.val_subjects))
        if unknown := sorted(chosen - groups):
            raise unknown_name("subject in data.val_subjects:", unknown[0], groups)
        if not chosen or chosen == groups:
            message = f"nvgesture: data.val_subjects={self.options.val_subjects!r} leaves nothing for val or for train"
            raise CurateError(message, f"name some of {', '.join(sorted(groups))}")

    def content(self, sample: Sample) -> Any:
        """The sources, and size and time of each file."""
        return {m: [sample.inputs[m], stamp(path)] for m, (path, _) in self.media(sample).items()}

    def media(self, sample: Sample) -> dict[str, tuple[Path, Segment | None]]:
        """The files of a clip; each belongs to this clip alone."""
        return {m: (self.root / source.partition("@")[0], None) for m, source in sample.inputs.items()}

    def load(self, sample: Sample, modality: str) -> np.ndarray:
        """The frames of one stream, or its flow."""
        spec = self.specs[modality]
        path, _, numbers = sample.inputs[modality].partition("@")
        if isinstance(spec, FlowSpec) and self._flow_files:
            return load_flow(self.root / path, spec)
        first, end = map(int, numbers.split("-"))
        if isinstance(spec, FlowSpec):
            return compute_flow(self.root / path, first, end, spec)
        assert isinstance(spec, ClipSpec)
        return load_clip(self.root / path, first, end, spec)


def read_list(path: Path) -> list[Line]:
    """The lines of a list, in order.

    Raises:
        CurateError: a line does not have the expected form, or a clip is listed twice.
    """
    lines = []
    for number, text in enumerate(read_text(path).splitlines(), start=1):
        if text.strip():
            try:
                lines.append(_line(text))
            except (KeyError, ValueError, IndexError):
                message = f"nvgesture: line {number} of {path} is not understood: {text.strip()[:80]!r}"
                hint = "expected `path:./Video_data/class_01/subject3_r0 depth:sk_depth:146:226 ... label:1`"
                raise CurateError(message, hint) from None
    if len({line.clip for line in lines}) != len(lines):
        raise CurateError(f"nvgesture: a clip is listed twice in {path}", "use the list as it was published")
    return lines


def _line(text: str) -> Line:
    fields = dict(part.split(":", 1) for part in text.split())
    label = int(fields.pop("label"))
    if not 1 <= label <= CLASSES:  # 1-based
        raise ValueError(label)
    clip = PurePosixPath(fields.pop("path")).relative_to("Video_data").as_posix()
    if not SUBJECT.fullmatch(PurePosixPath(clip).name):
        raise ValueError(clip)
    ranges = {}
    for stream in fields.values():
        name, first, end = stream.split(":")
        if not 0 <= int(first) < int(end):
            raise ValueError(stream)
        ranges[name] = (int(first), int(end))
    return Line(clip, {**ranges, "sk_depth": ranges["sk_depth"]}, f"class_{label:02}")


def _subject(clip: str) -> str:
    return PurePosixPath(clip).name.partition("_")[0]


def _listed(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _modalities(choice: str) -> tuple[str, ...]:
    chosen = tuple(_listed(choice))
    for name in chosen:
        if name not in STREAMS:
            raise unknown_name("modality in data.modalities:", name, STREAMS)
    if len(chosen) < 2 or len(set(chosen)) != len(chosen):
        raise CurateError(f"nvgesture: two or three modalities are needed, got {choice!r}", f"of {', '.join(STREAMS)}")
    return chosen
