"""Recorded features: usability without another pass, with a claim only where there is evidence for one."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

import curate
from curate.errors import CurateError
from curate.files.shards import read_features, shards_of
from curate.predictions.score import score_predictions
from curate.scores.guard import DEEP, UNHELD
from curate.store.store import Store
from curate.torch import Recorder, channel_statistics

N, K = 600, 3
CLASSES = ("a", "b", "c")


def sample(n: int, seed: int):
    """Labels, logits and appearance of samples: the pictures of a fifth are dark, and there the model knows nothing."""
    rng = np.random.default_rng(seed)
    labels, dark = np.arange(n) % K, rng.random(n) < 0.2
    skill = np.where(dark, 0.0, 4.0)[:, None]
    logits = {
        "audio": 4.0 * np.eye(K)[labels] + rng.normal(size=(n, K)),
        "visual": skill * np.eye(K)[labels] + rng.normal(size=(n, K)),
    }
    looks = {"audio": rng.normal(size=(n, 4)), "visual": rng.normal(size=(n, 4)) - 8 * dark[:, None]}
    return labels, logits, looks, dark


def record(recorder: Recorder, split: str, n: int, seed: int, features: bool = True, size: int = 100):
    labels, logits, looks, dark = sample(n, seed)
    with recorder.epoch(split):
        for start in range(0, n, size):
            rows = slice(start, start + size)
            given = {m: x[rows] for m, x in looks.items()} if features else None
            ids = [f"{split}{i}" for i in range(n)[rows]]
            recorder.add(ids, labels[rows], {m: x[rows] for m, x in logits.items()}, features=given)
    return dark


def usability(path):
    rows = curate.open(path).query("SELECT sample_id, modality, usability, p_broken FROM usability")[1]
    return {(i, m): (u, p) for i, m, u, p in rows}


def verdicts(path):
    return dict(curate.open(path).query("SELECT modality, verdict FROM guard")[1])


def test_a_broken_group_is_found_from_early_features_judged_on_validation(tmp_path) -> None:
    recorder = Recorder(tmp_path / "r", CLASSES, features="early")
    dark = record(recorder, "train", N, 0)
    record(recorder, "val", 200, 1)
    run = recorder.score(tmp_path / "t.duckdb")
    assert "4 + 4 recorded early features, judged on 200" in run.config["predictions"]["usability"]
    found = usability(tmp_path / "t.duckdb")
    broken = np.array([found[f"train{i}", "visual"][1] for i in range(N)]) > 0.5
    assert (broken == dark).mean() > 0.98
    assert not any(found[f"train{i}", "audio"][1] for i in range(N))


@pytest.mark.parametrize(
    ("kind", "said", "why"), [("deep", "prove nothing broken", DEEP), ("early", "no group is judged", UNHELD)]
)
def test_without_evidence_samples_are_ranked_and_nothing_is_claimed(tmp_path, kind, said, why) -> None:
    recorder = Recorder(tmp_path / "r", CLASSES, features=kind)
    dark = record(recorder, "train", N, 0)
    if kind == "deep":
        record(recorder, "val", 200, 1)
    run = recorder.score(tmp_path / "t.duckdb")
    assert said in run.config["predictions"]["usability"]
    found = usability(tmp_path / "t.duckdb")
    ranks = np.array([found[f"train{i}", "visual"][0] for i in range(N)])
    assert ranks[dark].mean() < 0.3 < ranks[~dark].mean()
    assert {p for _, p in found.values()} == {None}
    assert all(v.startswith(f"not judged: {why}") for v in verdicts(tmp_path / "t.duckdb").values())


@pytest.mark.long
def test_it_is_said_where_there_are_no_features(tmp_path) -> None:
    recorder = Recorder(tmp_path / "r", CLASSES)
    record(recorder, "train", 90, 0)
    record(recorder, "train", 90, 0, features=False)  # the newest epoch counts
    run = recorder.score(tmp_path / "t.duckdb")
    assert "usability unknown" in run.config["predictions"]["usability"]
    assert set(usability(tmp_path / "t.duckdb").values()) == {(None, None)}
    heard = []
    score_predictions(Store(tmp_path / "u.duckdb"), [str(tmp_path / "r")], [{}], message=heard.append)
    assert "usability unknown" in heard[-1]


def test_history_has_a_round_for_each_recorded_epoch(tmp_path) -> None:
    recorder = Recorder(tmp_path / "r", CLASSES)
    for seed in range(3):
        record(recorder, "train", 90, seed, features=False)
    recorder.score(tmp_path / "t.duckdb")
    rows = curate.open(tmp_path / "t.duckdb").query("SELECT round, prob_gap FROM history WHERE sample_id = 'train0'")[1]
    assert sorted(r for r, _ in rows) == [0, 1, 2]
    p = torch.from_numpy(np.stack([sample(90, 2)[1][m][0] for m in ("audio", "visual")])).softmax(dim=1)[:, 0]
    assert dict(rows)[0] == pytest.approx(float(p[0] - p[1]), abs=1e-6), "round 0 is the newest epoch"


def test_features_come_back_as_they_were_whatever_the_processes_and_parts(tmp_path, monkeypatch) -> None:
    labels, logits, looks, _ = sample(50, 3)
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")
        recorder = Recorder(tmp_path, CLASSES, rows=7)
        own = [*range(50), 0, 1][rank::2]  # two are seen twice
        with recorder.epoch():
            for rows in np.array_split(own, 6):
                given = {m: torch.from_numpy(x[rows]).bfloat16() for m, x in looks.items()}
                recorder.add(
                    [f"s{i:02}" for i in rows], labels[rows], {m: x[rows] for m, x in logits.items()}, None, given
                )
    assert len(shards_of(tmp_path)) > 4
    found = read_features(tmp_path, "train")
    assert found.sample_ids.tolist() == [f"s{i:02}" for i in range(50)] and found.kind == "deep"
    some = read_features(tmp_path, "train", np.array(["s30", "s01", "nobody"]))
    assert some.sample_ids.tolist() == ["s01", "s30"]
    for m, x in looks.items():
        np.testing.assert_array_equal(found.values[m], torch.from_numpy(x).bfloat16().float().numpy())
        np.testing.assert_array_equal(some.values[m], found.values[m][[1, 30]])


X = {m: torch.zeros(2, 3) for m in ("audio", "visual")}


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"audio": torch.zeros(2, 4)}, "features of audio, logits of audio, visual"),
        (
            {"audio": torch.zeros(2, 4), "visual": torch.zeros(1, 4)},
            r"visual are \(1, 4\), expected \(2, D\)",
        ),
        ({"audio": torch.zeros(2, 4), "visual": torch.zeros(2, 4, 3, 3)}, "channel_statistics"),
        ({"audio": torch.full((2, 4), torch.nan), "visual": torch.zeros(2, 4)}, "not finite for a, b"),
        ({"audio": torch.zeros(2, 5), "visual": torch.zeros(2, 4)}, "earlier ones of the epoch"),
        (None, "this batch has the features none"),
    ],
)
def test_features_that_do_not_fit_are_refused_and_the_batch_is_not_recorded(tmp_path, features, message) -> None:
    recorder = Recorder(tmp_path, CLASSES)
    with recorder.epoch():
        recorder.add(["z"], [0], {m: x[:1] for m, x in X.items()}, None, {m: torch.zeros(1, 4) for m in X})
        with pytest.raises(CurateError) as caught:
            recorder.add(["a", "b"], [0, 1], X, None, features)
    assert re.search(message, f"{caught.value.message} {caught.value.hint}")
    assert recorder.read()["sample_id"].tolist() == ["z"]


def test_statistics_of_channels_by_hand() -> None:
    maps = torch.tensor([[[[1.0, 3.0]], [[0.0, 0.0]]], [[[5.0, 5.0]], [[2.0, 4.0]]]])  # (2, 2, 1, 2)
    assert channel_statistics(maps).tolist() == [[2, 0, 1, 0], [5, 3, 0, 1]]
    assert channel_statistics(maps, samples=1).tolist() == [[3.5, 1.5, 0.5, 0.5]]
