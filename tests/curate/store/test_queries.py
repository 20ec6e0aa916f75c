"""What people ask of the table: the named views by hand, the documentation's ten questions, and local files."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pytest

from curate.errors import CurateError
from curate.store.store import Store
from curate.types import Sample

PAGE = (Path(__file__).parents[3] / "docs/howto/sql.md").read_text(encoding="utf-8")
VIEWS = ("samples", "by_class", "by_modality", "failures", "history", "results")


def questions() -> list[str]:
    """The queries of the page's section, each with the question above it as a comment."""
    (section,) = re.findall(r"^## Ten questions$(.*?)^## ", PAGE, re.M | re.S)
    (block,) = re.findall(r"^```sql\n(.*?)^```", section, re.M | re.S)
    return [q.strip() for q in block.split(";") if q.strip()]


def put(table: Store, statement: str) -> None:
    """Change rows behind the table's back."""
    with duckdb.connect(str(table.path)) as con:
        con.execute(statement)


def tell_labels(table: Store, wrong: str) -> None:
    """Store that the label of one sample, or of none, is probably wrong."""
    ids, modalities = table.rounds.read("score-toy-1").sample_ids, table.runs.find("score-toy-1").modalities
    denied = np.zeros((len(ids), len(modalities) + 1))
    table.usability.write_labels("score-toy-1", ids, modalities, denied, np.where(ids == wrong, 0.9, 0.1))


@pytest.fixture(scope="module")
def full_file(scored_file, predictions, scoring, tmp_path_factory) -> Path:
    """The file of `full`, written once; copy it, never open it."""
    scored_table = Store(shutil.copy(scored_file, tmp_path_factory.mktemp("full")))
    broken = Sample(sample_id="zz-bad", label="class_1", split="train", inputs={})
    scored_table.samples.write("toy-0123456789", [broken], ("class_0", "class_1"), ["silent"], ["audio: all zero"])
    scored_table.selections.make("score-toy-1", threshold=0.5, name="clean")
    for seed, rate, name in ((0, 0.1, "joint-toy-0"), (1, 0.1, "joint-toy-1"), (0, 0.3, "joint-toy-trial")):
        about = {"kind": "train", "method": "joint", "parent": "score-toy-1", "seed": seed, "note": "control"}
        run = scoring.run(name, config={"method": {}, "optim": {"lr": rate}, "train": {"epochs": 4}}, **about)
        scored_table.runs.start(run)
        scored_table.epochs.write(run.run_id, 4, [("test", "fused", "accuracy", 0.5 + seed / 4)])
        scored_table.runs.finish(run.run_id, "done")
    p = predictions(seed=2)
    found = scored_table.rounds.read("score-toy-1")
    scored_table.rounds.write("joint-toy-1", 1, p, found.gaps, found.fits, found.p_balanced, "prob")
    scored_table.epochs.write("score-toy-1", 1, [("val", m, "accuracy", 0.5) for m in p.probs])
    put(scored_table, "UPDATE item_here SET group_id = 'speaker ' || (label % 2) WHERE split = 'train'")
    put(scored_table, "UPDATE item_here SET predicted = ['class_2' for p in predicted] WHERE sample_id = 's000'")
    tell_labels(scored_table, "")
    return scored_table.path


@pytest.fixture
def full(full_file, tmp_path) -> Store:
    """The scored table with a newer run, groups, an item that cannot be used, a selection, and three trainings."""
    return Store(shutil.copy(full_file, tmp_path))


def test_there_are_ten_questions():
    assert len(questions()) == 10 and all(q.startswith("-- ") and q.splitlines()[0].endswith("?") for q in questions())


@pytest.mark.parametrize("question", questions(), ids=lambda q: q.splitlines()[0].strip("- ?"))
def test_a_question_of_the_page_is_answered(full, question):
    columns, rows = full.query(question)
    assert rows and len(columns) > 1
    assert all(any(row[j] is not None for row in rows) for j in range(len(columns))), "a column without any value"


def test_trials_with_other_settings_are_no_further_seeds(full):
    columns, rows = full.query(questions()[-1])
    found = [dict(zip(columns, row, strict=True)) for row in rows]
    assert [(row["rate"], row["seeds"], row["mean"]) for row in found] == [("0.1", 2, 0.625), ("0.3", 1, 0.5)]


def test_labels_that_the_fusion_agrees_with_are_not_called_doubtful(full):
    _, rows = full.query(next(q for q in questions() if "labels may be wrong" in q))
    assert [row[:3] for row in rows] == [("s000", "class_0", "class_2")]


def test_labels_that_are_probably_wrong_come_first_though_the_model_knows_them_by_heart(full):
    tell_labels(full, "s001")
    _, rows = full.query(next(q for q in questions() if "labels may be wrong" in q))
    assert [(row[0], row[-1]) for row in rows] == [("s001", 0.9), ("s000", 0.1)]


def test_by_class_by_hand(full):
    columns, rows = full.query("SELECT * FROM by_class ORDER BY label_name")
    assert [r[:4] for r in rows] == [("toy", "score-toy-1", f"class_{k}", 20) for k in range(3)]
    found = full.rounds.read("score-toy-1")
    for k, row in enumerate(dict(zip(columns, r, strict=True)) for r in rows):
        own = np.arange(60) % 3 == k
        gap = found.gaps.prob[own, 0]
        assert row["mean_gap"] == pytest.approx(gap.mean(), abs=1e-12)
        assert row["mean_kl_gap"] == pytest.approx(found.gaps.kl[own, 0].mean(), abs=1e-12)
        assert row["mean_p_imbalanced"] == pytest.approx(1 - found.p_balanced[own, 0].mean(), abs=1e-12)
        assert (row["ahead_audio"], row["ahead_visual"]) == ((gap > 0).mean(), (gap < 0).mean())


def test_by_modality_by_hand(full, predictions):
    columns, rows = full.query("SELECT * FROM by_modality ORDER BY modality")
    p, gap = predictions(), full.rounds.read("score-toy-1").gaps.prob[:, 0]
    ahead = {"audio": (gap > 0).mean(), "visual": (gap < 0).mean(), "fused": None}
    assert [r[:4] for r in rows] == [("toy", "score-toy-1", m, 60) for m in ("audio", "fused", "visual")]
    for row in (dict(zip(columns, r, strict=True)) for r in rows):
        probs = p.probs[row["modality"]]
        assert row["accuracy"] == pytest.approx((probs.argmax(axis=1) == p.labels).mean())
        assert row["mean_p_true"] == pytest.approx(probs[np.arange(60), p.labels].mean())
        assert row["mean_entropy"] == pytest.approx(-(probs * np.log(probs)).sum(axis=1).mean())
        assert row["ahead"] == ahead[row["modality"]]


def test_a_tie_counts_for_neither_modality(full):
    put(
        full, "UPDATE item_here SET prob_gap = [0] WHERE part IN (SELECT number FROM part WHERE run_id = 'score-toy-1')"
    )
    assert full.query("SELECT DISTINCT ahead FROM by_modality ORDER BY 1")[1] == [(0,), (None,)]
    assert full.query("SELECT DISTINCT ahead_audio, ahead_visual FROM by_class")[1] == [(0, 0)]


def test_failures_are_the_items_that_cannot_be_used(full):
    assert full.query("SELECT * FROM failures")[1] == [
        ("toy", "zz-bad", "train", "class_1", "silent", "audio: all zero")
    ]


def test_the_views_show_the_newest_scored_run_and_keep_data_sets_apart(full, predictions, scoring):
    scoring.write(full, predictions(seed=1), "score-toy-2")
    scoring.write(full, predictions(n=12, modalities=("text", "flow")), "score-new-1", dataset="new", data_id="new-00")
    keys = "SELECT DISTINCT dataset, run_id FROM {} ORDER BY 1"
    for view in ("by_class", "by_modality"):
        assert full.query(keys.format(view))[1] == [("new", "score-new-1"), ("toy", "score-toy-2")]
    ahead = "SELECT DISTINCT ahead_audio IS NULL, ahead_text IS NULL FROM by_class WHERE dataset = '{}'"
    assert full.query(ahead.format("new"))[1] == [(True, False)]
    assert full.query(ahead.format("toy"))[1] == [(False, True)]
    assert full.query("SELECT modality FROM by_modality WHERE dataset = 'new' ORDER BY 1")[1] == [
        ("flow",),
        ("fused",),
        ("text",),
    ]


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_and_every_number_in_it_is_explained(full, view):
    assert full.query(f"SELECT comment IS NOT NULL FROM duckdb_views() WHERE view_name = '{view}'")[1] == [(True,)]
    told = f"SELECT column_name FROM duckdb_columns() WHERE table_name = '{view}' AND comment IS NULL"
    numbers = " AND data_type IN ('DOUBLE', 'BIGINT', 'INTEGER')" if view in ("history", "results") else ""
    assert full.query(told + numbers)[1] == []


@pytest.fixture
def notes(tmp_path, monkeypatch):
    """A file of a user's own, `notes.csv` in the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.csv").write_text("sample_id,note\ns003,click\ns004,fine\n")
    return tmp_path / "notes.csv"


@pytest.mark.parametrize("source", ["'notes.csv'", "read_csv('{path}')"])
def test_files_are_read_only_when_asked_for(scored_table, notes, source):
    query = f"SELECT note, label_name FROM samples JOIN {source.format(path=notes)} USING (sample_id) ORDER BY 1"
    assert scored_table.query(query, allow_files=True)[1] == [("click", "class_0"), ("fine", "class_1")]
    with pytest.raises(CurateError) as error:
        scored_table.query(query)
    assert "--allow-files" in error.value.hint


@pytest.mark.parametrize(
    "sql",
    [
        "COPY (SELECT 1) TO '{folder}/out.csv'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{folder}/out.csv'",
        "EXPORT DATABASE '{folder}/out'",
        "ATTACH '{folder}/other.duckdb' AS other",
        "INSTALL httpfs",
        "LOAD '{folder}/mine.duckdb_extension'",
        "SET enable_external_access = true",
        "DELETE FROM run",
        "CREATE TEMP TABLE mine AS SELECT 1",
        "SELECT * FROM 'https://localhost:9/notes.csv'",
        "SELECT 1; SELECT 2",
    ],
)
def test_files_at_hand_are_read_and_nothing_more(scored_table, notes, sql):
    before = scored_table.path.read_bytes(), set(notes.parent.iterdir())
    with pytest.raises(CurateError) as error:
        scored_table.query(sql.format(folder=notes.parent), allow_files=True)
    assert error.value.hint and "lets a SELECT read" not in error.value.hint and "\n" not in error.value.message
    assert (scored_table.path.read_bytes(), set(notes.parent.iterdir())) == before
