"""Starts the other processes of a command on this machine, or is one that `torchrun` has started."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import threading
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

from curate.errors import CurateError

from .links import Disconnected, Links
from .meeting import Store
from .parts import Server

ENDING = 5.0
"""Seconds that a process has for ending by itself."""


def threads_of(world: int) -> int:
    """Threads of each process: its share of those that one would use, unless OMP_NUM_THREADS says otherwise."""
    there = torch.get_num_threads()
    return there if "OMP_NUM_THREADS" in os.environ else max(1, there // world)


class Launched:
    """The other processes, started by this one on this machine; they end when it ends, however it does.

    Args:
        world: how many there are, with this one.
    """

    def __init__(self, world: int) -> None:
        self.world = world
        self.folder = Path(tempfile.mkdtemp(prefix="curate-"))
        threads, spawn = threads_of(world), get_context("spawn")
        torch.set_num_threads(threads)
        self.processes, self.pipes = [], []
        with _uninterrupted():
            for rank in range(1, world):
                ours, theirs = spawn.Pipe()
                process = spawn.Process(
                    target=_follow, args=(rank, world, self.folder, threads, theirs), daemon=True, name=f"curate-{rank}"
                )
                process.start()
                theirs.close()
                self.processes.append(process)
                self.pipes.append(ours)

    def links(self) -> Links:
        """Connect, once all processes are there.

        Raises:
            CurateError: one has ended.
        """
        missing = list(self.pipes)
        while missing:
            ready: list[Any] = wait(missing)
            for pipe in ready:
                try:
                    pipe.recv()
                except EOFError:
                    killed = self.ended(by_signal=True)
                    raise CurateError(
                        f"a process could not be started: {killed or self.ended()}",
                        "the system ends a process so where memory is short, or somebody did: use fewer --processes"
                        if killed
                        else "CURATE_DEBUG=1 shows its messages",
                    ) from None
                missing.remove(pipe)
        return Links(0, self.world, self.folder)

    def ended(self, patience: float = ENDING, by_signal: bool = False) -> str:
        """How the first of the processes that have ended did, '' if all run.

        Args:
            by_signal: only of one that was ended by a signal.
        """
        closed = wait([p.sentinel for p in self.processes], patience)
        codes = {}
        for rank, process in enumerate(self.processes, 1):
            if process.sentinel in closed:
                process.join(ENDING)  # its status comes a moment later
                codes[rank] = process.exitcode or 0
        for rank, code in sorted(codes.items(), key=lambda item: item[1]):
            if code >= 0 and by_signal:
                break
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
            return f"process {rank} {how}"
        return ""

    def close(self, wait: bool) -> None:
        """End the processes: let them end by themselves, or at once."""
        for process in self.processes:
            if wait:
                process.join(ENDING)
            if process.is_alive():
                process.kill()
                process.join()
        for pipe in self.pipes:
            pipe.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _follow(rank: int, world: int, folder: Path, threads: int, pipe: Connection) -> None:
    """What a process that `Launched` starts does."""
    torch.set_num_threads(threads)
    os.environ["LOCAL_RANK"] = str(rank)
    watch = threading.Thread(target=_end_with, args=(pipe, folder), daemon=True)
    watch.start()
    pipe.send(None)
    if status := follow(rank, world, folder):
        watch.join(1.0)  # if the first process has ended, its folder is removed
    os._exit(status)


def _end_with(pipe: Connection, folder: Path) -> None:
    """End this process when the first one has ended, and remove what that may have left."""
    with suppress(EOFError, OSError):
        pipe.recv()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def follow(rank: int, world: int, place: Path | Store) -> int:
    """Serve the first process until it ends; says nothing, and leaves Ctrl-C to it. Returns the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if os.environ.get("CURATE_DEBUG") != "1":
        for stream in (sys.stdout, sys.stderr):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    with suppress(Disconnected):
        links = Links(rank, world, place)
        try:
            Server(links).serve()
            links.close()
            return 0
        except Disconnected:
            raise
        except Exception as error:
            links.fail(f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
    return 1


class _uninterrupted:
    """Processes started here ignore Ctrl-C: the first one ends them."""

    def __enter__(self) -> None:
        self.main = threading.current_thread() is threading.main_thread()
        if self.main:
            self.before = signal.signal(signal.SIGINT, signal.SIG_IGN)

    def __exit__(self, *_: object) -> None:
        if self.main:
            signal.signal(signal.SIGINT, self.before)
