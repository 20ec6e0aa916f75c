"""Removing a run: asked for, complete, and never what others lean on."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from curate.store.store import Store

TABLES = ("run", "prediction", "gap", "mixture", "posterior", "dynamic", "epoch")


def counts(db: Path, run: str) -> list[int]:
    return [Store(db).query(f"SELECT count(*) FROM {t} WHERE run_id = '{run}'")[1][0][0] for t in TABLES]


def test_a_run_is_removed_with_its_rows_and_checkpoints(curate: Callable, db: Path) -> None:
    curate("train", "--method", "adaptive", "--epochs", "4")
    folder = db.with_suffix(".runs") / "adaptive-manifest-1"
    kept = counts(db, "score-manifest-1")
    assert folder.is_dir() and counts(db, "adaptive-manifest-1")[0] == 1
    assert curate("runs", "adaptive-manifest-1", "--remove", "--yes").err == "removed adaptive-manifest-1\n"
    assert not folder.exists() and counts(db, "adaptive-manifest-1") == [0] * len(TABLES)
    assert counts(db, "score-manifest-1") == kept


@pytest.mark.long
def test_what_others_came_from_stays(curate: Callable, refused: Callable, db: Path) -> None:
    curate("train", "--method", "warmup", "--epochs", "1")
    curate("select", "--threshold", "0", "--name", "all")
    before = counts(db, "score-manifest-1")
    told = refused("runs", "score-manifest-1", "--remove", "--yes")
    assert "score-manifest-1 is what selection all, warmup-manifest-1 came from" in told
    first = told.split("remove these first: ")[1]
    for command in re.findall("`curate ([^`]*)`", first):
        ended = curate(*command.split(), "--yes")
        assert ended.code == 0, ended
    assert counts(db, "score-manifest-1") == before and (db.with_suffix(".runs") / "score-manifest-1").is_dir()
    assert curate("runs", "score-manifest-1", "--remove", "--yes").code == 0


def test_without_a_terminal_nothing_is_removed_unasked(refused: Callable, db: Path) -> None:
    before = counts(db, "score-manifest-1")
    assert "was not removed" in refused("runs", "score-manifest-1", "--remove")
    assert counts(db, "score-manifest-1") == before
