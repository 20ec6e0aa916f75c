"""`curate selfcheck` on a manifest."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.model


def test_a_manifest_is_checked_and_nothing_is_left(curate: Callable, clips: Path, small_settings: Callable) -> None:
    options = ("--share", "0.1", "--kinds", "noise,wrong_label", "--epochs", "1", *small_settings())
    ended = curate("selfcheck", "--root", clips, *options, "-o", "found.csv")
    assert ended.code == 0, ended.err
    assert "one training of 1 epochs" in ended.err and not Path("curate.duckdb").exists()
    rows = list(csv.DictReader(Path("found.csv").read_text().splitlines()))
    assert [(r["kind"], r["modality"]) for r in rows] == [("noise", "audio"), ("noise", "image"), ("wrong_label", "")]
    assert all(r["planted"] == "2" and 0 <= float(r["auroc"]) <= 1 and r["words"] for r in rows)


def test_refused(refused: Callable, clips: Path, small_settings: Callable) -> None:
    assert "--dataset NAME, or --root FILE" in refused("selfcheck")
    assert "no kind of fault" in refused("selfcheck", "--root", clips, "--kinds", "rain", *small_settings())
