"""`curate merge`: what is said of it, and what cannot be merged."""

from __future__ import annotations

import shutil

import duckdb
import pytest


def test_it_says_what_came_under_which_name(curate, scored_table, predictions, scoring, tmp_path, monkeypatch) -> None:
    other = type(scored_table)(tmp_path / "other.duckdb")
    scoring.write(other, predictions(seed=4), seed=1, data_id="toy-other")
    other.runs.start(scoring.run("score-toy-9", seed=9))
    done = curate("merge", other.path, "--db", scored_table.path)
    assert done.code == 0
    said = " ".join(done.err.split())
    assert f"score-toy-1 of {other.path} is called score-toy-2 here" in said
    assert "score-toy-9" in said and "its status is killed" in said
    assert "runs taken over: 1, here already: 0; selections: 0; marks: 0; cells of comparisons: 0" in said
    shown = curate("runs", "--db", scored_table.path).out
    assert "score-toy-2" in shown and "score-toy-9" not in shown
    again = " ".join(curate("merge", other.path, "--db", scored_table.path).err.split())
    assert "runs taken over: 0, here already: 1;" in again


def test_of_many_new_names_the_first_are_said_and_how_many_more(
    curate, scored_table, predictions, scoring, tmp_path
) -> None:
    for table in (scored_table, other := type(scored_table)(tmp_path / "other.duckdb")):
        for seed in range(5):
            scoring.write(
                table, predictions(seed=seed), seed=seed, run_id=f"many-{seed}", data_id=f"toy-{table.path.stem}"
            )
    said = " ".join(curate("merge", other.path, "--db", scored_table.path).err.split())
    assert said.count("is called") == 3 and "2 more have other names here" in said


def test_several_at_once_make_a_new_table(curate, scored_table, tmp_path) -> None:
    copy = shutil.copy(scored_table.path, tmp_path / "copy.duckdb")
    done = curate("merge", scored_table.path, copy, "--db", tmp_path / "all.duckdb", "--quiet")
    assert (done.code, done.err) == (0, "")
    counted = curate("sql", "SELECT count(*) AS n FROM run", "--db", tmp_path / "all.duckdb", "--format", "csv").out
    assert counted.split() == ["n", "1"]


def test_a_table_elsewhere_is_taken_over_and_not_written(curate, scored_table, tmp_path) -> None:
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").pipe("/merge/theirs.duckdb", scored_table.path.read_bytes())
    done = curate("merge", "memory://merge/theirs.duckdb", "--db", tmp_path / "ours.duckdb")
    assert done.code == 0 and "memory://merge/theirs.duckdb: runs taken over: 1" in " ".join(done.err.split())
    there = curate("runs", "--db", "memory://merge/theirs.duckdb")
    assert there.code == 1 and "on another machine" in there.err
    hint = there.err.split("curate merge")[1].split()
    assert curate("merge", *hint, "--db", tmp_path / "again.duckdb").code == 0, "the hint works"


def test_the_hint_speaks_of_the_file_that_is_no_table(curate, scored_table, tmp_path) -> None:
    (tmp_path / "preds.csv").write_text("sample_id,label\n")
    duckdb.connect(str(tmp_path / "empty.duckdb")).close()
    for name in ("gone.duckdb", "preds.csv", "empty.duckdb"):
        done = curate("merge", tmp_path / name, "--db", scored_table.path)
        hint = done.err.splitlines()[1]
        assert done.code == 1 and name in hint and "--db" not in hint and "curate score" not in hint
    done = curate("merge", scored_table.path, "--db", tmp_path / "preds.csv")
    assert done.code == 1 and "--db" in done.err.splitlines()[1]


def test_no_table_is_an_error_that_names_it(curate, scored_table, tmp_path) -> None:
    done = curate("merge", tmp_path / "gone.duckdb", "--db", scored_table.path)
    assert done.code == 1 and "no sample table at" in done.err and "gone.duckdb" in done.err
