"""The connections between the processes that run one model: orders of the first process, as JSON, and tensors.

Letters: P processes, L values.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from .meeting import JOINING, Store

FOR_EVER = timedelta(days=365)
"""How long to wait for an order: decoding a data set may take hours. A process that ends is noticed at once."""
FAILURE = "failure"
"""Key under which a process leaves the reason why it ends."""


class Disconnected(Exception):
    """Another process is not there any more."""


class Links:
    """This process's connections to the others: `gloo` for tensors on the CPU, `nccl` for those on CUDA.

    Args:
        rank: number of this process; 0 is the first, which gives the orders.
        world: how many there are.
        place: a folder that only they use, on one machine, or the store where they have met.

    Raises:
        Disconnected: by every method, if another process has ended.
    """

    def __init__(self, rank: int, world: int, place: Path | Store) -> None:
        self.rank, self.world = rank, world
        self._groups: dict[int, Any] = {world: None}
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        with _watched():
            if isinstance(place, Path):
                store = dist.FileStore(str(place / "store"), world)  # type: ignore[attr-defined]
                store.set_timeout(JOINING)
                with _loopback():
                    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=FOR_EVER)
            else:
                # The first process may decode for hours before it connects; the others are there when it does.
                place.set_timeout(FOR_EVER if rank else JOINING)
                dist.init_process_group(backend, store=place, rank=rank, world_size=world, timeout=FOR_EVER)

    def close(self) -> None:
        """Leave the group."""
        dist.destroy_process_group()

    def fail(self, reason: str) -> None:
        """Leave a reason for the first process, before this one ends, if no other process has left one."""
        with _watched():
            store = dist.distributed_c10d._get_default_store()
            if store.add(f"{FAILURE}s", 1) == 1:
                store.set(FAILURE, f"process {self.rank}: {reason}")

    def failure(self) -> str:
        """The reason that a process left, '' if none did."""
        try:
            store = dist.distributed_c10d._get_default_store()
            return store.get(FAILURE).decode() if store.check([FAILURE]) else ""
        except (RuntimeError, ValueError):
            return ""

    def tell(self, order: Mapping[str, Any]) -> None:
        """Give an order to all other processes."""
        text = torch.frombuffer(bytearray(json.dumps(order).encode()), dtype=torch.uint8)
        with _watched():
            dist.broadcast(torch.tensor([len(text)]), 0)
            dist.broadcast(text, 0)

    def hear(self) -> Any:
        """Wait for the next order."""
        with _watched():
            length = torch.zeros(1, dtype=torch.int64)
            dist.broadcast(length, 0)
            text = torch.empty(int(length), dtype=torch.uint8)
            dist.broadcast(text, 0)
        return json.loads(bytes(text.numpy()))

    def among(self, first: int) -> Any:
        """The group of the first so many processes. All processes of the run must ask for a new one together."""
        if first not in self._groups:
            with _watched():
                self._groups[first] = dist.new_group(list(range(first)), timeout=FOR_EVER)
        return self._groups[first]

    @cached_property
    def apart(self) -> Any:
        """A second group of all processes, for what keeps its group after `close`; they must first ask together.

        The threads of a group live as long as it does. One that still has an exchange to forget when Python ends
        aborts the process; so nothing may keep the group of the orders, whose exchange is the last.
        """
        with _watched():
            return dist.new_group(timeout=FOR_EVER)

    def sender(self, tensors: Sequence[tuple[Tensor, int]]) -> Callable[[], None]:
        """Begin to send tensors, each to a process; returns a function that waits until all are sent."""
        with _watched():
            works = [(t, dist.isend(t, to)) for t, to in ((t.contiguous(), to) for t, to in tensors)]

        def wait() -> None:
            with _watched():
                for _, work in works:
                    if work is not None:
                        work.wait()

        return wait

    def send(self, tensor: Tensor, to: int) -> None:
        """Send a tensor to a process."""
        with _watched():
            dist.send(tensor.contiguous(), to)

    def receive(self, into: Tensor, of: int) -> Tensor:
        """Fill a contiguous tensor with what a process sends; returns it."""
        with _watched():
            dist.recv(into, of)
        return into

    @torch.no_grad()
    def copy(self, tensors: Sequence[Tensor]) -> None:
        """Make tensors equal to those of the first process, in place."""
        for dtype, some in _by_dtype(tensors):
            sizes = [t.numel() for t in some]
            numbers = flat(some) if self.rank == 0 else torch.empty(sum(sizes), dtype=dtype, device=some[0].device)
            with _watched():
                dist.broadcast(numbers.view(torch.uint8), 0)
            if self.rank:
                for t, piece in zip(some, numbers.split(sizes), strict=True):
                    t.copy_(piece.view_as(t))

    def add(self, tensors: Sequence[Tensor | None], like: Sequence[Tensor], first: int) -> list[Tensor | None]:
        """Sums over the first so many processes, in the first process; None for what no process has.

        Args:
            tensors: this process's.
            like: tensors of the same shapes.
            first: how many processes.
        """
        group, sums = self.among(first), dict[int, Tensor]()
        there = torch.tensor([t is not None for t in tensors], dtype=torch.int32)
        with _watched():
            dist.reduce(there, 0, group=group)
        places = {id(x): i for i, x in enumerate(like)}
        for _, some in _by_dtype(like):
            at = [places[id(x)] for x in some]
            own = [torch.zeros_like(like[i]) if (t := tensors[i]) is None else t for i in at]
            numbers = flat(own)
            with _watched():
                dist.reduce(numbers, 0, group=group)
            pieces = numbers.split([x.numel() for x in some])
            sums |= {i: piece.view(like[i].shape) for i, piece in zip(at, pieces, strict=True)}
        return [sums[i] if count else None for i, count in enumerate(there.tolist())]

    def gather(self, values: Tensor, first: int) -> Tensor:
        """(L,) values of each of the first so many processes to (P, L), in all of them."""
        parts = [torch.empty_like(values) for _ in range(first)]
        with _watched():
            dist.all_gather(parts, values, group=self.among(first))
        return torch.stack(parts)


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """All numbers of some tensors of one type, one after the other."""
    return torch.cat([t.reshape(-1) for t in tensors])


def _by_dtype(tensors: Sequence[Tensor]) -> list[tuple[torch.dtype, list[Tensor]]]:
    """The tensors of each type, in the order in which the types first appear."""
    kinds = dict.fromkeys(t.dtype for t in tensors)
    return [(kind, [t for t in tensors if t.dtype == kind]) for kind in kinds]


@contextmanager
def _watched() -> Iterator[None]:
    """Errors of a connection as `Disconnected`."""
    try:
        yield
    except RuntimeError as error:
        raise Disconnected(str(error).splitlines()[0]) from error


@contextmanager
def _loopback() -> Iterator[None]:
    """Processes of one machine listen to nobody outside it, unless the user chose an interface."""
    name = "GLOO_SOCKET_IFNAME"
    there = [i for i in ("lo", "lo0") if Path(f"/sys/class/net/{i}").exists()]
    chosen = {} if name in os.environ or not there else {name: there[0]}
    os.environ.update(chosen)
    try:
        yield
    finally:
        for key in chosen:
            del os.environ[key]
