"""The README's commands exist, and those of the main job run as they are typed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SPEECH = Path(os.environ.get("CURATE_TEST_DATA", ROOT.parent / "shared/data")) / "free-spoken-digit-dataset"
COMMANDS = get_command(cli.app).commands


def typed() -> list[list[str]]:
    """Every `curate ...` line of the README as words."""
    lines = re.findall(r"^\s*(curate .*)$", README, re.M)
    return [shlex.split(line, comments=True)[1:] for line in lines]


def test_every_command_is_documented() -> None:
    table = re.findall(r"`([a-z]+)(?: \[NAME\])?`", README)
    assert set(COMMANDS) <= set(table)


@pytest.mark.parametrize("words", typed(), ids=" ".join)
def test_documented_commands_and_options_exist(words: list[str]) -> None:
    command = COMMANDS[words[0]]
    known = {name for p in command.params for name in p.opts}
    assert {w for w in words[1:] if re.fullmatch(r"--?[a-z][a-z-]*", w)} <= known


def test_documented_settings_exist() -> None:
    from curate.predictions.score import PredictionsConfig
    from train import catalog
    from train.engine import OptimConfig
    from train.model import ModelConfig
    from train.workplace import ScoreConfig, TrainConfig

    known = {f"method.{k}" for e in catalog.entries() for k in e.knobs} | {"data.degrade", "data.KEY", "method.NAME"}
    for section, config in (
        ("optim", OptimConfig),
        ("model", ModelConfig),
        ("score", ScoreConfig),
        ("score", PredictionsConfig),
        ("train", TrainConfig),
    ):
        known |= {f"{section}.{k}" for k in config.__dataclass_fields__}
    written = set(re.findall(r"\b((?:data|model|optim|score|train|method)\.[a-zA-Z_]+)=", README))
    assert written and written <= known


@pytest.mark.slow
@pytest.mark.skipif(
    not SPEECH.is_dir(), reason=f"the Free Spoken Digit Dataset is not at {SPEECH}; set CURATE_TEST_DATA"
)
def test_the_main_job_runs_as_typed(tmp_path: Path) -> None:
    """On a tenth of the recordings, with few epochs by curate.toml."""
    recordings = tmp_path / "speech" / "recordings"
    recordings.mkdir(parents=True)
    for path in sorted((SPEECH / "recordings").glob("*.wav")):
        if int(path.stem.split("_")[2]) in (0, 5, 6, 10, 11, 12):
            (recordings / path.name).symlink_to(path)
    (tmp_path / "curate.toml").write_text("[score]\nepochs = 1\n[train]\nepochs = 4\n")
    script = "set -e\n" + "\n".join(re.findall(r"^```sh\n(.*?)^```", README, re.M | re.S))
    assert "select --threshold 0.8" in script and "--method adaptive" in script
    env = {
        **os.environ,
        "FSDD": str(recordings.parent),
        "CURATE_CACHE": str(tmp_path / "cache"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    ids = (tmp_path / "clean.csv").read_text().splitlines()
    assert ids[0].startswith("sample_id") and len(ids) > 1
    (page,) = (tmp_path / "reports").glob("*/index.html")
    assert "adaptive" in page.read_text(encoding="utf-8")
