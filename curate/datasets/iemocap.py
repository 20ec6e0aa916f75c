"""`iemocap`: emotions of acted dialogues, from voice, picture and words.

C. Busso et al., "IEMOCAP: interactive emotional dyadic motion capture database", Language Resources and Evaluation 42,
2008. The public list of `split_variant=mla` is that of Zhang et al., "Multimodal Representation Learning by
Alternating Unimodal Adaptation", CVPR 2024.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from curate.errors import CurateError, MediaError, counted, unknown_name
from curate.media import Decoded, decode_media, stamp
from curate.media.source import Segment, join_source, split_source
from curate.media.text import make_tokenizer
from curate.specs import AudioSpec, InputSpec, TextSpec, VisualSpec
from curate.types import Sample

from .base import Dataset
from .degrade import generator
from .layout import read_text
from .presets import AUDIO, AudioPreset
from .recordings import Recordings
from .rows import draw

RELEASE = "IEMOCAP_full_release"
SESSIONS = (1, 2, 3, 4, 5)
PRESET: AudioPreset = "fbank1024x128"
FOUR = {"ang": "Angry", "hap": "Happy", "exc": "Happy", "neu": "Neutral", "sad": "Sad"}
SIX = {"ang": "Angry", "exc": "Excited", "fru": "Frustrated", "hap": "Happy", "neu": "Neutral", "sad": "Sad"}

UTTERANCE = re.compile(r"(?P<dialog>Ses0(?P<session>[1-5])(?P<marked>[FM])_\w+?)_(?P<speaker>[FM])\w?\d+")
TIMES = r"\[\s*(?P<start>\d+\.?\d*)\s*-\s*(?P<end>\d+\.?\d*)\s*\]"
LABEL = re.compile(rf"\s*{TIMES}\s+(?P<id>\S+)\s+(?P<label>\w+)(\s|\Z)")
OTHER = re.compile(rf"(?!{LABEL.pattern})\s*\[.*")
"""A line of labels that `LABEL` does not understand."""
SPOKEN = re.compile(rf"\s*(?P<id>Ses\w+)\s*{TIMES}\s*:\s*(?P<text>.*)")
SEPARATOR = " [split|sign] "
LIST_NAMES = {"train": "my_train_iemo.txt", "val": "my_dev_iemo.txt", "test": "my_test_iemo.txt"}


@dataclass(frozen=True)
class Utterance:
    """A turn of a dialogue, as recorded in the release.

    Attributes:
        start, end: in its dialogue, s.
        label: three letters, `neu`, `hap`, `exc`, `xxx` (no agreement) ...
        text: the words spoken; '' where there is no transcription.
    """

    start: float
    end: float
    label: str
    text: str


class Iemocap(Recordings):
    """Utterances in four classes (excitement counted as happiness) or six.

    By default speakers are disjoint: session 5 is test, session 4 val, the others train. `split_variant=mla` reads the
    public random list of 60 / 20 / 20 per cent, in which every speaker and nearly every dialogue is in all splits. Its
    validation part was never published and is drawn from train.

    Pictures come from `faces/<utterance>/` (all frames there, by sorted name), from `subvideo/<utterance>.mp4`, or
    from the dialogue's AVI by the times of the utterance. In the AVI both actors sit side by side. Which of them sits
    on the left is not documented: the option `left` sets it, and the report page shows it.
    """

    name = "iemocap"
    summary = "IEMOCAP: emotions from voice, picture and words; 4 or 6 classes"
    layout = (
        "IEMOCAP_full_release/Session{1..5}/{dialog,sentences}; or my_{train,test}_iemo.txt with subaudio/, subvideo/"
    )
    reusable = True
    defaults: ClassVar[Mapping[str, Any]] = {"optim.batch_size": 32, "score.batch_size": 64}

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Options(Recordings.Options):
        """Settings of `iemocap`.

        Attributes:
            split_variant: `session`, whole sessions; or `mla`, the public list, which needs my_train_iemo.txt and
                my_test_iemo.txt under --root.
            test_session: of `session`.
            val_session: of `session`; none draws whole dialogues instead.
            val_fraction: of train, where val is drawn.
            seed: of that draw.
            labels: 4 = Angry, Happy (with excited), Neutral, Sad; 6 adds Excited and Frustrated on their own.
            modalities: of audio, visual and text, comma separated, in the order that gives the gap its sign.
            left: who sits in the left half of a dialogue's picture: marked (the actor that wears the markers),
                unmarked, F or M; none keeps the whole picture.
            tokenizer: `words` = those of the training texts, or a folder with a Hugging Face tokenizer.
            tokens: kept of a text.
            audio: how sound becomes a picture, a preset by name.
            seconds: kept of a recording; 0 takes the value of the preset.
            frames, size: of the pictures.
        """

        split_variant: Literal["session", "mla"] = "session"
        test_session: int = 5
        val_session: int | None = 4
        val_fraction: float = 0.1
        seed: int = 0
        labels: Literal[4, 6] = 4
        modalities: str = "audio,visual,text"
        left: Literal["marked", "unmarked", "F", "M"] | None = "marked"
        tokenizer: str = "words"
        tokens: int = TextSpec.tokens
        audio: AudioPreset = PRESET
        seconds: float = 0.0
        frames: int = 1
        size: int = VisualSpec.size

    options: Options

    def __init__(self, root: Path | None, options: Options) -> None:
        super().__init__(root, options)
        assert root is not None  # the base class raises an error for None
        _check_options(options)
        self.root: Path = root
        self._release = root / RELEASE if (root / RELEASE).is_dir() else root
        self.modalities = tuple(name.strip() for name in options.modalities.split(","))
        labels = SIX if options.labels == 6 else FOUR
        self.classes = tuple(sorted(set(labels.values())))
        spoken = read_release(self._release)
        if misread := unread_labels(self._release):
            note = (
                f"{counted(len(misread), 'line of labels is', 'lines of labels are')} "
                f"not understood and left out, e.g. {misread[0]}"
            )
            self.notes += (note,)
        rows = list(self._listed() if options.split_variant == "mla" else self._by_session(spoken, labels))
        self.samples = tuple(self._sample(row, spoken.get(row[0])) for row in _with_val(rows, options))
        self.specs = self._specs()

    def _specs(self) -> dict[str, InputSpec]:
        o = self.options
        own = [s.inputs["text"] for s in self.samples if s.split == "train" and "text" in s.inputs]
        self._tokenizer = make_tokenizer(o.tokenizer, own)
        if "text" in self.modalities:
            self.notes += self._tokenizer.notes
        kinds: dict[str, InputSpec] = {
            "audio": _sound(o),
            "visual": VisualSpec(frames=o.frames, size=o.size, depth_range=self.depth_range),
            "text": self._tokenizer.spec(o.tokens),
        }
        return {m: kinds[m] for m in self.modalities}

    def _by_session(self, spoken: Mapping[str, Utterance], labels: Mapping[str, str]) -> Iterator[Row]:
        """The utterances of the release that have one of the classes, split by session."""
        if not spoken:
            raise CurateError(
                f"iemocap: no label in {self._release}/Session1/dialog/EmoEvaluation and the other sessions'",
                f"expected {self.layout}; a list alone needs --set data.split_variant=mla",
            )
        o, left_out = self.options, Counter[str]()
        for name, turn in sorted(spoken.items()):
            if turn.label not in labels:
                left_out[turn.label] += 1
                continue
            session = int(_parts(name)["session"])
            split = "test" if session == o.test_session else "val" if session == o.val_session else "train"
            yield name, labels[turn.label], split, turn.text
        if left_out:
            shown = ", ".join(f"{count} {label}" for label, count in sorted(left_out.items()))
            self.notes += (
                f"{counted(left_out.total(), 'utterance has', 'utterances have')} "
                f"none of the {o.labels} classes: {shown}",
            )
        self.notes += tuple(_absent_sessions(spoken, labels, o))

    def _listed(self) -> Iterator[Row]:
        """The rows of the public list, in order."""
        for split, file in LIST_NAMES.items():
            path = self.root / file
            if path.is_file():
                yield from ((name, label, split, text) for name, text, label in read_list(path, self.classes))
            elif split != "val":
                raise CurateError(f"iemocap: no {file} in {self.root}", f"expected {self.layout}")

    def _sample(self, row: Row, turn: Utterance | None) -> Sample:
        name, label, split, text = row
        parts = _parts(name)
        every = {"audio": self._audio(name, parts), "visual": self._visual(name, parts, turn), "text": text}
        extra: dict[str, str | float] = {"dialog": parts["dialog"]}
        if turn is not None:
            extra["emotion"] = turn.label
        return Sample(
            sample_id=name,
            label=label,
            split=split,
            inputs={m: every[m] for m in self.modalities},
            group=f"Ses0{parts['session']}{parts['speaker']}",
            extra=extra,
        )

    def _audio(self, name: str, parts: Mapping[str, str]) -> str:
        cut = self.root / "subaudio" / f"{name}.wav"
        complete = self._release / f"Session{parts['session']}" / "sentences/wav" / parts["dialog"] / f"{name}.wav"
        return (cut if cut.is_file() else complete).relative_to(self.root).as_posix()

    def _visual(self, name: str, parts: Mapping[str, str], turn: Utterance | None) -> str:
        """A folder of faces, a cut video, or the dialogue's video from the start to the end of the turn."""
        if (self.root / "faces" / name).is_dir():
            return f"faces/{name}"
        avi = self._release / f"Session{parts['session']}" / "dialog/avi/DivX" / f"{parts['dialog']}.avi"
        if turn is None or (self.root / "subvideo" / f"{name}.mp4").is_file():
            return f"subvideo/{name}.mp4"
        return join_source(avi.relative_to(self.root).as_posix(), Segment(turn.start, turn.end))

    def content(self, sample: Sample) -> Any:
        """The text; the other sources, with size and time of each file."""
        files = self.media(sample)
        return {m: [source, stamp(files[m][0])] if m in files else source for m, source in sample.inputs.items()}

    def media(self, sample: Sample) -> dict[str, tuple[Path, Segment | None]]:
        """The recording and the pictures of an utterance."""
        parts = {m: split_source(source) for m, source in sample.inputs.items() if m != "text"}
        return {m: (self.root / path, segment) for m, (path, segment) in parts.items()}

    def decode(self, sample: Sample, modality: str) -> Decoded:
        """The recording, the pictures, or the text of one utterance."""
        spec = self.specs[modality]
        if isinstance(spec, TextSpec):
            return Decoded(self._tokenizer.load(sample.inputs[modality], spec), {})
        return super().decode(sample, modality)

    def _read_files(
        self, sample: Sample, modality: str, segments: Sequence[Segment | None]
    ) -> Iterator[Decoded | MediaError]:
        """Stretches of the sample's file; for a dialogue's video only the half that shows the speaker."""
        path, cut = self.media(sample)[modality]
        halves = {"left": (0.0, 0.5), "right": (0.5, 1.0), "all": (0.0, 1.0)}
        complete = cut is None or modality != "visual"
        part = halves["all" if complete else half(_parts(sample.sample_id), self.options.left)]
        in_step = self.options.window != "own"
        return decode_media(path, self.specs[modality], segments, in_step, part, self.limits)

    def decode_all(self, samples: Sequence[Sample], modality: str) -> Iterator[Decoded | Exception]:
        """`decode` for several samples, one by one because speakers sit in different halves."""
        return Dataset.decode_all(self, samples, modality)


Row = tuple[str, str, str, str]  # utterance, class name, split, text


def read_release(release: Path) -> dict[str, Utterance]:
    """{utterance: what is known about it} of all sessions under a folder; {} where there is no release.

    Files whose names begin with a dot, which some copies have beside the real ones, are ignored.
    """
    found: dict[str, Utterance] = {}
    for session in SESSIONS:
        dialog = release / f"Session{session}" / "dialog"
        texts = dict(_matches(dialog / "transcriptions", SPOKEN, lambda m: (m["id"], m["text"].strip())))
        found |= {
            m["id"]: Utterance(float(m["start"]), float(m["end"]), m["label"], texts.get(m["id"], ""))
            for m in _matches(dialog / "EmoEvaluation", LABEL, lambda m: m)
        }
    return found


def unread_labels(release: Path) -> list[str]:
    """`file: line` of each line of the sessions' labels that is in the form of none."""
    folders = [release / f"Session{session}" / "dialog/EmoEvaluation" for session in SESSIONS]
    return [
        f"{path.name}: {line}"
        for folder in folders
        for path in _texts_of(folder)
        for line in _matches_in(path, OTHER, lambda m: repr(m[0].strip()[:60]))
    ]


def _absent_sessions(
    spoken: Mapping[str, Utterance], labels: Mapping[str, str], options: Iemocap.Options
) -> Iterator[str]:
    """Notes on sessions without an utterance of the classes, and on what that means for the splits."""
    there = {int(_parts(name)["session"]) for name, turn in spoken.items() if turn.label in labels}
    for session in sorted({*SESSIONS} - there):
        meaning = ""
        if session == options.test_session:
            meaning = ": there are no test samples, choose another one with --set data.test_session=NUMBER"
        elif session == options.val_session:
            meaning = ": val is drawn from train, as whole dialogues"
        yield f"session {session} has no utterance of the {options.labels} classes{meaning}"


def _texts_of(folder: Path) -> list[Path]:
    """The text files of a folder, sorted by name."""
    return sorted(folder.glob("Ses*.txt"))


def _matches(folder: Path, pattern: re.Pattern[str], of: Any) -> Iterator[Any]:
    """`of(match)` for each line that the pattern matches in the text files of a folder."""
    for path in _texts_of(folder):
        yield from _matches_in(path, pattern, of)


def _matches_in(path: Path, pattern: re.Pattern[str], of: Any) -> Iterator[Any]:
    """`of(match)` for each line of a file that the pattern matches."""
    for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        if match := pattern.match(line):
            yield of(match)


def read_list(path: Path, classes: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """(utterance, text, class name) of each line `<utterance>.mp4 [split|sign] <text> [split|sign] <class>`.

    Raises:
        CurateError: a line has other fields, an unknown class, or an utterance that was already listed.
    """
    rows: dict[str, tuple[str, str, str]] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        fields = line.split(SEPARATOR)
        name = fields[0].strip().removesuffix(".mp4")
        wrong = len(fields) != 3 or fields[2].strip() not in classes or not UTTERANCE.fullmatch(name)
        if wrong or name in rows:
            message = f"iemocap: line {number} of {path} is not understood or repeats: {line[:80]!r}"
            hint = "expected `Ses03M_script02_1_M002.mp4 [split|sign] text [split|sign] Happy`"
            raise CurateError(message, f"{hint}, of {', '.join(classes)}")
        rows[name] = name, fields[1].strip(), fields[2].strip()
    return list(rows.values())


def _sound(options: Iemocap.Options) -> AudioSpec:
    """The preset; with `seconds`, of that length and with as many columns as result from it."""
    preset = AUDIO[options.audio]
    return dataclasses.replace(preset, seconds=options.seconds, columns=None) if options.seconds else preset


def half(parts: Mapping[str, str], left: str | None) -> str:
    """Which part of the dialogue's picture shows the speaker: `left`, `right` or `all`."""
    if left is None:
        return "all"
    other = {"F": "M", "M": "F"}
    sits = {"marked": parts["marked"], "unmarked": other[parts["marked"]]}.get(left, left)
    return "left" if parts["speaker"] == sits else "right"


def _parts(name: str) -> Mapping[str, str]:
    """Dialogue, session, who wears the markers and who speaks, from a name such as `Ses01F_impro05a_M012`."""
    match = UTTERANCE.fullmatch(name)
    if match is None:
        raise CurateError(f"iemocap: {name!r} is no utterance", "expected e.g. Ses01F_impro01_F000")
    return match.groupdict()


def _with_val(rows: list[Row], options: Iemocap.Options) -> list[Row]:
    """The rows; if none is val, some of train become val, whole dialogues if the split is by session."""
    if any(row[2] == "val" for row in rows):
        return rows
    pool = [i for i, row in enumerate(rows) if row[2] == "train"]
    complete = options.split_variant == "session"
    groups = [_parts(rows[i][0])["dialog"] if complete else None for i in pool]
    drawn = draw([rows[i][1] for i in pool], groups, options.val_fraction, generator(options.seed, "val"))
    chosen = {pool[position] for position in drawn}
    return [(name, label, "val" if i in chosen else split, text) for i, (name, label, split, text) in enumerate(rows)]


def _check_options(options: Iemocap.Options) -> None:
    """Check for impossible settings."""
    chosen = [name.strip() for name in options.modalities.split(",")]
    for name in chosen:
        if name not in ("audio", "visual", "text"):
            raise unknown_name("modality in data.modalities:", name, ("audio", "visual", "text"))
    if len(set(chosen)) < 2 or len(set(chosen)) != len(chosen):
        raise CurateError(f"iemocap: two or three modalities are needed, got {options.modalities!r}", "name each once")
    sessions = {options.test_session, options.val_session} - {None}
    if not sessions <= set(SESSIONS) or options.test_session == options.val_session:
        shown = f"test_session={options.test_session}, val_session={options.val_session}"
        raise CurateError(f"iemocap: impossible settings: {shown}", "sessions are 1 to 5, and the two differ")
    if (
        min(options.tokens, options.frames, options.size) <= 0
        or options.seconds < 0
        or not 0 < options.val_fraction < 1
    ):
        shown = f"tokens={options.tokens}, seconds={options.seconds}, frames={options.frames}, size={options.size}"
        raise CurateError(
            f"iemocap: impossible settings: {shown}, val_fraction={options.val_fraction}",
            "positive, seconds may be 0; val_fraction is below 1",
        )
    if options.split_variant == "mla" and options.labels != 4:
        raise CurateError("iemocap: the public list has 4 classes", "leave out --set data.labels=6")
