"""One file, or several stretches of one, as rows of the cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.errors import MediaError
from curate.source import Segment
from curate.types import AudioSpec, InputSpec, VisualSpec

from .container import check_segment
from .files import USUAL, Limits
from .fit import fit_waveform, same_size, shrink
from .folder import choose_pictures, is_folder
from .picture import Picture, Range, is_picture, read_picture, read_stills
from .sound import Sound, read_sounds, span_of
from .video import Shorter, Shown, frames_at, read_track, shown_span

Part = tuple[float, float]
WHOLE: Part = (0.0, 1.0)


class Decoded(NamedTuple):
    """One medium as the network is given it.

    Attributes:
        values: of the spec's shape and dtype.
        facts: what was done to it, JSON-like: see `curate.media.FACTS`.
    """

    values: np.ndarray
    facts: dict[str, Any]


Outcomes = Iterator[Decoded | MediaError]


def load_medium(path: Path, spec: InputSpec, segment: Segment | None = None) -> np.ndarray:
    """One file, folder of pictures, or a segment of one, as one row of the cache, of the spec's shape and dtype.

    Raises:
        MediaError: as `read_audio`, `fit_waveform`, `read_frames` or `read_folder`.
        ValueError: a spec of clips or texts, which `curate.clips` and `curate.text` load.
    """
    return decode_medium(path, spec, segment).values


def decode_medium(
    path: Path,
    spec: InputSpec,
    segment: Segment | None = None,
    in_step: bool = False,
    part: Part = WHOLE,
    limits: Limits = USUAL,
) -> Decoded:
    """The same, and what was done to it; see `decode_media`."""
    (found,) = decode_media(path, spec, [segment], in_step, part, limits)
    if isinstance(found, MediaError):
        raise found
    return found


def decode_media(
    path: Path,
    spec: InputSpec,
    segments: Sequence[Segment | None],
    in_step: bool = False,
    part: Part = WHOLE,
    limits: Limits = USUAL,
) -> Outcomes:
    """Several stretches of one file, in one pass where a seek would not be exact.

    Args:
        path: a file, or a folder of pictures.
        spec: how each is kept.
        segments: on the clock of the container; None for the whole file.
        in_step: sound and pictures show all of a segment, filled with silence and the first or last frame where a
            track does not reach; else each shows what its own track has of it.
        part: which share of a picture's width is kept, from and to, 0..1.
        limits: what one item may cost.

    Raises:
        MediaError: what is wrong with the whole file.
        ValueError: a spec of clips or texts.
    """
    if isinstance(spec, AudioSpec):
        yield from _sounds(path, spec, segments, in_step, limits)
    elif isinstance(spec, VisualSpec):
        yield from _pictures(path, spec, segments, in_step, part, limits)
    else:
        raise ValueError(f"no file is loaded as {spec.kind}")


def _sounds(path: Path, spec: AudioSpec, segments: Sequence[Segment | None], in_step: bool, limits: Limits) -> Outcomes:
    for segment in segments:
        check_segment(segment)
    spans = [span_of(segment, spec.seconds) for segment in segments]
    for found, segment in zip(read_sounds(path, spec.rate, spans, limits), segments, strict=True):
        try:
            lasts = segment.end - segment.start if in_step and segment is not None else 0.0
            yield found if isinstance(found, MediaError) else _fitted(found, spec, lasts)
        except MediaError as error:
            yield error


def _fitted(sound: Sound, spec: AudioSpec, seconds: float) -> Decoded:
    """A sound of the spec's length; filled with silence up to `seconds`."""
    wave, facts = sound.wave, sound.facts
    short = min(round(seconds * spec.rate), spec.shape[0]) - len(wave)
    if short > 0:
        wave = np.pad(wave, (0, short))
        facts["filled"] = round(facts.get("filled", 0.0) + short / spec.rate, 6)
    if len(wave) < spec.shape[0]:
        facts["repeated" if spec.fill == "tile" else "padded"] = round((spec.shape[0] - len(wave)) / spec.rate, 6)
    return Decoded(fit_waveform(wave, spec), facts)


def _pictures(
    path: Path, spec: VisualSpec, segments: Sequence[Segment | None], in_step: bool, part: Part, limits: Limits
) -> Outcomes:
    def kept(shown: Sequence[tuple[float, float, Picture]], facts: dict[str, Any]) -> Decoded:
        small = {id(p): shrink(_share(p.array, part), spec.size, spec.channels) for _, _, p in shown}
        facts |= shown[0][2].facts
        facts["moments"] = [round(moment, 6) for moment, _, _ in shown]
        facts["seconds"] = [round(time, 6) for _, time, _ in shown]
        return Decoded(np.stack([small[id(p)] for _, _, p in shown]).reshape(spec.shape), facts)

    if not is_folder(path) and not is_picture(path):
        for found, facts in _video(path, spec.frames, segments, in_step, spec.depth_range, limits):
            yield found if isinstance(found, MediaError) else kept(found, facts)
        return
    for segment in segments:
        check_segment(segment)
        try:
            if is_folder(path):
                chosen = choose_pictures(path, spec.frames, segment)
                pictures = {p: read_picture(p, spec.depth_range, limits) for _, p in chosen}
                yield kept([(second, second, pictures[p]) for second, p in chosen], {"container": "folder"})
            else:
                yield kept(_still(path, spec.frames, segment, spec.depth_range, limits), {})
        except MediaError as error:
            yield error


def _share(array: NDArray[np.uint8], part: Part) -> NDArray[np.uint8]:
    if part == WHOLE:
        return array
    width = array.shape[1]
    return np.ascontiguousarray(array[:, int(width * part[0]) : int(width * part[1])])


def _still(
    path: Path, frames: int, segment: Segment | None, depth_range: Range | None, limits: Limits
) -> list[tuple[float, float, Picture]]:
    """A picture, repeated; of an animated one what is shown at the centres of as many parts."""
    lasts = read_stills(path, limits=limits)[1]
    if not lasts:
        picture = read_picture(path, depth_range, limits)
        return [(0.0, 0.0, picture)] * frames
    start, end = (0.0, lasts) if segment is None else (segment.start, min(segment.end, lasts))
    if start >= end:
        raise MediaError("too_short", f"{path} lasts {lasts:.2f} s, the segment starts at {start:g} s")
    moments = _centres(start, end, frames)
    stills, _ = read_stills(path, moments, depth_range, limits)
    return [(moment, still.time, still.picture) for moment, still in zip(moments, stills, strict=True)]


def _centres(start: float, end: float, frames: int) -> list[float]:
    return [start + (end - start) * (k + 0.5) / frames for k in range(frames)]


def _video(
    path: Path,
    frames: int,
    segments: Sequence[Segment | None],
    in_step: bool,
    depth_range: Range | None,
    limits: Limits,
) -> Iterator[tuple[list[Shown] | MediaError, dict[str, Any]]]:
    """What is on screen at the centres of `frames` equal parts of each segment, and what is known of it."""
    track = read_track(path, limits)
    wanted: list[list[float]] = []
    wrong: dict[int, MediaError] = {}
    for which, segment in enumerate(segments):
        check_segment(segment)
        try:
            start, end = shown_span(path, segment, track)
            whole = _centres(*(segment or (start, end)), frames) if in_step else _centres(start, end, frames)
            wanted.append([min(moment, end) for moment in whole])
        except MediaError as error:
            wrong[which] = error
    found = frames_at(path, wanted, depth_range, limits)
    for which, segment in enumerate(segments):
        if which in wrong:
            yield wrong[which], {}
            continue
        shown = next(found)
        if isinstance(shown, Shorter):  # the header was wrong about the end
            shown = _again(path, frames, segment, in_step, shown.ends, depth_range, limits)
        facts = dict(track.facts)
        if not isinstance(shown, MediaError):
            filled = sum(s.moment < s.time for s in shown)
            if in_step and segment is not None:
                asked = _centres(*segment, frames)
                filled += sum(a > s.moment for a, s in zip(asked, shown, strict=True))
                shown = [s._replace(moment=a) for a, s in zip(asked, shown, strict=True)]
            if filled:
                facts["filled_frames"] = filled
        yield shown, facts


def _again(
    path: Path,
    frames: int,
    segment: Segment | None,
    in_step: bool,
    ends: float,
    depth_range: Range | None,
    limits: Limits,
) -> list[Shown] | MediaError:
    """The same with the end that was found."""
    start, end = (0.0, ends) if segment is None else (segment.start, min(segment.end, ends))
    if start >= end:
        reason = f"the video of {path} ends at {ends:.2f} s, the segment starts at {start:g} s"
        return MediaError("too_short", reason)
    whole = _centres(*(segment or (start, end)), frames) if in_step else _centres(start, end, frames)
    (shown,) = frames_at(path, [[min(moment, end) for moment in whole]], depth_range, limits)
    return shown


def read_frames(
    path: Path,
    frames: int,
    segment: Segment | None = None,
    depth_range: Range | None = None,
    limits: Limits = USUAL,
) -> NDArray[np.uint8]:
    """The frames shown at the centres of `frames` equal segments of a video; a picture is repeated.

    With a segment, of that stretch of the container's clock, as far as the video goes; before its first frame that one
    is shown. Animated pictures are read alike.

    Returns:
        (frames, H, W, 3) uint8, RGB, at the size of the first.

    Raises:
        MediaError: as `check_file`; `undecodable`, `no_video` (cover art of a music file is not a video),
            `empty_event`, `too_short` (the video ends before the segment starts), `out_of_range` (see
            `curate.media.picture`), `truncated`, as `read_audio`, or as `Limits`.
    """
    check_segment(segment)
    if is_picture(path):
        shown = [picture for _, _, picture in _still(path, frames, segment, depth_range, limits)]
    else:
        ((found, _),) = _video(path, frames, [segment], False, depth_range, limits)
        if isinstance(found, MediaError):
            raise found
        shown = [one.picture for one in found]
    limits.check_memory(path, float(frames) * shown[0].array.nbytes)
    return same_size([picture.array for picture in shown])


def read_range(path: Path, first: int, end: int) -> NDArray[np.uint8]:
    """The frames number `first` to `end` - 1 of a video, counted from 0 in the order shown.

    Returns:
        (end - first, H, W, 3) uint8, RGB.

    Raises:
        MediaError: as `frames_between`.
    """
    from .video import frames_between

    return same_size(list(frames_between(path, first, end)))
