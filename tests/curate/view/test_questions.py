"""What the page shows of a question is what the rows say that fulfil it."""

from __future__ import annotations

import math
import shutil
from urllib.parse import urlencode

import pytest

from curate.store.store import Store
from curate.view.questions import Question

from .conftest import CLASSES, COUNT, HOSTILE, claim, sample_id

SQUARE = "p_audio:p_visual:0.7,0.5,0.9,0.5,0.9,0.7,0.7,0.7"


@pytest.fixture
def page(shared_page):
    """One page for all tests here, which change nothing of it."""
    return shared_page


@pytest.fixture
def store(page):
    """Its table."""
    return page.store


@pytest.fixture
def rows(store):
    """{id: row} of the view `samples`."""
    columns, found = store.query("SELECT * FROM samples")
    return {r[columns.index("sample_id")]: dict(zip(columns, r, strict=True)) for r in found}


QUESTIONS = {
    "all": ([], lambda r: True),
    "range": ([("r.gap", "0.2,0.6")], lambda r: r["gap"] is not None and 0.2 <= r["gap"] <= 0.6),
    "class": ([("in.label_name", "bark")], lambda r: r["label_name"] == "bark"),
    "hostile class": ([("in.label_name", HOSTILE)], lambda r: r["label_name"] == HOSTILE),
    "two values": ([("in.split", "test"), ("in.split", "val")], lambda r: r["split"] == "test"),
    "no value": ([("in.mark", "∅")], lambda r: True),
    "text": ([("q", "CLIP01")], lambda r: "clip01" in r["sample_id"]),
    "quote": ([("q", "'")], lambda r: False),
    "where": ([("where", "gap > 0.3 OR split = 'test' -- both")], 
              lambda r: (r["gap"] or 0) > 0.3 or r["split"] == "test"),
    "lasso": ([("lasso", SQUARE)], 
              lambda r: r["gap"] is not None and 0.7 < r["p_audio"] < 0.9 and 0.5 <= r["p_visual"] < 0.7),
    "several": ([("r.gap", "0,1"), ("in.label_name", "bark"), ("q", "clip")],
                lambda r: (r["gap"] or -1) >= 0 and r["label_name"] == "bark" and "clip" in r["sample_id"]),
}  # fmt: skip


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_view_counts_the_samples_that_fulfil_the_question(browser, rows, name):
    asked, fulfils = QUESTIONS[name]
    wanted = {i for i, row in rows.items() if fulfils(row)}
    assert name in ("quote",) or wanted
    found = browser.get("/api/summary", params=asked).json()
    scored = {i for i in wanted if rows[i]["gap"] is not None}
    assert found["total"] == COUNT and found["count"] == len(wanted)
    assert sum(c for *_, c in found["scatter"]["cells"]) == sum(c for *_, c in found["hist"]["cells"]) == len(scored)
    assert {p[0] for p in found["points"]} == scored
    for column, bars in found["bars"].items():
        assert sum(all_ for _, all_, _ in bars["rows"]) == COUNT, column
        for value, _, own in bars["rows"]:
            assert own == sum(("∅" if rows[i][column] is None else rows[i][column]) == value for i in wanted)
    page = browser.get(f"/api/page?{urlencode([*asked, ('rows', 100)])}").json()
    place = page["columns"].index("sample_id")
    assert {row[place] for row in page["rows"]} == wanted


def test_the_kept_count_at_each_step_is_that_of_the_rows(browser, rows):
    found = browser.get("/api/summary", params=[("in.label_name", "bark")]).json()
    scored = [r for r in rows.values() if r["p_balanced"] is not None]
    for step in (0, 40, 100, 160, 200):
        kept = [r for r in scored if math.floor(r["p_balanced"] * 200 + 1e-9) >= step]
        assert sum(n for k, n, _ in found["kept"] if k >= step) == len(kept)
        assert sum(c for k, _, c in found["kept"] if k >= step) == sum(r["label_name"] == "bark" for r in kept)


def test_pages_follow_the_order_and_meet_without_a_gap(browser, rows):
    asked = {"sort": "gap", "desc": "1"}
    pages = [browser.get("/api/page", params={**asked, "start": k, "rows": 16}).json() for k in (0, 16, 32, 48)]
    ids = [row[pages[0]["columns"].index("sample_id")] for page in pages for row in page["rows"]]
    key = {i: (r["gap"] is None, -(r["gap"] or 0), i) for i, r in rows.items()}
    assert ids == sorted(rows, key=key.__getitem__)


@pytest.mark.parametrize("sort", ["gap", "sample_id", "label_name"])
@pytest.mark.parametrize("desc", ["0", "1"])
def test_what_comes_after_a_sample_is_the_same_whether_the_sample_is_still_asked_for_or_not(browser, rows, sort, desc):
    def ids(**more):
        found = browser.get("/api/page", params={"sort": sort, "desc": desc, "rows": 100, **more}).json()
        return [row[found["columns"].index("sample_id")] for row in found["rows"]], found["start"]

    every, _ = ids()
    assert len(every) == COUNT
    for i, own in enumerate(every):
        assert ids(after=own) == (every[i + 1 :], i + 1)
        assert ids(after=own, where=f"sample_id <> '{own}'") == (every[i + 1 :], i)
    assert ids(after="no such sample") == (every, 0)


def test_zooming_narrows_the_scatter_alone(browser, rows):
    found = browser.get("/api/summary", params={"view": "0.7,0.8,0,1"}).json()
    inside = [r for r in rows.values() if r["gap"] is not None and 0.7 <= r["p_audio"] <= 0.8]
    assert found["count"] == COUNT and len(found["points"]) == len(inside) > 0


@pytest.mark.parametrize(
    "asked",
    [
        {"where": "gap > 0.5; DROP TABLE samples"},
        {"where": "gap > 0.5) UNION SELECT 1 --"},
        {"where": "no_such_column = 1"},
        {"where": "sample_id IN (SELECT column0 FROM read_csv('/etc/passwd'))"},
        {"where": "gap >"},
        {"r.sample_id": "0,1"},
        {"r.gap": "a,b"},
        {"r.gap": "0"},
        {"r.gap": "nan,1"},
        {"in.no_such": "x"},
        {"lasso": "p_audio:p_visual:0,0,1"},
        {"lasso": "p_audio"},
        {"x": "sample_id"},
        {"sort": "gap; DROP TABLE samples"},
        {"view": "1,0,1,0"},
    ],
)
def test_what_cannot_be_asked_is_refused_in_words_and_harms_nothing(browser, asked):
    answer = browser.get("/api/summary", params=asked)
    assert answer.status_code == 400 and answer.json()["message"] and "Traceback" not in answer.text
    assert browser.get("/api/summary").json()["count"] == COUNT


def test_a_condition_can_neither_write_nor_see_the_table_it_came_from(browser, page, store):
    for where in ("(SELECT count(*) FROM run) > 0", "(SELECT count(*) FROM source.run) > 0"):
        assert browser.get("/api/summary", params={"where": where}).status_code == 400
    assert (
        browser.get("/api/summary", params={"where": "sample_id IN (SELECT sample_id FROM findings)"}).json()["count"]
        == 0
    )


def test_a_question_that_takes_too_long_is_ended(browser, page, monkeypatch):
    monkeypatch.setattr(page.snapshot, "patience", 0.3)
    slow = (
        "(SELECT count(*) FROM range(100000) a, range(100000) b, range(100000) c WHERE a.range * b.range > c.range) > 0"
    )
    answer = browser.get("/api/summary", params={"where": slow})
    assert answer.status_code == 400 and "took longer" in answer.json()["message"]
    assert browser.get("/api/summary").status_code == 200


def test_names_come_back_as_they_are(browser):
    about = browser.get("/api/about").json()
    assert set(about["classes"]) == set(CLASSES)
    for i in (5, 6):
        assert browser.get("/api/sample", params={"id": sample_id(i)}).json()["values"]["sample_id"] == sample_id(i)
    assert browser.get("/api/sample", params={"id": "nobody"}).status_code == 400


def test_what_is_shown_is_stored_as_a_selection_of_the_scored_training_samples(browser, store, rows):
    answer = browser.post("/api/select", json={"name": "barks", "question": "in.label_name=bark&r.gap=0,1"})
    found = store.selections.find("barks")
    wanted = {i for i, r in rows.items() if r["label_name"] == "bark" and (r["gap"] or -1) >= 0}
    assert set(found.sample_ids) == wanted and answer.json()["kept"] == len(wanted)
    assert found.candidates == COUNT - 1 and found.run_id == "score-preds-1"
    everything = browser.post("/api/select", json={"name": "all", "question": ""}).json()
    assert (everything["kept"], everything["shown"]) == (COUNT - 1, COUNT)
    again = browser.post("/api/select", json={"name": "barks", "question": ""})
    assert again.status_code == 400 and "--replace" in again.json()["hint"]
    assert browser.post("/api/select", json={"name": "none", "question": "q=zzz"}).status_code == 400
    assert browser.post("/api/select", json={"name": " ", "question": ""}).status_code == 400


def test_a_condition_may_name_selections_and_all_columns_but_those_of_json(browser, store, rows):
    asked = {"name": "chosen", "question": "in.label_name=bark"}
    count = browser.post("/api/select", json=asked).json()["kept"]
    shown = lambda where: browser.get("/api/summary", params={"where": where}).json()["count"]  # noqa: E731
    assert shown("list_contains(selections, 'chosen')") == count > 0
    assert browser.post("/api/select", json=asked | {"question": "r.gap=0,1&q=clip", "replace": True}).json()["kept"]
    assert shown("list_contains(selections, 'chosen')") == len(store.selections.find("chosen").sample_ids) != count
    assert shown("label = 0 AND run_id = 'score-preds-1'") == sum(r["label"] == 0 for r in rows.values())
    page = browser.get("/api/page", params={"start": 0, "rows": 1}).json()
    assert "selections" not in page["columns"] and len(page["columns"]) == len(page["rows"][0])


def test_two_lassos_of_as_many_corners_are_two_rules(browser, store):
    ask = lambda low: f"lasso=p_audio:p_visual:{low},0,1,0,1,1,{low},1"  # noqa: E731
    first = browser.post("/api/select", json={"name": "drawn", "question": ask(0.2)})
    assert first.status_code == 200
    kept = store.selections.find("drawn")
    assert "p_audio and p_visual: 0.2,0 1,0 1,1 0.2,1" in kept.rule
    assert browser.post("/api/select", json={"name": "drawn", "question": ask(0.6)}).status_code == 400
    assert set(store.selections.find("drawn").sample_ids) == set(kept.sample_ids)
    assert browser.post("/api/select", json={"name": "drawn", "question": ask(0.6), "replace": True}).json()["kept"]


def test_an_older_run_is_shown_with_its_own_numbers(looked_at, tmp_path):
    from curate.predictions.score import score_predictions
    from curate.store.snapshot import Snapshot

    store = Store(shutil.copy(looked_at / "curate.duckdb", tmp_path))
    first = store.runs.find("score-preds-1")
    score_predictions(store, [str(looked_at / "preds.csv")], [{}, {"score": {"gap": "kl"}}])
    second = store.runs.find(kind="score")
    assert second.run_id == "score-preds-2"
    of = {}
    for run in (first, second):
        snapshot = Snapshot(store, run)
        of[run.run_id] = snapshot.ask("SELECT sample_id, gap, p_balanced FROM samples ORDER BY 1")
        snapshot.close()
    assert of["score-preds-2"] == store.rows("SELECT sample_id, gap, p_balanced FROM samples ORDER BY 1")
    assert len(of["score-preds-1"]) == COUNT and of["score-preds-1"] != of["score-preds-2"]


def test_a_point_says_what_is_claimed_of_its_sample(looked_at, tmp_path, browser):
    """Wrong labels and swapped clips too, which the review asks about; not where nothing was claimed."""
    from curate.view.session import Page

    assert not any(any(p[4:]) for p in browser.get("/api/summary").json()["points"])
    claim(store := Store(shutil.copy(looked_at / "curate.duckdb", tmp_path)))
    page = Page(store, store.runs.find(kind="score"), "somebody")
    points = {p[0]: p[4:] for p in page.answers.summary(Question(x="p_audio", y="p_visual"))["points"]}
    wrong = {i for (i,) in page.snapshot.ask("SELECT sample_id FROM samples WHERE p_mislabelled > 0.5")}
    page.snapshot.close()
    assert {i for i, (*_, denied) in points.items() if denied} == wrong and len(wrong) == 7
    assert [i for i, (_, _, swapped, _) in points.items() if swapped] == ["clip010"]
    assert points["clip010"][2:] == ("visual", False)
