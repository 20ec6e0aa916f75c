"""Names of remote files, their copies on this machine, and what is uploaded; on a file system in memory."""

from __future__ import annotations

import os
import pickle
import random
import sys
import tarfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import duckdb
import fsspec
import numpy as np
import pytest

from curate.errors import CurateError
from curate.files.copies import FOLDER, TOTAL, obtain, trim
from curate.files.logins import login
from curate.files.remote import Remote, RemoteError, beside, local, located
from curate.files.stamps import checksum, stamps
from curate.files.tables import open_table
from curate.files.vectors import read_head, read_values
from curate.files.writing import replacing

KB = 1e-6


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """An empty file system, and the folder of the copies."""
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path))
    system = fsspec.filesystem("memory")
    monkeypatch.setattr(type(system), "store", {})
    monkeypatch.setattr(type(system), "pseudo_dirs", [""])
    return system


def test_a_name_keeps_its_protocol_through_all_that_paths_do():
    name = located("s3://bucket/a/clips.csv")
    assert [str(p) for p in (name, name.parent, name.parent / "b" / "c.wav", name.with_suffix(".x"))] == [
        "s3://bucket/a/clips.csv", "s3://bucket/a", "s3://bucket/a/b/c.wav", "s3://bucket/a/clips.x",
    ]  # fmt: skip
    assert (name.name, name.suffix, name.stem) == ("clips.csv", ".csv", "clips")
    for other in (pickle.loads(pickle.dumps(name)), located(Path("s3://bucket/a/clips.csv")), name.absolute()):
        assert isinstance(other, Remote) and other == name and hash(other) == hash(name)
    assert str(located("zip://a.wav::s3://bucket/x.zip")) == "zip://a.wav::s3://bucket/x.zip"
    for text in ("/data/clips.csv", "clips.csv", "c:/clips.csv", "a:b"):
        assert not isinstance(located(text), Remote) and located(text) == Path(text)
    assert located("file:///data/a.csv") == Path("/data/a.csv")


def test_a_url_of_this_machine_is_read_as_it_is_written_or_with_its_signs_decoded(tmp_path):
    spaced, literal = tmp_path / "a b.csv", tmp_path / "a%20c.csv"
    for path in (spaced, literal):
        path.touch()
    assert located(spaced.as_uri()) == spaced and located(f"file://{spaced}") == spaced
    assert located(f"file://{literal}") == literal


def test_a_file_within_a_file_of_this_machine_is_found(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"sound")
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(tmp_path / "a.wav", "a.wav")
    name = located(f"tar://a.wav::file://{tmp_path}/x.tar")
    assert str(name) == f"tar://a.wav::file://{tmp_path}/x.tar" and located(str(name)) == name
    with name.open("rb") as file:
        assert file.read() == b"sound"


def test_a_time_is_no_checksum_however_it_is_written():
    """Files of one size that were written at one time, as those of an archive are, need not be the same."""
    times = ("2024-05-01T10:00:00Z", "2024-05-01 10:00:00+00:00", "1714557600", "1714557600.25")
    assert [checksum([4, time]) for time in times] == [None] * 4
    assert checksum([4, "0a1b"]) == "4 0a1b" and checksum(None) is checksum([4, None]) is None


def test_a_path_in_a_table_is_relative_to_the_table_wherever_it_is():
    bucket, here = located("s3://bucket/lists"), Path("/data")
    assert str(beside(bucket, "a.wav")) == "s3://bucket/lists/a.wav"
    assert str(beside(bucket, "../wav/a.wav")) == "s3://bucket/wav/a.wav"
    assert beside(bucket, "/data/a.wav") == Path("/data/a.wav") == beside(here, "a.wav")
    assert str(beside(here, "gs://other/a.wav")) == "gs://other/a.wav" == str(beside(bucket, "gs://other/a.wav"))


def test_questions_and_errors(memory):
    memory.pipe({"/d/a.txt": b"hello", "/d/inner/b.txt": b""})
    folder = located("memory://d")
    assert (folder.is_dir(), folder.is_file(), folder.exists()) == (True, False, True)
    assert ((folder / "a.txt").is_dir(), (folder / "a.txt").is_file(), (folder / "c").exists()) == (False, True, False)
    assert sorted(p.name for p in folder.iterdir()) == ["a.txt", "inner"]
    assert (folder / "a.txt").open().read() == "hello"
    found = stamps([folder / "a.txt", folder / "c"])
    assert found[folder / "a.txt"][0] == 5 and found[folder / "c"] is None
    for name in ("memory://d/c", "memory://d"):
        with pytest.raises(RemoteError) as error, local(located(name)):
            pass
        assert error.value.status == "missing" and name in error.value.message


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(CurateError) as error:
        located("gs://bucket/clips.csv").exists()
    assert "gs://bucket/clips.csv" in error.value.message and error.value.hint == "pip install gcsfs"
    with pytest.raises(CurateError, match="nowhere://a"):
        located("nowhere://a").exists()


def test_a_changed_file_is_read_again_and_one_that_was_cut_off_never(memory, monkeypatch):
    path = located("memory://d/a.csv")
    memory.pipe("/d/a.csv", b"sample_id,x\n1,2\n")
    assert open_table(path, (), ("sample_id",), "").read(["x"]).texts == {"x": ["2"]}
    memory.pipe("/d/a.csv", b"sample_id,x\n1,3\n")
    assert open_table(path, (), ("sample_id",), "").read(["x"]).texts == {"x": ["3"]}
    memory.pipe("/d/a.csv", b"sample_id,x\n1,4\n")
    monkeypatch.setattr(type(memory), "get_file", lambda self, name, file: Path(file).write_bytes(b"sample"))
    with pytest.raises(RemoteError, match="6 of its 16 bytes") as error, local(path):
        pass
    assert error.value.status == "unreachable"


def test_what_is_written_appears_whole_at_the_end_and_replaces_with_a_word(memory, caplog, tmp_path):
    path = located("memory://out/a.csv")
    with pytest.raises(ZeroDivisionError), replacing(path) as fresh:
        fresh.write_text("half")
        raise ZeroDivisionError
    assert not memory.find("/")
    for text in ("one", "two"):
        assert not caplog.records
        with replacing(path) as fresh:
            fresh.write_text(text)
            assert memory.find("/") == ([] if text == "one" else ["/out/a.csv"])
        assert memory.cat("/out/a.csv") == text.encode()
    assert [r.getMessage() for r in caplog.records] == ["replaced memory://out/a.csv"]


def test_a_place_that_cannot_be_asked_is_written_or_its_error_is_of_writing(memory, monkeypatch):
    def refused(self, *_, **__):
        raise OSError("no connection")

    path = located("memory://out/a.csv")
    monkeypatch.setattr(type(memory), "info", refused)
    with replacing(path) as fresh:
        fresh.write_text("one")
    assert memory.cat("/out/a.csv") == b"one", "who may write there may not always read"
    monkeypatch.setattr(type(memory), "put_file", refused)
    with pytest.raises(CurateError, match=r"cannot write memory://out/a\.csv: no connection"), replacing(path) as fresh:
        fresh.write_text("two")


def test_a_place_that_does_not_answer_is_named_with_what_to_do(memory, monkeypatch, tmp_path):
    """For all that is read or written there: a manifest, a folder of an export, a file."""

    def away(*_, **__):
        raise OSError("no connection")

    path = located("memory://bucket/out")
    monkeypatch.setattr(type(memory), "info", away)
    monkeypatch.setattr(type(memory), "put_file", away)
    for ask in (path.exists, path.open):
        with pytest.raises(RemoteError, match="memory://bucket/out could not be read: no connection") as error:
            ask()
        assert error.value.hint.startswith("check that memory://bucket can be reached, and give the command again")
    with pytest.raises(CurateError, match="cannot write memory://bucket/out") as error, replacing(path) as fresh:
        fresh.write_text("x")
    assert "that memory://bucket can be reached" in error.value.hint


def test_arrays_and_tables_of_every_format_are_read(memory, tmp_path):
    """NPY, NPZ and Parquet, whose readers need a file of this machine."""
    ids, values = np.array(["a", "b", "c"]), np.arange(6.0).reshape(3, 2)
    np.save(tmp_path / "f.npy", values)
    np.savez(tmp_path / "f.npz", sample_id=ids, features=values)
    with duckdb.connect() as con:
        rows = "SELECT chr((97 + i)::INT) AS sample_id, 2.0 * i AS x, 2.0 * i + 1 AS y FROM range(3) t(i)"
        con.execute(f"COPY ({rows}) TO '{tmp_path / 'f.parquet'}' (FORMAT parquet)")
    for ending in ("npy", "npz", "parquet"):
        memory.put_file(str(tmp_path / f"f.{ending}"), f"/d/f.{ending}")
        path = located(f"memory://d/f.{ending}")
        head = read_head(path)
        assert (head.rows, head.dim) == (3, 2) and np.array_equal(read_values(path, ()), values)
        assert ending == "npy" or head.keys["sample_id"].tolist() == ["a", "b", "c"]
    found = open_table(located("memory://d/f.parquet"), (), ("sample_id",), "").read(["sample_id"], ["x", "y"])
    assert found.texts["sample_id"] == ["a", "b", "c"] and np.array_equal(found.numbers, values)


def kept(folder: Path) -> set[str]:
    """What the copies contain."""
    return {p.read_text()[0] for p in (folder / FOLDER).iterdir() if not p.name.startswith(".")}


def test_copies_take_no_more_than_the_bound_and_those_unused_for_longest_go(memory, monkeypatch, tmp_path):
    """Ten kilobytes a file, and room for three of them, less the tenth that is made free."""
    monkeypatch.setenv("CURATE_MAX_CACHE_GB", str(34 * KB))
    for name in "abcde":
        memory.pipe(f"/{name}", name.encode() * 10_000)
    now = iter(range(100, 200))
    monkeypatch.setattr(os, "utime", lambda path, utime=os.utime: utime(path, (t := next(now), t)))

    def read(name: str) -> None:
        with local(located(f"memory://{name}")) as file:
            assert file.read_text() == name * 10_000

    for name in "abca":
        read(name)
    assert kept(tmp_path) == {"a", "b", "c"}
    read("d")
    assert kept(tmp_path) == {"a", "c", "d"}, "b was unused for longest"
    with local(located("memory://a")) as held:
        monkeypatch.setenv("CURATE_MAX_CACHE_GB", "0")
        read("e")
        assert kept(tmp_path) == {"a"} and held.read_text() == "a" * 10_000, "what is in use stays"
    with local(located("memory://b")) as file:
        assert file.read_text() == "b" * 10_000
    assert kept(tmp_path) == set()


def test_copies_that_are_being_made_count_as_whole(memory, monkeypatch, tmp_path):
    """Room for three files: while one is on its way, three others are read, and the copies are counted."""
    monkeypatch.setenv("CURATE_MAX_CACHE_GB", str(34 * KB))
    for name in "abc":
        memory.pipe(f"/{name}", name.encode() * 10_000)

    def fetch(path: Path) -> None:
        for name in "abc":
            with local(located(f"memory://{name}")):
                pass
        path.write_text("x" * 10_000)

    with obtain("x", ".txt", 10_000, fetch):
        assert "x" in kept(tmp_path) and len(kept(tmp_path)) <= 3


def test_a_copy_of_unknown_size_counts_once(memory, monkeypatch, tmp_path):
    """There is room for it beside the two others, also if the copies are counted when its size is known."""
    monkeypatch.setenv("CURATE_MAX_CACHE_GB", str(34 * KB))
    for name in "ab":
        with obtain(name, ".txt", 10_000, lambda path, name=name: path.write_text(name * 10_000)):
            pass

    def fetch(path: Path) -> None:
        path.write_text("x" * 10_000)
        (tmp_path / FOLDER / TOTAL).unlink()

    with obtain("x", ".txt", 0, fetch):
        assert kept(tmp_path) == {"a", "b", "x"}
        assert (tmp_path / FOLDER / TOTAL).read_text() == "30000"


def test_a_file_of_unknown_size_that_exceeds_the_bound_goes_too(memory, monkeypatch, tmp_path):
    monkeypatch.setenv("CURATE_MAX_CACHE_GB", str(5 * KB))
    memory.pipe("/a", b"a" * 10_000)
    info = memory.info
    monkeypatch.setattr(type(memory), "info", lambda _, path, **more: {**info(path, **more), "size": None})
    with local(located("memory://a")) as file:
        assert file.stat().st_size == 10_000
    assert kept(tmp_path) == set()


def test_copies_that_could_not_be_made_take_nothing(memory, monkeypatch, tmp_path):
    def fetch(path: Path) -> None:
        path.write_text("x" * 5_000)
        raise OSError("cut off")

    for size in (10_000, 0):
        with pytest.raises(OSError, match="cut off"):
            obtain("x", ".txt", size, fetch)
        assert (tmp_path / FOLDER / TOTAL).read_text() == "0" and kept(tmp_path) == set()


def test_a_copy_that_exceeds_the_bound_goes_whatever_is_written_of_the_bytes(memory, monkeypatch, tmp_path):
    monkeypatch.setenv("CURATE_MAX_CACHE_GB", str(5 * KB))
    memory.pipe("/a", b"a" * 10_000)
    with local(located("memory://a")):
        (tmp_path / FOLDER / TOTAL).write_text("0")
    assert kept(tmp_path) == set()


def test_what_a_killed_process_left_is_deleted_after_a_day(memory, monkeypatch, tmp_path):
    """A young one may be of a process that is still reading."""
    monkeypatch.setenv("CURATE_MAX_CACHE_GB", str(30 * KB))
    memory.pipe("/a", b"a" * 10_000)
    (tmp_path / FOLDER).mkdir()
    for name, hours in ((".part-old", 25), (".part-young", 23)):
        (tmp_path / FOLDER / name).write_bytes(b"x" * 15_000)
        os.utime(tmp_path / FOLDER / name, (time.time() - hours * 3600,) * 2)
    with local(located("memory://a")):
        pass
    names = {p.name for p in (tmp_path / FOLDER).iterdir()}
    assert ".part-young" in names and ".part-old" not in names and kept(tmp_path) == {"a"}


def work(seed: int) -> int:
    """Read many files, in any order, together with others; returns how many had the wrong content."""
    rng, wrong = random.Random(seed), 0
    for _ in range(150):
        text = rng.choice("abcdefghijkl") * 1000
        with obtain(text[0], ".txt", 1000, lambda path, text=text: path.write_text(text)) as file:
            wrong += Path(file.name).read_text() != text
        trim(1000)
    return wrong


@pytest.mark.long
def test_several_processes_share_the_copies(monkeypatch, tmp_path):
    """With room for four of twelve files, each process reads every file whole, and the bound is kept at the end."""
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path))
    monkeypatch.setenv("CURATE_MAX_CACHE_GB", str(4 * KB))
    with ProcessPoolExecutor(3, get_context("spawn")) as pool:
        assert list(pool.map(work, range(3))) == [0, 0, 0]
    sizes = [p.stat().st_size for p in (tmp_path / FOLDER).iterdir() if not p.name.startswith(".")]
    assert 0 < sum(sizes) <= 4000 and set(sizes) == {1000}


class NoCredentialsError(Exception):
    """Of this name is the error of the packages that read buckets."""


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (NoCredentialsError("none found"), "give memory:// its credentials"),
        (TimeoutError("no answer"), "check that memory://bucket can be reached"),
    ],
)
def test_credentials_that_are_missing_are_what_the_hint_is_about(error, hint, memory, monkeypatch):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(type(memory), "info", fails)
    with pytest.raises(RemoteError) as told:
        located("memory://bucket/clips.csv").exists()
    assert told.value.status == "unreachable" and told.value.hint.startswith(hint)


def test_the_credentials_of_s3_are_named():
    assert "AWS_ACCESS_KEY_ID" in login(located("s3://bucket/clips.csv"), NoCredentialsError())
