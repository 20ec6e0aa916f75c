"""Base of the data sets whose media are files: limits, one stretch of time per sample, each file read once."""

from __future__ import annotations

import dataclasses
import os
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from curate.errors import CurateError, MediaError
from curate.files.remote import UNREACHABLE, Remote
from curate.media import USUAL, Decoded, Limits, Window, choose_stretch, decode_media
from curate.media.files import at_hand, renamed, stamp
from curate.media.source import Segment
from curate.specs import AudioSpec, VisualSpec
from curate.types import Sample

from .base import Dataset, remote_stamps


class Recordings(Dataset):
    """A data set whose media are files; `media` names them.

    A subclass overrides `decode` for modalities that are not files of sound or pictures.
    """

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Options(Dataset.Options):
        """Settings for decoding files.

        Attributes:
            window: which stretch a sample shows: `own` = sound from the beginning of the file or event, pictures from
                all of it, as the papers do; or the same stretch for sound and pictures, as long as the sound that is
                kept: `start`, `centre`, `loudest`, or `whole`, with which longer ones are an error (`too_long`).
            depth_range: of pictures with one channel of more than 8 bits, e.g. depth in mm: which values become black
                and white, e.g. 0,4000; empty = all that their type can hold.
            max_pixels: of a picture or frame; a larger one is `too_large`.
            max_seconds: of a recording that is decoded for one sample; a longer one is `too_long`.
            max_channels: of a recording; `too_many_channels`.
            max_memory: of what one sample is decoded into, GB; `too_large`.
        """

        window: Window = "own"
        depth_range: str | None = ""
        max_pixels: int = USUAL.pixels
        max_seconds: float = USUAL.seconds
        max_channels: int = USUAL.channels
        max_memory: float = USUAL.memory

    options: Options

    def __init__(self, root: Path | None, options: Options) -> None:
        super().__init__(root, options)
        self.depth_range = parse_range(options.depth_range or "", self.name)
        self.limits = Limits(
            pixels=options.max_pixels,
            seconds=options.max_seconds,
            channels=options.max_channels,
            memory=options.max_memory,
        )
        if min(dataclasses.astuple(self.limits)) <= 0:
            raise CurateError(
                f"{self.name}: a limit is not positive: {self.limits}", f"see `curate datasets {self.name}`"
            )
        self._stretches: dict[str, Segment | MediaError | None] = {}
        self._lengths: dict[Path, float | None] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_stretches": {}, "_lengths": {}, "_remote_stamps": {}}

    def stamp(self, path: Path) -> list[Any] | None:
        """See `curate.media.stamp`; remote files are asked for once, all together."""
        return self._remote_stamps.get(path) if isinstance(path, Remote) else stamp(path)

    @cached_property
    def _remote_stamps(self) -> Mapping[Remote, list[Any] | None]:
        return remote_stamps(self)

    @abstractmethod
    def media(self, sample: Sample) -> Mapping[str, tuple[Path, Segment | None]]:
        """{modality: (file, stretch of the event)} of sound and pictures."""

    def load(self, sample: Sample, modality: str) -> np.ndarray:
        """One medium, decoded."""
        return self.decode(sample, modality).values

    def decode(self, sample: Sample, modality: str) -> Decoded:
        """One file, or a stretch of it, and what was done to it."""
        (found,) = self._read_files(sample, modality, [self.stretch(sample, modality)])
        if isinstance(found, MediaError):
            raise found
        return found

    def decode_all(self, samples: Sequence[Sample], modality: str) -> Iterator[Decoded | Exception]:
        """`decode` for several samples in order; samples of one file are read together."""
        together: dict[Path, list[int]] = defaultdict(list)
        if isinstance(self.specs[modality], AudioSpec | VisualSpec):
            for place, sample in enumerate(samples):
                path, _ = self.media(sample).get(modality, (None, None))
                there = isinstance(path, Remote) or (path is not None and os.path.exists(path))
                if path is not None and sample.label and there:  # missing files are reported one by one
                    together[path].append(place)
        found: dict[int, Decoded | Exception] = {}
        for place, sample in enumerate(samples):
            if place not in found:
                path = self.media(sample).get(modality, (Path(), None))[0]
                shared = together.get(path, [])
                found |= self._decode_together(samples, modality, shared if len(shared) > 1 else [place])
            yield found.pop(place)

    def _decode_together(
        self, samples: Sequence[Sample], modality: str, places: list[int]
    ) -> dict[int, Decoded | Exception]:
        """{place: outcome} of samples of one file, or of one sample."""
        if len(places) == 1:
            try:
                return {places[0]: self.decode(samples[places[0]], modality)}
            except Exception as error:  # an error of one file must not end the run
                return {places[0]: error}
        found: dict[int, Decoded | Exception] = {}
        wanted: list[tuple[int, Segment | None]] = []
        for place in places:
            try:
                wanted.append((place, self.stretch(samples[place], modality)))
            except MediaError as error:
                found[place] = error
        try:
            outcomes = list(self._read_files(samples[places[0]], modality, [segment for _, segment in wanted]))
            found |= {place: outcome for (place, _), outcome in zip(wanted, outcomes, strict=True)}
        except Exception as error:
            found |= {place: error for place, _ in wanted}
        return found

    def _read_files(
        self, sample: Sample, modality: str, segments: Sequence[Segment | None]
    ) -> Iterator[Decoded | MediaError]:
        """Decoded stretches of a sample's file."""
        path, spec = self.media(sample)[modality][0], self.specs[modality]
        with at_hand(path) as file:
            for found in decode_media(file, spec, segments, self.options.window != "own", limits=self.limits):
                yield renamed(found, file, path) if isinstance(found, MediaError) else found

    def stretch(self, sample: Sample, modality: str) -> Segment | None:
        """The stretch of its file that a modality shows; None for the whole file.

        Raises:
            MediaError: as in `choose_stretch`.
        """
        files = {m: f for m, f in self.media(sample).items() if isinstance(self.specs[m], AudioSpec | VisualSpec)}
        if self.options.window == "own":
            return files[modality][1]
        if sample.sample_id not in self._stretches:
            sounds = {m: s.seconds for m, s in self.specs.items() if isinstance(s, AudioSpec)}
            try:
                self._stretches[sample.sample_id] = choose_stretch(
                    self.options.window,
                    min(sounds.values(), default=None),
                    files,
                    list(sounds),
                    self.limits,
                    self._lengths,
                )
            except MediaError as error:
                if error.status == UNREACHABLE:  # it may be answered the next time
                    if self._lengths.get(files[modality][0], 0.0) is None:
                        return None  # a still picture is the same at every moment
                    raise
                self._stretches[sample.sample_id] = error
        found, event = self._stretches[sample.sample_id], files[modality][1]
        if isinstance(found, MediaError):
            raise found
        if found is None or event is None:
            return found
        return Segment(event.start + found.start, event.start + found.end)


def parse_range(text: str, who: str) -> tuple[float, float] | None:
    """`0,4000` to (0, 4000); None for ''.

    Raises:
        CurateError: the text is not two different finite numbers.
    """
    if not text.strip():
        return None
    try:
        low, high = (float(part) for part in text.split(","))
        if low != high and np.isfinite([low, high]).all():
            return low, high
    except ValueError:
        pass
    raise CurateError(
        f"{who}: data.depth_range={text} is no range", "two different numbers: --set data.depth_range=0,4000"
    )
