"""An audio track as mono samples at another rate, from the beginning or from a seek that is exact to the sample."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .container import decoded
from .files import Limits

if TYPE_CHECKING:
    from av.container import InputContainer

Wave = NDArray[np.float32]

HOLE = 0.04  # s; a jump of the time stamps by more is a hole in the recording, filled with silence
RUN_UP = 1.0  # s decoded before a stretch and discarded: decoders and resamplers depend on earlier samples
TIME_ROUNDING = 1e-3  # s


@dataclass
class Heard:
    """Properties of the decoded frames that their mono mix does not show.

    Attributes:
        channel_peak: largest amplitude of any channel in the last piece.
        raw_peak: the largest sample of a floating-point recording so far.
        whole_numbers: whether all its samples so far are integers.
    """

    channel_peak: float = 0.0
    raw_peak: float = 0.0
    whole_numbers: bool = True

    def look(self, frame: Any) -> None:
        """Update the peak of a recording in floating-point PCM, the only one whose format is not planar."""
        if frame.format.name not in ("flt", "dbl"):
            self.whole_numbers = False
            return
        values = frame.to_ndarray()
        self.raw_peak = max(self.raw_peak, float(np.abs(values).max(initial=0.0)))
        self.whole_numbers = self.whole_numbers and bool((values == np.rint(values)).all())


def mono_pieces(
    path: Path, frames: Iterable[Any], rate: int, place: int, late: float, clock: float | None, limits: Limits
) -> Iterator[tuple[int, Wave, Heard]]:
    """(place, mono piece, properties) at `rate`; where rate, channels or format change, a new resampler is started.

    Mono is the mean of the channels: FFmpeg's own downmix would multiply them by 0.71 and clip sound that is in both.

    Args:
        frames: of the track.
        place: of the first frame, samples at `rate` from the beginning of the track.
        late: when the track begins, s from the beginning of the container.
        clock: the first time stamp of the container, if a jump of the time stamps means a hole; else None.
    """
    import av

    resampler, form, seconds, heard = None, None, place / rate, Heard()
    for frame in frames:
        own = (frame.sample_rate, frame.layout.name, frame.format.name)
        stamped = frame.time - clock - late if clock is not None and frame.time is not None else 0.0
        hole = stamped - seconds > HOLE
        if resampler is None or own != form or hole:
            if resampler is not None:
                for mono in _resampled(resampler, None, heard):
                    yield place, mono, heard
                    place += len(mono)
            limits.check_channels(path, frame.layout.nb_channels)
            limits.check_memory(path, 4.0 * frame.samples * rate / frame.sample_rate * frame.layout.nb_channels)
            resampler, form = av.AudioResampler(format="fltp", rate=rate), own
            if hole:
                place, skip = _in_phase(round(stamped * frame.sample_rate), frame.sample_rate, rate)
                seconds = stamped
                if skip < frame.samples:
                    seconds += skip / frame.sample_rate
                    (frame,) = _without([frame], skip)
        heard.look(frame)
        seconds += frame.samples / frame.sample_rate
        for mono in _resampled(resampler, frame, heard):
            yield place, mono, heard
            place += len(mono)
    for mono in _resampled(resampler, None, heard) if resampler is not None else ():
        yield place, mono, heard
        place += len(mono)


def _resampled(resampler: Any, frame: Any, heard: Heard) -> Iterator[Wave]:
    """Mono pieces of a frame; with None the samples that the resampler still holds."""
    for piece in resampler.resample(frame):
        values = piece.to_ndarray()
        heard.channel_peak = float(np.abs(values).max(initial=0.0))
        yield values.mean(axis=0)


def seek(
    container: InputContainer, stream: Any, head: list[Any], seconds: float, rate: int
) -> tuple[int, Iterator[Any]] | None:
    """A place about `seconds` after the beginning of the track, in samples at `rate`, and the frames from there.

    A resampler started at this place has the same phase as one started at the beginning. None if the place is not known
    to the sample from the time stamps.
    """
    source, begin = head[0].sample_rate, head[0].time or 0.0
    container.seek(max(int((begin + seconds) / stream.time_base), 0), stream=stream)
    frames = decoded(container, stream)
    found = list(islice(frames, 3))
    counted = _counted(head, found, stream)
    if counted is None or not 0 < counted <= (seconds + RUN_UP / 2) * source:
        return None
    place, skip = _in_phase(counted, source, rate)
    if skip >= sum(f.samples for f in found):
        return None
    return place, chain(_without(found, skip), frames)


def _in_phase(counted: int, source: int, rate: int) -> tuple[int, int]:
    """The next place that is a whole number of samples both at `rate` and at `source`, in samples at `rate`, and the
    number of samples at `source` to skip until there.
    """
    shared = math.gcd(source, rate)
    skip = -counted % (source // shared)
    return (counted + skip) // (source // shared) * (rate // shared), skip


def _counted(head: list[Any], found: list[Any], stream: Any) -> int | None:
    """Number of samples before the first of the found frames; None if it is not known to the sample."""
    source = head[0].sample_rate
    if not found or any(f.time is None or f.sample_rate != source for f in [*head, *found]):
        return None
    if stream.time_base * source <= 1:  # time stamps as fine as samples
        exact = (found[0].time - head[0].time) * source
        return round(exact) if abs(exact - round(exact)) < 0.2 else None
    size = head[1].samples if len(head) > 2 else 0
    if not size or any(f.samples != size for f in [*head[1:], *found]):
        return None  # rounded time stamps, and frames of several sizes
    frames = (found[0].time - head[1].time) * source / size
    slack = (TIME_ROUNDING + float(stream.time_base)) * source / size
    return head[0].samples + round(frames) * size if abs(frames - round(frames)) < slack < 0.5 else None


def _without(frames: Sequence[Any], skip: int) -> Iterator[Any]:
    """The frames without their first `skip` samples."""
    import av

    for frame in frames:
        if skip >= frame.samples:
            skip -= frame.samples
            continue
        if skip:
            values = frame.to_ndarray()
            width = 1 if frame.format.is_planar else frame.layout.nb_channels
            cut = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(values[:, skip * width :]), format=frame.format.name, layout=frame.layout.name
            )
            cut.sample_rate, cut.pts, cut.time_base = frame.sample_rate, None, frame.time_base
            yield cut
            skip = 0
            continue
        yield frame
