"""A folder of extracted frames, one per second."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curate.errors import MediaError
from curate.files.names import by_number
from curate.files.remote import UNREADABLE

from .container import check_segment
from .fit import same_size
from .picture import read_picture
from .source import Segment

ENDINGS = (".jpg", ".jpeg", ".png")


def is_folder(path: Path) -> bool:
    """Whether a path is a folder of frames."""
    return os.path.isdir(path)


def list_pictures(folder: Path) -> list[Path]:
    """The pictures of a folder, in the order of the numbers in their names.

    Raises:
        MediaError: `unreadable`.
    """
    try:
        found = [p for p in folder.iterdir() if p.suffix.lower() in ENDINGS and not p.name.startswith(".")]
    except OSError as error:
        raise MediaError(UNREADABLE, f"{folder} cannot be read: {error.strerror or error}") from None
    return sorted(found, key=by_number)


def choose_pictures(folder: Path, frames: int, segment: Segment | None = None) -> list[tuple[float, Path]]:
    """(second, picture) at the centres of `frames` equal parts of a folder, or of the part of a segment that it covers.

    Raises:
        MediaError: `missing` (no picture at all), `empty_event` or `too_short`.
    """
    check_segment(segment)
    paths = list_pictures(folder)
    if not paths:
        raise MediaError("missing", f"{folder} holds no pictures")
    first = 0 if segment is None else int(segment.start)
    inside = paths[first:] if segment is None else paths[first : math.ceil(segment.end)]
    if not inside:
        held = f"{folder} holds {len(paths)} s of pictures"
        raise MediaError("too_short", f"{held}, the segment starts at {first:g} s")
    places = [int(len(inside) * (k + 0.5) / frames) for k in range(frames)]
    return [(float(first + place), inside[place]) for place in places]


def read_folder(folder: Path, frames: int, segment: Segment | None = None) -> NDArray[np.uint8]:
    """The pictures at the centres of `frames` equal segments of a folder of extracted frames, one per second.

    Pictures are sorted by the numbers in their names: `frame_00009` comes before `frame_000010`. If there are fewer
    than `frames`, some are repeated. Picture i shows the second from i to i + 1: a segment keeps those whose second it
    has a part of.

    Returns:
        (frames, H, W, 3) uint8, RGB, at the size of the first picture.

    Raises:
        MediaError: as in `check_file`; `missing` (no picture at all), `undecodable`, `empty_event` or `too_short`.
    """
    chosen = [path for _, path in choose_pictures(folder, frames, segment)]
    pictures = {path: read_picture(path).array for path in sorted(set(chosen))}
    return same_size([pictures[path] for path in chosen])
