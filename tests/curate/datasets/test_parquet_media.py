"""Media in the cells of Parquet files against the same files in a folder, on this machine and another file system."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import fsspec
import pandas as pd
import pytest

from curate.datasets.cache import prepare
from curate.datasets.manifest import Manifest
from curate.datasets.parquet import ParquetMedia
from curate.errors import CurateError
from curate.files import blobs
from curate.files.remote import located

from .conftest import CLASSES, COUNT, SPLITS, same

MEDIUM = "STRUCT(bytes BLOB, path VARCHAR)"


def rows_of(clips: Path, numbers: range) -> list[dict[str, object]]:
    def content(name: str) -> dict[str, object]:
        file = clips.with_name(name)
        return {"bytes": file.read_bytes() if file.exists() else None, "path": name}

    return [
        {"sample_id": f"c{i:02}", "audio": content(f"c{i:02}.wav"), "visual": content(f"c{i:02}.png"), "label": i % 2}
        for i in numbers
    ]


@pytest.fixture
def shards(clips, tmp_path) -> Path:
    """The same in Parquet files of four rows each, with class indices and their names; a sound is missing."""
    clips.with_name("c06.wav").unlink()
    folder = tmp_path / "shards" / "data"
    folder.mkdir(parents=True)
    features = {"audio": {"_type": "Audio"}, "label": {"names": list(CLASSES), "_type": "ClassLabel"}}
    said = json.dumps({"info": {"features": features}})
    with duckdb.connect() as con:
        for number, split in enumerate(SPLITS):
            name = "validation" if split == "val" else split
            con.register("shard", pd.DataFrame(rows_of(clips, range(4 * number, 4 * number + 4))))
            con.execute(
                f"COPY (SELECT sample_id, audio::{MEDIUM} AS audio, visual.bytes::BLOB AS visual, label FROM shard) "
                f"TO '{folder}/{name}-{number:05}-of-00006.parquet' (KV_METADATA {{huggingface: '{said}'}})"
            )
    return folder.parent


def test_arrays_labels_and_splits_are_those_of_the_files_by_themselves(clips, shards, tmp_path) -> None:
    """And the same again from a file system of another machine."""
    plain = Manifest(clips, Manifest.Options())
    expected = prepare(plain, tmp_path / "a")
    assert (expected.status["audio"][[5, 6]] == ["empty", "missing"]).all()
    fsspec.filesystem("memory").put(str(shards), "/rows", recursive=True)
    for number, root in enumerate((shards, located("memory://rows"))):
        data = ParquetMedia(root, ParquetMedia.Options())
        told = [(s.sample_id, s.label, s.split) for s in data.samples]
        assert told == [(s.sample_id, s.label, s.split) for s in plain.samples]
        assert data.specs == plain.specs and data.modalities == ("audio", "visual")
        assert data.samples[9].inputs["visual"] == "data/train-00002-of-00006.parquet#cell=1,visual"
        assert same(prepare(data, tmp_path / f"b{number}"), expected)


def test_a_block_is_read_once_for_all_its_rows(clips, shards, monkeypatch) -> None:
    monkeypatch.setattr(blobs, "BLOCK", 2)
    blobs._block.cache_clear()
    file = shards / "data" / "train-00000-of-00006.parquet"
    for row in range(4):
        for column, ending in (("audio", "wav"), ("visual", "png")):
            assert blobs.cell(file, row, column) == clips.with_name(f"c0{row}.{ending}").read_bytes()
    assert blobs._block.cache_info().misses == 4  # two blocks of two columns
    with pytest.raises(CurateError, match="no row 4"):
        blobs.cell(file, 4, "visual")
    with pytest.raises(CurateError, match="no media in a column 'label'"):
        blobs.cell(file, 0, "label")


def test_without_ids_a_sample_is_named_by_its_file_and_row(clips, tmp_path) -> None:
    with duckdb.connect() as con:
        frame = pd.DataFrame([{**row, "label": CLASSES[row["label"]]} for row in rows_of(clips, range(12))])
        con.register("shard", frame)
        con.execute(
            f"COPY (SELECT audio::{MEDIUM} AS audio, visual::{MEDIUM} AS visual, 'a ' || label AS text, label "
            f"FROM shard) TO '{tmp_path}/all.parquet'"
        )
    data = ParquetMedia(tmp_path / "all.parquet", ParquetMedia.Options())
    assert [s.sample_id for s in data.samples[:2]] == ["all-000000", "all-000001"]
    assert data.modalities == ("audio", "visual", "text") and data.samples[1].inputs["text"] == "a bee"
    assert data.classes == ("ant", "bee") and {s.split for s in data.samples} == {"train", "val", "test"}


def test_datasets_own_files_are_read(clips, tmp_path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"image": datasets.Image(), "text": datasets.Value("string"), "label": datasets.ClassLabel(names=list(CLASSES))}
    )
    rows = [{"image": r["visual"], "text": "some words", "label": r["label"]} for r in rows_of(clips, range(COUNT))]
    rows[3]["label"] = -1
    (tmp_path / "hub").mkdir()
    datasets.Dataset.from_list(rows, features=features).to_parquet(tmp_path / "hub" / "train-00000-of-00001.parquet")
    data = ParquetMedia(tmp_path / "hub", ParquetMedia.Options())
    assert data.classes == ("ant", "bee") and data.modalities == ("image", "text") and data.samples[3].label == ""
    cache = prepare(data, tmp_path / "cache")
    assert cache.status["image"].tolist() == ["no_label" if i == 3 else "ok" for i in range(COUNT)]
    assert cache.arrays["image"][7].max() == 70


FIXED = {"rate": 8000, "seconds": 1.0, "n_fft": 64, "hop": 80, "frames": 1, "size": 32, "depth_range": ""}
TWENTY = "FROM range(20) AS t(i)"
MEDIA = "'x'::BLOB AS audio, 'x'::BLOB AS image"


def written(path: Path, columns: str, **options: object) -> ParquetMedia:
    """Twenty rows of some columns, opened without measuring anything."""
    duckdb.sql(f"SELECT {columns} {TWENTY}").write_parquet(str(path))
    return ParquetMedia(path, ParquetMedia.Options(**{**FIXED, **options}))


def test_the_column_of_classes_can_be_named(tmp_path) -> None:
    path, columns = tmp_path / "a.parquet", f"'k' || i % 2 AS breed, i AS age, {MEDIA}"
    with pytest.raises(CurateError, match="no column 'label'; found: breed, age, audio, image") as caught:
        written(path, columns)
    assert caught.value.hint.endswith("--set data.label=COLUMN")
    with pytest.raises(CurateError, match="no column 'race'"):
        written(path, columns, label="race")
    data = written(path, columns, label="breed")
    assert data.classes == ("k0", "k1") and data.modalities == ("audio", "image")
    assert any("not read: 'age'" in note for note in data.notes)
    with pytest.raises(CurateError) as caught:
        written(tmp_path / "b.parquet", f"i % 2 AS Category, {MEDIA}")
    assert caught.value.hint.endswith("--set data.label=Category")


def test_a_named_column_of_classes_comes_before_one_called_label(tmp_path) -> None:
    said = json.dumps({"info": {"features": {"fine": {"names": ["ant", "bee"], "_type": "ClassLabel"}}}})
    with duckdb.connect() as con:
        con.execute(
            f"COPY (SELECT i % 2 AS fine, 'c' || i % 4 AS label, {MEDIA} {TWENTY}) "
            f"TO '{tmp_path}/a.parquet' (KV_METADATA {{huggingface: '{said}'}})"
        )
    data = ParquetMedia(tmp_path, ParquetMedia.Options(**FIXED, label="fine"))
    assert data.classes == ("ant", "bee")
    assert any("'label' is not read" in note for note in data.notes)


def test_naming_the_usual_column_does_not_make_other_data(tmp_path) -> None:
    one = written(tmp_path / "a.parquet", f"'k' || i % 2 AS label, {MEDIA}")
    duckdb.sql(f"SELECT 'k' || i % 2 AS kind, {MEDIA} {TWENTY}").write_parquet(str(tmp_path / "a.parquet"))
    other = ParquetMedia(tmp_path / "a.parquet", ParquetMedia.Options(**FIXED, label="kind"))
    assert one.recipe() == other.recipe() and "label" not in one.recipe()[-1] and "seed" in one.recipe()[-1]


def test_media_that_are_not_asked_for_may_be_of_any_type(tmp_path) -> None:
    columns = f"'k' || i % 2 AS label, {MEDIA}, {{'a': 1}} AS video"
    with pytest.raises(CurateError, match=r"'video' of .* holds STRUCT"):
        written(tmp_path / "a.parquet", columns)
    data = written(tmp_path / "a.parquet", columns, modalities="image,audio")
    assert data.modalities == ("image", "audio") and any("not read: 'video'" in note for note in data.notes)


@pytest.mark.parametrize("several", [False, True])
def test_a_folder_of_arrow_files_is_told_how_to_become_parquet(tmp_path, several) -> None:
    folder = tmp_path / "saved"
    inner = folder / "train" if several else folder
    inner.mkdir(parents=True)
    (inner / "data-00000-of-00001.arrow").write_bytes(b"x")
    if several:
        (folder / "dataset_dict.json").write_text('{"splits": ["train"]}')
    with pytest.raises(CurateError, match="holds Arrow files") as caught:
        ParquetMedia(folder, ParquetMedia.Options())
    assert "to_parquet(" in caught.value.hint and ("d.items()" in caught.value.hint) == several
    (inner / "data-00000-of-00001.arrow").unlink()
    with pytest.raises(CurateError, match=r"no \.parquet file"):
        ParquetMedia(folder, ParquetMedia.Options())


@pytest.mark.parametrize("several", [False, True])
def test_the_command_for_arrow_files_works(tmp_path, several) -> None:
    datasets = pytest.importorskip("datasets")
    made = datasets.Dataset.from_list([{"label": "a", "text": "b"}])
    (datasets.DatasetDict({"train": made}) if several else made).save_to_disk(tmp_path / "saved")
    with pytest.raises(CurateError, match="holds Arrow files") as caught:
        ParquetMedia(tmp_path / "saved", ParquetMedia.Options())
    command = caught.value.hint.partition(": ")[2].replace("python", f'"{sys.executable}"', 1)
    subprocess.run(command, shell=True, check=True, cwd=tmp_path, capture_output=True)
    assert duckdb.read_parquet(str(tmp_path / "train.parquet")).columns == ["label", "text"]


def test_what_is_no_such_file_is_refused(clips, tmp_path) -> None:
    with pytest.raises(CurateError, match=r"no \.parquet file"):
        ParquetMedia(clips.parent, ParquetMedia.Options())
    (tmp_path / "a.parquet").write_bytes(b"no table" * 10)
    with pytest.raises(CurateError, match="cannot be read"):
        ParquetMedia(tmp_path / "a.parquet", ParquetMedia.Options())
    for sql, told in (
        ("SELECT 'x'::BLOB AS audio, 'x'::BLOB AS image, 'a' AS label LIMIT 0", "no sample"),
        ("SELECT 'x'::BLOB AS audio, 'x'::BLOB AS image", "no column 'label'"),
        ("SELECT 'a' AS label, 'x'::BLOB AS audio, 3 AS age", "^parquet: two columns .* audio, age\n"),
        ("SELECT 'x'::BLOB AS audio, {'a': 1} AS image, 'a' AS label", "'image' of .* holds STRUCT"),
        ("SELECT 'x'::BLOB AS audio, 'x'::BLOB AS image, {'a': 1} AS label", "'label' of .* holds STRUCT"),
    ):
        duckdb.sql(sql).write_parquet(str(tmp_path / "b.parquet"))
        with pytest.raises(CurateError, match=told):
            ParquetMedia(tmp_path / "b.parquet", ParquetMedia.Options())


def test_an_error_of_rows_names_the_file_and_the_row(tmp_path):
    """Parquet has no lines: a row of a file is named, counted from 1."""
    rows = "VALUES ('words', 'RIFF'::BLOB, 'x', 'train'), ('words', 'RIFF'::BLOB, 'y', 'tra')"
    sql = f"SELECT * FROM ({rows}) t(text, audio, label, split)"
    duckdb.sql(sql).write_parquet(str(tmp_path / "part.parquet"))
    with pytest.raises(CurateError, match=r"unknown splits 'tra' in row 2 of part\.parquet"):
        ParquetMedia(tmp_path, ParquetMedia.Options())
