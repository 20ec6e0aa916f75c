"""Where the processes that `torchrun` or another launcher has started meet: a store at MASTER_ADDR and MASTER_PORT."""

from __future__ import annotations

import os
import socket
import time
from datetime import timedelta

from torch.distributed import Store as Store  # type: ignore[attr-defined]
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from curate.errors import CurateError
from curate.render import Message

JOINING = timedelta(minutes=5)
"""How long to wait for all processes to be there."""
NAMES = "RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT"
PAUSE = 0.05
ANSWERS = 5.0
"""Seconds that a machine has for accepting a connection."""


def meet(rank: int, world: int, message: Message, joining: timedelta = JOINING) -> Store:
    """The store of all processes, once each of them is there; Ctrl-C and SIGTERM end the waiting.

    Without `torchrun`, whose own process has the store, the first process makes it; each then says what it waits for,
    since the variables may be left over from another job.

    Raises:
        CurateError: they are not all there in time, or the address cannot be used.
    """
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    within = f"{joining.total_seconds() / 60:.3g} min"
    agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    if not agent:
        others = "the others" if rank == 0 else "process 0"
        message(f"process {rank} of {world}, by {NAMES}: waiting up to {within} for {others} at {host}:{port}")
    hint = f"start the command with torchrun, or unset {NAMES} if it is one process"
    deadline = time.monotonic() + joining.total_seconds()
    first = rank == 0 and not agent
    while not first and (reason := _unreachable(host, port)):
        if time.monotonic() > deadline:
            raise CurateError(f"process {rank} of {world} found no process 0 at {host}:{port}: {reason}", hint)
        time.sleep(PAUSE)
    try:
        store = TCPStore(host, port, world, first, joining, wait_for_workers=False, multi_tenant=first)
        there = store.add("curate/there", 1)
        while there < world:
            if time.monotonic() > deadline:
                raise CurateError(f"of {world} processes, {there} came to {host}:{port} within {within}", hint)
            time.sleep(PAUSE)
            there = store.add("curate/there", 0)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise CurateError(
            f"process {rank} of {world} cannot meet the others at {host}:{port}: {reason}", hint
        ) from None
    return store


def _unreachable(host: str, port: int) -> str:
    """Why nobody answers at an address, '' if somebody does."""
    try:
        socket.create_connection((host, port), ANSWERS).close()
    except OSError as error:
        return str(error)
    return ""
