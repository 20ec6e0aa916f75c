"""What a cell of a manifest means: missing words, empty labels, paths as other systems write them, texts."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from curate.datasets.manifest import Manifest
from curate.datasets.rows import NO_LABEL
from curate.errors import CurateError, MediaError

HEADER = "sample_id,label,audio,visual"


def rows(label: str, count: int = 20) -> list[str]:
    """Two classes; the label of the rows 3 and 7 is this one."""
    return [f"s{i:02},{label if i in (3, 7) else 'xy'[i % 2]},a/{i}.wav,v/{i}.png" for i in range(count)]


def make(path: Path, **options: object) -> Manifest:
    return Manifest(path, Manifest.Options(**options))


@pytest.mark.parametrize("word", ["NA", "nan", "None", "NULL", "N/A", "?", "-", "#N/A", "<NA>"])
def test_a_word_for_a_missing_value_is_asked_about(write_manifest, word):
    path = write_manifest(HEADER, rows(word))
    with pytest.raises(CurateError) as refused:
        make(path)
    assert f"{path}: column 'label': {word!r} in lines 5, 9" in refused.value.message
    assert "data.missing_words=class" in refused.value.hint
    assert make(path, missing_words="class").classes == tuple(sorted([word, "x", "y"]))
    data = make(path, missing_words="missing")
    assert data.classes == ("x", "y") and [s.sample_id for s in data.samples if not s.label] == ["s03", "s07"]


def test_a_row_without_label_has_a_status_and_changes_no_split(write_manifest):
    data = make(write_manifest(HEADER, rows("")))
    (bad, _) = (s for s in data.samples if not s.label)
    for modality in data.modalities:
        with pytest.raises(MediaError) as refused:
            data.load(bad, modality)
        assert refused.value.status == NO_LABEL
    assert "2 without label, status no_label" in data.notes[0]
    others = [line for i, line in enumerate(rows("")) if i not in (3, 7)]
    alone = make(write_manifest(HEADER, others, name="alone.csv"))
    assert [(s.sample_id, s.split) for s in data.samples if s.label] == [(s.sample_id, s.split) for s in alone.samples]


def test_paths_of_other_systems_are_found_and_lost_ones_have_a_cause(write_manifest, tmp_path):
    (tmp_path / "a").mkdir()
    composed = unicodedata.normalize("NFC", "é.wav")
    for name in ("1.wav", composed, "Upper.wav"):
        (tmp_path / "a" / name).write_bytes(b"x")
    given = {
        "p0": ("a\\1.wav", "a/1.wav", ""),
        "p1": ("a/" + unicodedata.normalize("NFD", "é.wav"), f"a/{composed}", ""),
        "p2": ("a/upper.wav", "a/upper.wav", "there is Upper.wav"),
        "p4": ("~/a.wav", None, "~ is not expanded"),
        "p5": ("a/1.wav#t=0.5", None, "#t=START,END"),
        "p6": ("b\\2.wav", None, "separated by /"),
        "p7": ("a%201.wav", None, "percent-encoded"),
        "p8": ("NA", "", "names no file"),
    }
    lines = [f"{i},{'xy'[n % 2]},train,{source},v.png" for n, (i, (source, *_)) in enumerate(given.items())]
    data = make(write_manifest("sample_id,label,split,audio,visual", lines), val_fraction=0)
    for sample in data.samples:
        _, found, cause = given[sample.sample_id]
        if found:
            assert data.media(sample)["audio"][0] == tmp_path / found
        if cause:
            with pytest.raises(MediaError) as refused:
                data.load(sample, "audio")
            assert refused.value.status == "missing" and cause in refused.value.reason


def test_a_column_of_texts_taken_for_paths_is_refused_with_the_setting(write_manifest):
    lines = [f"s{i},{'xy'[i % 2]},this is what somebody said {i},another text of some words" for i in range(20)]
    path = write_manifest("sample_id,label,text,title", lines)
    with pytest.raises(CurateError, match="'title' holds texts, not paths") as refused:
        make(path, modalities="text,title")
    assert "--set data.text=text,title" in refused.value.hint
    assert make(path, modalities="text,title", text="text,title").specs["title"].kind == "text"


def test_a_missing_group_is_none(write_manifest):
    lines = [f"{line},{'NA' if i % 2 else f'g{i}'}" for i, line in enumerate(rows("x"))]
    data = make(write_manifest(HEADER + ",group", lines))
    assert sum(s.group is None for s in data.samples) == 10
