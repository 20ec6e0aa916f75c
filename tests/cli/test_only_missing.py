"""`--only-missing`: a data set that grew gets scores for what is new; the old scores are copied to the last bit."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from curate.datasets.cache import Cache, open_cache
from curate.datasets.manifest import Manifest
from curate.store.store import Store
from curate.types import Sample

SCORES = "sample_id, p_audio, p_image, p_fused, gap, kl_gap, p_balanced"


def rows(db: Path, run: str) -> dict[str, list[tuple[object, ...]]]:
    """Rows of round 0 of a run, without the run's name."""
    return {
        name: Store(db).query(f"SELECT * EXCLUDE (run_id) FROM {name} WHERE run_id = '{run}' ORDER BY ALL")[1]
        for name in ("prediction", "gap", "posterior", "mixture")
    }


@pytest.fixture
def grown(clips: Path, workplace: Path) -> Path:
    """The manifest with the media of the scored one, three training samples more and one less."""
    folder = Path(shutil.copytree(clips.parent, workplace / "grown"))
    path = folder / "clips.csv"
    lines = path.read_text().splitlines()
    more = [line.replace(",test,", ",train,").replace("s", "new", 1) for line in lines if ",test," in line][:3]
    path.write_text("\n".join([line for line in lines if not line.startswith("s05")] + more) + "\n")
    return path


def test_new_samples_are_scored_and_the_old_scores_do_not_move(curate: Callable, db: Path, grown: Path) -> None:
    before, old = rows(db, "score-manifest-1"), {}
    for row in Store(db).query(f"SELECT {SCORES} FROM samples WHERE gap IS NOT NULL")[1]:
        old[row[0]] = row
    ended = curate("score", "--dataset", "manifest", "--root", grown, "--only-missing")
    assert ended.code == 0, ended.err
    assert "score-manifest-2: 3 new samples by score-manifest-1, under its mixture" in ended.err
    new = {row[0]: row for row in Store(db).query(f"SELECT {SCORES} FROM samples WHERE gap IS NOT NULL")[1]}
    assert set(new) - set(old) == {"new30", "new31", "new32"} and set(old) - set(new) == {"s05"}
    assert {k: v for k, v in new.items() if k in old} == {k: v for k, v in old.items() if k in new}
    assert rows(db, "score-manifest-1") == before
    assert rows(db, "score-manifest-2")["mixture"] == before["mixture"]
    again = curate("score", "--dataset", "manifest", "--root", grown, "--only-missing")
    assert again.code == 0 and "nothing is missing" in again.err and len(Store(db).runs.all()) == 2
    assert "has changed since" not in again.err
    first, second = (line.rsplit(",", 1)[1] for line in grown.read_text().splitlines()[1:3])
    shutil.copyfile(grown.parent / second, grown.parent / first)
    replaced = curate("score", "--dataset", "manifest", "--root", grown, "--only-missing")
    assert replaced.code == 0 and "manifest has changed since score-manifest-2 scored it" in replaced.err


@pytest.mark.long
@pytest.mark.model
def test_a_sample_that_lacks_a_modality_keeps_its_prediction_by_the_other(
    curate: Callable, clips: Path, workplace: Path, small_settings: Callable
) -> None:
    folder = Path(shutil.copytree(clips.parent, workplace / "partial"))
    path = folder / "clips.csv"
    lines = path.read_text().splitlines()
    _, *first = next(line for line in lines if line.startswith("s00,")).split(",")
    (folder / first[-1]).unlink()  # its image
    later = next(line for line in lines if ",train," in line and not line.startswith("s00,"))
    path.write_text("\n".join(line for line in lines if line != later) + "\n")
    assert curate("score", "--dataset", "manifest", "--root", path, "--epochs", "1", *small_settings()).code == 3
    wanted = "SELECT p_audio, p_image, p_fused, gap FROM samples WHERE sample_id = 's00'"
    (before,) = Store("curate.duckdb").query(wanted)[1]
    assert before[0] == pytest.approx(before[2]) and before[1] is before[3] is None
    path.write_text("\n".join(lines) + "\n")
    ended = curate("score", "--dataset", "manifest", "--root", path, "--only-missing")
    assert "1 new sample by score-manifest-1" in ended.err
    assert Store("curate.duckdb").query(wanted)[1] == [before]


@pytest.mark.long
def test_what_is_known_of_usability_goes_along_and_is_not_known_of_new_samples(
    curate: Callable, db: Path, grown: Path
) -> None:
    def known(run: str) -> tuple[set, set]:
        usability, guards = (
            Store(db).query(f"SELECT * EXCLUDE (run_id) FROM {name} WHERE run_id = '{run}'")[1]
            for name in ("usability", "guard")
        )
        return set(usability), set(map(str, guards))

    assert curate("score", "--dataset", "manifest", "--root", grown, "--only-missing").code == 0
    (old, guards), (new, same) = known("score-manifest-1"), known("score-manifest-2")
    assert new == {row for row in old if row[0] != "s05"} and len(new) == 2 * 23 and guards == same
    shown = Store(db).query("SELECT sample_id, imbalance IS NULL FROM samples WHERE gap IS NOT NULL")[1]
    assert {i for i, unknown in shown if unknown} == {"new30", "new31", "new32"}
    assert known("score-manifest-1") == (old, guards)
    assert curate("evaluate", "--weighting", "usability").code == 0
    ended = curate("train", "--method", "usable", "--epochs", "1")
    assert ended.code == 0 and "3 samples were not assessed by score-manifest-2; they count as whole" in ended.err


@pytest.mark.long
def test_a_grown_run_is_trained_from_like_any_other(curate: Callable, db: Path, grown: Path) -> None:
    assert curate("score", "--dataset", "manifest", "--root", grown, "--only-missing").code == 0
    assert curate("train", "--method", "adaptive", "--epochs", "2", "--set", "method.rounds=2").code == 0
    assert Store(db).runs.find(kind="train").parent == "score-manifest-2"


def test_unchanged_samples_are_not_decoded_again(
    curate: Callable, grown: Path, clips: Path, monkeypatch: pytest.MonkeyPatch, small_settings: Callable
) -> None:
    monkeypatch.setenv("CURATE_CACHE", "own")
    command = (
        "prepare",
        "--workers",
        "0",
        "--dataset",
        "manifest",
        *small_settings(**{"optim.batch_size": None, "optim.lr": None}),
    )
    assert curate(*command, "--root", clips).code == 0
    decoded, load = [], Manifest.load
    monkeypatch.setattr(Manifest, "load", lambda self, s, m: decoded.append(s.sample_id) or load(self, s, m))
    assert curate(*command, "--root", grown).code == 0
    assert set(decoded) <= {"new30", "new31", "new32"}  # whose files may be those of others
    grown_folder, fresh = open_all(Path("own"))[-1], Path("fresh")
    assert curate(*command, "--root", grown, "--cache", fresh).code == 0
    (alone,) = open_all(fresh)
    for modality, array in alone.arrays.items():
        assert np.array_equal(array, grown_folder.arrays[modality]) and array.any()


def open_all(folder: Path) -> list[Cache]:
    """The caches of a folder, the newest last."""
    return [open_cache(p) for p in sorted(folder.iterdir(), key=lambda p: p.stat().st_mtime_ns)]


def test_what_cannot_be_used_is_told_of_these_data_and_not_of_others(curate: Callable, db: Path, clips: Path) -> None:
    """A newer run is of other data, of which one item cannot be used."""
    store = Store(db)
    own = store.runs.find("score-manifest-1")
    store.samples.write(
        "other-1", [Sample(sample_id="x", split="train", label="ant", inputs={})], ["ant"], ["silent"], [""]
    )
    store.runs.start(replace(own, run_id="score-other-1", dataset="other", data_id="other-1"))
    store.runs.finish("score-other-1", "done")
    ended = curate("score", "--dataset", "manifest", "--root", clips, "--only-missing")
    assert "nothing is missing" in ended.err
    assert (ended.code, "silent" in ended.err) == (0, False)


def test_another_label_of_a_scored_sample_is_refused(refused: Callable, db: Path, grown: Path) -> None:
    grown.write_text(grown.read_text().replace("s00,ant", "s00,bee"))
    told = refused("score", "--dataset", "manifest", "--root", grown, "--only-missing", "--quiet")
    assert "1 sample has another label than when score-manifest-1 scored them: s00" in told


@pytest.mark.parametrize("option", ["--epochs=3", "--gap=kl", "--seed=1", "--set=optim.lr=1"])
def test_what_would_change_the_scoring_is_refused(refused: Callable, db: Path, grown: Path, option: str) -> None:
    told = refused("score", "--dataset", "manifest", "--root", grown, "--only-missing", option)
    assert f"{option.partition('=')[0]} cannot change that" in told


def write_predictions(path: Path, ids: range, seed: int = 0) -> Path:
    """A wide CSV of random predictions; those of an id are the same in every file of one seed."""
    lines = ["sample_id,label,audio.x,audio.y,image.x,image.y"]
    for i in ids:
        rng = random.Random(1000 * seed + i)
        lines.append(f"c{i:03},{'xy'[i % 2]},{','.join(str(rng.gauss(0, 2)) for _ in range(4))}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    "more", [range(30, 75), *(pytest.param(r, marks=pytest.mark.long) for r in (range(60, 75), range(75)))]
)
def test_rows_of_saved_predictions_that_are_scored_are_skipped(curate: Callable, workplace: Path, more: range) -> None:
    db = Path("curate.duckdb")
    assert curate("score", "--predictions", write_predictions(Path("p.csv"), range(60))).code == 0
    before = rows(db, "score-p-1")
    old = {r[0]: r for r in Store(db).query(f"SELECT {SCORES} FROM samples")[1]}
    # Other numbers for the samples that are scored: they must not be looked at.
    text = write_predictions(Path("p.csv"), more, seed=1)
    ended = curate("score", "--predictions", text, "--only-missing")
    assert ended.code == 0 and "score-p-2: 15 new samples by score-p-1" in ended.err, ended
    new = {r[0]: r for r in Store(db).query(f"SELECT {SCORES} FROM samples")[1]}
    assert len(new) == 75 and all(new[i] == row for i, row in old.items())
    assert rows(db, "score-p-1") == before and rows(db, "score-p-2")["mixture"] == before["mixture"]
    assert all(None not in row for row in new.values())
    again = curate("score", "--predictions", text, "--only-missing")
    assert "nothing is missing" in again.err and len(Store(db).runs.all()) == 2


def test_predictions_of_other_classes_are_refused(refused: Callable, curate: Callable, workplace: Path) -> None:
    assert curate("score", "--predictions", write_predictions(Path("p.csv"), range(60))).code == 0
    text = write_predictions(Path("p.csv"), range(60, 70))
    text.write_text(text.read_text().replace("x", "z"))
    told = refused("score", "--predictions", text, "--only-missing", "--quiet")
    assert "the classes are y, z, score-p-1 has x, y" in told


def test_the_data_set_is_named_and_what_is_removed_leaves_nothing(curate: Callable, refused: Callable, workplace: Path):
    text = write_predictions(Path("p.csv"), range(60))
    assert curate("score", "--predictions", text, "--dataset", "pets").code == 0
    told = refused("score", "--predictions", text, "--only-missing", "--quiet")
    assert "no saved predictions of p were scored" in told and "--dataset pets" in told
    assert (
        "score-pets-1, the newest" in curate("score", "--predictions", text, "--dataset", "pets", "--only-missing").err
    )
    assert curate("runs", "score-pets-1", "--remove", "--yes").code == 0
    for table in ("sample", "prediction"):
        assert Store("curate.duckdb").query(f"SELECT count(*) FROM {table}")[1] == [(0,)]


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4, 5), (5, 4, 3, 2, 0, 1)])
def test_a_later_file_is_joined_by_name_and_described_as_it_is(
    curate: Callable, workplace: Path, order: tuple[int, ...]
) -> None:
    assert curate("score", "--predictions", write_predictions(Path("p.csv"), range(60))).code == 0
    every = write_predictions(Path("all.csv"), range(60, 70)).read_text().splitlines()
    Path("n.csv").write_text("\n".join(",".join(line.split(",")[i] for i in order) for line in every) + "\n")
    ended = curate("score", "--predictions", "n.csv", "--dataset", "p", "--only-missing")
    assert ended.code == 0, ended.err
    told = Store("curate.duckdb").runs.find("score-p-2").config["predictions"]
    assert told["files"] == ["n.csv"] and told["understood"].startswith("n.csv: 10 ids")
    first = np.array([float(cell) for cell in every[1].split(",")[2:]])  # c060 is x
    audio, image = (1 / (1 + np.exp(first[k + 1] - first[k])) for k in (0, 2))
    (row,) = Store("curate.duckdb").query("SELECT p_audio, p_image, gap FROM samples WHERE sample_id = 'c060'")[1]
    assert row == pytest.approx((audio, image, audio - image), abs=1e-6)


@pytest.mark.parametrize("names", ["audio text", "image audio text"])
def test_what_cannot_be_added_leaves_no_failed_run(
    refused: Callable, curate: Callable, workplace: Path, names: str
) -> None:
    assert curate("score", "--predictions", write_predictions(Path("p.csv"), range(60))).code == 0
    columns = ",".join(f"{m}.{c},{m}.{d}" for m in names.split() for c, d in ["xy"])
    numbers = ",".join(["0.5,-1.5"] * len(names.split()))
    Path("n.csv").write_text(f"sample_id,label,{columns}\nnew1,x,{numbers}\nnew2,y,{numbers}\n")
    told = refused("score", "--predictions", "n.csv", "--dataset", "p", "--only-missing", "--quiet")
    assert "score-p-1 has audio, image" in told
    assert [run.status for run in Store("curate.duckdb").runs.all()] == ["done"]
