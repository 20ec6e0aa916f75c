"""Files to a scored run in the table."""

from __future__ import annotations

import numpy as np
import pytest

from curate.config import parse_set
from curate.errors import CurateError
from curate.predictions import score
from curate.predictions.refit import refit
from curate.predictions.score import score_predictions
from curate.store.store import Store
from curate.types import FUSED

TABLES = ("sample", "prediction", "gap", "mixture", "posterior")


def rows(table, run_id):
    """Every row of a run, in order; `repr` tells every bit of a float, and NaN is NaN."""
    found = {}
    for name in TABLES:
        where = "data_id = (SELECT data_id FROM run WHERE run_id = ?)" if name == "sample" else "run_id = ?"
        frame = table.frame(f"SELECT * FROM {name} WHERE {where} ORDER BY ALL", [run_id])
        found[name] = frame.to_dict("records")
    return found


def content_of(saved, predictions):
    """Predictions of our own as what another framework would write, the fusion included."""
    labels = [predictions.classes[y] for y in predictions.labels]
    return saved.content(predictions.sample_ids.tolist(), labels, predictions.classes, dict(predictions.probs))


@pytest.fixture
def table(tmp_path):
    return Store(tmp_path / "t.duckdb")


@pytest.mark.parametrize("modalities", [("audio", "visual"), ("audio", "visual", "text")])
@pytest.mark.parametrize(("kind", "family"), [("prob", "gaussian"), ("kl", "student-t")])
def test_a_file_scores_as_the_run_it_was_written_from(
    saved, table, tmp_path, predictions, scoring, modalities, kind, family
):
    """The same predictions, from our own model or out of a file: the same table but for the last bits."""
    given = predictions(modalities=modalities)
    ours = scoring.write(table, given, gap_kind=kind, family=family)
    path = saved.write(content_of(saved, given), tmp_path / "a.parquet")
    settings = parse_set([f"score.gap={kind}", f"score.family={family}"])
    run = score_predictions(table, [str(path)], [settings], "other")
    assert (run.kind, run.method, run.status, run.parent, run.folder) == ("score", "predictions", "done", None, "")
    assert (run.gap_kind, run.family, run.modalities) == (kind, family, modalities)
    a, b = table.rounds.read(ours.run_id), table.rounds.read(run.run_id)
    assert np.array_equal(a.sample_ids, b.sample_ids) and a.gaps.pairs == b.gaps.pairs
    np.testing.assert_allclose(a.gaps.prob, b.gaps.prob, atol=1e-12)
    np.testing.assert_allclose(a.gaps.kl, b.gaps.kl, atol=1e-12)
    np.testing.assert_allclose(a.p_balanced, b.p_balanced, atol=1e-6)
    theirs, own = (
        {(r["sample_id"], r["modality"]): r for r in rows(table, i)["prediction"]} for i in (run.run_id, ours.run_id)
    )
    assert set(theirs) == set(own) and {m for _, m in own} == {*modalities, FUSED}
    assert all(abs(theirs[k]["p_true"] - own[k]["p_true"]) < 1e-12 for k in own)
    assert all(theirs[k]["predicted"] == own[k]["predicted"] for k in own)


def test_every_format_writes_the_same_table(saved, tmp_path):
    content = saved.make()
    moved = content.rows(np.random.default_rng(0).permutation(24)).columns([1, 2, 0])
    written = []
    for i, suffix in enumerate(saved.formats):
        path = saved.write(content if i % 2 else moved, tmp_path / f"mine.{suffix}")
        table = Store(tmp_path / f"{suffix}.duckdb")
        written.append(rows(table, score_predictions(table, [str(path)], [{}]).run_id))
    assert all(repr(other) == repr(written[0]) for other in written[1:])
    assert len(written[0]["sample"]) == 24 and len(written[0]["prediction"]) == 3 * 24


def test_only_the_training_split_is_scored(saved, table, tmp_path):
    content = saved.make()
    content.splits = [("train", "training", "val", "test")[i % 4] for i in range(24)]
    content.values["audio"][2, 1] = np.nan  # of a sample that is not scored
    run = score_predictions(table, [str(saved.write(content, tmp_path / "a.csv"))], [{}])
    assert table.rounds.read(run.run_id).sample_ids.tolist() == [f"s{i:03d}" for i in range(24) if i % 4 < 2]
    _, found = table.query("SELECT split, status, count(*), count(gap) FROM samples GROUP BY 1, 2 ORDER BY 1")
    assert found == [("test", "ok", 6, 0), ("train", "ok", 12, 12), ("val", "ok", 6, 0)]


def test_epochs_become_rounds_the_newest_first(saved, table, tmp_path):
    """Three epochs in one file; what `samples` shows is the newest alone, `history` keeps all."""
    epochs = [saved.make(seed=e) for e in (3, 5, 12)]
    joined = saved.content(
        epochs[0].sample_ids * 3,
        epochs[0].labels * 3,
        epochs[0].classes,
        {m: np.concatenate([e.values[m] for e in epochs]) for m in ("audio", "visual")},
        epochs=np.repeat([3, 12, 5], 24).tolist(),
    )
    run = score_predictions(table, [str(saved.write(joined, tmp_path / "all.jsonl"))], [{}])
    assert run.config["predictions"]["epochs"] == [12, 5, 3] and table.rounds.numbers(run.run_id) == [0, 1, 2]
    newest = score_predictions(table, [str(saved.write(epochs[1], tmp_path / "one.csv"))], [{}])
    for a, b in zip(table.rounds.read(run.run_id).gaps.prob, table.rounds.read(newest.run_id).gaps.prob, strict=True):
        np.testing.assert_array_equal(a, b)
    _, shown = table.query("SELECT s.gap = h.prob_gap FROM samples s JOIN history h USING (run_id, sample_id) "
                           "WHERE h.round = 0")  # fmt: skip
    assert len(shown) == 48 and all(equal for (equal,) in shown)


def test_a_given_fusion_is_kept_and_a_missing_one_is_the_product(saved, table, tmp_path):
    content = saved.make()
    product = score_predictions(table, [str(saved.write(content, tmp_path / "a.csv"))], [{}])
    content.values = {**content.values, FUSED: -content.values["audio"]}
    given = score_predictions(table, [str(saved.write(content, tmp_path / "b.csv"))], [{}])
    assert given.config["predictions"]["fused"] == "given" and "product" in product.config["predictions"]["fused"]
    fused = {
        r: np.array([x["p_true"] for x in rows(table, r)["prediction"] if x["modality"] == FUSED])
        for r in (product.run_id, given.run_id)
    }
    logits = content.values["audio"] + content.values["visual"]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(fused[product.run_id], p[np.arange(24), np.arange(24) % 3], rtol=1e-9)
    assert fused[given.run_id].mean() < 0.2 < fused[product.run_id].mean()
    assert given.modalities == ("audio", "visual")


def test_equal_data_have_equal_ids_whatever_was_predicted(saved, table, tmp_path):
    """A later model on the same samples is another run on the same data; other labels are other data."""
    runs = [
        score_predictions(table, [str(saved.write(saved.make(seed=s), tmp_path / f"{s}.csv"))], [{}], "mine")
        for s in (0, 1)
    ]
    assert [r.run_id for r in runs] == ["score-mine-1", "score-mine-2"] and len({r.data_id for r in runs}) == 1
    changed = saved.make()
    changed.labels = changed.labels[1:] + changed.labels[:1]
    other = score_predictions(table, [str(saved.write(changed, tmp_path / "c.csv"))], [{}], "mine")
    assert other.data_id != runs[0].data_id and other.data_id.startswith("mine-")


def test_the_data_set_is_named_after_the_file(saved, table, tmp_path):
    for name, made in (("My preds-2.v1", "my_preds_2_v1"), ("...", "predictions")):
        assert (
            score_predictions(table, [str(saved.write(saved.make(), tmp_path / f"{name}.csv"))], [{}]).dataset == made
        )
    with pytest.raises(CurateError, match="'My-Data' cannot be the name of a data set"):
        score_predictions(table, [str(tmp_path / "...csv")], [{}], "My-Data")


def test_nothing_is_stored_of_what_is_refused(saved, table, tmp_path):
    content = saved.make()
    content.values["audio"][5] = np.inf
    with pytest.raises(CurateError, match="'s005'"):
        score_predictions(table, [str(saved.write(content, tmp_path / "a.npz"))], [{}])
    assert not table.path.exists()


def test_a_run_that_breaks_is_recorded_as_failed(saved, table, tmp_path, monkeypatch):
    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(score, "fit_round", full)
    with pytest.raises(OSError):
        score_predictions(table, [str(saved.write(saved.make(), tmp_path / "a.npz"))], [{}])
    assert [r.status for r in table.runs.all()] == ["failed"]


def test_settings_of_the_warm_up_are_left_out_of_files_and_refused_when_typed(saved, table, tmp_path):
    path = str(saved.write(saved.make(), tmp_path / "a.csv"))
    file, typed = {"score": {"epochs": 3, "gap": "kl"}}, {"score": {"epochs": 3}}
    assert score_predictions(table, [path], [file, {}]).gap_kind == "kl"
    with pytest.raises(CurateError, match=r"score\.epochs has no part in it"):
        score_predictions(table, [path], [file, typed])


@pytest.mark.parametrize("kind", ["prob", *(pytest.param(k, marks=pytest.mark.long) for k in ("kl", "log_odds"))])
def test_averaged_epochs_look_back_from_each_round(saved, table, tmp_path, kind):
    """Round 0 sees the mean of all three epochs, round 2 its own alone; each keeps its own gap beside it."""
    epochs = [saved.make(seed=e) for e in (3, 5, 12)]
    joined = saved.content(
        epochs[0].sample_ids * 3,
        epochs[0].labels * 3,
        epochs[0].classes,
        {m: np.concatenate([e.values[m] for e in epochs]) for m in ("audio", "visual")},
        epochs=np.repeat([3, 5, 12], 24).tolist(),
    )
    path = str(saved.write(joined, tmp_path / "all.jsonl"))
    plain = score_predictions(table, [path], [{"score": {"gap": kind}}])
    averaged = score_predictions(table, [path], [{"score": {"gap": kind, "average": "warmup"}}])
    own = [table.rounds.read(plain.run_id, r).gaps for r in range(3)]
    for number in range(3):
        found = table.rounds.read(averaged.run_id, number).gaps
        expected = np.mean([own[r].seen(kind) for r in range(number, 3)], axis=0)
        np.testing.assert_allclose(found.fitted, expected, atol=1e-12)
        np.testing.assert_array_equal(found.prob, own[number].prob)
    again = refit(table, plain, [{}, {"score": {"average": "warmup"}}])
    for number in range(3):
        ours, theirs = (table.rounds.read(r.run_id, number) for r in (again, averaged))
        np.testing.assert_array_equal(ours.gaps.fitted, theirs.gaps.fitted)
        np.testing.assert_array_equal(ours.p_balanced, theirs.p_balanced)


def test_one_epoch_cannot_be_averaged(saved, table, tmp_path):
    path = str(saved.write(saved.make(), tmp_path / "one.csv"))
    with pytest.raises(CurateError, match="several epochs"):
        score_predictions(table, [path], [{"score": {"average": "warmup"}}])
    assert not table.path.exists() or table.runs.all() == []


def test_whether_saved_predictions_are_in_sample_is_unknown(saved, table, tmp_path):
    score_predictions(table, [str(saved.write(saved.make(), tmp_path / "one.csv"))], [{}])
    assert table.query("SELECT DISTINCT in_sample FROM samples")[1] == [(None,)]


@pytest.mark.long
@pytest.mark.parametrize(
    "written",
    [
        lambda p: p,
        lambda p: 100 * p,
        np.log,
        np.log2,
        np.log10,
        lambda p: np.log(p) + 3 * (np.arange(len(p)) % 5)[:, None],
        lambda p: np.log(p / (1 - p)),
    ],
    ids=["probabilities", "percentages", "logarithms", "base 2", "base 10", "logits", "log-odds"],
)
def test_validation_accuracy_is_known_whatever_kind_the_numbers_are_of(tmp_path, table, written) -> None:
    rng = np.random.default_rng(0)
    labels, split = np.arange(90) % 3, np.repeat(["train", "val"], [60, 30])
    p = {m: rng.dirichlet(np.ones(3), size=90).clip(1e-4) for m in ("audio", "visual")}
    p = {m: x / x.sum(axis=1, keepdims=True) for m, x in p.items()}
    keys = {"sample_id": np.array([f"s{i}" for i in range(90)]), "label": np.array(["x", "y", "z"])[labels]}
    arrays = {m: written(x) for m, x in p.items()}
    np.savez(tmp_path / "p.npz", **keys, split=split, classes=np.array(["x", "y", "z"]), **arrays)
    score_predictions(table, [str(tmp_path / "p.npz")], [{}])
    found = dict(table.query("SELECT modality, held_out_accuracy FROM by_modality")[1])
    for m in p:
        assert found[m] == pytest.approx(float((p[m].argmax(axis=1) == labels)[60:].mean()))


@pytest.mark.parametrize(("name", "value", "said"), [("epochs", 3, "has no part in it"), ("components", "3", "number")])
def test_settings_from_python_are_refused_as_typed_ones(saved, table, tmp_path, name, value, said):
    path = saved.write(saved.make(), tmp_path / "a.csv")
    with pytest.raises(CurateError, match=f"score.{name} .*{said}|score.{name} {said}"):
        score_predictions(table, [str(path)], [{"score": {name: value}}])
    assert not table.path.exists() or not table.runs.all()
