"""What processes tell each other of an end. What they exchange is tested in test_processes.py."""

from __future__ import annotations

import weakref
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from curate.train.loop.divided import divide
from curate.train.loop.links import Links


def test_the_first_reason_of_a_failure_stays(tmp_path: Path) -> None:
    """A process that ends because another has ended does not hide why that did."""
    links = Links(0, 1, tmp_path)
    try:
        assert links.failure() == ""
        links.fail("out of memory")
        links.fail("connection closed")
        assert links.failure() == "process 0: out of memory"
    finally:
        links.close()


def test_divided_weights_do_not_keep_the_group_of_the_orders(tmp_path: Path) -> None:
    """Its threads end with it. While one forgets the last order, an end of Python would abort the process."""
    links = Links(0, 1, tmp_path)
    encoder = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    divide(links, encoder, torch.device("cpu"))
    encoder(torch.ones(1, 2)).sum().backward()
    orders = weakref.ref(dist.group.WORLD)
    assert orders() is not None
    links.close()
    assert orders() is None
