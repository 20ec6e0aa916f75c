"""Embeddings beside saved predictions: joined by id, ranked by look-alikes, and never a claim."""

from __future__ import annotations

import numpy as np
import pytest

from curate.advice.conclusions import conclusions
from curate.advice.evidence import read_evidence
from curate.errors import CurateError
from curate.predictions.embeddings import Recorded, read_embeddings
from curate.predictions.judging import judge
from curate.predictions.refit import refit
from curate.predictions.score import score_missing_predictions, score_predictions
from curate.store.store import Store
from curate.types import FUSED, Predictions

NAMES = ("audio", "visual")
IDS = np.array(["a", "b", "c", "d"])


def write(path, ids=IDS, **arrays) -> str:
    np.savez(path, sample_id=np.array(ids), **arrays)
    return str(path)


def numbers(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 3))


@pytest.fixture
def table(tmp_path) -> Store:
    return Store(tmp_path / "t.duckdb")


def test_rows_are_joined_by_id_whatever_their_order_and_what_else_there_is(tmp_path) -> None:
    audio, visual = numbers(6, 1), numbers(4, 2)
    first = write(tmp_path / "a", ["d", "x", "b", "a", "y", "c"], audio=audio)
    second = write(tmp_path / "v", visual=visual)
    for paths in ([first + ".npz", second + ".npz"], [second + ".npz", first + ".npz"]):
        found = read_embeddings(paths, NAMES, IDS)
        assert tuple(found) == NAMES
        np.testing.assert_array_equal(found["audio"], audio[[3, 2, 5, 0]])
        np.testing.assert_array_equal(found["visual"], visual)


@pytest.mark.parametrize(
    ("ids", "arrays", "message"),
    [
        (IDS, {"audio": numbers(4)}, "no embeddings of visual"),
        (IDS[:3], {"audio": numbers(3), "visual": numbers(3)}, "no embedding of 'd'"),
        (["a", "b", "b", "c"], {"audio": numbers(4), "visual": numbers(4)}, "repeated sample_id 'b'"),
        (IDS, {"audio": numbers(4), "sound": numbers(4)}, "'sound' is no modality"),
        (IDS, {"audio": numbers(5), "visual": numbers(4)}, r"audio is float64 \(5, 3\)"),
        (IDS, {"audio": numbers(4)[:, 0], "visual": numbers(4)}, r"audio is float64 \(4,\)"),
        (IDS, {"audio": numbers(4).astype(str), "visual": numbers(4)}, "audio is <U"),
        (
            IDS,
            {"audio": numbers(4), "visual": np.where(np.arange(4) == 2, np.nan, numbers(4).T).T},
            "of 'c' is not fin",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(tmp_path, ids, arrays, message) -> None:
    path = write(tmp_path / "e", ids, **arrays) + ".npz"
    with pytest.raises(CurateError, match=message) as error:
        read_embeddings([path], NAMES, IDS)
    assert error.value.hint


def test_files_of_another_kind_are_refused(tmp_path) -> None:
    np.save(tmp_path / "one.npy", numbers(4))
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "bare.npz", audio=numbers(4))
    whole = write(tmp_path / "e", audio=numbers(4), visual=numbers(4)) + ".npz"
    for paths, message in (
        (["one.npy"], "a single array, without names and ids"),
        (["text.npz"], "cannot be read"),
        (["none.npz"], "cannot be read"),
        (["bare.npz"], "no array 'sample_id'"),
        ([whole, whole], "audio is given twice"),
    ):
        with pytest.raises(CurateError, match=message):
            read_embeddings([str(tmp_path / p) for p in paths], NAMES, IDS)


def test_look_alikes_and_margins_are_of_the_mean_over_the_epochs_by_hand() -> None:
    """Four samples, two look-alikes each: the nearest two of the others."""
    labels, modalities = np.array([0, 1, 0, 1]), NAMES

    def epoch(p: list[float]) -> Predictions:
        rows = np.array([[q, 1 - q] if y == 0 else [1 - q, q] for q, y in zip(p, labels, strict=True)])
        return Predictions(IDS, labels, ("x", "y"), modalities, {m: rows for m in (*NAMES, "fused")})

    epochs = [epoch([0.9, 0.8, 0.6, 0.5]), epoch([0.7, 0.4, 0.4, 0.3])]
    places = np.array([[0.0], [1.0], [10.0], [11.5]])
    found, contradicted, denied = judge(epochs, Recorded({m: places for m in NAMES}))
    p = np.array([0.8, 0.6, 0.5, 0.4])  # means over the epochs
    nearest = [[1, 2], [0, 2], [3, 1], [2, 1]]
    np.testing.assert_allclose(found.recognition[:, 0], [p[n].mean() for n in nearest])
    margins = np.log([0.9, 0.8, 0.6, 0.5]) - np.log([0.1, 0.2, 0.4, 0.5])
    margins = (margins + np.log([0.7, 0.4, 0.4, 0.3]) - np.log([0.3, 0.6, 0.6, 0.7])) / 2
    np.testing.assert_allclose(contradicted[:, 1], 1 / (1 + np.exp(margins)))
    assert not np.nan_to_num(denied.p_swapped).any(), "four samples are too few to tell a group apart"


def test_a_run_has_usability_and_withheld_claims(saved, table, tmp_path) -> None:
    content = saved.make()
    path = saved.write(content, tmp_path / "mine.csv")
    plain = score_predictions(table, [str(path)], [{}])
    assert table.usability.guards(plain.run_id) == {}
    given = write(tmp_path / "e", content.sample_ids, audio=numbers(24), visual=numbers(24, 1)) + ".npz"
    run = score_predictions(table, [str(path)], [{}], embeddings=[given])
    assert run.config["predictions"]["embeddings"] == [given]
    assert all(guard.withheld and not guard.found for guard in table.usability.guards(run.run_id).values())
    rows = table.query("SELECT imbalance, broken, usability_audio, contradiction_visual FROM samples")[1]
    assert len(rows) == 24
    assert all(broken is None and 0 <= i <= 1 and 0 <= u <= 1 and 0 <= c <= 1 for i, broken, u, c in rows)
    assert len(table.selections.make(run.run_id, by="usability", top=5).sample_ids) == 5
    again = refit(table, run, [{"score": {"gap": "kl"}}])
    assert table.usability.guards(again.run_id) == table.usability.guards(run.run_id)


@pytest.mark.parametrize(("share", "wrong"), [(0.0, False), (0.45, True)])
def test_labels_are_judged_though_as_many_of_the_held_out_ones_are_wrong(share, wrong, saved, table, tmp_path) -> None:
    """The fusion reads nearly every sample, but with 45 % wrong labels it is right on 55 %."""
    content, rng = saved.make(n=800, k=5), np.random.default_rng(0)
    content.values = {m: 3.0 * v for m, v in content.values.items()}
    mistaken = rng.random(800) < share
    names = [content.classes[(i + int(mistaken[i]) * int(rng.integers(1, 5))) % 5] for i in range(800)]
    content.labels, content.splits = names, np.where(np.arange(800) < 500, "train", "val").tolist()
    path = saved.write(content, tmp_path / "mine.parquet")
    given = write(tmp_path / "e", content.sample_ids, audio=numbers(800), visual=numbers(800, 1)) + ".npz"
    run = score_predictions(table, [str(path)], [{}], embeddings=[given])
    known = read_evidence(table, run.run_id)
    assert known.reads > 0.8 and (known.held_out.accuracy[FUSED] < 0.6) == wrong
    assert known.held_out.wrong == pytest.approx(0.36 if wrong else 0, abs=0.08)
    rows = table.query("SELECT sample_id, p_mislabelled > 0.5 FROM samples WHERE split = 'train' ORDER BY 1")[1]
    claimed = np.array([c for _, c in rows])
    assert claimed[mistaken[:500]].mean() > 0.95 if wrong else not claimed.any()
    assert claimed[~mistaken[:500]].mean() < 0.02
    (told,) = [text for text in conclusions(known) if text.startswith("labels")]
    assert ("probably wrong" in told) == wrong and ("no group of wrong ones" in told) != wrong
    score_predictions(table, [str(path)], [{}])
    alone = table.query("SELECT sample_id, p_mislabelled > 0.5 FROM samples WHERE split = 'train' ORDER BY 1")[1]
    assert alone == rows, "embeddings of noise say nothing of labels"


def test_missing_embeddings_store_nothing(saved, table, tmp_path) -> None:
    content = saved.make()
    path = saved.write(content, tmp_path / "mine.csv")
    given = write(tmp_path / "e", content.sample_ids[1:], audio=numbers(23), visual=numbers(23)) + ".npz"
    with pytest.raises(CurateError, match="no embedding of 's000'"):
        score_predictions(table, [str(path)], [{}], embeddings=[given])
    assert not table.path.exists()


def test_a_grown_run_keeps_what_is_known(saved, table, tmp_path) -> None:
    content = saved.make(n=30)
    some = saved.write(content.rows(range(24)), tmp_path / "mine.csv")
    given = write(tmp_path / "e", content.sample_ids, audio=numbers(30), visual=numbers(30, 1)) + ".npz"
    run = score_predictions(table, [str(some)], [{}], embeddings=[given])
    before = table.query(f"SELECT * EXCLUDE (run_id) FROM usability WHERE run_id = '{run.run_id}' ORDER BY ALL")[1]
    every = saved.write(content, tmp_path / "mine.csv")
    _, grown = score_missing_predictions(table, [str(every)])
    after = table.query(f"SELECT * EXCLUDE (run_id) FROM usability WHERE run_id = '{grown.run_id}' ORDER BY ALL")[1]
    assert before == after and table.query("SELECT count(*), count(imbalance) FROM samples")[1] == [(30, 24)]
