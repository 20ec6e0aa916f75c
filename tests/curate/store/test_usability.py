"""Usability in the table: what is written is read, and what `samples` says of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from curate.errors import CurateError
from curate.scores.guard import Guard
from curate.scores.heart import epoch_weights
from curate.scores.labels import Denied
from curate.scores.preferences import preferences
from curate.scores.usability import Usability

RUN = "score-toy-1"
MODALITIES = ("audio", "visual")


@pytest.fixture
def assessed(scored_table):
    """Four kinds of samples in turn: both usable, audio broken, visual broken, visual contradicting."""
    ids = scored_table.rounds.read(RUN).sample_ids
    kinds = np.resize(np.arange(4), len(ids))
    worth = np.array([[1.0, 0.9], [0.1, 1.0], [1.0, 0.2], [1.0, 0.8]])[kinds]
    p_broken = np.array([[0.0, 0.0], [0.9, 0.0], [0.0, 0.8], [0.0, 0.1]])[kinds]
    denied = np.array([[0.1, 0.1, 0.1], [0.95, 0.1, 0.2], [0.1, 0.6, 0.3], [0.1, 0.9, 0.6]])[kinds]
    guards = (Guard(True, 0.25, 4.0, 0.05), Guard(True, 0.25, 3.0, 0.1))
    of = {
        "rare": [[1, 1], [0, 0], [0, 0], [0, 0]],
        "weak": [[0, 0], [0, 0], [0, 1], [0, 0]],
        "shortcut": np.zeros((4, 2)),
    }
    marked = {kind: np.array(rows, dtype=bool)[kinds] for kind, rows in of.items()}
    found = Usability(ids, MODALITIES, worth, worth, p_broken, guards, {}, {}, marked)
    swapped = np.where(kinds[:, None] == 3, [0.0, 0.9], 0.0)
    scored_table.usability.write(RUN, found, denied, Denied(np.zeros(len(ids)), swapped))
    return scored_table, ids, kinds, p_broken


def test_what_is_written_is_read(assessed) -> None:
    table, ids, _, p_broken = assessed
    read, values = table.usability.p_broken(RUN)
    assert np.array_equal(read, ids) and np.array_equal(values, p_broken)
    assert list(table.usability.guards(RUN)) == list(MODALITIES) and table.usability.guards(RUN)["visual"].ratio == 0.1


def test_samples_says_it_in_words(assessed) -> None:
    table, ids, kinds, _ = assessed
    rows = dict(
        (i, rest)
        for i, *rest in table.query(
            "SELECT sample_id, imbalance, intact, broken, contradicts, usability_visual, contradiction_audio, "
            "contradiction_fused, p_broken_audio, rare, weak, shortcut "
            "FROM samples WHERE imbalance IS NOT NULL"
        )[1]
    )
    assert set(rows) == set(ids.tolist())
    told = [rows[i] for i in ids[np.unique(kinds, return_index=True)[1]].tolist()]
    assert [row[2:4] for row in told] == [["", ""], ["audio", ""], ["visual", ""], ["", "visual"]]
    assert [row[0] for row in told] == pytest.approx([0.1, 0.9, 0.8, 0.2])  # a (1 - v) + v (1 - a)
    assert [row[1] for row in told] == ["audio", "visual", "audio", "audio"]
    assert told[2][4:8] == [0.2, 0.1, 0.3, 0.0] and told[1][7] == 0.9
    assert [row[8:] for row in told] == [["audio+visual", "", ""], ["", "", ""], ["", "visual", ""], ["", "", ""]]


def test_a_modality_that_is_not_judged_claims_nothing(assessed) -> None:
    table, ids, *_ = assessed
    ones = np.ones((len(ids), 2))
    guards = (Guard(True, 0.25, 4.0, 0.05), Guard(False, withheld=True))
    table.usability.write(RUN, Usability(ids, MODALITIES, ones, ones, ones, guards, {}), ones)
    assert table.query("SELECT DISTINCT broken FROM samples WHERE imbalance IS NOT NULL")[1] == [("audio",)]
    assert table.query("SELECT count(p_broken) FROM usability WHERE modality = 'visual'")[1] == [(0,)]
    assert table.query("SELECT count(p_broken_visual) FROM samples")[1] == [(0,)]
    assert (table.usability.p_broken(RUN)[1][:, 1] == 0).all()
    assert table.query("SELECT verdict FROM guard WHERE withheld")[1][0][0].startswith("not judged")
    why = replace(guards[1], why="a reason", weak=("ant",))
    table.usability.write(RUN, Usability(ids, MODALITIES, ones, ones, ones, (guards[0], why), {}), ones)
    assert table.usability.guards(RUN) == {"audio": guards[0], "visual": why}
    both = tuple(Guard(False, withheld=True) for _ in MODALITIES)
    table.usability.write(RUN, Usability(ids, MODALITIES, ones, ones, ones, both, {}), ones)
    assert table.query("SELECT count(broken) FROM samples")[1] == [(0,)]


def test_a_clip_is_named_and_a_label_is_wrong_where_that_was_judged(assessed) -> None:
    table, ids, *_ = assessed
    said = "SELECT DISTINCT contradicts, p_swapped_audio, p_mislabelled FROM samples WHERE imbalance IS NOT NULL"
    ones, whole = np.ones((len(ids), 2)), np.zeros((len(ids), 2))
    found = Usability(ids, MODALITIES, ones, ones, whole, (Guard(False), Guard(False)), {})
    table.usability.write(RUN, found, ones)
    assert table.query(said)[1] == [(None, None, None)]
    assert table.query("SELECT count(rare), count(weak), count(shortcut) FROM samples")[1] == [(0, 0, 0)], "not asked"
    swapped = np.tile([0.6, 0.5], (len(ids), 1))
    table.usability.write(RUN, found, ones, Denied(np.full(len(ids), 0.7), swapped))
    assert table.query(said)[1] == [("audio", 0.6, 0.7)]
    table.usability.write(RUN, found, ones, Denied(np.full(len(ids), np.nan), whole))
    assert table.query(said)[1] == [("", 0.0, None)]
    known = "SELECT count(p_swapped_audio), count(p_swapped_visual) FROM samples"
    withheld = replace(found, guards=(Guard(False, withheld=True), Guard(False)))
    unknown = np.tile([np.nan, 0.5], (len(ids), 1))
    for of, clips in ((withheld, swapped), (found, unknown)):
        table.usability.write(RUN, of, ones, Denied(np.full(len(ids), 0.7), clips))
        assert table.query(known)[1] == [(0, len(ids))]


def test_preferences_are_those_of_the_predictions(scored_table, predictions) -> None:
    """Exactly so with three classes: what is left of an epoch is then one class."""
    assert scored_table.dynamics.preferences(RUN) is None
    told = [predictions(epoch) for epoch in (1, 2, 3)]
    for epoch, said in enumerate(told, start=1):
        scored_table.dynamics.write(RUN, epoch, said)
    assert len(told[0].classes) == 3
    found = scored_table.dynamics.preferences(RUN)
    expected = preferences((s.probs for s in told), MODALITIES, told[0].labels)
    assert np.array_equal(found.other, expected.other)
    assert found.own == pytest.approx(expected.own) and found.cross == pytest.approx(expected.cross, abs=2e-3)
    assert np.array_equal(scored_table.dynamics.preferences(RUN, 50).own, found.own), "no accuracy is known"
    held = {"audio": [0.2, 0.5, 0.4], "visual": [0.3, 0.3, 0.6], "fused": [0.4, 0.6, 0.8]}
    for epoch in range(3):
        scored_table.epochs.write(RUN, epoch + 1, [("val", m, "accuracy", v[epoch]) for m, v in held.items()])
    right = np.array([(s.probs["fused"].argmax(axis=1) == s.labels).mean() for s in told])
    weights = epoch_weights(right, {m: np.array(v) for m, v in held.items()}, 50)
    found = scored_table.dynamics.preferences(RUN, 50)
    weighed = preferences((s.probs for s in told), MODALITIES, told[0].labels, weights)
    assert found.own == pytest.approx(weighed.own) and not np.allclose(weighed.own, expected.own)
    same = found.other == weighed.other
    assert same.mean() > 0.9, "the table has no probability below 0.001"
    assert found.cross[same] == pytest.approx(weighed.cross[same], abs=2e-3)
    right = np.array([(s.probs["visual"].argmax(axis=1) == s.labels).mean() for s in told])
    weights = epoch_weights(right, {m: np.array(v) for m, v in held.items()}, 50, "visual")
    own = preferences((s.probs for s in told), MODALITIES, told[0].labels, weights)
    led = scored_table.dynamics.preferences(RUN, 50, "visual")
    assert np.array_equal(led.own[:, :-1], found.own[:, :-1]), "what the others know is weighed as before"
    assert led.own[:, -1] == pytest.approx(own.own[:, 1]) and not np.allclose(own.own[:, 1], weighed.own[:, 1])


def test_evidence_is_the_mean_over_epochs(scored_table, predictions) -> None:
    assert scored_table.dynamics.means(RUN) is None
    for epoch in (1, 2):
        scored_table.dynamics.write(RUN, epoch, predictions(epoch))
    ids, p_true, margin = scored_table.dynamics.means(RUN)
    assert p_true.shape[1] == len(MODALITIES) and margin.shape[1] == len(MODALITIES) + 1
    said = [predictions(epoch) for epoch in (1, 2)]
    rows = np.arange(len(said[0].labels))
    for j, m in enumerate((*MODALITIES, "fused")):
        p = [s.probs[m][rows, s.labels] for s in said]
        if m != "fused":
            assert p_true[:, j] == pytest.approx(np.mean(p, axis=0))
        others = [np.where(np.arange(s.probs[m].shape[1]) == s.labels[:, None], 0, s.probs[m]).max(1) for s in said]
        wanted = [np.log(np.maximum(a, 1e-3)) - np.log(np.maximum(b, 1e-3)) for a, b in zip(p, others, strict=True)]
        assert margin[:, j] == pytest.approx(np.mean(wanted, axis=0))
    assert np.array_equal(ids, said[0].sample_ids)


def test_an_unassessed_run_says_so(scored_table) -> None:
    assert scored_table.usability.guards(RUN) == {}
    with pytest.raises(CurateError, match="nothing is known of usability in score-toy-1"):
        scored_table.usability.p_broken(RUN)
    assert scored_table.query("SELECT count(imbalance), count(broken) FROM samples")[1] == [(0, 0)]


@pytest.mark.parametrize("judged", [True, False])
def test_labels_are_stored_without_usability(judged, assessed) -> None:
    """What was known of usability is replaced: nothing is, and what asks for it is told so."""
    table, ids, kinds, _ = assessed
    p = np.where(kinds == 2, 0.7, 0.1) if judged else np.full(len(ids), np.nan)
    table.usability.write_labels(RUN, ids, MODALITIES, np.tile([0.1, 0.2, 0.3], (len(ids), 1)), p)
    rows = table.query(
        "SELECT sample_id, usability_audio, p_broken_visual, imbalance, intact, broken, contradicts, p_swapped_audio, "
        "contradiction_visual, contradiction_fused, p_mislabelled FROM samples WHERE contradiction_audio = 0.1"
    )[1]
    assert (
        len(rows) == len(ids)
        and {row[1:8] for row in rows} == {(None,) * 7}
        and {row[8:10] for row in rows} == {(0.2, 0.3)}
    )
    assert {i: v for i, *_, v in rows} == dict(
        zip(ids.tolist(), p.tolist() if judged else [None] * len(ids), strict=True)
    )
    assert table.usability.guards(RUN) == {} and table.usability.imbalance(RUN) is None
    with pytest.raises(CurateError, match="nothing is known of usability"):
        table.usability.p_broken(RUN)
    with pytest.raises(CurateError, match=f"usability is not known of {len(ids)} of"):
        table.selections.make(RUN, by="usability", top=1)
    assert table.selections.suggest(RUN)[0] == {"threshold": 0.8}
