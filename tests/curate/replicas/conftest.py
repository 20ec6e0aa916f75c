"""Small copies of the audio-visual data sets in their true layout."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

SPLITS = Path(os.environ.get("CURATE_TEST_DATA", Path(__file__).parents[4] / "shared/data")) / "splits"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 123456\n"
TINY = {
    "data.size": 32,
    "data.augment": "none",
    "model.encoder": "small_cnn",
    "optim.batch_size": 8,
    "optim.lr": 0.01,
}


class Replica:
    """Writers that every replica needs, on top of those of `media`."""

    pointer = staticmethod(lambda number: POINTER % number)

    def __init__(self, media: type) -> None:
        self.media = media

    def scene(self, index: int, seconds: float, fps: int = 5) -> tuple[np.ndarray, np.ndarray]:
        """Frames (F, 48, 64, 3) and a waveform: second i has brightness 20 + 20 i, and a tone of 200 + 100 i Hz.

        The lowest bits differ from clip to clip, so that no two files are equal.
        """
        counts = np.arange(round(seconds * fps)) // fps
        levels = (20 + 20 * counts + index % 7).astype(np.uint8)
        frames = np.broadcast_to(levels[:, None, None, None], (len(levels), 48, 64, 3)).copy()
        time = np.arange(round(seconds * self.media.rate)) / self.media.rate
        wave = 0.4 * np.sin(2 * np.pi * (200 + 100 * np.floor(time)) * time + index)
        return frames, wave.astype(np.float32)

    def video(self, path: Path, index: int, seconds: float, fps: int = 5, sound: bool = True) -> Path:
        """A clip with its scene."""
        path.parent.mkdir(parents=True, exist_ok=True)
        frames, wave = self.scene(index, seconds, fps)
        return self.media.video(path, frames, wave if sound else None, fps)

    def sound(self, path: Path, index: int, seconds: float) -> Path:
        """The sound of a scene."""
        path.parent.mkdir(parents=True, exist_ok=True)
        return self.media.audio(path, self.scene(index, seconds)[1])

    def pictures(self, folder: Path, index: int, seconds: int, pattern: str = "{:05d}.jpg") -> Path:
        """The scene at one frame a second."""
        folder.mkdir(parents=True, exist_ok=True)
        for second, frame in enumerate(self.scene(index, seconds, fps=1)[0]):
            self.media.picture(folder / pattern.format(second), frame)
        return folder


@pytest.fixture(scope="session")
def replica(media: type) -> Replica:
    """Writers of clips, sounds and folders of frames whose content tells the second."""
    return Replica(media)


@pytest.fixture
def curate(curate: Callable, workplace: Path) -> Callable:
    """Runs a command in this process, in a folder of the test's own."""
    return curate


@pytest.fixture
def tiny() -> Callable[..., list[str]]:
    """`--set` options that keep everything small."""

    def options(*sections: str, **changes: object) -> list[str]:
        settings = {**TINY, **changes}
        return [w for k, v in settings.items() if k.split(".")[0] in sections for w in ("--set", f"{k}={v}")]

    return options


@pytest.fixture
def four_commands(curate, tiny) -> Callable[..., str]:
    """datasets, prepare, score, select and train adaptive; what `datasets` remarked. Broken media are expected."""

    def run(name: str, root: Path, broken: bool, *settings: str) -> str:
        where = ("--root", root, *(w for s in settings for w in ("--set", s)))
        code, _, remarks = curate("datasets", name, *where)
        assert code == 0
        failed = 3 if broken else 0
        code, out, err = curate("prepare", "--dataset", name, *where, *tiny("data"))
        assert (code, "usable" in out) == (failed, True) and " MB in " in err
        code, out, err = curate(
            "score", "--dataset", name, *where, *tiny("data", "model", "optim"), "--epochs", 1, "-q"
        )
        assert code == failed, err
        code, out, err = curate("select", "--fraction", 0.5, "--name", "half")
        assert code == 0, err
        code, out, err = curate("train", "--method", "adaptive", "--epochs", 1, "--set", "method.rounds=1", "-q")
        assert code == 0, err
        assert "fused" in out
        return remarks

    return run


@pytest.fixture
def real_lists() -> Callable[[str], Path]:
    """The folder of a data set's published lists; skips where they are absent."""

    def folder(name: str) -> Path:
        if not (SPLITS / name).is_dir():
            pytest.skip(f"the split files are not at {SPLITS / name}; set CURATE_TEST_DATA")
        return SPLITS / name

    return folder
