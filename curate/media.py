"""Media files in, NumPy arrays out: waveforms and frames, decoded by PyAV, whose wheel carries FFmpeg.

Whatever is wrong with a file is a `MediaError` with a status, so that nothing is dropped in silence. PyAV and Pillow
are imported when first needed: listing the data sets stays light.

Letters: F frames, H height, W width, in pixels.
"""

from __future__ import annotations

import math
import re
import wave
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import MediaError
from .source import Segment
from .types import AudioSpec, InputSpec, VisualSpec

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

SILENCE = 1e-4  # peak amplitude (of 1) below which a clip says nothing; 16-bit audio has steps of 3e-5
TIME_SLACK = 2e-3  # s; containers such as FLV and Matroska round time stamps to milliseconds
MAX_GAP = 0.5  # s; a stream that ends earlier than this before its declared end has a header that lies
LFS_HEADER = b"version https://git-lfs"
LENGTHLESS = ("mp3", "aac", "h264", "hevc", "mpegvideo")  # formats without a length, which FFmpeg has to guess
PICTURE_ENDINGS = (".jpg", ".jpeg", ".png")
PICTURE_HEADERS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")  # JPEG, PNG; file names are not to be trusted


def check_file(path: Path) -> None:
    """Refuse what is not a media file at all.

    Raises:
        MediaError: `missing`, `empty` (0 bytes) or `lfs_pointer` (the text Git LFS leaves in place of a file).
    """
    if not path.is_file():
        raise MediaError("missing", f"{path} does not exist")
    head = _head(path)
    if not head:
        raise MediaError("empty", f"{path} has 0 bytes")
    if head.startswith(LFS_HEADER):
        raise MediaError("lfs_pointer", f"{path} is a Git LFS pointer; fetch the file with `git lfs pull`")


def stamp(path: Path) -> list[int] | None:
    """[size in bytes, time of modification in s] of a file, None where there is none: when it changes, decode again."""
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_size, int(found.st_mtime)]


def load_medium(path: Path, spec: InputSpec, segment: Segment | None = None) -> np.ndarray:
    """One file, folder of pictures, or a segment of one, as one row of the cache, of the spec's shape and dtype.

    Raises:
        MediaError: as `read_audio`, `fit_waveform`, `read_frames` or `read_folder`.
        ValueError: a spec of clips or texts, which `curate.clips` and `curate.text` load.
    """
    if isinstance(spec, AudioSpec):
        return fit_waveform(read_audio(path, spec.rate, spec.seconds, segment), spec)
    if not isinstance(spec, VisualSpec):
        raise ValueError(f"no file is loaded as {spec.kind}")
    read = read_folder if path.is_dir() else read_frames
    return fit_frames(read(path, spec.frames, segment), spec)


def read_audio(
    path: Path, rate: int, seconds: float | None = None, segment: Segment | None = None
) -> NDArray[np.float32]:
    """The first audio track of a file (WAV, MP3, FLAC, or any video), mixed to mono.

    Args:
        path: the file.
        rate: samples per second wanted, Hz.
        seconds: decode no more than this, s; None decodes everything.
        segment: only this stretch, to the sample, by the time stamps of the track; `seconds` counts from its start.

    Returns:
        (samples,) float32, in [-1, 1] up to overshoots of lossy codecs.

    Raises:
        MediaError: as `check_file`; `undecodable`, `no_audio`, `too_short` (no sample at all), `silent` (no
            sample reaches 1e-4 in what was decoded), `empty_event` (a segment of no length), or `truncated` (the file
            ends more than 0.5 s before its header says, and before what was asked for).
    """
    check_file(path)
    _check_segment(segment)
    until = None if seconds is None else seconds
    if segment is not None:
        until = segment.end if seconds is None else min(segment.end, segment.start + seconds)
    with _opened(path) as container:
        if not container.streams.audio:
            raise MediaError("no_audio", f"{path} has no audio track")
        wave = _waveform(container, rate, until, segment)
    if not len(wave):
        what = "holds no samples" if segment is None else f"ends before {segment.start:g} s"
        raise MediaError("too_short", f"the audio track of {path} {what}")
    if not np.isfinite(wave).all():
        raise MediaError("undecodable", f"the audio of {path} holds NaN or infinite samples")
    if np.abs(wave).max() < SILENCE:
        raise MediaError("silent", f"no sample of {path} reaches {SILENCE:g} of full scale")
    return wave


def read_frames(path: Path, frames: int, segment: Segment | None = None) -> NDArray[np.uint8]:
    """The frames shown at the centres of `frames` equal segments of a video; a picture is repeated.

    With a segment, of that stretch, as far as the video goes. Seeks when the container knows its duration; otherwise
    (FLV streams, broken headers), or when seeking misses, counts the frames and decodes in order. Both ways agree on
    a clip of constant frame rate.

    Returns:
        (frames, H, W, 3) uint8, RGB.

    Raises:
        MediaError: as `check_file`; `undecodable`, `no_video` (cover art of a music file is not a video),
            `empty_event`, `too_short` (the video ends before the segment starts), or `truncated`, as `read_audio`.
    """
    check_file(path)
    _check_segment(segment)
    if _head(path).startswith(PICTURE_HEADERS):
        return np.repeat(_picture(path)[None], frames, axis=0)
    shown = _seek_frames(path, frames, segment)
    return shown if shown is not None else _count_frames(path, frames, segment)


def read_folder(folder: Path, frames: int, segment: Segment | None = None) -> NDArray[np.uint8]:
    """The pictures at the centres of `frames` equal segments of a folder of extracted frames, one a second.

    Pictures are taken in the order of the numbers in their names, so that `frame_00009` comes before `frame_000010`;
    fewer than asked for are repeated. Frame i shows the second from i to i + 1: a segment keeps those that begin in it.

    Returns:
        (frames, H, W, 3) uint8, RGB, at the size of the first picture.

    Raises:
        MediaError: as `check_file`; `missing` (no picture at all), `undecodable`, `empty_event` or `too_short`.
    """
    _check_segment(segment)
    found = (p for p in folder.iterdir() if p.suffix.lower() in PICTURE_ENDINGS and not p.name.startswith("."))
    paths = sorted(found, key=_natural)
    if not paths:
        raise MediaError("missing", f"{folder} holds no pictures")
    inside = paths if segment is None else paths[int(segment.start) : math.ceil(segment.end)]
    if segment is not None and not inside:
        raise MediaError(
            "too_short", f"{folder} holds {len(paths)} s of pictures, the segment starts at {segment.start:g} s"
        )
    chosen = [inside[int(len(inside) * (k + 0.5) / frames)] for k in range(frames)]
    for path in set(chosen):
        check_file(path)
    pictures = {path: _picture(path) for path in sorted(set(chosen))}
    return _same_size([pictures[path] for path in chosen])


def fit_waveform(wave: NDArray[np.floating], spec: AudioSpec) -> NDArray[np.int16]:
    """Cut a waveform at its end, or fill it up by repetition (`tile`) or zeros (`pad`), and clip it to [-1, 1].

    Args:
        wave: (samples,) at `spec.rate`.

    Returns:
        `spec.shape` int16, full scale 32767.

    Raises:
        MediaError: `too_short`, fewer samples than one STFT window: its spectrogram would have no honest column.
    """
    (length,) = spec.shape
    if len(wave) < min(spec.n_fft, length):
        raise MediaError("too_short", f"{len(wave)} samples are less than one STFT window of {spec.n_fft}")
    if len(wave) >= length:
        fitted = wave[:length]
    elif spec.fill == "tile":
        fitted = np.resize(wave, length)  # repeats from the beginning
    else:
        fitted = np.pad(wave, (0, length - len(wave)))
    return np.round(np.clip(fitted, -1, 1) * 32767).astype(np.int16)


def fit_frames(frames: NDArray[np.uint8], spec: VisualSpec) -> NDArray[np.uint8]:
    """Resize frames to a square, aspect ratio not kept (as the literature does), and turn them grey if asked.

    Args:
        frames: (F, H, W, 3) RGB.

    Returns:
        `spec.shape` uint8.
    """
    return resize(frames, spec.size, spec.channels).reshape(spec.shape)


def resize(frames: NDArray[np.uint8], side: int, channels: int) -> NDArray[np.uint8]:
    """(F, H, W, 3) RGB frames to (F, side, side, channels), 1 channel being grey; Pillow's bilinear filter."""
    from PIL import Image

    mode = "L" if channels == 1 else "RGB"
    size = (side, side)
    fitted = [np.asarray(Image.fromarray(f).convert(mode).resize(size, Image.Resampling.BILINEAR)) for f in frames]
    return np.stack(fitted).reshape(len(frames), side, side, channels)


def read_range(path: Path, first: int, end: int) -> NDArray[np.uint8]:
    """The frames number `first` to `end` - 1 of a video, counted from 0 in the order shown.

    Decodes from the beginning: a seek cannot be trusted to hit a frame by its number.

    Returns:
        (end - first, H, W, 3) uint8, RGB.

    Raises:
        MediaError: as `check_file`; `undecodable`, `no_video`, or `truncated`: there are fewer frames.
    """
    check_file(path)
    with _opened(path) as container:
        shown = list(islice(_decoded(container, _video_stream(container)), first, end))
        if len(shown) < end - first:
            raise MediaError("truncated", f"{path} ends before frame {end}: {first + len(shown)} or fewer are there")
        return _stack(shown)


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    """A container open for reading; every failure of the decoder inside becomes `undecodable`."""
    import av

    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            yield container
    except (av.FFmpegError, OSError, ValueError, IndexError, OverflowError) as error:
        raise MediaError("undecodable", f"{path}: {error}") from error


def _head(path: Path) -> bytes:
    """The first bytes of a file."""
    try:
        with path.open("rb") as file:
            return file.read(len(LFS_HEADER))
    except OSError as error:
        raise MediaError("undecodable", f"{path} cannot be read: {error}") from error


def _decoded(container: InputContainer, stream: Any) -> Iterator[Any]:
    """The frames of a stream, skipping broken packets as players do; mostly broken packets are no medium."""
    import av

    good = bad = 0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            bad += 1
            continue
        good += len(frames)
        yield from frames
    if bad > good:
        raise MediaError("undecodable", f"{bad} broken packets against {good} good frames in {container.name}")


def _resampled(frames: Iterable[Any], rate: int) -> Iterator[NDArray[np.float32]]:
    """Mono float32 pieces at `rate`, the resampler's tail included.

    Mono is the mean of the channels: FFmpeg's own downmix would weigh them by 0.71 and clip what both carry.
    """
    import av

    resampler = av.AudioResampler(format="fltp", rate=rate)
    for frame in chain(frames, [None]):
        yield from (piece.to_ndarray().mean(axis=0) for piece in resampler.resample(frame))


def declared_seconds(path: Path) -> float:
    """How long a file says it is, s; 0 where it does not say or cannot be opened."""
    try:
        check_file(path)
        with _opened(path) as container:
            return max((container.duration or 0) / 1_000_000, 0.0)
    except MediaError:
        return 0.0


def _check_segment(segment: Segment | None) -> None:
    """Refuse a segment in which nothing can be."""
    if segment is not None and segment.end <= segment.start:
        raise MediaError("empty_event", f"the event lasts from {segment.start:g} s to {segment.end:g} s")


def _waveform(
    container: InputContainer, rate: int, until: float | None, segment: Segment | None
) -> NDArray[np.float32]:
    """(samples,) of the first audio track up to `until` s, of a segment from its start on.

    Decoded from the beginning: after a seek, MP3 has no exact time stamps. What a track that starts late does not hold
    is left out, not filled with silence.
    """
    stream = container.streams.audio[0]
    decoded = _decoded(container, stream)
    first = next(decoded, None)
    if first is None:
        return np.zeros(0, np.float32)
    late = 0.0
    if segment is not None and first.time is not None:
        late = first.time - (container.start_time or 0) / 1_000_000
    wanted = None if until is None else max(round((until - late) * rate), 0)
    wave = _collect(_resampled(chain([first], decoded), rate), wanted)
    if wanted is None or len(wave) < wanted:
        _check_length(container, late + len(wave) / rate)
    return wave if segment is None else wave[max(round((segment.start - late) * rate), 0) :]


def _check_length(container: InputContainer, ended: float) -> None:
    """Refuse a file that was cut: all its tracks end well before its header says.

    Args:
        ended: where the track in question ended, s.
    """
    import av

    header = max((container.duration or 0) / 1_000_000, _wave_header(Path(container.name)))
    if header - ended <= MAX_GAP or container.format.name in LENGTHLESS:
        return
    origin = (container.start_time or 0) / 1_000_000
    last = ended
    with av.open(container.name, metadata_errors="ignore") as again:
        try:
            for packet in again.demux():
                if packet.pts is not None and packet.time_base is not None:
                    last = max(last, float((packet.pts + (packet.duration or 0)) * packet.time_base) - origin)
        except av.FFmpegError:
            pass  # cut within a packet: what came before it counts
    if header - last > MAX_GAP:
        raise MediaError("truncated", f"{container.name} ends after {last:.2f} s, its header says {header:.2f} s")


def _wave_header(path: Path) -> float:
    """Seconds that the header of a WAV file promises, which FFmpeg cuts to the file's size; 0 for anything else."""
    try:
        with path.open("rb") as file, wave.open(file) as header:
            length = header.getnframes()
            return length / header.getframerate() if length * header.getsampwidth() < 2**31 else 0.0
    except (wave.Error, EOFError, ZeroDivisionError):
        return 0.0


def _collect(pieces: Iterable[NDArray[np.float32]], wanted: int | None) -> NDArray[np.float32]:
    """Join pieces until `wanted` samples are there."""
    kept: list[NDArray[np.float32]] = [np.zeros(0, np.float32)]
    have = 0
    for piece in pieces:
        kept.append(piece)
        have += len(piece)
        if wanted is not None and have >= wanted:
            break
    return np.concatenate(kept)[:wanted]


def _picture(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) of a JPEG or PNG file."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise MediaError("undecodable", f"{path}: {error}") from error


def _video_stream(container: InputContainer) -> av.VideoStream:
    """The first moving picture of a container."""
    from av.stream import Disposition

    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    raise MediaError("no_video", f"{container.name} has no video track")


def _natural(path: Path) -> list[tuple[int, str]]:
    """A key that sorts names by the numbers in them."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name) if part]


def _seek_frames(path: Path, frames: int, segment: Segment | None = None) -> NDArray[np.uint8] | None:
    """(F, H, W, 3) by seeking, or None where duration or time stamps cannot be trusted."""
    import av

    with _opened(path) as container:
        stream = _video_stream(container)
        duration = _duration(container, stream)
        if duration <= 0:
            return None
        start, end = (0.0, duration) if segment is None else (segment.start, min(segment.end, duration))
        if start >= end:
            return None
        try:
            shown = [_shown_at(container, stream, start + (end - start) * (k + 0.5) / frames) for k in range(frames)]
        except av.FFmpegError:  # not seekable; decoding in order may still work
            return None
        found = [frame for frame in shown if frame is not None]
        return _stack(found) if len(found) == frames else None


def _duration(container: InputContainer, stream: av.VideoStream) -> float:
    """Seconds of video, 0 where the file does not say."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / 1_000_000


def _shown_at(container: InputContainer, stream: av.VideoStream, seconds: float) -> av.VideoFrame | None:
    """The frame on screen `seconds` after the start, None if the stream has no time stamps or ends well before."""
    if not stream.time_base:
        return None
    start = float((stream.start_time or 0) * stream.time_base)
    container.seek(int((start + seconds) / stream.time_base), stream=stream)
    last, reached = None, False
    for frame in _decoded(container, stream):
        if frame.time is None:
            return None
        reached = frame.time - start > seconds + TIME_SLACK
        if last is None or not reached:
            last = frame
        if reached:
            break
    if last is None or (not reached and last.time - start < seconds - MAX_GAP):
        return None
    return last


def _count_frames(path: Path, frames: int, segment: Segment | None = None) -> NDArray[np.uint8]:
    """(F, H, W, 3) by decoding twice, to count and to pick: a long clip does not fit in memory.

    A segment is found by the frame rate that the stream declares, 25 per second where it declares none.
    """
    with _opened(path) as container:
        stream = _video_stream(container)
        rate = float(stream.average_rate or 25)
        total = sum(1 for _ in _decoded(container, stream))
        if not total:
            raise MediaError("undecodable", f"no frame of {path} can be decoded")
        _check_length(container, total / rate)
    first, last = (0, total) if segment is None else (int(segment.start * rate), math.ceil(segment.end * rate))
    last = min(last, total)
    if first >= last:
        raise MediaError("too_short", f"{path} has {total} frames, the segment starts at frame {first}")
    wanted = [first + int((last - first) * (k + 0.5) / frames) for k in range(frames)]
    picked = {}
    with _opened(path) as container:
        for index, frame in enumerate(_decoded(container, _video_stream(container))):
            if index in wanted:
                picked[index] = frame
    return _stack([picked[index] for index in wanted])


def _same_size(pictures: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """(F, H, W, 3) of pictures brought to the size of the first."""
    from PIL import Image

    height, width = pictures[0].shape[:2]
    fitted = [
        p if p.shape[:2] == (height, width) else np.asarray(Image.fromarray(p).resize((width, height)))
        for p in pictures
    ]
    return np.stack(fitted)


def _stack(frames: list[av.VideoFrame]) -> NDArray[np.uint8]:
    """(F, H, W, 3) RGB; a stream that changes its size is brought to that of its first frame."""
    width, height = frames[0].width, frames[0].height
    return np.stack([frame.to_ndarray(format="rgb24", width=width, height=height) for frame in frames])
