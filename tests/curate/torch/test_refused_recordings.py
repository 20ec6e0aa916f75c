"""What a recorder refuses, and what it warns of."""

from __future__ import annotations

import pytest
import torch

from curate.errors import CurateError
from curate.files.shards import not_in_both, read_shards, shards_of
from curate.torch import Recorder

from .conftest import CLASSES, record

X = torch.tensor([[1.0, 0.0, -1.0], [0.5, 2.0, 0.0]])


@pytest.mark.parametrize(
    ("ids", "labels", "given", "message"),
    [
        (["a", "b"], [0, 3], {"audio": X, "visual": X}, "sample b: label 3 is none of the 3 classes"),
        (["a", "b"], [-1, 0], {"audio": X, "visual": X}, "sample a: label -1 is none"),
        (["a", "b"], [0, 0.5], {"audio": X, "visual": X}, "sample b: label 0.5"),
        (["a", "b"], ["bark", "cow"], {"audio": X, "visual": X}, "label 'cow'"),
        (["a", "b"], [0, 1], {"audio": X, "visual": X[:1]}, r"visual is \(1, 3\), expected \(2, 3\)"),
        (["a", "b"], [0, 1], {"audio": X, "visual": torch.cat([X, X])}, r"visual is \(4, 3\), expected \(2, 3\)"),
        (["a", "b"], [0], {"audio": X, "visual": X}, "1 label for 2 sample ids"),
        (["a", "b"], [0, 1], {"audio": X, "visual": X * torch.nan}, "visual is not finite for 2 samples: a, b"),
        (["a", "b"], [0, 1], {"audio": X, "visual": X[:, :2]}, r"visual is \(2, 2\), expected \(2, 3\)"),
        (["a", "b"], [0, 1], {"audio": X, "visual": X.softmax(1)}, "visual holds probabilities"),
        (["a", "b"], [0, 1], {"audio": X}, "a gap is between modalities, got audio"),
        (["a", "b"], [0, 1], {"audio": X, "Two Words": X}, "cannot name a modality"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_of_it_is_recorded(tmp_path, ids, labels, given, message) -> None:
    recorder = Recorder(tmp_path, CLASSES)
    with recorder.epoch():
        with pytest.raises(CurateError, match=message):
            recorder.add(ids, labels, given)
        recorder.add(["z"], [0], {"audio": X[:1], "visual": X[:1]})
    assert recorder.read()["sample_id"].tolist() == ["z"]


def test_contradictions_between_processes_and_epochs_are_refused(tmp_path, batches, monkeypatch) -> None:
    record(tmp_path / "a", batches, monkeypatch, [(0, 2)])
    ids, labels, epochs = batches
    record(tmp_path / "a", (ids[1:] + ids[:1], labels, epochs), monkeypatch, [(1, 2)])  # another id for each row
    with pytest.raises(CurateError, match="was recorded twice in epoch 1, with another"):
        read_shards(tmp_path / "a")
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("RANK", "0")
    recorder = record(tmp_path / "b", batches, monkeypatch)
    with recorder.epoch():
        recorder.add(ids[:-1], labels[:-1], {m: x[:-1] for m, x in epochs[0].items()})
    with pytest.raises(CurateError, match="do not hold the same samples: 's059'") as caught:
        recorder.score(tmp_path / "t.duckdb")
    assert "drop_last" in caught.value.hint and not (tmp_path / "t.duckdb").exists()
    recorder.classes = ("bark", "horn", "snow")  # which a recorder of this folder is not given
    with recorder.epoch(number=9):
        recorder.add(ids, labels, epochs[0])
    with pytest.raises(CurateError, match="other columns"):
        recorder.score(tmp_path / "t.duckdb")
    assert not (tmp_path / "t.duckdb").exists(), "nothing is stored"


def test_the_second_epoch_warns_of_other_samples_and_a_damaged_file_ends_no_training(tmp_path, batches, caplog) -> None:
    ids, labels, epochs = batches
    recorder = Recorder(tmp_path / "a", CLASSES)
    for left_out in (1, 1, 2, 3):
        with recorder.epoch():
            recorder.add(ids[left_out:], labels[left_out:], {m: x[left_out:] for m, x in epochs[0].items()})
    assert not caplog.messages, "the first two have the same"
    recorder = Recorder(tmp_path / "b", CLASSES)
    for left_out in (0, 1, 2):
        with recorder.epoch():
            recorder.add(ids[left_out:], labels[left_out:], {m: x[left_out:] for m, x in epochs[0].items()})
    (told,) = caplog.messages
    assert "epoch 2 in" in told and "'s000'" in told and "drop_last=False" in told
    shards_of(tmp_path / "b")[0].write_bytes(b"damaged")
    assert not_in_both(tmp_path / "b", "train", 2) == []


def test_what_is_not_in_an_epoch_is_refused(tmp_path) -> None:
    recorder = Recorder(tmp_path, CLASSES)
    with pytest.raises(CurateError, match="no epoch is open"):
        recorder.add(["a"], [0], {"audio": X[:1], "visual": X[:1]})
    with pytest.raises(CurateError, match="nothing was added"), recorder.epoch():
        pass
    with pytest.raises(CurateError, match="recorded already"), recorder.epoch(), recorder.epoch():
        pass
    with pytest.raises(CurateError, match="a split is"), recorder.epoch(split="dev"):
        pass
    for classes in (["a"], ["a", "a"]):
        with pytest.raises(CurateError, match="two or more class names"):
            Recorder(tmp_path, classes)
    assert list(tmp_path.iterdir()) == []


def test_a_recording_is_on_this_machine(tmp_path) -> None:
    with pytest.raises(CurateError, match="memory://r is on another machine"):
        Recorder("memory://r", CLASSES)
    assert Recorder(f"file://{tmp_path}/r", CLASSES).folder == tmp_path / "r"


def test_a_sample_with_two_labels_is_named_plainly(tmp_path) -> None:
    recorder = Recorder(tmp_path / "r", ["bark", "horn"])
    with recorder.epoch():
        same = [[3.0, 0.5], [3.0, 0.5]]
        recorder.add(["x", "x"], ["bark", "horn"], {"audio": same, "visual": same})
    with pytest.raises(
        CurateError, match=r"^sample 'x' was recorded twice in epoch 1, with another label: bark and horn"
    ):
        recorder.read()
