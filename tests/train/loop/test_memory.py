"""The memory of a step, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from curate.train.loop.memory import Kept, stored

N = 1000


def test_what_two_layers_keep_by_hand() -> None:
    """x (N, 3) for the first layer's weight, relu's output (N, 5) for itself and the second layer; weights are own."""
    x = torch.randn(N, 3)
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    with Kept(model.parameters()) as kept:
        model(x).sum().backward()
    assert kept.most == 4 * N * (3 + 5)


def test_passes_one_after_another_need_no_more_than_one_and_together_twice_as_much() -> None:
    w = torch.randn(N, requires_grad=True)

    def squared() -> torch.Tensor:
        return (w * torch.ones(N)).pow(2).sum()

    with Kept([w]) as one:
        squared().backward()
    with Kept([w]) as after:
        squared().backward()
        squared().backward()
    with Kept([w]) as together:
        (squared() + squared()).backward()
    assert one.most == after.most == 2 * 4 * N and together.most == 2 * one.most


def test_without_gradients_nothing_is_kept_and_the_weights_get_the_same() -> None:
    w = torch.randn(N, requires_grad=True)
    with torch.no_grad(), Kept() as kept:
        (w * w).sum()
    assert kept.most == 0
    (want,) = torch.autograd.grad((w.exp() * w).sum(), w)
    with Kept() as kept:
        (found,) = torch.autograd.grad((w.exp() * w).sum(), w)
    assert torch.equal(found, want) and kept.most == 2 * 4 * N, "the power, and w, which is not named as own"


def test_an_error_within_leaves_no_hook() -> None:
    w = torch.randn(3, requires_grad=True)
    with pytest.raises(ZeroDivisionError), Kept() as kept:
        raise ZeroDivisionError
    (w * w).sum().backward()
    assert kept.most == 0


def test_a_view_is_its_storage_and_counts_once() -> None:
    x = torch.randn(10)
    assert stored([x, x[:3], x.view(2, 5)]) == 40 and stored([]) == 0
