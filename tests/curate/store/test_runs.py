"""Runs: numbered, read back as they were, found by name, and how each stands."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from curate.errors import CurateError
from curate.files.lock import FILE, OWNER, claimed
from curate.store.store import Store


def test_run_ids_count_up_over_runs_and_folders(scored_table, tmp_path):
    assert scored_table.runs.new_id("score-toy", tmp_path) == "score-toy-2"
    (tmp_path / "score-toy-2").mkdir()
    assert scored_table.runs.new_id("score-toy", tmp_path) == "score-toy-2"  # nothing was made there
    (tmp_path / "score-toy-2").mkdir(exist_ok=True)
    (tmp_path / "score-toy-2" / "last.pt").touch()
    assert scored_table.runs.new_id("score-toy", tmp_path) == "score-toy-3"
    assert Store(tmp_path / "none.duckdb").runs.new_id("score-toy", tmp_path / "none") == "score-toy-1"
    assert not (tmp_path / "none.duckdb").exists()


def test_two_runs_that_were_planned_with_one_name_begin_with_two(scored_table, scoring, tmp_path):
    """As of two processes that score at once: neither writes into the other's run."""
    folder = scored_table.path.with_suffix(".runs") / "score-toy-2"
    planned = scoring.run("score-toy-2", gap_kind="prob"), scoring.run("score-toy-2", gap_kind="kl", folder=str(folder))
    first, second = (scored_table.runs.begin(run) for run in planned)
    assert (first.run_id, second.run_id) == ("score-toy-2", "score-toy-3")
    assert second.folder == str(folder.with_name("score-toy-3"))
    assert [scored_table.runs.find(run.run_id).gap_kind for run in (first, second)] == ["prob", "kl"]


def test_a_run_is_read_back_as_it_was_written(scored_table, scoring):
    run = scoring.run(
        "iprm-toy-1",
        kind="train",
        method="iprm",
        parent="score-toy-1",
        seed=7,
        gap_kind=None,
        family=None,
        root="/data",
        note="a remark",
        config={"optim": {"lr": 0.1, "clip": None, "on": True}},
    )
    scored_table.runs.start(run)
    with claimed(scored_table.path.with_suffix(".runs") / "iprm-toy-1"):
        assert scored_table.runs.find("iprm-toy-1") == run
    scored_table.runs.finish("iprm-toy-1", "done", "abc")
    assert scored_table.runs.find("iprm-toy-1") == replace(run, status="done", checkpoint_sha256="abc")


def test_a_resumed_run_is_running_again_and_not_finished(scored_table, scoring):
    state = "SELECT status, finished IS NULL, (SELECT count(*) FROM run) FROM run"
    scored_table.runs.finish("score-toy-1", "interrupted")
    assert scored_table.query(state)[1] == [("interrupted", False, 1)]
    scored_table.runs.start(scoring.run())
    assert scored_table.query(state)[1] == [("running", True, 1)]


def test_a_run_whose_process_is_gone_is_told_apart_from_one_that_runs(scored_table, scoring):
    for number in (2, 3):
        scored_table.runs.start(scoring.run(f"score-toy-{number}"))
    with claimed(scored_table.path.with_suffix(".runs") / "score-toy-2"):
        shown = {row[0]: row[5] for row in scored_table.runs.overview()}
        assert shown == {"score-toy-1": "done", "score-toy-2": "running", "score-toy-3": "killed"}
        assert {r.run_id: r.status for r in scored_table.runs.all()} == shown
        for status in ("running", "killed"):
            assert [r.run_id for r in scored_table.runs.all(status=status)] == [n for n in shown if shown[n] == status]
    scored_table.runs.finish("score-toy-3", "interrupted")
    assert scored_table.runs.find("score-toy-3").status == "interrupted"


def left(table, run_id: str, host: str) -> Path:
    """The folder that a killed process leaves of a run."""
    folder = table.path.with_suffix(".runs") / run_id
    folder.mkdir(parents=True)
    (folder / FILE).touch()
    (folder / OWNER).write_text(f"4711 on {host}\n")
    return folder


def test_the_next_writer_stores_that_a_run_was_killed(scored_table, scoring):
    for number in (2, 3, 4, 5):
        scored_table.runs.start(scoring.run(f"score-toy-{number}"))
        if number < 5:
            left(scored_table, f"score-toy-{number}", "another-machine" if number == 4 else socket.gethostname())
    with claimed(scored_table.path.with_suffix(".runs") / "score-toy-2"):
        with Store(scored_table.path).db.open(write=True):
            pass
        found = scored_table.query("SELECT run_id, status FROM run ORDER BY 1")[1]
    assert [status for _, status in found] == ["done", "running", "killed", "running", "running"]
    assert "score-toy-3" in [run.run_id for run in scored_table.runs.all(status="killed")]
    scored_table.runs.start(scoring.run("score-toy-3"))
    assert scored_table.query("SELECT status FROM run WHERE run_id = 'score-toy-3'")[1] == [("running",)]


def test_who_only_asks_stores_it_where_nobody_else_has_the_table(scored_table, scoring):
    scored_table.runs.start(scoring.run("score-toy-2"))
    left(scored_table, "score-toy-2", socket.gethostname())
    question, asking = "SELECT status FROM run WHERE run_id = 'score-toy-2'", Store(scored_table.path)
    with scored_table.db.open():
        asking.runs.record_killed()
    assert asking.query(question)[1] == [("running",)]
    asking.runs.record_killed()
    assert asking.query(question)[1] == [("killed",)]


def test_runs_are_found_newest_first_and_by_what_they_are(scored_table, scoring):
    for number in (2, 3):
        scored_table.runs.start(scoring.run(f"joint-toy-{number}", kind="train", method="joint", parent="score-toy-1"))
    assert [r.run_id for r in scored_table.runs.all()] == ["joint-toy-3", "joint-toy-2", "score-toy-1"]
    assert scored_table.runs.find(kind="score", status="done").run_id == "score-toy-1"
    assert scored_table.runs.find(kind="train", status=None).run_id == "joint-toy-3"


@pytest.mark.parametrize(
    ("arguments", "where", "message", "hint"),
    [
        (["score-toy-l"], {}, "unknown run 'score-toy-l'", "did you mean 'score-toy-1'"),
        ([], {"kind": "train", "method": "iprm"}, "no run with kind train, method iprm in", "curate score"),
        (["score-toy-1"], {"kind": "train"}, "'score-toy-1' is not one with kind train", "curate runs"),
    ],
)
def test_a_run_that_is_not_there_is_explained(scored_table, arguments, where, message, hint):
    with pytest.raises(CurateError) as error:
        scored_table.runs.find(*arguments, **where)
    assert message in error.value.message and hint in error.value.hint


def test_where_no_run_is_done_the_one_to_go_on_with_is_named(scored_table, scoring):
    scored_table.runs.start(scoring.run("joint-toy-1", kind="train", method="joint", parent="score-toy-1"))
    with pytest.raises(CurateError, match="no run with kind train, status done") as error:
        scored_table.runs.find(kind="train", status="done")
    assert "`curate train --resume --run joint-toy-1`" in error.value.hint
    with pytest.raises(CurateError) as error:
        scored_table.runs.find(kind="train", status="done", method="iprm")
    assert "--resume" not in error.value.hint
