"""Which of how many processes this is."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import torch.distributed

from curate.errors import CurateError


def place() -> tuple[int, int]:
    """The number of this process and how many there are, by `torch.distributed` or RANK and WORLD_SIZE; else (0, 1)."""
    if started():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    rank, world = (os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE"))
    if re.fullmatch(r"\d+", rank) and re.fullmatch(r"\d+", world):
        return int(rank), int(world)
    return 0, 1


def started() -> bool:
    """Whether this process belongs to a group of `torch.distributed`."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def wait_for_all() -> None:
    """Wait until every process of the group is here; nothing without a group."""
    if started():
        torch.distributed.barrier()


def in_first(action: Callable[[], None]) -> None:
    """Do something in the first process alone, while the others wait; an error of it is raised in all of them.

    Raises:
        CurateError: the action raised one.
    """
    wait_for_all()
    failure: list[Any] = [None]
    if place()[0] == 0:
        try:
            action()
        except CurateError as error:
            failure = [(error.message, error.hint)]
    if started():
        torch.distributed.broadcast_object_list(failure, src=0)
    if failure[0] is not None:
        raise CurateError(*failure[0])
