"""What SIGKILLs of Ray's workers and machines and of an S3 server do to `curate prepare`: `python benchmarks/lost.py`.

Claim: nothing is lost and nothing is there twice. With a lost worker or machine the command itself makes the cache that
it makes otherwise, byte for byte; with a server that was away it says which media it did not reach, and the next
`curate prepare` reads those. Exits with 1 if the claim fails. [--kills 30] [--seed 0]
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
from cluster import write_clips
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import make_server

CLI = Path(__file__).parents[1] / "cli.py"
COUNT = 300
ENOUGH = 20
"""Commands that may be needed until every medium was reached."""
NOT_USABLE, UNREAD = 3, 1
"""The command's exit status where media could not be used, and where the manifest or many files could not be read."""
S3 = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1",
      "AWS_MAX_ATTEMPTS": "1", "AWS_CONFIG_FILE": "/nowhere"}  # fmt: skip


def start(root: str | Path, cache: Path, *more: str, **variables: str) -> subprocess.Popen[str]:
    """`curate prepare` of the clips."""
    command = [sys.executable, str(CLI), "prepare", "--dataset", "manifest", "--root", str(root), *more]
    own = {**os.environ, "CURATE_CACHE": str(cache), "OMP_NUM_THREADS": "1", **variables}
    return subprocess.Popen(
        [*command, "--workers", "2"],
        cwd=cache.parent, text=True, env=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def decoded(cache: Path) -> dict[str, object]:
    """The arrays of the newest finished cache as bytes, and what is written of every medium; {} without one.

    A file that cannot be reached at the beginning has no time, so that cache has another name than the next.
    """
    made = sorted(cache.rglob("status.json"), key=lambda path: path.stat().st_mtime_ns)
    if not made:
        return {}
    written = json.loads(made[-1].read_text())
    arrays = {path.name: path.read_bytes() for path in made[-1].parent.glob("*.npy")}
    return {**arrays, "sample_ids": written["sample_ids"], "media": written["media"]}


class Server:
    """An S3 server in a process of its own, which after a kill serves the same bucket again."""

    def __init__(self, folder: Path) -> None:
        backend = s3_backends["123456789012"]["aws"]  # the memory that every process of the server begins with
        backend.create_bucket("bucket", "us-east-1")
        for path in sorted(folder.iterdir()):
            backend.put_object("bucket", f"data/{path.name}", path.read_bytes())
        listening = make_server("127.0.0.1", 0, create_backend_app("s3"))
        self.port = listening.server_port
        listening.server_close()
        self.begin()

    def begin(self) -> None:
        """Serve."""
        self.process = multiprocessing.get_context("fork").Process(target=self._serve, daemon=True)
        self.process.start()

    def _serve(self) -> None:
        logging.disable()
        application = DomainDispatcherApplication(create_backend_app)
        make_server("127.0.0.1", self.port, application, threaded=True).serve_forever()

    def end(self) -> None:
        """Be gone."""
        self.process.kill()
        self.process.join()


def lost_server(
    folder: Path, expected: dict[str, object], kills: int, rng: random.Random
) -> tuple[Counter[str], list[str]]:
    """Kill the server while media are read from it, and start it again after a while."""
    server, cache, tries = Server(folder / "clips"), folder / "0", 0
    given = {**S3, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.port}"}
    hit, wrong = Counter[str](), list[str]()
    while True:
        process, tries = start("s3://bucket/data/clips.csv", cache, **given), tries + 1
        while hit["server"] < kills and not ends(process, rng.uniform(0.5, 6)):
            server.end()
            hit["server"] += 1
            ends(process, rng.uniform(0, 2))
            server.begin()
        said = process.communicate()[0]
        if "Traceback" in said or process.returncode not in (0, NOT_USABLE, UNREAD) or tries > ENOUGH:
            return hit, [*wrong, f"after {hit['server']} kills of the server: {said[-400:]}"]
        found = decoded(cache)
        if found and "unreachable" not in json.dumps(found["media"]):
            if found != expected:
                wrong.append(f"the cache after {hit['server']} kills of the server is another one")
            if hit["server"] >= kills:
                server.end()
                return hit, wrong
            cache, tries = folder / str(hit["server"]), 0


def lost_workers(
    folder: Path, expected: dict[str, object], kills: int, rng: random.Random
) -> tuple[Counter[str], list[str]]:
    """Kill a worker or a whole machine of the cluster while it decodes."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    machines, hit, wrong = [cluster.add_node(num_cpus=1) for _ in range(2)], Counter[str](), list[str]()
    cluster.wait_for_nodes()
    while sum(hit.values()) < kills:
        cache = folder / f"ray-{sum(hit.values())}"
        process = start(folder / "clips" / "clips.csv", cache, "--engine", "ray", RAY_ADDRESS=cluster.address)
        while not (busy := workers()) and process.poll() is None:
            time.sleep(0.02)
        for _ in range(2):
            if ends(process, rng.uniform(0, 3)) or not (busy := workers()):
                break
            if rng.random() < 0.75:
                rng.choice(busy).kill()
                hit["Ray worker"] += 1
            else:
                cluster.remove_node(machines.pop(rng.randrange(2)), allow_graceful=False)
                machines.append(cluster.add_node(num_cpus=1))
                hit["machine of the cluster"] += 1
        said = process.communicate()[0]
        if process.returncode or decoded(cache) != expected:
            wrong.append(f"after {sum(hit.values())} kills in the cluster: {said[-400:]}")
    cluster.shutdown()
    return hit, wrong


def ends(process: subprocess.Popen[str], seconds: float) -> bool:
    """Whether a process ends within a time."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.poll() is not None


def workers() -> list[psutil.Process]:
    """The processes that decode for Ray at this moment."""
    return [p for p in psutil.process_iter(["cmdline"]) if " ".join(p.info["cmdline"] or ()).startswith("ray::_decode")]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, hit, wrong = random.Random(options.seed), Counter[str](), list[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "clips").mkdir()
        root = write_clips(folder / "clips", COUNT, 44_100, 8.0, 256)
        whole = start(root, folder / "whole")
        said, expected = whole.communicate()[0], decoded(folder / "whole")
        if whole.returncode or not expected:
            sys.exit(f"the unkilled prepare failed: {said}")
        for work in (lost_server, lost_workers):  # the server first: it forks, and Ray starts threads
            found, faults = work(folder, expected, options.kills // 2, rng)
            hit, wrong = hit + found, wrong + faults
            print("\n".join(f"{what:<24} killed {times} times" for what, times in found.items()), flush=True)
    told = "every medium is there once, and every cache equals that of a run that lost nothing"
    print("\n".join(wrong) if wrong else f"{sum(hit.values())} kills: {told}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
