"""A tiny data set of real files, scored once for the whole session.

The command line runs in this process, fast once torch is loaded; processes of their own are for signals and pipes.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import wave
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import duckdb
import numpy as np
import pytest
from PIL import Image

RATE, SIDE = 8000, 16
SMALL = {
    "rate": RATE,
    "seconds": 0.5,
    "n_fft": 256,
    "hop": 128,
    "n_mels": 16,
    "size": SIDE,
    "frames": 1,
    "channels": 1,
    "augment": "none",
}
CLASSES = ("ant", "bee", "cow")
TABLES = ("run", "sample", "prediction", "gap", "mixture", "posterior", "selection", "selection_member")
TABLES += ("epoch", "fold_epoch")
TORCH = find_spec("torch") is not None
READER = duckdb.connect()  # to make one takes longer than to read
UNSTEADY = {"run": "started, finished, folder, versions", "selection": "created"}


def write_clips(folder: Path, count: int = 36, classes: tuple[str, ...] = CLASSES) -> Path:
    """`clips.csv` with WAV and PNG files: 2/3 train, 1/6 val, 1/6 test.

    The pitch tells the class, and so does the brightness of the picture, but not of every fourth.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng, seconds = np.random.default_rng(0), np.arange(RATE // 2) / RATE
    rows = ["sample_id,label,split,audio,image"]
    for i in range(count):
        k = i % len(classes)
        split = "train" if i < count * 2 // 3 else "val" if i < count * 5 // 6 else "test"
        tone = 0.4 * np.sin(2 * np.pi * 300 * 3**k * seconds) + 0.1 * rng.standard_normal(len(seconds))
        with wave.open(str(folder / f"{i:02}.wav"), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            file.writeframes((tone.clip(-1, 1) * 32767).astype("<i2").tobytes())
        picture = (rng.integers(0, 60, (SIDE, SIDE)) + (80 * k if i % 4 else 97)).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"{i:02}.png")
        rows.append(f"s{i:02},{classes[k]},{split},{i:02}.wav,{i:02}.png")
    path = folder / "clips.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def small(**changes: object) -> list[str]:
    """`--set` options that keep everything small; None leaves one out."""
    settings = {**{f"data.{k}": v for k, v in SMALL.items()}, "optim.batch_size": 8, "optim.lr": 0.05, **changes}
    return [word for k, v in settings.items() if v is not None for word in ("--set", f"{k}={v}")]


def write_predictions(path: Path, clips: Path) -> Path:
    """Made-up predictions of the samples of a manifest as a CSV: audio knows every class, image not every fourth."""
    rng, heads = np.random.default_rng(0), [f"{m}.{c}" for m in ("audio", "image") for c in CLASSES]
    rows = [",".join(("sample_id", "label", "split", *heads))]
    for i, line in enumerate(clips.read_text().splitlines()[1:]):
        name, label, split, *_ = line.split(",")
        known = np.eye(len(CLASSES))[CLASSES.index(label)]
        logits = np.concatenate([3 * known, (3 if i % 4 else 0) * known]) + 0.5 * rng.standard_normal(2 * len(known))
        rows.append(",".join((name, label, split, *map(str, logits))))
    path.write_text("\n".join(rows) + "\n")
    return path


def read_content(db: Path, unsteady: bool = True, **where: str) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every base table, in order; {} when there is no file.

    Args:
        unsteady: keep what no second run repeats: times and folders.
    """
    if not db.exists():
        return {}
    READER.execute(f"ATTACH '{db}' AS seen (READ_ONLY); USE seen")
    try:
        found = {}
        for table in TABLES:
            left_out = "" if unsteady or table not in UNSTEADY else f"EXCLUDE ({UNSTEADY[table]})"
            clock = " WHERE metric <> 'seconds'" if table.endswith("epoch") and not unsteady else ""
            found[table] = READER.execute(f"SELECT * {left_out} FROM {table}{clock} ORDER BY ALL").fetchall()
        return found
    finally:
        READER.execute("USE memory; DETACH seen")


@pytest.fixture(scope="session")
def content() -> Callable[..., dict[str, list[tuple[object, ...]]]]:
    """Reads every row of a table: `content(db, unsteady=True)`."""
    return read_content


@pytest.fixture(scope="session")
def small_settings() -> Callable[..., list[str]]:
    """`--set` options of a small data set: `small_settings(**{"optim.lr": 0.1})`."""
    return small


@pytest.fixture(scope="session")
def write_small_clips() -> Callable[..., Path]:
    """Writes a manifest and its media: `write_small_clips(folder, count=36, classes=("ant", "bee", "cow"))`."""
    return write_clips


@pytest.fixture
def preds_of_clips(workplace: Path, clips: Path) -> Path:
    """Made-up predictions of the clips, `preds.csv` in the working folder."""
    return write_predictions(workplace / "preds.csv", clips)


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of 36 samples of three classes."""
    return write_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all tests keep decoded media."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def scored_folder(tmp_path_factory: pytest.TempPathFactory, clips: Path, cache_folder: Path, curate: Callable) -> Path:
    """A folder with one scored table and its run; copy it, do not write to it.

    Without torch the scores are of predictions made up for the same samples.
    """
    folder = tmp_path_factory.mktemp("scored")
    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(folder):
        patch.setenv("CURATE_CACHE", str(cache_folder))
        patch.setenv("CURATE_WORKERS", "0")
        if TORCH:
            ended = curate("score", "--dataset", "manifest", "--root", clips, "--epochs", "4", *small())
        else:
            saved = write_predictions(tmp_path_factory.mktemp("saved") / "manifest.csv", clips)
            ended = curate("score", "--predictions", saved)
    assert ended.code == 0, ended.err
    return folder


@pytest.fixture(autouse=True)
def workplace(workplace: Path, monkeypatch: pytest.MonkeyPatch, cache_folder: Path) -> Path:
    """Every test works in a folder of its own."""
    monkeypatch.setenv("CURATE_CACHE", str(cache_folder))
    return workplace


@pytest.fixture
def db(workplace: Path, scored_folder: Path) -> Path:
    """A scored table of the test's own: `curate.duckdb` in its working folder, with the run `score-manifest-1`."""
    shutil.copytree(scored_folder, workplace, dirs_exist_ok=True)
    return workplace / "curate.duckdb"


@pytest.fixture
def refused(workplace: Path, curate: Callable) -> Callable[..., str]:
    """Runs a command that must be refused: one line of error, one of hint, nothing else, nothing stored lost.

    Returns the two lines. Rows may be added (a failed run is recorded), none may change or go.
    """

    def run(*args: str | Path, code: int = 1, stdin: str = "", db: Path = Path("curate.duckdb")) -> str:
        before = read_content(db)
        ended = curate(*args, stdin=stdin)
        assert ended.code == code, ended
        assert ended.out == ""
        told = ended.err.splitlines()  # what was read may be said before, and how far that is on a busy machine
        lines = [line for line in told if not re.search(r" to score; |^note: |^[\w.]+: \d+(/\d+ | items, )", line)]
        assert [line.split(": ")[0] for line in lines] == ["error", "hint"], ended.err
        assert all(len(line) > len("error: ") for line in lines)
        after = read_content(db)
        assert all(set(map(repr, rows)) <= set(map(repr, after[table])) for table, rows in before.items())
        return ended.err

    return run
