"""The judge: files made on the fly by the ffmpeg program, which shares no decoder with what is tested."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Run = Callable[..., bytes]


@pytest.fixture(scope="session")
def ffmpeg() -> Run:
    """Runs the ffmpeg program with arguments as one text, in a folder; what it writes to standard output."""
    program = shutil.which("ffmpeg")
    if program is None:
        pytest.skip("the ffmpeg program is not installed")

    def run(arguments: str, folder: Path, given: bytes | None = None) -> bytes:
        command = [program, "-nostdin", "-hide_banner", "-loglevel", "error", "-y", *arguments.split()]
        if given is not None:
            command.remove("-nostdin")
        done = subprocess.run(command, cwd=folder, input=given, capture_output=True, timeout=60)
        if done.returncode:
            pytest.skip(f"this ffmpeg cannot: {done.stderr.decode()[-200:]}")
        return done.stdout

    return run


@pytest.fixture(scope="session")
def frames_of(ffmpeg: Run) -> Callable[[Path, int, int], np.ndarray]:
    """Every frame of a file as the ffmpeg program shows it, (frames, height, width, 3) RGB."""

    def read(path: Path, width: int, height: int) -> np.ndarray:
        raw = ffmpeg(f"-i {path.name} -map 0:v:0 -vsync passthrough -f rawvideo -pix_fmt rgb24 -", path.parent)
        return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)

    return read


class Telling:
    """Clips in which brightness and pitch tell the second: 20 + 20 s of 255, and 400 + 100 s Hz."""

    seconds = 8
    codecs = (
        ("mp4", "libx264", "aac"),
        ("mov", "mpeg4", "pcm_s16le"),
        ("mkv", "libx264", "flac"),
        ("ts", "libx264", "aac"),
        ("mpg", "mpeg2video", "mp2"),
        ("flv", "libx264", "aac"),
        ("avi", "mpeg4", "pcm_s16le"),
        ("webm", "libvpx", "libopus"),
        ("nut", "libx264", "pcm_s16le"),
        ("frag.mp4", "libx264", "aac"),
    )

    def __init__(self, folder: Path, run: Run) -> None:
        self.folder, self.run = folder, run
        self.made: dict[tuple[str, str], Path] = {}
        picture = "nullsrc=s=32x32:r=10:d=8,format=gray,geq=lum='20+20*floor(T)',format=yuv420p"
        sound = "aevalsrc='0.5*sin(2*PI*(400+100*floor(t))*t)':s=48000:d=8"
        run(f"-f lavfi -i {picture} -f lavfi -i {sound} -c:v ffv1 -c:a pcm_s16le all.mkv", folder)

    def __call__(self, ending: str, late: str = "") -> Path:
        """The clip in a container; `late` is `audio` or `video`, whose first 3 s are then cut away."""
        if (ending, late) not in self.made:
            video, audio = next((v, a) for e, v, a in self.codecs if e == ending)
            cut = {"": "", "audio": "[0:a]atrim=3[a]", "video": "[0:v]trim=3[v]"}[late]
            chosen = {
                "": "-map 0:v -map 0:a",
                "audio": f"-filter_complex {cut} -map 0:v -map [a]",
                "video": f"-filter_complex {cut} -map [v] -map 0:a",
            }[late]
            name = f"{late or 'sync'}.{ending}"
            more = "-movflags frag_keyframe+empty_moov" if ending == "frag.mp4" else ""
            more += " -bf 2" if video in ("libx264", "mpeg2video") else ""
            more += " -cpu-used 8 -deadline realtime" if video == "libvpx" else ""
            self.run(
                f"-i all.mkv {chosen} -vsync passthrough -pix_fmt yuv420p -c:v {video} -g 12 -c:a {audio} {more} "
                f"{name}",
                self.folder,
            )
            self.made[ending, late] = self.folder / name
        return self.made[ending, late]

    @staticmethod
    def heard(wave: np.ndarray, rate: int) -> float:
        """The second that a piece of sound is from."""
        spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
        return (float(np.fft.rfftfreq(len(wave), 1 / rate)[spectrum.argmax()]) - 400) / 100

    @staticmethod
    def seen(frame: np.ndarray) -> float:
        """The second that a picture is from."""
        return (float(frame.mean()) - 20) / 20


@pytest.fixture(scope="session")
def telling(ffmpeg: Run, tmp_path_factory: pytest.TempPathFactory) -> Telling:
    """Clips that tell the second; see `Telling`."""
    return Telling(tmp_path_factory.mktemp("telling"), ffmpeg)
