"""The queue asks what teaches most, and the report says how many claims were right."""

from __future__ import annotations

import pytest

from curate.store.snapshot import ASKED_ONLY, LEFT_OUT
from curate.view.review import wilson


def test_wilson_by_hand():
    """Newcombe 1998: 81 of 263 gives 0.2553 to 0.3662; nothing of 10 gives 0 to 0.2775."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 10) == pytest.approx((0, 0.2775), abs=5e-5)
    assert wilson(0, 0) is None


def test_claims_by_uncertainty_claims_at_random_and_others_come_in_turn(browser, page):
    queue = browser.get("/api/review").json()["queue"]
    assert [drawn for _, drawn in queue[:3]] == ["uncertain", "claimed", "unclaimed"]
    assert len({i for i, _ in queue}) == len(queue)
    p = dict(page.snapshot.ask("SELECT sample_id, p_imbalanced FROM samples WHERE gap IS NOT NULL"))
    random = {i for i, drawn in queue if drawn == "claimed"}
    others = sorted((abs(v - 0.5), i) for i, v in p.items() if v > 0.5 and i not in random)
    assert [i for i, drawn in queue if drawn == "uncertain"] == [i for _, i in others[:8]] != []
    assert all((p[i] > 0.5) == (drawn != "unclaimed") for i, drawn in queue)


def test_what_was_marked_is_not_asked_again_and_is_counted(browser, page):
    queue = browser.get("/api/review").json()["queue"]
    answers = {"uncertain": "keep", "claimed": "broken:visual", "unclaimed": "fix_label"}
    for k, (sample_id, drawn) in enumerate(queue[:3]):
        body = {"mark_id": f"m{k}", "sample_id": sample_id, "mark": answers[drawn], "drawn": drawn}
        browser.post("/api/mark", json={"marks": [body]})
    found = browser.get("/api/review").json()
    assert not {i for i, _ in queue[:3]} & {i for i, _ in found["queue"]}
    first, second = ((page.snapshot.ask("SELECT hash(?)", [i])[0][0]) for i, _ in queue[:2])
    (claim,) = found["claims"]
    assert (claim["name"], claim["seen"], claim["right"]) == ("imbalanced", 2, 1)
    assert (claim["random"], claim["random_right"]) == (1 + (first < second), 1)
    assert claim["random_interval"] == pytest.approx(wilson(claim["random_right"], claim["random"]))
    assert (found["missed"]["random"], found["missed"]["random_right"]) == (1, 1)


def test_drop_and_unsure_answer_nothing(browser):
    (sample_id, _), *_ = browser.get("/api/review").json()["queue"]
    for k, mark in enumerate(("unsure", "drop")):
        browser.post("/api/mark", json={"marks": [{"mark_id": str(k), "sample_id": sample_id, "mark": mark}]})
        assert browser.get("/api/review").json()["claims"][0]["seen"] == 0


def test_claims_of_broken_modalities_are_judged_by_modality(scored_table):
    """A claim that the picture is broken is confirmed by that alone."""
    from curate.store.marks import Mark
    from curate.view.session import Page

    run = scored_table.runs.find(kind="score")
    with scored_table.db.open(write=True) as con:
        for m, p in (("audio", "0"), ("visual", "(sample_id < 's003')::INTEGER * 0.9")):
            con.execute(
                f"INSERT INTO usability_here BY NAME SELECT '{run.run_id}' AS run_id, sample_id, '{m}' AS modality, "
                f"0.5 AS usability, {p} AS p_broken, 0.1 AS contradiction, 0 AS p_swapped FROM gap"
            )
    given = {"s000": "broken:visual", "s001": "broken:audio", "s002": "keep"}
    scored_table.marks.write("toy", [Mark(mark_id=i, sample_id=i, mark=m) for i, m in given.items()], "x")
    page = Page(scored_table, run, "x")
    view = set(scored_table.query("SELECT * FROM samples")[0]) - {*LEFT_OUT, *ASKED_ONLY}
    assert page.snapshot.columns.keys() == view | {"mark_drawn", "fitted_audio_visual"}, "each once"
    assert page.review.near.count("p_broken_audio") == 1
    broken, denied = page.review.report()["claims"]
    page.snapshot.close()
    assert (broken["name"], broken["claims"], broken["seen"], broken["right"]) == ("broken", 3, 3, 1)
    assert denied["claims"] == broken["random"] == 0 and broken["interval"] == pytest.approx(wilson(1, 3))
