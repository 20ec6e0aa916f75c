"""The source of a medium: a path, or a stretch of a file written as `path#t=2,8`, the media fragment of W3C.

Only a fragment at the very end counts, so a '#' within a name is part of the name.
"""

from __future__ import annotations

import re
from typing import NamedTuple

FRAGMENT = re.compile(r"#t=(\d+(?:\.\d+)?),(\d+(?:\.\d+)?)\Z")


class Segment(NamedTuple):
    """A stretch of a medium, s from its beginning; the end is exclusive."""

    start: float
    end: float


def join_source(path: str, segment: Segment | None = None) -> str:
    """A path and a stretch of it as one text; times are rounded to the microsecond."""
    return path if segment is None else f"{path}#t={_number(segment.start)},{_number(segment.end)}"


def split_source(source: str) -> tuple[str, Segment | None]:
    """The path and the stretch of a source, None where it is the whole file."""
    found = FRAGMENT.search(source)
    if found is None:
        return source, None
    return source[: found.start()], Segment(float(found[1]), float(found[2]))


def _number(seconds: float) -> str:
    return f"{seconds:.6f}".rstrip("0").rstrip(".")
