"""Options that stand for settings of a data set."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from curate.store.store import Store


def test_drop_leaks_leaves_out_what_is_in_a_later_split(
    curate: Callable, clips: Path, workplace: Path, small_settings: Callable
) -> None:
    header, *rows = clips.read_text().splitlines()
    places = header.split(",")
    train, test = (next(r.split(",") for r in rows if split in r.split(",")) for split in ("train", "test"))
    leaking = list(train)
    for medium in set(places) - {"sample_id", "label", "split", "group"}:
        leaking[places.index(medium)] = test[places.index(medium)]
    leaking[places.index("sample_id")] = "leak"
    grown = clips.with_name("leaking.csv")
    grown.write_text("\n".join([header, *rows, ",".join(leaking)]) + "\n")
    command = ("prepare", "--dataset", "manifest", "--root", grown, "--workers", "0")
    settings = small_settings(**{"optim.batch_size": None, "optim.lr": None})
    assert curate(*command, *settings).code == 0
    table = Store(Path("curate.duckdb"))
    assert ("leak",) in table.query("SELECT sample_id FROM findings WHERE kind = 'leak'")[1]
    assert curate(*command, *settings, "--drop-leaks").code == 3
    assert table.query("SELECT sample_id, status FROM failures")[1] == [("leak", "dropped_leak")]


def test_a_variant_is_asked_only_of_those_that_have_several(refused: Callable, clips: Path) -> None:
    told = refused("prepare", "--dataset", "manifest", "--root", clips, "--split-variant", "mla")
    assert "split_variant" in told


def test_a_sample_is_shown_and_written(curate: Callable, refused: Callable, tmp_path: Path) -> None:
    for i in range(6):
        soundfile.write(tmp_path / f"{i}.wav", 0.5 * np.sin(0.1 * (i + 1) * np.arange(8000)), 8000)
        Image.new("RGB", (20, 10), (40 * i, 0, 0)).save(tmp_path / f"{i}.png")
    rows = "".join(f"s{i},{i % 2},{i}.wav,{i}.png\n" for i in range(6))
    (tmp_path / "clips.csv").write_text("sample_id,label,audio,visual\n" + rows)
    place = ("--root", tmp_path / "clips.csv")
    shown = curate("datasets", "manifest", *place, "--sample", "s3", "-o", tmp_path / "out", "--format", "jsonl")
    told = {(row["modality"], row["fact"]): row["value"] for row in map(json.loads, shown.out.splitlines())}
    assert shown.code == 0 and told["audio", "rate"] == 8000 and told["visual", "size"] == "20, 10"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["s3-audio.wav", "s3-visual.png"]
    assert "s3-audio.wav" in shown.err
    assert "did you mean 's3'" in refused("datasets", "manifest", *place, "--sample", "s33")
