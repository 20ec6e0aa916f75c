from __future__ import annotations

import json
import shutil
from collections import Counter

import pytest

from curate.datasets import find
from curate.datasets.cache import prepare
from curate.errors import CurateError

Sarcasm = find("sarcasm")
FIRST = "840006160660983809"  # of 18 digits: as a float it would end in 808


def make(root, **options):
    return Sarcasm(root, Sarcasm.Options(**{"size": 16, "tokens": 8, **options}))


def test_tweets_are_read_with_both_labels_and_without_telltale_rows(sarcasm):
    data = make(sarcasm)
    assert Counter((s.split, s.label) for s in data.samples) == {
        ("train", "not sarcastic"): 24,
        ("train", "sarcastic"): 24,
        ("val", "not sarcastic"): 5,
        ("val", "sarcastic"): 7,
        ("test", "not sarcastic"): 5,
        ("test", "sarcastic"): 7,
    }
    assert data.samples[0].sample_id == FIRST and data.samples[0].extra == {"hashtag_label": "not sarcastic"}
    disputed = [
        s for s in data.samples if s.extra.get("human_label", s.extra["hashtag_label"]) != s.extra["hashtag_label"]
    ]
    assert [s.split for s in disputed] == ["val", "test"] and {s.label for s in disputed} == {"sarcastic"}
    assert data.notes == ("2 training rows hold a word that gives the answer away and are left out",)


def test_the_hashtag_s_label_and_the_telltale_rows_can_be_had(sarcasm):
    counts = Counter((s.split, s.label) for s in make(sarcasm, labels="hashtag").samples)
    assert counts["test", "sarcastic"] == counts["test", "not sarcastic"] == 6
    everything = make(sarcasm, telltales=True)
    assert Counter(s.split for s in everything.samples)["train"] == 50
    assert not any("left out" in note for note in everything.notes)


def test_media_are_cached_and_a_missing_picture_is_told(sarcasm, tmp_path):
    root = shutil.copytree(sarcasm, tmp_path / "sarcasm")
    (root / "images" / f"{FIRST}.jpg").unlink()
    cache = prepare(make(tmp_path), tmp_path / "cache")  # the folder above is found too
    assert cache.status["visual"][0] == "missing" and cache.usable.sum() == len(cache.sample_ids) - 1
    dark, light = (int(cache.arrays["visual"][row].mean()) for row in (1, 47))
    assert (dark, light) == (pytest.approx(60, abs=3), pytest.approx(180, abs=3))


def test_the_vocabulary_is_that_of_the_training_texts_alone(sarcasm, tmp_path):
    root = shutil.copytree(sarcasm, tmp_path / "sarcasm")
    before = make(root).specs["text"]
    with (root / "text/test2.txt").open("ab") as file:
        file.write(b"['840006160660999999', 'unheard unheard words words', 1, 1]\r\n")
    assert make(root).specs["text"] == before


def test_all_three_layouts_give_the_same_samples(sarcasm, tmp_path):
    data = make(sarcasm, labels="hashtag")
    names = {"train": "train", "val": "valid", "test": "test"}
    table, listed = tmp_path / "table", tmp_path / "json"
    (table / "annotations").mkdir(parents=True)
    listed.mkdir()
    for split, name in names.items():
        own = [(s.sample_id, s.inputs["text"], data.classes.index(s.label)) for s in data.samples if s.split == split]
        lines = ["ImageID\tString\tLabel", *(f"{i}.jpg\t{text}\t{label}" for i, text, label in own)]
        (table / "annotations" / f"{name}_data.csv").write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
        rows = [{"image": f"{i}.jpg", "text": text, "label": label} for i, text, label in own]
        (listed / f"{name}.json").write_text(json.dumps(rows))
    expected = [(s.sample_id, s.label, s.split, s.inputs) for s in data.samples]
    for root in (table, listed):
        assert [(s.sample_id, s.label, s.split, s.inputs) for s in make(root).samples] == expected


def test_a_line_is_a_literal_and_never_run(sarcasm, tmp_path):
    root = shutil.copytree(sarcasm, tmp_path / "sarcasm")
    path = root / "text/valid2.txt"
    lines = path.read_text().splitlines()
    for bad in (
        "__import__('os').abort()",
        '["1", "text"]',
        "[1, 'text', 1]",
        "['1', 'text', 2]",
        "['1', 'text', 1, 1, 1]",
        "['1', 'text",
    ):
        path.write_text("\n".join([*lines, bad]))
        with pytest.raises(CurateError, match="line 13 of"):
            make(root)
    path.write_text("\n".join([*lines, "['1', 'a\u2028b', 1, 0]"]))
    assert make(root).samples[48 + 12].inputs["text"] == "a\u2028b", "no line ends there"
    path.write_text("\n".join([*lines, lines[0]]))
    with pytest.raises(CurateError, match="listed twice"):
        make(root)


def test_a_folder_without_annotations_is_refused(tmp_path):
    with pytest.raises(CurateError, match="none of the known"):
        make(tmp_path)
