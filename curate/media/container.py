"""A media container open for reading, and its clock.

Every time in `curate.media` is measured from the container's beginning, which is that of its earliest track, as players
do. For a track that begins later, the difference is its delay.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import MediaError

from .files import check_file
from .source import Segment

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

TIME_SLACK = 2e-3  # s; containers such as FLV and Matroska round time stamps to milliseconds
MAX_GAP = 0.5  # s; a stream that ends more than this before its declared end has a wrong header
WAVE_GAP = 0.01  # s; the same of a WAV file, whose header counts bytes
LENGTHLESS = (
    "mp3",
    "aac",
    "h264",
    "hevc",
    "mpegvideo",
    "mpeg",
    "m4v",
    "ac3",
    "eac3",
    "dts",
    "obu",
)  # formats without a declared length, which FFmpeg has to guess
FROM_ZERO = ("matroska,webm", "flv", "nut")  # the declared length counts from time stamp 0, not from the first one
PLACEHOLDER = 1_900_000_000  # bytes; a recorder that does not know the length writes one near the format's limit
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,live_flv,mpegts,mpeg,mpegvideo,m4v,h261,h263,h264,hevc,vvc,ivf,obu,"
    "av1,vc1,dirac,dnxhd,cavsvideo,ogg,asf,asf_o,wav,w64,aiff,au,caf,flac,mp3,aac,loas,ac3,eac3,dts,dtshd,truehd,mlp,"
    "amr,amrnb,amrwb,ape,wv,tta,tak,mpc,mpc8,shn,voc,nistsphere,sox,spx,ircam,paf,gsm,dsf,iff,adx,gif,apng,gxf,mxf,nut,"
    "rm,dv,swf,wtv,nsv,smjpeg,mjpeg,yuv4mpegpipe,bmp_pipe,cri_pipe,dds_pipe,dpx_pipe,exr_pipe,gem_pipe,gif_pipe,"
    "hdr_pipe,j2k_pipe,jpeg_pipe,jpegls_pipe,jpegxl_pipe,jpegxl_anim,pam_pipe,pbm_pipe,pcx_pipe,pfm_pipe,pgm_pipe,"
    "pgx_pipe,phm_pipe,png_pipe,ppm_pipe,psd_pipe,qoi_pipe,sgi_pipe,sunrast_pipe,tiff_pipe,webp_pipe,xbm_pipe,xpm_pipe"
)
"""FFmpeg's names of formats that contain pictures or sound; not playlists, which name other files to open."""


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """A container open for reading; every decoder error inside the `with` block becomes `undecodable`.

    No other file and no network connection is opened: playlists are an error. Decoders start no threads: many files are
    decoded at once anyway, and a decoder with threads that a forked process frees never comes to an end.
    """
    import av

    check_file(path)
    try:
        with av.open(f"file:{path.absolute()}", metadata_errors="ignore", container_options=OPENING) as container:
            for stream in container.streams:
                if (codec := getattr(stream, "codec_context", None)) is not None:
                    codec.thread_count = 1
            yield container
    except MemoryError as error:
        raise MediaError("too_large", f"{path} needs more memory than there is") from error
    except (av.FFmpegError, OSError, ValueError, IndexError, OverflowError) as error:
        raise MediaError("undecodable", f"{path}: {_described(error)}") from error


OPENING = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}


def _described(error: Exception) -> str:
    """FFmpeg's error message, without the path."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def origin(container: InputContainer) -> float:
    """Zero of the clock: the first time stamp of a container, s."""
    return (container.start_time or 0) / 1_000_000


def declared_length(container: InputContainer) -> float:
    """Seconds from the first to the last time stamp according to the header; 0 if it declares none."""
    length = (container.duration or 0) / 1_000_000
    if container.format.name in FROM_ZERO and origin(container) > 0:
        length -= origin(container)
    return max(length, 0.0)


def declared_seconds(path: Path) -> float:
    """The length that a file declares, s; 0 if it declares none or cannot be opened."""
    try:
        with opened(path) as container:
            return declared_length(container)
    except MediaError:
        return 0.0


def measured_length(path: Path) -> float:
    """Seconds from the first to the last time stamp: as declared, or by reading all packets where that is a guess.

    Raises:
        MediaError: as in `opened`.
    """
    with opened(path) as container:
        length = max(declared_length(container), wave_seconds(path)[0])
        if length > 0 and container.format.name not in LENGTHLESS:
            return length
    return last_packet(path)


def last_packet(path: Path) -> float:
    """Time at which the last packet of a file ends, s from its beginning; nothing is decoded.

    Raises:
        MediaError: as in `opened`.
    """
    import av

    with opened(path) as container:
        begin, last, counted = origin(container), 0.0, 0.0
        try:
            for packet in container.demux():
                if packet.time_base is None or packet.size == 0:
                    continue
                if packet.pts is not None:
                    last = max(last, float((packet.pts + (packet.duration or 0)) * packet.time_base) - begin)
                elif packet.stream.type == "video":
                    counted += 1 / frame_rate(packet.stream)
        except av.FFmpegError:
            pass  # cut within a packet: the packets before it count
    return max(last, counted)


def frame_rate(stream: Any) -> float:
    """Frames per second that a stream declares; 25 if it declares none."""
    return float(stream.average_rate or stream.guessed_rate or 25)


def video_stream(container: InputContainer, path: Path) -> av.VideoStream:
    """The first moving picture of a container.

    Raises:
        MediaError: `no_video` (cover art of a music file is not a video); `undecodable`, no decoder supports it.
    """
    moving = [stream for stream in container.streams.video if not is_cover(stream)]
    if not moving:
        raise MediaError("no_video", f"{path} has no video track")
    result: av.VideoStream = _first_known(moving, path)
    return result


def audio_stream(container: InputContainer, path: Path) -> av.AudioStream:
    """The first sound of a container.

    Raises:
        MediaError: `no_audio`; `undecodable`, no decoder supports it.
    """
    if not container.streams.audio:
        raise MediaError("no_audio", f"{path} has no audio track")
    result: av.AudioStream = _first_known(container.streams.audio, path)
    return result


def is_cover(stream: Any) -> bool:
    """Whether a picture is the cover of a recording."""
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def _first_known(streams: Iterable[Any], path: Path) -> Any:
    for stream in streams:
        if stream.codec_context is not None:
            return stream
    raise MediaError("undecodable", f"{path} is compressed in a way that no decoder here knows")


def decoded(container: InputContainer, stream: Any) -> Iterator[Any]:
    """The frames of a stream. Broken packets are skipped, as players do; more of them than frames are an error."""
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


def check_complete(path: Path, ended: float) -> None:
    """Check that a file was not cut, that is, that not all its tracks end well before the length in its header.

    Args:
        path: the file.
        ended: time at which the track in question ended, s from the beginning of the container.

    Raises:
        MediaError: `truncated`.
    """
    with opened(path) as container:
        lengthless = container.format.name in LENGTHLESS
        promised, held = wave_seconds(path)
        header = max(declared_length(container), promised)
    if promised - held > WAVE_GAP:
        raise MediaError("truncated", f"{path} ends after {held:.2f} s, its header says {promised:.2f} s")
    if lengthless or header - ended <= MAX_GAP:
        return
    last = max(ended, last_packet(path))
    if header - last > MAX_GAP:
        raise MediaError("truncated", f"{path} ends after {last:.2f} s, its header says {header:.2f} s")


def wave_seconds(path: Path) -> tuple[float, float]:
    """Seconds that the header of a WAV file declares, which FFmpeg cuts to the file's size, and those that it holds.

    Both are 0 for other files.

    A file was cut if both its declared length and that of its sound go beyond its end. If only one does, or one is the
    placeholder of a recorder that did not know the length, the file is complete.
    """
    try:
        with path.open("rb") as file:
            kind, complete, form = struct.unpack("<4sI4s", file.read(12))
            if (kind, form) != (b"RIFF", b"WAVE"):
                return 0.0, 0.0
            second = 0
            while True:
                name, size = struct.unpack("<4sI", file.read(8))
                if name == b"data":
                    size = min(size, complete + 8 - file.tell())
                    if not second or size <= 0 or max(size, complete) >= PLACEHOLDER:
                        return 0.0, 0.0
                    return size / second, min(size, path.stat().st_size - file.tell()) / second
                body = file.read(16) if name == b"fmt " else b""
                second = struct.unpack("<I", body[8:12])[0] if body else second
                file.seek(size + size % 2 - len(body), 1)
    except (OSError, struct.error):
        return 0.0, 0.0


def check_segment(segment: Segment | None) -> None:
    """Check that a segment is not empty.

    Raises:
        MediaError: `empty_event`.
    """
    if segment is not None and segment.end <= segment.start:
        raise MediaError("empty_event", f"the event lasts from {segment.start:g} s to {segment.end:g} s")
