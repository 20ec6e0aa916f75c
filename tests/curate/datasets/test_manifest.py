from __future__ import annotations

import random
from collections import Counter

import duckdb
import numpy as np
import pytest

from curate.datasets.degrade import generator
from curate.datasets.manifest import Manifest
from curate.datasets.rows import draw
from curate.errors import CurateError, MediaError

HEADER = "sample_id,label,audio,visual"


def make(path, **options) -> Manifest:
    return Manifest(path, Manifest.Options(**options))


def splits_of(data: Manifest) -> dict[str, str]:
    return {s.sample_id: s.split for s in data.samples}


def rows(count: int, classes: int = 3, extra=lambda i: "") -> list[str]:
    return [f"id{i:04d},c{i % classes},a/{i}.wav,v/{i}.mp4{extra(i)}" for i in range(count)]


def refusal(call) -> str:
    with pytest.raises(CurateError) as caught:
        call()
    assert caught.value.hint
    return caught.value.message


def test_a_split_is_drawn_disjoint_and_stratified(write_manifest):
    data = make(write_manifest(HEADER, rows(300)))
    counts = Counter((s.split, s.label) for s in data.samples)
    for label in data.classes:
        assert counts["test", label] == pytest.approx(20, abs=2)
        assert counts["val", label] == pytest.approx(10, abs=2)
    assert Counter(s.split for s in data.samples)["test"] == pytest.approx(60, abs=1)
    assert data.classes == ("c0", "c1", "c2") and data.modalities == ("audio", "visual")
    assert splits_of(make(data.root, seed=1)) != splits_of(data)


def test_the_order_of_rows_and_columns_does_not_matter(write_manifest):
    lines = rows(200)
    first = make(write_manifest(HEADER, lines))
    random.Random(0).shuffle(lines)
    second = make(write_manifest(HEADER, lines, name="shuffled.csv"))
    assert second.samples == first.samples and second.data_id() == first.data_id()


def test_groups_stay_whole_and_shares_are_met(write_manifest):
    data = make(write_manifest(HEADER + ",group", rows(600, extra=lambda i: f",speaker{i // 3 % 40}")))
    where: dict[str, set[str]] = {}
    for s in data.samples:
        where.setdefault(s.group, set()).add(s.split)
    assert len(where) == 40 and all(len(found) == 1 for found in where.values())
    counts = Counter(s.split for s in data.samples)
    assert counts["test"] / 600 == pytest.approx(0.2, abs=0.02)
    assert counts["val"] / 600 == pytest.approx(0.1, abs=0.02)


def test_val_is_drawn_from_train_and_test_is_not_touched(write_manifest):
    given = {f"id{i:04d}": "test" if i % 5 == 0 else "training" for i in range(300)}
    lines = rows(300, extra=lambda i: "," + given[f"id{i:04d}"] + f",g{i // 15}")
    found = splits_of(make(write_manifest(HEADER + ",split", [line.rpartition(",")[0] for line in lines])))
    assert {i for i, s in found.items() if s == "test"} == {i for i, s in given.items() if s == "test"}
    assert Counter(found.values())["val"] == pytest.approx(24, abs=2)


def test_given_splits_are_kept_under_our_names(write_manifest):
    names = ["Train", "training", "VALID", "dev", "validation", "testing", "test", "val", "train"]
    path = write_manifest(HEADER + ",split", rows(9, extra=lambda i: "," + names[i]))
    expected = ["train", "train", "val", "val", "val", "test", "test", "val", "train"]
    assert list(splits_of(make(path)).values()) == expected
    without_val = write_manifest(HEADER + ",split", rows(9, extra=lambda i: ",train" if i < 8 else ",test"))
    assert Counter(splits_of(make(without_val, val_fraction=0)).values()) == {"train": 8, "test": 1}


def test_long_ids_bom_crlf_quotes_and_spaces_survive(write_manifest):
    ids = ["682716753374351360", "000123456789012345", "-9_5_2i4igQ", "1e5"]
    lines = [f' {i} ,"Male speech, man speaking",{i}.wav,é.mp4' for i in ids[:2]]
    lines += [f"{i},Flute,{i}.wav,v.mp4" for i in ids[2:]]
    lines = [f"{line},train" for line in lines]
    data = make(write_manifest(HEADER + ",split", lines, newline="\r\n", bom=True), val_fraction=0)
    assert sorted(s.sample_id for s in data.samples) == sorted(ids)
    assert data.classes == ("Flute", "Male speech, man speaking")
    assert {s.inputs["visual"] for s in data.samples} == {"é.mp4", "v.mp4"}


def test_parquet_reads_as_csv_does(write_manifest, tmp_path):
    csv = write_manifest(HEADER + ",n", rows(30, extra=lambda i: f",{682716753374351360 + i}"))
    parquet = tmp_path / "manifest.parquet"
    select = f"SELECT * REPLACE (nullif(visual, 'v/3.mp4') AS visual) FROM read_csv('{csv}')"
    duckdb.sql(f"COPY ({select}) TO '{parquet}' (FORMAT parquet)")
    a, b = make(csv), make(parquet)
    assert [s.sample_id for s in a.samples] == [s.sample_id for s in b.samples] and splits_of(a) == splits_of(b)
    assert b.samples[3].inputs["visual"] == ""
    numbered = f"SELECT n AS sample_id, label, audio, visual FROM read_csv('{csv}')"  # a BIGINT
    duckdb.sql(f"COPY ({numbered}) TO '{parquet}' (FORMAT parquet)")
    assert make(parquet).samples[7].sample_id == "682716753374351367"
    parquet.write_bytes(b"no parquet")
    assert "cannot be read" in refusal(lambda: make(parquet))


def test_columns_that_are_not_read_are_named(write_manifest):
    def told(header, cells):
        lines = [f"s{i:02},{'xy'[i % 2]},a.wav,b.png{cells.replace('g', f'g{i}')}" for i in range(20)]
        found = make(write_manifest(f"sample_id,label,audio,visual{header}", lines)).notes
        return [note for note in found if "not read" in note]

    assert told("", "") == told(",group", ",g") == []
    (note,) = told(",speaker,take", ",ann,2")
    assert "'speaker', 'take'" in note and "`group`" in note
    (note,) = told(",group,take", ",g,2")
    assert "'take'" in note and "`group`" not in note


def test_columns_become_modalities_in_order(write_manifest):
    path = write_manifest("sample_id,depth,note,label,audio,sound", [f"{i},d,n,c{i % 2},a,s" for i in range(20)])
    assert make(path).modalities == ("depth", "audio")
    assert {m: s.kind for m, s in make(path).specs.items()} == {"depth": "visual", "audio": "audio"}
    chosen = make(path, modalities="sound, depth", audio="sound")
    assert {m: s.kind for m, s in chosen.specs.items()} == {"sound": "audio", "depth": "visual"}


@pytest.mark.parametrize("name", ["Sound", "my sound", "2d", "balanced", "imbalanced", "fused", "label", "a|b"])
def test_a_column_that_cannot_name_a_modality_is_refused_before_anything_is_decoded(write_manifest, name):
    columns = [*(c for c in ("sample_id", "label", "audio") if c != name), name]
    path = write_manifest(",".join(columns), [",".join([str(i), "c", "a", "v"][: len(columns)]) for i in range(20)])
    assert f"{name!r} cannot be a modality" in refusal(lambda: make(path, modalities=f"audio,{name}"))


def test_specs_follow_the_options(write_manifest):
    path = write_manifest(HEADER, rows(20))
    audio = {"rate": 8000, "seconds": 1.5, "n_mels": 40, "fill": "pad"}
    specs = make(path, **audio, frames=2, size=64, channels=1, augment="none").specs
    assert specs["audio"].shape == (12000,) and specs["audio"].n_mels == 40 and specs["audio"].fill == "pad"
    assert specs["visual"].shape == (2, 64, 64, 1) and specs["visual"].augment == "none"
    for wrong in ({"fill": "loop"}, {"channels": 2}, {"frames": 0}, {"augment": "mixup"}, {"seconds": -1.0}):
        assert next(iter(wrong)) in refusal(lambda wrong=wrong: make(path, **wrong))
    assert "nothing for train" in refusal(lambda: make(path, val_fraction=0.5, test_fraction=0.5))


def test_media_are_read_beside_the_manifest_and_bad_ones_are_a_status(write_manifest, media, tmp_path):
    media.video(tmp_path / "clip.mp4", media.staircase(8), media.tone(seconds=0.8))
    media.picture(tmp_path / "p.png", media.staircase(1)[0])
    lines = ["a,x,clip.mp4,clip.mp4,train", "b,y,none.wav,p.png,train", "c,y,,p.png,train"]
    data = make(write_manifest(HEADER + ",split", lines), val_fraction=0, size=32)
    by_id = {s.sample_id: s for s in data.samples}
    for name, modality in (("a", "audio"), ("a", "visual"), ("b", "visual")):
        values = data.load(by_id[name], modality)
        assert values.shape == data.specs[modality].shape and values.dtype == data.specs[modality].dtype
    for name in "bc":
        with pytest.raises(MediaError, match="missing"):
            data.load(by_id[name], "audio")


def test_a_file_that_appears_changes_the_data_id(write_manifest, media, tmp_path):
    path = write_manifest("sample_id,label,audio,visual,split", ["a,x,a.wav,v.mp4,train", "b,y,a.wav,v.mp4,train"])
    before = make(path, val_fraction=0).data_id()
    media.audio(tmp_path / "a.wav", media.tone())
    assert make(path, val_fraction=0).data_id() != before


def test_what_is_wrong_with_a_manifest_is_said(write_manifest, tmp_path):
    good = rows(20)
    refuse = lambda header, lines, **options: refusal(lambda: make(write_manifest(header, lines), **options))  # noqa: E731
    assert "no --root" in refusal(lambda: make(None))
    assert "does not exist" in refusal(lambda: make(tmp_path / "nothing.csv"))
    assert "is a folder" in refusal(lambda: make(tmp_path))
    assert "'label'" in refuse("sample_id,class,audio,visual", good)
    assert "'video'" in refuse(HEADER, good, modalities="audio,video")
    assert "two columns of paths" in refuse("sample_id,label,audio,words", good)
    assert "cannot be a modality" in refuse(HEADER, good, modalities="audio,label")
    assert "no rows" in refuse(HEADER, [])
    assert "no rows" in refuse("", [])
    message = refuse(HEADER, [*good, *good[:4]])
    assert "4 sample_ids" in message and "id0000, id0001, id0002" in message and "id0003" not in message
    assert "'c0'" in refuse(HEADER, rows(20, classes=1))
    assert "no row has a label" in refuse(HEADER, ["x,,a,v", "y,,a,v"])
    assert "1 row has no sample_id" in refuse(HEADER, [*good, ",c1,a,v"])
    assert "line 22" in refuse(HEADER, [*good, "x,Male speech, man speaking,a,v"])
    assert "no row belongs to train" in refuse(HEADER + ",split", rows(20, extra=lambda i: ",test"))
    assert "'tset'" in refuse(HEADER + ",split", rows(20, extra=lambda i: ",tset" if i == 3 else ",train"))
    assert "''" in refuse(HEADER + ",split", rows(20, extra=lambda i: "," if i == 3 else ",train"))
    crossing = rows(20, extra=lambda i: f",{'train' if i % 2 else 'test'},g{i // 10}")
    assert "2 groups" in refuse(HEADER + ",split,group", crossing)
    assert "no test rows" in refuse(HEADER, rows(2, classes=2))
    (tmp_path / "latin.csv").write_bytes("sample_id,label,audio,visual\né,b,c,d\n".encode("latin-1"))
    assert "cannot be read" in refusal(lambda: make(tmp_path / "latin.csv"))


def test_draw_keeps_every_class_in_training_and_takes_something():
    labels = ["a"] * 50 + ["b"] * 2 + ["c"]
    for seed in range(20):
        taken = draw(labels, [None] * 53, 0.3, generator(seed))
        left = {label for i, label in enumerate(labels) if i not in taken}
        assert left == {"a", "b", "c"} and taken == sorted(set(taken))
        assert len(taken) == pytest.approx(0.3 * 53, abs=1)
    assert len(draw(["a", "a", "b"], [None] * 3, 0.01, generator(0))) == 1
    assert draw(["a", "b"], ["g", "g"], 0.5, generator(0)) == []


@pytest.mark.parametrize("speakers", [2, 3, 6])
def test_groups_that_each_have_all_classes_are_drawn_whatever_their_commonest_label(speakers):
    """Each speaker says every word, and one of them once more: they differ in the commonest label."""
    labels = [word for s in range(speakers) for word in (*range(10), s)]
    groups = [f"speaker {s}" for s in range(speakers) for _ in range(11)]
    names = [f"word {word}" for word in labels]
    for seed in range(10):
        taken = draw(names, groups, 0.2, generator(seed))
        held = {groups[i] for i in taken}
        assert len(held) == 1 and {names[i] for i in range(len(names)) if groups[i] not in held} == set(names)


def test_a_group_without_which_a_label_has_no_row_is_not_drawn():
    names = [*["a"] * 8, "b", "b", *["a"] * 8]
    groups = [f"g{i // 2}" for i in range(18)]
    for seed in range(20):
        assert "b" not in {names[i] for i in draw(names, groups, 0.5, generator(seed))}
    names[8] = "a"  # "b" is now one row of a group that is called by another label
    for seed in range(20):
        assert "b" not in {names[i] for i in draw(names, groups, 0.5, generator(seed))}
    assert draw(["a", "b"], ["g", "h"], 0.5, generator(0)) == []


def test_draw_takes_each_class_in_proportion():
    rng = np.random.default_rng(0)
    labels = [f"k{k}" for k in rng.integers(0, 10, 1000)]
    taken = draw(labels, [None] * 1000, 0.2, generator(3))
    have, wanted = Counter(labels[i] for i in taken), Counter(labels)
    assert all(abs(have[k] - 0.2 * wanted[k]) <= 2 for k in wanted)


def test_a_column_of_sound_by_another_name_is_named_with_the_settings_that_read_it(tmp_path):
    path = tmp_path / "m.csv"
    rows = [
        f's{i},{"xy"[i % 2]},v{i}.PNG,a{i}.wav,"a dog barks {i}","clips/{i}.mp3#t=0.5,1",note {i}' for i in range(8)
    ]
    path.write_text("\n".join(["sample_id,label,image,speech,text,music,remark", *rows]))
    found = make(path)
    assert found.modalities == ("image", "text")
    settings = "--set data.modalities=image,speech,text,music --set data.audio=speech,music reads them"
    assert [note for note in found.notes if "of media" in note] == [
        f"files of media are named in 'speech', 'music', too: {settings}"
    ]
    with pytest.raises(CurateError, match=r"the column 'speech' names files of sound, such as a0\.wav") as error:
        make(path, modalities="image,speech,text")
    assert error.value.hint == "name the columns of sound: --set data.audio=speech"
    assert make(path, modalities="speech,text", audio="speech").modalities == ("speech", "text")


def test_an_unread_column_without_media_is_not_called_one_of_media(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text(
        "\n".join(["sample_id,label,audio,image,remark", *(f"s{i},{'xy'[i % 2]},a.wav,b.png,c" for i in range(8))])
    )
    assert not [note for note in make(path).notes if "of media" in note]
