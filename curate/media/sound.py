"""Sound: the first audio track of a file as mono samples on the container's clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from curate.errors import MediaError

from . import resample
from .container import audio_stream, check_complete, check_segment, declared_length, decoded, is_cover, opened, origin
from .files import USUAL, Limits
from .resample import Heard, Wave
from .source import Segment

if TYPE_CHECKING:
    from av.container import InputContainer

Span = tuple[float | None, float | None]

SILENCE = 1e-4  # peak amplitude (of 1) below which a clip counts as silent; 16-bit audio has steps of 3e-5
NEAR = 8.0  # s; a stretch that begins this early is decoded from the beginning
EXACT = frozenset(
    {"wav", "w64", "aiff", "au", "caf", "flac", "tta", "wv", "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "mpegts"}
    | {"flv", "ogg", "nut", "mp3"}
)
"""Containers whose time stamps after a seek are the same as when read from the beginning."""
REPEATABLE = ("pcm_s", "pcm_u", "flac", "alac", "tta", "wavpack", "vorbis", "opus")
"""Decoders whose output is the same to the bit wherever they begin; stretches may then be read together or apart."""
READ_THROUGH = ("mp3",)
"""In these a seek reads all packets before its target: fast for one stretch, slower than decoding for many."""
STAMPED = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "mpegts", "mpeg", "flv", "nut")
"""Containers in which a jump of the time stamps means that a part is missing."""
FULL_SCALES = (2.0**15, 2.0**23, 2.0**31)


class Sound(NamedTuple):
    """A stretch of a recording.

    Attributes:
        wave: (samples,) mono, in [-1, 1] up to overshoots of lossy codecs.
        facts: what was done to it, JSON-like: see `curate.media.FACTS`.
    """

    wave: Wave
    facts: dict[str, Any]


def read_audio(
    path: Path, rate: int, seconds: float | None = None, segment: Segment | None = None, limits: Limits = USUAL
) -> Wave:
    """The first audio track of a file (WAV, MP3, FLAC, or any video), mixed to mono.

    Args:
        path: the file.
        rate: samples per second wanted, Hz.
        seconds: decode no more than this, s; None decodes everything.
        segment: only this stretch, to the sample, on the container's clock; `seconds` counts from its start.
        limits: for one item.

    Returns:
        (samples,) float32, in [-1, 1] up to overshoots of lossy codecs. Before a track that begins late is silence.

    Raises:
        MediaError: as in `check_file`; `undecodable`, `no_audio`, `empty` (no sample at all), `too_short` (it ends
            before the segment), `silent` (no decoded sample reaches 1e-4), `empty_event` (a segment of no length),
            `truncated` (the file ends more than 0.5 s before the end in its header, and before what was asked for), or
            as in `Limits`.
    """
    check_segment(segment)
    (found,) = read_sounds(path, rate, [span_of(segment, seconds)], limits)
    if isinstance(found, MediaError):
        raise found
    return found.wave


def span_of(segment: Segment | None, seconds: float | None) -> Span:
    """(start, end) of a segment or of the whole file, at most `seconds` long."""
    if segment is None:
        return None, seconds
    return segment.start, segment.end if seconds is None else min(segment.end, segment.start + seconds)


def read_sounds(path: Path, rate: int, spans: Sequence[Span], limits: Limits = USUAL) -> list[Sound | MediaError]:
    """Several stretches of one recording, (start, end) in s on the container's clock, end None for all there is.

    A start of None is the beginning: of the container if it contains pictures too, else of the recording itself.

    If time stamps are reliable, each stretch is decoded separately. Otherwise, or if that is faster in all, the
    recording is decoded once for all of them.

    Returns:
        For each stretch the sound, or the error that `read_audio` would raise.

    Raises:
        MediaError: a problem of the whole file.
    """
    wanted = [_Wanted(start or 0.0, end, anywhere=start is None) for start, end in spans]
    apart = len(wanted) == 1 or _is_cheaper_apart(path, wanted)
    for part in [[one] for one in wanted] if apart else [wanted]:
        _collect(path, rate, part, limits)
    return [_judged(path, one, rate) for one in wanted]


def _is_cheaper_apart(path: Path, wanted: Sequence[_Wanted]) -> bool:
    """Whether to seek each stretch: it must be exact, and decode less than the range that contains them all."""
    with opened(path) as container:
        if container.format.name not in EXACT or container.format.name in READ_THROUGH:
            return False
        if not audio_stream(container, path).codec_context.name.startswith(REPEATABLE):
            return True
        ends = [declared_length(container) if one.end is None else one.end for one in wanted]
    cost = sum(end - one.start + resample.RUN_UP for end, one in zip(ends, wanted, strict=True))
    return cost < max(ends) - min(one.start for one in wanted)


def loudest(path: Path, start: float, end: float, length: float, limits: Limits = USUAL) -> float:
    """Start of the `length` s with most sound energy between `start` and `end`, to the hundredth of a second.

    The first stretch with 99 % of the maximum is taken; for a steady sound that is the beginning.

    Raises:
        MediaError: as in `read_audio`.
    """
    wave = read_audio(path, LISTENING, None, Segment(start, end), limits)
    block = LISTENING // 100
    power = np.add.reduceat(np.square(wave, dtype=np.float64), np.arange(0, len(wave), block))
    total = np.concatenate([[0.0], np.cumsum(power)])
    count = min(round(length * 100), len(power))
    within = total[count:] - total[:-count] if count < len(power) else total[-1:]
    most = within.max()
    first = int(np.flatnonzero(within >= 0.99 * most)[0])
    return min(start + first / 100, max(end - length, start))


LISTENING = 8000  # Hz; enough to find where the sound is


@dataclass
class _Wanted:
    """A stretch that is being read: what is asked for, and what was read so far."""

    start: float
    end: float | None
    anywhere: bool = False  # begins with the track itself if the file has no pictures
    first: int = 0  # samples from the beginning of the track, at the rate wanted
    last: int | None = None
    have: int = 0
    filled: int = 0
    channel_peak: float = 0.0
    raw_peak: float = 0.0
    whole_numbers: bool = True
    ended: float = 0.0
    pieces: list[Wave] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def take(self, at: int, piece: Wave, heard: Heard) -> None:
        """Keep the part of a piece, which begins at sample `at`, that is within this stretch."""
        low = max(at, self.first + self.have)
        high = at + len(piece) if self.last is None else min(at + len(piece), self.last)
        if high <= low:
            return
        hole = low - self.first - self.have
        if hole:
            self.pieces.append(np.zeros(hole, np.float32))
            self.filled += hole
        self.pieces.append(piece[low - at : high - at].copy())
        self.have = high - self.first
        self.channel_peak = max(self.channel_peak, heard.channel_peak)
        self.raw_peak = max(self.raw_peak, heard.raw_peak)
        self.whole_numbers &= heard.whole_numbers


def _collect(path: Path, rate: int, wanted: Sequence[_Wanted], limits: Limits) -> None:
    """Decode the stretches in one pass: from shortly before them if a seek is exact, else from the beginning."""
    with opened(path) as container:
        stream = audio_stream(container, path)
        limits.check_channels(path, stream.codec_context.channels)
        frames = decoded(container, stream)
        head = list(islice(frames, 4))
        if not head:
            return
        begin = origin(container)
        late = max(head[0].time - begin, 0.0) if head[0].time is not None else 0.0
        facts = _facts(container, stream, head[0], late)
        alone = not any(not is_cover(s) for s in container.streams.video)
        for one in wanted:
            one.facts = dict(facts)
            if one.anywhere and alone:
                one.start, one.end = late, None if one.end is None else one.end + late
            one.first = round((one.start - late) * rate)
            one.last = None if one.end is None else max(round((one.end - late) * rate), 0)
        _check_cost(path, rate, wanted, limits, declared_length(container))
        clock = begin if container.format.name in STAMPED else None
        early = min(one.start for one in wanted) - late
        ended = 0
        dithered = stream.codec_context.name.startswith("mp2") and container.format.name in READ_THROUGH
        if early <= NEAR or container.format.name not in EXACT or dithered:
            pieces = resample.mono_pieces(path, chain(head, frames), rate, 0, late, clock, limits)
            ended = _fill(path, rate, wanted, pieces, limits)
        elif (found := resample.seek(container, stream, head, early - resample.RUN_UP, rate)) is not None:
            ended = _fill(
                path, rate, wanted, resample.mono_pieces(path, found[1], rate, found[0], late, clock, limits), limits
            )
    if not ended:  # the seek failed
        with opened(path) as container:
            frames = decoded(container, audio_stream(container, path))
            ended = _fill(path, rate, wanted, resample.mono_pieces(path, frames, rate, 0, late, clock, limits), limits)
    if any(one.last is None or one.first + one.have < one.last for one in wanted):
        check_complete(path, late + ended / rate)


def _fill(
    path: Path, rate: int, wanted: Sequence[_Wanted], pieces: Iterable[tuple[int, Wave, Heard]], limits: Limits
) -> int:
    """Add the pieces to the stretches; returns the end of the last one, in samples from the beginning of the track."""
    waiting = sorted(wanted, key=lambda one: one.first)
    begun, ended = None, 0
    for at, piece, heard in pieces:
        begun = at if begun is None else begun
        ended = at + len(piece)
        for one in waiting:
            if one.first >= ended:
                break
            one.take(at, piece, heard)
        waiting = [one for one in waiting if one.last is None or one.last > ended]
        limits.check_seconds(path, (ended - begun) / rate)
        if not waiting:
            break
    return ended


def _check_cost(path: Path, rate: int, wanted: Sequence[_Wanted], limits: Limits, declared: float) -> None:
    """Check length and memory against the limits, as far as they are known before decoding."""
    ends = [declared if one.end is None else min(one.end, declared or one.end) for one in wanted]
    lengths = [max(end - one.start, 0.0) for end, one in zip(ends, wanted, strict=True)]
    limits.check_seconds(path, max(lengths))
    limits.check_memory(path, 4.0 * rate * sum(lengths))


def _facts(container: InputContainer, stream: Any, frame: Any, late: float) -> dict[str, Any]:
    """The facts about a recording, see `curate.media.FACTS`."""
    codec = stream.codec_context
    lossless = codec.name.startswith("pcm_") or codec.name in ("flac", "alac", "wavpack", "tta", "ape")
    bits = (getattr(codec, "bits_per_coded_sample", 0) or 8 * frame.format.bytes) if lossless else None
    known = {
        "container": container.format.name.split(",")[0],
        "codec": codec.name,
        "duration": round(declared_length(container), 6) or None,
        "rate": frame.sample_rate,
        "channels": frame.layout.nb_channels,
        "bits": bits,
        "begins": round(late, 6),
    }
    return {k: v for k, v in known.items() if v is not None}


def _judged(path: Path, one: _Wanted, rate: int) -> Sound | MediaError:
    """The finished sound of a stretch, or the error why it cannot be used."""
    start = one.start
    where = "" if one.end is None and not start else f" from {start:g} s"
    where += "" if one.end is None else f" to {one.end:g} s"
    wave = np.concatenate([np.zeros(0, np.float32), *one.pieces])
    if not len(wave):
        late = one.facts.get("begins", 0.0)
        if one.end is not None and late >= one.end:
            return MediaError("silent", f"the sound of {path} begins at {late:g} s, nothing is heard{where}")
        if not start:
            return MediaError("empty", f"the audio track of {path} holds no samples")
        return MediaError("too_short", f"the audio track of {path} ends before {start:g} s")
    if not np.isfinite(wave).all():
        return MediaError("undecodable", f"the audio of {path} holds NaN or infinite samples")
    peak = float(np.abs(wave).max())
    if peak < SILENCE:
        if one.channel_peak >= SILENCE:
            return MediaError("silent", f"the channels of {path} cancel each other{where}: they are of opposite phase")
        return MediaError("silent", f"no sample of {path} reaches {SILENCE:g} of full scale{where}")
    gain = _gain(one, peak)
    if gain != 1:
        wave = (wave * np.float32(gain)).astype(np.float32)
        one.facts["gain"] = gain
    elif peak > 1:
        one.facts["clipped"] = round(float((np.abs(wave) > 1).mean()), 6)
    one.facts["peak"] = round(peak, 6)
    one.facts["seconds"] = [round(start, 6), round(start + len(wave) / rate, 6)]
    if one.filled:
        one.facts["filled"] = round(one.filled / rate, 6)
    return Sound(wave, one.facts)


def _gain(one: _Wanted, peak: float) -> float:
    """Factor for a floating-point recording beyond full scale: 1 / its integer scale, or 1 / its peak; else 1."""
    if one.raw_peak <= 1 or not str(one.facts.get("codec", "")).startswith("pcm_f"):
        return 1.0
    if one.whole_numbers:
        return 1 / next((scale for scale in FULL_SCALES if one.raw_peak <= scale), one.raw_peak)
    return 1 / max(peak, 1.0)
