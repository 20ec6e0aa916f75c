"""NPZ archives are data, measured before they are read; whatever is wrong with one is a user's error."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import CurateError
from curate.files import npz
from curate.files.npz import open_npz, texts, write_npz
from curate.files.vectors import read_head, read_values


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def archive(path: Path, compression: int = zipfile.ZIP_STORED, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


GOOD = npy(np.arange(6.0).reshape(2, 3))


def test_shapes_are_known_before_and_arrays_are_as_saved(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.arange(6.0).reshape(2, 3), y=np.array(["é", "b"]))
    found = open_npz(tmp_path / "a.npz", "x")
    assert {k: v[0] for k, v in found.shapes.items()} == {"x": (2, 3), "y": (2,)}
    np.testing.assert_array_equal(found.load(["x"])["x"], np.arange(6.0).reshape(2, 3))
    assert texts(found.load(["y"])["y"], "y") == ["é", "b"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive",
        GOOD,
        b"PK\x03\x04",
        b"\x93NUMPY\x09\x09",
    ],
)
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(CurateError, match=r"a\.npz") as refused:
        open_npz(tmp_path / "a.npz", "arrays")
    assert refused.value.hint


@pytest.mark.parametrize(
    ("member", "told"),
    [
        (b"", "cannot be read"),
        (b"text", "cannot be read"),
        (GOOD[:-8], "has other bytes"),
        (GOOD + b"\0", "has other bytes"),
        (GOOD.replace(b"(2, 3)", b"(9, 9)"), "has other bytes"),
        (GOOD.replace(b"(2, 3)", b"(-2,3)"), "cannot be read"),
        (GOOD.replace(b"<f8", b"<z8"), "cannot be read"),
        (GOOD.replace(b"(2, 3)", b"10**10"), "cannot be read"),
        (npy(np.array([{}], dtype=object)), "holds Python objects"),
    ],
)
def test_a_member_that_is_none_is_refused(tmp_path, member, told):
    with pytest.raises(CurateError, match=told) as refused:
        open_npz(archive(tmp_path / "a.npz", x=member), "arrays")
    assert refused.value.hint


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    path = archive(tmp_path / "a.npz", zipfile.ZIP_DEFLATED, x=npy(np.zeros(1 << 20)))
    assert open_npz(path, "arrays").load(["x"])["x"].shape == (1 << 20,)  # 8 MB are no harm
    monkeypatch.setattr(npz, "BOMB_BYTES", 1 << 20)
    monkeypatch.setattr(np.lib.format, "read_array", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(CurateError, match=r"would unpack to 8\.389 MB"):
        open_npz(path, "arrays")


def test_archives_are_read_where_the_system_does_not_say_how_much_memory_there_is(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "sysconf")
    write_npz(tmp_path / "a.npz", {"x": np.arange(3)})
    assert open_npz(tmp_path / "a.npz", "anything").shapes["x"][0] == (3,)


@given(st.data())
def test_damage_anywhere_is_seen_or_does_no_harm(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("n") / "a.npz"
    archive(path, zipfile.ZIP_DEFLATED, x=GOOD, y=npy(np.array([b"a", b"\xff"])))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(bytes(content[: data.draw(st.integers(1, len(content)))]) if data.draw(st.booleans()) else content)
    try:
        found = open_npz(path, "arrays")
        loaded = found.load([n for n in found.shapes if n == "x"])
    except CurateError as refused:
        assert str(path) in refused.message and refused.hint
    else:
        assert all(np.array_equal(array, np.arange(6.0).reshape(2, 3)) for array in loaded.values())


def test_bytes_are_utf8_or_refused():
    assert texts(np.array(["é".encode(), b"b "]), "x") == ["é", "b"]
    with pytest.raises(CurateError, match="x holds bytes that are not UTF-8"):
        texts(np.array([b"\xff"]), "x")


@given(st.data(), st.sampled_from(["npy", "npz"]))
def test_damaged_features_are_read_or_refused(tmp_path_factory, data, suffix):
    path = tmp_path_factory.mktemp("v") / f"a.{suffix}"
    values = np.arange(60.0).reshape(20, 3)
    np.save(path, values) if suffix == "npy" else np.savez(path, sample_id=np.arange(20), features=values)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    path.write_bytes(content)
    try:
        head = read_head(path)
        assert read_values(path, (0,)).shape == (head.rows, head.dim)
    except CurateError as refused:
        assert str(path) in refused.message and refused.hint


def test_arrays_of_any_names_are_written_as_numpy_reads_them(tmp_path) -> None:
    """`file` and `allow_pickle` are arguments of `np.savez`, which takes no arrays of these names."""
    arrays = {
        "sample_id": np.array(["\u00e4", "b"]),
        "file": np.ones((2, 3), np.float32),
        "allow_pickle": np.zeros((2, 0)),
    }
    write_npz(tmp_path / "a.npz", arrays)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as found:
        assert found.files == list(arrays)
        for name, values in arrays.items():
            assert found[name].dtype == values.dtype and np.array_equal(found[name], values)
    assert set(open_npz(tmp_path / "a.npz", "anything").shapes) == set(arrays)
    with pytest.raises(ValueError, match="pickle"):
        write_npz(tmp_path / "a.npz", {"x": np.array([{}], dtype=object)})
    with np.load(tmp_path / "a.npz") as found:
        assert found.files == list(arrays), "the earlier file is whole"
