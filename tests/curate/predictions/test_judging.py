"""Which labels predictions alone show to be wrong: planted ones, and none where only clips are damaged, or nothing."""

from __future__ import annotations

import numpy as np
import pytest

from curate.advice.conclusions import conclusions
from curate.advice.evidence import DAMAGE, read_evidence
from curate.predictions.score import score_predictions
from curate.store.store import Store

COUNT, CLASSES = 600, 5


@pytest.fixture
def table(tmp_path) -> Store:
    return Store(tmp_path / "t.duckdb")


@pytest.fixture
def predicted(saved, tmp_path):
    """The path of predictions out of fold, of which some labels are wrong and some clips show another class."""

    def write(wrong: np.ndarray, damaged: np.ndarray) -> str:
        rng = np.random.default_rng(1)
        true = np.arange(COUNT) % CLASSES
        shown = np.where(damaged, (true + rng.integers(1, CLASSES, COUNT)) % CLASSES, true)
        values = {
            m: 5.0 * np.eye(CLASSES)[y] + rng.standard_normal((COUNT, CLASSES))
            for m, y in (("audio", true), ("visual", shown))
        }
        names = [f"c{y}" for y in np.where(wrong, (true + rng.integers(1, CLASSES, COUNT)) % CLASSES, true)]
        ids = [f"s{i:03d}" for i in range(COUNT)]
        return str(
            saved.write(saved.content(ids, names, [f"c{k}" for k in range(CLASSES)], values), tmp_path / "p.csv")
        )

    return write


def labels_of(table: Store) -> np.ndarray:
    rows = table.query("SELECT sample_id, p_mislabelled FROM samples ORDER BY 1")[1]
    return np.array([p for _, p in rows], dtype=float)


some = np.arange(COUNT) % 10 == 3
nobody = np.zeros(COUNT, dtype=bool)


@pytest.mark.parametrize(("wrong", "damaged"), [(some, nobody), (nobody, some), (nobody, nobody)])
def test_wrong_labels_are_found_and_damage_is_none(wrong, damaged, predicted, table) -> None:
    run = score_predictions(table, [predicted(wrong, damaged)], [{}])
    claimed = labels_of(table) > 0.5
    assert claimed[wrong].mean() > 0.95 if wrong.any() else not claimed.any()
    assert claimed[~wrong].mean() < 0.01
    found = read_evidence(table, run.run_id)
    assert found.denied == claimed.sum() and set(found.unread) == {"audio", "visual"}
    assert set(found.unread.values()) == {DAMAGE} and not found.verdicts and not found.swapped, (
        "what a clip shows may be damage"
    )


@pytest.mark.parametrize("most", [COUNT - 1, COUNT])
def test_of_more_samples_than_was_said_nothing_is_judged(most, predicted, table) -> None:
    run = score_predictions(table, [predicted(some, nobody)], [{"score": {"labels_up_to": most}}])
    told = [text for text in conclusions(read_evidence(table, run.run_id)) if text.startswith("labels")]
    assert np.isnan(labels_of(table)).all() == (most < COUNT)
    assert (f"--set score.labels_up_to={COUNT}" in told[0]) == (most < COUNT)


def test_two_classes_that_are_taken_for_each_other_are_named(saved, table, tmp_path) -> None:
    """Of c0 and c1 nothing tells which is which: nothing is claimed."""
    rng, true = np.random.default_rng(1), np.arange(COUNT) % CLASSES
    pair = true < 2
    values = {}
    for m in ("audio", "visual"):
        values[m] = 5.0 * np.eye(CLASSES)[true] + rng.standard_normal((COUNT, CLASSES))
        values[m][pair, :2] = rng.standard_normal((pair.sum(), 2)) + 4
    names = [f"c{y}" for y in true]
    content = saved.content([f"s{i:03d}" for i in range(COUNT)], names, [f"c{k}" for k in range(CLASSES)], values)
    run = score_predictions(table, [str(saved.write(content, tmp_path / "p.csv"))], [{}])
    found = read_evidence(table, run.run_id)
    one, two, denied, samples = found.confused
    assert (one, two, samples) == ("c0", "c1", 240) and found.against >= denied > 48 and not found.denied
    assert any(f"{denied} of the 240 of c0 and c1 as each other" in text for text in conclusions(found))


def test_beside_a_modality_that_shows_nothing_labels_are_judged_by_the_other(saved, table, tmp_path) -> None:
    """The fusion is as sure of the noise as of the sound: it is right on fewer validation samples, and denies more."""
    rng, count = np.random.default_rng(1), 2 * COUNT
    true, sure = np.arange(count) % CLASSES, np.eye(CLASSES)
    wrong = (np.arange(count) % 10 == 3) & (np.arange(count) < COUNT)
    given = np.where(wrong, (true + rng.integers(1, CLASSES, count)) % CLASSES, true)
    values = {
        "audio": 6.0 * sure[true] + rng.standard_normal((count, CLASSES)),
        "visual": 6.0 * sure[rng.integers(0, CLASSES, count)] + rng.standard_normal((count, CLASSES)),
    }
    splits = ["train" if i < COUNT else "val" for i in range(count)]
    ids, classes = [f"s{i:04d}" for i in range(count)], [f"c{k}" for k in range(CLASSES)]
    content = saved.content(ids, [f"c{y}" for y in given], classes, values, splits)
    run = score_predictions(table, [str(saved.write(content, tmp_path / "p.csv"))], [{}])
    found, known = read_evidence(table, run.run_id), table.relabelled.known(run)
    claimed = known.p_mislabelled > 0.5
    assert claimed[wrong[:COUNT]].mean() > 0.95 and claimed[~wrong[:COUNT]].mean() < 0.01
    assert np.array_equal(known.other[claimed], true[:COUNT][claimed]), "the class that audio shows, not the fusion"
    assert found.held_out.decider == "audio" and found.reads > 0.9
    assert any("by audio preferred" in text for text in conclusions(found))
