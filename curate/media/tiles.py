"""Pictures in tiles (HEIC of phones): FFmpeg decodes the tiles; the file gives each one's place and the turns of all.

ISO/IEC 23008-12, items of type `grid`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from curate.errors import MediaError

from .container import decoded, opened
from .files import USUAL, Limits, read_head
from .picture import Picture, Range, show_frame

BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1")
MOST_META = 16_000_000  # bytes


class Grid(NamedTuple):
    """How the tiles of a picture are arranged.

    Attributes:
        rows, columns: numbers of tiles.
        width, height: of the picture, pixels.
        tiles: item ids, row by row.
        turns: (`irot` or `imir`, value) in the order in which they are applied.
    """

    rows: int
    columns: int
    width: int
    height: int
    tiles: tuple[int, ...]
    turns: tuple[tuple[bytes, int], ...]


def read_grid(path: Path) -> Grid | None:
    """The grid of a file's main picture; None if it has none, or the file is of another kind."""
    head = read_head(path)
    if head[4:8] != b"ftyp" or b"avi" in head[8:] or not any(brand in head[8:] for brand in BRANDS):
        return None  # Pillow assembles the tiles of AVIF
    try:
        with path.open("rb") as file:
            meta = next((body for name, body in _top_boxes(file) if name == b"meta"), b"")
            boxes = dict(_boxes(meta[4:]))
            (main,) = struct.unpack(">H" if boxes[b"pitm"][0] == 0 else ">I", boxes[b"pitm"][4:])
            tiles = _references(boxes[b"iref"], main)
            if not tiles:
                return None
            method, at, length = _location(boxes[b"iloc"], main)
            if method == 1:
                body = boxes[b"idat"][at : at + length]
            else:
                file.seek(at)
                body = file.read(length)
        wide = body[1] & 1
        width, height = struct.unpack(">II" if wide else ">HH", body[4 : 12 if wide else 8])
        return Grid(body[2] + 1, body[3] + 1, width, height, tiles, _turns(boxes[b"iprp"], main))
    except (OSError, KeyError, struct.error, IndexError, ValueError):
        return None  # the decoder raises an error for single tiles


def read_tiles(path: Path, grid: Grid, depth_range: Range | None = None, limits: Limits = USUAL) -> Picture:
    """The whole picture, assembled from its tiles.

    Raises:
        MediaError: `undecodable`, a tile is missing or broken; or as in `Limits`.
    """
    from PIL import Image
    from PIL.Image import Transpose

    limits.check_pixels(path, grid.width, grid.height)
    complete = Image.new("RGB", (grid.width, grid.height))
    places = {item: place for place, item in enumerate(grid.tiles)}
    done: set[int] = set()
    with opened(path) as container:
        known = [s.id for s in container.streams.video if s.id in places]
    for stream_id in known:
        with opened(path) as container:
            stream = next(s for s in container.streams.video if s.id == stream_id)
            frame = next(decoded(container, stream), None)
            if frame is None:
                break
            tile = show_frame(path, frame, depth_range, limits, turn=False).image
            row, column = divmod(places[stream_id], grid.columns)
            complete.paste(tile, (column * tile.width, row * tile.height))
            done.add(stream_id)
            fits = (grid.columns - 1) * tile.width < grid.width <= grid.columns * tile.width
            if not fits or not (grid.rows - 1) * tile.height < grid.height <= grid.rows * tile.height:
                break
    if len(done) != grid.rows * grid.columns or len(grid.tiles) != len(done):
        raise MediaError("undecodable", f"{path}: {len(done)} of {len(grid.tiles)} tiles can be decoded")
    for kind, value in grid.turns:
        if kind == b"irot" and value:
            complete = complete.transpose((Transpose.ROTATE_90, Transpose.ROTATE_180, Transpose.ROTATE_270)[value - 1])
        if kind == b"imir":
            complete = complete.transpose((Transpose.FLIP_TOP_BOTTOM, Transpose.FLIP_LEFT_RIGHT)[value])
    return Picture(complete, {"size": [grid.width, grid.height], "codec": "heic", "container": "tiles"})


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, body) of the boxes in some bytes."""
    at = 0
    while at + 8 <= len(content):
        size, name = struct.unpack(">I4s", content[at : at + 8])
        if size < 8:
            return
        yield name, content[at + 8 : at + size]
        at += size


def _top_boxes(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """(type, body) of the box `meta` of a file, if it has one."""
    while len(start := file.read(8)) == 8:
        size, name = struct.unpack(">I4s", start)
        if size < 8 or (name == b"meta" and size > MOST_META):
            return
        if name == b"meta":
            yield name, file.read(size - 8)
            return
        file.seek(size - 8, 1)


def _references(iref: bytes, main: int) -> tuple[int, ...]:
    """The items that the main one is derived from."""
    form = ">H" if iref[0] == 0 else ">I"
    step = struct.calcsize(form)
    for name, body in _boxes(iref[4:]):
        (source,) = struct.unpack(form, body[:step])
        if name == b"dimg" and source == main:
            (count,) = struct.unpack(">H", body[step : step + 2])
            return tuple(
                struct.unpack(form, body[step + 2 + k * step : step + 2 + (k + 1) * step])[0] for k in range(count)
            )
    return ()


def _location(iloc: bytes, main: int) -> tuple[int, int, int]:
    """(0 in the file or 1 in `idat`, offset, length) of the main item.

    Raises:
        ValueError: it has no location, or is stored in several parts.
    """
    version, sizes = iloc[0], iloc[4:6]
    offset_size, length_size, base_size = sizes[0] >> 4, sizes[0] & 15, sizes[1] >> 4
    index_size = sizes[1] & 15 if version in (1, 2) else 0
    at = 6

    def take(size: int) -> int:
        nonlocal at
        value = int.from_bytes(iloc[at : at + size], "big")
        at += size
        return value

    for _ in range(take(2 if version < 2 else 4)):
        item = take(2 if version < 2 else 4)
        method = take(2) & 15 if version in (1, 2) else 0
        take(2)
        base = take(base_size)
        extents = [(take(index_size), base + take(offset_size), take(length_size)) for _ in range(take(2))]
        if item == main and len(extents) == 1:
            return method, *extents[0][1:]
    raise ValueError("no place")


def _turns(iprp: bytes, main: int) -> tuple[tuple[bytes, int], ...]:
    """The turns that belong to the main item, in order."""
    inner = dict(_boxes(iprp))
    kinds = list(_boxes(inner[b"ipco"]))
    ipma = inner[b"ipma"]
    wide, version = ipma[3] & 1, ipma[0]
    at = 8
    for _ in range(struct.unpack(">I", ipma[4:8])[0]):
        size = 2 if version == 0 else 4
        item, count = int.from_bytes(ipma[at : at + size], "big"), ipma[at + size]
        at += size + 1
        step = 2 if wide else 1
        marks = [int.from_bytes(ipma[at + k * step : at + (k + 1) * step], "big") for k in range(count)]
        at += count * step
        if item == main:
            own = [kinds[(mark & (0x7FFF if wide else 0x7F)) - 1] for mark in marks if mark & 0x7FFF]
            return tuple(
                (name, body[0] & (3 if name == b"irot" else 1)) for name, body in own if name in (b"irot", b"imir")
            )
    return ()
