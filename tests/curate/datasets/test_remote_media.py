"""A manifest and media on a real S3 server of this process, against the same files in a folder."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from curate.datasets.cache import prepare
from curate.datasets.manifest import Manifest
from curate.errors import CurateError
from curate.files.remote import located

from ..conftest import tone, write_audio, write_picture

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("s3fs")
server = pytest.importorskip("moto.moto_server.werkzeug_app")
serving = pytest.importorskip("werkzeug.serving")

COUNT = 16
BROKEN = {"s03": "cut off", "s04": "not there", "s05": "empty"}
DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
BUSY = b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>try again</Message></Error>"


class Faulty:
    """moto's S3 server, in which keys can be given faults: an error, or the connection is closed half way.

    Attributes:
        faults: {end of a key: `denied`, `busy` or `half`}.
        asked: what was downloaded.
    """

    def __init__(self) -> None:
        self.inner = server.DomainDispatcherApplication(server.create_backend_app)
        self.faults: dict[str, str] = {}
        self.asked: list[str] = []

    def __call__(self, environ, start_response):
        path = environ["PATH_INFO"]
        fault = next((f for end, f in self.faults.items() if path.endswith(end)), "")
        if environ["REQUEST_METHOD"] == "GET" and "/data/" in path:
            self.asked.append(path.rpartition("/")[2])
        if fault in ("denied", "busy"):
            status, body = ("403 Forbidden", DENIED) if fault == "denied" else ("500 Internal Server Error", BUSY)
            start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
        found = self.inner(environ, start_response)
        if fault == "half" and environ["REQUEST_METHOD"] == "GET":
            whole = b"".join(found)
            return [whole[: len(whole) // 2]]
        return found


class Quiet(serving.WSGIRequestHandler):
    """Logs nothing."""

    def log_request(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def s3():
    """A bucket on a server of this process, with nothing of the machine's own configuration."""
    application = Faulty()
    made = serving.make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{made.server_port}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_CONFIG_FILE": "/nowhere",
        }.items():
            patch.setenv(name, value)
        patch.setattr("s3fs.S3FileSystem.retries", 1)
        system = fsspec.filesystem("s3", skip_instance_cache=True)
        system.mkdir("bucket")
        application.system, application.address, application.stop = system, address, made.shutdown
        yield application
        made.shutdown()
        made.server_close()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A manifest of 16 sounds and pictures, of which three sounds are broken."""
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "near"))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data"
    (folder / "clips").mkdir(parents=True)
    lines = ["sample_id,label,audio,visual"]
    for i in range(COUNT):
        sound = write_audio(folder / "clips" / f"{i:02}.wav", tone(200 + 20 * i, 2.0, 8000), 8000)
        write_picture(folder / "clips" / f"{i:02}.png", np.full((20, 20, 3), 10 * i, np.uint8))
        fault = BROKEN.get(f"s{i:02}")
        if fault == "not there":
            sound.unlink()
        elif fault:
            sound.write_bytes(sound.read_bytes()[: 400 if fault == "cut off" else 0])
        lines.append(f"s{i:02},{'ab'[i % 2]},clips/{i:02}.wav,clips/{i:02}.png")
    (folder / "clips.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def root(s3, folder):
    """The same in the bucket."""
    s3.faults.clear()
    if s3.system.exists("bucket/data"):
        s3.system.rm("bucket/data", recursive=True)
    s3.system.put(str(folder), "bucket/data", recursive=True, ACL="public-read")
    s3.asked.clear()
    return located("s3://bucket/data/clips.csv")


def opened(root: Path) -> Manifest:
    return Manifest(root, Manifest.Options(window="loudest"))


def same(one, other) -> bool:
    """Whether two caches have the same arrays and statuses, bit for bit."""
    arrays = all(np.array_equal(one.arrays[m], other.arrays[m]) for m in one.arrays)
    return arrays and all(one.status[m].tolist() == other.status[m].tolist() for m in one.status)


def test_arrays_statuses_and_notes_are_those_of_the_same_files_in_a_folder(s3, root, folder, tmp_path):
    """And each file is downloaded once."""
    there, here = opened(root), opened(folder / "clips.csv")
    plain = prepare(here, tmp_path / "a")
    assert set(plain.status["audio"]) == {"ok", "missing", "empty", "truncated"}
    found = prepare(there, tmp_path / "b")
    assert same(found, plain) and there.notes == here.notes and there.samples == here.samples
    assert found.reason["audio"][4] == "s3://bucket/data/clips/04.wav does not exist"
    assert "near" not in " ".join(found.reason["audio"]), "reasons name the file, not its copy"
    assert sorted(set(s3.asked)) == sorted(s3.asked) and len(s3.asked) == 2 * COUNT
    assert there.all_sources() == here.all_sources()


def test_what_cannot_be_reached_or_is_denied_is_tried_again(s3, root, folder, tmp_path):
    """A server that fails for a while, or a key that has run out, costs a second `prepare` of its files alone."""
    s3.faults.update({"10.wav": "denied", "11.wav": "busy", "12.png": "half"})
    data = opened(root)
    first = prepare(data, tmp_path / "c")
    statuses = {str(i): (str(a), str(v)) for i, a, v in zip(first.sample_ids, *first.status.values(), strict=True)}
    assert statuses["s10"] == ("unreadable", "ok") and "cannot be read" in first.reason["audio"][10]
    assert statuses["s11"] == statuses["s12"] == ("unreachable", "unreachable"), "they show the same stretch"
    s3.faults.clear()
    s3.asked.clear()
    assert same(prepare(data, tmp_path / "c"), first) and not s3.asked
    again = prepare(data, tmp_path / "c", retry=True)
    assert set(s3.asked) == {"10.wav", "11.wav", "12.png"}
    plain = prepare(opened(folder / "clips.csv"), tmp_path / "plain")
    for modality in ("audio", "visual"):
        assert again.status[modality].tolist() == plain.status[modality].tolist()
        assert np.array_equal(again.arrays[modality], plain.arrays[modality])


def test_a_cache_in_a_bucket_is_made_once_for_all_machines(s3, root, tmp_path, monkeypatch):
    shared = located("s3://bucket/cache")
    made = prepare(opened(root), shared)
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "another machine"))
    data = opened(root)
    s3.asked.clear()
    found = prepare(data, shared)
    assert same(found, made) and found.folder.is_relative_to(tmp_path / "another machine")
    assert not s3.asked, "nothing is decoded again"


def test_over_http_as_well(s3, root, tmp_path, monkeypatch):
    """A web server says less: what it denies and what it lacks are told apart all the same."""
    lines = [f"{i},{'ab'[i % 2]},{s3.address}/bucket/data/clips/{i:02}.wav,clips/{i:02}.png" for i in range(COUNT)]
    path = tmp_path / "data" / "web.csv"
    path.write_text("sample_id,label,audio,visual\n" + "\n".join(lines) + "\n")
    s3.faults.update({"10.wav": "denied", "11.wav": "busy"})
    found = prepare(opened(path), tmp_path / "c")
    status = dict(zip(found.sample_ids.tolist(), found.status["audio"].tolist(), strict=True))
    assert [status[i] for i in ("3", "4", "5", "10", "11", "12")] == [
        "truncated", "missing", "empty", "unreadable", "unreachable", "ok",
    ]  # fmt: skip


def test_predictions_selections_and_exports(s3, folder, curate, monkeypatch):
    """`score`, `select` and `export` from bucket to bucket, and what they say where that is not possible."""
    lines = ["sample_id,label,audio.a,audio.b,visual.a,visual.b"]
    rng = np.random.default_rng(0)
    for i in range(60):
        sign = 1 if i % 2 else -1
        a, v = 3 * sign + rng.normal(), (0 if i % 4 == 3 else 3 * sign) + rng.normal()
        lines.append(f"s{i:02},{'ab'[i % 2]},{-a},{a},{-v},{v}")
    s3.system.pipe("bucket/p.csv", "\n".join(lines).encode())
    assert curate("score", "--predictions", "s3://bucket/p.csv").code == 0
    ended = curate("select", "--top", "20", "--name", "best", "-o", "s3://bucket/out/best.txt")
    assert ended.code == 0 and len(s3.system.cat("bucket/out/best.txt").split()) == 20, ended
    ended = curate("export", "-o", "s3://bucket/out/all.csv", "--selection", "best")
    assert ended.code == 0 and "wrote 20 rows to s3://bucket/out/all.csv" in ended.err, ended
    assert len(s3.system.cat("bucket/out/all.csv").splitlines()) == 21
    assert curate("export", "--to", "hf", "s3://bucket/out/hub").code == 0
    assert s3.system.find("bucket/out/hub") == ["bucket/out/hub/train.parquet"]
    again = curate("export", "--to", "hf", "s3://bucket/out/hub")
    assert again.code == 1 and "is there already" in again.err, "nothing is written over"
    for words, said in (
        (
            ("score", "--predictions", "s3://bucket/absent.csv"),
            "no file or folder of predictions at s3://bucket/absent.csv",
        ),
        (("datasets", "manifest", "--root", "s3://bucket/absent.csv"), "s3://bucket/absent.csv does not exist"),
        (("datasets", "ave", "--root", "s3://bucket/data"), "s3://bucket/data is on another machine"),
    ):
        ended = curate(*words)
        assert ended.code == 1 and said in ended.err, ended


@pytest.mark.long
@pytest.mark.model
def test_the_whole_path_in_two_processes_with_little_room(s3, root, folder, tmp_path, curate):
    """A bound below the size of a file: what is not in use is deleted at once."""
    plain = prepare(opened(folder / "clips.csv"), tmp_path / "plain")
    shared, words = ("--cache", tmp_path / "c", "--max-cache-gb", "1e-5"), ("--dataset", "manifest", "--root", root)
    ended = curate("prepare", *words, *shared, "--workers", "2", "--set", "data.window=loudest")
    assert ended.code == 3 and f"{COUNT} items, {COUNT - 3} usable" in ended.out, ended
    sizes = [p.stat().st_size for p in (tmp_path / "near" / "remote").iterdir() if not p.name.startswith(".")]
    assert sum(sizes) <= 10_000
    assert same(prepare(opened(root), tmp_path / "c"), plain)
    small = ("--set", "model.encoder=small_cnn", "--epochs", "1", "--device", "cpu")
    ended = curate("score", *words, *shared, *small, "--set", "data.window=loudest")
    assert ended.code == 3 and "score-manifest-1" in ended.out, ended
    assert curate("select", "--top", "5", "--name", "best", "-o", "s3://bucket/best.csv").code == 0
    ended = curate("export", "-o", "s3://bucket/all.csv")
    assert ended.code == 0 and b"s3://bucket/data/clips/00.wav" in s3.system.cat("bucket/all.csv"), ended
    ended = curate("report", "-o", "s3://bucket/reports", "-q")
    assert ended.code == 0 and ended.out.strip().startswith("s3://bucket/reports/"), ended
    assert b"<html" in s3.system.cat(ended.out.strip())


def test_a_server_that_is_gone_is_told(s3, root, tmp_path, curate):
    """Last, since it ends the server."""
    data = opened(root)
    data.data_id()
    s3.stop()
    shutil.rmtree(tmp_path / "near", ignore_errors=True)
    with pytest.raises(CurateError, match="could not be read"):
        opened(root)
    with pytest.raises(CurateError, match="s3://bucket does not answer: 8 files in a row"):
        prepare(data, tmp_path / "c")
