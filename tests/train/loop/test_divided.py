"""Which blocks of an encoder are divided on their own. What divided encoders compute is tested in test_processes.py."""

from __future__ import annotations

import pytest
from torch import nn

from curate.train.loop.divided import blocks


class Net(nn.Module):
    """Layers of a Transformer in a list, between others."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.first = nn.Linear(4, 16)
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(16, 2, 32) for _ in range(layers))
        self.last = nn.Linear(16, 4)


@pytest.fixture
def net() -> Net:
    return Net(3)


def test_layers_of_a_transformer(net: Net) -> None:
    assert list(blocks(net)) == list(net.layers)


def test_blocks_in_containers_of_containers_and_within_large_blocks() -> None:
    """Of three equal nets each has a third of the numbers; of nine a ninth, less than an 8th."""
    net = nn.Sequential(nn.Sequential(Net(2), nn.ReLU()), nn.Sequential(Net(2), Net(2)))
    expected = [part for one in (net[0][0], net[1][0], net[1][1]) for part in (*one.layers, one)]
    assert list(blocks(net)) == expected
    nine = nn.Sequential(*(Net(2) for _ in range(9)))
    assert list(blocks(nine)) == list(nine)


def test_small_blocks_stay_with_the_rest() -> None:
    """A block of at least a 64th of the numbers is one."""
    assert len(list(blocks(nn.Sequential(nn.Linear(63, 1, bias=False), nn.Linear(1, 1, bias=False))))) == 2
    assert len(list(blocks(nn.Sequential(nn.Linear(64, 1, bias=False), nn.Linear(1, 1, bias=False))))) == 1


def test_shared_weights_are_in_no_block(net: Net) -> None:
    net.layers[0].linear1.weight = net.layers[2].linear1.weight
    assert list(blocks(net)) == [net.layers[1]]
