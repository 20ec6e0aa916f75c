"""A method, a data set and a command are a file each: tried in a copy of the project, as CONTRIBUTING.md has them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with the three files of CONTRIBUTING.md, each where its first line says."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("curate", "train"):
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "cli.py", folder)
    blocks = re.findall(r"^```python\n(# (\S+\.py)\n.*?)^```", GUIDE, re.M | re.S)
    assert [path for _, path in blocks] == [
        "train/methods/halved.py",
        "curate/datasets/flags.py",
        "curate/commands/classes.py",
    ]
    for code, path in blocks:
        (folder / path).write_text(code, encoding="utf-8")
    return folder


def curate(folder: Path, *words: str) -> str:
    """What a command of the copy prints."""
    ended = subprocess.run(
        [sys.executable, str(folder / "cli.py"), *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout + ended.stderr


def test_a_method_is_one_file(copied: Path) -> None:
    shown = curate(copied, "methods", "halved", "--format", "csv")
    assert "method.factor,float,0.5,what the loss is multiplied by." in shown


def test_a_data_set_is_one_file(copied: Path) -> None:
    assert "flags" in curate(copied, "datasets", "--format", "csv")
    assert "flags: 60 samples, modalities audio, visual" in curate(copied, "datasets", "flags")


def test_a_command_is_one_file(copied: Path) -> None:
    assert re.search(r"^\W*classes\b", curate(copied, "--help"), re.M)
    assert curate(copied, "classes", "flags").split() == ["high", "low"]


@pytest.mark.long
@pytest.mark.model
@pytest.mark.slow
def test_they_work_together(copied: Path) -> None:
    small = ("--set", "score.epochs=1", "--device", "cpu", "--quiet")
    curate(copied, "score", "--dataset", "flags", *small)
    assert "fused" in curate(copied, "train", "--method", "halved", "--epochs", "1", "--device", "cpu")
