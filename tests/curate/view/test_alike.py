"""Look-alikes are the samples that are nearest in what is known of them; where nothing is, it is said."""

from __future__ import annotations

import duckdb
import numpy as np
import pytest

from curate.datasets.decoded import coarse
from curate.scores.references import save
from curate.scores.usability import Evidence, assess
from curate.view.session import Page

from .conftest import COUNT, sample_id


def found(browser, i=10):
    answer = browser.get("/api/alike", params={"id": f"clip{i:03}"}).json()
    return {one["modality"]: [s["sample_id"] for s in one["samples"]] for one in answer["found"]}, answer["missing"]


def test_neighbours_by_hand_among_the_embeddings_given(browser):
    alike, missing = found(browser)
    assert missing == "" and list(alike) == ["audio", "visual"]
    assert set(alike["audio"]) == {f"clip{i:03}" for i in (7, 8, 9, 11, 12, 13)}
    assert set(alike["audio"][:2]) == {"clip009", "clip011"}
    assert set(alike["visual"]) == {sample_id(i) for i in (4, 6, 8, 12, 14, 16)}


def test_a_sample_that_was_not_scored_is_compared_with_those_that_were(browser):
    alike, _ = found(browser, COUNT - 1)
    assert alike["audio"] == [f"clip{i:03}" for i in range(COUNT - 2, COUNT - 8, -1)]


def test_nothing_is_compared_where_nothing_is_known(store, looked_at, tmp_path):
    with duckdb.connect(str(store.path)) as con:
        con.execute("""UPDATE run SET config = json_merge_patch(config, '{"predictions": {"embeddings": []}}')""")
    page = Page(store, store.runs.find(kind="score"), "x")
    answer = page.alike("clip010")
    page.snapshot.close()
    assert answer["found"] == [] and "Recorder.add" in answer["missing"]


def test_what_the_scoring_pooled_over_is_what_is_shown(store):
    run = store.runs.find(kind="score")
    ids, _ = store.usability.p_broken(run.run_id)
    rng = np.random.default_rng(0)
    looks = {m: rng.normal(size=(len(ids), 5)) for m in run.modalities}
    known = rng.random(len(ids))
    judged = assess(ids, {m: Evidence(known, x, np.empty(0), np.empty((0, 5))) for m, x in looks.items()}, 2)
    place = store.path.with_suffix(".runs") / run.run_id
    place.mkdir(parents=True)
    save(place / "usability.npz", judged.references)
    page = Page(store, run, "x")
    row = ids.tolist().index("clip010")
    for one in page.look_alikes.of("clip010", "train")["found"]:
        pooled = judged.references[one["modality"]].look_alikes.nearest(looks[one["modality"]][[row]], np.array([row]))
        assert one["ids"] == ids[pooled[0]].tolist()[: len(one["ids"])] and len(one["ids"]) >= 6
    page.snapshot.close()


@pytest.mark.parametrize("grey", [0, 200])
def test_the_coarse_content_of_a_picture_by_hand(grey):
    picture = np.full((1, 2, 16, 16, 3), grey, np.uint8)
    picture[0, :, :8, :2] = 100
    seen = coarse(picture).reshape(8, 8)
    assert (seen[:4, 0] == 100).all() and (seen[:, 1:] == grey).all() and (seen[4:, 0] == grey).all()


def test_the_coarse_content_of_a_sound_is_where_its_tone_is():
    seconds = np.arange(8000) / 8000
    tone = np.where(seconds < 0.5, 0, 9000 * np.sin(2 * np.pi * 2500 * seconds)).astype(np.int16)[None]
    seen = coarse(tone).reshape(8, 8)
    assert (seen[:4] == 0).all() and (seen[4:].argmax(axis=1) == 7).all()
    assert coarse(np.zeros((1, 9), np.float32)) is None and coarse(np.zeros((1, 9), np.int32)) is None
