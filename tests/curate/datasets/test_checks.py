"""Leaks, conflicts and duplicates, by hand and as properties."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.datasets import checks
from curate.datasets.base import SPLITS
from curate.datasets.manifest import Manifest
from curate.store.store import Store
from curate.types import Finding, Sample


def sample(sample_id: str, split: str, label: str, group: str | None = None) -> Sample:
    return Sample(sample_id=sample_id, label=label, split=split, inputs={}, group=group)


ROW = st.tuples(st.sampled_from(SPLITS), st.sampled_from("xy"), st.integers(0, 3))


@given(st.lists(ROW, max_size=12))
def test_findings_are_what_pairs_say(rows):
    samples = [sample(f"s{i:02}", split, label) for i, (split, label, _) in enumerate(rows)]
    media = {s.sample_id: {"audio": (str(content), None)} for s, (_, _, content) in zip(samples, rows, strict=True)}
    found = {(f.kind, f.sample_id) for f in checks.compare(samples, media)}
    expected = set()
    for i, (split, label, content) in enumerate(rows):
        for j, (other_split, other_label, other) in enumerate(rows):
            if i != j and content == other:
                expected.add(("duplicate_content", f"s{i:02}"))
                if label != other_label:
                    expected.add(("label_conflict", f"s{i:02}"))
                if SPLITS.index(split) < SPLITS.index(other_split):
                    expected.add(("leak", f"s{i:02}"))
    assert found == expected


def text_findings(*rows: tuple[str, str, str]) -> set[tuple[str, str]]:
    """(kind, id) of texts given as (split, label, text), ids s0, s1, ..."""
    samples = [sample(f"s{i}", split, label) for i, (split, label, _) in enumerate(rows)]
    texts = {f"s{i}": {"text": text} for i, (_, _, text) in enumerate(rows)}
    media = {i: {m: (checks.plain(t), None) for m, t in own.items() if t.strip()} for i, own in texts.items()}
    return {(f.kind, f.sample_id) for f in (*checks.compare(samples, media), *checks.near(samples, texts))}


def test_texts_are_one_whatever_their_case_spaces_and_unicode_form():
    found = text_findings(
        ("train", "x", "Caf\u00e9  au lait"), ("test", "y", "cafe\u0301 AU\u00a0lait "), ("val", "x", "tea")
    )
    kinds = {"duplicate_content", "label_conflict"}
    assert found == {("leak", "s0"), *((kind, s) for kind in kinds for s in ("s0", "s1"))}
    assert text_findings(("train", "x", ""), ("test", "y", " ")) == set()


def test_near_duplicates_share_most_runs_of_three_words():
    one = "the quick brown fox jumps over the lazy dog tonight"
    assert text_findings(("train", "x", one), ("train", "x", one + "!!"), ("train", "x", "a b c d e f")) == {
        ("near_duplicate", "s0"),
        ("near_duplicate", "s1"),
    }
    assert text_findings(("train", "x", one), ("train", "x", "the quick brown fox sat")) == set()  # 2 of 9 runs
    assert text_findings(("train", "x", "one two three four"), ("train", "x", "one two three four!")) == set()  # short


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=5, max_size=8).map(" ".join), max_size=6))
def test_near_duplicates_are_what_pairs_say(texts):
    texts = list(dict.fromkeys(texts))
    found = {int(s[1:]) for kind, s in text_findings(*(("train", "x", t) for t in texts)) if kind == "near_duplicate"}
    runs = [{" ".join(t.split()[i : i + 3]) for i in range(len(t.split()) - 2)} for t in texts]
    alike = {
        i for i, a in enumerate(runs) for j, b in enumerate(runs) if i != j and len(a & b) >= checks.ALIKE * len(a | b)
    }
    assert found == alike


def test_many_equal_texts_cost_no_square_of_their_number():
    rows = [("train" if i % 2 else "test", "xy"[i % 3 == 0], "yes") for i in range(20_000)]
    assert len(text_findings(*rows)) == 20_000 * 2 + 10_000


def test_a_column_of_texts_is_checked(write_manifest):
    texts = ["hello out there my dear friend" if i in (1, 9) else f"word{i}" for i in range(12)]
    rows = [
        f"{i},{'xy'[i % 2]},{'test' if i > 7 else 'val' if i > 5 else 'train'},{i}.png,{texts[i]}" for i in range(12)
    ]
    data = Manifest(write_manifest("sample_id,label,split,visual,text", rows), Manifest.Options())
    found = [f for f in checks.check(data) if "text of" in f.detail]
    assert [(f.kind, f.sample_id, f.detail) for f in found if f.kind == "leak"] == [
        ("leak", "1", "text of 9 (test, y)")
    ]
    assert checks.leaking(data) == {"1": "text of 9 (test, y)"}


def test_a_group_is_told_once_with_its_counts():
    own = [sample("a", "train", "x", "g"), sample("b", "train", "x", "g"), sample("c", "test", "x", "g")]
    others = [sample("d", "train", "x", "h"), sample("e", "test", "x"), sample("f", "train", "x")]
    assert list(checks.crossing_groups(own + others)) == [Finding("group_crosses", "a", "group g: 2 train, 1 test")]


def test_only_files_of_equal_size_are_read(tmp_path, monkeypatch):
    for name, content in {"a": b"one", "b": b"one", "c": b"two", "d": b"three", "e": b"", "f": b""}.items():
        (tmp_path / name).write_bytes(content)
    read = []
    digest = checks._digest
    monkeypatch.setattr(checks, "_digest", lambda path: read.append(path.name) or digest(path))
    found = checks.content_digests([tmp_path / n for n in "abcdefg"])
    assert sorted(read) == ["a", "b", "c"]
    assert found[tmp_path / "a"] == found[tmp_path / "b"] != found[tmp_path / "c"]


@pytest.fixture
def manifest(tmp_path: Path, media, write_manifest) -> Manifest:
    """Seven clips: a1 and a2 are one sound under two names and labels, the sound of b1 is in test too."""
    for i in range(7):
        media.audio(tmp_path / f"{i}.wav", media.tone(200 + 100 * i, 0.5))
        media.picture(tmp_path / f"{i}.png", np.full((9, 9, 3), 30 * i, np.uint8))
    (tmp_path / "1.wav").write_bytes((tmp_path / "0.wav").read_bytes())
    rows = ["a1,x,train,0.wav,0.png", "a2,y,train,1.wav,1.png", "b1,x,train,2.wav,2.png", "b2,x,test,2.wav,3.png"]
    rows += ["c1,y,train,4.wav,4.png", "d,y,val,5.wav,5.png", "e,x,test,gone.wav,6.png"]
    path = write_manifest("sample_id,label,split,audio,visual", rows)
    return Manifest(path, Manifest.Options(drop_leaks=True, size=8, seconds=0.4))


def test_files_are_compared_by_content_and_by_name(manifest):
    found = {(f.kind, f.sample_id): f.detail for f in checks.check(manifest)}
    assert found == {
        ("leak", "b1"): "audio of b2 (test, x)",
        ("label_conflict", "a1"): "audio of a2 (train, y)",
        ("label_conflict", "a2"): "audio of a1 (train, x)",
        ("duplicate_content", "a1"): "audio of a2 (train, y)",
        ("duplicate_content", "a2"): "audio of a1 (train, x)",
        ("duplicate_content", "b1"): "audio of b2 (test, x)",
        ("duplicate_content", "b2"): "audio of b1 (train, x)",
    }
    assert checks.leaking(manifest) == {"b1": "audio of b2 (test, x)"}
    assert checks.files_found(manifest) == {"audio": {"ok": 6, "missing": 1}, "visual": {"ok": 7}}


def test_what_holds_nothing_is_not_the_same_medium(tmp_path, write_manifest, media):
    """0 bytes, the header of a WAV; once decoded also silence, what is no sound, and a name without a file."""
    for i in range(10):
        media.picture(tmp_path / f"{i}.png", np.full((9, 9, 3), 20 * i, np.uint8))
        media.audio(tmp_path / f"{i}.wav", np.zeros(4000 if i > 3 else 0, np.float32), 8000)
    (tmp_path / "0.wav").write_bytes(b"")
    for name in ("6.wav", "7.wav"):
        (tmp_path / name).write_bytes(b"<html>not found</html>")
    for name in ("8.wav", "9.wav"):
        media.audio(tmp_path / name, media.tone(300, 0.5))
    sounds = ["0", "0", "2", "3", "4", "5", "6", "7", "8", "9", "gone", "gone"]
    rows = [f"s{i:02},{'xy'[i % 2]},{('train', 'test')[i % 2]},{s}.wav,{i % 10}.png" for i, s in enumerate(sounds)]
    dataset = Manifest(
        write_manifest("sample_id,label,split,audio,visual", [*rows, "t,x,val,8.wav,8.png"]),
        Manifest.Options(size=8, seconds=0.4, drop_leaks=True),
    )
    told = lambda **known: {f.sample_id for f in checks.check(dataset, **known) if "audio" in f.detail}  # noqa: E731
    status = ["empty"] * 4 + ["silent"] * 2 + ["undecodable"] * 2 + ["ok"] * 2 + ["missing"] * 2 + ["ok"]
    assert told() == {"s04", "s05", "s06", "s07", "s08", "s09", "s10", "s11", "t"}
    assert told(status={"audio": np.array(status), "visual": np.array(["ok"] * 13)}) == {"s08", "s09", "t"}
    assert checks.files_found(dataset)["audio"] == {"ok": 7, "empty": 4, "missing": 2}
    assert not {"s00", "s02"} & set(checks.leaking(dataset))


def test_a_folder_for_a_sound_and_a_text_of_spaces_are_counted_apart(tmp_path, write_manifest, media):
    (tmp_path / "frames").mkdir()
    media.picture(tmp_path / "frames" / "0.png", np.zeros((9, 9, 3), np.uint8))
    media.audio(tmp_path / "a.wav", media.tone(200, 0.5))
    rows = ["a,x,train,a.wav,frames,two words", "b,y,train,frames,frames,", 'c,y,val,a.wav,frames,"  "']
    path = write_manifest("sample_id,label,split,audio,visual,text", rows)
    assert checks.files_found(Manifest(path, Manifest.Options(text="text"))) == {
        "audio": {"ok": 2, "folder": 1},
        "visual": {"ok": 3},
        "text": {"ok": 1, "empty": 2},
    }


def test_findings_replace_those_of_before(tmp_path):
    table = Store(tmp_path / "t.duckdb")
    table.samples.write("pets-1", [sample("a", "train", "x")], ("x",), ["ok"], [""])
    table.samples.write_findings(
        "pets-1", [Finding("leak", "a", "audio of b"), Finding("label_conflict", "a", "audio of b")]
    )
    assert [row[4] for row in table.query("SELECT * FROM findings ORDER BY kind")[1]] == ["label_conflict", "leak"]
    table.samples.write_findings("pets-1", [Finding("leak", "a", "audio of c")])
    assert table.query("SELECT kind, detail FROM findings")[1] == [("leak", "audio of c")]
    table.samples.write_findings("pets-1", [])
    assert table.query("SELECT * FROM findings")[1] == []
