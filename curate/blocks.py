"""Arrays of any length, worked on a block of rows at a time: memory then does not grow with their length.

A large array is kept in a temporary file without a name, mapped into memory: it is gone when nobody uses it, or when
the process ends. The folder is Python's for temporary files, which TMPDIR names. Blocks fit into a processor's cache,
and several threads work on them: numpy lets the others run.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import IO, Any, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from .errors import CurateError

Floats = NDArray[np.float64]
T = TypeVar("T")
S = TypeVar("S", bound=np.generic)
NUMBERS = 1 << 17
"""About so many numbers are in a block: 1 MB in float64."""
LARGE = 1 << 21
"""An array of more numbers, or of texts of as many bytes, is kept in a file."""
NARROW = 256
"""Rows of at most so many numbers are kept column by column: numpy is fast along the long axis only."""
THREADS = 4
"""At most so many threads work on blocks."""
AT_ONCE = 32
"""After so many blocks their memory is given back."""


def slices(rows: int, step: int) -> Iterator[slice]:
    """Consecutive slices of `rows` rows, each of `step` of them but for the last."""
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def blocks(rows: int, columns: int = 1) -> Iterator[slice]:
    """Consecutive slices of `rows` rows, each of about `NUMBERS` numbers."""
    return slices(rows, max(NUMBERS // max(columns, 1), 1))


def by_row(work: Callable[..., NDArray[Any]], *arrays: NDArray[Any]) -> NDArray[Any]:
    """The (N, ...) results of a function of each row of several (N, ...) arrays, computed block by block."""
    found = list(each(lambda block: work(*(a[block] for a in arrays)), len(arrays[0]), _widest(*arrays), *arrays))
    return np.concatenate(found) if found else work(*arrays)


def every(work: Callable[..., NDArray[np.bool_]], *arrays: NDArray[Any]) -> bool:
    """Whether a function of each row of (N, ...) arrays holds for all; a block that denies it ends the search."""
    found = each(lambda block: bool(work(*(a[block] for a in arrays)).all()), len(arrays[0]), _widest(*arrays), *arrays)
    return all(found)


def fill(out: Floats, work: Callable[..., Floats], *arrays: NDArray[Any]) -> Floats:
    """As `by_row`, written into `out` (N, C), which is returned."""

    def one(block: slice) -> None:
        out[block] = work(*(a[block] for a in arrays))

    for _ in each(one, *out.shape, out, *arrays):
        pass
    return out


def each(work: Callable[[slice], T], rows: int, columns: int, *arrays: NDArray[Any]) -> Iterator[T]:
    """The results of a function of each block, see `blocks`, in their order; several threads compute them.

    `work` must not depend on other blocks. The first error ends it.

    Args:
        arrays: what the function reads and writes, to `release` it from time to time.
    """
    wanted = list(blocks(rows, columns))
    if len(wanted) < 2:
        yield from map(work, wanted)
        return
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        for several in slices(len(wanted), AT_ONCE):
            yield from pool.map(work, wanted[several])
            release(*arrays)


def take(array: NDArray[S], rows: NDArray[Any]) -> NDArray[S]:
    """Rows of an (N, ...) array, by an (N,) mask or by positions; the array itself where these are all, in order."""
    at = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
    if len(at) == len(array) and (at[1:] > at[:-1]).all():
        return array
    out = _empty((len(at), *array.shape[1:]), array.dtype)

    def one(block: slice) -> None:
        out[block] = array[at[block]]

    for _ in each(one, len(at), _widest(array), out, array):
        pass
    return out


def are_unique(ids: NDArray[np.str_]) -> bool:
    """Whether no id occurs twice; this is fast for ascending ids, as ours are."""
    return are_ascending(ids) or len(np.unique(ids)) == len(ids)


def are_ascending(ids: NDArray[np.str_]) -> bool:
    """Whether each id is greater than the one before it."""
    return every(np.greater, ids[1:], ids[:-1])


def among(ids: NDArray[np.str_], wanted: NDArray[np.str_]) -> NDArray[np.bool_]:
    """(N,) whether each id is one of `wanted` (n,), in any order."""
    known = wanted if are_ascending(wanted) else np.unique(wanted)
    if not len(known):
        return np.zeros(len(ids), dtype=bool)

    def work(own: NDArray[np.str_]) -> NDArray[np.bool_]:
        places = np.searchsorted(known, own.astype(known.dtype))  # one that is too long is cut, and not found
        return np.asarray(known[np.minimum(places, len(known) - 1)] == own)

    return by_row(work, ids)


def scratch(rows: int, columns: int) -> Floats:
    """(rows, columns) zeros in float64, in a file if they are many; column by column if rows are short.

    Raises:
        CurateError: there is no space for it.
    """
    return _empty((rows, columns), np.dtype(np.float64))


def _widest(*arrays: NDArray[Any]) -> int:
    """As how many numbers of 8 bytes the widest row of some arrays takes."""
    return max(a.itemsize * int(np.prod(a.shape[1:], dtype=np.int64)) for a in arrays) // 8


def _empty(shape: tuple[int, ...], kind: np.dtype[S]) -> NDArray[S]:
    """Zeros, or empty texts, of a shape and type, see `scratch`."""
    size, order = int(np.prod(shape, dtype=np.int64)) * kind.itemsize, _order(shape)
    if size <= 8 * LARGE:
        return np.zeros(shape, kind, order)
    with _failing(), tempfile.TemporaryFile() as file:  # the mapping outlives the open file
        if hasattr(os, "posix_fallocate"):  # a full disk is an error here, and not a crash at the first number
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
        return _mapped(file, shape, kind, order)


def release(*arrays: NDArray[Any]) -> None:
    """Give back the memory of what was read of arrays in files; their content stays."""
    for array in arrays:
        mapped = getattr(array, "_mmap", None)
        if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)


class Growing(Generic[S]):
    """An (N, ...) array whose blocks are appended one after another; one of texts is as wide as the longest.

    Args:
        empty: (0, ...), of the same type.
    """

    def __init__(self, empty: NDArray[S]) -> None:
        self._small, self._size = [empty], 0
        self._written: list[tuple[int, np.dtype[S]]] = []
        self._row = empty.shape[1:]
        self._file: IO[bytes] | None = None

    def append(self, block: NDArray[S]) -> None:
        """Append (n, ...) rows.

        Raises:
            CurateError: there is no space for them.
        """
        self._small.append(block)
        self._size += block.nbytes
        if self._file is None and self._size <= 8 * LARGE:
            return
        with _failing():
            self._file = self._file or tempfile.TemporaryFile()  # noqa: SIM115, closed by `array`
            for own in self._small:
                own.tofile(self._file)
        self._written += [(len(own), own.dtype) for own in self._small]
        self._small = []

    def array(self) -> NDArray[S]:
        """All rows, in a file if they are many; nothing can be appended any more."""
        if self._file is None:
            return np.concatenate(self._small)
        kind = max((kind for _, kind in self._written), key=lambda kind: kind.itemsize)
        shape = (sum(count for count, _ in self._written), *self._row)
        with _failing(), self._file as file:
            file.flush()
            if all(own == kind for count, own in self._written if count):
                return _mapped(file, shape, kind, "C")
            file.seek(0)
            found, at = _empty(shape, kind), 0
            for count, own in self._written:
                found[at : at + count] = np.fromfile(file, own, count)
                release(found)
                at += count
        return found


def _order(shape: tuple[int, ...]) -> Literal["C", "F"]:
    return "F" if shape[-1] <= NARROW and len(shape) > 1 else "C"


def _mapped(file: IO[bytes], shape: tuple[int, ...], kind: np.dtype[S], order: Literal["C", "F"]) -> NDArray[S]:
    found: NDArray[S] = np.memmap(file, kind, "r+", shape=shape, order=order)
    return found


@contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CurateError(
            f"cannot write to {tempfile.gettempdir()}: {error.strerror or error}",
            "large arrays are kept there; name a folder with more space in TMPDIR",
        ) from None
