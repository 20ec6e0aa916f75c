"""A decision that was acknowledged is in the table, once; the newest counts, and it can be taken back."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from curate.errors import CurateError
from curate.store.marks import Mark

ROOT = Path(__file__).parents[3]
HOLD = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
MARKING = """
import sys
from curate.store.marks import Mark
from curate.store.store import Store
store, k = Store(sys.argv[1]), 0
while True:
    store.marks.write("preds", [Mark(mark_id=f"{sys.argv[2]}-{k}", sample_id="clip000", mark="keep")], "x")
    print(f"{sys.argv[2]}-{k}", flush=True)
    k += 1
"""


def send(browser, mark_id, sample_id="clip000", **values):
    return browser.post("/api/mark", json={"marks": [{"mark_id": mark_id, "sample_id": sample_id, **values}]})


def marked(store):
    """{id: (mark, new label, note)} of what is marked, from the view."""
    sql = "SELECT sample_id, mark, mark_label, mark_note FROM samples WHERE mark IS NOT NULL OR mark_note IS NOT NULL"
    return {i: rest for i, *rest in store.query(sql)[1]}


def test_a_mark_is_in_the_table_when_the_answer_comes_and_the_newest_counts(browser, store, page):
    assert send(browser, "a", mark="keep").json() == {"saved": ["a"]}
    assert marked(store) == {"clip000": ["keep", None, None]}
    send(browser, "b", mark="fix_label", new_label="bark")
    send(browser, "c", note="a bell")
    assert marked(store) == {"clip000": ["fix_label", "bark", "a bell"]}
    shown = browser.get("/api/summary", params={"in.mark": "fix_label"}).json()
    assert shown["count"] == 1 and shown["points"][0][4] == "fix_label"
    decisions = browser.get("/api/sample", params={"id": "clip000"}).json()["decisions"]
    assert [(d["mark_id"], d["author"]) for d in decisions] == [(i, "somebody") for i in "cba"]


def test_taking_back_brings_the_decision_before_it_back(browser, store):
    for mark_id, mark in (("a", "keep"), ("b", "broken:visual")):
        send(browser, mark_id, mark=mark)
    assert browser.post("/api/withdraw", json={"mark_id": "b"}).json() == {"withdrawn": True}
    assert marked(store) == {"clip000": ["keep", None, None]}
    browser.post("/api/withdraw", json={"mark_id": "a"})
    assert marked(store) == {} and browser.get("/api/summary", params={"in.mark": "keep"}).json()["count"] == 0
    assert store.rows("SELECT count(*) FROM mark") == [(2,)]  # nothing is lost
    assert browser.post("/api/withdraw", json={"mark_id": "none"}).json() == {"withdrawn": False}


def test_an_empty_note_removes_one(browser, store):
    send(browser, "a", note="what")
    send(browser, "b", note="")
    assert marked(store) == {}


def test_a_decision_sent_twice_is_stored_once(browser, store):
    for _ in range(2):
        assert send(browser, "a", mark="drop").json() == {"saved": ["a"]}
    assert store.rows("SELECT mark_id, number FROM mark") == [("a", 1)]


WRONG = (
    {"mark": "perhaps"},
    {"mark": "broken:smell"},
    {},
    {"mark": 3},
    {"note": "x" * 10_001},
    {"mark": "keep", "sample_id": "nobody"},
    {"mark": "keep", "drawn": "by lot"},
    {"mark": "keep", "mark_id": ""},
)


def test_what_is_no_decision_is_refused_and_stores_nothing(browser, store):
    for values in WRONG:
        answer = send(browser, **{"mark_id": "a", **values})
        assert answer.status_code == 400 and answer.json()["message"], values
    for body in ("[]", "{", '{"marks": [1]}', '{"marks": 5}', "\xff"):
        bad = browser.post("/api/mark", content=body, headers={"content-type": "application/json"})
        assert bad.status_code == 400 and bad.json()["message"], body
    assert store.marks.all("preds") == []


def test_marks_survive_runs_and_their_removal_and_are_selected_and_exported(
    browser, store, looked_at, curate, tmp_path
):
    from curate.predictions.score import score_predictions

    send(browser, "a", mark="drop")
    send(browser, "b", "clip001", mark="keep", note='with a , and a "')
    score_predictions(store, [str(looked_at / "preds.csv")], [{}, {"score": {"gap": "kl"}}])
    store.remove_run("score-preds-1")
    assert marked(store) == {"clip000": ["drop", None, None], "clip001": ["keep", None, 'with a , and a "']}
    assert curate("select", "--where", "mark IS DISTINCT FROM 'drop'", "--name", "kept", "--db", store.path).code == 0
    assert "clip000" not in store.selections.find("kept").sample_ids
    assert curate("export", "-o", tmp_path / "x.csv", "--db", store.path).code == 0
    assert "drop" in (tmp_path / "x.csv").read_text()


def test_while_another_process_holds_the_table_the_answer_says_who_and_a_later_try_succeeds(browser, store, page):
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(store.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout.readline() == b"held\n"
    try:
        answer = send(browser, "a", mark="keep")
        assert answer.status_code == 423 and str(other.pid) in answer.json()["message"]
        assert browser.get("/api/summary", params={"q": "clip00"}).json()["count"] == 8
        shown = browser.get("/api/sample", params={"id": "clip000"}).json()
        assert shown["values"]["sample_id"] == "clip000" and str(other.pid) in shown["history_missing"]
    finally:
        other.communicate()
    assert send(browser, "a", mark="keep").status_code == 200 and marked(store)


def test_a_table_that_is_removed_or_replaced_is_not_made_anew(browser, store, tmp_path):
    away = store.path.rename(tmp_path / "away.duckdb")
    answer = send(browser, "a", mark="keep")
    assert answer.status_code == 410 and "not there any more" in answer.json()["message"]
    assert not store.path.exists()
    assert "not there any more" in browser.get("/api/summary").json()["warning"]
    away.rename(store.path)
    assert send(browser, "a", mark="keep").status_code == 200 and marked(store)


def test_marks_that_another_process_makes_are_shown(browser, store):
    time.sleep(0.01)
    store.marks.write("preds", [Mark(mark_id="x", sample_id="clip002", mark="unsure")], "else")
    assert browser.get("/api/summary", params={"in.mark": "unsure"}).json()["count"] == 1


def test_only_known_marks_fit_the_table(store):
    with pytest.raises(CurateError, match="unknown mark"):
        Mark(mark_id="a", sample_id="s", mark="odd").check(["audio"], ["bark", "horn"])
    with pytest.raises(CurateError, match="unknown class 'brak'") as refused:
        Mark(mark_id="a", sample_id="s", mark="fix_label", new_label="brak").check(["audio"], ["bark", "horn"])
    assert "did you mean 'bark'?" in refused.value.hint


def killed(store, kills):
    """The ids that were acknowledged while so many processes that mark were killed, one after another."""
    acknowledged = []
    for k in range(kills):
        process = subprocess.Popen(
            [sys.executable, "-c", MARKING, str(store.path), str(k)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        acknowledged.append(process.stdout.readline().strip())
        time.sleep(0.005 * (k % 7))
        process.kill()
        acknowledged += process.communicate()[0].split()
    return acknowledged


@pytest.mark.long
@pytest.mark.slow
def test_every_acknowledged_mark_is_there_after_kills(store):
    acknowledged = killed(store, 8)
    assert len(acknowledged) >= 8 and all(acknowledged)
    stored = [row[1] for row in store.marks.all("preds")]
    assert set(acknowledged) <= set(stored) and len(stored) == len(set(stored))
    assert len(store.query("SELECT sample_id FROM samples")[1]) == 40
