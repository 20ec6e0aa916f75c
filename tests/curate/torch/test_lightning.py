"""The callback for Lightning, with the real library on a tiny model: what a hand-written loop records, it records."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import curate
from curate.errors import CurateError
from curate.files.shards import read_shards
from curate.torch import AdaptiveLoss, EpochSampler, Recorder, multimodal_cross_entropy, sampler_weights

pl = pytest.importorskip("lightning.pytorch")
pytestmark = pytest.mark.filterwarnings("ignore")  # the library's own advice on workers and loggers

from curate.lightning import RecorderCallback  # noqa: E402

ROOT = Path(__file__).parents[3]
CLASSES, N = ("a", "b", "c"), 30


def data(n: int = N, seed: int = 0) -> TensorDataset:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 3
    sound, frames = (torch.randn(n, 5, generator=generator) + F.one_hot(labels, 5) for _ in range(2))
    return TensorDataset(torch.arange(n) + 1000 * seed, labels, sound, frames)


class Tiny(pl.LightningModule):
    def __init__(self, record: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.audio, self.visual, self.record = nn.Linear(5, 3), nn.Linear(5, 3), record
        self.adaptive: AdaptiveLoss | None = None

    def training_step(self, batch, number):
        ids, labels, sound, frames = batch
        logits = {"audio": self.audio(sound), "visual": self.visual(frames)}
        fused = logits["audio"] + logits["visual"]
        loss = multimodal_cross_entropy(logits, fused, labels)
        if self.adaptive is not None and self.training:
            loss = self.adaptive(ids, labels, logits, fused)
        record = {"sample_ids": ids, "labels": labels, "logits": logits, "fused": fused}
        return {"loss": loss, "record": record} if self.record else loss

    def validation_step(self, batch, number):
        return self.training_step(batch, number)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def trainer(folder, *callbacks, **options):
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return pl.Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        enable_model_summary=False,
        callbacks=[*callbacks],
        **quiet,
        **options,
    )


def test_it_records_what_a_hand_written_loop_does(tmp_path) -> None:
    loader = DataLoader(data(), batch_size=7)
    trainer(tmp_path, RecorderCallback(tmp_path / "theirs", CLASSES), max_epochs=2).fit(Tiny(), loader)
    model, recorder = Tiny(), Recorder(tmp_path / "own", CLASSES)
    optimizer = model.configure_optimizers()
    for _ in range(2):
        with recorder.epoch(moving=True):
            for number, batch in enumerate(loader):
                found = model.training_step(batch, number)
                recorder.add(**found["record"])
                optimizer.zero_grad()
                found["loss"].backward()
                optimizer.step()
    ours, theirs = recorder.read(), read_shards(tmp_path / "theirs")[0]
    assert ours.keys() == theirs.keys() and len(ours["sample_id"]) == 2 * N
    for name, column in ours.items():
        np.testing.assert_array_equal(column, theirs[name])


def test_a_second_training_with_a_callback_is_recorded_after_the_first_and_scored(tmp_path) -> None:
    loader, heard = DataLoader(data(), batch_size=8), []
    callback = RecorderCallback(tmp_path / "r", CLASSES, table=tmp_path / "t.duckdb", every=2, after=heard.append)
    for epochs in (1, 2):
        trainer(tmp_path, callback, max_epochs=epochs).fit(Tiny(), loader, DataLoader(data(9, 1), batch_size=4))
    columns, _ = read_shards(tmp_path / "r")
    for split in ("train", "val"):
        assert set(columns["epoch"][columns["split"] == split]) == {1, 2, 3}
    counts = "SELECT run_id, count(DISTINCT round) FROM history GROUP BY 1 ORDER BY 1"
    assert heard[-1].query(counts)[1] == [("score-r-1", 1), ("score-r-2", 3)] and len(heard) == 2


@pytest.mark.long
def test_the_table_comes_back_every_few_epochs(tmp_path) -> None:
    model, heard = Tiny(), []

    def after(table):
        model.adaptive = AdaptiveLoss(table)
        heard.append(model.adaptive.run_id)

    callback = RecorderCallback(tmp_path / "r", CLASSES, table=tmp_path / "t.duckdb", every=2, after=after)
    fit = trainer(tmp_path, callback, max_epochs=3, num_sanity_val_steps=1)
    fit.fit(model, DataLoader(data(), batch_size=8, shuffle=True), DataLoader(data(9, 1), batch_size=4))
    assert heard == ["score-r-1", "score-r-2"], "after two epochs, and at the end"
    table = curate.open(tmp_path / "t.duckdb")
    assert table.query("SELECT max(round) FROM history WHERE run_id = 'score-r-2'")[1] == [(2,)]
    assert table.query("SELECT count(*) FROM samples WHERE split = 'val'")[1] == [(9,)]
    # And a sampler draws by what the table says.
    ids = [str(i) for i in range(N)]
    sampler = EpochSampler(N, weights=sampler_weights(table, ids))
    loader = DataLoader(data(), batch_size=8, sampler=sampler)
    trainer(tmp_path, max_epochs=1, use_distributed_sampler=False).fit(model, loader)


def test_what_breaks_off_or_says_nothing_leaves_earlier_epochs(tmp_path) -> None:
    class Stops(pl.Callback):
        def on_train_batch_end(self, trainer, *rest):
            if trainer.current_epoch == 1:
                raise RuntimeError("stopped")

    callback = RecorderCallback(tmp_path / "r", CLASSES, table=tmp_path / "t.duckdb")
    with pytest.raises(RuntimeError, match="stopped"):
        trainer(tmp_path, callback, Stops(), max_epochs=3).fit(Tiny(), DataLoader(data(), batch_size=8))
    assert set(read_shards(tmp_path / "r")[0]["epoch"]) == {1}
    assert not (tmp_path / "t.duckdb").exists() and not list((tmp_path / "r").glob(".epoch*"))
    with pytest.raises(CurateError, match="training_step returned no record"):
        trainer(tmp_path, callback, max_epochs=1).fit(Tiny(record=False), DataLoader(data(), batch_size=8))


def last_epoch_of(folder):
    return max(read_shards(folder)[0]["epoch"])


def test_an_epoch_that_is_left_early_is_not_recorded_and_the_whole_ones_are_scored(tmp_path, caplog) -> None:
    class Stops(pl.Callback):
        def on_train_batch_end(self, trainer, *rest):
            trainer.should_stop = trainer.global_step == 6

    loader = DataLoader(data(), batch_size=8, shuffle=True)  # four steps an epoch
    for name, others, limit in (("steps", [], {"max_epochs": -1, "max_steps": 6}), ("stop", [Stops()], {})):
        callback = RecorderCallback(tmp_path / name, CLASSES, table=tmp_path / f"{name}.duckdb")
        trainer(tmp_path, callback, *others, **{"max_epochs": 3, **limit}).fit(Tiny(), loader)
        assert last_epoch_of(tmp_path / name) == 1
        assert "epoch 2 of train ended before its last batch: it is not recorded" in caplog.text
        counts = "SELECT count(DISTINCT round), count(*) FROM history"
        assert curate.open(tmp_path / f"{name}.duckdb").query(counts)[1] == [(1, N)]
        caplog.clear()
    whole = RecorderCallback(tmp_path / "whole", CLASSES)
    trainer(tmp_path, whole, max_epochs=-1, max_steps=8).fit(Tiny(), loader)
    assert last_epoch_of(tmp_path / "whole") == 2 and "ended before" not in caplog.text


def test_a_trial_of_one_batch_leaves_nothing(tmp_path, caplog) -> None:
    callback = RecorderCallback(tmp_path / "r", CLASSES, table=tmp_path / "t.duckdb")
    loader = DataLoader(data(), batch_size=8)
    trainer(tmp_path, callback, fast_dev_run=True).fit(Tiny(), loader, loader)
    assert not list((tmp_path / "r").iterdir()) and not (tmp_path / "t.duckdb").exists()
    assert "nothing is scored" in caplog.text


WORKER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_lightning as t
folder = Path(sys.argv[1])
scores = {"table": folder / "t.duckdb", "after": lambda table: print(table.scored().sample_ids.size, flush=True)}
callback = t.RecorderCallback(folder / "r", t.CLASSES, **scores)
fit = t.trainer(folder, callback, max_epochs=2, devices=2, strategy="ddp")
fit.fit(t.Tiny(), t.DataLoader(t.data(29), batch_size=8), t.DataLoader(t.data(9, 1), batch_size=4))
"""


@pytest.mark.long
def test_two_processes_record_each_sample_once(tmp_path) -> None:
    """29 training and 9 validation samples over two: one of each is repeated."""
    script = tmp_path / "ddp.py"
    script.write_text(WORKER)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), str(tmp_path), str(Path(__file__).parent)]
    ended = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert ended.stdout.split().count("29") == 2, "both processes see the table"
    columns, notes = read_shards(tmp_path / "r")
    assert notes == ["4 rows were recorded twice and count once"]
    trained = columns["sample_id"][columns["split"] == "train"]
    assert sorted(trained.tolist()) == sorted([str(i) for i in range(29)] * 2)
