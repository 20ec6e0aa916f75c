"""Samples in tar files against the same files in a folder, on this machine and on another file system."""

from __future__ import annotations

import io
import json
import tarfile

import fsspec
import numpy as np
import pytest

from curate.datasets.cache import prepare
from curate.datasets.manifest import Manifest
from curate.datasets.webdataset import WebDataset
from curate.errors import CurateError
from curate.files.remote import located

from .conftest import CLASSES, SPLITS, same


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


@pytest.fixture
def shards(clips, tmp_path):
    """The same in a tar file of four samples each; labels as .cls and .json in turn, splits as the files' names."""
    folder = tmp_path / "shards"
    folder.mkdir()
    for number, split in enumerate(SPLITS):
        with tarfile.open(folder / f"clips-{split}-{number:03}.tar", "w") as archive:
            for i in range(4 * number, 4 * number + 4):
                for ending in ("png", "wav"):
                    add(archive, f"c{i:02}.{ending}", clips.with_name(f"c{i:02}.{ending}").read_bytes())
                label = CLASSES[i % 2]
                if number % 2:
                    add(archive, f"c{i:02}.json", json.dumps({"label": label, "speaker": 3}).encode())
                else:
                    add(archive, f"c{i:02}.cls", label.encode())
    return folder


def test_arrays_labels_and_splits_are_those_of_the_files_by_themselves(clips, shards, tmp_path):
    """And the same again from a file system of another machine, of which a part of each tar file is read."""
    plain = Manifest(clips, Manifest.Options())
    expected = prepare(plain, tmp_path / "a")
    assert expected.status["audio"].tolist().count("empty") == 1
    fsspec.filesystem("memory").put(str(shards), "/shards", recursive=True)
    for root in (shards, located("memory://shards")):
        data = WebDataset(root, WebDataset.Options())
        told = [(s.sample_id, s.label, s.split) for s in data.samples]
        assert told == [(s.sample_id, s.label, s.split) for s in plain.samples]
        assert data.specs == plain.specs and data.modalities == ("audio", "visual")
        size = clips.with_name("c00.png").stat().st_size
        assert data.samples[0].inputs["visual"] == f"clips-train-000.tar#bytes=512,{size}"
        assert same(prepare(data, tmp_path / str(root).partition(":")[0].rpartition("/")[2]), expected)


def test_a_shard_that_was_cut_off_is_refused_and_costs_only_its_own_media_if_it_is_cut_later(shards, tmp_path):
    data, last = WebDataset(shards, WebDataset.Options()), shards / "clips-test-005.tar"
    last.write_bytes(last.read_bytes()[:1000])
    cache = prepare(data, tmp_path / "cache")
    lost = [i for m in cache.status for i in np.flatnonzero(cache.status[m] == "truncated")]
    assert sorted({*lost}) == [20, 21, 22, 23] and "cut off" in cache.reason["audio"][23]
    with pytest.raises(CurateError, match=r"clips-test-005\.tar cannot be read"):
        WebDataset(shards, WebDataset.Options())


def test_what_is_no_shard_is_refused(tmp_path):
    with pytest.raises(CurateError, match=r"no \.tar file"):
        WebDataset(tmp_path, WebDataset.Options())
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "README", b"nothing")
    with pytest.raises(CurateError, match="no sample"):
        WebDataset(tmp_path / "a.tar", WebDataset.Options())
    (tmp_path / "a.tar").write_bytes(b"no archive" * 100)
    with pytest.raises(CurateError, match="cannot be read"):
        WebDataset(tmp_path / "a.tar", WebDataset.Options())
