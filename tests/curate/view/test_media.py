"""Media are those that the table names, from where they lie; no other file of the machine is ever sent."""

from __future__ import annotations

import io
import json
import wave

import duckdb
import numpy as np
import pytest
from PIL import Image

from curate.view.media import picture, spectrogram, waveform
from curate.view.session import Page

from .conftest import HOSTILE, RATE, TONE


def ask(browser, what, sample_id="clip000", modality="audio", **headers):
    return browser.get(f"/media/{what}", params={"id": sample_id, "modality": modality}, headers=headers)


def test_a_file_streams_by_ranges_from_where_it_lies(browser, looked_at):
    whole = (looked_at / "data/tone.wav").read_bytes()
    answer = ask(browser, "file", range="bytes=100-299")
    assert answer.status_code == 206 and answer.content == whole[100:300]
    assert answer.headers["content-range"] == f"bytes 100-299/{len(whole)}"
    assert ask(browser, "file").content == whole
    assert ask(browser, "file", range=f"bytes={len(whole)}-").status_code == 416


def test_a_sample_says_what_of_it_can_be_shown(browser):
    found = {m["modality"]: m for m in browser.get("/api/sample", params={"id": "clip003"}).json()["media"]}
    assert (found["audio"]["kind"], found["audio"]["start"], found["audio"]["end"]) == ("audio", 0.25, 0.5)
    assert found["visual"]["kind"] == "picture" and found["text"] == {
        "modality": "text",
        "kind": "text",
        "text": HOSTILE,
    }
    about = browser.get("/api/about").json()
    assert about["shown"] == ["audio", "visual"] and about["sounds"] == ["audio"]


def test_a_sample_says_which_other_class_the_fusion_preferred_over_the_warm_up(store, page):
    assert page.sample("clip000")["other"] == ""
    rows = [(1, 0.2, -1.0, 1), (2, 0.9, 2.0, 0), (3, 0.9, 2.0, 0)]  # exp(1) * 0.2 is more than 2 exp(-2) * 0.9
    with store.db.open(write=True) as con:
        for epoch, p_true, log_margin, other in rows:
            values = [page.run.run_id, epoch, "clip000", "fused", p_true, log_margin, other, True]
            con.execute(
                "INSERT INTO dynamic_here (run_id, epoch, sample_id, modality, p_true, log_margin, other, correct) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                values,
            )
    assert page.sample("clip000")["other"] == page.run.classes[1]


def test_a_stretch_is_what_is_heard(browser):
    with wave.open(io.BytesIO(ask(browser, "sound", "clip003").content)) as file:
        assert file.getnframes() / file.getframerate() == pytest.approx(0.25, abs=0.01)


def test_a_sound_of_few_hertz_keeps_its_rate_so_that_no_half_of_its_spectrogram_is_empty(browser):
    with wave.open(io.BytesIO(ask(browser, "sound").content)) as file:
        assert file.getframerate() == RATE
    shown = np.asarray(Image.open(io.BytesIO(ask(browser, "spectrogram").content)).convert("L"), float)
    assert shown.mean(1).argmax() == pytest.approx(len(shown) * (1 - 2 * TONE / RATE), abs=4)


def test_a_sound_made_here_is_sent_by_ranges_too(browser):
    whole = ask(browser, "sound", "clip003").content
    part = ask(browser, "sound", "clip003", range="bytes=10-19")
    assert (part.status_code, part.content) == (206, whole[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole)}"
    assert ask(browser, "sound", "clip003", range="bytes=40-").content == whole[40:]


def test_what_is_missing_or_no_medium_says_so(browser):
    for sample_id, words in (("clip004", "does not exist"), ("clip002", "words.wav")):
        (sound,) = [
            m for m in browser.get("/api/sample", params={"id": sample_id}).json()["media"] if m["modality"] == "audio"
        ]
        answer = ask(browser, "spectrogram", sample_id)
        assert answer.status_code == 404 and words in answer.json()["message"]
        assert sample_id == "clip002" or (sound["kind"] == "none" and words in sound["text"])
    assert ask(browser, "file", "nobody").status_code == ask(browser, "file", modality="smell").status_code == 400


def test_a_path_outside_is_served_only_where_the_manifest_names_it(browser, looked_at):
    assert ask(browser, "file", "clip001").content == (looked_at / "other.wav").read_bytes()


@pytest.mark.parametrize(
    "path", ["../secret.wav", "{0}/secret.wav", "/etc/passwd", "../data/../secret.wav", "/dev/zero"]
)
def test_a_table_that_names_other_files_does_not_get_them(store, path, looked_at):
    sources = json.dumps({"audio": {"file": path.format(looked_at)}, "visual": {"file": "../data/grey.png"}})
    with duckdb.connect(str(store.path)) as con:
        con.execute("UPDATE item_here SET sources = ? WHERE sample_id = 'clip000'", [sources])
    page = Page(store, store.runs.find(kind="score"), "x")
    try:
        from starlette.testclient import TestClient

        from curate.view.access import Access
        from curate.view.server import application

        access = Access(8765)
        browser = TestClient(application(page, access), base_url="http://127.0.0.1:8765")
        browser.get("/", params={"token": access.token})
        for what in ("file", "sound", "waveform", "spectrogram", "picture", "frames"):
            answer = ask(browser, what)
            assert answer.status_code == 400 and "outside" in answer.json()["message"]
        (shown,) = [m for m in page.media.describe("clip000") if m["modality"] == "audio"]
        assert shown["kind"] == "none" and "outside" in shown["text"]
        assert ask(browser, "picture", modality="visual").status_code == 200  # within the folder after all
    finally:
        page.snapshot.close()


def test_the_spectrogram_is_brightest_at_the_tone():
    seconds = np.arange(RATE) / RATE
    image = np.asarray(Image.open(io.BytesIO(spectrogram(np.sin(2 * np.pi * TONE * seconds).astype(np.float32), RATE))))
    rows = image.astype(float).sum(axis=(1, 2))
    height = 1 - rows.argmax() / len(rows)
    assert height == pytest.approx(TONE / (RATE / 2), abs=0.02)


def test_the_waveform_has_the_ends_of_each_part():
    drawn = waveform(np.array([0.5, -0.25, 0.0, 0.0], dtype=np.float32), columns=2)
    points = drawn.split('points="')[1].split('"')[0].split()
    assert points == ["0.0,2.0", "300.0,30.0", "300.0,30.5", "0.0,44.5"]  # 30 - 28 p, p a share of the largest


def test_a_small_picture_is_kept_and_frames_stand_side_by_side():
    one = np.zeros((8, 6, 1), np.uint8)
    assert Image.open(io.BytesIO(picture(np.stack([one, one + 255])))).size == (12, 8)
    large = Image.open(io.BytesIO(picture(np.zeros((1, 1000, 500, 3), np.uint8))))
    assert large.size == (160, 320)


def test_predictions_alone_say_how_media_can_be_named(store, looked_at, tmp_path):
    from curate.predictions.score import score_predictions

    score_predictions(store, [str(looked_at / "preds.csv")], [{}, {}], "bare")
    page = Page(store, store.runs.find(kind="score"), "x")
    assert all("--media" in m["text"] or "predictions" in m["text"] for m in page.media.describe("clip000"))
    page.snapshot.close()
