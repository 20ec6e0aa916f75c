"""Every table of the papers runs from end to end on the toy data, and ends in the paper's own layout."""

from __future__ import annotations

from dataclasses import replace

import pytest

from curate.advice.kept import measured
from curate.comparison.layout import to_csv, to_latex, to_markdown
from curate.comparison.paper import paper_table
from curate.comparison.plan import Plan, read_table, table_names, with_controls
from curate.train.methods import catalog
from curate.train.stages.compare import Protocol, compare

# The adaptive loss has 4 rounds, of the epochs of training or, from scratch, of all.
SHORT = [{"score": {"epochs": 4}, "train": {"epochs": 4}, "optim": {"batch_size": 16}}]
THREE = [*SHORT, {"data": {"modalities": "audio,visual,depth"}}]
TABLES = [name for name in table_names() if name.startswith(("adaptive/", "iprm/"))]


def run(work, plan: Plan, layers=SHORT) -> None:
    own = {e.name: e.control for e in catalog.entries()}
    compare(work, with_controls(plan, own, measure=False), Protocol("toy", None, layers), [0])


@pytest.mark.long
@pytest.mark.parametrize("name", TABLES)
def test_a_table_runs_whole(name: str, work) -> None:
    plan = read_table(name)
    run(work, plan, THREE if name == "iprm/trimodal" else SHORT)
    lines = measured(work.store, name)
    empty = [line.label for line in lines if not line.seeds and "p_balanced >=" not in line.remark]
    assert empty == [], [line.remark for line in lines if not line.seeds]
    assert {line.label for line in lines} == {row.label for row in plan.rows}
    toy = replace(plan, rows=tuple(replace(r, paper={"toy": {"accuracy": 50.0}} if r.paper else {}) for r in plan.rows))
    texts = [cell for row in paper_table(toy, lines)[1] for cell in row if " / " in cell]
    assert len(texts) >= len(plan.rows) - len([line for line in lines if not line.seeds]) - 1
    for text in (to_markdown("x", lines, plan), to_latex("x", lines, plan)):
        assert "(ours)" in text or name == "iprm/trimodal"
    assert "kept" in to_csv(lines, plan)


@pytest.mark.long
@pytest.mark.slow
def test_the_share_of_the_data_that_was_trained_on(work) -> None:
    """Against the posteriors of the scored run, counted one by one."""
    plan = read_table("adaptive/5")
    rows = tuple(r for r in plan.rows if r.label in ("warmup", "p_balanced >= 0.5", "p_balanced >= 0.9"))
    run(work, replace(plan, rows=rows))
    (scored,) = [r for r in work.store.runs.all() if r.kind == "score"]
    posteriors = work.store.rounds.read(scored.run_id).balanced.tolist()
    kept = {line.label: line.kept for line in measured(work.store, plan.name)}
    assert kept["warmup"].mean == 1
    for threshold in (0.5, 0.9):
        share = sum(p >= threshold for p in posteriors) / len(posteriors)
        assert 0 < share < 1
        assert kept[f"p_balanced >= {threshold}"].mean == pytest.approx(share)


@pytest.mark.long
@pytest.mark.slow
def test_a_preset_holds_on_its_data_set_and_a_user_s_setting_wins(work) -> None:
    plan = replace(read_table("adaptive/2"), presets={"toy": {"optim": {"batch_size": 25}, "data": {"train": 30}}})
    plan = replace(plan, rows=plan.rows[:1])
    run(work, plan, [{"score": {"epochs": 1}, "train": {"epochs": 4}, "data": {"train": 40}}])
    found = work.store.runs.all()
    assert {r.config["optim"]["batch_size"] for r in found} == {25}
    assert {r.config["data"]["train"] for r in found} == {40}
