"""Where media are, as the sample table keeps it: from the data set's folder, or by the whole path."""

from __future__ import annotations

from curate.datasets import find


def test_files_are_named_from_the_folder_stretches_with_their_times_and_texts_themselves(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    rows = [
        "a,x,clips/a.wav,words of a",
        "b,y,../other/b.wav,words of b",
        f"c,x,{tmp_path}/data/c.wav,words of c",
        'd,y,"clips/long.wav#t=1,2.5",words of d',
        "e,y,,words of e",
    ]
    (folder / "m.csv").write_text("sample_id,label,audio,text\n" + "\n".join(rows))
    kind = find("manifest")
    found = kind(folder / "m.csv", kind.Options(rate=8000, seconds=1.0, n_fft=256, hop=128)).all_sources()
    assert [one.get("audio") for one in found] == [
        {"file": "clips/a.wav"},
        {"file": f"{tmp_path}/other/b.wav"},
        {"file": "c.wav"},
        {"file": "clips/long.wav", "start": 1.0, "end": 2.5},
        None,
    ]
    assert [one["text"] for one in found] == [{"text": f"words of {i}"} for i in "abcde"]


def test_a_generated_data_set_has_no_files():
    kind = find("demo")
    assert not any(kind(None, kind.Options()).all_sources())
