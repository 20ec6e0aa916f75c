"""What `curate export` has written, read back as a data set: the same ids, classes, splits, groups, texts and media."""

from __future__ import annotations

import csv
import io
import tarfile
from pathlib import Path

import pytest

from curate.datasets.cache import prepare
from curate.datasets.manifest import Manifest
from curate.datasets.parquet import ParquetMedia
from curate.datasets.webdataset import WebDataset
from curate.errors import CurateError
from curate.exports.formats import export
from curate.predictions.score import score_predictions
from curate.store.store import Store

from .conftest import same


@pytest.fixture
def listed(clips: Path) -> Path:
    """A manifest of texts and of stretches of the sounds, of which the last is whole, with groups."""
    rows = list(csv.DictReader(clips.open()))
    path = clips.with_name("listed.csv")
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["sample_id", "label", "split", "group", "text", "audio"])
        for i, row in enumerate(rows):
            stretch = "#t=0.125,0.375" if i < len(rows) - 1 else ""
            about = [row["sample_id"], row["label"], row["split"], f"g{i // 4}"]
            out.writerow([*about, f'a "text", of {i}', row["audio"] + stretch])
    return path


@pytest.fixture
def store(listed: Path, tmp_path: Path) -> Store:
    """A table of predictions of these samples, which knows their media."""
    with (tmp_path / "preds.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["sample_id", "label", "split", *(f"{m}.{c}" for m in ("text", "audio") for c in ("ant", "bee"))])
        for i, row in enumerate(csv.DictReader(listed.open())):
            out.writerow([row["sample_id"], row["label"], row["split"], f"{i}.5", "3.5", "2.5", f"-{i}.5"])
    made = Store(tmp_path / "curate.duckdb")
    score_predictions(made, [str(tmp_path / "preds.csv")], [{}], media=listed)
    return made


def tar_of(lines: list[str], path: Path) -> Path:
    """A tar file with the descriptions, class indices and arrays that are written of samples."""
    with tarfile.open(path, "w") as archive:
        for number, line in enumerate(lines):
            for ending, content in (("audio.npy", b"\x93NUMPY"), ("cls", b"0"), ("json", line.encode())):
                entry = tarfile.TarInfo(f"{number:09}.{ending}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return path


def test_every_export_that_names_media_is_a_data_set_again(listed, store, tmp_path) -> None:
    expected = Manifest(listed, Manifest.Options())
    arrays = prepare(expected, tmp_path / "expected")
    for name, to in (("x.csv", None), ("x.parquet", None), ("s.parquet", "spotlight"), ("x.jsonl", None), ("hf", "hf")):
        export(store, tmp_path / name, to)
    lines = (tmp_path / "x.jsonl").read_text().splitlines()
    found = [
        Manifest(tmp_path / "x.csv", Manifest.Options()),
        Manifest(tmp_path / "x.parquet", Manifest.Options()),
        Manifest(tmp_path / "s.parquet", Manifest.Options()),
        ParquetMedia(tmp_path / "hf", ParquetMedia.Options()),
        WebDataset(tar_of(lines, tmp_path / "x.tar"), WebDataset.Options()),
    ]
    for number, data in enumerate(found):
        assert data.modalities == expected.modalities == ("text", "audio")
        told = [(s.sample_id, s.label, s.split, s.group) for s in data.samples]
        assert told == [(s.sample_id, s.label, s.split, s.group) for s in expected.samples]
        assert data.classes == expected.classes and data.all_sources()[0]["audio"]["end"] == 0.375
        assert "end" not in data.all_sources()[-1]["audio"]
        assert same(prepare(data, tmp_path / f"c{number}"), arrays)
        assert any("not read" in note and "label" not in note for note in data.notes)


def test_an_export_says_which_stretch_of_a_file_a_sample_is_and_what_its_text_is(store, tmp_path) -> None:
    export(store, tmp_path / "x.csv")
    first, *_, last = list(csv.DictReader((tmp_path / "x.csv").open()))
    assert (first["start_audio"], first["end_audio"], first["text_text"]) == ("0.125", "0.375", 'a "text", of 0')
    assert (last["start_audio"], last["end_audio"]) == ("", "")
    assert "start_text" not in first and "file_text" not in first


def test_an_export_of_samples_without_files_says_that_there_is_nothing_to_read(scored_table, tmp_path) -> None:
    for name, to in (("x.csv", None), ("x.parquet", None), ("x.jsonl", None), ("hf", "hf")):
        export(scored_table, tmp_path / name, to)
    lines = (tmp_path / "x.jsonl").read_text().splitlines()
    readers = [
        lambda: Manifest(tmp_path / "x.csv", Manifest.Options()),
        lambda: Manifest(tmp_path / "x.parquet", Manifest.Options()),
        lambda: ParquetMedia(tmp_path / "hf", ParquetMedia.Options()),
        lambda: WebDataset(tar_of(lines, tmp_path / "x.tar"), WebDataset.Options()),
    ]
    for read in readers:
        with pytest.raises(CurateError, match="an export of toy, and names no files of media") as error:
            read()
        assert "`--dataset toy`" in error.value.hint
