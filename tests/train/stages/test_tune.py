"""Tuned rows: what is tried, what is kept, and what they are compared with."""

from __future__ import annotations

from dataclasses import replace

import pytest

from curate.comparison.plan import Plan, Row, candidates, parse_methods, tuned_row, with_controls
from curate.comparison.summary import Cell, summarize
from curate.errors import CurateError
from curate.train.methods import catalog
from curate.train.stages import tune
from curate.train.stages.compare import Protocol, compare, planned_scoring
from curate.train.stages.tune import tuned

FEW = [{"score": {"epochs": 1}, "train": {"epochs": 1}}]


@pytest.mark.parametrize("entry", catalog.entries(), ids=lambda e: e.name)
def test_what_is_tried_is_a_setting_of_the_method_and_not_its_default(entry) -> None:
    """A value that is refused, or that changes nothing, would be a trial less for this method than for others."""
    of = catalog.find(entry.name).Config
    for change in candidates(entry.tried, 0.01)[:-4]:
        ((key, value),) = change["method"].items()
        assert value != getattr(of(), key)
        of(**{key: value})


def test_trials_change_the_knob_first_and_then_the_learning_rate() -> None:
    assert candidates("alpha=0.1,0.3", 0.002) == [
        {"method": {"alpha": 0.1}}, {"method": {"alpha": 0.3}},
        {"optim": {"lr": 0.006}}, {"optim": {"lr": 0.000667}}, {"optim": {"lr": 0.02}}, {"optim": {"lr": 0.0002}},
    ]  # fmt: skip
    assert candidates("", 1.0)[0] == {"optim": {"lr": 3.0}}


@pytest.fixture
def unscored(monkeypatch) -> None:
    """The scored run is planned, not made."""
    monkeypatch.setattr(tune, "scored", lambda *of: planned_scoring(*of)[0])


def test_each_trial_changes_one_setting_of_the_best_so_far_and_equals_change_nothing(
    work, unscored, monkeypatch
) -> None:
    """The made accuracy is highest at alpha = 0.3 with a third of the rate; of joint training all are equal."""
    asked: list[tuple[str, dict[str, object]]] = []

    def made(session, protocol, parent, cell) -> float:
        flat = {k: v for section in cell.row.settings.values() for k, v in section.items()}
        asked.append((cell.row.method, flat))
        if cell.row.method == "joint":
            return 0.5
        return {0.8: 0.1, 0.1: 0.2, 0.3: 0.3}[flat.get("alpha", 0.8)] + (0.05 if flat.get("lr") == 0.01 else 0)

    monkeypatch.setattr(tune, "_validated", made)
    plan = Plan("mine", (Row("joint", "joint"), Row("ogm", "ogm"), Row("mine", "ogm", {"method": {"alpha": 0.2}})))
    layers = [*FEW, {"optim": {"lr": 0.03}}]
    found = tuned(work, plan, Protocol("toy", None, layers), [0, 1], 4)
    assert asked == [
        ("joint", {}), *(("joint", {"lr": lr}) for lr in (0.09, 0.01, 0.3, 0.003)),
        ("ogm", {}), ("ogm", {"alpha": 0.1}), ("ogm", {"alpha": 0.3}),
        ("ogm", {"alpha": 0.3, "lr": 0.09}), ("ogm", {"alpha": 0.3, "lr": 0.01}),
    ]  # fmt: skip
    assert [r.label for r in found.rows] == [
        "joint", "joint, tuned", "ogm", "ogm, tuned (alpha=0.3, optim.lr=0.01)", "mine",
    ]  # fmt: skip
    assert found.rows[3].settings == {"method": {"alpha": 0.3}, "optim": {"lr": 0.01}}


@pytest.mark.long
@pytest.mark.slow
def test_the_choice_is_that_of_validation_and_a_second_run_trains_nothing(work, monkeypatch) -> None:
    rows = tuple(parse_methods(["warmup", "ogm"], catalog.names()))
    protocol = Protocol("toy", None, FEW)
    plan = tuned(work, with_controls(Plan("mine", rows), {}, measure=False), protocol, [0], 1)
    compare(work, plan, protocol, [0])
    trained = {run.run_id: work.store.epochs.best_validation(run.run_id) for run in work.store.runs.all(method="ogm")}
    assert len(trained) == 2
    cells = {c.label: c.run_id for c in work.store.comparisons.find("mine")}
    (label,) = (label for label in cells if label.startswith("ogm, tuned"))
    assert trained[cells[label]] == max(trained.values())
    assert tuned(work, plan, protocol, [0], 1).rows[0] == plan.rows[0]
    assert len(work.store.runs.all(method="ogm")) == 2


def test_a_tuned_row_is_compared_with_the_tuned_control() -> None:
    def cell(label: str, method: str, value: float, control: bool = False) -> Cell:
        return Cell("c", "toy", label, method, control, "", 0, f"{label}-1", values={("fused", "accuracy"): value})

    lines = summarize(
        [
            cell("warmup", "warmup", 0.70, True), cell("warmup, tuned (optim.lr=0.1)", "warmup", 0.80, True),
            cell("ogm", "ogm", 0.75), cell("ogm, tuned", "ogm", 0.75),
        ]
    )  # fmt: skip
    ahead = {line.label: line.continued.mean for line in lines if line.continued is not None and line.method == "ogm"}
    assert ahead == pytest.approx({"ogm": 0.05, "ogm, tuned": -0.05})
    alone = summarize([cell("warmup", "warmup", 0.7, True), cell("ogm, tuned", "ogm", 0.75)])
    assert alone[1].continued is not None and alone[1].continued.mean == pytest.approx(0.05)


def test_a_row_that_cannot_be_trained_keeps_its_reason(work, unscored, monkeypatch) -> None:
    monkeypatch.setattr(tune, "_validated", lambda session, protocol, parent, cell: -1.0)
    plan = Plan("mine", (Row("rounds", "adaptive"),))
    found = tuned(work, plan, Protocol("toy", None, [{"score": {"epochs": 1}, "train": {"epochs": 3}}]), [0], 2)
    assert found.rows == (plan.rows[0], tuned_row(plan.rows[0], {}))
    with pytest.raises(CurateError, match=r"score\.epoch"):
        tuned(work, replace(plan, rows=plan.rows), Protocol("toy", None, [{"score": {"epoch": 1}}]), [0], 2)


def test_what_a_trial_starts_from_is_the_scored_run_of_its_own_row(work, unscored, monkeypatch) -> None:
    """Not that of the first row, which has scoring settings of its own."""
    asked = []

    def made(session, protocol, parent, cell) -> float:
        asked.append((cell.row.label, parent.config["optim"]["optimizer"]))
        return 0.5

    monkeypatch.setattr(tune, "_validated", made)
    plan = Plan("mine", (Row("joint, adam", "joint", scoring={"optim": {"optimizer": "adam"}}), Row("ogm", "ogm")))
    found = tuned(work, plan, Protocol("toy", None, FEW), [0], 1)
    assert asked == [("ogm", "sgd"), ("ogm", "sgd")]
    assert [row.label for row in found.rows] == ["joint, adam", "ogm", "ogm, tuned"]
