"""Full disks, places that cannot be written, damaged files: one line of error, and what was stored is as it was."""

from __future__ import annotations

import errno
import os
import random
import resource
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from curate.store.store import Store

V1 = Path(__file__).parents[1] / "curate" / "store" / "schema_v1.sql"


@contextmanager
def file_size(limit: int) -> Iterator[None]:
    """No file of this process grows beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts, with options, one small file system in memory, where that is allowed."""
    folder = tmp_path / "mounted"
    folder.mkdir()

    def mount(options: str) -> Path:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True)
        if done.returncode:
            pytest.skip("file systems cannot be mounted here")
        return folder

    yield mount
    subprocess.run(["umount", str(folder)], capture_output=True, check=False)


def predictions(rows: int) -> Path:
    """Saved predictions of so many samples."""
    rng = random.Random(0)
    lines = ["sample_id,label,a.x,a.y,v.x,v.y"]
    lines += [f"sample-{i},{rng.choice('xy')},{','.join(f'{rng.gauss(0, 2):.6f}' for _ in range(4))}"
              for i in range(rows)]  # fmt: skip
    path = Path("preds.csv")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.long
def test_a_disk_that_fills_while_a_round_is_written(refused: Callable, curate: Callable, db: Path) -> None:
    saved = predictions(20_000)
    with file_size(db.stat().st_size + 300_000):
        assert "cannot write curate.duckdb" in refused("score", "--predictions", saved)
    assert Store(db).query("SELECT count(*) FROM gap JOIN run USING (run_id) WHERE dataset = 'preds'")[1] == [(0,)]
    assert curate("score", "--predictions", saved).code == 0


def test_a_small_disk(curate: Callable, mounted: Callable[[str], Path], content: Callable, db: Path) -> None:
    table = Path(shutil.copy(db, mounted(f"size={db.stat().st_size + 600_000}")))
    before = content(table)
    ended = curate("score", "--predictions", predictions(20_000), "--db", table)
    assert ended.code == 1 and ended.out == ""
    assert [line.split(": ")[0] for line in ended.err.splitlines()] == ["preds.csv", "error", "hint"]
    assert f"cannot write {table}" in ended.err
    after = content(table)
    assert all(set(map(repr, rows)) <= set(map(repr, after[name])) for name, rows in before.items())


@pytest.mark.model
def test_a_disk_that_is_full_when_a_checkpoint_is_written(curate: Callable, db: Path, content: Callable) -> None:
    whole = content(db, unsteady=False)
    Store(db).runs.start(Store(db).runs.find())
    folder = db.with_suffix(".runs") / "score-manifest-1"
    (folder / "last.pt").unlink()
    (folder / "last.pt.partial").symlink_to("/dev/full")
    ended = curate("score", "--resume", "--quiet")
    assert ended.code == 1 and ended.out == ""
    assert [line.split(": ")[0] for line in ended.err.splitlines()] == ["error", "hint"]
    assert "cannot write the checkpoint" in ended.err and "--resume" in ended.err
    assert os.strerror(errno.ENOSPC) in ended.err
    assert Store(db).runs.find().status == "failed" and not (folder / "last.pt").exists()
    assert curate("score", "--resume").code == 0
    assert content(db, unsteady=False) == whole


@pytest.mark.long
def test_a_place_that_cannot_be_written(refused: Callable, curate: Callable, mounted: Callable, db: Path) -> None:
    folder = mounted("size=20m")
    table = Path(shutil.copy(db, folder))
    older = folder / "older.duckdb"
    with duckdb.connect(str(older)) as con:
        con.execute(V1.read_text())
        con.execute("INSERT INTO schema_version VALUES (1, 'curate')")
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    assert curate("sql", "SELECT count(*) FROM samples", "--db", table).code == 0
    for command in (
        ("score", "--predictions", predictions(3)),
        ("select", "--top", "3"),
        ("runs", "score-manifest-1", "--remove", "--yes"),
    ):
        assert str(folder) in refused(*command, "--db", table, db=table)
    told = refused("runs", "--db", older, db=Path("none.duckdb"))
    assert "older schema version" in told and "copy it to where you may write" in told
    assert str(folder) in refused("export", folder / "all.csv", "--db", table)
    assert str(folder) in refused("report", "--output", folder / "reports", "--db", table)


HEADERS = 3 * 4096


def scribble(path: Path) -> None:
    """Random bytes over all but the headers: what lies where in the file is DuckDB's choice."""
    content = path.read_bytes()
    path.write_bytes(content[:HEADERS] + random.Random(0).randbytes(len(content) - HEADERS))


def truncate(path: Path) -> None:
    """The first third alone."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])


def header_alone(path: Path) -> None:
    """The first block alone."""
    path.write_bytes(path.read_bytes()[:4096])


def noise(path: Path) -> None:
    """Nothing but random bytes."""
    path.write_bytes(random.Random(0).randbytes(300_000))


def zipped(path: Path) -> None:
    """A ZIP archive."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "b")


@pytest.mark.parametrize("damage", [scribble, truncate, header_alone, noise, zipped])
def test_a_damaged_table(refused: Callable, db: Path, damage: Callable[[Path], None]) -> None:
    damage(db)
    before = db.read_bytes()
    for command in (("runs",), ("sql", "SELECT DISTINCT gap FROM gap"), ("report",), ("export", "all.csv")):
        told = refused(*command, db=Path("none.duckdb"))
        assert "curate.duckdb" in told
    assert db.read_bytes() == before
    refused("score", "--predictions", predictions(3), db=Path("none.duckdb"))
