"""The properties of a file, from its header; pictures of more than 8 bits are decoded to find their range of values."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from curate.errors import MediaError

from .container import audio_stream, declared_length, opened, video_stream, wave_seconds
from .files import USUAL, Limits
from .folder import is_folder, list_pictures
from .picture import Range, is_picture, picture_facts
from .tiles import read_grid


class Probe(NamedTuple):
    """The properties of a file.

    Attributes:
        seconds: its length, 0 if it has none or declares none.
        rate: of its sound, Hz; 0 without sound.
        width, height: of its pictures, pixels; 0 without pictures.
        frames: number of frames according to the header, 1 for a still picture.
        values: smallest and largest of a single channel of more than 8 bits; None for others.
        own: (least, largest) value of its type; None where `values` is not looked for.
    """

    seconds: float = 0.0
    rate: int = 0
    width: int = 0
    height: int = 0
    frames: int = 0
    values: Range | None = None
    own: Range | None = None


def probe(path: Path, limits: Limits = USUAL) -> Probe:
    """The properties of a file or a folder of frames.

    Raises:
        MediaError: it is not a medium.
    """
    if is_folder(path):
        pictures = list_pictures(path)
        if not pictures:
            raise MediaError("missing", f"{path} holds no pictures")
        return probe(pictures[0], limits)._replace(seconds=float(len(pictures)), frames=len(pictures))
    if is_picture(path):
        size, frames, values, own = picture_facts(path, limits)
        return Probe(width=size[0], height=size[1], frames=frames, values=values, own=own)
    if (grid := read_grid(path)) is not None:
        return Probe(width=grid.width, height=grid.height, frames=1)
    with opened(path) as container:
        seconds = max(declared_length(container), wave_seconds(path)[0])
        found = Probe(seconds=seconds)
        with suppress(MediaError):
            found = found._replace(rate=audio_stream(container, path).codec_context.sample_rate or 0)
        try:
            stream = video_stream(container, path)
        except MediaError:
            return found
        codec = stream.codec_context
        frames = stream.frames or round(seconds * float(stream.average_rate or 25)) or 1
        return found._replace(width=codec.width, height=codec.height, frames=frames)
