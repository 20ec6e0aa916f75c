"""`ave`: Audio-Visual Event, 4143 events of 28 classes in YouTube clips of 10 s."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from pathlib import Path
from typing import Literal, NamedTuple

from typing_extensions import override

from curate.errors import CurateError, counted
from curate.media.source import Segment, join_source
from curate.types import Sample

from .audiovisual import AudioVisual
from .base import SPLITS
from .layout import SOUND_ENDINGS, VIDEO_ENDINGS, find_list, index_media, inner, list_folders, read_lines
from .presets import AudioPreset

CLASSES = (
    "Church bell",
    "Male speech, man speaking",
    "Bark",
    "Fixed-wing aircraft, airplane",
    "Race car, auto racing",
    "Female speech, woman speaking",
    "Helicopter",
    "Violin, fiddle",
    "Flute",
    "Ukulele",
    "Frying (food)",
    "Truck",
    "Shofar",
    "Motorcycle",
    "Acoustic guitar",
    "Train horn",
    "Clock",
    "Banjo",
    "Goat",
    "Baby cry, infant cry",
    "Bus",
    "Chainsaw",
    "Cat",
    "Horse",
    "Toilet flush",
    "Rodents, rats, mice",
    "Accordion",
    "Mandolin",
)
LINE = "Category&VideoID&Quality&StartTime&EndTime"


class Event(NamedTuple):
    """One line of a split list; times in whole seconds, the end exclusive."""

    label: str
    video: str
    start: int
    end: int
    split: str


class Ave(AudioVisual):
    """Events of 28 classes with the official splits, 3339 / 402 / 402 rows.

    One video may hold several events: 45 have two or three labels for the same times, 18 of them in two splits. Each
    row is a sample. The first label of a video in alphabetical order has the video's id, the next ones `<id>#2`,
    `<id>#3`; `extra` has the other labels, and the group is the video. Public loaders keep one row of each video
    within a split, by file name: `split_variant` `first` (PMR, ReconBoost) or `last` (OGM-GE) does the same.

    Sound is exactly the event, repeated to 10 s; frames are taken from the event. One event, VWi2ENBuTbw, lasts from 0
    to 0 s; its status is `empty_event`. Class order is that of the annotation files.
    """

    name = "ave"
    summary = "Audio-Visual Event: 4143 events of 28 classes in YouTube clips"
    layout = (
        "AVE/<video id>.mp4 (or Audios/<id>.wav with Image-01-FPS/<id>/) with trainSet.txt, valSet.txt, testSet.txt"
    )

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Options(AudioVisual.Options):
        """Settings of `ave`, and those of `AudioVisual`.

        Attributes:
            split_variant: `official` keeps every row; `first` or `last` one row of each video within a split.
            crop: `event` takes sound and frames from the event, `clip` from the whole clip.
        """

        audio: AudioPreset = "spec257x1004"
        split_variant: Literal["official", "first", "last"] = "official"
        crop: Literal["event", "clip"] = "event"

    options: Options

    @override
    def read(self) -> list[Sample]:
        self.classes = CLASSES
        folder = inner(self.root, "AVE_Dataset")
        lists = list_folders(folder, self.options.splits, ("data", "data/AVE"))
        events = [event for split in SPLITS for event in self._read_list(lists, split)]
        kept = self._one_a_video(events) if self.options.split_variant != "official" else events
        self.notes = self._notes(len(events) - len(kept), lists, events)
        at = "" if folder == self.root else f"{folder.relative_to(self.root).as_posix()}/"
        videos = index_media(self.root, [f"{at}AVE"], VIDEO_ENDINGS)
        sounds = index_media(self.root, [f"{at}Audios"], SOUND_ENDINGS)
        frames = index_media(self.root, [f"{at}Image-01-FPS"], ["/"])
        rows: dict[str, list[Event]] = defaultdict(list)
        for event in sorted(kept):
            rows[event.video].append(event)
        samples = []
        for video, own in rows.items():
            complete = videos.get(video) or f"{at}AVE/{video}.mp4"
            paths = {"audio": complete, "visual": complete}
            if video not in videos:
                paths = {"audio": sounds.get(video, complete), "visual": frames.get(video, complete)}
            samples += [self._sample(event, number, own, paths) for number, event in enumerate(own, start=1)]
        return samples

    def _sample(self, event: Event, number: int, own: list[Event], paths: dict[str, str]) -> Sample:
        segment = Segment(event.start, event.end) if self.options.crop == "event" else None
        extra: dict[str, str | float] = {"start": event.start, "end": event.end}
        if others := [e.label for e in own if e is not event]:
            extra["other_labels"] = "; ".join(others)
        return Sample(
            sample_id=event.video if number == 1 else f"{event.video}#{number}",
            label=event.label,
            split=event.split,
            inputs={m: join_source(path, segment) for m, path in paths.items()},
            group=event.video,
            extra=extra,
        )

    def _read_list(self, folders: list[Path], split: str) -> list[Event]:
        """The events of a split, in the order of its list; a header line is skipped."""
        path = find_list(folders, [f"{split}Set.txt"])
        if path is None:
            raise CurateError(
                f"{self.name}: no {split}Set.txt in {folders[0]}", f"expected under --root: {self.layout}"
            )
        return [self._event(path, line, split) for line in read_lines(path) if line != LINE]

    def _event(self, path: Path, line: str, split: str) -> Event:
        cells = line.split("&")
        if len(cells) != 5 or cells[0] not in CLASSES or not (cells[3].isdecimal() and cells[4].isdecimal()):
            raise self.wrong_line(path, line, f"{LINE} with one of the 28 categories")
        return Event(cells[0], cells[1], int(cells[3]), int(cells[4]), split)

    def _one_a_video(self, events: list[Event]) -> list[Event]:
        ordered = events if self.options.split_variant == "last" else events[::-1]
        return list({(e.split, e.video): e for e in ordered}.values())

    def _notes(self, dropped: int, lists: list[Path], events: list[Event]) -> tuple[str, ...]:
        notes = []
        if dropped:
            notes.append(
                f"split_variant={self.options.split_variant} leaves out {counted(dropped, 'row')} "
                "of videos with several"
            )
        if path := find_list(lists, ["Annotations.txt"]):
            rows = {e[:4] for e in (self._event(path, line, "") for line in read_lines(path) if line != LINE)}
            if odd := rows ^ {e[:4] for e in events}:
                notes.append(
                    f"{counted(len(odd), 'row is', 'rows are')} "
                    "in Annotations.txt or in the split lists, but not in both"
                )
        return tuple(notes)
