"""Batch norm over a spread batch, with threads in the place of processes."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch
from torch import nn

from curate.train.models.norms import WholeBatchNorm

SIZES = (4, 1, 2)
"""Samples of each part."""


@pytest.mark.parametrize(
    ("norm", "shape"),
    [
        (nn.BatchNorm1d(4), (4,)),
        (nn.BatchNorm2d(4, affine=False), (4, 5, 6)),
        (nn.BatchNorm3d(4, momentum=None), (4, 2, 3, 2)),
        (nn.BatchNorm1d(4, track_running_stats=False), (4, 5)),
    ],
)
def test_parts_of_a_batch_are_normalised_as_the_whole(norm: nn.Module, shape: tuple[int, ...]) -> None:
    """Outputs, statistics, and the gradients of inputs and weights, which add up over the parts."""
    torch.manual_seed(0)
    whole = copy.deepcopy(norm).double()
    for p in whole.parameters():
        nn.init.normal_(p)
    x, g = (torch.randn(sum(SIZES), *shape, dtype=torch.float64) for _ in range(2))
    x = (100 + 3 * x).requires_grad_()
    parts, met, given = [copy.deepcopy(whole) for _ in SIZES], Barrier(len(SIZES)), [torch.empty(0)] * len(SIZES)

    def run(number: int) -> tuple[torch.Tensor, ...]:
        def gather(values: torch.Tensor) -> torch.Tensor:
            given[number] = values
            met.wait()
            every = torch.stack(given)
            met.wait()
            return every

        own = x.detach().split(SIZES)[number].requires_grad_()
        with WholeBatchNorm(gather):
            y = parts[number](own)
        return y.detach(), *torch.autograd.grad(y, [own, *parts[number].parameters()], g.split(SIZES)[number])

    with ThreadPoolExecutor(len(SIZES)) as pool:
        y, dx, *weights = zip(*pool.map(run, range(len(SIZES))), strict=True)
    expected = whole(x)
    expected.backward(g)
    torch.testing.assert_close(torch.cat(y), expected.detach())
    torch.testing.assert_close(torch.cat(dx), x.grad)
    for found, p in zip(weights, whole.parameters(), strict=True):
        torch.testing.assert_close(sum(found), p.grad)
    for part in parts:
        torch.testing.assert_close(part.state_dict(), whole.state_dict())


def test_in_evaluation_mode_nothing_is_exchanged() -> None:
    norm, x = nn.BatchNorm1d(3).eval(), torch.randn(2, 3)
    expected = norm(x)
    with WholeBatchNorm(lambda values: pytest.fail("values were exchanged")):
        assert torch.equal(norm(x), expected)
