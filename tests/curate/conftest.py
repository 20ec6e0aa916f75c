"""Writers of small real media files, shared by the tests of the data side."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

RATE = 16000
VIDEO_CODECS = {
    ".mp4": ("libx264", "aac"),
    ".mkv": ("libx264", "aac"),
    ".avi": ("mpeg4", "libmp3lame"),
    ".flv": ("flv", "libmp3lame"),
    ".webm": ("libvpx", "libopus"),
    ".h264": ("libx264", ""),
}
AUDIO_RATES = {".webm": 48000, ".flv": 44100}  # Hz, where the container or codec allows only some


def tone(frequency: float = 440.0, seconds: float = 1.0, rate: int = RATE, peak: float = 0.5) -> np.ndarray:
    """(samples,) a sine."""
    return (peak * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def write_audio(path: Path, wave: np.ndarray, rate: int = RATE) -> Path:
    """WAV, FLAC or MP3, by the ending of the path."""
    soundfile.write(path, wave, rate)
    return path


def write_picture(path: Path, picture: np.ndarray) -> Path:
    """JPEG or PNG, by the ending of the path."""
    Image.fromarray(picture).save(path)
    return path


def staircase(count: int, side: int = 64) -> np.ndarray:
    """(count, side, side, 3) frames; frame i is flat grey of brightness 20 + 200 i / count."""
    levels = (20 + 200 * np.arange(count) / count).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, side, side, 3)).copy()


def write_video(path: Path, frames: np.ndarray | None, wave: np.ndarray | None = None, fps: int = 10) -> Path:
    """A video in the codecs usual for the ending of the path; either track may be left out."""
    video_codec, audio_codec = VIDEO_CODECS[path.suffix]
    with av.open(str(path), "w") as container:
        video = container.add_stream(video_codec, rate=fps) if frames is not None else None
        audio = None
        if wave is not None:
            audio = container.add_stream(audio_codec, rate=AUDIO_RATES.get(path.suffix, RATE))
            audio.layout = "mono"
        if video is not None:
            video.height, video.width = frames.shape[1:3]
            video.pix_fmt = "yuv420p"
            video.gop_size = 5
            video.bit_rate = 1_000_000
            video.codec_context.thread_count = 1  # what has threads may be freed by a process that is forked later
            for index, picture in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p", threads=1)
                frame.pts, frame.time_base = index, Fraction(1, fps)
                container.mux(video.encode(frame))
            container.mux(video.encode())
        if audio is not None:
            sound = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), format="fltp", layout="mono")
            sound.sample_rate, sound.pts = RATE, 0
            container.mux(audio.encode(sound))
            container.mux(audio.encode())
    return path


class Media:
    """The writers above, as one fixture: tests cannot import their neighbours."""

    rate = RATE
    tone = staticmethod(tone)
    audio = staticmethod(write_audio)
    picture = staticmethod(write_picture)
    staircase = staticmethod(staircase)
    video = staticmethod(write_video)
    video_endings = tuple(VIDEO_CODECS)


@pytest.fixture(scope="session")
def media() -> type[Media]:
    """Writers of WAV, MP3, FLAC, JPEG, PNG and video files."""
    return Media


@pytest.fixture
def write_manifest(tmp_path: Path) -> Callable[..., Path]:
    """Writes a CSV from a header line and rows, in `tmp_path`."""

    def write(header: str, rows: list[str], name: str = "manifest.csv", newline: str = "\n", bom: bool = False) -> Path:
        text = newline.join([header, *rows]) + newline
        path = tmp_path / name
        path.write_bytes((b"\xef\xbb\xbf" if bom else b"") + text.encode())
        return path

    return write
