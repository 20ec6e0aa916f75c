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
from curate.datasets.webdataset import MOST_TEXT, WebDataset
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


def write(path, files: dict[str, bytes | str]) -> None:
    """A tar file; folders end in a slash."""
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            add(archive, name, content.encode() if isinstance(content, str) else content)


def sixteen(*endings: str) -> dict[str, bytes | str]:
    return {f"s{i:02}.{e}": CLASSES[i % 2] if e == "cls" else b"x" for i in range(16) for e in sorted(endings)}


FIXED = {"rate": 8000, "seconds": 1.0, "n_fft": 64, "hop": 80, "frames": 1, "size": 32, "depth_range": ""}


def opened(root, **options) -> WebDataset:
    """A data set of which nothing has to be measured."""
    return WebDataset(root, WebDataset.Options(**{**FIXED, **options}))


def said(data: WebDataset, word: str) -> str:
    """The note with a word; '' without one."""
    return next((note for note in data.notes if word in note), "")


def test_two_pictures_of_a_sample_are_two_columns(tmp_path):
    write(tmp_path / "a.tar", sixteen("rgb.png", "thumb.png", "left.wav", "cls"))
    data = opened(tmp_path, modalities="audio,rgb,thumb")
    first = data.samples[0].inputs
    assert len({*first.values()}) == 3 and all("#bytes=" in source for source in first.values())
    note = said(data, "several visual files")
    assert "rgb (.rgb.png)" in note and "thumb (.thumb.png)" in note and not said(data, "several audio")
    assert opened(tmp_path).modalities == ("audio", "rgb") and "'thumb'" in said(opened(tmp_path), "not read")


def test_two_sounds_of_a_sample_are_two_columns(tmp_path):
    write(tmp_path / "a.tar", sixteen("left.wav", "right.wav", "cls"))
    data = opened(tmp_path, modalities="left,right", audio="left,right")
    assert {s.inputs["left"] != s.inputs["right"] for s in data.samples} == {True}
    assert "--set data.audio=left,right" in said(data, "several audio files")
    with pytest.raises(CurateError, match=r"^webdataset: two columns of paths .* left, right") as caught:
        opened(tmp_path)
    assert "data.modalities" in caught.value.hint


def test_the_same_ending_for_two_kinds_does_not_hide_the_label(tmp_path):
    names = ("label.png", "left.png", "left.wav", "right.wav", "cls")
    write(tmp_path / "a.tar", sixteen(*names))
    data = opened(tmp_path, modalities="left_png,left_wav,label_png", audio="left_wav")
    assert data.classes == CLASSES and len({*data.samples[0].inputs.values()}) == 3


def test_files_of_one_modality_without_names_of_their_own_are_chosen_by_a_rule_that_is_told(tmp_path):
    """A sound before that of a video, a video before a picture, else by name; in any order within the tar file."""
    files = sixteen("cls", "jpg", "mp4", "wav", "png", "PNG")
    for order in (sorted(files), sorted(files, key=lambda name: (name[:3], name), reverse=True)):
        write(tmp_path / "a.tar", {name: files[name] for name in order})
        data = opened(tmp_path)
        inputs = data.samples[0].inputs
        with tarfile.open(tmp_path / "a.tar") as archive:
            at = {m.name: f"a.tar#bytes={m.offset_data},{m.size}" for m in archive}
        assert inputs == {"audio": at["s00.wav"], "visual": at["s00.mp4"]}
        assert said(data, "visual is read from .mp4, not from .jpg: 16 samples")
        assert said(data, "audio is read from .wav, not from .mp4: 16 samples")
        assert "all but the last file of a name (16)" in said(data, "not read")


def test_a_name_with_dots_is_no_hundred_columns(tmp_path):
    write(tmp_path / "a.tar", {f"v1.{i:04}.{e}": b"x" for i in range(40) for e in ("png", "wav")})
    with pytest.raises(CurateError, match="40 different endings") as caught:
        opened(tmp_path)
    assert "without other dots" in caught.value.hint


def test_files_that_are_not_read_are_counted(tmp_path):
    files = sixteen("cls", "png", "wav", "npy", "caption.txt")
    write(tmp_path / "a.tar", {"README": b"x", "LICENSE.md": b"x", **files, "._s00.png": b"x"})
    with tarfile.open(tmp_path / "a.tar", "a") as archive:
        folder, link = tarfile.TarInfo("inner/"), tarfile.TarInfo("s15.jpg")
        folder.type, link.type, link.linkname = tarfile.DIRTYPE, tarfile.SYMTYPE, "s15.png"
        archive.addfile(folder)
        archive.addfile(link)
    data = opened(tmp_path)
    assert len(data.samples) == 16
    note = said(data, "files that are not read")
    assert all(one in note for one in (".npy (16)", ".caption.txt (16)", ".md (1)", "links (1)", "a dot (2)")), note
    write(tmp_path / "a.tar", sixteen("cls", "png", "wav"))
    assert not said(opened(tmp_path), "not read")


def test_names_that_begin_again_in_each_tar_file_get_the_file_in_their_ids(tmp_path):
    for name in ("0000", "inner/0001"):
        write(tmp_path / f"{name}.tar", {**sixteen("cls", "png", "wav"), "LICENSE.md": b"x"})
    data = opened(tmp_path)
    assert len({s.sample_id for s in data.samples}) == 32
    assert {s.sample_id for s in data.samples} >= {"0000-s00", "inner/0001-s00"}
    assert data.samples[0].inputs["visual"].partition("#")[0] == "0000.tar"
    assert "16 names of samples occur in several tar files, e.g. s00" in said(data, "several tar files")
    (tmp_path / "inner/0001.tar").unlink()
    data = opened(tmp_path)
    assert data.samples[0].sample_id == "s00" and not said(data, "several tar files")


def test_files_of_a_sample_that_lie_apart_are_refused(tmp_path):
    files = sixteen("cls", "png", "wav")
    write(tmp_path / "a.tar", dict(sorted(files.items(), key=lambda item: item[0].partition(".")[2])))
    with pytest.raises(CurateError, match="'s00' do not lie one after another") as caught:
        opened(tmp_path)
    assert "tar --sort=name" in caught.value.hint


def test_the_label_of_cls_comes_before_that_of_json(tmp_path):
    files = sixteen("cls", "png", "wav")
    del files["s02.cls"]
    files |= {f"s{i:02}.json": json.dumps({"label": "ant"}) for i in range(12)}
    write(tmp_path / "a.tar", dict(sorted(files.items())))
    data = opened(tmp_path)
    assert [s.label for s in data.samples[:4]] == ["ant", "bee", "ant", "bee"]
    assert said(data, "6 samples have one label in .cls and another in .json")


def test_errors_and_reasons_say_the_data_set_s_own_name(tmp_path):
    files = sixteen("cls", "png", "wav")
    write(tmp_path / "a.tar", {name: content for name, content in files.items() if name not in ("s03.wav", "s05.cls")})
    cache = prepare(opened(tmp_path), tmp_path / "cache")
    assert cache.reason["audio"][3] == "webdataset names no file"
    assert cache.reason["audio"][5] == "webdataset gives it no label"
    one_class = {name: "ant" if name.endswith("cls") else content for name, content in files.items()}
    write(tmp_path / "one" / "a.tar", one_class)
    for folder, options, told in (
        ("one", {}, "every row"),
        ("", {"size": -1}, "size"),
        ("", {"hop": 0}, "hop"),
        ("", {"fill": "x"}, "impossible settings"),
        ("", {"test_fraction": 0.95}, "nothing for train"),
        ("", {"modalities": "audio,depth"}, "no column 'depth'"),
    ):
        with pytest.raises(CurateError, match=told) as caught:
            opened(tmp_path / folder, **options)
        assert "manifest" not in f"{caught.value.message} {caught.value.hint}"


def test_tar_files_in_a_folder_with_a_dot_in_its_name_are_read(shards):
    every = {s.sample_id for s in WebDataset(shards, WebDataset.Options()).samples}
    (shards / "part.v2").mkdir()
    moved = min(shards.glob("*.tar"))
    moved.rename(shards / "part.v2" / moved.name)
    data = WebDataset(shards, WebDataset.Options())
    assert {s.sample_id for s in data.samples} == every
    assert sum(s.inputs["audio"].startswith(f"part.v2/{moved.name}#") for s in data.samples) == 4


def test_what_is_not_read_of_a_folder_of_tar_files_is_said(shards):
    """A compressed tar file beside the others, and what is over a mebibyte of a text."""
    (shards / "more.tar.gz").write_bytes(b"")
    (shards / "more.tgz").write_bytes(b"")
    with tarfile.open(shards / "clips-train-009.tar", "w") as archive:
        for name, content in (("t0.cls", b"x"), ("t0.txt", "\u00e9".encode() * MOST_TEXT), ("t1.cls", b"y")):
            add(archive, name, content)
    notes = " ".join(WebDataset(shards, WebDataset.Options()).notes)
    assert "compressed files are not read, unpack them: more.tar.gz, more.tgz (2 in all)" in notes
    assert "1 text or label is longer than 1 MiB" in notes
    for path in shards.glob("*.tar"):
        path.unlink()
    with pytest.raises(CurateError, match=r"no \.tar file") as raised:
        WebDataset(shards, WebDataset.Options())
    assert "unpack them: more.tar.gz" in raised.value.hint


def test_a_description_that_is_too_long_is_refused_by_its_size(shards):
    with tarfile.open(shards / "clips-train-009.tar", "w") as archive:
        add(archive, "t0.json", json.dumps({"label": "x", "more": "y" * MOST_TEXT}).encode())
    with pytest.raises(CurateError, match=r"t0\.json has 1,048,60\d bytes, and a description at most 1,048,576"):
        WebDataset(shards, WebDataset.Options())


def test_an_error_of_rows_names_the_file_and_the_row(shards):
    with tarfile.open(shards / "clips-train-000.tar", "w") as archive:
        for name, label in (("a", b"bark"), ("b", b"N/A")):
            add(archive, f"{name}.cls", label)
    with pytest.raises(CurateError, match=r"'N/A' in row 2 of clips-train-000\.tar: a class, or no label"):
        WebDataset(shards, WebDataset.Options())
