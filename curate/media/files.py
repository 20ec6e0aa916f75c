"""Checks that a path is a media file, and limits on the cost of one item."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import MediaError
from curate.files.remote import UNREADABLE, Remote, RemoteError, local
from curate.files.stamps import stamps

LFS_HEADER = b"version https://git-lfs"
HEAD = 128
"""Bytes; the header of a WAV has fewer, with the chunks that usual programs write."""
DECODING = 3
"""Increased whenever the same file gives other arrays than before; older caches are then decoded again."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits for one item; beyond them its status is `too_large`, `too_long` or `too_many_channels`.

    Attributes:
        pixels: of one picture or frame; Pillow adds its own bound, 178 million.
        seconds: of a recording that is decoded for one item, s.
        channels: of a recording.
        memory: of the arrays that one item is decoded into, GB.
    """

    pixels: int = 150_000_000
    seconds: float = 21_600.0
    channels: int = 64
    memory: float = 4.0

    def check_pixels(self, path: Path, width: int, height: int) -> None:
        """Check, before it is decoded, that a picture or frame is not too large.

        Raises:
            MediaError: `too_large`.
        """
        if width * height > self.pixels:
            raise MediaError("too_large", f"{path} has {width}x{height} pixels, more than {self.pixels}")

    def check_memory(self, path: Path, wanted: float) -> None:
        """Check that `wanted` bytes are not more than `memory`.

        Raises:
            MediaError: `too_large`.
        """
        if wanted > self.memory * 1e9:
            raise MediaError("too_large", f"{path} needs {wanted / 1e9:.1f} GB, more than {self.memory:g} GB")

    def check_seconds(self, path: Path, seconds: float) -> None:
        """Check that no more than `self.seconds` are decoded.

        Raises:
            MediaError: `too_long`.
        """
        if seconds > self.seconds:
            raise MediaError("too_long", f"{path}: {seconds:.0f} s would be decoded, more than {self.seconds:g} s")

    def check_channels(self, path: Path, channels: int) -> None:
        """Check that a recording does not have too many channels.

        Raises:
            MediaError: `too_many_channels`.
        """
        if channels > self.channels:
            raise MediaError("too_many_channels", f"{path} has {channels} channels, more than {self.channels}")


USUAL = Limits()

NO_NAME = (errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)
"""Errors of a name that no file can have."""


def check_file(path: Path) -> None:
    """Check that a path is a file with content of its own.

    Raises:
        MediaError: `missing`, `unreadable` (no right to, or a disk or network folder that fails), `empty` (0 bytes, or
            a WAV that ends with its header) or `lfs_pointer` (the text that Git LFS writes in place of a file).
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise MediaError("missing", f"{path} is not a plain file")
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise MediaError("missing", f"{path} does not exist{lost(path)}") from None
    except OSError as error:
        if error.errno in NO_NAME:
            raise MediaError("missing", f"{path}: {error.strerror}{lost(path)}") from None
        raise MediaError(UNREADABLE, f"{path} cannot be read: {error.strerror or error}") from None
    head = read_head(path, HEAD)
    if not head:
        raise MediaError("empty", f"{path} has 0 bytes")
    if len(head) < HEAD and head.startswith((b"RIFF", b"RF64")) and head[-8:-4] == b"data":
        raise MediaError("empty", f"{path} is the header of a WAV without samples")
    if head.startswith(LFS_HEADER):
        raise MediaError("lfs_pointer", f"{path} is a Git LFS pointer; fetch the file with `git lfs pull`")


def lost(path: Path) -> str:
    """A likely reason why a file does not exist, as the end of a sentence; '' if none is found.

    It is a link that leads nowhere, or a name in other case.
    """
    if path.is_symlink():
        return "; it is a link that leads nowhere"
    try:
        names = sorted(name for name in os.listdir(path.parent) if name != path.name)
    except OSError:
        return ""
    alike = [name for name in names if name.casefold() == path.name.casefold()]
    return f"; there is {alike[0]}, in other case" if alike else ""


def read_head(path: Path, length: int = 64) -> bytes:
    """The first bytes of a file.

    Raises:
        MediaError: `unreadable`.
    """
    try:
        with path.open("rb") as file:
            return file.read(length)
    except OSError as error:
        raise MediaError(UNREADABLE, f"{path} cannot be read: {error.strerror or error}") from error


def stamp(path: Path) -> list[Any] | None:
    """[size in bytes, time of modification] of a file, None if there is none; a changed file is decoded again.

    The time is in s, or in ns if it has a fraction of one: programs write several files of one size within a second.
    Of a remote file, its checksum takes the place of the time where its file system has one.
    """
    if isinstance(path, Remote):
        return stamps([path]).get(path)
    try:
        found = path.stat()
    except OSError:
        return None
    seconds, rest = divmod(found.st_mtime_ns, 10**9)
    return [found.st_size, found.st_mtime_ns if rest else seconds]


@contextmanager
def at_hand(path: Path) -> Iterator[Path]:
    """A file of this machine to decode: the path itself, or a copy of a remote file, which stays while the block runs.

    Errors raised in the block name the remote file.

    Raises:
        MediaError: the status of a `RemoteError`.
    """
    if not isinstance(path, Remote):
        yield path
        return
    try:
        with local(path) as file:
            try:
                yield file
            except MediaError as error:
                raise renamed(error, file, path) from error
    except RemoteError as error:
        raise MediaError(error.status, error.message) from None


def renamed(error: MediaError, file: Path, path: Path) -> MediaError:
    """An error about a copy, as one about the file that was copied."""
    return error if file == path else MediaError(error.status, error.reason.replace(str(file), str(path)))
