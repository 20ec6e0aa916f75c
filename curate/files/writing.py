"""Files that a person asked for: whole or not at all, and nothing else touched on the way."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from curate.errors import CurateError

LOG = logging.getLogger(__name__)


@contextmanager
def replacing(path: Path, message: bool = True) -> Iterator[Path]:
    """Where to write what shall become the file `path`: it takes its place at the end, or goes when something fails.

    It lies in a folder made for it beside `path`, so that whatever the writer puts next to it meets no other file.

    Args:
        message: say that an earlier file was replaced.

    Raises:
        CurateError: the place cannot be written, or the disk is full; an earlier file is as it was.
    """
    try:
        with TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            fresh = Path(folder) / path.name
            yield fresh
            existed = path.exists()
            fresh.replace(path)
    except OSError as error:
        raise CurateError(
            f"cannot write {path}: {error.strerror or error}",
            "check who may write there, and the space left on the disk",
        ) from None
    if existed and message:
        LOG.warning("replaced %s", path)
