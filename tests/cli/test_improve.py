"""`curate improve`: it explains, asks, and trains what is better beside what is not."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from curate.store.marks import Mark
from curate.store.store import Store

pytestmark = pytest.mark.model


def runs(db: Path) -> list[str]:
    return [run.run_id for run in Store(db).runs.all(kind="train")]


def test_nothing_is_trained_without_yes(curate: Callable, db: Path) -> None:
    ended = curate("improve", "--epochs", "1")
    assert ended.code == 0, ended.err
    store = Store(db)
    if "nothing to train beside the baseline" in ended.err:
        assert "no label is changed" in ended.err and "curate train --run" in ended.err
    (first, *_), classes = store.rounds.read(store.runs.find().run_id).sample_ids.tolist(), store.runs.find().classes
    ((given,),) = store.rows("SELECT label_name FROM samples WHERE sample_id = ?", [first])
    other = next(c for c in classes if c != given)
    store.marks.write("manifest", [Mark(mark_id="1", sample_id=first, mark="fix_label", new_label=other)], "me")
    ended = curate("improve", "--epochs", "1")
    assert ended.code == 0 and "1 marked" in ended.err and f"{given} to {other} (" in ended.err
    assert "2 trainings of 1 epoch" in ended.err and "nothing was trained" in ended.err and not runs(db)
    ended = curate("improve", "--epochs", "1", "--yes", "-o", "improved.csv")
    assert ended.code == 0, ended.err
    rows = list(csv.DictReader(Path("improved.csv").read_text().splitlines()))
    assert [r["labels"] for r in rows] == ["labels as given", "corrected labels"]
    assert {r["runs"] for r in rows} == set(runs(db)) and rows[0]["test_gain_mean"] == ""
    assert float(rows[1]["test_gain_low"]) <= float(rows[1]["test_gain_mean"]) <= float(rows[1]["test_gain_high"])
    assert "chosen by validation: " in ended.err and "one seed, not judged" in ended.err
    ended = curate("improve", "--epochs", "1", "--format", "markdown")
    assert ended.code == 0 and "all are done" in ended.err and len(runs(db)) == 2
    assert "| corrected labels |" in ended.out


def test_refused(refused: Callable, db: Path) -> None:
    assert "--seeds is a number of seeds" in refused("improve", "--seeds", "x")
