"""Tables of several machines are brought together: everything once, nothing of what is here changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from curate.comparison.plan import Row
from curate.errors import CurateError
from curate.store.marks import Mark
from curate.store.merging import merge
from curate.store.selections import Selection
from curate.store.store import Store

VIEWS = ("prediction", "class_probability", "gap", "posterior", "mixture", "epoch", "guard", "usability")


def select(table: Store, run_id: str, name: str, count: int) -> None:
    ids = table.rounds.read(run_id).sample_ids[:count]
    table.selections.write(Selection(name, run_id, f"the first {count}", ids, 60))


def content(table: Store, run_id: str) -> dict[str, list[tuple[object, ...]]]:
    """The rows of a run in every table and view, without its name."""
    by_run = [(v, f"SELECT * EXCLUDE (run_id) FROM {v} WHERE run_id = '{run_id}' ORDER BY ALL") for v in VIEWS]
    facts = f"SELECT * FROM sample WHERE data_id = (SELECT data_id FROM run WHERE run_id = '{run_id}') ORDER BY ALL"
    return {name: table.query(sql)[1] for name, sql in [*by_run, ("sample", facts)]}


@pytest.fixture
def other(tmp_path: Path, predictions, scoring) -> Store:
    """Another machine's table: a scored run of the same name as here, of other seeds and data, and a training."""
    (tmp_path / "there").mkdir()
    table = Store(tmp_path / "there" / "curate.duckdb")
    scored = scoring.write(table, predictions(seed=5, n=40), seed=1, data_id="toy-other")
    trained = scoring.run("adaptive-toy-1", kind="train", method="adaptive", parent=scored.run_id, seed=1)
    table.runs.start(trained)
    table.epochs.write(trained.run_id, 1, [("test", "fused", "accuracy", 0.75)])
    table.runs.finish(trained.run_id, "done")
    return table


def test_runs_of_another_table_are_added_under_free_names(scored_table, other) -> None:
    before, theirs = content(scored_table, "score-toy-1"), content(other, "score-toy-1")
    assert before != theirs
    done = merge(scored_table, other.path)
    assert done.runs == {"score-toy-1": "score-toy-2", "adaptive-toy-1": "adaptive-toy-1"}
    assert done.renamed == {"score-toy-1": "score-toy-2"}
    assert content(scored_table, "score-toy-1") == before
    assert content(scored_table, "score-toy-2") == theirs
    trained = scored_table.runs.find("adaptive-toy-1")
    assert (trained.parent, trained.seed, trained.status) == ("score-toy-2", 1, "done")
    assert scored_table.query("SELECT value FROM results WHERE run_id = 'adaptive-toy-1'")[1] == [(0.75,)]
    assert content(other, "score-toy-1") == theirs, "the other is unchanged"


def test_merging_twice_changes_nothing(scored_table, other) -> None:
    select(other, "score-toy-1", "balanced", 7)
    other.marks.write("toy", [Mark(mark_id="a", sample_id="s001", mark="keep")], "me")
    merge(scored_table, other.path)
    numbers = {t: scored_table.query(f"SELECT * FROM {t} ORDER BY ALL")[1] for t in ("run", "part", "item", "mark")}
    again = merge(scored_table, other.path)
    assert (again.runs, again.selections, again.marks, again.cells) == ({}, {}, 0, 0)
    assert again.known == {"score-toy-1": "score-toy-2", "adaptive-toy-1": "adaptive-toy-1"}
    for name, rows in numbers.items():
        assert scored_table.query(f"SELECT * FROM {name} ORDER BY ALL")[1] == rows
    select(other, "score-toy-1", "fewer", 3)
    assert merge(scored_table, other.path).selections == {"fewer": "fewer"}, "what is new there comes later"
    assert scored_table.selections.find("fewer").run_id == "score-toy-2"


def test_a_copy_of_the_table_brings_what_it_has_more(scored_table, predictions, scoring, tmp_path) -> None:
    copy = Store(shutil.copy(scored_table.path, tmp_path / "copy.duckdb"))
    scoring.write(copy, predictions(seed=3), "score-toy-2", seed=2)
    before = scored_table.query("SELECT count(*) FROM item")[1][0][0]
    done = merge(scored_table, copy.path)
    assert (done.known, done.runs) == ({"score-toy-1": "score-toy-1"}, {"score-toy-2": "score-toy-2"})
    assert scored_table.query("SELECT count(*) FROM sample")[1] == [(62,)], "the same data set is here once"
    assert scored_table.query("SELECT count(*) FROM item")[1][0][0] == before + 62
    assert content(scored_table, "score-toy-2") == content(copy, "score-toy-2")


def test_a_selection_of_the_same_name_keeps_both(scored_table, other) -> None:
    select(scored_table, "score-toy-1", "balanced", 5)
    select(other, "score-toy-1", "balanced", 7)
    assert merge(scored_table, other.path).selections == {"balanced": "balanced-1"}
    ours, theirs = (scored_table.selections.find(name) for name in ("balanced", "balanced-1"))
    assert (ours.run_id, len(ours.sample_ids), theirs.run_id, len(theirs.sample_ids)) == (
        *("score-toy-1", 5),
        *("score-toy-2", 7),
    )


def test_decisions_count_in_the_order_in_which_they_were_made(scored_table, other) -> None:
    def decide(table: Store, mark_id: str, mark: str, at: int) -> None:
        table.marks.write("toy", [Mark(mark_id=mark_id, sample_id="s001", mark=mark)], "me")
        with table.db.open(write=True) as con:
            con.execute("UPDATE mark SET made = make_timestamp(?) WHERE mark_id = ?", [at, mark_id])

    decide(scored_table, "early", "keep", 1)
    decide(scored_table, "late", "drop", 3)
    decide(scored_table, "both", "unsure", 4)
    decide(other, "between", "fix_label", 2)
    decide(other, "both", "unsure", 4)
    other.marks.withdraw("both")
    assert merge(scored_table, other.path).marks == 1
    found = [(number, mark_id) for number, mark_id, *_ in scored_table.marks.all("toy")]
    assert found == [(1, "early"), (2, "between"), (3, "late")], "what was taken back there is taken back"


def test_a_comparison_gets_the_cells_that_it_lacks(scored_table, other) -> None:
    row = Row("adaptive", "adaptive")
    scored_table.comparisons.begin("c", "toy", [row], [0, 1])
    scored_table.comparisons.fill("c", "toy", "adaptive", 0, "score-toy-1")
    other.comparisons.begin("c", "toy", [row], [0, 1, 2])
    other.comparisons.fill("c", "toy", "adaptive", 0, "adaptive-toy-1")
    other.comparisons.fill("c", "toy", "adaptive", 1, "adaptive-toy-1")
    assert merge(scored_table, other.path).cells == 2
    cells = {cell.seed: cell.run_id for cell in scored_table.comparisons.find("c")}
    assert cells == {0: "score-toy-1", 1: "adaptive-toy-1", 2: None}, "a result that is here stays"


def test_what_is_not_done_is_left_with_what_came_from_it(scored_table, other, scoring) -> None:
    other.runs.start(scoring.run("score-toy-2", seed=3))
    for name, parent in (("adaptive-toy-2", "score-toy-2"), ("adaptive-toy-3", "adaptive-toy-2")):
        other.runs.start(scoring.run(name, kind="train", method="adaptive", parent=parent))
        other.runs.finish(name, "done")
    done = merge(scored_table, other.path)
    assert done.left == {
        "score-toy-2": "its status is killed",
        "adaptive-toy-2": "score-toy-2, which it came from, was left too",
        "adaptive-toy-3": "adaptive-toy-2, which it came from, was left too",
    }
    assert [r.run_id for r in scored_table.runs.all(method="adaptive")] == ["adaptive-toy-1"]
    other.runs.finish("score-toy-2", "interrupted")
    assert merge(scored_table, other.path).left["score-toy-2"] == "its status is interrupted"
    other.runs.finish("score-toy-2", "done")
    assert set(merge(scored_table, other.path).runs) == {"score-toy-2", "adaptive-toy-2", "adaptive-toy-3"}


def test_checkpoints_come_with_their_runs_or_not(scored_table, other, tmp_path) -> None:
    folder = other.path.with_suffix(".runs") / "score-toy-1"
    folder.mkdir(parents=True)
    (folder / "last.pt").write_bytes(b"weights")
    copy = Store(shutil.copy(scored_table.path, tmp_path / "bare.duckdb"))
    merge(copy, other.path, weights=False)
    assert not copy.path.with_suffix(".runs").exists()
    merge(scored_table, other.path)
    own = scored_table.path.with_suffix(".runs") / "score-toy-2"
    assert (own / "last.pt").read_bytes() == b"weights"
    assert scored_table.runs.find("score-toy-2").folder == str(own)


def test_nothing_is_left_behind_when_it_fails(scored_table, other, monkeypatch) -> None:
    folder = other.path.with_suffix(".runs") / "score-toy-1"
    folder.mkdir(parents=True)
    (folder / "last.pt").write_bytes(b"weights")
    with scored_table.db.open(write=True) as con:  # a row that no column of the other fits
        con.execute("ALTER TABLE mixture ADD COLUMN needed INTEGER DEFAULT 1")
        con.execute("ALTER TABLE mixture ALTER COLUMN needed SET NOT NULL")
        con.execute("ALTER TABLE mixture ALTER COLUMN needed DROP DEFAULT")
    before = scored_table.query("SELECT * FROM run")[1]
    with pytest.raises(Exception, match="needed"):
        merge(scored_table, other.path)
    assert scored_table.query("SELECT * FROM run")[1] == before
    assert not any(scored_table.path.with_suffix(".runs").glob("*/last.pt"))


def test_a_new_table_takes_over_everything(other, tmp_path) -> None:
    fresh = Store(tmp_path / "fresh.duckdb")
    assert merge(fresh, other.path).renamed == {}
    assert content(fresh, "score-toy-1") == content(other, "score-toy-1")
    assert fresh.query("SELECT * FROM samples ORDER BY ALL") == other.query("SELECT * FROM samples ORDER BY ALL")


def test_a_run_can_be_removed_after_it_was_taken_over(scored_table, other) -> None:
    before = scored_table.query("SELECT count(*) FROM item")[1]
    merge(scored_table, other.path)
    scored_table.remove_run("adaptive-toy-1")
    scored_table.remove_run("score-toy-2")
    assert content(scored_table, "score-toy-1")["prediction"]
    assert scored_table.query("SELECT count(*) FROM item WHERE p_true IS NOT NULL")[1] == [(60,)]
    assert before <= scored_table.query("SELECT count(*) FROM item")[1], "a data set stays, as after `score`"


def test_what_cannot_be_taken_over_is_said(scored_table, tmp_path) -> None:
    with pytest.raises(CurateError, match="the table itself"):
        merge(scored_table, scored_table.path)
    with pytest.raises(CurateError, match="no sample table at"):
        merge(scored_table, tmp_path / "nowhere.duckdb")
    (tmp_path / "text.duckdb").write_text("not a table" * 100)
    with pytest.raises(CurateError, match="cannot open"):
        merge(scored_table, tmp_path / "text.duckdb")
