"""Small replicas of NVGesture, IEMOCAP and Twitter sarcasm in their true layouts, in real container files."""

from __future__ import annotations

import os
import wave
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

# Rows of the published lists: clip, first frame of depth, of duo, label in v1, label in v2.
TRAIN = [
    ("class_01/subject3_r0", 146, 170, 1, 1),
    ("class_01/subject3_r2", 161, 185, 1, 1),
    ("class_01/subject4_r2", 144, 169, 1, 2),
    ("class_01/subject7_r0", 110, 128, 1, 2),
    ("class_01/subject7_r1", 95, 111, 1, 1),
    ("class_01/subject17_r1", 68, 79, 1, 1),
    ("class_01/subject18_r2", 119, 139, 1, 2),
    ("class_02/subject3_r0", 125, 146, 2, 2),
    ("class_02/subject4_r0", 116, 135, 2, 2),
    ("class_02/subject7_r0", 115, 134, 2, 2),
    ("class_02/subject7_r1", 122, 143, 2, 2),
    ("class_02/subject17_r0", 67, 78, 2, 2),
    ("class_02/subject18_r2", 50, 58, 2, 2),
    ("class_03/subject3_r1", 138, 161, 3, 3),
    ("class_03/subject4_r2", 122, 142, 3, 3),
    ("class_03/subject7_r0", 131, 153, 3, 3),
    ("class_03/subject7_r1", 128, 149, 3, 3),
    ("class_03/subject17_r0", 105, 122, 3, 3),
    ("class_03/subject18_r1", 122, 142, 3, 3),
]
TEST = [
    ("class_01/subject5_r0", 120, 140, 1, 1),
    ("class_01/subject9_r0", 97, 113, 1, 1),
    ("class_02/subject5_r1", 128, 149, 2, 2),
    ("class_02/subject9_r1", 125, 146, 2, 2),
    ("class_03/subject5_r0", 115, 134, 3, 3),
    ("class_03/subject9_r1", 125, 146, 3, 3),
]
EMOTIONS = ("ang", "hap", "neu", "sad", "exc", "fru", "xxx")
SAID = {
    "ang": "What do you want from me?",
    "hap": "[LAUGHTER]",
    "neu": "Excuse me.  Did I miss it?",
    "sad": "I'm so sorry.",
    "exc": "Oh my god!",
    "fru": "That's out of control.",
    "xxx": "Yeah.",
}
TWEETS = (
    "i just love waiting in line <user> emoji_15",
    "what a lovely view of the lake today",
    "it 's <num> degrees !",
)


def write_avi(path: Path, frames: np.ndarray, fps: int = 30) -> None:
    """(F, H, W, 3) uint8 as an AVI or MP4."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=fps)
        video.height, video.width, video.pix_fmt, video.bit_rate = *frames.shape[1:3], "yuv420p", 2_000_000
        video.codec_context.thread_count = 1
        for index, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p", threads=1)
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(video.encode(frame))
        container.mux(video.encode())


def gesture(count: int, level: int, tint: int) -> np.ndarray:
    """(count, 24, 32, 3) frames: flat, of a brightness, red and blue apart by `tint`."""
    frames = np.full((count, 24, 32, 3), level, dtype=np.uint8)
    frames[..., 0] += tint
    return frames


def write_nvgesture(root: Path) -> Path:
    """Lists of both editions, colour, depth, and flow by row, of 19 train and 6 test clips."""
    for split, rows in (("train", TRAIN), ("test", TEST)):
        for edition, column, ending in (("", 3, ""), ("_v2", 4, "\n")):
            lines = [
                f"path:./Video_data/{row[0]} depth:sk_depth:{row[1]}:{row[1] + 80} color:sk_color:{row[1]}:"
                f"{row[1] + 80} duo_left:duo_left:{row[2]}:{row[2] + 93} label:{row[column]} "
                for row in rows
            ]
            (root / f"nvgesture_{split}_correct_cvpr2016{edition}.lst").write_text("\n".join(lines) + ending)
        for index, (clip, first, _, _, label) in enumerate(rows):
            for stream, tint in (("sk_color", 40), ("sk_depth", 0)):
                before = gesture(first, 10, 0)
                write_avi(
                    root / "Video_data" / clip / f"{stream}.avi",
                    np.concatenate([before, gesture(82, 60 * label, tint)]),
                )
            flow = np.zeros((80, 24, 32, 2), np.float32)
            flow[..., 0], flow[..., 1] = label, -label
            (root / "Video_data/flow_data" / split).mkdir(parents=True, exist_ok=True)
            np.save(root / f"Video_data/flow_data/{split}/{index}.npy", flow)
    return root


def write_iemocap(root: Path) -> Path:
    """Five sessions of two dialogues with 14 utterances each: the speaker with markers sits left, on a light ground."""
    for session in range(1, 6):
        for marked, kind in (("F", "impro05a"), ("M", "script01_1b")):
            name = f"Ses0{session}{marked}_{kind}"
            folder = root / "IEMOCAP_full_release" / f"Session{session}"
            labels, spoken, pictures = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""], [], []
            for turn in range(14):
                speaker, emotion = "FM"[turn % 2], EMOTIONS[turn // 2]
                utterance = f"{name}_{speaker}{turn:03}"
                labels += [f"[{turn / 2:.4f} - {turn / 2 + 0.5:.4f}]\t{utterance}\t{emotion}\t[2.5000, 2.5000, 2.5000]"]
                labels += ["C-E2:\tNeutral;\t()", "A-E3:\tval 3; act 2; dom  2;\t()", ""]
                spoken.append(f"{utterance} [{turn / 2:08.4f}-{turn / 2 + 0.5:08.4f}]: {SAID[emotion]}")
                write_wav(folder / "sentences/wav" / name / f"{utterance}.wav", 150 * 2 ** (turn // 4))
                picture = np.full((32, 64, 3), 200, np.uint8)
                picture[:, 32:] = 20 + 10 * (turn // 2)
                pictures += [picture] * 5
            spoken.append("M: [BREATHING]")
            write_text(folder / "dialog/EmoEvaluation" / f"{name}.txt", "\n".join(labels))
            write_text(folder / "dialog/EmoEvaluation" / f"._{name}.txt", "\x00\x05\x16\x07 not a label file")
            write_text(folder / "dialog/transcriptions" / f"{name}.txt", "\n".join(spoken))
            write_avi(folder / "dialog/avi/DivX" / f"{name}.avi", np.stack(pictures), fps=10)
            write_text(folder / "dialog/avi/DivX" / f"._{name}.avi", "\x00\x05\x16\x07")
    return root


def write_sarcasm(root: Path) -> Path:
    """48 train, 12 validation and 12 test tweets as Python lists with CRLF, in blocks of one label."""
    (root / "images").mkdir(parents=True)
    number = 840006160660983809
    for file, count in (("train", 48), ("valid2", 12), ("test2", 12)):
        lines = []
        for i in range(count):
            label, tweet = int(i >= count // 2), str(number)
            labels = [label] if file == "train" else [label, 1 - label if i == 0 else label]
            lines.append(repr([tweet, TWEETS[label] if i % 4 else TWEETS[2], *labels]))
            picture = np.full((30, 40, 3), 60 + 120 * label, np.uint8)
            Image.fromarray(picture).save(root / "images" / f"{tweet}.jpg")
            number += 7
        if file == "train":
            lines[5:5] = [
                repr(["840000000000000001", "so much sarcasm here", 1]),
                repr(["840000000000000003", "see <url>", 1]),
            ]
        write_text(root / "text" / f"{file}.txt", "\r\n".join(lines) + "\r\n")
    return root


def write_text(path: Path, text: str) -> None:
    """UTF-8, line ends as given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


def write_wav(path: Path, pitch: float) -> None:
    """A tone of 0.4 s at 16 kHz, 16 bit, mono."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 8000 * np.sin(2 * np.pi * pitch * np.arange(6400) / 16000)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())


@pytest.fixture(scope="session")
def writers() -> dict[str, Callable[..., None]]:
    """`avi(path, frames, fps)`, `wav(path, pitch)`, `text(path, text)`."""
    return {"avi": write_avi, "wav": write_wav, "text": write_text}


@pytest.fixture(scope="session")
def nvgesture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a replica; copy it, do not write to it."""
    return write_nvgesture(tmp_path_factory.mktemp("nvgesture"))


@pytest.fixture(scope="session")
def iemocap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a replica; copy it, do not write to it."""
    return write_iemocap(tmp_path_factory.mktemp("iemocap"))


@pytest.fixture(scope="session")
def sarcasm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a replica; copy it, do not write to it."""
    return write_sarcasm(tmp_path_factory.mktemp("tweets") / "sarcasm")


@pytest.fixture(scope="session")
def published() -> Path:
    """The real annotation files."""
    shared = Path(__file__).parents[2].parent / "shared/data"
    folder = Path(os.environ.get("CURATE_TEST_DATA", shared)) / "splits"
    if not folder.is_dir():
        pytest.skip(f"no annotation files at {folder}; set CURATE_TEST_DATA")
    return folder


@pytest.fixture
def curate(curate: Callable, workplace: Path) -> Callable:
    """Runs a command in this process, in a folder of the test's own."""
    return curate


@pytest.fixture(scope="session")
def settings() -> Callable[..., Sequence[str]]:
    """`--set` words: `settings(**{"optim.lr": 0.1})`."""
    return lambda **values: [word for k, v in values.items() for word in ("--set", f"{k}={v}")]
