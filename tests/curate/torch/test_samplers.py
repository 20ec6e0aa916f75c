"""Sampler weights and subsets from the table, joined by id alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset, WeightedRandomSampler

from curate import open as open_table
from curate.errors import CurateError
from curate.torch import EpochSampler, Recorder, sampler_weights, selected, selected_rows


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
    with pytest.raises(CurateError, match=r"1 of 2 samples is not scored in score-toy-1: nobody"):
        sampler_weights(table, ["nobody", str(scored_table.rounds.read("score-toy-1").sample_ids[0])])


def test_a_selection_becomes_a_subset_in_the_order_of_the_data_set(scored_table, table) -> None:
    ids = scored_table.rounds.read("score-toy-1").sample_ids[::-1]
    chosen = scored_table.selections.make("score-toy-1", top=7, name="seven")
    part = selected(TensorDataset(torch.arange(len(ids))), ids, table, "seven")
    assert sorted(ids[int(x)] for (x,) in part) == sorted(chosen.sample_ids)
    assert part.indices == sorted(part.indices) and len(part) == 7
    with pytest.raises(CurateError, match="samples of 'seven' are not in the data set"):
        selected(TensorDataset(torch.arange(3)), ids[:3], table, "seven")
    with pytest.raises(ValueError, match="60 ids of a data set of 59 samples"):
        selected(TensorDataset(torch.arange(59)), ids, table, "seven")


def shares(monkeypatch, sampler, world: int) -> list[list[int]]:
    """What each of some processes draws."""
    found = []
    for rank in range(world):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(world))
        found.append(list(sampler))
        assert len(found[-1]) == len(sampler)
    return found


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_the_shares_of_a_permutation_are_disjoint_and_together_all_rows(monkeypatch, world) -> None:
    rows = [3, 5, 6, 8, 9, 11, 14]
    sampler = EpochSampler(15, rows=rows)
    found = shares(monkeypatch, sampler, world)
    together = [i for share in found for i in share]
    assert set(together) == set(rows) and len(together) - len(rows) == -len(rows) % world, "filled up, nothing lost"
    assert len({len(share) for share in found}) == 1
    sampler.set_epoch(1)
    assert shares(monkeypatch, sampler, world) != found
    sampler.set_epoch(0)
    assert shares(monkeypatch, sampler, world) == found
    assert shares(monkeypatch, EpochSampler(15, rows=rows, seed=1), world) != found


def test_weights_decide_how_often_a_row_is_drawn_and_may_be_renewed(monkeypatch) -> None:
    weights = torch.tensor([0.0, 1.0, 3.0, 100.0])
    sampler = EpochSampler(4, weights=weights, rows=[0, 1, 2], draws=3999)
    found = shares(monkeypatch, sampler, 2)
    assert len(found[0]) == len(found[1]) == 2000, "one more than asked for, so that the shares are equal"
    drawn = np.bincount([i for share in found for i in share], minlength=4)
    assert drawn[0] == drawn[3] == 0, "no weight, and not in the selection"
    assert abs(drawn[2] / 4000 - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 4000)
    every = sampler.draw().tolist()
    assert [every[0::2], every[1::2]] == found
    sampler.weights = torch.tensor([1.0, 0.0, 0.0, 0.0])
    assert set(sampler) == {0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": torch.ones(3)}, r"weights are \(3,\), expected 4"),
        ({"weights": torch.tensor([1.0, torch.nan, 1.0, 1.0])}, "finite numbers"),
        ({"weights": torch.tensor([1.0, -1.0, 1.0, 1.0])}, "at least 0"),
        ({"weights": torch.tensor([1.0, 0.0, 0.0, 0.0]), "rows": [1, 2]}, "no sample has a weight above 0"),
        ({"rows": []}, "0 rows"),
        ({"rows": [4]}, "below 4"),
    ],
)
def test_what_cannot_be_drawn_from_is_refused(options, message) -> None:
    with pytest.raises(CurateError, match=message):
        EpochSampler(4, **options)


def test_weights_come_from_the_newest_epoch_of_a_recorder_as_from_its_score(tmp_path) -> None:
    rng = np.random.default_rng(0)
    ids, labels = [f"s{i}" for i in range(200)], np.arange(200) % 3
    recorder = Recorder(tmp_path / "r", ["a", "b", "c"])
    sampler = WeightedRandomSampler([1.0] * 200, 200)
    for epoch in range(2):
        with recorder.epoch():
            logits = {m: rng.normal(size=(200, 3)) + (2 + epoch) * np.eye(3)[labels] for m in ("audio", "visual")}
            recorder.add(ids, labels, logits)
        sampler.weights = sampler_weights(recorder, ids)  # refreshed, as a loop does each epoch
        run = recorder.score(tmp_path / "t.duckdb")
        assert torch.equal(sampler.weights, sampler_weights(open_table(tmp_path / "t.duckdb"), ids, run.run_id))
    by_hand = recorder.scored(family="gaussian", rule="weight", check="none")
    assert by_hand.fits[0].family == "gaussian" and by_hand.fits[0].rule == "weight"
    with pytest.raises(CurateError, match=r"1 of 1 sample is not scored in .*r: nobody"):
        sampler_weights(recorder, ["nobody"])


def test_ids_may_be_a_tensor_as_a_loader_gives_them(tmp_path) -> None:
    """Whole numbers of a tensor, an array and a list are the same ids, wherever ids are given."""
    ids = torch.arange(8)
    recorder = Recorder(tmp_path / "r", ["a", "b"])
    logits = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
    with recorder.epoch():
        recorder.add(ids, [0, 1] * 4, {"audio": logits, "visual": logits.flip(0)})
    weights = sampler_weights(recorder, ids.tolist())
    assert torch.equal(sampler_weights(recorder, ids), weights)
    assert torch.equal(sampler_weights(recorder, list(ids)), weights)
    assert recorder.missing(torch.tensor([7, 8])) == ["8"]
    run = recorder.score(tmp_path / "t.duckdb")
    table = open_table(tmp_path / "t.duckdb")
    table.store.selections.make(run.run_id, top=8, name="all")
    assert selected_rows(ids, table, "all") == list(range(8))
