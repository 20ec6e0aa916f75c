"""Decoding on a Ray cluster of two nodes on this machine, against the processes of `decode_rows`."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from curate.datasets import cluster as module
from curate.datasets.cache import prepare
from curate.datasets.cluster import ENGINES, decode_on_cluster
from curate.datasets.decoding import decode_rows
from curate.datasets.manifest import Manifest
from curate.errors import CurateError

from ..conftest import tone, write_audio, write_picture

COUNT = 600


def write(folder, count=COUNT):
    """A manifest of small sounds and pictures; every tenth sound is missing."""
    lines = ["sample_id,label,audio,visual"]
    for i in range(count):
        if i % 10:
            write_audio(folder / f"{i}.wav", tone(200 + i, 0.5, 8000), 8000)
        write_picture(folder / f"{i}.png", np.full((32, 32, 3), i % 256, np.uint8))
        lines.append(f"s{i:04},{'ab'[i % 2]},{i}.wav,{i}.png")
    path = folder / "clips.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def options(**changes):
    return Manifest.Options(window="loudest", rate=8000, seconds=0.5, n_fft=256, hop=128, frames=1, size=32, **changes)


class Deadly(Manifest):
    """Decoding two of its media ends the process."""

    def decode(self, sample, modality):
        if (sample.sample_id, modality) in (("s0003", "audio"), ("s0007", "visual")):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().decode(sample, modality)


def same(one, other) -> bool:
    """Whether two caches have the same arrays, statuses, reasons and facts."""
    arrays = all(np.array_equal(one.arrays[m], other.arrays[m]) for m in one.arrays)
    texts = all(
        np.array_equal(getattr(one, k)[m], getattr(other, k)[m]) for m in one.arrays for k in ("status", "reason")
    )
    return arrays and texts and one.facts == other.facts


def test_ray_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    data = Manifest(write(tmp_path, 20), options())
    with pytest.raises(CurateError, match="needs Ray") as error:
        prepare(data, tmp_path / "cache", engine=decode_on_cluster)
    assert error.value.hint == "pip install 'curate-mm[ray]'"


@pytest.mark.long
def test_an_address_without_a_cluster_is_told_at_once(tmp_path, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(CurateError, match=r"no Ray cluster, RAY_ADDRESS=127\.0\.0\.1:1"):
        prepare(Manifest(write(tmp_path, 20), options()), tmp_path / "cache", engine=decode_on_cluster)


@pytest.mark.parametrize(
    ("said", "told"), [(b"", "timed out"), (b"HTTP/1.1 400 Bad Request", "what listens there is not Ray")]
)
def test_an_address_where_something_else_listens_is_refused(said, told, tmp_path, monkeypatch):
    """It says nothing, or nothing of HTTP/2; Ray is not asked, which would wait for many minutes."""
    pytest.importorskip("ray")
    monkeypatch.setattr(module, "WAITS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        answering = pool.submit(answer, server, said)
        with pytest.raises(CurateError, match=f"no Ray cluster, RAY_ADDRESS={address}: {told}"):
            prepare(Manifest(write(tmp_path, 20), options()), tmp_path / "cache", engine=decode_on_cluster)
        answering.result()


def answer(server, said):
    """Say something to the first client, and wait until it has gone."""
    client, _ = server.accept()
    with client, suppress(ConnectionResetError):
        client.sendall(said)
        while client.recv(1024):
            pass


def test_a_broken_connection_to_ray_is_no_fault_of_the_cache(tmp_path, monkeypatch):
    """As when the head is killed; Python's error is that of a file which cannot be written."""
    ray = pytest.importorskip("ray")

    def broken(*_, **__):
        raise BrokenPipeError("Broken pipe")

    @contextmanager
    def connected(workers):
        yield SimpleNamespace(
            cluster_resources=dict, remote=ray.remote, wait=broken, cancel=broken, exceptions=ray.exceptions
        )

    monkeypatch.setattr(module, "_connected", connected)
    monkeypatch.setattr(ray.remote_function.RemoteFunction, "_remote", lambda *_, **__: object())
    with pytest.raises(CurateError, match="the Ray cluster was lost: Broken pipe") as error:
        prepare(Manifest(write(tmp_path, 20), options()), tmp_path / "cache", engine=decode_on_cluster)
    assert "goes on where it was" in error.value.hint


@pytest.fixture(scope="module")
def cluster():
    """A head without cores, and two nodes with two each."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        made.ends = [made.add_node(num_cpus=2) for _ in range(2)]
        made.wait_for_nodes()
        ray.init(address=made.address, log_to_driver=False)
        yield made
        ray.shutdown()
        made.shutdown()


@pytest.mark.long
def test_a_medium_that_kills_its_worker_is_the_only_one_lost(cluster, tmp_path):
    ray = pytest.importorskip("ray")
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    data = Deadly(write(tmp_path, 40), options())
    found = prepare(data, tmp_path / "cache", engine=decode_on_cluster)
    plain = prepare(Manifest(tmp_path / "clips.csv", options()), tmp_path / "plain")
    died = [
        (m, str(found.sample_ids[i]))
        for m in found.status
        for i in np.flatnonzero(found.status[m] == "decoder_crashed")
    ]
    assert sorted(died) == [("audio", "s0003"), ("visual", "s0007")]
    for m, row in (("audio", 3), ("visual", 7)):
        others = np.arange(40) != row
        assert np.array_equal(found.arrays[m][others], plain.arrays[m][others]) and not found.arrays[m][row].any()
        assert np.array_equal(found.status[m][others], plain.status[m][others])


@pytest.mark.long
def test_a_lost_node_costs_what_it_was_doing_and_nothing_else(cluster, tmp_path):
    """A node is killed after the first results: every row is reported once, and the cache is that of the processes."""
    data, told, left = Manifest(write(tmp_path), options()), Counter(), []

    def watched(dataset, partial, todo, workers):
        for outcomes in decode_on_cluster(dataset, partial, todo, workers):
            if not told:
                cluster.remove_node(cluster.ends.pop(), allow_graceful=False)
                left.append(len(todo) - len(outcomes))
            told.update(outcomes.keys())
            yield outcomes

    found = prepare(data, tmp_path / "cache", engine=watched)
    assert left[0] > COUNT / 2 and set(told) == set(range(COUNT)) and set(told.values()) == {1}
    assert same(found, prepare(data, tmp_path / "plain", workers=2))
    assert Counter(found.status["audio"].tolist()) == {"ok": COUNT * 9 // 10, "missing": COUNT // 10}


LOST = """
import os, signal, sys
from pathlib import Path

from curate.datasets import cluster as module
from curate.datasets.cache import prepare
from curate.datasets.cluster import decode_on_cluster
from curate.errors import CurateError
from {module} import Manifest, options

def raylets():
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            name, _, fields = (entry / "stat").read_text().partition("(")[2].rpartition(")")
        except OSError:  # it has ended meanwhile
            continue
        if name == "raylet" and int(fields.split()[1]) == os.getpid():
            yield int(entry.name)

def watched(*asked):
    for outcomes in decode_on_cluster(*asked):
        for process in raylets():
            os.kill(process, signal.SIGKILL)
        yield outcomes

if __name__ == "__main__":
    try:
        prepare(Manifest(Path("clips.csv"), options()), Path("cache"), workers=2, engine=watched)
    except CurateError as error:
        sys.exit(error.message)
"""


@pytest.mark.long
def test_a_lost_cluster_is_no_fault_of_the_media(tmp_path, monkeypatch):
    """The only node is killed after the first results: what is decoded is kept, and the rest is decoded later."""
    pytest.importorskip("ray")
    write(tmp_path)
    (tmp_path / "lost.py").write_text(LOST.format(module=__name__))
    env = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
    env["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
    with tempfile.TemporaryDirectory() as own:  # with no other cluster in it, and a short name for sockets
        env["RAY_TMPDIR"] = own
        ended = subprocess.run(
            [sys.executable, "lost.py"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300
        )
    assert ended.returncode == 1 and "the Ray cluster was lost" in ended.stderr, ended.stderr[-2000:]
    monkeypatch.chdir(tmp_path)
    data = Manifest(Path("clips.csv"), options())
    assert same(prepare(data, Path("cache"), workers=2), prepare(data, tmp_path / "plain", workers=2))


def test_without_an_address_a_cluster_is_started_though_another_one_runs_on_this_machine(tmp_path, monkeypatch):
    """Ray would take that one, and refuse a number of cores."""
    ray, asked = pytest.importorskip("ray"), []

    def init(**given):
        asked.append(given)
        raise RuntimeError("not started")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(CurateError, match="no Ray cluster, one on this machine: not started"):
        prepare(Manifest(write(tmp_path, 20), options()), tmp_path / "cache", workers=2, engine=decode_on_cluster)
    assert [(given["address"], given["num_cpus"]) for given in asked] == [("local", 2)]


@pytest.mark.parametrize("command", ["prepare", pytest.param("score", marks=[pytest.mark.model, pytest.mark.long])])
def test_commands_decode_with_the_engine_that_is_named(command, curate, workplace, monkeypatch):
    asked = []

    def noted(dataset, partial, todo, workers):
        asked.append(len(todo))
        return decode_rows(dataset, partial, todo, 0)

    monkeypatch.setitem(ENGINES, "ray", noted)
    words = ["--dataset", "manifest", "--root", write(workplace, 20), "--engine", "ray"]
    ended = curate(command, *words, *(["--epochs", "1", "--device", "cpu"] if command == "score" else []))
    assert ended.code == 3 and asked == [20], ended
