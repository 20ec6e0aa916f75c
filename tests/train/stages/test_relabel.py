"""Training with corrected labels: which samples, people first, never validation; and what `improve` compares."""

from __future__ import annotations

from dataclasses import replace

import pytest

from curate.advice.relabelling import find_corrections
from curate.comparison.plan import IMPROVE
from curate.store.marks import Mark
from curate.train.stages import training
from curate.train.stages.improve import (
    CORRECTED,
    GIVEN,
    RANDOM,
    TRIMMED,
    Outcome,
    chosen,
    improve,
    plan_improvement,
)
from curate.train.stages.training import plan_train, resume_train, train

DENIED = ("train-000", "train-001", "train-004", "train-007")
CHANGED = {"train-000": "high", "train-001": "low", "train-004": "low", "train-007": "high"}
"""The toy's labels are low, middle, high in turn; the other class of every epoch is the one before it, or as below."""
FEW = [{"train": {"epochs": 2, "labels": "corrected"}}]


def mark(store, sample_id: str, what: str, label: str | None = None) -> None:
    made = Mark(mark_id=f"{sample_id} {what}", sample_id=sample_id, mark=what, new_label=label)
    store.marks.write("toy", [made], "me")


def rows(found) -> list[tuple[str, ...]]:
    return list(zip(found.sample_ids, found.given, found.used, found.why, strict=True))


@pytest.fixture
def denied(work, scored):
    """The scored toy, whose table denies four labels, by a fusion that reads well."""
    with work.store.db.open(write=True) as con:
        con.execute(f"UPDATE usability_here SET p_mislabelled = CASE WHEN sample_id IN {DENIED} THEN 0.9 ELSE 0.1 END")
        con.execute("UPDATE epoch SET value = 0.9 WHERE split = 'val' AND metric = 'accuracy'")
        con.execute(
            "UPDATE dynamic_here SET p_true = 0.3, log_margin = ln(0.3 / 0.4), "
            "other = (SELECT (label + 2) % 3 FROM sample s WHERE s.sample_id = dynamic_here.sample_id)"
        )
        con.execute("UPDATE dynamic_here SET other = 2 WHERE sample_id = 'train-007'")
    return scored


def test_what_is_denied_is_changed_and_people_win(work, denied) -> None:
    found = find_corrections(work.store, denied, "corrected", 0)
    assert dict(zip(found.sample_ids, found.used, strict=True)) == CHANGED
    assert set(found.why) == {"denied"} and found.samples == 50 and not found.withheld
    mark(work.store, "train-000", "keep")
    mark(work.store, "train-001", "fix_label", "high")
    mark(work.store, "train-004", "unsure")
    mark(work.store, "train-006", "fix_label")
    mark(work.store, "train-008", "fix_label", "low")
    found = find_corrections(work.store, denied, "corrected", 0)
    assert rows(found) == [
        ("train-001", "middle", "high", "marked"),
        ("train-006", "low", "high", "marked, class predicted"),
        ("train-007", "middle", "high", "denied"),
        ("train-008", "high", "low", "marked"),
    ]
    assert find_corrections(work.store, denied, "marked", 0).sample_ids == ("train-001", "train-008")
    random = find_corrections(work.store, denied, "random", 0)
    assert sorted(row[1:3] for row in rows(random)) == sorted(row[1:3] for row in rows(found))
    assert not set(random.sample_ids) & set(found.sample_ids)


def test_a_fusion_that_reads_badly_changes_nothing(work, denied) -> None:
    with work.store.db.open(write=True) as con:
        con.execute("UPDATE usability_here SET p_mislabelled = NULL")
        con.execute("UPDATE epoch SET value = 0.5 WHERE split = 'val' AND metric = 'accuracy'")
    mark(work.store, "train-008", "fix_label", "low")
    found = find_corrections(work.store, denied, "corrected", 0)
    assert found.sample_ids == ("train-008",) and "right on only 50%" in found.describe()


def test_training_labels_alone_are_changed_and_a_resumed_run_keeps_them(work, denied, monkeypatch) -> None:
    seen, train_to = [], training.train_to

    def stopping(job, end, context, *, data, **how):
        seen.append(data)
        train_to(job, end if len(seen) > 1 else 1, context, data=data, **how)
        if len(seen) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "train_to", stopping)
    with pytest.raises(KeyboardInterrupt):
        train(work, denied, "warmup", FEW, 0)
    run = work.store.runs.find(kind="train")
    mark(work.store, "train-008", "fix_label", "low")
    done = resume_train(work, run)
    names = ("low", "middle", "high")
    for data in seen:
        used = {
            i: names[label] for i, label in zip(data.fit.sample_ids.tolist(), data.fit.labels.tolist(), strict=True)
        }
        given = {i: names[int(i[-3:]) % 3] for i in used}
        assert {i: label for i, label in used.items() if label != given[i]} == CHANGED
        held = zip(data.val.sample_ids.tolist(), data.val.labels.tolist(), strict=True)
        assert all(label == int(i[-3:]) % 3 for i, label in held)
    asked = f"SELECT sample_id, given, used, why FROM relabelled WHERE run_id = '{done.run_id}' ORDER BY 1 LIMIT 1"
    assert work.store.query(asked)[1] == [("train-000", "low", "high", "denied")]
    plain = train(work, denied, "warmup", [{"train": {"epochs": 2, "labels": "given"}}], 0)
    assert work.store.relabelled.read(plain.run_id) == {} and len(work.store.relabelled.read(done.run_id)) == 4
    again = plan_train(work, denied, "warmup", FEW, 0)
    assert again.config["relabelled"]["samples"] == 5 and again.config["relabelled"] != done.config["relabelled"]
    work.store.remove_run(done.run_id)
    assert work.store.relabelled.read(done.run_id) == {}


@pytest.mark.long
def test_improve_trains_each_row_once(work, denied) -> None:
    told: list[str] = []
    work = replace(work, message=told.append)
    few = [{"train": {"epochs": 1}}]
    plan = plan_improvement(work, denied, few, [0], control=True)
    assert [row.label for row in plan.rows] == [GIVEN, CORRECTED, TRIMMED, RANDOM]
    assert plan.cost.startswith("4 trainings of 1 ")
    assert not work.store.runs.all(kind="train")
    plan = plan_improvement(work, denied, few, [0], control=False)
    outcomes = improve(work, plan)
    runs = [work.store.runs.find(o.runs[0]) for o in outcomes]
    assert [r.config["train"]["labels"] for r in runs] == ["given", "corrected", "marked"]
    assert [r.method for r in runs] == ["warmup", "warmup", "trim"]
    assert all(r.config["train"]["augment"] == "shift" and r.config["optim"]["ema"] == 0.99 for r in runs)
    first, remedy, left_out = outcomes
    assert first.on_val is None and first.on_test is None
    assert remedy.on_test.mean == pytest.approx(remedy.test - first.test)
    assert remedy.test == pytest.approx(work.store.epochs.test_metrics(remedy.runs[0])["fused"]["accuracy"])
    assert left_out.on_test.mean == pytest.approx(left_out.test - first.test)
    assert chosen(outcomes).val == max(o.val for o in outcomes)
    assert [c.run_id for c in work.store.comparisons.find(IMPROVE)] == [o.runs[0] for o in outcomes]
    again = plan_improvement(work, denied, few, [0], control=False)
    assert not again.cost and [o.runs for o in improve(work, again)] == [o.runs for o in outcomes]


@pytest.mark.parametrize(
    ("val", "label"), [((0.8, 0.8, 0.7, 0.9), GIVEN), ((0.8, 0.8, 0.9, 0.9), TRIMMED), ((0.7, 0.9, 0.8, 1), CORRECTED)]
)
def test_validation_chooses_a_remedy_that_is_better_and_no_control(val: tuple[float, ...], label: str) -> None:
    rows = [(GIVEN, True), (CORRECTED, False), (TRIMMED, False), (RANDOM, True)]
    outcomes = [Outcome(name, c, (), v, 0.0, None, None, 0.0) for (name, c), v in zip(rows, val, strict=True)]
    assert chosen(outcomes).label == label
