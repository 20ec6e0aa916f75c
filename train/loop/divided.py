"""Encoders whose weights are divided among the processes (FSDP2): each has its rows of every weight, on its device.

While a block runs, forward or backward, its whole weights are there, and nowhere else. The first process has besides
the whole encoders, in the memory of the machine: those that methods and optimizer see, and checkpoints.

Letters: P processes, B batch, D features.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from .links import Links, flat

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
SMALL, LARGE = 64, 8
"""A block of less than a 64th of an encoder's numbers is none; one of more than an 8th is divided further."""


def divide(links: Links, encoder: nn.Module, device: torch.device) -> None:
    """Leave this process its rows of every weight, on the device; all do so together, and once."""
    if isinstance(encoder, FSDPModule):
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)  # FSDP2 takes the current one
    mesh = DeviceMesh.from_group(links.apart, device.type)
    for part in [*blocks(encoder), encoder]:
        divided: FSDPModule = fully_shard(part, mesh=mesh, reshard_after_forward=True)
        divided.set_gradient_divide_factor(1.0)  # sums, no means
        divided.set_force_sum_reduction_for_comms(True)


def blocks(encoder: nn.Module) -> Iterator[nn.Module]:
    """The blocks of an encoder: what stands one after the other in it, such as the layers of a Transformer.

    Inner ones come first. Not those that share a weight with something else, and no small ones.
    """
    every = sum(p.numel() for p in encoder.parameters())
    uses = Counter(id(p) for _, p in encoder.named_parameters(remove_duplicate=False))

    def found(part: nn.Module) -> Iterator[nn.Module]:
        for child in part.children():
            own = list(child.named_parameters(remove_duplicate=False))
            alone = Counter(id(p) for _, p in own) == {id(p): uses[id(p)] for _, p in own}
            size = sum(p.numel() for _, p in own)
            block = isinstance(part, CONTAINERS) and not isinstance(child, CONTAINERS) and alone
            if not block or size > every / LARGE:
                yield from found(child)
            if block and size >= every / SMALL:
                yield child

    return found(encoder)


def backward(outputs: Sequence[Tensor], gradients: Sequence[Tensor], weights: Sequence[Tensor]) -> list[Tensor | None]:
    """Gradients of outputs (B, D) to this process's rows of the weights, summed over all processes, on the CPU.

    It can be called again.
    """
    for w in weights:
        w.grad = None
    torch.autograd.backward(list(outputs), list(gradients), retain_graph=True)
    found = [None if w.grad is None else rows(w.grad).cpu() for w in weights]
    for w in weights:
        w.grad = None
    return found


def rows(weight: Tensor) -> Tensor:
    """This process's rows of a divided weight; the weight itself if it is whole."""
    return weight.to_local() if isinstance(weight, DTensor) else weight


@torch.no_grad()
def hand_out(links: Links, into: Sequence[Tensor], whole: Sequence[Tensor] | None) -> None:
    """Fill every process's rows of divided weights with those that the first process has.

    Args:
        into: the divided weights.
        whole: in the first process, on the CPU; None in the others.
    """
    own = [rows(w) for w in into]
    if whole is not None:
        wait = links.sender([(flat([_rows_of(w, to, links.world) for w in whole]), to) for to in range(1, links.world)])
        pieces = [_rows_of(w, 0, links.world) for w in whole]
        wait()
    else:
        sizes = [t.numel() for t in own]
        pieces = list(links.receive(torch.empty(sum(sizes), dtype=own[0].dtype), 0).split(sizes))
    for t, piece in zip(own, pieces, strict=True):
        t.copy_(piece.view_as(t))


def collect(links: Links, own: Sequence[Tensor | None], weights: Sequence[Tensor]) -> list[Tensor | None]:
    """In the first process the whole of what each process has rows of; None for what is None, in all of them alike.

    Args:
        own: this process's rows, on the CPU.
        weights: the divided weights, whose shapes they have.
    """
    there = [t for t in own if t is not None]
    if not there:
        return list(own)
    if links.rank:
        links.send(flat(there), 0)
        return list(own)
    shapes = [w.shape for w, t in zip(weights, own, strict=True) if t is not None]
    parts = [there]
    for of in range(1, links.world):
        given = [torch.Size((len(_rows_of(torch.empty(s, device="meta"), of, links.world)), *s[1:])) for s in shapes]
        sizes = [s.numel() for s in given]
        received = links.receive(torch.empty(sum(sizes), dtype=there[0].dtype), of).split(sizes)
        parts.append([t.view(s) for t, s in zip(received, given, strict=True)])
    united = iter([torch.cat(pieces) for pieces in zip(*parts, strict=True)])
    return [None if t is None else next(united) for t in own]


def _rows_of(whole: Tensor, rank: int, world: int) -> Tensor:
    """The rows of a weight that a process has: as `torch.chunk` divides them, the last ones fewer or none."""
    chunks = whole.chunk(world)
    return chunks[rank] if rank < len(chunks) else whole[:0]
