"""The main job on a tiny data set: score, select, train, evaluate, and everything that reads the table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from curate.train.methods import catalog

Curate = Callable[..., object]


def epochs_of(method: str) -> str:
    """A few epochs; as many as it has rounds, where it has rounds."""
    knobs = next(e.knobs for e in catalog.entries() if e.name == method)
    return knobs["rounds"][1] if "rounds" in knobs else "1"


def test_score_writes_every_training_sample(db: Path) -> None:
    with duckdb.connect(str(db), read_only=True) as con:
        counts = con.execute("SELECT split, count(p_balanced), count(*) FROM samples GROUP BY 1 ORDER BY 1").fetchall()
    assert counts == [("test", 0, 6), ("train", 24, 24), ("val", 0, 6)]


def test_score_tells_the_mixture(curate: Curate, clips: Path, small_settings: Callable) -> None:
    ended = curate(
        "score",
        "--dataset",
        "manifest",
        "--root",
        clips,
        "--epochs",
        "1",
        "--gap",
        "kl",
        "--family",
        "student-t",
        *small_settings(),
    )
    assert ended.code == 0
    assert ended.out.startswith("score-manifest-1: 24 training samples")
    assert "student-t mixture of the kl gap audio - image, the paper's form" in ended.out
    assert "balanced" in ended.out and "p_balanced < 0.5 on" in ended.out


def test_same_seed_gives_the_same_table(
    curate: Curate, db: Path, clips: Path, small_settings: Callable, content: Callable
) -> None:
    options = ("--dataset", "manifest", "--root", clips, "--epochs", "4", "--db", "again.duckdb", *small_settings())
    assert curate("score", *options).code == 0
    first, second = content(db, unsteady=False), content(Path("again.duckdb"), unsteady=False)
    assert len(first["prediction"]) == 24 * 3
    assert first == second


@pytest.mark.long
def test_other_seed_gives_another_table(
    curate: Curate, db: Path, clips: Path, small_settings: Callable, content: Callable
) -> None:
    ended = curate(
        "score",
        "--dataset",
        "manifest",
        "--root",
        clips,
        "--epochs",
        "4",
        "--db",
        "again.duckdb",
        "--seed",
        "1",
        *small_settings(),
    )
    assert ended.code == 0
    assert content(db)["gap"] != content(Path("again.duckdb"))["gap"]


def test_scoring_with_a_checkpoint_repeats_its_scores(
    curate: Curate, db: Path, clips: Path, small_settings: Callable, content: Callable
) -> None:
    ended = curate(
        "score",
        "--dataset",
        "manifest",
        "--root",
        clips,
        "--db",
        "again.duckdb",
        "--checkpoint",
        "curate.runs/score-manifest-1/last.pt",
        *small_settings(),
    )
    assert ended.code == 0
    assert content(Path("again.duckdb"))["posterior"] == content(db)["posterior"]
    assert curate("runs", "--db", "again.duckdb", "--format", "csv").out.splitlines()[1].split(",")[1] == (
        "warmup (weights of last.pt)"
    )


def test_select_names_shows_and_exports(curate: Curate, db: Path) -> None:
    ended = curate("select", "--threshold", "0.5", "--name", "good", "--output", "good.csv")
    assert ended.code == 0
    kept = list(csv.DictReader(Path("good.csv").read_text().splitlines()))
    assert all(float(row["p_balanced"]) >= 0.5 for row in kept)
    assert f"good: kept {len(kept)} of 24 ({len(kept) / 24:.1%})" in ended.err
    assert f"wrote {len(kept)} rows to good.csv" in ended.err
    rows = [line.split() for line in ended.out.splitlines()[2:]]
    assert [r[0] for r in rows] == ["ant", "bee", "cow"]
    assert sum(int(r[1]) for r in rows) == len(kept)
    assert all(r[3] == f"{int(r[1]) / 8:.1%}" for r in rows)
    shares = json.loads(curate("select", "--threshold", "0.5", "--name", "good", "--format", "json").out)
    assert [s["share"] for s in shares] == [int(r[1]) / 8 for r in rows]


def test_select_top_and_where_go_together(curate: Curate, db: Path) -> None:
    ended = curate("select", "--top", "5", "--where", "label_name <> 'bee'", "--output", "ids.txt")
    assert ended.code == 0
    assert len(Path("ids.txt").read_text().split()) == 5
    named = curate("sql", "SELECT label_name FROM samples WHERE len(selections) = 1", "--format", "csv").out.split()[1:]
    assert len(named) == 5 and "bee" not in named


@pytest.mark.parametrize(
    "method", ["adaptive", *(pytest.param(m, marks=pytest.mark.long) for m in ("iprm", "joint", "unimodal"))]
)
def test_a_method_trains_and_is_evaluated(curate: Curate, db: Path, method: str) -> None:
    ended = curate("train", "--method", method, "--epochs", epochs_of(method))
    assert ended.code == 0, ended.err
    assert f"{method}-manifest-1: {method} from score-manifest-1, best epoch" in ended.err
    again = curate("evaluate", "--format", "json")
    assert again.code == 0
    told = {row[""]: row["accuracy"] for row in json.loads(again.out)}
    stored = curate(
        "sql",
        f"SELECT modality, value FROM results WHERE run_id = '{method}-manifest-1' AND metric = 'accuracy'",
        "--format",
        "json",
    ).out
    assert told == {row["modality"]: row["value"] for row in json.loads(stored)}
    assert set(told) == {"audio", "image", "fused"}


def test_evaluate_weighs_modalities_by_usability_beside_the_controls(curate: Curate, db: Path) -> None:
    ended = curate("evaluate", "--weighting", "usability", "--format", "json")
    assert ended.code == 0, ended.err
    found = {row.pop(""): row for row in json.loads(ended.out)}
    assert list(found) == ["none", "usability", "shuffled", "constant"]
    plain = {row.pop(""): row for row in json.loads(curate("evaluate", "--format", "json").out)}
    assert found["none"] == plain["fused"]


def test_subset_trains_on_a_selection(curate: Curate, db: Path) -> None:
    assert curate("select", "--top", "9", "--name", "nine").code == 0
    assert curate("train", "--method", "subset", "--selection", "nine", "--epochs", "1").code == 0
    config = curate("runs", "subset-manifest-1", "--format", "csv").out
    assert "method.selection,nine" in config


@pytest.mark.model
def test_runs_lists_and_tells_one(curate: Curate, db: Path) -> None:
    listed = list(csv.DictReader(io.StringIO(curate("runs", "--format", "csv").out)))
    assert [(r["run"], r["method"], r["status"]) for r in listed] == [("score-manifest-1", "warmup", "done")]
    told = dict(csv.reader(io.StringIO(curate("runs", "score-manifest-1", "--format", "csv").out)))
    assert told["data.rate"] == "8000" and told["score.epochs"] == "4" and told["optim.batch_size"] == "8"
    assert told["version of torch"] and len(told["checkpoint_sha256"]) == 64


def test_datasets_tells_layout_settings_and_counts(curate: Curate, clips: Path, small_settings: Callable) -> None:
    assert "manifest" in curate("datasets").out
    layout = curate("datasets", "manifest")
    assert layout.code == 0 and "columns sample_id, label" in layout.err and "data.val_fraction" in layout.out
    counted = curate("datasets", "manifest", "--root", clips, "--format", "csv")
    assert counted.out.splitlines() == ["class,train,val,test", "ant,8,2,2", "bee,8,2,2", "cow,8,2,2"]
    assert "36 samples, modalities audio, image" in counted.err


def test_methods_lists_and_tells_one(curate: Curate) -> None:
    listed = curate("methods")
    assert [line.split()[0] for line in listed.out.splitlines()[2:]] == catalog.names()
    assert max(map(len, listed.out.splitlines())) <= 130
    told = curate("methods", "subset")
    assert "arXiv 2510.21797" in told.err and "starts from warm weights" in told.err
    assert told.out.splitlines()[2].split()[:4] == ["method.threshold", "float", "0.5", "samples"]


def test_export_and_report_write_files(curate: Curate, db: Path) -> None:
    assert curate("export", "all.parquet").err == "wrote 36 rows to all.parquet\n"
    with duckdb.connect() as con:
        found = con.execute("SELECT count(*), count(p_balanced) FROM 'all.parquet'").fetchone()
    assert found == (36, 24)
    ended = curate("report")
    assert ended.code == 0
    assert Path(ended.out.strip()).read_text(encoding="utf-8").startswith("<!")
