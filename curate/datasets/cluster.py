"""Decode on a Ray cluster: a chunk of rows is a task, whose arrays come back to the process that writes the cache.

Ray runs a task again when its worker or its node is lost. A chunk that is lost again and again is divided, down to one
medium, which is then what crashes the decoder. Only so many tasks are submitted as the cluster soon runs, so arrays
never pile up. The machines need this package, and the files under the same names.
"""

from __future__ import annotations

import logging
import os
import re
import socket
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.errors import CurateError, UnansweredError

from .answers import Answers
from .base import Dataset
from .decoding import (
    Engine,
    Outcome,
    Outcomes,
    chunk_rows,
    crashed,
    decode_rows,
    limit_memory,
    memory_of,
    open_array,
    outcomes_of,
    part_of,
)

AHEAD = 2
"""Tasks per core that are submitted: one runs, one waits."""
WAITS = 10.0  # s for the cluster's address to answer
SETTINGS = b"\0\0\0\4\0\0\0\0\0"
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SETTINGS
"""What every client of HTTP/2, and so of gRPC, begins with; the server answers with settings of its own (RFC 9113)."""
ANSWERS = 60.0  # s for a task that does nothing
RETRIES = 1
"""Of a task; after them it is divided, so a medium is given up after six losses."""

Found = dict[str, tuple[NDArray[Any], list[Outcome]]]


class Unit(NamedTuple):
    """What one task decodes."""

    rows: list[int]
    modalities: tuple[str, ...]

    def parts(self) -> list[Unit]:
        """Single rows of several, single modalities of one row; [] for one medium."""
        if len(self.rows) > 1:
            return [Unit([row], self.modalities) for row in self.rows]
        return [Unit(self.rows, (m,)) for m in self.modalities] if len(self.modalities) > 1 else []


def decode_on_cluster(dataset: Dataset, partial: Path, todo: Sequence[int], workers: int) -> Iterator[Outcomes]:
    """As `decode_rows`, by tasks of the cluster that `RAY_ADDRESS` names; without it, of one started on this machine.

    Args:
        dataset, partial, todo: as in `decode_rows`.
        workers: cores of the cluster that is started here.

    Raises:
        CurateError: Ray is not installed, the cluster cannot be reached, or several files in a row are not answered.
    """
    if not todo or not dataset.decodes:  # what is read from one array is not worth sending
        yield from decode_rows(dataset, partial, todo, 0)
        return
    with _connected(workers) as ray:
        cores = max(int(ray.cluster_resources().get("CPU", 1)), 1)
        task = ray.remote(_decode).options(max_retries=RETRIES, scheduling_strategy="SPREAD")
        waiting = deque(Unit(rows, tuple(dataset.specs)) for rows in chunk_rows(dataset, todo, cores))
        running: dict[Any, Unit] = {}
        kept: Outcomes = defaultdict(dict)
        answers = Answers(dataset)
        try:
            while waiting or running:
                with _connection(ray):
                    while waiting and len(running) < AHEAD * cores:
                        unit = waiting.popleft()
                        running[task.remote(part_of(dataset, unit.rows), unit.modalities, memory_of(dataset))] = unit
                    (reference,), _ = ray.wait(list(running), num_returns=1)
                unit = running.pop(reference)
                try:
                    with _connection(ray):
                        found = ray.get(reference)
                    _write(partial, unit, found, kept)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause if isinstance(error.cause, UnansweredError) else error from None
                except ray.exceptions.RayError:  # the worker was lost, each time
                    _check_answers(ray)
                    if parts := unit.parts():
                        waiting.extendleft(parts)
                        continue
                    row, (modality,) = unit.rows[0], unit.modalities
                    kept[row][modality] = crashed(dataset, row, modality)
                outcomes = {row: kept.pop(row) for row in unit.rows if len(kept[row]) == len(dataset.specs)}
                yield outcomes
                answers.add_all(outcomes)
        finally:
            with suppress(ray.exceptions.RayError, OSError):
                for reference in running:  # whoever wanted them has stopped
                    ray.cancel(reference, force=True)


def _check_answers(ray: Any) -> None:
    """Check that the cluster still does what needs no core: what it lost is else no fault of a medium.

    Raises:
        CurateError: it does not.
    """
    idle = ray.remote(num_cpus=0, max_retries=0)(_nothing)
    try:
        with _connection(ray):
            ray.get(idle.remote(), timeout=ANSWERS)
    except ray.exceptions.RayError as error:
        raise _lost(error) from None


@contextmanager
def _connection(ray: Any) -> Iterator[None]:
    """Errors of the connection to Ray, which are those of files in Python, as a lost cluster; not those of a task.

    Raises:
        CurateError: the cluster was lost.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, ray.exceptions.RayError):
            raise
        raise _lost(error) from None


def _lost(error: Exception) -> CurateError:
    said = (str(error) or type(error).__name__).splitlines()[0]
    return CurateError(
        f"the Ray cluster was lost: {said}", "what is decoded is kept; the same command goes on where it was"
    )


def _nothing() -> None:
    """The task that only has to end."""


def _decode(part: Dataset, modalities: Sequence[str], memory: float) -> Found:
    """The task: {modality: ((n, *shape) arrays, n outcomes)} of the samples of `part`."""
    limit_memory(memory)
    found, answers = {}, Answers(part)
    for modality in modalities:
        arrays, outcomes = zip(*outcomes_of(part, modality, answers), strict=True)
        found[modality] = np.stack(arrays), list(outcomes)
    return found


def _write(partial: Path, unit: Unit, found: Found, kept: Outcomes) -> None:
    """Write the arrays of one task, and keep its outcomes."""
    for modality, (values, outcomes) in found.items():
        array = open_array(partial, modality, "r+")
        array[unit.rows] = values
        array.flush()  # the rows are on disk before the log lists them
        for row, outcome in zip(unit.rows, outcomes, strict=True):
            kept[row][modality] = outcome


@contextmanager
def _connected(workers: int) -> Iterator[Any]:
    """Ray, connected to a cluster; a connection that is there already is used, and stays."""
    if find_spec("ray") is None:
        raise CurateError("this needs Ray, which is not installed", "pip install 'curate-mm[ray]'")
    import ray

    if ray.is_initialized():
        yield ray
        return
    given = os.environ.get("RAY_ADDRESS")
    own: dict[str, Any] = {}
    if not given:
        own = {"address": "local", "num_cpus": max(workers, 1)}  # and not one that happens to run on this machine
        own |= {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        _knock(given or "")
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **own)
    except (OSError, ValueError, RuntimeError) as error:
        where = f"RAY_ADDRESS={given}" if given else "one on this machine"
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise CurateError(f"no Ray cluster, {where}: {said}", "check the address, and `ray status`") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Check that a server of gRPC, as Ray's are, answers at `host:port`; Ray itself waits for many minutes.

    Raises:
        OSError: none does.
    """
    found = re.fullmatch(r"(?:ray://)?([^/]+):(\d+)", address)
    if not found:
        return
    with socket.create_connection((found[1].strip("[]"), int(found[2])), timeout=WAITS) as connection:
        if os.environ.get("RAY_USE_TLS", "0") != "0":
            return
        connection.sendall(GREETING)
        answer = connection.recv(len(SETTINGS))
    if answer[3:4] != SETTINGS[3:4]:
        raise OSError("what listens there is not Ray")


ENGINES: Mapping[str, Engine] = {"processes": decode_rows, "ray": decode_on_cluster}
"""What decodes, by its name on the command line."""
