"""Sampler weights and subsets from the table, joined by id alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from curate import open as open_table
from curate.errors import CurateError
from curate.torch import sampler_weights, selected


@pytest.fixture
def table(scored_table):
    """The scored table as a script opens it."""
    return open_table(scored_table.path)


def test_weights_follow_the_ids_and_not_their_order(scored_table, table) -> None:
    found = scored_table.rounds.read("score-toy-1")
    order = np.random.default_rng(0).permutation(len(found.sample_ids))
    weights = sampler_weights(table, found.sample_ids[order])
    np.testing.assert_array_equal(weights.numpy(), found.p_balanced[order, 0])
    assert torch.equal(sampler_weights(table, found.sample_ids[order], by="p_imbalanced"), 1 - weights)


def test_ids_that_were_not_scored_are_named(scored_table, table) -> None:
    with pytest.raises(CurateError, match=r"1 of 2 samples are not scored in score-toy-1: nobody"):
        sampler_weights(table, ["nobody", str(scored_table.rounds.read("score-toy-1").sample_ids[0])])


def test_a_selection_becomes_a_subset_in_the_order_of_the_data_set(scored_table, table) -> None:
    ids = scored_table.rounds.read("score-toy-1").sample_ids[::-1]
    chosen = scored_table.selections.make("score-toy-1", top=7, name="seven")
    part = selected(TensorDataset(torch.arange(len(ids))), ids, table, "seven")
    assert sorted(ids[int(x)] for (x,) in part) == sorted(chosen.sample_ids)
    assert part.indices == sorted(part.indices) and len(part) == 7
    with pytest.raises(CurateError, match="samples of 'seven' are not in the data set"):
        selected(TensorDataset(torch.arange(3)), ids[:3], table, "seven")
