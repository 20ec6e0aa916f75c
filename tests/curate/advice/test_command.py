"""A reconstructed command, typed again, gives the settings that it was made from."""

from __future__ import annotations

import shlex
from dataclasses import asdict, replace

import pytest

from curate.advice.command import data_arguments, prepare_command, score_command
from curate.config import build, parse_set
from curate.datasets.manifest import Manifest
from curate.types import Run


def run(**options) -> Run:
    data = asdict(Manifest.Options(**options))
    return Run(
        run_id="r", kind="score", method="none", dataset="manifest", data_id="m-0", root="my data/clips.csv",
        parent=None, seed=3, modalities=("audio", "visual"), classes=("a", "b"), gap_kind="prob", family="gaussian",
        config={"data": data}, versions={}, folder="",
    )  # fmt: skip


MEASURED = {"rate": 8000, "seconds": 1.5, "n_fft": 256, "hop": 128, "frames": 1, "size": 32}


@pytest.mark.parametrize("depth_range", ["", "0,255", "none", "1e3", "7", "true", "a b", 'say "x"', "#", "é'"])
def test_typed_again_it_gives_the_same_settings(depth_range):
    made = run(**MEASURED, depth_range=depth_range, text="words, more words", val_fraction=0.25)
    words = shlex.split(shlex.join(data_arguments(made)))
    typed = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    found = build(Manifest.Options, parse_set(typed)["data"], "data")
    assert found.depth_range == (None if depth_range == "none" else depth_range), "none is no text anywhere"
    assert asdict(found) | {"depth_range": depth_range} == made.config["data"]


def test_of_saved_predictions_every_file_that_was_given_is_named():
    given = {"files": ["a.csv", "b c.csv"], "embeddings": ["e.npz"], "media": "/d/m.csv", "columns": {"p": "audio"}}
    made = replace(run(**MEASURED), dataset="mine", root=None, config={"score": {}, "predictions": given})
    files = "--predictions a.csv --predictions 'b c.csv' --embeddings e.npz --media /d/m.csv"
    assert score_command(made, {}) == f"curate score {files} --dataset mine"


def test_no_command_has_a_setting_with_nothing_behind_it():
    made = run(**MEASURED, depth_range="")
    for command in (score_command(made, {}), prepare_command(made), shlex.join(data_arguments(made))):
        assert "--root 'my data/clips.csv'" in command and 'depth_range=""' in command
        assert not any(word.endswith("=") for word in shlex.split(command))
