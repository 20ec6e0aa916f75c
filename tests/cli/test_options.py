"""One set of options for all commands, queries that stream, and what no command should be handed."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.main import get_command

from curate import cli
from curate.commands import messages as messaging
from curate.store.store import Store

ROOT = Path(__file__).parents[2]
COMMANDS = get_command(cli.app).commands


def test_files_are_written_by_the_same_option(curate: Callable, refused: Callable, db: Path) -> None:
    assert curate("select", "--top", "4", "--name", "best", "-o", "a.csv").code == 0
    assert curate("selections", "best", "-o", "b.csv").code == 0
    assert Path("a.csv").read_bytes() == Path("b.csv").read_bytes()
    assert curate("export", "-o", "c.csv").code == curate("export", "d.csv").code == 0
    assert Path("c.csv").read_bytes() == Path("d.csv").read_bytes()
    assert curate("export").code == curate("export", "c.csv", "-o", "d.csv").code == 2
    assert "writes one selection" in refused("selections", "-o", "b.csv")


@pytest.mark.parametrize(
    "words",
    [
        ("select", "--dry-run"),
        ("selections",),
        ("runs",),
        ("sql", "SELECT * FROM range(10001)"),
        ("methods",),
        ("methods", "joint"),
        ("datasets",),
        ("datasets", "demo"),
        ("export", "-o", "e.csv"),
    ],
)
def test_quiet_leaves_the_result_alone(curate: Callable, db: Path, words: tuple[str, ...]) -> None:
    loud = curate(*words)
    quiet = curate(*words, "-q")
    assert quiet.code == 0 and quiet.err == "" and quiet.out == loud.out


@pytest.mark.parametrize(
    "words",
    [
        ("score", "--refit", "score-manifest-1", "--gap", "kl"),
        ("score", "--predictions", "p.csv"),
        ("score", "--predictions", "p.csv", "--only-missing"),
        ("select", "--top", "4"),
    ],
)
def test_quiet_is_silent_about_what_is_in_the_table(curate: Callable, db: Path, words: tuple[str, ...]) -> None:
    rows = "".join(f"s{i},{'xy'[i % 2]},{i % 3}.5,-{i % 2}.1,2.5,-{i}.7\n" for i in range(12))
    Path("p.csv").write_text("sample_id,label,audio.x,audio.y,image.x,image.y\n" + rows)
    if "--only-missing" in words:
        assert curate("score", "--predictions", "p.csv").code == 0
    quiet = curate(*words, "-q")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    assert curate(*words).out or "--only-missing" in words


@pytest.mark.parametrize("ending", ["csv", "tsv", "json", "jsonl", "md"])
def test_rows_go_to_a_file_as_they_are_printed(curate: Callable, db: Path, ending: str) -> None:
    form = {"md": "markdown"}.get(ending, ending)
    for words in (("sql", "SELECT sample_id, p_balanced FROM samples"), ("runs",), ("methods",), ("methods", "joint")):
        printed = curate(*words, "--format", form)
        ended = curate(*words, "-o", f"rows.{ending}")
        assert (ended.code, ended.out) == (0, "")
        assert Path(f"rows.{ending}").read_text(encoding="utf-8").splitlines() == printed.out.splitlines()


def test_a_file_of_rows_has_a_known_ending(refused: Callable, db: Path) -> None:
    assert "cannot write '.xlsx'" in refused("sql", "SELECT 1", "-o", "rows.xlsx")
    assert not Path("rows.xlsx").exists()


@pytest.mark.parametrize("comment", ["-- which?", "--which?", "--", "-- a = b", "--a-b c"])
def test_a_question_may_begin_with_a_comment(curate: Callable, db: Path, comment: str) -> None:
    plain = curate("sql", "SELECT count(*) AS n FROM samples", "--format", "csv")
    query = f"{comment}\nSELECT count(*) AS n FROM samples"
    for words in ((query, "--format", "csv"), ("--format", "csv", query), ("-q", "--format=csv", "--", query)):
        assert curate("sql", *words) == plain


@pytest.mark.parametrize("option", ["--formta", "--formta=csv", "--outptu=x\ny.csv", "--no-such", "-x"])
def test_a_misspelt_option_is_no_question(curate: Callable, db: Path, option: str) -> None:
    for words in ((option, "SELECT 1"), ("SELECT 1", option)):
        ended = curate("sql", *words)
        assert (ended.code, ended.out) == (2, "") and option.partition("=")[0] in ended.err


@pytest.mark.parametrize("nothing", ["", " ", ";", "-- only a comment"])
def test_no_question_is_told_from_several(refused: Callable, db: Path, nothing: str) -> None:
    assert "there is none" in (told := refused("sql", nothing)) and "one after another" not in told
    assert "one after another" in refused("sql", "SELECT 1; SELECT 2")


def test_every_command_can_be_quiet() -> None:
    without = [n for n, c in COMMANDS.items() if "--quiet" not in {o for p in c.params for o in p.opts}]
    assert without == []


def test_a_query_is_fetched_as_it_is_read(scored_table: Store) -> None:
    """Of 300 million rows the first come at once, the others never."""
    with scored_table.stream("SELECT * FROM range(300000000)", rows=1000) as (columns, portions):
        assert columns == ["range"] and [len(next(portions)) for _ in range(12)] == [1000] * 12
    with scored_table.stream("SELECT * FROM range(2500)", rows=1000) as (_, portions):
        Store(scored_table.path).runs.finish("score-toy-1", "done")  # a short result holds nobody up
        assert [len(p) for p in portions] == [1000, 1000, 500]


def test_a_table_for_people_ends_and_says_so(curate: Callable, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messaging, "MOST_ROWS", 3)
    ended = curate("sql", "SELECT * FROM range(4)")
    assert ended.out.split() == ["range", "─" * 5, "0", "1", "2"] and "first 3 rows" in ended.err
    assert curate("sql", "SELECT * FROM range(3)").err == ""
    whole = curate("sql", "SELECT * FROM range(25000)", "--format", "csv")
    assert [row[0] for row in csv.reader(whole.out.splitlines())] == ["range", *map(str, range(25_000))]


def test_what_nobody_means_is_refused(refused: Callable, db: Path, workplace: Path) -> None:
    deep = workplace / "deep.toml"
    deep.write_text("row = " + "[" * 5000)
    for words, told in (
        (("select", "--where", " "), "the condition is empty"),
        (("sql", "--allow-files", "UPDATE EXTENSIONS"), "only a SELECT"),
        (("sql", "UPDATE EXTENSIONS"), ""),
        (("sql", "SELECT '\udcff'"), "no text in UTF-8"),
        (("select", "--top", "1", "--name", "\udcff"), "no text in UTF-8"),
        (("compare", "--table", str(deep), "--dataset", "demo"), "nested too deeply"),
        (("compare", "--method", "joint", "--dataset", "demo", "--seeds", "999999999999"), "--seeds"),
        (("score", "--dataset", "demo", "--dry-run"), "--dry-run goes with --predictions"),
        (("datasets", "demo", "--set", "data.seed=-1", "--root", "."), "data.seed=-1"),
    ):
        assert told in refused(*words), words


def test_bytes_that_are_no_text_on_standard_input(db: Path) -> None:
    for locale in ("C.UTF-8", "C"):
        words = [sys.executable, "-m", "curate.cli", "sql", "-", "--db", str(db)]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": locale}
        done = subprocess.run(words, input=bytes(range(256)), capture_output=True, env=env, check=False)
        assert done.returncode == 1 and b"Traceback" not in done.stderr and done.stderr.startswith(b"error: ")


@pytest.mark.slow
def test_a_stream_is_stopped_by_ctrl_c(db: Path) -> None:
    words = [
        sys.executable,
        "-m",
        "curate.cli",
        "sql",
        "SELECT * FROM range(300000000)",
        "--format",
        "csv",
        "--db",
        str(db),
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as process:
        process.stdout.read(1 << 20)
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        while process.stdout.read(1 << 20):
            pass
        told = process.stderr.read()
    assert process.returncode == 130 and b"Traceback" not in told and time.monotonic() - begun < 60


def test_a_dry_run_says_what_was_understood_and_stores_nothing(workplace: Path, curate: Callable) -> None:
    Path("p.csv").write_text("sample_id;label;a.x;a.y;b.x;b.y\n1;x;0,9;0,1;1,5;-1\n2;y;0,2;0,8;;\n3;;0,5;0,5;1;2\n")
    ended = curate("score", "--predictions", "p.csv", "--dry-run")
    assert ended.code == 0 and ended.err == "" and not Path("curate.duckdb").exists()
    assert ended.out.startswith("p.csv (semicolons, decimal commas): 3 ids, 3 train, 1 to score; 2 classes; ")
    for part in ("a: probabilities (rows add to one), right on 100%", "b: logits (", "1 missing (no prediction by b)"):
        assert part in ended.out
    assert ended.out.strip().endswith("1 no_label (no label is given)")
    assert curate("score", "--predictions", "p.csv").code == 3
