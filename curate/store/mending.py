"""A file whose last writer was killed, or found the disk full: what DuckDB does not put right by itself.

What describes the tables is in blocks of 64 parts each. At a checkpoint DuckDB puts new parts into free places of such
a block, writes the whole block over the old one, and only at the end the header that names the new parts. A process
that is killed within that leaves a block half written. The parts that the old header names are the same in both halves,
but the checksum at its beginning is that of the new block, and DuckDB refuses the file. What was committed is also in
the log beside the file: with the checksum of what is there the file opens as it was before the checkpoint, and the log
is applied.

Many rows are written to their place before the commit. Without it they keep the space, which on a full disk lets nobody
write any more, not even to remove something.
"""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

HEADERS, HEADER, BLOCKS = (4096, 8192), 4096, 12288
"""Where the two headers are, of how many bytes each, and where the blocks begin."""
PARTS, PLACE = 64, 56
"""Parts of a block, and the bit of a pointer from which on it says which of them; below is the number of the block."""
END = 2**64 - 1
MOST = 2**20
"""Of a count that is believed."""
LOG = logging.getLogger(__name__)


def mend(path: Path) -> None:
    """Write the right checksum of a block that a killed process has half written, if there is one.

    Nothing is done where the log is not there, where another process has the file open, and to any other damage. The
    file must not be open in this process: closing it here ends the locks on it.
    """
    log = path.with_name(f"{path.name}.wal")
    with suppress(ImportError, OSError, struct.error, ValueError):  # Windows, others' files and locks, not DuckDB's
        if not log.stat().st_size:
            return
        import fcntl

        with path.open("rb+") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for place, checksum in list(_torn(file)):
                file.seek(place)
                file.write(checksum)
                file.flush()
                os.fsync(file.fileno())
                LOG.warning("%s was mended: a process was killed while it wrote a block; nothing is lost", path)


def trim(path: Path) -> None:
    """Give back the space behind the last block of a file: of rows whose transaction was not completed.

    Nothing is done where there is a log, which may name blocks there, and where another process has the file open. As
    with `mend`, the file must not be open in this process.
    """
    with suppress(ImportError, OSError, struct.error, ValueError):
        import fcntl

        with path.open("rb+") as file:
            if path.stat().st_size <= _end(file):
                return
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            log = path.with_name(f"{path.name}.wal")
            if (end := _end(file)) < path.stat().st_size and not (log.exists() and log.stat().st_size):
                file.truncate(end)


def _end(file: BinaryIO) -> int:
    """Where the last block ends."""
    _, count, size = _header(file)
    return BLOCKS + count * size


def _torn(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """(place in the file, right checksum) of each block of descriptions whose checksum is wrong.

    Raises:
        ValueError, struct.error: it is not a file of the known form.
    """
    free, count, size = _header(file)
    for number in _described(file, free, count, size):
        content = _at(file, BLOCKS + number * size, size)
        if (right := _checksum(content)) != content[:8]:
            yield BLOCKS + number * size, right


def _header(file: BinaryIO) -> tuple[int, int, int]:
    """(pointer to the lists of blocks, number of blocks, bytes of a block) by the newer header.

    Raises:
        ValueError, struct.error: it is not a file of the known form.
    """
    found = [_at(file, place, HEADER) for place in HEADERS]
    whole = [struct.unpack_from("<QQQQQ", content, 8) for content in found if content[:8] == _checksum(content)]
    _, _, free, count, size = max(whole)
    if not 2**14 <= size <= 2**18 or size & (size - 1):
        raise ValueError("blocks of no known size")
    return free, count, size


def _described(file: BinaryIO, pointer: int, count: int, size: int) -> list[int]:
    """The numbers of the blocks of descriptions: a list after those of free blocks and of blocks used several times.

    Args:
        pointer: to the first part that the lists are in.
        count: of all blocks.
        size: of a block, bytes.
    """
    part, text = (size - 8) // PARTS // 8 * 8, b""
    while pointer != END:
        number, place = pointer & (2**PLACE - 1), pointer >> PLACE
        if number >= count or place >= PARTS or len(text) > count * size:
            raise ValueError("a pointer to nowhere")
        content = _at(file, BLOCKS + number * size + 8 + place * part, part)
        (pointer,), text = struct.unpack_from("<Q", content), text + content[8:]
    start = 0
    for entry in ("<q", "<qI"):
        (length,) = struct.unpack_from("<Q", text, start)
        start += 8 + min(length, MOST) * struct.calcsize(entry)
    (length,) = struct.unpack_from("<Q", text, start)
    numbers = [struct.unpack_from("<qQ", text, start + 8 + 16 * i)[0] for i in range(min(length, MOST))]
    if any(not 0 <= number < count for number in numbers):
        raise ValueError("a block that is not there")
    return numbers


def _at(file: BinaryIO, place: int, length: int) -> bytes:
    file.seek(place)
    content = file.read(length)
    if len(content) != length:
        raise ValueError("the file is too short")
    return content


def _checksum(content: bytes) -> bytes:
    """DuckDB's checksum of a block or header, whose own first eight bytes are left out."""
    words = np.frombuffer(content, dtype="<u8")[1:]
    return struct.pack("<Q", int(np.bitwise_xor.reduce(words * np.uint64(0xBF58476D1CE4E5B9))) ^ 5381)
