"""Fill rows of a cache in worker processes that may crash: a crash of a decoder loses one item, not the run."""

from __future__ import annotations

import copy
import json
import math
import multiprocessing
import os
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np

from curate.errors import CurateError, MediaError, UnansweredError
from curate.files.remote import UNREADABLE
from curate.media import USUAL, Decoded
from curate.specs import InputSpec

from .answers import Answers
from .base import Dataset

FIELDS = ("status", "reason", "facts")
MAX_REASON = 300  # characters
MAX_CHUNK = 32  # rows; an interrupt may lose so many, and progress is reported once per chunk
TOGETHER = 512  # rows of one file; a file without random access is read once for all of them
MARK = "decoding."
PATIENCE = 1800.0  # s for one item, or all rows of one file
OWN_MEMORY = 1.0  # GB that a process needs for itself
HOPELESS = 3  # crashes on one file, after which its other rows are not tried
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has no other
TRIED = 8  # items decoded to estimate how long all will take
LONGEST_TRIAL = 5.0  # s
STARTING = 60.0  # s that a process takes to start, at most
LOOK_EVERY = 5.0  # s between checks of how long the current items take

Facts = dict[str, Any]  # see `media.FACTS`
Outcome = tuple[str, str, Facts]  # the FIELDS of one medium
Outcomes = dict[int, dict[str, Outcome]]  # {row: {modality: outcome}}
Engine = Callable[[Dataset, Path, Sequence[int], int], Iterator[Outcomes]]  # see `decode_rows`


def decode_rows(dataset: Dataset, partial: Path, todo: Sequence[int], workers: int) -> Iterator[Outcomes]:
    """Fill rows chunk by chunk; the chunks come in any order.

    Args:
        dataset: its samples are decoded.
        partial: folder of the arrays.
        todo: rows, which are positions in `dataset.samples`.
        workers: processes; with 0 this process decodes, and a crash of a decoder ends it too.

    Raises:
        CurateError: processes are killed before they begin, or several files in a row are not answered.
    """
    answers = Answers(dataset)
    chunks = chunk_rows(dataset, todo, workers)
    if workers == 0:
        for chunk in chunks:
            outcomes = _fill(part_of(dataset, chunk), partial, chunk, marked=False)
            yield outcomes
            answers.add_all(outcomes)
        return
    crashes: Counter[Path] = Counter()
    failures = 0
    while chunks:
        suspects: list[int] = []
        before = len(chunks)
        yield from _in_pool(dataset, partial, chunks, workers, suspects, answers)
        failures = failures + 1 if chunks and not suspects and len(chunks) == before else 0
        if failures > HOPELESS:
            raise CurateError(
                "decoding processes were killed before they began, perhaps for want of memory",
                "run again with fewer workers; finished samples are kept",
            )
        for row in suspects:
            yield {row: _decode_one(dataset, partial, row, crashes)}
        chunks = [left for chunk in chunks if (left := [row for row in chunk if row not in suspects])]


def chunk_rows(dataset: Dataset, todo: Sequence[int], workers: int) -> list[list[int]]:
    """Rows in chunks; rows of one file stay together, up to `TOGETHER`."""
    size = max(1, min(MAX_CHUNK, math.ceil(len(todo) / (4 * max(workers, 1)))))
    named = {row: [path for path, _ in dataset.media(dataset.samples[row]).values()] for row in todo}
    counts = Counter(path for paths in named.values() for path in set(paths))
    groups: dict[object, list[int]] = defaultdict(list)
    for row in todo:
        groups[next((path for path in named[row] if counts[path] > 1), row)].append(row)
    chunks: list[list[int]] = []
    for group in groups.values():
        if chunks and len(chunks[-1]) + len(group) <= size:
            chunks[-1] += group
        else:
            chunks += [group[start : start + TOGETHER] for start in range(0, len(group), TOGETHER)]
    return chunks


def seconds_an_item(dataset: Dataset, workers: int) -> float | None:
    """Seconds to decode one item, measured on a few; None where a process crashes or takes too long.

    Args:
        workers: with 0 this process decodes, as in `decode_rows`.
    """
    places = [len(dataset.samples) * k // TRIED for k in range(TRIED)]
    part = part_of(dataset, places)
    if workers == 0:
        return _try(part)
    with _pool(dataset, 1) as pool:
        try:
            return pool.submit(_try, part).result(timeout=2 * LONGEST_TRIAL + STARTING)
        except (BrokenExecutor, TimeoutError):
            _kill(pool)  # a decoder that never ends
            return None


def _try(part: Dataset) -> float:
    """Mean seconds per sample; the first loads the decoders and does not count, unless it is the only one."""
    seconds: list[float] = []
    for sample in part.samples:
        begin = time.perf_counter()
        for modality in part.specs:
            with suppress(Exception):  # reported when it is decoded for the cache
                part.decode(sample, modality)
        seconds.append(time.perf_counter() - begin)
        if sum(seconds[1:]) > LONGEST_TRIAL:
            break
    return sum(seconds[1:]) / len(seconds[1:]) if len(seconds) > 1 else seconds[0]


def _in_pool(
    dataset: Dataset, partial: Path, chunks: list[list[int]], workers: int, suspects: list[int], answers: Answers
) -> Iterator[Outcomes]:
    """Outcomes of chunks; finished chunks are removed from the list. If a process died, the rows that were being
    decoded are added to `suspects`.
    """
    with _pool(dataset, min(workers, len(chunks))) as pool:
        try:
            jobs = {pool.submit(_fill, part_of(dataset, chunk), partial, chunk): chunk for chunk in chunks}
            for job in _watched(set(jobs), partial, answers):
                outcomes = job.result()
                chunks.remove(jobs[job])
                yield outcomes
                answers.add_all(outcomes)
        except BrokenExecutor:
            suspects += sorted({row for row, *_ in _marks(partial)})
        except UnansweredError:  # the other processes wait for the same place
            _kill(pool)
            raise
        finally:
            pool.shutdown(cancel_futures=True)  # an interrupt waits for the running chunks alone
            for path in partial.glob(f"{MARK}*"):
                path.unlink(missing_ok=True)


def crashed(dataset: Dataset, row: int, modality: str) -> Outcome:
    """The outcome of a medium whose decoder ends its process."""
    files = dataset.media(dataset.samples[row])
    path = files[modality][0] if modality in files else Path(modality)
    reason = f"a process that decoded {path} died: the file is damaged, or needs more memory or time than there is"
    return "decoder_crashed", reason[:MAX_REASON], {}


def _decode_one(dataset: Dataset, partial: Path, row: int, crashes: Counter[Path]) -> dict[str, Outcome]:
    """One row, each modality in a process of its own."""
    found: dict[str, Outcome] = {}
    files = dataset.media(dataset.samples[row])
    for modality in dataset.specs:
        path = files[modality][0] if modality in files else Path(modality)
        found[modality] = crashed(dataset, row, modality)
        if crashes[path] >= HOPELESS:
            continue
        with _pool(dataset, 1) as pool:
            try:
                job = pool.submit(_fill, part_of(dataset, [row]), partial, [row], (modality,))
                next(iter(_watched({job}, partial, Answers(dataset))))
                found |= job.result()[row]
            except BrokenExecutor:
                crashes[path] += 1
    for mark in partial.glob(f"{MARK}*"):
        mark.unlink(missing_ok=True)
    return found


def _pool(dataset: Dataset, workers: int) -> ProcessPoolExecutor:
    """A pool of newly started interpreters: a fork of a process that has torch's threads may hang."""
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, spawn, _begin, (memory_of(dataset),))


def _kill(pool: ProcessPoolExecutor) -> None:
    """End the processes of a pool, whatever they are doing."""
    for process in list((pool._processes or {}).values()):
        process.kill()


def memory_of(dataset: Dataset) -> float:
    """GB that a process needs at most to decode any item."""
    limits = getattr(dataset, "limits", USUAL)
    return limits.memory + OWN_MEMORY


def _begin(memory: float) -> None:
    """Set up a worker of at most `memory` GB. It ignores Ctrl-C, which only the main process handles."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limit_memory(memory)


def limit_memory(memory: float) -> None:
    """Let this process take at most `memory` GB: a decoder that wants more fails, and the machine does not."""
    with suppress(ImportError, ValueError, OSError):  # not on every system
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (int(memory * 1e9), most))


def _watched(jobs: set[Future[Any]], partial: Path, answers: Answers) -> Iterator[Future[Any]]:
    """Jobs as they end; a process that spends longer than `PATIENCE` on one item is killed.

    Raises:
        UnansweredError: all processes together wait for files that are not answered.
    """
    while jobs:
        done, jobs = wait(jobs, LOOK_EVERY, FIRST_COMPLETED)
        yield from done
        if not done:
            answers.check([lost for *_, lost in _marks(partial)])
            for path in partial.glob(f"{MARK}*"):
                with suppress(OSError, ValueError):
                    if time.time() - path.stat().st_mtime > PATIENCE:
                        os.kill(int(path.suffix[1:]), KILL)


def _marks(partial: Path) -> list[tuple[int, str, list[str]]]:
    """Of each process the (row, modality) that it started last, and the files before that were not answered."""
    found = []
    for path in partial.glob(f"{MARK}*"):
        with suppress(OSError, ValueError):
            (row, modality), *lost = json.loads(path.read_text(encoding="utf-8"))
            found.append((row, modality, lost))
    return found


def part_of(dataset: Dataset, rows: list[int]) -> Dataset:
    """The data set with these samples alone: what is sent to a process grows with its chunk, not with the data set."""
    part = copy.copy(dataset)
    part.samples = tuple(dataset.samples[row] for row in rows)
    return part


def _fill(
    part: Dataset, partial: Path, rows: list[int], modalities: Sequence[str] = (), marked: bool = True
) -> Outcomes:
    """Decode the samples of `part` into `rows` of the arrays; the arrays are never sent between processes.

    Args:
        marked: keep a file that names the medium that is being decoded, for whoever watches this process.
    """
    mark = partial / f"{MARK}{os.getpid()}"
    outcomes: Outcomes = {row: {} for row in rows}
    answers = Answers(part)
    try:
        for modality in modalities or part.specs:
            array, found = open_array(partial, modality, "r+"), outcomes_of(part, modality, answers)
            for row in rows:
                if marked:
                    mark.write_text(json.dumps([(row, modality), *answers.lost]), encoding="utf-8")
                array[row], outcomes[row][modality] = next(found)
            array.flush()  # the rows are on disk before the log lists them
    finally:
        mark.unlink(missing_ok=True)
    return outcomes


def outcomes_of(part: Dataset, modality: str, answers: Answers) -> Iterator[tuple[np.ndarray, Outcome]]:
    """The array of one modality of each sample, and its outcome, decoded one after the other.

    Raises:
        UnansweredError: several files in a row are not answered.
    """
    for row, found in enumerate(part.decode_all(part.samples, modality)):
        values, outcome = _outcome(found, part.specs[modality])
        answers.add(row, modality, *outcome[:2])
        yield values, outcome


def _outcome(found: Decoded | Exception, spec: InputSpec) -> tuple[np.ndarray, Outcome]:
    """The array of one medium and its outcome; zeros where it cannot be used."""
    if isinstance(found, MediaError):
        outcome: Outcome = found.status, found.reason[:MAX_REASON], {}
    elif isinstance(found, MemoryError):
        outcome = "too_large", "more memory was needed than data.max_memory", {}
    elif isinstance(found, Exception):
        status = UNREADABLE if isinstance(found, OSError) else "undecodable"  # too many open files, a disk that fails
        outcome = status, f"{type(found).__name__}: {found}"[:MAX_REASON], {}
    elif found.values.shape != spec.shape or found.values.dtype != spec.dtype:
        got = f"loaded {found.values.dtype} {found.values.shape}, expected {spec.dtype} {spec.shape}"
        outcome = "undecodable", f"ValueError: {got}"[:MAX_REASON], {}
    else:
        return found.values, ("ok", "", found.facts)
    return np.zeros(spec.shape, spec.dtype), outcome


def array_file(folder: Path, modality: str) -> Path:
    """The file with the array of a modality."""
    return folder / f"{modality}.npy"


def create_array(folder: Path, modality: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Make an array of zeros on disk; one from an interrupted run is kept.

    Its space is taken at once: where a disk fills up later, writing to memory that is mapped to it ends a process.

    Raises:
        OSError: the disk is full.
    """
    path = array_file(folder, modality)
    if not path.exists():
        np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape).flush()
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def space_taken(folder: Path, modality: str) -> int:
    """Bytes of the disk that the array of a modality has, 0 if there is none."""
    path = array_file(folder, modality)
    if not path.exists():
        return 0
    found = path.stat()
    return min(found.st_blocks * 512, found.st_size) if hasattr(found, "st_blocks") else found.st_size


def open_array(folder: Path, modality: str, mode: Literal["r", "r+"]) -> np.memmap:
    """A memory map of one array; NumPy raises an error if the file holds a pickle."""
    return np.lib.format.open_memmap(array_file(folder, modality), mode=mode)
