"""Video: the frames shown at given moments of the container's clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.errors import MediaError

from .container import (
    LENGTHLESS,
    MAX_GAP,
    TIME_SLACK,
    check_complete,
    declared_length,
    decoded,
    frame_rate,
    opened,
    origin,
    video_stream,
)
from .files import USUAL, Limits
from .picture import Picture, Range, show_frame

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

EXACT = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "flv", "mpegts", "nut", "ogg", "asf")
"""Containers in which a seek finds a key frame with the same time stamp as when read from the beginning."""
BACK = (0.0, 0.5, 2.0, 8.0, 30.0)  # s before the moment wanted, tried in turn until a frame before it is found
NEAR = 1.0  # s; a moment that follows within this time is reached by decoding, not by a seek
KEY_FRAMES = 4.0  # s between key frames, roughly: the extra cost of a seek
REPEATED = 1.0  # s; a frame whose time stamp goes back by less is skipped; by more, a new recording was appended
UNSTAMPED = 64  # frames without time stamp that may come before the first with one


class Shorter(MediaError):
    """A video ends before the end declared in its header, but was not cut: the header is wrong.

    Attributes:
        ends: actual end, s.
    """

    def __init__(self, reason: str, ends: float) -> None:
        super().__init__("truncated", reason)
        self.ends = ends


class Shown(NamedTuple):
    """One displayed frame.

    Attributes:
        moment: the time asked for, s.
        time: the time from which the frame is shown, s.
        picture: as a player shows it.
    """

    moment: float
    time: float
    picture: Picture


@dataclass(frozen=True)
class Look:
    """How the frames of a file are read.

    Attributes:
        path: the file.
        depth_range: see `picture`.
        limits: for one item.
        finish: applied to each frame at once; few large frames are then in memory.
    """

    path: Path
    depth_range: Range | None = None
    limits: Limits = USUAL
    finish: Callable[[Picture], Picture] = lambda picture: picture

    def show(self, frame: Any) -> Picture:
        """A decoded frame, converted to 8 bits and finished."""
        return self.finish(show_frame(self.path, frame, self.depth_range, self.limits))


Moments = Sequence[float]


class Track(NamedTuple):
    """The picture track of a container.

    Attributes:
        begins: time of its first frame, s.
        ends: end of its last frame according to the header, s; 0 if not declared.
        facts: see `curate.media.FACTS`, JSON-like.
        seeks: whether a seek is exact.
    """

    begins: float
    ends: float
    facts: dict[str, Any]
    seeks: bool


def read_track(path: Path, limits: Limits = USUAL) -> Track:
    """The picture track according to the header.

    Raises:
        MediaError: as in `opened`; `no_video`, or as in `Limits`.
    """
    from av.stream import Disposition

    with opened(path) as container:
        stream = video_stream(container, path)
        codec = stream.codec_context
        if stream.disposition & Disposition.dependent:
            raise MediaError("undecodable", f"{path} is a picture in tiles (HEIC); save it as JPEG or PNG")
        limits.check_pixels(path, codec.width, codec.height)
        begins = 0.0
        if stream.start_time is not None and stream.time_base:
            begins = max(float(stream.start_time * stream.time_base) - origin(container), 0.0)
        ends = _ends(container, stream, begins)
        facts = {
            "container": container.format.name.split(",")[0],
            "codec": codec.name,
            "pixel_format": codec.pix_fmt,
            "duration": round(declared_length(container), 6) or None,
            "rate": round(frame_rate(stream), 6),
            "begins": round(begins, 6),
        }
        return Track(begins, ends, {k: v for k, v in facts.items() if v}, container.format.name in EXACT)


def _ends(container: InputContainer, stream: av.VideoStream, begins: float) -> float:
    if container.format.name in LENGTHLESS:
        return 0.0
    if stream.duration and stream.time_base:
        return begins + float(stream.duration * stream.time_base)
    return declared_length(container)


def frames_at(look: Look, wanted: Sequence[Moments], seeks: bool) -> Iterator[list[Shown] | MediaError]:
    """For each list of ascending moments, the frames shown then; `truncated` if the video ends before.

    If seeks are exact, each list is decoded separately. Otherwise, or if that is faster in all, the video is decoded
    once for all of them.

    Args:
        seeks: as in `Track`.

    Raises:
        MediaError: a problem of the whole file.
    """
    last = max((moments[-1] for moments in wanted), default=0.0)
    cost = sum(KEY_FRAMES + moments[-1] - moments[0] for moments in wanted)
    if seeks and (len(wanted) == 1 or cost < last):
        for moments in wanted:
            try:
                yield _sought(look, moments)
            except MediaError as error:
                yield error
        return
    yield from _in_order(look, wanted)


def _sought(look: Look, moments: Moments) -> list[Shown]:
    """The frames by seeking; if a seek fails, by decoding from the beginning."""
    import av

    shown: list[Shown] = []
    try:
        with opened(look.path) as container:
            stream = video_stream(container, look.path)
            begin = origin(container)
            current: Iterator[tuple[float, Any, float]] = iter(())
            last: tuple[float, Any, float] | None = None
            for moment in moments:
                if last is None or not last[0] - TIME_SLACK <= moment < last[2] + NEAR:
                    found = _before(container, stream, moment, begin)
                    if found is None:
                        break
                    current = _timed(found, stream, begin)
                    last = next(current)
                while last[2] <= moment + TIME_SLACK and (following := next(current, None)) is not None:
                    last = following
                if moment >= max(last[2], last[0] + MAX_GAP):
                    break
                shown.append(Shown(moment, last[0], look.show(last[1])))
    except av.FFmpegError:  # not seekable; decoding in order may still work
        pass
    if len(shown) == len(moments):
        return shown
    (found_in_order,) = _in_order(look, [moments])
    if isinstance(found_in_order, MediaError):
        raise found_in_order
    return found_in_order


def _before(container: InputContainer, stream: av.VideoStream, moment: float, begin: float) -> Iterator[Any] | None:
    """The frames, beginning with one that is shown at `moment` or before; None if none is found."""
    if not stream.time_base:
        return None
    first = float((stream.start_time or 0) * stream.time_base)
    for back in BACK:
        target = max(begin + moment - back, first)
        container.seek(int(target / stream.time_base), stream=stream)
        frames = decoded(container, stream)
        frame = next(frames, None)
        if frame is None:
            continue
        if frame.time is None:
            return None
        early = frame.time <= max(begin + moment + TIME_SLACK, first + TIME_SLACK)
        if early:
            return chain([frame], frames)
        if target <= first:
            return None
    return None


def _in_order(look: Look, wanted: Sequence[Moments]) -> Iterator[list[Shown] | MediaError]:
    """As `frames_at`, by decoding from the beginning, once for all lists."""
    queue = sorted((moment, which) for which, moments in enumerate(wanted) for moment in moments)
    shown: dict[int, list[Shown]] = {which: [] for which in range(len(wanted))}
    place, ended, last = 0, 0.0, None
    with opened(look.path) as container:
        stream = video_stream(container, look.path)
        for time, frame, ended in _timed(decoded(container, stream), stream, origin(container)):
            look.limits.check_seconds(look.path, time)
            last, due = (time, frame), place
            while due < len(queue) and queue[due][0] + TIME_SLACK < ended:
                due += 1
            place = _show(look, last, queue[place:due], shown) + place
            if place == len(queue):
                break
        if last is not None:
            frozen = max(ended, last[0] + MAX_GAP)
            _show(look, last, [q for q in queue[place:] if q[0] < frozen], shown)
    for which, moments in enumerate(wanted):
        if len(shown[which]) == len(moments):
            yield shown[which]
        else:
            yield _ended_early(look.path, ended, moments)


def _show(
    look: Look,
    last: tuple[float, Any],
    due: list[tuple[float, int]],
    shown: dict[int, list[Shown]],
) -> int:
    """Store one frame for all moments that are due; returns their number."""
    if due:
        picture = look.show(last[1])
        for moment, which in due:
            shown[which].append(Shown(moment, last[0], picture))
    return len(due)


def _ended_early(path: Path, ended: float, moments: Moments) -> MediaError:
    """The error for a moment without a frame."""
    if not ended:
        return MediaError("undecodable", f"no frame of {path} can be decoded")
    try:
        check_complete(path, ended)
    except MediaError as error:
        return error
    return Shorter(f"the video of {path} ends at {ended:.2f} s, before {moments[-1]:.2f} s", ended)


def _timed(frames: Iterator[Any], stream: Any, begin: float) -> Iterator[tuple[float, Any, float]]:
    """(time, frame, time of the next one) of all frames in order; without time stamps by the declared frame rate."""
    step = 1 / frame_rate(stream)
    head = list(islice(frames, 1))
    while head and head[-1].time is None and len(head) < UNSTAMPED and (more := next(frames, None)) is not None:
        head.append(more)
    if not head:
        return
    first = 0.0 if head[-1].time is None else head[-1].time - begin - (len(head) - 1) * step
    before, time = None, first - step
    for frame in chain(head, frames):
        stamped = None if frame.time is None else frame.time - begin
        if stamped is not None and time - REPEATED < stamped <= time:
            continue
        time = time + step if stamped is None or stamped <= time else stamped
        if before is not None:
            yield before[0], before[1], time
        before = (time, frame)
    if before is not None:
        yield before[0], before[1], before[0] + step


def measured_end(path: Path) -> float:
    """End of the last frame of a video, s, measured by decoding all of it.

    Raises:
        MediaError: as in `opened`; `undecodable`, no frame at all.
    """
    ended = 0.0
    with opened(path) as container:
        stream = video_stream(container, path)
        for _, _, following in _timed(decoded(container, stream), stream, origin(container)):
            ended = following
    if not ended:
        raise MediaError("undecodable", f"no frame of {path} can be decoded")
    return ended


def frames_between(path: Path, first: int, end: int) -> Iterator[NDArray[np.uint8]]:
    """The frames number `first` to `end` - 1 of a video, counted from 0 in the order shown, one after the other.

    It decodes from the beginning, because a seek does not find a frame reliably by its number.

    Returns:
        (H, W, 3) uint8 each, RGB.

    Raises:
        MediaError: as in `opened`; `no_video`, or `truncated`: there are fewer frames.
    """
    number, look = first, Look(path)
    with opened(path) as container:
        for frame in islice(decoded(container, video_stream(container, path)), first, end):
            yield look.show(frame).array
            number += 1
    if number < end:
        raise MediaError("truncated", f"{path} ends before frame {end}: {number} or fewer are there")
