"""What fifty SIGKILLs at random moments of `curate score` and `curate train` do to the sample table.

Claim: the table always opens and contains only whole rounds, the next command goes on from there, and in the end every
row equals that of a run that was not killed. With several processes one of them is killed, drawn at random; the others
must end by themselves.
Run: python benchmarks/kills.py [--kills 50] [--seed 0] [--processes 1] [--sharded]; exits with 1 if the claim fails.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
import wave
from collections import Counter
from contextlib import suppress
from pathlib import Path

import duckdb
import numpy as np
import psutil
from PIL import Image

CLI = Path(__file__).parents[1] / "cli.py"
CLASSES, COUNT, RATE, SIDE = ("ant", "bee", "cow"), 90, 8000, 16
SMALL = (
    "data.rate=8000", "data.seconds=0.5", "data.n_fft=256", "data.hop=128", "data.n_mels=16", "data.size=16",
    "data.frames=1", "data.channels=1", "data.augment=none", "optim.batch_size=8", "optim.lr=0.05",
)  # fmt: skip
TABLES = ("run", "sample", "prediction", "gap", "mixture", "posterior", "epoch", "dynamic")
UNSTEADY = {"run": "started, finished, folder, versions, root, config"}
TORN = {
    "a round whose gaps, posteriors and predictions differ in number": """
        WITH g AS (SELECT run_id, round, count(*) AS n FROM gap GROUP BY ALL),
        p AS (SELECT run_id, round, count(*) AS n FROM posterior GROUP BY ALL),
        m AS (SELECT run_id, round, count(*) AS n FROM mixture GROUP BY ALL),
        q AS (SELECT run_id, round, count(*) / 3 AS n FROM prediction GROUP BY ALL)
        SELECT * FROM g FULL JOIN p USING (run_id, round) FULL JOIN m USING (run_id, round)
        LEFT JOIN q USING (run_id, round) JOIN run r USING (run_id)
        WHERE g.n IS DISTINCT FROM p.n OR m.n IS NULL OR g.n <> $samples
        OR CASE WHEN kind = 'train' AND round = 0 THEN q.n IS NOT NULL ELSE q.n IS DISTINCT FROM g.n END""",
    "epochs that are not 1, 2, 3, ...": """
        SELECT run_id FROM epoch WHERE split <> 'test' GROUP BY 1
        HAVING max(epoch) <> count(DISTINCT epoch) OR min(epoch) <> 1""",
    "an epoch that lacks numbers": """
        WITH n AS (SELECT run_id, epoch, count(*) AS n FROM epoch
            WHERE split <> 'test' AND metric <> 'wrong_labels' GROUP BY ALL) -- that one is of the run, at its end
        SELECT run_id FROM n GROUP BY 1 HAVING min(n) <> max(n)""",
    "dynamics of a part of an epoch": """
        SELECT run_id, epoch FROM dynamic GROUP BY ALL HAVING count(*) <> 3 * $samples""",
    "a run of another status": "SELECT run_id FROM run WHERE NOT list_contains($statuses, status)",
    "a key that is there twice": """
        SELECT run_id FROM prediction GROUP BY run_id, round, sample_id, modality HAVING count(*) > 1 UNION ALL
        SELECT run_id FROM gap GROUP BY run_id, round, sample_id, pair HAVING count(*) > 1 UNION ALL
        SELECT run_id FROM posterior GROUP BY run_id, round, sample_id, pair HAVING count(*) > 1 UNION ALL
        SELECT run_id FROM dynamic GROUP BY run_id, epoch, sample_id, modality HAVING count(*) > 1""",
}


def write_clips(folder: Path) -> Path:
    """A manifest of short tones and small pictures; both depend on the class."""
    folder.mkdir()
    rng, seconds = np.random.default_rng(0), np.arange(RATE // 2) / RATE
    rows = ["sample_id,label,split,audio,image"]
    for i in range(COUNT):
        k = i % len(CLASSES)
        split = "train" if i < COUNT * 2 // 3 else "val" if i < COUNT * 5 // 6 else "test"
        tone = 0.4 * np.sin(2 * np.pi * 300 * 3**k * seconds) + 0.1 * rng.standard_normal(len(seconds))
        with wave.open(str(folder / f"{i}.wav"), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            file.writeframes((tone.clip(-1, 1) * 32767).astype("<i2").tobytes())
        picture = (rng.integers(0, 60, (SIDE, SIDE)) + (80 * k if i % 4 else 97)).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"{i}.png")
        rows.append(f"s{i:02},{CLASSES[k]},{split},{i}.wav,{i}.png")
    path = folder / "clips.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


class Place:
    """A folder with a table of its own, in which the two commands are run in turn."""

    def __init__(self, folder: Path, clips: Path, processes: int, sharded: bool) -> None:
        folder.mkdir()
        self.folder, self.db, self.processes = folder, folder / "curate.duckdb", processes
        settings = [word for s in (*SMALL, f"model.sharded={str(sharded).lower()}") for word in ("--set", s)]
        self.first = {
            "score": ["score", "--dataset", "manifest", "--root", str(clips), "--epochs", "8", *settings],
            "train": ["train", "--method", "adaptive", "--epochs", "8", "--set", "method.rounds=4"],
        }

    def next(self) -> list[str] | None:
        """The command that goes on from the state of the table; None when both runs are done."""
        status = {}
        if self.db.exists():
            with duckdb.connect(str(self.db), read_only=True) as con:
                if con.execute("SELECT 1 FROM information_schema.tables WHERE table_name = 'run'").fetchone():
                    status = dict(con.execute("SELECT kind, status FROM run").fetchall())
        for kind, command in self.first.items():
            if status.get(kind) != "done":
                return [kind, "--resume"] if kind in status else command
        return None

    def start(self, command: list[str]) -> subprocess.Popen[str]:
        """Start a command as a process of its own."""
        return subprocess.Popen(
            [sys.executable, str(CLI), *command, "--processes", str(self.processes)],
            cwd=self.folder,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "CURATE_CACHE": str(self.folder / "cache"),
                 "CURATE_WORKERS": "0"},
        )  # fmt: skip

    def checkpoint(self, kind: str) -> Path:
        """The file that the command writes after every epoch."""
        name = {"score": "score-manifest-1", "train": "adaptive-manifest-1"}[kind]
        return self.folder / "curate.runs" / name / "last.pt"

    def torn(self) -> list[str]:
        """The faults of the table; raises if the table does not open."""
        if not self.db.exists():
            return []
        with duckdb.connect(str(self.db), read_only=True) as con:
            if not con.execute("SELECT 1 FROM information_schema.tables").fetchone():
                return []
            statuses = ["running", "done", *(["failed"] if self.processes > 1 else [])]  # the others end in order
            known = {"samples": COUNT * 2 // 3, "statuses": statuses}
            return [
                what
                for what, sql in TORN.items()
                if con.execute(sql, {k: v for k, v in known.items() if f"${k}" in sql}).fetchall()
            ]

    def content(self) -> dict[str, list[tuple[object, ...]]]:
        """Every row of every table, without times and paths."""
        with duckdb.connect(str(self.db), read_only=True) as con:
            found = {}
            for table in TABLES:
                but = f"EXCLUDE ({UNSTEADY[table]})" if table in UNSTEADY else ""
                where = "WHERE metric NOT IN ('seconds', 'memory')" if table == "epoch" else ""
                found[table] = con.execute(f"SELECT * {but} FROM {table} {where} ORDER BY ALL").fetchall()
            return found


def lives_until_a_moment(process: subprocess.Popen[str], checkpoint: Path, rng: random.Random, seconds: float) -> bool:
    """Wait until a random moment, in four of five cases after the first epoch; whether the process still runs then."""
    saves, since = rng.choice([0, 1, 1, 2, 3]), stamp(checkpoint)
    while saves and process.poll() is None:
        time.sleep(0.005)
        if (now := stamp(checkpoint)) != since:
            saves, since = saves - 1, now
    with suppress(subprocess.TimeoutExpired):
        process.wait(rng.uniform(0, 0.4) if since else rng.uniform(0, seconds))
    return process.poll() is None


def kill(process: subprocess.Popen[str], rng: random.Random) -> bool:
    """Kill one of the processes of a command, drawn at random; whether that ended the command and all others.

    A command that has just ended by itself has ended as well.
    """
    main = psutil.Process(process.pid)
    others = [p for p in main.children() if "spawn_main" in " ".join(p.as_dict(["cmdline"])["cmdline"] or ())]
    victim = rng.choice([main, *others])
    with suppress(psutil.NoSuchProcess):
        victim.kill()
    process.communicate()
    _, left = psutil.wait_procs(others, timeout=60)
    for other in left:
        other.kill()
    return (process.returncode != 0 or victim == main) and not left


def stamp(path: Path) -> int:
    """When a file was written, in nanoseconds; 0 if it does not exist."""
    return path.stat().st_mtime_ns if path.exists() else 0


def whole(place: Place) -> dict[str, float]:
    """Run both commands without a kill; return the seconds of each."""
    took = {}
    while command := place.next():
        started = time.perf_counter()
        process = place.start(command)
        _, err = process.communicate()
        if process.returncode:
            sys.exit(f"the unkilled {command[0]} failed: {err}")
        took[command[0]] = time.perf_counter() - started
    return took


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--sharded", action="store_true", help="divide the encoders' weights among the processes")
    options = parser.parse_args()
    rng, wrong, hit, cycles, compared = random.Random(options.seed), list[str](), Counter[str](), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        clips = write_clips(Path(folder) / "clips")
        reference = Place(Path(folder) / "whole", clips, options.processes, options.sharded)
        took = whole(reference)
        print(f"unkilled: score {took['score']:.1f} s, train {took['train']:.1f} s", flush=True)
        place = Place(Path(folder) / "0", clips, options.processes, options.sharded)
        left = {"score": options.kills // 2, "train": options.kills - options.kills // 2}
        while any(left.values()) or place.next():
            command = place.next()
            if command is None:
                compared += 1
                if place.content() != reference.content():
                    wrong.append(f"table {cycles} differs from an unkilled one")
                cycles += 1
                place = Place(Path(folder) / str(cycles), clips, options.processes, options.sharded)
                continue
            process = place.start(command)
            if left[command[0]]:
                alive = lives_until_a_moment(process, place.checkpoint(command[0]), rng, took[command[0]])
            else:
                alive, _ = False, process.wait()
            if not alive:
                _, err = process.communicate()
                if process.returncode:
                    wrong.append(f"{' '.join(command[:2])} ended with {process.returncode}: {err.splitlines()[-2:]}")
                    break
            else:
                if not kill(process, rng):
                    wrong.append(f"{' '.join(command[:2])} went on, or left processes behind, without one of its own")
                left[command[0]] -= 1
                hit[" ".join(command[:2]) if "--resume" in command else command[0]] += 1
                try:
                    wrong += [f"after kill {sum(hit.values())}: {what}" for what in place.torn()]
                except duckdb.Error as error:
                    wrong.append(f"after kill {sum(hit.values())} the table does not open: {error}")
                    break
        else:
            compared += 1
            if place.content() != reference.content():
                wrong.append(f"table {cycles} differs from an unkilled one")
    print(f"{'killed in':<16} times")
    for name, times in sorted(hit.items()):
        print(f"{name:<16} {times:>5}")
    print(f"{sum(hit.values())} kills, {compared} tables finished and compared row by row with an unkilled one")
    print("\n".join(wrong) if wrong else "every table opened, held whole rounds only, and ended as if never killed")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
