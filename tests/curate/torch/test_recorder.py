"""What a loop of one's own records: the same scores as from a file, from one process as from several, nothing half."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import curate
from curate.errors import CurateError
from curate.files.shards import read_shards, shards_of
from curate.predictions.align import align
from curate.predictions.files import read_all
from curate.predictions.score import understand
from curate.torch import Recorder

from .conftest import CLASSES, N, logits, record

ROOT = Path(__file__).parents[3]


def scores(run_table, run):
    """What a run wrote of its samples, without its name."""
    return run_table.query(
        "SELECT g.round, g.sample_id, prob_gap, kl_gap, p_balanced FROM gap g JOIN posterior USING (run_id, round, "
        f"sample_id, pair) WHERE run_id = '{run.run_id}' ORDER BY ALL"
    )[1]


def test_the_scores_are_those_of_the_same_predictions_in_a_file(tmp_path, batches, monkeypatch) -> None:
    ids, labels, epochs = batches
    run = record(tmp_path / "r", batches, monkeypatch).score(tmp_path / "a.duckdb", family="gaussian")
    columns = {
        "sample_id": np.array(ids * 2),
        "label": np.array([CLASSES[k] for k in labels] * 2),
        "epoch": np.repeat([1, 2], N),
        "classes": np.array(CLASSES),
    }
    arrays = {m: np.concatenate([e[m].numpy() for e in epochs]) for m in ("audio", "visual")}
    np.savez(tmp_path / "p.npz", **columns, **arrays)
    other = curate.open(tmp_path / "b.duckdb").score(tmp_path / "p.npz", dataset="recorded", family="gaussian")
    here, there = scores(curate.open(tmp_path / "a.duckdb"), run), scores(curate.open(tmp_path / "b.duckdb"), other)
    assert [row[:2] for row in here] == [row[:2] for row in there] and len(here) == 2 * N
    assert (run.dataset, other.dataset) == ("r", "recorded")  # by the folder's name
    np.testing.assert_allclose([r[2:] for r in here], [r[2:] for r in there], atol=2e-6)


def test_the_kind_of_recorded_numbers_is_known_and_not_looked_for(tmp_path, batches, monkeypatch) -> None:
    record(tmp_path / "r", batches, monkeypatch)
    said = understand([str(tmp_path / "r")], [{}]).saved.readings
    assert {m: (r.kind, r.why) for m, r in said.items()} == dict.fromkeys(
        ("audio", "visual"), ("log-probabilities", "as recorded")
    )
    with pytest.raises(CurateError, match="and add to one"):
        understand([str(tmp_path / "r")], [{"score": {"values": "probabilities"}}])


@pytest.mark.long
@pytest.mark.parametrize("world", [2, 4, 7])
def test_several_processes_record_what_one_does(tmp_path, batches, monkeypatch, world) -> None:
    one = record(tmp_path / "one", batches, monkeypatch).score(tmp_path / "t.duckdb", "one")
    many = record(tmp_path / "many", batches, monkeypatch, [(r, world) for r in range(world)], rows=10)
    assert many.missing([*batches[0], "nobody"]) == ["nobody"]
    table = curate.open(tmp_path / "t.duckdb")
    assert scores(table, one) == scores(table, many.score(tmp_path / "t.duckdb", "many")), "bit for bit"
    notes = read_shards(tmp_path / "many")[1]
    padded = 2 * (-N % world)
    assert notes == ([f"{padded} rows were recorded twice and count once"] if padded else [])


def test_a_recording_that_was_stopped_in_its_first_epoch_is_one_without_a_complete_epoch(tmp_path, batches) -> None:
    recorder = Recorder(tmp_path / "stopped", CLASSES)
    with pytest.raises(KeyboardInterrupt), recorder.epoch():
        recorder.add(*batches[:2], batches[2][0])
        raise KeyboardInterrupt
    with pytest.raises(CurateError, match=r"no complete epoch in .*stopped"):
        recorder.score(tmp_path / "x.duckdb")
    with pytest.raises(CurateError, match=r"no file or folder of predictions at .*never"):
        Recorder(tmp_path / "never", CLASSES).score(tmp_path / "x.duckdb")
    assert not (tmp_path / "x.duckdb").exists()


def test_an_epoch_counts_once_every_process_has_finished_it(tmp_path, batches, monkeypatch) -> None:
    record(tmp_path, batches, monkeypatch, [(0, 2)])
    with pytest.raises(CurateError, match="no complete epoch"):
        read_shards(tmp_path)
    record(tmp_path, (*batches[:2], batches[2][:1]), monkeypatch, [(1, 2)])
    columns, notes = read_shards(tmp_path)
    assert set(columns["epoch"]) == {1} and notes == ["not all processes have finished epoch 2 of train: left out"]


def test_an_epoch_that_breaks_off_leaves_the_earlier_ones(tmp_path, batches, monkeypatch) -> None:
    recorder = record(tmp_path, batches, monkeypatch, rows=5)
    before = {path.name: path.read_bytes() for path in shards_of(tmp_path)}
    with pytest.raises(KeyboardInterrupt), recorder.epoch():
        recorder.add(batches[0][:20], batches[1][:20], {m: x[:20] for m, x in batches[2][0].items()})
        raise KeyboardInterrupt
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    with recorder.epoch(number=2):  # recorded anew, in place of the earlier one
        recorder.add(*batches[:2], batches[2][0])
    columns, _ = read_shards(tmp_path)
    first, second = (columns["audio.bark"][columns["epoch"] == e] for e in (1, 2))
    np.testing.assert_array_equal(first, second)


def test_a_recorder_of_the_same_folder_goes_on_after_the_complete_epochs(
    tmp_path, batches, monkeypatch, caplog
) -> None:
    """A training that was started again: nothing that was recorded is lost, and the newest is what is scored."""
    record(tmp_path, batches, monkeypatch)
    before = {path.name: path.read_bytes() for path in shards_of(tmp_path)}
    last = len(batches[2])
    again = record(tmp_path, (*batches[:2], batches[2][:1]), monkeypatch)
    assert f"epochs up to {last} of train" in caplog.text
    assert {path.name: path.read_bytes() for path in shards_of(tmp_path) if path.name in before} == before
    columns = again.read()
    assert columns["epoch"].max() == last + 1
    first, newest = (columns["audio.bark"][columns["epoch"] == e] for e in (1, last + 1))
    np.testing.assert_array_equal(first, newest)
    with again.epoch(split="val"):  # counted by itself
        again.add([f"v{i}" for i in range(N)], batches[1], batches[2][0])
    assert set(again.read()["epoch"][again.read()["split"] == "val"]) == {1}


def test_of_several_processes_the_epoch_that_one_has_not_finished_is_recorded_anew(
    tmp_path, batches, monkeypatch
) -> None:
    """One was lost in its second epoch: started again, both go on with the second."""
    record(tmp_path, batches, monkeypatch, [(0, 2)])
    record(tmp_path, (*batches[:2], batches[2][:1]), monkeypatch, [(1, 2)])
    record(tmp_path, (*batches[:2], batches[2][1:2]), monkeypatch, [(0, 2), (1, 2)])
    columns, notes = read_shards(tmp_path)
    assert set(columns["epoch"]) == {1, 2} and not any("finished" in note for note in notes)


def test_epochs_are_counted_from_one(tmp_path) -> None:
    with pytest.raises(CurateError, match="counted from 1, got -1"), Recorder(tmp_path, CLASSES).epoch(number=-1):
        pass


def test_validation_is_what_memory_is_judged_by(tmp_path, batches, monkeypatch) -> None:
    recorder = record(tmp_path / "r", batches, monkeypatch)
    labels = np.arange(30) % 3
    with recorder.epoch(split="val"):
        recorder.add([f"v{i}" for i in range(30)], labels, {m: logits(50, labels, 0.1) for m in ("audio", "visual")})
    recorder.score(tmp_path / "t.duckdb")
    rows = dict(curate.open(tmp_path / "t.duckdb").query("SELECT modality, held_out_accuracy FROM by_modality")[1])
    expected = float((logits(50, labels, 0.1).numpy().argmax(1) == labels).mean())
    assert rows["audio"] == rows["visual"] == pytest.approx(expected)


def test_validation_of_an_epoch_is_its_own_where_it_was_recorded_of_the_same_samples(tmp_path, batches) -> None:
    """Of three epochs the second has fewer validation samples and counts as the newest."""
    recorder, (ids, labels, (first, second)) = Recorder(tmp_path / "r", CLASSES), batches
    seen, shares = np.arange(30) % 3, []
    for number, (skill, count) in enumerate(((0.1, 30), (0.5, 20), (3.0, 30))):
        with recorder.epoch():
            recorder.add(ids, labels, first if number else second)
        with recorder.epoch(split="val"):
            own = {m: logits(50, seen, skill) for m in first}
            recorder.add([f"v{i}" for i in range(count)], seen[:count], {m: x[:count] for m, x in own.items()})
        shares.append((own["audio"].numpy().argmax(1) == seen).mean())
    saved = align(read_all([str(tmp_path / "r")]))
    assert saved.epochs == (3, 2, 1) and shares[0] < shares[2]
    assert saved.validated["audio"] == pytest.approx([shares[2], shares[2], shares[0]])
    assert set(saved.validated) == {"audio", "visual", "fused"}


def test_half_precision_integers_as_ids_and_names_as_labels(tmp_path) -> None:
    recorder = Recorder(tmp_path, CLASSES)
    with recorder.epoch():
        x = torch.tensor([[3.0, 0.0, -1.0], [0.5, 2.0, 0.0]])
        recorder.add(torch.tensor([7, 8]), ["bark", "horn"], {"audio": x.bfloat16(), "visual": x.half()}, fused=x)
    columns = recorder.read()
    assert columns["sample_id"].tolist() == ["7", "8"] and columns["label"].tolist() == ["bark", "horn"]
    for m in ("audio", "visual", "fused"):
        found = np.stack([columns[f"{m}.{c}"] for c in CLASSES], axis=1)
        np.testing.assert_allclose(found, x.log_softmax(1).numpy(), atol=1e-2 if m == "audio" else 1e-3)


def test_what_a_killed_run_left_is_not_of_the_next(tmp_path, batches) -> None:
    ids, labels, epochs = batches
    killed = Recorder(tmp_path, CLASSES, rows=5)
    opened = killed.epoch()
    opened.__enter__()
    killed.add(ids, labels, epochs[0])
    (left,) = tmp_path.glob(".epoch*")
    kept = {path.name: path.read_bytes() for path in left.iterdir()}
    opened.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    left.mkdir()
    for name, content in kept.items():
        (left / name.replace("-0000.", "-0007.")).write_bytes(content)
    with pytest.raises(CurateError, match="no complete epoch"):
        read_shards(tmp_path)
    recorder = Recorder(tmp_path, CLASSES)
    with recorder.epoch():
        recorder.add(ids[:9], labels[:9], {m: x[:9] for m, x in epochs[1].items()})
    assert recorder.read()["sample_id"].tolist() == ids[:9]


def test_a_repeated_sample_has_two_predictions_only_where_the_weights_move(tmp_path, batches, monkeypatch) -> None:
    ids, labels, epochs = batches
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")
        recorder = Recorder(tmp_path, CLASSES)
        for moving in (True, False):
            with recorder.epoch(moving=moving):
                recorder.add(ids, labels, {m: x * (1 + rank) for m, x in epochs[0].items()})
    with pytest.raises(CurateError, match="twice in epoch 2") as caught:
        read_shards(tmp_path)
    assert "moving=True" in caught.value.hint
    for path in tmp_path.glob("epoch-000002-*"):
        path.unlink()
    columns, notes = read_shards(tmp_path)
    assert notes == [f"{N} rows were recorded twice and count once"]
    first = epochs[0]["audio"].log_softmax(dim=1).float().numpy()
    np.testing.assert_array_equal(columns["audio.bark"], first[:, 0], "that of the first process")
    with recorder.epoch(number=1, moving=True):  # another label is a contradiction all the same
        recorder.add(ids, (labels + 1) % 3, epochs[0])
    with pytest.raises(CurateError, match="with another label"):
        read_shards(tmp_path)


def test_rows_come_back_in_the_order_of_their_ids(tmp_path, batches) -> None:
    ids, labels, epochs = batches
    recorder, order = Recorder(tmp_path, CLASSES, rows=9), np.random.default_rng(0).permutation(N)
    for split in ("train", "val"):  # in one epoch, under the same number
        with recorder.epoch(split):
            for rows in np.array_split(order, 11):
                said = {m: x[rows] for m, x in epochs[0].items()}
                recorder.add([f"{split}ö{ids[i]}" for i in rows], labels[rows], said)
    columns = recorder.read()
    assert columns["sample_id"].tolist() == [f"{s}ö{i}" for s in ("train", "val") for i in ids]
    assert columns["label"].tolist() == [CLASSES[k] for k in labels] * 2 and set(columns["epoch"]) == {1}
    expected = np.tile(epochs[0]["visual"].log_softmax(dim=1).float().numpy()[:, 2], 2)
    np.testing.assert_array_equal(columns["visual.rain"], expected)


WORKER = """
import sys
import torch
import torch.distributed as dist
from torch.utils.data import DistributedSampler
from curate.torch import Recorder

folder, rank, world = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
dist.init_process_group("gloo", init_method=f"file://{folder}.rendezvous", rank=rank, world_size=world)
saved = torch.load(f"{folder}.pt", weights_only=True)
recorder = Recorder(folder, ("bark", "horn", "rain"))
sampler = DistributedSampler(range(len(saved["labels"])))
for epoch in range(2):
    sampler.set_epoch(epoch)
    with recorder.epoch():
        rows = torch.tensor(list(sampler))
        recorder.add([f"s{i:03d}" for i in rows.tolist()], saved["labels"][rows],
                     {m: saved[m][epoch][rows] for m in ("audio", "visual")})
dist.barrier()
dist.destroy_process_group()
"""


@pytest.mark.long
@pytest.mark.slow
def test_two_real_processes_with_a_padding_sampler_record_what_one_does(tmp_path, batches, monkeypatch) -> None:
    ids, labels, epochs = batches
    odd = (ids[:59], labels[:59], [{m: x[:59] for m, x in e.items()} for e in epochs])  # 59 over 2: one is repeated
    saved = {m: torch.stack([e[m] for e in odd[2]]) for m in ("audio", "visual")}
    torch.save({"labels": torch.from_numpy(odd[1]), **saved}, tmp_path / "many.pt")
    command = [sys.executable, "-c", WORKER, str(tmp_path / "many")]
    env = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")} | {"PYTHONPATH": str(ROOT)}
    workers = [subprocess.Popen([*command, str(rank), "2"], env=env) for rank in range(2)]
    assert [worker.wait() for worker in workers] == [0, 0]
    many, notes = read_shards(tmp_path / "many")
    assert notes == ["2 rows were recorded twice and count once"]
    recorder = Recorder(tmp_path / "one", CLASSES)
    for predicted in odd[2]:
        with recorder.epoch():
            recorder.add(odd[0], odd[1], predicted)
    one = recorder.read()
    assert one.keys() == many.keys()
    for name, column in one.items():
        np.testing.assert_array_equal(column, many[name])
