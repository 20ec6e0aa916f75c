"""The examples run as a user runs them: elsewhere, beside files that have the names of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import curate
from curate.files.shards import read_shards

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("CURATE_TEST_DATA", ROOT.parent / "shared/data")) / "free-spoken-digit-dataset"
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
pytestmark = [pytest.mark.model, pytest.mark.slow]


def run(folder: Path, name: str, *arguments: str, before: tuple[str, ...] = ()) -> curate.table.Table:
    """Run an example in a folder with a user's own `train.py` and `cli.py`; the table that it made."""
    if not DATA.exists():
        pytest.skip(f"no recordings at {DATA}")
    for own in ("train.py", "cli.py", "report.py"):
        (folder / own).write_text("raise SystemExit('a user's own file was imported')")
    script = ROOT / f"examples/{name}.py"
    assert len(script.read_text(encoding="utf-8").splitlines()) <= 60
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *before, str(script), str(DATA), *arguments]
    ended = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return curate.open(folder / "curate.duckdb")


def scored(table: curate.table.Table) -> int:
    """How many samples have a posterior."""
    count: int = table.query("SELECT count(p_balanced) FROM samples")[1][0][0]
    return count


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "examples").glob("*.py")))
def test_without_an_argument_an_example_says_how_it_is_run(name: str) -> None:
    script = ROOT / f"examples/{name}.py"
    for needed in ("lightning", "transformers"):
        if f"import {needed}" in script.read_text(encoding="utf-8"):
            pytest.importorskip(needed)
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    assert f"examples/{name}.py FREE_SPOKEN_DIGIT_DATASET" in ended.stderr


@pytest.mark.long
def test_a_plain_loop_records_scores_and_goes_on_with_the_table(tmp_path: Path) -> None:
    table = run(tmp_path, "plain_pytorch", "1", "12")
    assert scored(table) == 200
    assert len(list((tmp_path / "recorded").glob("epoch-*.parquet"))) == 2, "an epoch before and one after"


@pytest.mark.long
def test_lightning(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    table = run(tmp_path, "lightning_loop", "1", "12")
    assert scored(table) == 200
    assert [r.run_id for r in table.runs()] == ["score-recorded-2", "score-recorded-1"], "in between, and at the end"
    assert set(read_shards(tmp_path / "recorded")[0]["epoch"]) == {1, 2}


@pytest.mark.long
def test_hugging_face(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    assert scored(run(tmp_path, "hugging_face", "1", "12")) == 200
    assert len(read_shards(tmp_path / "recorded_then")[0]["sample_id"]) == 200


@pytest.mark.long
def test_two_processes(tmp_path: Path) -> None:
    assert scored(run(tmp_path, "two_processes", "2", "12", before=TORCHRUN)) == 200
    assert len(list((tmp_path / "recorded").glob("epoch-*-*of2-*.parquet"))) == 4, "of each process, two epochs"
