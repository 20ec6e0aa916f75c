"""Media in the cells of Parquet files against the same files in a folder, on this machine and another file system."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import fsspec
import numpy as np
import pandas as pd
import pytest

from curate.datasets.cache import Cache, prepare
from curate.datasets.manifest import Manifest
from curate.datasets.parquet import ParquetMedia
from curate.errors import CurateError
from curate.files import cells
from curate.files.remote import located

from ..conftest import tone, write_audio, write_picture

COUNT = 24
SPLITS = ("train", "train", "train", "val", "test", "test")
CLASSES = ["ant", "bee"]


@pytest.fixture
def media(tmp_path, monkeypatch) -> Path:
    """A folder with sounds and pictures, one sound of them empty and one missing, and a manifest."""
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "near"))
    folder = tmp_path / "media"
    folder.mkdir()
    lines = ["sample_id,label,split,audio,image"]
    for i in range(COUNT):
        write_audio(folder / f"c{i:02}.wav", tone(200 + 20 * i, 0.5, 8000), 8000)
        write_picture(folder / f"c{i:02}.png", np.full((20, 20, 3), 10 * i, np.uint8))
        lines.append(f"c{i:02},{CLASSES[i % 2]},{SPLITS[i // 4]},c{i:02}.wav,c{i:02}.png")
    (folder / "c05.wav").write_bytes(b"")
    (folder / "c06.wav").unlink()
    (folder / "clips.csv").write_text("\n".join(lines) + "\n")
    return folder


def rows_of(media: Path, numbers: range) -> list[dict[str, object]]:
    def content(name: str) -> dict[str, object]:
        file = media / name
        return {"bytes": file.read_bytes() if file.exists() else None, "path": name}

    return [
        {"sample_id": f"c{i:02}", "audio": content(f"c{i:02}.wav"), "image": content(f"c{i:02}.png"), "label": i % 2}
        for i in numbers
    ]


@pytest.fixture
def shards(media, tmp_path) -> Path:
    """The same in Parquet files of four rows each, compressed, with class indices and their names."""
    folder = tmp_path / "shards" / "data"
    folder.mkdir(parents=True)
    features = {"audio": {"_type": "Audio"}, "label": {"names": CLASSES, "_type": "ClassLabel"}}
    said = json.dumps({"info": {"features": features}})
    with duckdb.connect() as con:
        for number, split in enumerate(SPLITS):
            name = "validation" if split == "val" else split
            con.register("shard", pd.DataFrame(rows_of(media, range(4 * number, 4 * number + 4))))
            con.execute(
                "COPY (SELECT sample_id, audio::STRUCT(bytes BLOB, path VARCHAR) AS audio, image.bytes::BLOB AS image, "
                f"label FROM shard) TO '{folder}/{name}-{number:05}-of-00006.parquet' "
                f"(KV_METADATA {{huggingface: '{said}'}})"
            )
    return folder.parent


def same(one: Cache, other: Cache) -> bool:
    arrays = all(np.array_equal(one.arrays[m], other.arrays[m]) for m in one.arrays)
    return arrays and all(one.status[m].tolist() == other.status[m].tolist() for m in one.status)


def test_arrays_labels_and_splits_are_those_of_the_files_by_themselves(media, shards, tmp_path) -> None:
    """And the same again from a file system of another machine."""
    plain = Manifest(media / "clips.csv", Manifest.Options())
    expected = prepare(plain, tmp_path / "a")
    assert (expected.status["audio"][[5, 6]] == ["empty", "missing"]).all()
    fsspec.filesystem("memory").put(str(shards), "/rows", recursive=True)
    for number, root in enumerate((shards, located("memory://rows"))):
        data = ParquetMedia(root, ParquetMedia.Options())
        told = [(s.sample_id, s.label, s.split) for s in data.samples]
        assert told == [(s.sample_id, s.label, s.split) for s in plain.samples]
        assert data.specs == plain.specs and data.modalities == ("audio", "image")
        assert data.samples[9].inputs["image"] == "data/train-00002-of-00006.parquet#cell=1,image"
        assert same(prepare(data, tmp_path / f"b{number}"), expected)


def test_a_block_is_read_once_for_all_its_rows(media, shards, monkeypatch) -> None:
    monkeypatch.setattr(cells, "BLOCK", 2)
    cells._block.cache_clear()
    file = shards / "data" / "train-00000-of-00006.parquet"
    for row in range(4):
        for column, ending in (("audio", "wav"), ("image", "png")):
            assert cells.cell(file, row, column) == (media / f"c0{row}.{ending}").read_bytes()
    assert cells._block.cache_info().misses == 4  # two blocks of two columns
    with pytest.raises(CurateError, match="no row 4"):
        cells.cell(file, 4, "image")
    with pytest.raises(CurateError, match="no media in a column 'label'"):
        cells.cell(file, 0, "label")


def test_without_ids_a_sample_is_named_by_its_file_and_row(media, tmp_path) -> None:
    with duckdb.connect() as con:
        frame = pd.DataFrame([{**row, "label": CLASSES[row["label"]]} for row in rows_of(media, range(12))])
        con.register("shard", frame)
        con.execute(
            "COPY (SELECT audio::STRUCT(bytes BLOB, path VARCHAR) AS audio, image::STRUCT(bytes BLOB, path VARCHAR) AS "
            f"image, 'a ' || label AS text, label FROM shard) TO '{tmp_path}/all.parquet'"
        )
    data = ParquetMedia(tmp_path / "all.parquet", ParquetMedia.Options())
    assert [s.sample_id for s in data.samples[:2]] == ["all-000000", "all-000001"]
    assert data.modalities == ("audio", "image", "text") and data.samples[1].inputs["text"] == "a bee"
    assert data.classes == ("ant", "bee") and {s.split for s in data.samples} == {"train", "val", "test"}


def test_datasets_own_files_are_read(media, tmp_path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"image": datasets.Image(), "text": datasets.Value("string"), "label": datasets.ClassLabel(names=CLASSES)}
    )
    rows = [{"image": r["image"], "text": "some words", "label": r["label"]} for r in rows_of(media, range(COUNT))]
    rows[3]["label"] = -1
    (tmp_path / "hub").mkdir()
    datasets.Dataset.from_list(rows, features=features).to_parquet(tmp_path / "hub" / "train-00000-of-00001.parquet")
    data = ParquetMedia(tmp_path / "hub", ParquetMedia.Options())
    assert data.classes == ("ant", "bee") and data.modalities == ("image", "text") and data.samples[3].label == ""
    cache = prepare(data, tmp_path / "cache")
    assert cache.status["image"].tolist() == ["no_label" if i == 3 else "ok" for i in range(COUNT)]
    assert cache.arrays["image"][7].max() == 70


def test_what_is_no_such_file_is_refused(media, tmp_path) -> None:
    with pytest.raises(CurateError, match=r"no \.parquet file"):
        ParquetMedia(media, ParquetMedia.Options())
    (tmp_path / "a.parquet").write_bytes(b"no table" * 10)
    with pytest.raises(CurateError, match="cannot be read"):
        ParquetMedia(tmp_path / "a.parquet", ParquetMedia.Options())
    for sql, told in (
        ("SELECT 'x'::BLOB AS audio, 'x'::BLOB AS image LIMIT 0", "no row"),
        ("SELECT 'x'::BLOB AS audio, 'x'::BLOB AS image", "no column 'label'"),
        ("SELECT 'x'::BLOB AS audio, 'a' AS label", "two columns"),
    ):
        duckdb.sql(sql).write_parquet(str(tmp_path / "b.parquet"))
        with pytest.raises(CurateError, match=told):
            ParquetMedia(tmp_path / "b.parquet", ParquetMedia.Options())
