"""`crema_d`: CREMA-D, 7442 clips of 91 actors who speak 12 sentences in 6 emotions."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from typing_extensions import override

from curate.errors import CurateError, MediaError, counted
from curate.media import Decoded, declared_seconds
from curate.types import Sample

from .audiovisual import AudioVisual
from .layout import SOUND_ENDINGS, VIDEO_ENDINGS, find_list, index_media, inner, list_folders, read_rows, read_text
from .presets import AudioPreset

CLASSES = ("NEU", "HAP", "SAD", "FEA", "DIS", "ANG")
STEM = re.compile(r"(?P<actor>\d{4})_[A-Z]{3}_(?P<emotion>[A-Z]{3})_(?P<level>[A-Z]{1,2})")
LINE = re.compile(r"(?P<stem>\d{4}_\w+)(\.\w+)?[, ]+(?P<label>[A-Za-z]+)")
LISTS = {
    "ogm": {"train": ("ogm_train.csv", "train.csv"), "test": ("ogm_test.csv", "test.csv")},
    "pmr": {"train": ("pmr_train.csv", "train.csv"), "test": ("pmr_test.csv", "test.csv")},
    "dr": {
        "train": ("dr_my_train.csv", "my_train.csv"),
        "val": ("dr_val.csv", "val.csv"),
        "test": ("dr_test.csv", "test.csv"),
    },
    "mla": {
        "train": ("mla_my_train_cre.txt", "my_train_cre.txt"),
        "test": ("mla_my_test_cre.txt", "my_test_cre.txt"),
    },
}
FOLDERS = ("splits", "data", "data/CREMAD")
VOTES = "processedResults/tabulatedVotes.csv"
CONDITIONS = {"1": "voice", "2": "face", "3": "av"}  # by the first digit of a row's number
TEST_FRACTION = 0.1
KNOWN = {
    "1076_MTI_NEU_XX": "flv and mp3 are very short",
    "1076_MTI_SAD_XX": "an error picture, no sound",
    "1064_TIE_SAD_XX": "the flv has no duration",
    "1064_IEO_DIS_MD": "flv and mp3 last a minute and hold all emotions",
}


class CremaD(AudioVisual):
    """Acted emotions; the class of a clip is the intended emotion, given by the code in its file name.

    The download has no split. Lists are looked for under the root and in its `splits`, `data` and `data/CREMAD`, or in
    `data.splits`: `ogm` = `pmr` (6698 / 744 rows), `dr` (5954 / 744 / 744), `mla` (6698 / 744, another draw: 673 of its
    test clips are training clips in the others), `agm` (the first nine tenths of each `ogm` list; val is the rest of
    both). In all of them every actor is in both train and test. `actor` needs no list: a tenth of the actors are test,
    and a tenth of the others' clips, by actor, are val. `auto` is `ogm` if its lists exist, else `actor`.

    If `processedResults/tabulatedVotes.csv` exists, `extra` has for each emotion the votes of people who only heard
    (`voice_`), only saw (`face_`), or heard and saw (`av_`) the clip, and `human_voice`, `human_face`, `human_av`: the
    share of votes for the intended emotion. `known_issue` has what the authors report about four clips.

    With `length_slack` above 0, a sound that is more than so many seconds shorter than its video, or the reverse, is
    `truncated`: `--set data.length_slack=0.5`. It is off by default: the published splits keep all their clips.
    """

    name = "crema_d"
    summary = "CREMA-D: 7442 clips of 91 actors in 6 emotions"
    layout = "AudioWAV/<clip>.wav (or AudioMP3) and VideoFlash/<clip>.flv (or Image-01-FPS/<clip>/), and split lists"

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Options(AudioVisual.Options):
        """Settings of `crema_d`, and those of `AudioVisual`.

        Attributes:
            split_variant: `auto`, `ogm`, `pmr`, `dr`, `mla`, `agm` or `actor`.
            val_by_actor: val holds whole actors, where it is drawn.
            length_slack: s by which sound and video of a clip may differ, e.g. 0.5; 0 does not compare them.
        """

        audio: AudioPreset = "stft257x188"
        frames: int = 1
        split_variant: Literal["auto", "ogm", "pmr", "dr", "mla", "agm", "actor"] = "auto"
        val_by_actor: bool = False
        length_slack: float = 0.0

    options: Options

    @override
    def read(self) -> list[Sample]:
        self.classes = CLASSES
        folder = inner(self.root, "CREMA-D")
        at = "" if folder == self.root else "CREMA-D/"
        sounds = _complete(index_media(self.root, [f"{at}AudioWAV", f"{at}AudioMP3"], SOUND_ENDINGS))
        videos = _complete(index_media(self.root, [f"{at}VideoFlash"], VIDEO_ENDINGS))
        videos = {**_complete(index_media(self.root, [f"{at}Image-01-FPS"], ["/"])), **videos}
        votes = read_votes(folder / VOTES)
        rows = self._rows(folder, sorted({*sounds, *videos}))
        samples = [
            Sample(
                sample_id=stem,
                label=label,
                split=split,
                inputs={
                    "audio": sounds.get(stem, f"{at}AudioWAV/{stem}.wav"),
                    "visual": videos.get(stem, f"{at}VideoFlash/{stem}.flv"),
                },
                group=stem[:4],
                extra=_extra(stem, label, votes.get(stem, {})),
            )
            for stem, label, split in rows
        ]
        if unlisted := ({*sounds} | {*videos}) - {s.sample_id for s in samples}:
            note = f"{counted(len(unlisted), 'clip is', 'clips are')} in no list and not used, e.g. {min(unlisted)}"
            self.notes = (*self.notes, note)
        if self.variant == "actor":
            samples = self.carve(samples, "test", TEST_FRACTION, whole_groups=True)
        if not any(s.split == "val" for s in samples):
            complete = self.variant == "actor" or self.options.val_by_actor
            samples = self.carve(samples, "val", self.options.val_fraction, whole_groups=complete)
        return samples

    def _rows(self, folder: Path, stems: list[str]) -> list[tuple[str, str, str]]:
        """(clip, label, split) of every clip; without lists every split is `train`."""
        folders = list_folders(folder, self.options.splits, FOLDERS)
        chosen = self.options.split_variant
        names = LISTS.get("ogm" if chosen in ("auto", "agm") else chosen, {})
        paths = {split: find_list(folders, own) for split, own in names.items()}
        if chosen == "auto" and not all(paths.values()):
            self.notes = (
                "no split lists were found: test and val are drawn by actor, which is no published split; put "
                "train.csv and test.csv of OGM-GE under the root",
            )
        self.variant = "actor" if chosen == "auto" and not all(paths.values()) else chosen
        if self.variant == "actor":
            return [(stem, label, "train") for stem in self._all(folder, stems) if (label := _emotion(stem))]
        if absent := [split for split, path in paths.items() if path is None]:
            wanted = ", ".join(names[split][-1] for split in absent)
            raise CurateError(
                f"{self.name}: no {wanted} for split_variant={chosen} in {folders[0]}",
                "put the lists there, or name their folder with --set data.splits=FOLDER",
            )
        rows = [(split, *row) for split, path in paths.items() if path for row in self._read_list(path)]
        if chosen == "agm":
            rows = _recut(rows)
        repeated = [stem for stem, count in Counter(stem for _, stem, _ in rows).items() if count > 1]
        if repeated:
            found = f"{counted(len(repeated), 'clip is', 'clips are')} listed more than once, e.g. {repeated[0]}"
            raise CurateError(
                f"{self.name}: {found}", "the lists are of different variants; name one with split_variant"
            )
        return [(stem, label, split) for split, stem, label in rows]

    def _all(self, folder: Path, stems: list[str]) -> list[str]:
        """All clips of the official list; without that list, those that have a file."""
        path = folder / "SentenceFilenames.csv"
        if not path.is_file():
            return stems
        rows = csv.DictReader(io.StringIO(read_text(path)))
        if "Filename" not in (rows.fieldnames or ()):
            raise CurateError(f"{self.name}: {path} has no column 'Filename'", "fetch it again, or remove it")
        return sorted(row["Filename"] for row in rows)

    def _read_list(self, path: Path) -> list[tuple[str, str]]:
        """(clip, label) of each line: `clip,ANG` with or without quotes and header, or `clip.flv Anger`."""
        found = []
        for line in read_rows(path):
            match = LINE.fullmatch(line)
            label = match["label"][:3].upper() if match else ""
            if match is None or label not in CLASSES:
                raise self.wrong_line(path, line, "`<clip>,ANG` or `<clip>.flv Anger`")
            found.append((match["stem"], label))
        return found

    def decode(self, sample: Sample, modality: str) -> Decoded:
        """One file, decoded; with `length_slack` an error where it is clearly shorter than the clip's other file."""
        found = super().decode(sample, modality)
        paths = {m: path for m, (path, _) in self.media(sample).items()}
        if self.options.length_slack and all(path.is_file() for path in paths.values()):
            seconds = {m: declared_seconds(path) for m, path in paths.items()}
            (other,) = set(paths) - {modality}
            if 0 < seconds[modality] < seconds[other] - self.options.length_slack:
                lengths = f"{modality} lasts {seconds[modality]:.2f} s and {other} {seconds[other]:.2f} s"
                raise MediaError("truncated", f"{paths[modality]}: {lengths}")
        return found


def _complete(found: Mapping[str, str]) -> dict[str, str]:
    """{clip: path}; old copies write the level of one clip with a single X."""
    return {re.sub(r"_X$", "_XX", stem): path for stem, path in found.items() if STEM.fullmatch(stem)}


def _emotion(stem: str) -> str | None:
    """The intended emotion, from the name of the clip."""
    match = STEM.fullmatch(stem)
    return match["emotion"] if match and match["emotion"] in CLASSES else None


def _recut(rows: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """AGM's split: the first nine tenths of each list stay, the rest of both is val."""
    out = []
    for split in ("train", "test"):
        own = [row for row in rows if row[0] == split]
        cut = int(len(own) * 0.9)
        out += own[:cut] + [("val", *row[1:]) for row in own[cut:]]
    return out


def read_votes(path: Path) -> dict[str, dict[str, float]]:
    """{clip: {`voice_ANG`: votes, ...}} from the authors' table of votes; {} where there is none.

    Raises:
        CurateError: the file does not have the form of that table.
    """
    if not path.is_file():
        return {}
    codes = {emotion[0]: emotion for emotion in CLASSES}
    votes: dict[str, dict[str, float]] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        try:
            for row in csv.DictReader(file):
                condition = CONDITIONS[row[""][0]]
                counts = {f"{condition}_{codes[c]}": float(row[c]) for c in codes}
                votes.setdefault(row["fileName"], {}).update(counts)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            message = f"crema_d: {path} has a row that does not fit: {error!r}"
            raise CurateError(
                message, "fetch it again, or remove it: the votes are kept only to be looked at"
            ) from error
    return votes


def _extra(stem: str, label: str, votes: dict[str, float]) -> dict[str, str | float]:
    """What is stored about a clip in addition to its label."""
    extra: dict[str, str | float] = {**votes}
    for condition in CONDITIONS.values() if votes else ():
        if total := sum(votes.get(f"{condition}_{c}", 0.0) for c in CLASSES):
            extra[f"human_{condition}"] = votes[f"{condition}_{label}"] / total
    if stem in KNOWN:
        extra["known_issue"] = KNOWN[stem]
    return extra
