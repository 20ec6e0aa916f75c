"""`score --features DIR`: the whole path on features, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

N = 60
MLP = ("--set", "model.encoder=mlp", "--set", "optim.batch_size=8")


@pytest.fixture
def folder(workplace: Path) -> Path:
    """Two modalities of three separable classes; the picture says nothing of every fourth sample."""
    place = workplace / "computed"
    place.mkdir()
    rng = np.random.default_rng(0)
    labels = np.arange(N) % 3
    known = np.eye(3)[labels]
    ids = np.array([f"s{i:02d}" for i in range(N)])
    np.save(place / "sound.npy", known + 0.1 * rng.normal(size=(N, 3)))
    weak = known * (np.arange(N) % 4 < 3)[:, None] + 0.1 * rng.normal(size=(N, 3))
    np.savez(place / "picture.npz", sample_id=ids[::-1], features=weak[::-1])
    (place / "samples.csv").write_text(
        "sample_id,label\n" + "".join(f"{i},{'xyz'[k]}\n" for i, k in zip(ids, labels, strict=True))
    )
    return place


@pytest.mark.long
def test_score_select_train_and_report(curate: Callable, folder: Path) -> None:
    ended = curate("score", "--features", folder, "--epochs", "8", "--set", "optim.batch_size=8")
    assert ended.code == 0, ended.err
    assert ended.out.startswith("score-features-1: 42 training samples")
    assert "two-sided mixture of the prob gap picture - sound" in ended.out
    weak = "substr(sample_id, 2)::INTEGER % 4 = 3"
    told = f"SELECT avg(gap) FILTER ({weak}) < avg(gap) FILTER (NOT {weak}) - 0.2 FROM samples"
    assert curate("sql", "--format", "csv", told).out.splitlines()[1:] == ["True"], "the pictures that say nothing"
    assert curate("select", "--top", "30", "--name", "clean").code == 0
    short = ("--epochs", "2", "--set", "optim.batch_size=8")
    for method in (("adaptive", "--set", "method.rounds=2"), ("subset", "--selection", "clean")):
        ended = curate("train", "--method", *method, *short)
        assert ended.code == 0, ended.err
    page = Path(curate("report").out.strip()).read_text()
    assert "Pictures and sounds are not shown: only features of these samples are known." in page
    assert curate("evaluate", "--split", "val").code == 0


def test_it_is_the_data_set_features_under_a_shorter_name(curate: Callable, content: Callable, folder: Path) -> None:
    assert curate("score", "--features", folder, "--epochs", "1", "--db", "a.duckdb").code == 0
    long = ("score", "--dataset", "features", "--root", folder, "--epochs", "1", "--db", "b.duckdb")
    assert curate(*long).code == 0
    assert content(Path("a.duckdb"), unsteady=False) == content(Path("b.duckdb"), unsteady=False)
    assert "features" in curate("datasets").out
    assert "60 samples, modalities picture, sound" in curate("datasets", "features", "--root", folder).err


@pytest.fixture
def two(curate: Callable, folder: Path) -> dict[str, Path]:
    """Two folders, scored into one table under names of their own."""
    places = {"features.one": folder, "features.two": Path(shutil.copytree(folder, folder.with_name("other")))}
    for name, place in places.items():
        assert curate("score", "--dataset", name, "--root", place, "--epochs", "1", *MLP).code == 0
    return places


def test_two_folders_in_one_table_are_told_apart_by_names(curate: Callable, two: dict[str, Path]) -> None:
    """Without names the newest scored run would hide the other."""
    told = "SELECT dataset, count(*) AS n FROM samples WHERE gap IS NOT NULL GROUP BY 1 ORDER BY 1"
    assert curate("sql", "--format", "csv", told).out.splitlines()[1:] == [f"{name},42" for name in two]
    again = curate("score", "--dataset", "features.one", "--only-missing")
    assert again.code == 0 and "score-features.one-1" in again.out + again.err


@pytest.mark.long
def test_what_follows_works_under_names_too(curate: Callable, two: dict[str, Path]) -> None:
    """A comparison of both keeps both: its cells are keyed by the data set's name."""
    of_one = ("--run", "score-features.one-1")
    assert curate("select", *of_one, "--top", "30", "--name", "clean").code == 0
    assert curate("train", *of_one, "--method", "joint", "--epochs", "1").code == 0
    told = "SELECT DISTINCT dataset FROM run WHERE method = 'joint'"
    assert curate("sql", "--format", "csv", told).out.split() == ["dataset", "features.one"]
    page = Path(curate("report", *of_one).out.strip()).read_text()
    assert "only features of these samples are known" in page
    short = ("--set", "train.epochs=1", "--set", "score.epochs=1", *MLP)
    wanted = ("compare", "--name", "both", "--method", "joint", "--no-controls", "--seeds", "1", *short)
    assert curate(*wanted, "--dataset", "features.one", "--root", two["features.one"]).code == 0
    setting = ("--dataset", "features", "--set", "data.name=two")
    assert curate(*wanted, *setting, "--root", two["features.two"]).code == 0
    told = "SELECT DISTINCT dataset FROM comparison WHERE run_id IS NOT NULL ORDER BY 1"
    assert curate("sql", "--format", "csv", told).out.splitlines()[1:] == list(two)


def test_what_is_not_finite_is_counted_and_listed(curate: Callable, folder: Path) -> None:
    array = np.load(folder / "sound.npy")
    array[[3, 30], 1] = np.nan
    np.save(folder / "sound.npy", array)
    ended = curate("score", "--features", folder, "--epochs", "1")
    assert ended.code == 3
    assert "not usable: 2 not_finite" in ended.err
    told = curate("sql", "--format", "csv", "SELECT sample_id, status, reason FROM failures ORDER BY 1").out
    what = 'not_finite,"sound: 1 of 3 features are NaN or infinite, the first is number 1"'
    assert told.splitlines()[1:] == [f"s03,{what}", f"s30,{what}"]


def test_refused(refused: Callable, folder: Path, workplace: Path) -> None:
    for words in (("--dataset", "demo"), ("--root", folder), ("--resume",)):
        assert f"{words[0]} has no part in it" in refused("score", "--features", folder, *words)
    assert "--features has no part in it" in refused("score", "--features", folder, "--predictions", "x.csv")
    assert "is not a folder" in refused("score", "--features", folder / "samples.csv")
    assert "does not exist" in refused("score", "--features", "nowhere")
    assert "model.encoder=small_cnn cannot read" in refused(
        "score", "--features", folder, "--quiet", "--set", "model.encoder=small_cnn"
    )
    np.save(folder / "sound.npy", np.zeros((7, 3)))
    assert "sound.npy has 7 rows for 60 samples" in refused("score", "--features", folder)


@pytest.mark.model
def test_compare_names_a_row_that_cannot_be_run_before_anything_is_trained(curate: Callable, folder: Path) -> None:
    rows = ("--method", "ogm_ge", "--method", "joint", "--no-controls", "--seeds", "1")
    short = ("--set", "score.epochs=1", "--set", "train.epochs=1", "--set", "optim.batch_size=8")
    ended = curate("compare", "--dataset", "features", "--root", folder, *rows, *short)
    assert ended.code == 3, ended.err
    said = " ".join(ended.err.split())
    told = said.index("ogm_ge cannot be run, and its row stays empty: ogm_ge changes the gradients of encoders")
    assert told < said.index("score-features-1") and "joint cannot be run" not in said
