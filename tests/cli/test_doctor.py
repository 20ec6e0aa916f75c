"""`curate doctor`: what it says of the installation, the machine and the table."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from curate.train.commands import diagnosing


@pytest.fixture
def told(curate: Callable, workplace: Path) -> Callable[..., dict[str, str]]:
    def tell(*words: object) -> dict[str, str]:
        ended = curate("doctor", *words)
        assert ended.code == 0
        return {line[:16].strip(): line[16:] for line in ended.out.splitlines()}

    return tell


def test_versions_and_places_are_told(told: Callable, workplace: Path) -> None:
    found = told()
    assert found["curate"].startswith(version("curate-mm"))
    assert f"duckdb {version('duckdb')}" in found["packages"]
    assert found["here"].startswith(str(workplace)) and found["cache"].startswith(os.environ["CURATE_CACHE"])
    assert "libavcodec" in found["decoders"]
    assert found["table"] == "none at curate.duckdb"
    assert "problem" not in found and not (workplace / "curate.duckdb").exists()


def test_what_an_extra_is_needed_for_is_told_where_it_lacks(told: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = diagnosing._installed
    monkeypatch.setattr(diagnosing, "_installed", lambda n: "missing" if n in ("uvicorn", "duckdb") else installed(n))
    found = told()
    assert "needed for: view" in found["[view]"] and "pip install 'curate-mm[view]'" in found["[view]"]
    assert "duckdb" in found["problem"]


def test_every_extra_is_known() -> None:
    from importlib.metadata import metadata

    assert set(metadata("curate-mm").get_all("Provides-Extra")) == set(diagnosing.NEEDED_FOR)


def test_the_table_is_counted_or_its_holder_named(told: Callable, scored_file: Path, workplace: Path) -> None:
    shutil.copy(scored_file, "curate.duckdb")
    assert "1 run, 62 samples" in told()["table"]
    hold = "import duckdb, sys; c = duckdb.connect('curate.duckdb'); print('open', flush=True); sys.stdin.read()"
    words = [sys.executable, "-c", hold]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "open\n"
        assert str(holder.pid) in told()["problem"]
        holder.communicate()
    Path("curate.duckdb").write_text("no table")
    assert "cannot open" in told()["problem"]
