"""Which stretch of time a sample shows: one for all its modalities.

`data.window` names the rule. `own` is the papers' way: sound from the beginning of the file or event, pictures from
all of it. All others give one stretch of at most `seconds` to sound and pictures alike, on the clock of the container:
`start` and `centre` of the file or event, `loudest` where most sound energy is, and `whole`, which refuses what is
longer than `seconds`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from curate.errors import MediaError
from curate.source import Segment

from .container import TIME_SLACK, check_segment, measured_length
from .files import USUAL, Limits, check_file
from .folder import is_folder, list_pictures
from .picture import is_picture, read_stills
from .sound import loudest

Window = Literal["own", "start", "centre", "whole", "loudest"]
Files = Mapping[str, tuple[Path, Segment | None]]


def choose_stretch(
    window: Window, seconds: float | None, files: Files, sounds: Iterable[str], limits: Limits = USUAL
) -> Segment | None:
    """The stretch that all files of a sample show.

    Args:
        window: not `own`.
        seconds: how long it is at most; None for no bound, where nothing is heard.
        files: {modality: file and event}.
        sounds: which modalities are sound.
        limits: of what is decoded to find the loudest stretch.

    Returns:
        None where no file has a length: pictures.

    Raises:
        MediaError: `too_long` for `whole`; `empty_event`; `too_short`, a file ends before its event starts; what is
            wrong with a file is left to be told when it is read.
    """
    spans = {}
    for modality, (path, segment) in files.items():
        check_segment(segment)
        if (length := _length(path, limits)) is not None:
            start, end = (0.0, length) if segment is None else (segment.start, min(segment.end, length))
            if start >= end and segment is not None:
                raise MediaError("too_short", f"{path} ends at {length:.2f} s, the segment starts at {start:g} s")
            spans[modality] = (start, end)
    if not spans:
        return None
    start = min(a for a, _ in spans.values())
    end = max(b for _, b in spans.values())
    if seconds is None or end - start <= seconds + TIME_SLACK:
        return Segment(start, end)
    if window == "whole":
        raise MediaError("too_long", f"{end - start:.2f} s, more than data.seconds={seconds:g}, and data.window=whole")
    if window == "centre":
        middle = (start + end - seconds) / 2
        return Segment(middle, middle + seconds)
    heard = next((m for m in sounds if m in spans), None)
    if window == "loudest" and heard is not None:
        try:
            own = spans[heard]
            start = loudest(files[heard][0], *own, min(seconds, own[1] - own[0]), limits)
        except MediaError:
            pass  # told when the sound is read
    return Segment(start, min(start + seconds, end))


def _length(path: Path, limits: Limits) -> float | None:
    """Seconds of a file or folder; None where it has none, or cannot be read."""
    try:
        if is_folder(path):
            return float(len(list_pictures(path))) or None
        check_file(path)
        if is_picture(path):
            return read_stills(path, limits=limits)[1] or None
        return measured_length(path) or None
    except MediaError:
        return None
