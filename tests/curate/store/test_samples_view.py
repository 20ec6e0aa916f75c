"""The view `samples` against a table small enough to check by hand, and conditions on it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from curate.errors import CurateError
from curate.exports.formats import export
from curate.scores.gap import modality_gap
from curate.store import views
from curate.store.names import MODALITY
from curate.store.store import Store
from curate.types import FUSED, MixtureFit, Predictions, Sample, Selection

IDS = np.array(["a", "b", "c", "d"])


def two(p: list[float]) -> np.ndarray:
    """(4, 2) probabilities whose true class, 0, has these."""
    return np.stack([np.array(p), 1 - np.array(p)], axis=1)


def one_fit() -> MixtureFit:
    """A fit that nothing here depends on."""
    return MixtureFit(
        "gaussian",
        np.array([0.5, 0.5]),
        np.array([0.0, 0.5]),
        np.array([0.1, 0.2]),
        np.full(2, np.inf),
        0,
        "second_moment",
    )


def by_hand(probs: dict[str, list[float]]) -> Predictions:
    """Four samples of class 0, given the probability of the true class; both classes are named."""
    return Predictions(
        IDS,
        np.zeros(4, dtype=np.int64),
        ("bark", "meow"),
        tuple(m for m in probs if m != FUSED),
        {m: two(p) for m, p in probs.items()},
    )


@pytest.fixture
def small(tmp_path, scoring):
    """Four samples by hand: both modalities right, audio only, visual only, none; and one of val and of test."""
    table = Store(tmp_path / "small.duckdb")
    p = by_hand(
        {"audio": [0.75, 0.875, 0.25, 0.25], "visual": [0.75, 0.125, 1.0, 0.375], FUSED: [0.75, 0.5, 0.75, 0.25]}
    )
    run = scoring.run("score-pets-1", dataset="pets", data_id="pets-00", classes=p.classes)
    scoring.data(table, run, p)
    table.runs.start(run)
    gaps = modality_gap(p)
    table.rounds.write("score-pets-1", 0, p, gaps, [one_fit()], np.array([[1.0], [0.25], [0.125], [0.5]]), "prob")
    table.runs.finish("score-pets-1", "done")
    return table


def column(table: Store, name: str, where: str = "split = 'train'") -> list:
    """One column of the view, ascending by data set and id."""
    return [v for (v,) in table.query(f"SELECT {name} FROM samples WHERE {where} ORDER BY dataset, sample_id")[1]]


def fulfilling(table: Store, run_id: str, where: str | None = None) -> list[str]:
    """The candidates for which a condition holds."""
    seen = table.selections.candidates(run_id, where)
    return list(seen.sample_ids[seen.fulfils])


def test_a_row_a_sample_by_hand(small):
    small.selections.write(Selection("top", "score-pets-1", "top 2", np.array(["a", "d"]), 4))
    small.selections.write(Selection("all", "score-pets-1", "top 4", IDS, 4))
    assert column(small, "sample_id", "true") == ["a", "b", "c", "d", "zz-test", "zz-val"]
    assert column(small, "p_audio") == [0.75, 0.875, 0.25, 0.25]
    assert column(small, "p_visual") == [0.75, 0.125, 1.0, 0.375]
    assert column(small, "p_fused") == [0.75, 0.5, 0.75, 0.25]
    assert column(small, "gap") == [0.0, 0.75, -0.75, -0.125]
    assert column(small, "p_balanced") == [1.0, 0.25, 0.125, 0.5]
    assert column(small, "p_imbalanced") == [0.0, 0.75, 0.875, 0.5]
    assert column(small, "dominant") == [None, "audio", "visual", "visual"]
    assert column(small, "quadrant") == ["all", "audio only", "visual only", "none"]
    assert column(small, "selections") == [["all", "top"], ["all"], ["all"], ["all", "top"]]
    assert column(small, "label_name") == ["bark"] * 4 and column(small, "label") == [0] * 4
    assert column(small, "planted") == ["", "", "", "visual"]
    assert set(column(small, "dataset", "true")) == {"pets"}
    kl = [-(p * np.log(p) + (1 - p) * np.log(1 - p)) for p in (0.375, 0.25)]
    assert column(small, "kl_gap")[3] == pytest.approx(kl[0] - kl[1])


def test_a_sample_names_each_of_many_selections_in_their_order(small):
    """The number of a selection is in those that its binary digits say: more of them than a number has bits."""
    names = [f"{chr(97 + n % 26)}{n}" for n in range(130)]
    chosen = {n: [str(i) for k, i in enumerate(IDS) if n >> k & 1] for n in range(130)}
    with small.db.open(write=True) as con:
        for n, name in enumerate(names):
            con.execute("INSERT INTO selection VALUES (?, 'score-pets-1', 'by hand', 4, 1, now()::TIMESTAMP)", [name])
            con.executemany("INSERT INTO selection_member VALUES (?, ?)", [[name, i] for i in [*chosen[n], "other"]])
    wanted = [sorted(name for n, name in enumerate(names) if i in chosen[n]) for i in IDS]
    assert column(small, "selections") == wanted and all(wanted)


def test_no_modality_can_have_a_name_whose_column_is_that_of_something_else(small):
    with small.db.open(write=True) as con:
        con.execute("INSERT INTO mixture BY NAME SELECT * REPLACE (2 AS component) FROM mixture WHERE component = 1")
        views.refresh(con)
    for view, some in (("samples", {"p_", "lead_", "p_ahead_", "p_swapped_"}), ("by_class", {"ahead_", "mean_lead_"})):
        names = small.query(f"SELECT * FROM {view}")[0]
        of_modality = {name.removesuffix("visual") for name in names if name.endswith("_visual")}
        assert some <= of_modality and len(set(names)) == len(names)
        rest = {name.removeprefix(head) for name in names for head in of_modality if name.startswith(head)}
        assert {"audio", "visual"} <= rest
        assert not [m for m in rest - {"audio", "visual", FUSED} if MODALITY.fullmatch(m)]


def test_what_is_not_trained_on_is_shown_without_scores(small):
    scores = "gap, kl_gap, p_balanced, p_imbalanced, p_audio, p_fused, dominant, quadrant"
    assert small.query(f"SELECT {scores} FROM samples WHERE split <> 'train'")[1] == [(None,) * 8] * 2
    assert column(small, "selections", "split <> 'train'") == [[], []]


def test_the_newest_scored_run_wins_and_an_unfinished_one_does_not(scored_table, predictions, scoring):
    scoring.write(scored_table, predictions(seed=1), "score-toy-2")
    newest = scored_table.rounds.read("score-toy-2")
    assert set(column(scored_table, "run_id")) == {"score-toy-2"}
    np.testing.assert_array_equal(column(scored_table, "gap"), newest.gaps.prob[:, 0])
    scoring.write(scored_table, predictions(seed=2), "score-toy-3")
    scored_table.runs.finish("score-toy-3", "failed")
    np.testing.assert_array_equal(column(scored_table, "gap"), newest.gaps.prob[:, 0])
    assert scored_table.query("SELECT count(*) FROM samples")[1] == [(62,)]


def test_a_new_version_of_a_data_set_takes_the_place_of_the_old_one(scored_table, predictions, scoring):
    scoring.write(scored_table, predictions(seed=1, n=24), "score-toy-2", data_id="toy-fedcba9876")
    assert len(column(scored_table, "sample_id")) == 24


def test_later_rounds_and_trainings_are_history_not_samples(scored_table, predictions, scoring):
    before = column(scored_table, "gap"), column(scored_table, "p_audio")
    p = predictions(seed=5)
    scored_table.rounds.write("score-toy-1", 1, p, modality_gap(p), [one_fit()], np.ones((60, 1)), "prob")
    scored_table.runs.start(scoring.run("adaptive-toy-1", kind="train", method="adaptive", parent="score-toy-1"))
    for number in (1, 2):
        scored_table.rounds.write("adaptive-toy-1", number, p, modality_gap(p), [one_fit()], np.ones((60, 1)), "prob")
    scored_table.runs.finish("adaptive-toy-1", "done")
    assert (column(scored_table, "gap"), column(scored_table, "p_audio")) == before
    rows = scored_table.query(
        "SELECT run_id, round, count(*), count(DISTINCT sample_id) FROM history GROUP BY ALL ORDER BY ALL"
    )[1]
    assert rows == [
        ("adaptive-toy-1", 1, 60, 60),
        ("adaptive-toy-1", 2, 60, 60),
        ("score-toy-1", 0, 60, 60),
        ("score-toy-1", 1, 60, 60),
    ]


def test_two_data_sets_stand_side_by_side_even_where_their_ids_are_equal(small, predictions, scoring):
    p = predictions(n=12, modalities=("text", "visual"))
    scoring.write(
        small,
        Predictions(
            np.array([*IDS, *p.sample_ids[4:]]), *(getattr(p, f) for f in ("labels", "classes", "modalities", "probs"))
        ),
        "score-toy-1",
    )
    assert small.query("SELECT dataset, split, count(*) FROM samples GROUP BY ALL ORDER BY ALL")[1] == [
        ("pets", "test", 1),
        ("pets", "train", 4),
        ("pets", "val", 1),
        ("toy", "test", 1),
        ("toy", "train", 12),
        ("toy", "val", 1),
    ]
    assert column(small, "gap", "dataset = 'pets' AND split = 'train'") == [0.0, 0.75, -0.75, -0.125]
    assert column(small, "p_audio", "dataset = 'toy'") == [None] * 14
    assert column(small, "p_text", "dataset = 'pets'") == [None] * 6
    # A condition on one data set selects nothing of the other.
    assert fulfilling(small, "score-pets-1", "p_text >= 0") == []
    assert fulfilling(small, "score-pets-1", "p_audio > 0.5") == ["a", "b"]


def test_a_data_set_that_is_only_prepared_shows_with_the_state_of_its_media(scored_table, predictions, scoring):
    prepared = scoring.run(dataset="fresh", data_id="fresh-00")
    scoring.data(scored_table, prepared, predictions(n=6))
    rows = scored_table.query(
        "SELECT DISTINCT dataset, status, run_id, gap, p_balanced, quadrant, selections "
        "FROM samples WHERE dataset = 'fresh'"
    )[1]
    assert rows == [("fresh", "ok", None, None, None, None, [])]
    assert len(column(scored_table, "sample_id", "dataset = 'fresh'")) == 8


def test_three_modalities_show_the_widest_pair_and_the_posterior_of_the_least_balanced(tmp_path, scoring):
    table = Store(tmp_path / "three.duckdb")
    p = by_hand(
        {
            "audio": [0.75, 0.25, 0.75, 0.5],
            "visual": [0.5, 0.25, 0.25, 0.5],
            "text": [0.0, 1.0, 0.75, 0.5],
            FUSED: [0.5] * 4,
        }
    )
    run = scoring.run("score-pets-1", dataset="pets", data_id="pets-00", classes=p.classes, modalities=p.modalities)
    scoring.data(table, run, p)
    table.runs.start(run)
    posteriors = np.array([[0.0, 0.25, 1.0], [1.0, 1.0, 0.25], [0.5, 0.5, 0.5], [1.0, 1.0, 1.0]])
    table.rounds.write("score-pets-1", 0, p, modality_gap(p), [one_fit()] * 3, posteriors, "prob")
    table.runs.finish("score-pets-1", "done")
    # Pairs are audio-visual, audio-text, visual-text: (.25, .75, .5), (0, -.75, -.75), (.5, 0, -.5), (0, 0, 0).
    gaps = column(table, "gap")
    assert gaps[:2] == [0.75, -0.75] and [abs(g) for g in gaps[2:]] == [0.5, 0.0]
    assert column(table, "dominant")[:2] == ["audio", "text"] and column(table, "dominant")[3] is None
    np.testing.assert_allclose(column(table, "p_balanced"), [0.0, 0.25, 0.5, 1.0])
    assert column(table, "pair")[:2] == ["audio|text", "audio|text"]
    # A lead is over the best of the others, so that it may be averaged.
    assert column(table, "lead_audio") == [0.25, -0.75, 0.0, 0.0]
    assert column(table, "lead_visual") == [-0.25, -0.75, -0.5, 0.0]
    assert column(table, "lead_text") == [-0.75, 0.75, 0.0, 0.0]
    means = table.query("SELECT avg(lead_text) FROM samples WHERE dataset = 'pets'")[1]
    assert means == [(0.0,)]
    np.testing.assert_allclose(column(table, "p_imbalanced"), [1.0, 0.75, 0.5, 0.0])
    np.testing.assert_allclose(table.selections.candidates("score-pets-1").quality, [0.0, 0.25, 0.5, 1.0])
    assert column(table, "quadrant") == ["audio+visual only", "text only", "audio+text only", "all"]


def test_a_condition_marks_the_candidates_that_fulfil_it(small):
    seen = small.selections.candidates("score-pets-1", "gap < 0 AND quadrant <> 'none'")
    assert list(seen.sample_ids) == list(IDS) and list(seen.fulfils) == [False, False, True, False]
    assert list(seen.label_names) == ["bark"] * 4 and list(seen.quality) == [1, 0.25, 0.125, 0.5]
    # Neither true nor false of the sample without a gap: not fulfilled.
    assert fulfilling(small, "score-pets-1", "dominant <> 'visual'") == ["b"]
    assert fulfilling(small, "score-pets-1") == list(IDS)


@pytest.mark.parametrize(
    "where",
    [
        "gap >",
        "nothing = 1",
        "true); DROP TABLE run; --",
        "gap = 1) --",
        "gap = 'x'",
        "sample_id IN (SELECT content FROM read_text('/etc/hostname'))",
    ],
)
def test_a_condition_that_is_none_is_a_users_error(small, where):
    with pytest.raises(CurateError):
        small.selections.candidates("score-pets-1", where)
    assert len(small.runs.all()) == 1


def test_samples_as_a_frame_and_as_a_file(small, tmp_path):
    frame = small.samples_frame()
    assert list(frame["sample_id"]) == ["a", "b", "c", "d", "zz-test", "zz-val"]
    assert export(small, tmp_path / "x.csv").rows == 6
    pd.testing.assert_series_equal(pd.read_csv(tmp_path / "x.csv")["gap"], frame["gap"])


def test_planted_and_test_metrics_and_bad_media_are_read_back(scored_table, scoring):
    assert list(scored_table.samples.planted("score-toy-1")) == ["", "", "", "visual"] * 15
    scored_table.epochs.write(
        "score-toy-1",
        3,
        [("test", "fused", "accuracy", 0.5), ("test", "audio", "map", 0.25), ("val", "fused", "accuracy", 0.75)],
    )
    assert scored_table.epochs.test_metrics("score-toy-1") == {"audio": {"map": 0.25}, "fused": {"accuracy": 0.5}}
    assert scored_table.epochs.chosen("score-toy-1") == 3
    scored_table.epochs.write("score-toy-1", 3, [("test", "fused", "accuracy", 0.625)])
    assert scored_table.query("SELECT epoch, metric, value FROM results WHERE modality = 'fused'")[1] == [
        (3, "accuracy", 0.625)
    ]
    assert scored_table.samples.status_counts("toy-0123456789") == []


def test_a_condition_asks_the_named_run_though_the_view_shows_a_newer_one(scored_table, predictions, scoring):
    asked = "SELECT sample_id FROM samples WHERE gap > 0 ORDER BY 1"
    before = [i for (i,) in scored_table.query(asked)[1]]
    scoring.write(scored_table, predictions(seed=1), "score-toy-2")
    assert [i for (i,) in scored_table.query(asked)[1]] != before
    seen = scored_table.selections.candidates("score-toy-1", "gap > 0")
    assert seen.sample_ids[seen.fulfils].tolist() == before
    above = scored_table.selections.candidates("score-toy-1", "gap > (SELECT avg(gap) FROM samples)")
    assert 0 < above.fulfils.sum() < 60


def test_selections_of_an_older_run_of_the_same_data_stay_in_sight(scored_table, predictions, scoring):
    scored_table.selections.make("score-toy-1", top=1, name="early")
    scoring.write(scored_table, predictions(seed=1), "score-toy-2")
    scored_table.selections.make("score-toy-2", top=60, name="late")
    assert sorted(column(scored_table, "selections"), key=len) == [["late"]] * 59 + [["early", "late"]]


def test_selections_of_other_data_do_not_show_though_the_ids_are_equal(scored_table, predictions, scoring):
    scored_table.selections.make("score-toy-1", top=60, name="of the old version")
    scoring.write(scored_table, predictions(seed=1), "score-toy-2", data_id="toy-fedcba9876")
    scoring.write(scored_table, predictions(seed=1), "score-new-1", dataset="new", data_id="new-0000000000")
    assert column(scored_table, "selections") == [[]] * 120


def test_what_else_the_annotation_says_is_kept_and_queryable(tmp_path):
    table = Store(tmp_path / "extra.duckdb")
    samples = [
        Sample(sample_id="a", label="bark", split="train", inputs={}, extra={"human_label": "meow", "votes": 0.25}),
        Sample(sample_id="b", label="meow", split="test", inputs={}),
    ]
    table.samples.write("pets-0", samples, ("bark", "meow"), ["ok", "ok"], ["", ""])
    asked = "SELECT sample_id, extra->>'human_label', (extra->>'votes')::DOUBLE, extra FROM samples ORDER BY 1"
    first, second = table.query(asked)[1]
    assert first[:3] == ("a", "meow", 0.25) and second == ("b", None, None, None)
    assert column(table, "sample_id", "extra->>'human_label' <> label_name") == ["a"]
