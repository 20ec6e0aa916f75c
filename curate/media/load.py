"""Decode one file, or several stretches of one, to rows of the cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.errors import MediaError
from curate.specs import AudioSpec, InputSpec, VisualSpec

from .container import check_segment, last_packet
from .files import USUAL, Limits
from .fit import fit_waveform, same_size, shrink
from .folder import choose_pictures, is_folder
from .picture import Picture, Range, is_picture, read_picture, read_stills
from .sound import Sound, read_sounds, span_of
from .source import Segment
from .tiles import read_grid, read_tiles
from .video import Look, Shorter, Shown, frames_at, frames_between, measured_end, read_track

if TYPE_CHECKING:
    from PIL.Image import Image

Part = tuple[float, float]
WHOLE_NUMBER: Part = (0.0, 1.0)


class Decoded(NamedTuple):
    """One medium in the form that the network receives.

    Attributes:
        values: of the spec's shape and dtype.
        facts: what was done to it, JSON-like: see `curate.media.FACTS`.
    """

    values: np.ndarray
    facts: dict[str, Any]


Outcomes = Iterator[Decoded | MediaError]


def load_medium(path: Path, spec: InputSpec) -> np.ndarray:
    """One file or folder of pictures as one row of the cache, of the spec's shape and dtype.

    Raises:
        MediaError: as in `read_audio`, `fit_waveform`, `read_frames` or `read_folder`.
        ValueError: a spec of clips or texts, which `curate.media.clips` and `curate.media.text` load.
    """
    return decode_medium(path, spec).values


def decode_medium(path: Path, spec: InputSpec, segment: Segment | None = None, in_step: bool = False) -> Decoded:
    """The array of `load_medium`, and what was done to the medium; see `decode_media` for the arguments."""
    (found,) = decode_media(path, spec, [segment], in_step)
    if isinstance(found, MediaError):
        raise found
    return found


def decode_media(
    path: Path,
    spec: InputSpec,
    segments: Sequence[Segment | None],
    in_step: bool = False,
    part: Part = WHOLE_NUMBER,
    limits: Limits = USUAL,
) -> Outcomes:
    """Several stretches of one file, in one pass where a seek would not be exact.

    Args:
        path: a file, or a folder of pictures.
        spec: of the resulting arrays.
        segments: on the clock of the container; None for the whole file.
        in_step: True: sound and pictures cover all of a segment; where a track does not, it is filled with silence or
            its first or last frame. False: each covers the part of the segment that its own track has.
        part: share of a picture's width that is kept, (from, to), 0..1.
        limits: for one item.

    Raises:
        MediaError: a problem of the whole file; a problem of one stretch is returned in its place.
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
    """A sound of the spec's length; a shorter one is first filled with silence up to `seconds`."""
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
    def finish(picture: Picture) -> Picture:
        return picture._replace(image=shrink(_share(picture.image, part), spec.size, spec.channels))

    look = Look(path, spec.depth_range, limits, finish)
    if not is_folder(path) and not _is_still(path):
        for shown, facts in _video(look, spec.frames, segments, in_step):
            yield shown if isinstance(shown, MediaError) else _stacked(shown, facts, spec)
        return
    for segment in segments:
        check_segment(segment)
        try:
            if is_folder(path):
                chosen = choose_pictures(path, spec.frames, segment)
                kept = {p: finish(read_picture(p, spec.depth_range, limits)) for p in {p for _, p in chosen}}
                yield _stacked([Shown(t, t, kept[p]) for t, p in chosen], {"container": "folder"}, spec)
            else:
                yield _stacked(_still(look, spec.frames, segment), {}, spec)
        except MediaError as error:
            yield error


def _stacked(shown: Sequence[Shown], facts: dict[str, Any], spec: VisualSpec) -> Decoded:
    """Finished frames as one row, and the facts about them; for facts that are shares, the largest of any frame."""
    for name in ("clipped", "not_finite"):
        if any(name in s.picture.facts for s in shown):
            facts[name] = max(s.picture.facts.get(name, 0.0) for s in shown)
    facts = {**shown[0].picture.facts, **facts}
    if facts.get("duration") or len({s.time for s in shown}) > 1 or facts.get("container"):
        facts["moments"] = [round(s.moment, 6) for s in shown]
        facts["seconds"] = [round(s.time, 6) for s in shown]
    return Decoded(np.stack([s.picture.array for s in shown]).reshape(spec.shape), facts)


def _share(picture: Image, part: Part) -> Image:
    if part == WHOLE_NUMBER:
        return picture
    return picture.crop((int(picture.width * part[0]), 0, int(picture.width * part[1]), picture.height))


def _is_still(path: Path) -> bool:
    return is_picture(path) or read_grid(path) is not None


def _still(look: Look, frames: int, segment: Segment | None) -> list[Shown]:
    """A picture, repeated; for an animated one the pictures shown at the centres of `frames` equal parts."""
    if (grid := read_grid(look.path)) is not None:
        return [Shown(0.0, 0.0, look.finish(read_tiles(look.path, grid, look.depth_range, look.limits)))] * frames
    lasts = read_stills(look.path, limits=look.limits)[1]
    if not lasts:
        picture = look.finish(read_picture(look.path, look.depth_range, look.limits))
        return [Shown(0.0, 0.0, picture)] * frames
    start, end = (0.0, lasts) if segment is None else (segment.start, min(segment.end, lasts))
    if start >= end:
        raise MediaError("too_short", f"{look.path} lasts {lasts:.2f} s, the segment starts at {start:g} s")
    moments = _centres(start, end, frames)
    stills, _ = read_stills(look.path, moments, look.depth_range, look.limits)
    return [
        Shown(moment, still.time, look.finish(still.picture)) for moment, still in zip(moments, stills, strict=True)
    ]


def _centres(start: float, end: float, frames: int) -> list[float]:
    return [start + (end - start) * (k + 0.5) / frames for k in range(frames)]


def _video(
    look: Look, frames: int, segments: Sequence[Segment | None], in_step: bool
) -> Iterator[tuple[list[Shown] | MediaError, dict[str, Any]]]:
    """The frames shown at the centres of `frames` equal parts of each segment, and the facts about them."""
    track = read_track(look.path, look.limits)
    ends = track.ends or last_packet(look.path) or measured_end(look.path)
    wanted: dict[int, tuple[list[float], list[float]]] = {}
    wrong: dict[int, MediaError] = {}
    for which, segment in enumerate(segments):
        check_segment(segment)
        try:
            wanted[which] = _moments(look.path, frames, segment, in_step, ends)
        except MediaError as error:
            wrong[which] = error
    found = frames_at(look, [there for _, there in wanted.values()], track.seeks)
    for which, segment in enumerate(segments):
        shown = wrong[which] if which in wrong else next(found)
        if isinstance(shown, Shorter):  # the header was wrong about the end
            try:
                wanted[which] = _moments(look.path, frames, segment, in_step, shown.ends)
                (shown,) = frames_at(look, [wanted[which][1]], track.seeks)
            except MediaError as error:
                shown = error
        facts = dict(track.facts)
        if not isinstance(shown, MediaError):
            shown = [s._replace(moment=asked) for s, asked in zip(shown, wanted[which][0], strict=True)]
            there = zip(shown, wanted[which][1], strict=True)
            if filled := sum(moment < s.time or s.moment > moment for s, moment in there):
                facts["filled_frames"] = filled
        yield shown, facts


def _moments(
    path: Path, frames: int, segment: Segment | None, in_step: bool, ends: float
) -> tuple[list[float], list[float]]:
    """The moments asked for, and the same moments, those after the end of the track moved to its end.

    Raises:
        MediaError: `too_short`, the video ends before the segment starts.
    """
    start, end = (0.0, ends) if segment is None else (segment.start, min(segment.end, ends))
    if start >= end:
        raise MediaError("too_short", f"the video of {path} ends at {ends:.2f} s, the segment starts at {start:g} s")
    asked = _centres(start, segment.end if in_step and segment is not None else end, frames)
    return asked, [min(moment, ends) for moment in asked]


def read_frames(
    path: Path,
    frames: int,
    segment: Segment | None = None,
    depth_range: Range | None = None,
    limits: Limits = USUAL,
) -> NDArray[np.uint8]:
    """The frames shown at the centres of `frames` equal segments of a video; a picture is repeated.

    With a segment, only that stretch of the container's clock is used, up to the end of the video; before the first
    frame, the first frame is shown. Animated pictures are read in the same way.

    Returns:
        (frames, H, W, 3) uint8, RGB, at the size of the first.

    Raises:
        MediaError: as in `check_file`; `undecodable`, `no_video` (cover art of a music file is not a video),
            `empty_event`, `too_short` (the video ends before the segment starts), `out_of_range` (see
            `curate.media.picture`), `truncated`, as in `read_audio`, or as in `Limits`.
    """
    check_segment(segment)
    look = Look(path, depth_range, limits)
    if _is_still(path):
        shown = _still(look, frames, segment)
    else:
        ((found, _),) = _video(look, frames, [segment], False)
        if isinstance(found, MediaError):
            raise found
        shown = found
    limits.check_memory(path, float(frames) * shown[0].picture.array.nbytes)
    return same_size([one.picture.array for one in shown])


def read_range(path: Path, first: int, end: int) -> NDArray[np.uint8]:
    """The frames number `first` to `end` - 1 of a video, counted from 0 in the order shown.

    Returns:
        (end - first, H, W, 3) uint8, RGB.

    Raises:
        MediaError: as in `frames_between`.
    """
    return same_size(list(frames_between(path, first, end)))
