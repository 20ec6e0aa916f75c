"""`kinetics_sounds`: Kinetics-Sounds, clips of 10 s of 31 classes of Kinetics-400 that can be seen and heard."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from typing_extensions import override

from curate.errors import CurateError
from curate.types import Sample

from .audiovisual import AudioVisual
from .layout import SOUND_ENDINGS, VIDEO_ENDINGS, find_list, index_media, list_folders, read_rows
from .presets import AudioPreset

CLASSES = (
    "blowing_nose",
    "blowing_out_candles",
    "bowling",
    "chopping_wood",
    "dribbling_basketball",
    "laughing",
    "mowing_lawn",
    "playing_accordion",
    "playing_bagpipes",
    "playing_bass_guitar",
    "playing_clarinet",
    "playing_drums",
    "playing_guitar",
    "playing_harmonica",
    "playing_keyboard",
    "playing_organ",
    "playing_piano",
    "playing_saxophone",
    "playing_trombone",
    "playing_trumpet",
    "playing_violin",
    "playing_xylophone",
    "ripping_paper",
    "shoveling_snow",
    "shuffling_cards",
    "singing",
    "stomping_grapes",
    "tap_dancing",
    "tapping_guitar",
    "tapping_pen",
    "tickling",
)
LINE = re.compile(r"(?P<clip>[\w-]{11}_\d+(_\d+)?),\d+,(?P<label>\d+)")
CLIP = re.compile(r"(?P<video>[\w-]{11})_(?P<start>\d+)(_\d+)?")
SUBSETS = {"training": "train", "validation": "val", "testing": "test"}
KINETICS = {"train": "train", "val": "val", "validate": "val", "validation": "val", "test": "test"}
FOLDERS = ("splits", "annotations", "data", "data/KineticSound")

SHOWN = 3
"""Files or folders that a note names."""

Row = tuple[str, str, str]  # clip, label, split


class KineticsSounds(AudioVisual):
    """Clips of 31 classes; there is no official archive, only lists over Kinetics-400.

    Lists are looked for under the root and in its `splits`, `annotations`, `data` and `data/KineticSound`, or in
    `data.splits`: `ogm` (`my_train.txt` 14 799, `my_test.txt` 2597), `bml` (`KS_train_val.json`: the same and 1320
    validation clips), `ks_json` (`KS.json` with `my_test.txt`: its training part contains the whole test part, and each
    such test clip gets the id `<clip>#test`; useful only to measure the effect of this leak), and `folders`, which
    needs no list: the folders of Kinetics-400 themselves. `auto` is the first that exists of `ogm`, `bml`, `folders`.

    The lists write the second at which a clip starts in two ways (`_000002_000012` in train, `_2` in test). Files are
    found by YouTube id and second, in either notation.
    """

    name = "kinetics_sounds"
    summary = "Kinetics-Sounds: 31 classes of Kinetics-400 that can be seen and heard"
    layout = (
        "{train,val,test}/<class>/<id>_<start>_<end>.mp4 of Kinetics-400 (or all in one folder; or audio/<clip>.wav "
        "with visual/<clip>/), and my_train.txt with my_test.txt or KS_train_val.json"
    )

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Options(AudioVisual.Options):
        """Settings of `kinetics_sounds`, and those of `AudioVisual`.

        Attributes:
            split_variant: `auto`, `ogm`, `bml`, `ks_json` or `folders`.
        """

        audio: AudioPreset = "fbank1024x128"
        split_variant: Literal["auto", "ogm", "bml", "ks_json", "folders"] = "auto"

    options: Options

    @override
    def read(self) -> list[Sample]:
        self.classes = CLASSES
        videos = self._found((*(f"{name}/*" for name in KINETICS), "videos", ""), VIDEO_ENDINGS)
        sounds = self._found(("audio", "Audios", "train_wav", "test_wav"), SOUND_ENDINGS)
        frames = self._found(("visual", "*_img/Image-01-FPS", "visual/*_imgs/Image-01-FPS", "Image-01-FPS"), ("/",))
        rows = self._rows(list_folders(self.root, self.options.splits, FOLDERS), videos)
        counts: dict[str, int] = defaultdict(int)
        samples = []
        for clip, label, split in rows:
            counts[clip] += 1
            key = _key(clip)
            complete = videos.get(key, f"{clip}.mp4")
            paths = {"audio": complete, "visual": complete}
            if key not in videos:
                paths = {"audio": sounds.get(key, complete), "visual": frames.get(key, complete)}
            sample_id = clip if counts[clip] == 1 else f"{clip}#{split}"
            samples.append(Sample(sample_id=sample_id, label=label, split=split, inputs=paths, group=key[0]))
        if not any(s.split == "val" for s in samples):
            samples = self.carve(samples, "val", self.options.val_fraction)
        return samples

    def _found(self, folders: tuple[str, ...], endings: tuple[str, ...]) -> dict[tuple[str, int], str]:
        """{(YouTube id, second): path} of media."""
        found: dict[tuple[str, int], str] = {}
        for stem, path in index_media(self.root, folders, endings).items():
            if CLIP.fullmatch(stem):
                found.setdefault(_key(stem), path)
        return found

    def _rows(self, folders: list[Path], videos: dict[tuple[str, int], str]) -> list[Row]:
        """(clip, label, split) of the chosen variant."""
        chosen = self.options.split_variant
        lists = {
            name: find_list(folders, [name]) for name in ("my_train.txt", "my_test.txt", "KS_train_val.json", "KS.json")
        }
        needs = {
            "ogm": ("my_train.txt", "my_test.txt"),
            "bml": ("KS_train_val.json",),
            "ks_json": ("KS.json", "my_test.txt"),
        }
        if chosen == "auto":
            chosen = next((v for v in ("ogm", "bml") if all(lists[name] for name in needs[v])), "folders")
        if chosen == "folders":
            return self._by_folder(videos, [name for name, path in lists.items() if path])
        paths = {name: path for name in needs[chosen] if (path := lists[name]) is not None}
        if absent := [name for name in needs[chosen] if name not in paths]:
            raise CurateError(
                f"{self.name}: no {', '.join(absent)} for split_variant={chosen} in {folders[0]}",
                "put it there, or name its folder with --set data.splits=FOLDER",
            )
        rows: list[Row] = []
        for name, path in paths.items():
            rows += self._read_json(path) if path.suffix == ".json" else self._read_list(path, name[3:-4])
        return rows

    def _by_folder(self, videos: dict[tuple[str, int], str], lists: list[str]) -> list[Row]:
        """Every video in `<split>/<class>/`; of a clip that is there several times, the first.

        Args:
            lists: names of the files of lists that are there, which are not read.
        """
        first: dict[tuple[str, int], Path] = {}
        unknown, again, others = Counter[str](), [], []
        rows = []
        for path in self._in_folders():
            label = re.sub(r"[ _]+", "_", path.parent.name).lower()
            if label not in CLASSES:
                unknown[path.parent.name] += 1
            elif not CLIP.fullmatch(path.stem):
                others.append(path)
            elif first.setdefault(_key(path.stem), path) is not path:
                again.append(f"{path.as_posix()} (used: {first[_key(path.stem)].as_posix()})")
            else:
                rows.append((path.stem, label, KINETICS[path.parts[0]]))
        if not rows:
            found = f"; not enough for a split: {', '.join(lists)}" if lists else ""
            message = f"{self.name}: neither lists nor videos of the 31 classes in {self.root}{found}"
            raise CurateError(message, f"expected: {self.layout}")
        kept = {path.as_posix() for path in first.values()}
        outside = [path for path in videos.values() if path not in kept and len(Path(path).parts) != 3]
        self.notes = (
            self._why_folders(lists),
            *_counted(unknown, "folders of no known class"),
            *_told(again, "videos of a clip that is also elsewhere, not used"),
            *_told([path.as_posix() for path in others], "videos whose name is not `<id>_<start>_<end>`, not used"),
            *_told(outside, "videos in no folder `<split>/<class>`, not used"),
        )
        return rows

    def _in_folders(self) -> Iterator[Path]:
        """Every video in `<split>/<class>/`, from the root."""
        for split in KINETICS:
            for folder in sorted(path for path in self.root.glob(f"{split}/*") if path.is_dir()):
                files = sorted(folder.iterdir())
                for ending in VIDEO_ENDINGS:
                    yield from (path.relative_to(self.root) for path in files if path.suffix.lower() == ending)

    def _why_folders(self, lists: list[str]) -> str:
        """The note that says why splits and classes are those of the folders."""
        if self.options.split_variant == "folders":
            reason = "split_variant=folders"
        elif lists:
            needed = "my_train.txt with my_test.txt, or KS_train_val.json, is needed"
            reason = f"{', '.join(lists)} found, which is not read: {needed}"
        else:
            reason = "no lists were found"
        return f"{reason}: splits and classes are those of the folders"

    def _read_list(self, path: Path, split: str) -> list[Row]:
        """The rows `clip,10,class index` of OGM-GE, with or without quotes and header."""
        rows = []
        for line in read_rows(path):
            match = LINE.fullmatch(line)
            if match is None or int(match["label"]) >= len(CLASSES):
                raise self.wrong_line(path, line, "`<id>_<start>[_<end>],10,<class index below 31>`")
            rows.append((match["clip"], CLASSES[int(match["label"])], split))
        return rows

    def _read_json(self, path: Path) -> list[Row]:
        """The clips of a BML file."""
        try:
            database = json.loads(path.read_text(encoding="utf-8-sig"))["database"]
            rows = [(clip, str(item["label"]), SUBSETS[item["subset"]]) for clip, item in database.items()]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"{self.name}: {path} does not fit: {error!r}"
            raise CurateError(message, '{"database": {clip: {"subset": .., "label": ..}}} is expected') from error
        if wrong := [clip for clip, label, _ in rows if label not in CLASSES or not CLIP.fullmatch(clip)]:
            raise self.wrong_line(path, wrong[0], "a clip of one of the 31 classes")
        return rows


def _counted(counts: Counter[str], what: str) -> list[str]:
    """The note on videos by folder, if there are any."""
    if not counts:
        return []
    shown = ", ".join(f"{name} ({count})" for name, count in sorted(counts.items())[:SHOWN])
    more = ", ..." if len(counts) > SHOWN else ""
    return [f"{counts.total()} videos in {len(counts)} {what}, not used: {shown}{more}"]


def _told(names: list[str], what: str) -> list[str]:
    """The note on some files, if there are any."""
    more = ", ..." if len(names) > SHOWN else ""
    return [f"{len(names)} {what}: {', '.join(names[:SHOWN])}{more}"] if names else []


def _key(clip: str) -> tuple[str, int]:
    """(YouTube id, second at which the clip starts); an id may contain '_' and start with '-'."""
    match = CLIP.fullmatch(clip)
    if match is None:
        raise ValueError(f"{clip!r} is no clip of Kinetics")
    return match["video"], int(match["start"])
