"""`curate selfcheck` on a manifest."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.model


def test_a_manifest_is_checked_and_nothing_is_left(curate: Callable, clips: Path, small_settings: Callable) -> None:
    options = ("--share", "0.1", "--kinds", "noise,wrong_label", "--epochs", "1", *small_settings())
    ended = curate("selfcheck", "--root", clips, *options, "-o", "found.csv")
    assert ended.code == 0, ended.err
    assert "one training of 1 epoch" in ended.err and not Path("curate.duckdb").exists()
    rows = list(csv.DictReader(Path("found.csv").read_text().splitlines()))
    assert [(r["kind"], r["modality"]) for r in rows] == [("noise", "audio"), ("noise", "image"), ("wrong_label", "")]
    assert all(r["planted"] == "2" and 0 <= float(r["auroc"]) <= 1 and r["words"] for r in rows)


def test_refused(refused: Callable, clips: Path, small_settings: Callable) -> None:
    assert "--dataset NAME, or --root FILE" in refused("selfcheck")
    assert "no file at gone.csv" in refused("selfcheck", "--root", "gone.csv")
    assert "no kind of fault" in refused("selfcheck", "--root", clips, "--kinds", "rain", *small_settings())


def test_copies_that_are_memorised_are_scored_out_of_fold_as_the_data_would_be(
    curate: Callable, workplace: Path
) -> None:
    rng = np.random.default_rng(0)
    place = workplace / "wide"
    place.mkdir()
    for modality in ("sound", "picture"):
        np.save(place / f"{modality}.npy", rng.normal(size=(150, 300)))  # more numbers than samples, and no class
    rows = [f"s{i:03},{'xyz'[i % 3]},{'train' if i < 90 else 'val'}" for i in range(150)]
    (place / "samples.csv").write_text("\n".join(["sample_id,label,split", *rows]) + "\n")
    options = ("selfcheck", "--features", place, "--kinds", "noise", "--share", "0.1", "--epochs", "10")
    unasked = curate(*options)
    assert unasked.code == 0, unasked.err
    assert "up to 5 times that if they are memorised" in unasked.err
    assert "1 of 1 copies were memorised (right on training and on validation samples: picture 100%" in unasked.err
    forbidden = curate(*options, "--set", "score.folds=0")
    assert forbidden.code == 0 and "memorised" not in forbidden.err
