"""Base of the audio-visual data sets: sound by a named preset, a few frames, media as files or already extracted."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from curate.errors import CurateError
from curate.media import stamp
from curate.media.source import Segment, split_source
from curate.specs import InputSpec, VisualSpec
from curate.types import Sample

from .degrade import generator
from .presets import AUDIO, AudioPreset
from .recordings import Recordings
from .rows import draw


class AudioVisual(Recordings):
    """Audio-visual clips; a subclass reads its annotation in `read`.

    `Sample.inputs` are paths relative to the root; `#t=2,8` after a path means the stretch from 2 to 8 s.
    """

    reusable: ClassVar[bool] = True

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Options(Recordings.Options):
        """Settings of audio-visual clips.

        Attributes:
            audio: preset of the spectrogram, see `presets`.
            frames: frames per clip.
            size: side of a frame, pixels.
            augment: `crop_flip` or `none`.
            splits: folder of the split lists, if they are not under the root.
            val_fraction: share of train that becomes val where the split has none, in (0, 1); stratified.
            seed: of the val part and of splits that are drawn.
        """

        audio: AudioPreset = "stft257x188"
        frames: int = 3
        size: int = 224
        augment: Literal["none", "crop_flip"] = "crop_flip"
        splits: str = ""
        val_fraction: float = 0.1
        seed: int = 0

    options: Options

    def __init__(self, root: Path | None, options: Options) -> None:
        super().__init__(root, options)
        assert root is not None  # the base class raises an error for None
        self.root: Path = root
        if options.frames < 1 or options.size < 1 or not 0 < options.val_fraction < 1:
            wrong = f"frames={options.frames}, size={options.size}, val_fraction={options.val_fraction}"
            raise CurateError(f"{self.name}: out of range: {wrong}", f"see `curate datasets {self.name}`")
        self.modalities = ("audio", "visual")
        visual = VisualSpec(
            frames=options.frames, size=options.size, augment=options.augment, depth_range=self.depth_range
        )
        self.specs: dict[str, InputSpec] = {"audio": AUDIO[options.audio], "visual": visual}
        self.samples = tuple(sorted(self.read(), key=lambda s: s.sample_id))

    @abstractmethod
    def read(self) -> list[Sample]:
        """Read the samples from annotation files and file names; sets `notes`."""

    def media(self, sample: Sample) -> dict[str, tuple[Path, Segment | None]]:
        """The files below the root."""
        parts = {m: split_source(source) for m, source in sample.inputs.items()}
        return {m: (self.root / path, segment) for m, (path, segment) in parts.items()}

    def content(self, sample: Sample) -> Any:
        """The sources, with size and time of each file: a file that was missing before is decoded once it is there."""
        files = self.media(sample)
        return {m: [source, stamp(files[m][0])] for m, source in sample.inputs.items()}

    def carve(self, samples: Sequence[Sample], split: str, fraction: float, whole_groups: bool = False) -> list[Sample]:
        """The samples with a stratified part of train moved to `split`; the draw depends on the seed alone."""
        pool = sorted((s for s in samples if s.split == "train"), key=lambda s: s.sample_id)
        groups = [s.group if whole_groups else None for s in pool]
        drawn = draw([s.label for s in pool], groups, fraction, generator(self.options.seed, type(self).name, split))
        chosen = {pool[i].sample_id for i in drawn}
        if not chosen:
            raise CurateError(
                f"{self.name}: no {split} part can be drawn from {len(pool)} training samples",
                "check the data under --root",
            )
        return [dataclasses.replace(s, split=split) if s.sample_id in chosen else s for s in samples]

    def wrong_line(self, path: Path, line: str, expected: str) -> CurateError:
        """An error for a line of a list that does not have the expected form."""
        return CurateError(f"{self.name}: {path} has the line {line[:60]!r}", f"expected {expected}")
