"""Choose the stretch of time that a sample shows, the same for all its modalities.

`data.window` names the rule. `own` is the rule of the papers: sound from the beginning of the file or event, pictures
from all of it. All others give one stretch of at most `seconds`, the same for sound and pictures, on the clock of the
container: `start` and `centre` of the file or event, `loudest` where most sound energy is, and `whole`, which is an
error for files or events longer than `seconds`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from curate.errors import MediaError
from curate.files.remote import UNREACHABLE, Remote
from curate.files.unanswered import place_of

from .container import TIME_SLACK, check_segment, measured_length
from .files import USUAL, Limits, at_hand, check_file
from .folder import is_folder, list_pictures
from .picture import is_picture, read_stills
from .probe import probe
from .sound import loudest
from .source import Segment

Window = Literal["own", "start", "centre", "whole", "loudest"]
Files = Mapping[str, tuple[Path, Segment | None]]


def choose_stretch(
    window: Window,
    seconds: float | None,
    files: Files,
    sounds: Iterable[str],
    limits: Limits = USUAL,
    lengths: dict[Path, float | None] | None = None,
) -> Segment | None:
    """The stretch that all files of a sample show, s from the beginning of each one's event, or of the file.

    Args:
        window: not `own`.
        seconds: greatest length; None for no limit, when there is no sound.
        files: {modality: (file, stretch of the event)}.
        sounds: which modalities are sound.
        limits: for decoding to find the loudest stretch.
        lengths: {file: its length} of files measured before; new lengths are added.

    Returns:
        None where no file has a length (pictures).

    Raises:
        MediaError: `too_long` for `whole`; `empty_event`; `too_short`, a file ends before its event starts;
            `unreachable`, the file system of one does not answer, once those in other places were measured. Other
            problems of a file are reported when it is read.
    """
    spans = _spans(files, limits, {} if lengths is None else lengths)
    if not spans:
        return None
    longest = max(end - start for start, end in spans.values())
    if seconds is None or longest <= seconds + TIME_SLACK:
        return Segment(0.0, longest)
    begin = 0.0
    if window == "whole":
        raise MediaError("too_long", f"{longest:.2f} s, more than data.seconds={seconds:g}, and data.window=whole")
    if window == "centre":
        begin = (longest - seconds) / 2
    heard = next((m for m in sounds if m in spans), None)
    if window == "loudest" and heard is not None:
        start, end = spans[heard]
        try:
            with at_hand(files[heard][0]) as file:
                begin = loudest(file, start, end, min(seconds, end - start), limits) - start
        except MediaError as error:  # others are reported when the sound is read
            if error.status == UNREACHABLE:
                raise
    return Segment(begin, begin + seconds)


def _spans(files: Files, limits: Limits, known: dict[Path, float | None]) -> dict[str, Segment]:
    """{modality: the stretch of its event, or its whole file}, of those that have a length."""
    spans: dict[str, Segment] = {}
    lost: MediaError | None = None
    silent = ""
    for modality, (path, segment) in files.items():
        check_segment(segment)
        if path not in known:
            if lost is not None and isinstance(path, Remote) and place_of(str(path)) == silent:
                continue  # each question may take many seconds
            try:
                known[path] = _length(path, limits)
            except MediaError as error:
                lost, silent = error, place_of(str(path))
                continue
        if (length := known[path]) is not None:
            if segment is not None and segment.start >= length:
                reason = f"{path} ends at {length:.2f} s, the segment starts at {segment.start:g} s"
                raise MediaError("too_short", reason)
            spans[modality] = (
                Segment(0.0, length) if segment is None else segment._replace(end=min(segment.end, length))
            )
    if lost is not None:
        raise lost
    return spans


def _length(path: Path, limits: Limits) -> float | None:
    """Length of a file or folder, s; None if it has none, or cannot be read. Raises `unreachable`."""
    try:
        with at_hand(path) as file:
            if is_folder(file):
                return float(len(list_pictures(file))) or None
            check_file(file)
            if is_picture(file):
                return read_stills(file, limits=limits)[1] or None
            seen = probe(file, limits)
            return None if seen.frames == 1 and not seen.rate else measured_length(file) or None
    except MediaError as error:
        if error.status == UNREACHABLE:
            raise
        return None
