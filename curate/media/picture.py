"""Pictures and frames as a viewer shows them, in 8 bits per channel.

The same rules for every decoder:
- pictures are turned and mirrored as given in the file (EXIF of pictures, display matrix of videos);
- a single channel of more than 8 bits (depth, heat, X-rays) is scaled from `depth_range`, whose ends become 0 and 255;
  without `depth_range`, from the full range of the type, 0 to 65535 for 16 bits, 0 to 1 for floating point. A value
  outside is an error, unless `depth_range` was given: then it is clipped, and the share is recorded. NaN becomes 0;
- colours of more than 8 bits keep their upper 8;
- transparent parts are laid on white.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.errors import MediaError

from .files import USUAL, Limits, check_file, read_head

if TYPE_CHECKING:
    from PIL.Image import Image

Range = tuple[float, float]

BACKGROUND = (255, 255, 255)
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "AVIF", "JPEG2000", "QOI")
"""Pillow's names; EPS is left out because it runs another program."""
HEADERS = (
    b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"BM", b"qoif",
    b"\0\0\0\x0cjP", b"\xffO\xffQ", *(b"P%d" % i for i in range(1, 7)), b"Pf",
)  # fmt: skip
BANDS = 4_000_000  # pixels scaled at once
SHORTEST = 0.02  # s; a picture of an animation with a shorter duration is shown for TENTH, as browsers do
TENTH = 0.1  # s


class Picture(NamedTuple):
    """One picture.

    Attributes:
        image: RGB, of 8 bits; a Pillow image, to avoid a copy of a large one.
        facts: what was done to it, see `curate.media.FACTS`.
    """

    image: Image
    facts: dict[str, Any]

    @property
    def array(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8, RGB."""
        return np.asarray(self.image)


class Still(NamedTuple):
    """One picture of an animation, and when it is first shown.

    Attributes:
        time: from which it is shown, s.
        picture: the picture.
    """

    time: float
    picture: Picture


def is_picture(path: Path) -> bool:
    """Whether Pillow reads the file: a still or an animated picture, detected by content, not by name.

    Raises:
        MediaError: as in `check_file`.
    """
    check_file(path)
    head = read_head(path)
    boxed = head[4:8] == b"ftyp" and any(brand in head[8:] for brand in (b"avif", b"avis"))
    if not (head.startswith(HEADERS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP") or boxed):
        return False
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.open(path, formats=FORMATS).close()
    except UnidentifiedImageError:
        return False
    except Exception:  # any problem is reported when it is read
        return True
    return True


@contextmanager
def _opened(path: Path, limits: Limits) -> Iterator[Image]:
    """A picture open for reading; every decoder error inside the `with` block becomes `undecodable`."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as picture:
                limits.check_pixels(path, *picture.size)
                limits.check_memory(path, 8.0 * picture.width * picture.height)
                yield picture
    except (MediaError, GeneratorExit):
        raise
    except (MemoryError, Image.DecompressionBombError) as error:
        raise MediaError("too_large", f"{path}: {error}") from error
    except Exception as error:  # damaged files raise errors of any class
        raise MediaError("undecodable", f"{path}: {error}") from error


def read_picture(path: Path, depth_range: Range | None = None, limits: Limits = USUAL) -> Picture:
    """A still picture, or the first of an animated one.

    Raises:
        MediaError: as in `check_file`; `undecodable`, `out_of_range` (values outside the type's own scale), or as in
            `Limits`.
    """
    check_file(path)
    with _opened(path, limits) as picture:
        return _converted(path, picture, depth_range)


def picture_facts(path: Path, limits: Limits = USUAL) -> tuple[tuple[int, int], int, Range | None, Range | None]:
    """(width and height, number of pictures, smallest and largest value, range of the type) of a picture; the last two
    are None unless it has a single channel of more than 8 bits.

    Raises:
        MediaError: as in `read_picture`.
    """
    with _opened(path, limits) as picture:
        count = 1 if picture.format in ("MPO", "TIFF") else getattr(picture, "n_frames", 1)
        if not _is_deep(picture):
            return picture.size, count, None, None
        own = _own_range(picture)
        values = np.asarray(picture)
        finite = values[np.isfinite(values)]
        held = (float(finite.min()), float(finite.max())) if finite.size else None
        return picture.size, count, held, own


def _is_deep(picture: Image) -> bool:
    return picture.mode.startswith("I") or picture.mode == "F"


def read_stills(
    path: Path, moments: list[float] | None = None, depth_range: Range | None = None, limits: Limits = USUAL
) -> tuple[list[Still], float]:
    """The pictures that an animated picture shows at ascending moments, and its total length, s.

    Args:
        moments: times, s; None for the length alone.

    Returns:
        [] and 0 if the picture is not animated.

    Raises:
        MediaError: as in `read_picture`.
    """
    found: list[Still] = []
    time = 0.0
    with _opened(path, limits) as picture:
        count = getattr(picture, "n_frames", 1)
        if count < 2 or picture.format in ("MPO", "TIFF"):
            return [], 0.0
        for index in range(count):
            picture.seek(index)
            picture.load()
            lasts = float(picture.info.get("duration", 0) or 0) / 1000
            lasts = lasts if lasts >= SHORTEST else TENTH
            limits.check_seconds(path, time)
            due = [m for m in moments or () if time <= m < time + lasts]
            if index == count - 1:
                due = [m for m in moments or () if m >= time]
            if due:
                shown = _converted(path, picture.copy(), depth_range)
                found += [Still(time, shown)] * len(due)
            time += lasts
    return found, time


def _converted(path: Path, picture: Image, depth_range: Range | None) -> Picture:
    """An open picture as it is shown."""
    from PIL import Image

    facts: dict[str, Any] = {"size": list(picture.size), "mode": picture.mode}
    if picture.format:
        facts["codec"] = picture.format.lower()
    own = _own_range(picture) if _is_deep(picture) else None  # before loading, which discards how it was stored
    picture.load()
    orientation = _orientation(picture)
    if own is not None:
        grey = np.empty((picture.height, picture.width), np.uint8)
        scale = _Scale(path, depth_range, own)
        rows = max(BANDS // picture.width, 1)
        for top in range(0, picture.height, rows):
            bottom = min(top + rows, picture.height)
            grey[top:bottom] = scale.apply(np.asarray(picture.crop((0, top, picture.width, bottom))))
        facts |= scale.facts()
        shown = Image.fromarray(grey).convert("RGB")
    elif picture.has_transparency_data:
        clear = picture if picture.mode == "RGBA" else picture.convert("RGBA")
        shown = Image.new("RGB", picture.size, BACKGROUND)
        shown.paste(clear, mask=clear)
        facts["transparent"] = True
    else:
        shown = picture if picture.mode == "RGB" else picture.convert("RGB")
    if orientation != 1:
        facts["orientation"] = orientation
    return Picture(turned(shown, orientation), facts)


def _orientation(picture: Image) -> int:
    """EXIF's orientation, 1 to 8; 1 if there is none."""
    try:
        found = picture.getexif().get(274, 1)
    except Exception:  # damaged metadata are ignored
        return 1
    return found if found in range(1, 9) else 1


def _own_range(picture: Image) -> Range:
    """The range of values that the type of a single deep channel can hold."""
    if picture.mode == "F":
        return 0.0, 1.0
    if picture.mode.startswith("I;16") or picture.format in ("PPM", "PNG"):
        return 0.0, 65535.0
    tags = getattr(picture, "tag_v2", {})
    bits = int((tags.get(258) or (32,))[0])
    signed = int((tags.get(339) or (1,))[0]) == 2
    return 0.0, float(2 ** (bits - signed) - 1)


class _Scale:
    """Scales deep values to 8 bits, and counts those outside the range."""

    def __init__(self, path: Path, chosen: Range | None, own: Range) -> None:
        self.path, self.chosen = path, chosen
        self.low, self.high = chosen or own
        self.seen = self.clipped = self.absent = 0

    def apply(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """(H, W) numbers to uint8.

        Raises:
            MediaError: `out_of_range`, there is no `depth_range` and a value is outside the type's own scale.
        """
        finite = np.isfinite(values)
        known = values if finite.all() else np.where(finite, values, self.low)
        share = (known.astype(np.float64) - self.low) / (self.high - self.low)
        outside = int(((share < 0) | (share > 1)).sum())
        if outside and self.chosen is None:
            raise MediaError(
                "out_of_range",
                f"{self.path} holds values from {known.min():g} to {known.max():g}; say which are black and white: "
                f"data.depth_range={known.min():g},{known.max():g}",
            )
        self.seen, self.clipped = self.seen + values.size, self.clipped + outside
        self.absent += int(values.size - finite.sum())
        return np.round(np.clip(share, 0, 1) * 255).astype(np.uint8)

    def facts(self) -> dict[str, Any]:
        """The scale, and the shares of values outside it and not finite."""
        described: dict[str, Any] = {"depth_range": [self.low, self.high]}
        described |= {"clipped": round(self.clipped / self.seen, 6)} if self.clipped else {}
        return described | ({"not_finite": round(self.absent / self.seen, 6)} if self.absent else {})


def turned(image: Image, orientation: int) -> Image:
    """A picture turned and mirrored according to EXIF's orientation, 1 to 8."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image


def show_frame(path: Path, frame: Any, depth_range: Range | None, limits: Limits, turn: bool = True) -> Picture:
    """One decoded video frame as a player shows it; without `turn` in its stored orientation.

    Raises:
        MediaError: `out_of_range`, or as in `Limits`.
    """
    from PIL import Image

    limits.check_pixels(path, frame.width, frame.height)
    limits.check_memory(path, 8.0 * frame.width * frame.height)
    form = frame.format
    orientation = _matrix_orientation(frame) if turn else 1
    facts: dict[str, Any] = {"size": [frame.width, frame.height]}
    bits = max(c.bits for c in form.components)
    if bits > 8:
        facts["bits"] = bits
    if orientation != 1:
        facts["orientation"] = orientation
    names = form.name
    if names.startswith("gray") and bits > 8 and not names.startswith("grayf16"):
        own = (0.0, 1.0) if "f32" in names else (0.0, float(2**bits - 1))
        scale = _Scale(path, depth_range, own)
        grey = scale.apply(frame.to_ndarray(threads=1))
        facts |= scale.facts()
        array = np.repeat(grey[..., None], 3, axis=2)
    elif any(c.is_alpha for c in form.components):
        clear = frame.to_ndarray(format="rgba", threads=1)
        solid = clear[..., 3:].astype(np.uint16)
        over = np.array(BACKGROUND, np.uint16)
        array = ((clear[..., :3] * solid + over * (255 - solid) + 127) // 255).astype(np.uint8)
        facts["transparent"] = True
    else:
        array = frame.to_ndarray(format="rgb24", threads=1)
    return Picture(turned(Image.fromarray(array), orientation), facts)


def _matrix_orientation(frame: Any) -> int:
    """EXIF's orientation for the display matrix of a frame, to the nearest right angle; 1 without one."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 1
    a, b, _, c, d = struct.unpack("<5i", bytes(data)[:20])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return {(1, 1): 1, (-1, 1): 2, (-1, -1): 3, (1, -1): 4}[(1 if a >= 0 else -1, 1 if d >= 0 else -1)]
    # x goes down (b > 0) or up, y goes right (c > 0) or left
    return {(1, 1): 5, (1, -1): 6, (-1, -1): 7, (-1, 1): 8}[(1 if b >= 0 else -1, 1 if c >= 0 else -1)]
