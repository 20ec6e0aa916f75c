"""Rounds and selections: written whole, read back as they were, found by name."""

from __future__ import annotations

from dataclasses import replace

import duckdb
import numpy as np
import pytest

from curate.blocks import slices
from curate.errors import CurateError, EmptySelectionError
from curate.exports.formats import export
from curate.scores import gap, mixture, posteriors
from curate.store import rounds, writing
from curate.types import GapScores, Sample, Selection


def counts(t) -> dict[str, int]:
    """Rows of every table that a round writes."""
    names = ("prediction", "gap", "mixture", "posterior")
    return {name: t.query(f"SELECT count(*) FROM {name}")[1][0][0] for name in names}


def round_of(p, family: str = "gaussian", dof: float | None = 4.0):
    """Gaps, fits and (N, P) posteriors of predictions."""
    gaps = gap.modality_gap(p)
    fits = [mixture.fit(x, family, dof=dof) for x in gaps.prob.T]
    return gaps, fits, np.stack([posteriors.p_balanced(f, x) for f, x in zip(fits, gaps.prob.T, strict=True)], axis=1)


def selection(ids: list[str], rule: str = "p_balanced >= 0.5", name: str = "good") -> Selection:
    """A selection of the toy run."""
    return Selection(name, "score-toy-1", rule, np.array(ids, dtype=str), 60)


@pytest.mark.parametrize(
    ("family", "dof", "modalities"),
    [
        ("gaussian", 4.0, ("audio", "visual")),
        ("student-t", None, ("audio", "visual")),
        ("student-t", 4.0, ("visual", "text", "audio")),
    ],
)
def test_a_round_is_read_back_bit_for_bit(scored_table, predictions, scoring, family, dof, modalities):
    p = predictions(seed=3, modalities=modalities)
    gaps, fits, weights = round_of(p, family, dof)
    scored_table.runs.start(scoring.run("other", modalities=modalities))
    scored_table.rounds.write("other", 2, p, gaps, fits, weights, "prob")
    found = scored_table.rounds.read("other", 2)
    assert found.gaps.pairs == gaps.pairs and scored_table.rounds.numbers("other") == [2]
    for ours, theirs in (
        (found.sample_ids, p.sample_ids),
        (found.gaps.prob, gaps.prob),
        (found.gaps.kl, gaps.kl),
        (found.p_balanced, weights),
    ):
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(found.fits, fits, strict=True):
        for name in ("weights", "locs", "scales", "dofs"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
        for name in ("family", "balanced", "rule", "rule_conflict", "converged", "outcome", "warnings"):
            assert getattr(ours, name) == getattr(theirs, name)
        assert ours.log_likelihoods == theirs.log_likelihoods[-1:]
        x = gaps.prob[:, 0]
        np.testing.assert_array_equal(posteriors.posterior(ours, x), posteriors.posterior(theirs, x))


def test_a_round_is_read_ascending_by_id_whatever_the_order_it_was_written_in(scored_table, predictions):
    p = predictions()
    order = np.random.default_rng(0).permutation(60)
    shuffled = replace(
        p, sample_ids=p.sample_ids[order], labels=p.labels[order], probs={m: v[order] for m, v in p.probs.items()}
    )
    before = scored_table.rounds.read("score-toy-1")
    scored_table.rounds.write("score-toy-1", 0, shuffled, *round_of(shuffled), "prob")
    after = scored_table.rounds.read("score-toy-1")
    np.testing.assert_array_equal(after.sample_ids, before.sample_ids)
    np.testing.assert_array_equal(after.gaps.prob, before.gaps.prob)


def test_predictions_are_stored_with_what_they_were_right_about(scored_table, predictions):
    p = predictions()
    rows = scored_table.query(
        "SELECT sample_id, p_true, p_max, entropy, predicted, correct FROM prediction "
        "WHERE modality = 'visual' ORDER BY 1"
    )[1]
    for i, (sample_id, p_true, p_max, entropy, predicted, correct) in enumerate(rows):
        probs, label = p.probs["visual"][i], p.labels[i]
        assert (sample_id, p_true, p_max) == (p.sample_ids[i], probs[label], probs.max())
        assert entropy == pytest.approx(-(probs * np.log(probs)).sum())
        assert predicted == p.classes[probs.argmax()] and correct == (probs.argmax() == label)


@pytest.mark.parametrize("call", [1, 2])
def test_what_breaks_in_the_middle_leaves_nothing_of_the_round(scored_table, predictions, monkeypatch, call):
    before, calls, write = counts(scored_table), [], writing.put
    monkeypatch.setattr(rounds, "ranges", lambda rows, _: slices(rows, 20))

    def fail_later(*arguments, **more):
        calls.append(arguments[1])
        if len(calls) == call:
            raise KeyboardInterrupt
        write(*arguments, **more)

    p = predictions(seed=1)
    with monkeypatch.context() as broken:
        broken.setattr(writing, "put", fail_later)
        with pytest.raises(KeyboardInterrupt):
            scored_table.rounds.write("score-toy-1", 1, p, *round_of(p), "prob")
    assert counts(scored_table) == before and scored_table.rounds.numbers("score-toy-1") == [0]
    scored_table.rounds.write("score-toy-1", 1, p, *round_of(p), "prob")
    assert counts(scored_table) == {name: 2 * n for name, n in before.items()}


def test_a_number_that_is_none_is_refused_with_the_whole_round(scored_table, predictions):
    before, p = counts(scored_table), predictions()
    gaps, fits, weights = round_of(p)
    weights[7] = np.nan
    with pytest.raises(duckdb.ConstraintException):
        scored_table.rounds.write("score-toy-1", 1, p, gaps, fits, weights, "prob")
    assert counts(scored_table) == before


def test_the_second_write_of_a_round_replaces_the_first(scored_table, predictions):
    p = predictions(seed=9)
    gaps, _, _ = round_of(p)
    one = mixture.fit(np.zeros(60), "gaussian")
    before = counts(scored_table)
    scored_table.rounds.write("score-toy-1", 0, p, gaps, [one], np.ones((60, 1)), "prob")
    found = scored_table.rounds.read("score-toy-1")
    np.testing.assert_array_equal(found.gaps.prob, gaps.prob)
    assert found.fits[0].outcome == "degenerate" and (found.p_balanced == 1).all()
    assert counts(scored_table) == {**before, "mixture": 1}


def test_without_predictions_the_gaps_alone_are_written(scored_table, predictions):
    scored_table.rounds.write("score-toy-1", 1, None, *round_of(predictions()), "prob")
    assert scored_table.query("SELECT DISTINCT round FROM prediction")[1] == [(0,)]
    assert scored_table.rounds.numbers("score-toy-1") == [0, 1]


def test_a_modality_that_cannot_name_a_column_is_refused(scored_table, predictions):
    p = predictions(modalities=("audio", "x'; DROP TABLE run; --"))
    with pytest.raises(CurateError, match="cannot name a column"):
        scored_table.rounds.write("score-toy-1", 1, p, *round_of(p), "prob")


@pytest.mark.parametrize(("run_id", "number"), [("score-toy-1", 5), ("nobody", 0)])
def test_a_round_that_is_not_there_is_named(scored_table, run_id, number):
    with pytest.raises(CurateError, match=f"{run_id}.* no round {number}"):
        scored_table.rounds.read(run_id, number)


def test_a_selection_is_read_back(scored_table):
    scored_table.selections.write(selection(["s003", "s001"]))
    found = scored_table.selections.find("good")
    assert (found.run_id, found.rule, found.candidates) == ("score-toy-1", "p_balanced >= 0.5", 60)
    assert list(found.sample_ids) == ["s001", "s003"]
    with pytest.raises(CurateError, match="unknown selection 'goof'") as error:
        scored_table.selections.find("goof")
    assert "'good'" in error.value.hint


def test_an_empty_selection_is_refused_and_the_earlier_one_stays(scored_table):
    scored_table.selections.write(selection(["s001"]))
    with pytest.raises(EmptySelectionError) as error:
        scored_table.selections.write(selection([]), replace=True)
    assert error.value.exit_code == 5 and list(scored_table.selections.find("good").sample_ids) == ["s001"]


def test_a_name_taken_by_another_rule_is_kept_unless_replaced(scored_table):
    scored_table.selections.write(selection(["s001", "s002", "s003"]))
    scored_table.selections.write(selection(["s001", "s002", "s003"]))
    other = selection(["s002", "s009"], rule="top 2")
    with pytest.raises(CurateError, match=r"exists \(p_balanced >= 0\.5, of score-toy-1\)"):
        scored_table.selections.write(other)
    assert list(scored_table.selections.find("good").sample_ids) == ["s001", "s002", "s003"]
    scored_table.selections.write(other, replace=True)
    assert list(scored_table.selections.find("good").sample_ids) == ["s002", "s009"]
    assert scored_table.selections.find("good").rule == "top 2"
    assert scored_table.query("SELECT count(*) FROM selection_member")[1] == [(2,)]


def test_a_selection_is_exported_ascending_by_id(scored_table, tmp_path):
    scored_table.selections.write(selection(["s010", "s002", "s001"]))
    found = scored_table.rounds.read("score-toy-1")
    p = dict(zip(found.sample_ids, found.p_balanced[:, 0], strict=True))
    assert [scored_table.selections.export("good", tmp_path / f"x.{e}") for e in ("csv", "parquet", "txt")] == [3, 3, 3]
    assert (tmp_path / "x.txt").read_text() == "s001\ns002\ns010\n"
    for frame in (duckdb.read_csv(str(tmp_path / "x.csv")).df(), duckdb.read_parquet(str(tmp_path / "x.parquet")).df()):
        assert list(frame["sample_id"]) == ["s001", "s002", "s010"]
        assert list(frame["label_name"]) == ["class_1", "class_2", "class_1"]
        assert list(frame["p_balanced"]) == [p[i] for i in frame["sample_id"]]
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize(
    ("name", "message"),
    [("x.xlsx", r"cannot write '\.xlsx'"), ("x", "without suffix"), ("none/x.csv", "does not exist")],
)
def test_an_export_that_cannot_be_is_refused(scored_table, tmp_path, name, message):
    with pytest.raises(CurateError, match=message):
        export(scored_table, tmp_path / name)


# --- keys ------------------------------------------------------------------------------------------------------

KEYS = {
    "sample": "data_id, sample_id",
    "prediction": "run_id, round, sample_id, modality",
    "gap": "run_id, round, sample_id, pair",
    "posterior": "run_id, round, sample_id, pair",
    "dynamic": "run_id, epoch, sample_id, modality",
}


def rows_of(table, name):
    """How many rows a table has, and how many keys."""
    return table.query(f"SELECT count(*), count(DISTINCT ({KEYS[name]})) FROM {name}")[1][0]


def test_what_is_written_again_takes_the_place_of_what_was_there(scored_table, predictions, scoring):
    scored_table.dynamics.write("score-toy-1", 1, predictions())
    before = {name: rows_of(scored_table, name) for name in KEYS}
    assert all(rows == keys > 0 for rows, keys in before.values())
    other = scored_table.query("SELECT * FROM posterior ORDER BY ALL")[1]
    scoring.write(scored_table, predictions(1), run_id="score-toy-2")
    scoring.write(scored_table, predictions(1), run_id="score-toy-2")
    scored_table.dynamics.write("score-toy-1", 1, predictions())
    for name, (rows, _) in before.items():
        twice = 1 if name in ("sample", "dynamic") else 2
        assert rows_of(scored_table, name) == (twice * rows, twice * rows)
    fewer = scoring.write(scored_table, predictions(1, n=30), run_id="score-toy-2")
    assert len(scored_table.rounds.read(fewer.run_id).sample_ids) == 30
    for name in ("prediction", "gap", "posterior"):
        assert rows_of(scored_table, name) == (1.5 * before[name][0],) * 2
    assert scored_table.query("SELECT * FROM posterior WHERE run_id = 'score-toy-1' ORDER BY ALL")[1] == other
    scored_table.dynamics.write("score-toy-1", 1, predictions(n=30))
    assert rows_of(scored_table, "dynamic") == (90, 90)
    assert rows_of(scored_table, "sample") == (62, 62)


def test_a_round_without_predictions_keeps_those_that_are_there(scored_table):
    found = scored_table.rounds.read("score-toy-1")
    before = scored_table.query("SELECT * FROM prediction ORDER BY ALL")[1]
    scored_table.rounds.write("score-toy-1", 0, None, found.gaps, found.fits, found.p_balanced, "prob")
    assert scored_table.query("SELECT * FROM prediction ORDER BY ALL")[1] == before


def test_a_round_comes_back_ascending_however_it_was_written(scored_table):
    found = scored_table.rounds.read("score-toy-1")
    order = np.random.default_rng(0).permutation(60)
    gaps = GapScores(found.sample_ids[order], found.gaps.pairs, found.gaps.prob[order], found.gaps.kl[order])
    scored_table.rounds.write("score-toy-1", 0, None, gaps, found.fits, found.p_balanced[order], "prob")
    again = scored_table.rounds.read("score-toy-1")
    assert np.array_equal(again.sample_ids, found.sample_ids)
    assert np.array_equal(again.gaps.kl, found.gaps.kl) and np.array_equal(again.p_balanced, found.p_balanced)


def test_a_column_may_hold_hardly_any_value(scored_table):
    """DuckDB guesses at the type of Python objects from some of them; none of those has a value here."""
    samples = [
        Sample(sample_id=f"s{i:04}", label="k", split="train", inputs={}, group="last" if i == 2998 else None)
        for i in range(3000)
    ]
    scored_table.samples.write("many-0123456789", samples, ("k",), ["ok"] * 3000, [""] * 3000)
    query = "SELECT count(*), count(group_id), max(group_id) FROM sample WHERE data_id = 'many-0123456789'"
    assert scored_table.query(query)[1] == [(3000, 1, "last")]


def test_an_id_twice_is_refused_and_nothing_is_written(scored_table, scoring):
    found = scored_table.rounds.read("score-toy-1")
    ids = found.sample_ids.copy()
    ids[7] = ids[3]
    gaps = GapScores(ids, found.gaps.pairs, found.gaps.prob, found.gaps.kl)
    with pytest.raises(ValueError, match="not unique"):
        scored_table.rounds.write("score-toy-1", 0, None, gaps, found.fits, found.p_balanced, "prob")
    twice = [Sample(sample_id="a", label="k", split="train", inputs={})] * 2
    with pytest.raises(ValueError, match="not unique"):
        scored_table.samples.write("toy-0123456789", twice, ("k",), ["ok"] * 2, [""] * 2)
    assert np.array_equal(scored_table.rounds.read("score-toy-1").sample_ids, found.sample_ids)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE item_here SET prob_gap = NULL WHERE sample_id = 's003'",
        "UPDATE item_here SET p_balanced = NULL WHERE sample_id = 's003'",
        "INSERT INTO item_here (FROM item WHERE prob_gap IS NOT NULL LIMIT 1)",
    ],
)
def test_a_round_that_others_have_torn_is_not_read(scored_table, change):
    with duckdb.connect(str(scored_table.path)) as con:
        con.execute(change)
    with pytest.raises(CurateError, match="not whole"):
        scored_table.rounds.read("score-toy-1")


def test_readings_together_share_one_connection(scored_table, monkeypatch) -> None:
    opened, connect = [], scored_table.db._connect
    monkeypatch.setattr(scored_table.db, "_connect", lambda *a: opened.append(a) or connect(*a))
    with scored_table.together():
        run = scored_table.runs.find()
        with scored_table.together():
            assert scored_table.rows("SELECT count(*) FROM run") == [(1,)]
        assert len(scored_table.frame("SELECT * FROM run")) == 1
    assert len(opened) == 1
    scored_table.runs.finish(run.run_id, "failed")  # closed again: it may be written
    assert scored_table.runs.find().status == "failed"
