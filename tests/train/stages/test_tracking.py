"""What a tracker is told of a run, with the real trackers, offline."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from curate.errors import CurateError
from curate.train.stages import tracking
from curate.train.stages.score import score
from curate.train.stages.tracking import KINDS, Tracking
from curate.train.stages.training import train

FIGURES = {"gap-audio-visual", "posterior-audio-visual", "usability-audio-visual", "accuracy-fused"}


class Listening:
    """A tracker that keeps what it is told."""

    def __init__(self, run, folder) -> None:
        self.run, self.epochs, self.pictures, self.ended = run, {}, {}, []
        ALL.append(self)

    def numbers(self, epoch, values) -> None:
        self.epochs.setdefault(epoch, {}).update(values)

    def picture(self, name, picture) -> None:
        self.pictures[name] = picture

    def close(self, done) -> None:
        self.ended.append(done)


ALL: list[Listening] = []


@pytest.fixture
def listening(monkeypatch):
    ALL.clear()
    monkeypatch.setitem(KINDS, "tensorboard", ("tensorboard", Listening))
    return ALL


@pytest.fixture
def tracked(work):
    return replace(work, tracking=Tracking("tensorboard"))


@pytest.mark.long
def test_every_epoch_is_told(listening, tracked, work, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("curate.train.stages.recording.pictures", lambda *_: {"gap": picture(tmp_path)})
    scored = score(tracked, "toy", None, [], 0)
    trained = train(tracked, scored, "joint", [{"train": {"epochs": 1}}], 0)
    first, second = listening
    assert (first.run.run_id, second.run.run_id) == (scored.run_id, trained.run_id)
    assert first.ended == second.ended == [True]
    assert first.pictures["gap"].size == second.pictures["gap"].size == (6, 4)
    for told, run in ((first, scored), (second, trained)):
        query = f"SELECT epoch, split, modality, metric, value FROM epoch WHERE run_id = '{run.run_id}'"
        stored = {(e, re.sub("[:|]", ".", f"{s}/{m}/{k}")): v for e, s, m, k, v in work.store.query(query)[1]}
        assert {(e, k): v for e, values in told.epochs.items() for k, v in values.items()}.items() <= stored.items()
        assert set(told.epochs) == {e for e, _ in stored}
    assert "test/fused/accuracy" in second.epochs[max(second.epochs)]


@pytest.mark.long
def test_the_pictures_are_those_of_the_report(listening, tracked) -> None:
    score(tracked, "toy", None, [], 0)
    assert listening[0].pictures.keys() >= FIGURES
    assert all(isinstance(p, Image.Image) for p in listening[0].pictures.values())


def test_an_interrupted_run_is_ended_without_pictures(listening, tracked, monkeypatch) -> None:
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("curate.train.stages.score.fit_round", stop)
    with pytest.raises(KeyboardInterrupt):
        score(tracked, "toy", None, [], 0)
    assert listening[0].ended == [False]
    assert not listening[0].pictures


@pytest.mark.parametrize("broken", ["__init__", "numbers", "picture", "close"])
def test_a_tracker_that_fails_ends_no_training(listening, scored, tmp_path, monkeypatch, caplog, broken) -> None:
    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(Listening, broken, fail)
    told = Tracking("tensorboard")
    with caplog.at_level(logging.WARNING):
        told.begin(scored, tmp_path / "run")
        told.epoch(1, [("val", "fused", "accuracy", 0.5)])
        told.end(lambda: {"gap": picture(tmp_path)})
    assert sum("no space left" in r.getMessage() for r in caplog.records) == 1


def test_what_a_tracker_says_is_one_line(listening, scored, tmp_path, monkeypatch, caplog) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setattr(Listening, "__init__", lambda *_: wandb.Settings(base_url="nowhere"))
    with caplog.at_level(logging.WARNING):
        Tracking("tensorboard").begin(scored, tmp_path / "run")
    (said,) = (r.getMessage() for r in caplog.records)
    assert "now on: base_url: " in said and "\n" not in said and "pydantic" not in said


def picture(folder) -> bytes:
    Image.fromarray(np.full((4, 6, 3), 200, dtype=np.uint8)).save(folder / "p.png")
    return (folder / "p.png").read_bytes()


def test_a_tracker_that_is_not_installed_is_refused_at_once(monkeypatch) -> None:
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(CurateError, match="--track wandb needs") as error:
        Tracking("wandb")
    assert error.value.hint == "pip install 'curate-mm[wandb]'"


@pytest.fixture
def made(tmp_path, monkeypatch, scored):
    """Logs two epochs and a picture with a real tracker; returns the run's folder."""

    def log(name: str):
        pytest.importorskip(KINDS[name][0])
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        folder = tmp_path / "t.runs" / scored.run_id
        told = Tracking(name)
        told.begin(scored, folder)
        for epoch, value in ((1, 0.5), (2, 0.75)):
            told.epoch(epoch, [("val", "fused", "accuracy", value), ("train", "audio", "omega:audio|visual", 1.0)])
        assert told.tracker is not None
        told.end(lambda: {"gap": picture(tmp_path)})
        assert told.name == name, "it failed"
        return folder

    return log


def test_tensorboard_reads_what_was_written(made) -> None:
    folder = made("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("val/fused/accuracy")] == [(1, 0.5), (2, 0.75)]
    assert [(i.width, i.height) for i in events.Images("gap")] == [(6, 4)]


def test_mlflow_reads_what_was_written(made) -> None:
    folder = made("mlflow")
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=(folder.parent / "mlruns").resolve().as_uri())
    (run,) = client.search_runs([client.get_experiment_by_name("curate").experiment_id])
    assert run.info.run_name == "score-toy-1" and run.info.status == "FINISHED"
    assert run.data.params["optim.lr"] == "0.02"
    history = client.get_metric_history(run.info.run_id, "val/fused/accuracy")
    assert [(m.step, m.value) for m in history] == [(1, 0.5), (2, 0.75)]
    assert [f.path for f in client.list_artifacts(run.info.run_id)] == ["gap.png"]


@pytest.mark.long
def test_wandb_keeps_it_in_the_runs_folder(made) -> None:
    folder = made("wandb")
    assert list(folder.glob("wandb/offline-run-*/run-score-toy-1.wandb"))
    assert list(folder.glob("wandb/offline-run-*/files/media/images/gap_*.png"))


@pytest.mark.long
def test_trackio_keeps_it_in_its_own_folder(scored, work, tmp_path) -> None:
    """In a process of its own: trackio reads its folder's name when it is imported."""
    pytest.importorskip("trackio")
    told = (
        "import sys; from pathlib import Path; from curate.store.store import Store\n"
        "from curate.train.stages.tracking import Tracking\n"
        "run, told = Store(sys.argv[1]).runs.find(), Tracking('trackio')\n"
        "told.begin(run, Path(sys.argv[2]))\n"
        "told.epoch(1, [('val', 'fused', 'accuracy', 0.5)]); told.epoch(2, [('val', 'fused', 'accuracy', 0.75)])\n"
        "told.end(lambda: {'gap': Path(sys.argv[3]).read_bytes()})\n"
    )
    picture(tmp_path)
    words = [sys.executable, "-c", told, work.store.path, tmp_path / "run", tmp_path / "p.png"]
    done = subprocess.run(words, env={**os.environ, "TRACKIO_DIR": str(tmp_path / "there")}, capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"")
    with sqlite3.connect(tmp_path / "there" / "curate.db") as con:
        logged = [str(text) for (text,) in con.execute("SELECT metrics FROM metrics ORDER BY step")]
    assert sum('"val/fused/accuracy"' in text for text in logged) == 2
    assert list((tmp_path / "there" / "media").rglob("*.png"))
