"""Selections in the table: made, previewed, listed, compared and removed, on eight samples by hand."""

from __future__ import annotations

import numpy as np
import pytest

from curate.errors import CurateError, EmptySelectionError
from curate.scores.gap import modality_gap
from curate.store.store import Store
from curate.types import FUSED, MixtureFit, Predictions, Sample, Selection

POSTERIORS = {"a": 0.95, "b": 0.9, "c": 0.75, "d": 0.75, "e": 0.75, "f": 0.6, "g": 0.5, "h": 0.1}
LABELS = {"a": "bark", "b": "bark", "c": "meow", "d": "bark", "e": "bark", "f": "meow", "g": "bark", "h": "meow"}
GROUPS = {"a": "one", "b": "one", "c": "two", "d": "two", "f": "three"}
RUN = "score-pets-1"


def write_pets(path, scoring, run_id: str = RUN, order: str = "abcdefgh", **values: object) -> Store:
    """A done scored run of the eight samples above, and one of test."""
    table, ids = Store(path), np.array(list(order))
    classes = ("bark", "meow")
    labels = np.array([classes.index(LABELS[i]) for i in ids])
    probs = {m: np.full((8, 2), 0.5) for m in ("audio", "visual", FUSED)}
    p = Predictions(ids, labels, classes, ("audio", "visual"), probs)
    run = scoring.run(run_id, **{"dataset": "pets", "data_id": "pets-00", "classes": classes, **values})
    samples = [Sample(sample_id=i, label=LABELS[i], split="train", inputs={}, group=GROUPS.get(i)) for i in ids]
    samples.append(Sample(sample_id="t", label="bark", split="test", inputs={}, group="one"))
    table.samples.write(run.data_id, samples, classes, ["ok"] * 9, [""] * 9)
    table.runs.start(run)
    half = np.array([0.5, 0.5])
    fit = MixtureFit("gaussian", half, np.array([0.0, 0.5]), half, np.full(2, np.inf), 0, "second_moment")
    posteriors = np.array([[POSTERIORS[i]] for i in ids])
    table.rounds.write(run_id, 0, p, modality_gap(p), [fit], posteriors, "prob")
    table.runs.finish(run_id, "done")
    return table


@pytest.fixture
def pets(tmp_path, scoring):
    """The eight samples, scored."""
    return write_pets(tmp_path / "pets.duckdb", scoring)


@pytest.mark.parametrize(
    ("rule", "ids"),
    [
        ({"threshold": 0.75}, "abcde"),
        ({"top": 4}, "abcd"),
        ({"fraction": 0.3125}, "abc"),  # 2.5 of 8
        ({"per_class": 2}, "abcf"),
        ({"where": "label_name = 'meow'"}, "cfh"),
        ({"where": "label_name = 'meow'", "top": 2}, "cf"),
        ({"threshold": 0.7, "per_class": 3, "top": 4}, "abcd"),
        ({"threshold": 0.7, "fraction": 1}, "abcde"),
        ({"top": 3, "whole_groups": True}, "ab"),
        ({"threshold": 0.6, "whole_groups": True}, "abcdef"),
    ],
)
def test_a_rule_keeps_what_it_says_and_stores_it(pets, rule, ids):
    made = pets.selections.make(RUN, name="mine", **rule)
    assert "".join(made.sample_ids) == "".join(pets.selections.find("mine").sample_ids) == ids
    assert made.candidates == 8
    assert made.kept == {
        c: (sum(LABELS[i] == c for i in ids), sum(v == c for v in LABELS.values())) for c in ("bark", "meow")
    }
    assert pets.selections.describe("mine").kept == made.kept
    assert pets.selections.find("mine").rule == made.rule != ""


USABLE = {
    "a": (1, 0),
    "b": (1, 1),
    "c": (0.5, 0.5),
    "d": (0, 0),
    "e": (1, 0.25),
    "f": (0.5, 1),
    "g": (1, 1),
    "h": (0, 1),
}
GAPS = {"a": -0.9, "b": 0.8, "c": -0.7, "d": 0.6, "e": 0.5, "f": -0.4, "g": 0.3, "h": 0.0}


@pytest.fixture
def judged(pets):
    """The same with usability and gaps by hand."""
    with pets.db.open(write=True) as con:
        for i, values in USABLE.items():
            for m, u in zip(("audio", "visual"), values, strict=True):
                con.execute(
                    "INSERT INTO usability_here BY NAME SELECT ? AS run_id, ? AS sample_id, ? AS modality, "
                    "? AS usability, 0 AS p_broken, 0.5 AS contradiction",
                    [RUN, i, m, u],
                )
        for i, gap in GAPS.items():
            con.execute("UPDATE item_here SET prob_gap = [?] WHERE prob_gap IS NOT NULL AND sample_id = ?", [gap, i])
    return pets


@pytest.mark.parametrize(
    ("rule", "ids"),
    [
        # the least usable modality: a 0, b 1, c .5, d 0, e .25, f .5, g 1, h 0
        ({"by": "usability", "threshold": 0.5}, "bcfg"),
        ({"by": "usability", "top": 2}, "bg"),
        ({"by": "usability", "fraction": 0.625}, "bcefg"),
        ({"by": "usability", "per_class": 1}, "bc"),
        # 1 - |gap|: a .1, b .2, c .3, d .4, e .5, f .6, g .7, h 1
        ({"by": "gap", "threshold": 0.5}, "efgh"),
        ({"by": "gap", "top": 1}, "h"),
        ({"by": "gap", "per_class": 1}, "gh"),
        ({"by": "gap", "threshold": 0.3, "top": 3, "where": "label_name = 'bark'"}, "deg"),
        ({"by": "p_balanced", "top": 2}, "ab"),
    ],
)
def test_a_rule_may_go_by_usability_or_by_the_gap(judged, rule, ids):
    chosen = judged.selections.make(RUN, name="x", **rule)
    assert "".join(judged.selections.find("x").sample_ids) == ids
    assert chosen.candidates == 8


@pytest.mark.parametrize("name", ["", "  "])
def test_an_empty_name_is_refused_and_nothing_is_stored(pets, name):
    with pytest.raises(CurateError, match="name of the selection is empty"):
        pets.selections.make(RUN, name=name, top=1)
    assert pets.query("SELECT count(*) FROM selection")[1] == [(0,)]


def test_what_a_rule_goes_by_agrees_with_the_columns_of_samples(judged):
    asked = "least(usability_audio, usability_visual), 1 - abs(gap)"
    found = judged.query(f"SELECT {asked} FROM samples WHERE split = 'train' ORDER BY sample_id")[1]
    for by, column in zip(("usability", "gap"), zip(*found, strict=True), strict=True):
        np.testing.assert_allclose(judged.selections.candidates(RUN, by=by).quality, column, atol=1e-12)


def test_a_preview_goes_by_the_same(judged):
    for by in ("p_balanced", "usability", "gap"):
        for threshold, kept, *_ in judged.selections.preview(RUN, by=by):
            judged.selections.make(RUN, name="x", by=by, threshold=threshold, replace=True)
            assert kept == len(judged.selections.find("x").sample_ids)


def test_usability_that_is_not_known_is_no_rank(judged, pets):
    with pets.db.open(write=True) as con:
        con.execute("DELETE FROM usability_here WHERE sample_id IN ('a', 'b')")
    with pytest.raises(CurateError, match="not known of 2 of the 8 samples"):
        pets.selections.make(RUN, by="usability", top=2)


def test_the_test_split_is_never_selected(pets):
    assert "t" not in pets.selections.make(RUN, threshold=0).sample_ids


def test_a_name_is_made_of_run_and_rule(pets):
    assert pets.selections.make(RUN, threshold=0.7, top=2).name == "score-pets-1: p_balanced >= 0.7 and top 2"


def test_rows_written_in_another_order_give_the_same_selection(pets, tmp_path, scoring):
    other = write_pets(tmp_path / "other.duckdb", scoring, order="hdbfagec")
    for rule in ({"top": 4}, {"per_class": 1}, {"fraction": 0.5, "whole_groups": True}):
        one, two = (found.selections.make(RUN, **rule).sample_ids for found in (other, pets))
        np.testing.assert_array_equal(one, two)


def test_an_empty_selection_is_not_stored(pets):
    with pytest.raises(EmptySelectionError, match=r"p_balanced >= 0\.99"):
        pets.selections.make(RUN, threshold=0.99)
    assert pets.selections.overview() == []


def test_a_preview_counts_at_each_threshold_and_stores_nothing(pets):
    assert pets.selections.preview(RUN, threshold=0.75) == [
        (0.5, 7, 0.875, "meow", 2),
        (0.6, 6, 0.75, "meow", 2),
        (0.7, 5, 0.625, "meow", 1),
        (0.75, 5, 0.625, "meow", 1),
        (0.8, 2, 0.25, "meow", 0),
        (0.9, 2, 0.25, "meow", 0),
        (0.95, 1, 0.125, "meow", 0),
    ]
    assert [row[0] for row in pets.selections.preview(RUN)] == [0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
    assert pets.selections.preview(RUN)[0] == (0, 8, 1, "meow", 3)
    assert pets.selections.overview() == []


def test_a_preview_agrees_with_the_selection_it_previews(pets):
    rule = {"where": "sample_id <> 'a'", "per_class": 2, "whole_groups": True}
    for threshold, kept, share, smallest, least in pets.selections.preview(RUN, **rule):
        try:
            made = pets.selections.make(RUN, **{**rule, "threshold": threshold}, name="same", replace=True)
        except EmptySelectionError:
            assert (kept, least) == (0, 0)
            continue
        assert (kept, share) == (len(made.sample_ids), len(made.sample_ids) / 8)
        assert made.kept[smallest][0] == least == min(k for k, _ in made.kept.values())


def test_a_selection_holds_each_sample_once(pets):
    for ids in (["b", "a", "b"], ["a", "b"]):  # the second takes the place of the first, of the same rule
        pets.selections.write(Selection("twice", RUN, "by hand", np.array(ids), 8))
        assert pets.query("SELECT sample_id FROM selection_member ORDER BY 1")[1] == [("a",), ("b",)]
        assert pets.selections.overview()[0][4] == 2


def test_selections_are_listed_the_newest_first(pets):
    pets.selections.make(RUN, top=3, name="three")
    pets.selections.make(RUN, threshold=0.9, name="two")
    rows = pets.selections.overview()
    assert [row[:-1] for row in rows] == [
        ("two", RUN, "pets", "p_balanced >= 0.9", 2, 8),
        ("three", RUN, "pets", "top 3", 3, 8),
    ]


def test_two_selections_are_compared_per_class(pets):
    pets.selections.make(RUN, top=4, name="four")  # a b c d
    pets.selections.make(RUN, where="sample_id IN ('c', 'd', 'e', 'f')", name="middle")
    assert pets.selections.compare("four", "middle") == [
        ("(all)", 4, 4, 2, 2 / 6),
        ("bark", 3, 2, 1, 1 / 4),
        ("meow", 1, 2, 1, 1 / 2),
    ]
    assert pets.selections.compare("four", "four")[0] == ("(all)", 4, 4, 4, 1)
    pets.selections.make(RUN, where="sample_id = 'h'", name="last")
    assert pets.selections.compare("last", "four") == [
        ("(all)", 1, 4, 0, 0),
        ("bark", 0, 3, 0, 0),
        ("meow", 1, 1, 0, 0),
    ]


def test_selections_of_different_data_sets_are_not_compared(pets, scoring):
    write_pets(pets.path, scoring, "score-wolves-1", dataset="wolves", data_id="wolves-00")
    pets.selections.make(RUN, top=2, name="tame")
    pets.selections.make("score-wolves-1", top=2, name="wild")
    with pytest.raises(CurateError, match="different data sets, pets and wolves"):
        pets.selections.compare("tame", "wild")


def test_a_removed_selection_is_gone_and_the_others_are_not(pets):
    pets.selections.make(RUN, top=3, name="three")
    pets.selections.make(RUN, top=2, name="two")
    pets.selections.remove("three")
    assert [row[0] for row in pets.selections.overview()] == ["two"]
    assert pets.query("SELECT count(*) FROM selection_member")[1] == [(2,)]
    assert pets.query("SELECT count(*) FROM samples WHERE len(selections) > 0")[1] == [(2,)]
    for call in (pets.selections.remove, pets.selections.describe, lambda n: pets.selections.compare("two", n)):
        with pytest.raises(CurateError, match="unknown selection 'three'"):
            call("three")


def test_a_rule_that_says_what_to_keep_is_left_as_it_is(scored_table) -> None:
    """Of usability nothing is known here, so p_balanced decides."""
    made = scored_table.selections.completed
    for rule in ({"threshold": 0.5}, {"top": 3, "by": "gap"}, {"where": "gap > 0", "whole_groups": True}):
        assert made("score-toy-1", rule) == (rule, "")
    assert made("score-toy-1", {"top": None, "by": "gap"})[0] == {"top": None, "by": "gap", "threshold": 0.8}
    suggested, why = made("score-toy-1", {"whole_groups": True})
    assert suggested == {"whole_groups": True, "threshold": 0.8} and why.startswith("usability was not judged")
