"""NPZ archives as plain data: content is checked, and an error raised, before arrays are read; and how to write one."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from curate.errors import CurateError

from .machine import memory
from .writing import replacing

BOMB_BYTES, BOMB_RATIO = 1 << 26, 100
"""An archive that unpacks to more than so many bytes and more than so many times its size is not unpacked."""
TEXT_HINT = "save names as text, np.array(names, dtype=str)"


@dataclass(frozen=True)
class Archive:
    """The arrays of an NPZ file, by name, before any is read.

    Attributes:
        path: the file.
        expected: one line on what it should contain, for hints.
        shapes: {name: (shape, dtype)}.
    """

    path: Path
    expected: str
    shapes: dict[str, tuple[tuple[int, ...], np.dtype]]

    def load(self, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """The arrays of these names.

        Raises:
            CurateError: the file is damaged.
        """
        out = {}
        with _refusing(self.path, self.expected), self.path.open("rb") as whole, zipfile.ZipFile(whole) as archive:
            for name in names:
                with archive.open(f"{name}.npy") as file:
                    out[name] = np.lib.format.read_array(file, allow_pickle=False)
                    file.read()  # to the end, where the checksum is compared
        return out


def open_npz(path: Path, expected: str) -> Archive:
    """Names, shapes and types of the arrays.

    Raises:
        CurateError: it is not an NPZ file, is damaged, contains Python objects, or would unpack to too many bytes.
    """
    with _refusing(path, expected):
        with path.open("rb") as file:
            if file.read(6) == b"\x93NUMPY":
                raise CurateError(f"{path} holds a single array, without names and ids", f"expected {expected}")
        with path.open("rb") as whole, zipfile.ZipFile(whole) as archive:
            members = archive.infolist()
            _refuse_bomb(path, members)
            shapes = {}
            for member in members:
                name = member.filename.removesuffix(".npy")
                if name in shapes:
                    raise CurateError(f"{path}: the array {name!r} is there twice", f"expected {expected}")
                with archive.open(member) as stream:
                    shape, dtype = _header(stream)
                    begins = stream.tell()
                if dtype.hasobject:
                    raise CurateError(f"{path}: {name} holds Python objects, which are not loaded", TEXT_HINT)
                if begins + math.prod(shape) * dtype.itemsize != member.file_size:
                    shown = f"{path}: {name} says it is {dtype} {shape}, and has other bytes"
                    raise CurateError(shown, "the file is damaged: write it again")
                shapes[name] = (shape, dtype)
    return Archive(path, expected, shapes)


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays of any names, as `np.savez` does of those that are not names of its own arguments; see `replacing`.

    Raises:
        CurateError: the file cannot be written.
    """
    with replacing(path) as fresh, zipfile.ZipFile(fresh, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def texts(array: NDArray[Any], where: str) -> list[str]:
    """The elements of an array as stripped text; bytes are UTF-8.

    Raises:
        CurateError: bytes are not UTF-8.
    """
    try:
        found = [v.decode() if isinstance(v, bytes) else str(v) for v in np.ravel(array).tolist()]
    except UnicodeDecodeError as error:
        raise CurateError(f"{where} holds bytes that are not UTF-8: {error}", TEXT_HINT) from None
    return [text.strip() for text in found]


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    if any(size < 0 for size in shape):
        raise ValueError(f"an array of shape {shape}")
    return shape, dtype


def _refuse_bomb(path: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    packed, unpacked = sum(m.compress_size for m in members), sum(m.file_size for m in members)
    there = memory()
    if (there and unpacked > there / 2) or (unpacked > BOMB_BYTES and unpacked > BOMB_RATIO * packed):
        shown = f"{path} has {packed / 1e6:.4g} MB and would unpack to {unpacked / 1e6:.4g} MB"
        raise CurateError(shown, "if it is meant so, save it with np.savez, and in parts that fit into memory")


@contextmanager
def _refusing(path: Path, expected: str) -> Iterator[None]:
    """Turn any error of reading a damaged file into a `CurateError`; the readers have no common error class."""
    try:
        yield
    except CurateError:
        raise
    except Exception as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise CurateError(f"{path} cannot be read: {first}", f"expected {expected}") from None
