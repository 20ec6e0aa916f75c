"""`curate compare` and `curate recommend` as they are typed."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "torchaudio"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Refuse())
from curate import cli
cli.main()
"""


@pytest.fixture(scope="module")
def compared(tmp_path_factory, scored_folder: Path, clips: Path, curate: Callable, small_settings: Callable) -> Path:
    """A table with a comparison of one method and its controls, two seeds, the first on the run that was scored."""
    import shutil

    folder = tmp_path_factory.mktemp("compared")
    shutil.copytree(scored_folder, folder, dirs_exist_ok=True)
    arguments = ("compare", "--dataset", "manifest", "--root", clips, "--seeds", "2", "--method", "iprm")
    ended = curate(
        *arguments, *small_settings(**{"train.epochs": 1, "score.epochs": 4}), "--db", folder / "curate.duckdb"
    )
    assert ended.code == 0, ended.err
    return folder / "curate.duckdb"


@pytest.mark.long
def test_what_was_compared_is_printed_from_the_table(curate: Callable, compared: Path) -> None:
    ended = curate("compare", "--show", "--db", compared, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(ended.out)))
    assert ended.code == 0 and [r["label"] for r in rows] == ["joint", "warmup", "unimodal", "iprm"]
    assert all(r["seeds"] == "0 1" and 0 <= float(r["fused_accuracy_mean"]) <= 1 for r in rows)
    assert rows[1]["verdict"] == "reference"
    table = curate("compare", "--show", "--db", compared)
    assert "no difference shown" in table.out or "better" in table.out or "worse" in table.out
    assert "interval of Student's t" in table.err and "missing" not in table.err


@pytest.mark.long
def test_the_first_seed_went_on_from_the_scored_run(curate: Callable, compared: Path) -> None:
    ended = curate("sql", "--db", compared, "--format", "json", "SELECT seed FROM run WHERE kind = 'score' ORDER BY 1")
    assert [r["seed"] for r in json.loads(ended.out)] == [0, 1]
    ended = curate("sql", "--db", compared, "--format", "json", "SELECT DISTINCT run_id FROM history WHERE round = 1")
    assert len(json.loads(ended.out)) == 8, "every training was scored at its end"


def test_a_scored_run_stands_for_its_data_and_settings(curate: Callable, scored_folder: Path, tmp_path: Path) -> None:
    """What `recommend` names goes on from the run that it is about, and makes no other warm-up of its seed."""
    pytest.importorskip("torch", reason="there is no model to train")
    import re
    import shlex
    import shutil

    shutil.copytree(scored_folder, tmp_path, dirs_exist_ok=True)
    table = ("--db", tmp_path / "curate.duckdb")
    (advised,) = re.findall(r"`curate (compare [^`]*)`", curate("recommend", *table).out)
    words = shlex.split(advised)
    assert "--run" in words and "--db" in words
    ended = curate(*words, "--seeds", "1", "--no-controls", "--set", "train.epochs=4")
    assert ended.code == 0, ended.err
    ended = curate("sql", *table, "--format", "json", "SELECT kind, parent FROM run ORDER BY started")
    kinds = [(r["kind"], r["parent"]) for r in json.loads(ended.out)]
    assert [kind for kind, _ in kinds].count("score") == 1 and kinds[-1][0] == "train"
    run = words[words.index("--run") + 1]
    assert {parent for kind, parent in kinds if kind == "train"} == {run}
    ended = curate("compare", "--run", run, *table, "--method", "sum", "--seeds", "1", "--no-controls")
    assert ended.code == 0, "a fusion of its own is no contradiction to the run's"
    for sweep in ("method.alphas=0.1", "method.alpha=x"):
        ended = curate("compare", "--run", run, *table, "--method", "adaptive", "--sweep", sweep)
        assert ended.code == 1 and sweep.partition("=")[0] in ended.err and "cells" not in ended.err
    refused = curate("compare", "--run", run, "--dataset", "manifest", "--method", "iprm", *table)
    assert refused.code == 1 and "--dataset" in refused.err and "contradict" in refused.err


@pytest.mark.long
def test_files_are_written_by_their_suffix(curate: Callable, compared: Path, workplace: Path) -> None:
    outputs = [word for s in ("md", "csv", "tex", "html") for word in ("-o", f"out.{s}")]
    ended = curate("compare", "--show", "--db", compared, *outputs)
    assert ended.code == 0 and all((workplace / name).stat().st_size > 100 for name in outputs[1::2])


@pytest.mark.long
def test_recommend_has_three_parts(curate: Callable, compared: Path) -> None:
    ended = curate("recommend", "--db", compared)
    assert ended.code == 0
    assert [line.split(":")[0] for line in ended.out.splitlines() if line[0] != " "] == ["found", "try", "check"]


@pytest.mark.long
@pytest.mark.parametrize(
    "arguments",
    [
        ("compare", "--show", "-o", "out.html"),
        ("compare", "--show", "--format", "markdown"),
        ("compare", "--table", "list"),
        ("recommend",),
    ],
)
def test_what_needs_no_model_runs_with_torch_blocked(compared: Path, workplace: Path, arguments) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "CURATE_DB": str(compared)}
    done = subprocess.run(
        [sys.executable, "-c", BLOCK, *arguments], capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_tables_are_listed(curate: Callable) -> None:
    ended = curate("compare", "--table", "list", "--format", "csv")
    names = [line.split(",")[0] for line in ended.out.splitlines()[1:]]
    assert {"adaptive/1", "adaptive/5", "iprm/trimodal"} <= set(names)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "compare needs either --method or --table"),
        (("--method", "iprm"), "compare needs --dataset NAME, or --run RUN"),
        (("--method", "iprm", "--table", "adaptive/1"), "compare needs either --method or --table"),
        (("--method", "iprn"), "unknown method 'iprn'"),
        (("--method", "iprm", "--dataset", "demo", "--seeds", "none"), "--seeds is a number of seeds"),
        (("--method", "iprm", "--dataset", "demo", "--set", "method.alpha=1"), "compare has no setting method.alpha"),
        (("--table", "adaptive/7", "--dataset", "demo"), "unknown table 'adaptive/7'"),
        (("--method", "iprm", "--dataset", "demo", "-o", "out.pdf"), "cannot write '.pdf'"),
        (("--show",), "no comparison in"),
        (("--show", "--name", "mine"), "unknown comparison 'mine'"),
    ],
)
def test_wrong_comparisons_are_refused(db: Path, refused: Callable, arguments, message: str) -> None:
    assert message in refused("compare", *arguments)


def test_rows_without_a_result_are_told_and_the_exit_code_says_so(
    curate: Callable, db: Path, clips: Path, small_settings: Callable, workplace: Path
) -> None:
    (workplace / "mine.toml").write_text(
        'title = "Mine"\ncolumns = ["accuracy", "verdict", "remark"]\n[[row]]\nmethod = "nobodys"\n'
        '[[row]]\nmethod = "warmup"\npaper = { manifest = { accuracy = 71.25 } }\n'
    )
    settings = small_settings(**{"train.epochs": 1, "score.epochs": 4})
    common = ("--dataset", "manifest", "--root", clips, "--table", "mine.toml", "--seeds", "1", *settings)
    ended = curate("compare", *common, "--no-controls", "--format", "markdown")
    assert ended.code == 3
    assert "| nobodys |  | missing | unknown method 'nobodys'" in ended.out
    assert "| warmup | 71.25 / 100.0 / +28." in ended.out
    for control in ("joint", "unimodal"):
        assert f"the control {control} is missing" in ended.err
    assert curate("compare", "--show", "--table", "mine.toml").code == 0


def test_ctrl_c_says_how_to_go_on(
    curate: Callable, db: Path, clips: Path, small_settings: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def progress(quiet: bool) -> Iterator[Callable[[str, int, int, str], None]]:
        def advance(label: str, done: int, total: int, told: str) -> None:
            if "val" in told:
                raise KeyboardInterrupt

        yield advance

    monkeypatch.setattr("curate.train.commands.opening.progress", progress)
    settings = small_settings(**{"train.epochs": 2, "score.epochs": 4})
    arguments = ("--dataset", "manifest", "--root", clips, "--seeds", "1", "--method", "warmup", "--no-controls")
    ended = curate("compare", *arguments, *settings)
    assert (ended.code, ended.out) == (130, "") and "the same command goes on from there" in ended.err
    monkeypatch.undo()
    monkeypatch.chdir(db.parent)
    assert "not run yet" in curate("compare", "--show", "--format", "markdown").out
