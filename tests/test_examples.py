"""The examples run as a user runs them: elsewhere, beside files that have the names of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import curate

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("CURATE_TEST_DATA", ROOT.parent / "shared/data")) / "free-spoken-digit-dataset"


@pytest.mark.model
@pytest.mark.slow
def test_a_plain_loop_records_scores_and_goes_on_with_the_table(tmp_path: Path) -> None:
    if not DATA.exists():
        pytest.skip(f"no recordings at {DATA}")
    for name in ("train.py", "cli.py", "report.py"):
        (tmp_path / name).write_text("raise SystemExit('a user's own file was imported')")
    script = ROOT / "examples/plain_pytorch.py"
    assert len(script.read_text(encoding="utf-8").splitlines()) <= 60
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), str(DATA), "1"]
    ended = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    table = curate.open(tmp_path / "curate.duckdb")
    assert table.sql("SELECT count(p_balanced) AS n FROM samples")["n"][0] == 2400
    assert len(list((tmp_path / "recorded").glob("epoch-*.parquet"))) == 2, "an epoch before and one after"
