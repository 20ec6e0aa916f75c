"""Standard output is data, standard error is talk; a pipe gets neither colour nor bars."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRIO = ("torch", "torchvision", "torchaudio")
CURATE = (sys.executable, str(ROOT / "cli.py"))
LIGHT = (
    "--help",
    "datasets",
    "datasets manifest",
    "methods",
    "methods adaptive",
    "runs",
    "runs score-manifest-1",
    "select --threshold 0.5 --output ids.txt",
    "select --dry-run",
    "selections",
    "sql SELECT(1)",
    "export all.csv",
    "export all.parquet",
    "score --dataset nope",
    "train --method nope",
    "runs nope",
)

BLOCKED = """
import contextlib, io, json, sys
from importlib.machinery import PathFinder
class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in {modules!r} else super().find_spec(name, path, target)
sys.meta_path = [Without if finder is PathFinder else finder for finder in sys.meta_path]
from curate import cli
ended = []
for command in {commands!r}:
    sys.argv = ["curate", *command.split()]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            cli.main()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
    ended.append([status, out.getvalue(), err.getvalue()])
print(json.dumps(ended))
"""


def test_csv_and_json_say_the_same(curate: Callable, db: Path) -> None:
    query = "SELECT sample_id, gap, selections FROM samples WHERE split = 'train' ORDER BY 1"
    rows = json.loads(curate("sql", query, "--format", "json").out)
    table = list(csv.DictReader(io.StringIO(curate("sql", query, "--format", "csv").out)))
    assert [(r["sample_id"], r["gap"]) for r in rows] == [(r["sample_id"], float(r["gap"])) for r in table]
    assert len(rows) == 24 and rows[0]["selections"] == []


def test_markdown_is_a_table_whatever_is_in_it(curate: Callable, db: Path) -> None:
    out = curate("sql", "SELECT 'a|b' AS \"x|y\", 'two\nlines' AS z", "--format", "markdown").out
    assert out == "| x\\|y | z |\n| --- | --- |\n| a\\|b | two lines |\n"


def test_json_holds_every_column_and_no_nan(curate: Callable, db: Path) -> None:
    out = curate("sql", "SELECT 1 AS a, 2 AS a, 'nan'::DOUBLE AS b", "--format", "json").out
    assert json.loads(out) == [{"a": 1, "a_2": 2, "b": None}]


def test_sql_reads_standard_input(curate: Callable, db: Path) -> None:
    for arguments in (("-",), ()):
        assert curate("sql", *arguments, "--format", "csv", stdin="SELECT 40 + 2 AS n").out == "n\n42\n"


def test_a_wide_table_is_not_cut_in_a_pipe(curate: Callable, db: Path) -> None:
    lines = curate("sql", "SELECT repeat('x', 200) AS a, repeat('y', 200) AS b, 1 AS last").out.splitlines()
    assert "x" * 200 in lines[2] and "y" * 200 in lines[2] and lines[2].endswith("1")


def test_one_long_cell_does_not_widen_a_table_and_is_whole_in_other_forms(curate: Callable, db: Path) -> None:
    query = "SELECT repeat('x', 3000) AS id, ['y', repeat('z', 300)] AS list, 1 AS last UNION ALL SELECT 'a', [], 2"
    ended = curate("sql", query)
    assert max(map(len, ended.out.splitlines())) < 420 and "x" * 199 + "\u2026" in ended.out
    assert "cells of more than 200 characters are cut: --format csv" in ended.err
    for form in ("csv", "tsv", "json", "jsonl", "markdown"):
        whole = curate("sql", query, "--format", form)
        assert "x" * 3000 in whole.out and "z" * 300 in whole.out and "are cut" not in whole.err


def test_talk_goes_to_standard_error(curate: Callable, db: Path, clips: Path, small_settings: Callable) -> None:
    ended = curate("score", "--dataset", "manifest", "--root", clips, "--epochs", "2", *small_settings())
    told = ended.err.splitlines()
    assert told[0].startswith("note: clips.csv: 36 rows and ids; 24 train, 6 val, 6 test; 3 classes")
    assert told[1] == "score-manifest-2: 0/2"
    (last,) = (line for line in told if line.startswith("score-manifest-2: 2/2 val "))
    assert last.endswith("%")
    assert "\x1b" not in ended.out + ended.err
    assert "2/2" not in ended.out
    trained = curate("train", "--method", "warmup", "--epochs", "1")
    assert trained.out.splitlines()[0].split() == ["accuracy", "macro_f1", "map"]
    assert "best epoch 1 by validation" in trained.err


def test_quiet_leaves_results_alone(curate: Callable, db: Path) -> None:
    for command in (("train", "--method", "warmup", "--epochs", "1"), ("evaluate",)):
        ended = curate(*command, "--quiet")
        assert ended.err == "" and "fused" in ended.out


def test_slow_stages_tell_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    from curate import render

    clock = iter([0.0, 4.0, 9.9, 10.1, 12.0, 13.0, 13.5])
    monkeypatch.setattr(render.time, "monotonic", lambda: next(clock))
    with render.progress(quiet=False) as advance:
        for done in (0, 1, 2, 3, 4, 5):
            advance("run", done, 5, "")
        advance("run", 5, 5, "")
    assert capsys.readouterr() == ("", "run: 0/5\nrun: 3/5\nrun: 5/5\n")


def test_a_closed_pipe_is_no_error(db: Path) -> None:
    query = [*CURATE, "sql", "SELECT range AS n FROM range(300000)", "--format", "csv"]
    process = subprocess.Popen(query, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"n\n"
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait()


def test_no_colour_in_a_pipe_and_none_against_the_wish() -> None:
    def told(**variables: str) -> bytes:
        ended = subprocess.run([*CURATE, "--help"], capture_output=True, env={**os.environ, **variables})
        assert ended.returncode == 0 and b"select" in ended.stdout
        return ended.stdout + ended.stderr

    colour = re.compile(rb"\x1b\[[0-9;]*3[0-7]m")
    assert b"\x1b" not in told()
    assert colour.search(told(FORCE_COLOR="1")) and not colour.search(told(FORCE_COLOR="1", NO_COLOR="1"))


def run_without(modules: tuple[str, ...], commands: tuple[str, ...]) -> list[list[object]]:
    """[exit status, standard output, standard error] of each command, in one process that cannot import `modules`."""
    code = BLOCKED.format(modules=modules, commands=commands)
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_commands_without_a_model_load_no_heavy_library(db: Path) -> None:
    ended = run_without((*TRIO, "pandas", "sklearn", "matplotlib", "scipy"), LIGHT)
    for command, (status, out, err) in zip(LIGHT, ended, strict=True):
        assert status == ("nope" in command), (command, err)
        assert ("did you mean" in err or "known: " in err) if status else (out or err), command


@pytest.mark.parametrize("missing", [TRIO, ("torchaudio",)])
def test_what_needs_a_model_says_what_to_install_and_begins_nothing(db: Path, missing: tuple[str, ...]) -> None:
    commands = ("demo", "score --dataset demo", "compare --dataset demo --method joint --seeds 1")
    if find_spec("torch"):  # there is a model to go on with
        commands += ("train --method joint", "evaluate")
    before = {p.name for p in Path().iterdir()}
    for status, out, err in run_without(missing, commands):
        error, hint = err.splitlines()
        assert (status, out) == (1, "")
        assert all(name in error for name in missing) and hint == "hint: pip install 'curate-mm[train]'"
    assert {p.name for p in Path().iterdir()} == before


@pytest.mark.long
def test_a_report_needs_no_torch(db: Path) -> None:
    ((status, out, err),) = run_without(TRIO, ("report",))
    assert status == 0, err
    assert Path(out.strip()).is_file()
