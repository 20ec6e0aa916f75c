"""Comparisons through the table: cells shared, found, resumed and reported, on the toy data."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from curate.comparison.plan import Plan, Row, parse_methods, with_controls
from curate.comparison.summary import summarize
from curate.errors import CurateError
from curate.store.merging import merge
from curate.store.store import Store
from curate.train.loop import checkpoint
from curate.train.loop.engine import Runtime
from curate.train.methods import catalog
from curate.train.stages import compare as comparing
from curate.train.stages.compare import Protocol, compare
from curate.train.stages.session import Session

FEW = [{"score": {"epochs": 1}, "train": {"epochs": 2}}]


@pytest.fixture
def calls(monkeypatch) -> list[str]:
    """What was run: `score SEED`, `train METHOD SEED`, `resume METHOD SEED`."""
    seen: list[str] = []
    originals = {name: getattr(comparing, name) for name in ("score", "train", "resume_train", "resume_score")}

    def score(work, name, root, layers, seed):
        seen.append(f"score {seed}")
        return originals["score"](work, name, root, layers, seed)

    def train_one(work, parent, name, layers, seed):
        seen.append(f"train {name} {seed}")
        return originals["train"](work, parent, name, layers, seed)

    def resume(work, run):
        seen.append(f"resume {run.method} {run.seed}")
        return originals["resume_train"](work, run)

    monkeypatch.setattr(comparing, "score", score)
    monkeypatch.setattr(comparing, "train", train_one)
    monkeypatch.setattr(comparing, "resume_train", resume)
    return seen


def plan(*texts: str, controls: bool = False) -> Plan:
    rows = tuple(parse_methods(texts, catalog.names()))
    return with_controls(Plan("mine", rows), {e.name: e.control for e in catalog.entries()}, controls)


def numbers(work, name: str = "mine") -> list[tuple[object, ...]]:
    """What was measured, without names of runs and times."""
    return [(c.label, c.seed, c.reason, dict(c.values), c.epochs, c.gap) for c in work.store.comparisons.find(name)]


@pytest.mark.slow
def test_seeds_of_two_machines_make_one_comparison(tmp_path, toy, calls) -> None:
    """Each trains some seeds; after a merge the comparison of all trains nothing, and goes on from what was copied."""
    places = [Session(Store(tmp_path / n / "t.duckdb"), tmp_path / "cache", Runtime(device="cpu")) for n in "ab"]
    for seed, place in enumerate(places):
        compare(place, plan("iprm"), Protocol("toy", None, FEW), [seed])
    calls.clear()
    merge(places[0].store, places[1].store.path)
    compare(places[0], plan("iprm"), Protocol("toy", None, FEW), [0, 1])
    assert calls == []
    assert numbers(places[0])[1] == numbers(places[1])[0]
    compare(places[0], plan("warmup"), Protocol("toy", None, FEW), [1])
    compare(places[1], plan("warmup"), Protocol("toy", None, FEW), [1])
    assert calls == ["train warmup 1"] * 2
    assert numbers(places[0])[0] == numbers(places[1])[0], "from the same weights"


@pytest.mark.long
@pytest.mark.slow
def test_cells_share_a_scored_run_and_nothing_is_run_twice(work, calls) -> None:
    compare(work, plan("warmup", "iprm"), Protocol("toy", None, FEW), [0, 1])
    assert calls == ["score 0", "train warmup 0", "train iprm 0", "score 1", "train warmup 1", "train iprm 1"]
    before = numbers(work)
    calls.clear()
    compare(work, plan("warmup", "iprm"), Protocol("toy", None, FEW), [0, 1])
    assert calls == [] and numbers(work) == before
    compare(work, plan("warmup", "iprm:method.alpha=0"), Protocol("toy", None, FEW), [1, 2])
    assert calls == ["train iprm 1", "score 2", "train warmup 2", "train iprm 2"]


@pytest.mark.long
def test_what_score_and_train_left_is_taken_as_it_stands(work, calls) -> None:
    scored = comparing.score(work, "toy", None, [{"score": {"epochs": 1}}], 0)
    comparing.train(work, scored, "warmup", [{"train": {"epochs": 2}}], 0)
    calls.clear()
    compare(work, plan("warmup"), Protocol("toy", None, FEW), [0])
    assert calls == []
    compare(work, plan("warmup"), Protocol("toy", None, [*FEW, {"optim": {"lr": 0.01}}]), [0])
    assert calls == ["score 0", "train warmup 0"], "another setting is another cell"


@pytest.mark.long
@pytest.mark.slow
def test_a_stopped_comparison_goes_on_and_ends_as_if_it_had_not_been_stopped(work, calls, monkeypatch) -> None:
    """Ctrl-C in the second epoch of the second method: one cell was finished, one is resumed, two are begun."""
    wanted = plan("warmup", "iprm")
    save, saved = checkpoint.save, []

    def stop(trainer, path):
        save(trainer, path)
        saved.append(path)
        if path.parent.name.startswith("iprm") and path.name == "last.pt":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            compare(work, wanted, Protocol("toy", None, FEW), [0, 1])
    assert [c.reason for c in work.store.comparisons.find("mine")] == ["", *["not run yet"] * 3]
    calls.clear()
    compare(work, wanted, Protocol("toy", None, FEW), [0, 1])
    assert calls == ["resume iprm 0", "score 1", "train warmup 1", "train iprm 1"]
    stopped = numbers(work)
    shutil.rmtree(work.runs_folder)
    work.store.path.unlink()
    compare(work, wanted, Protocol("toy", None, FEW), [0, 1])
    assert numbers(work) == stopped


def test_a_row_that_cannot_be_run_does_not_stop_the_others(work) -> None:
    rows = (
        Row("nobody's", "nobodys"),
        Row("wrong", "iprm", {"method": {"alpha": "much"}}),
        Row("empty", "subset", {"method": {"threshold": 1.5}}),
        Row("rounds", "adaptive", {"method": {"rounds": 3}}),
        Row("warmup", "warmup"),
    )
    compare(work, Plan("mine", rows), Protocol("toy", None, FEW), [0])
    reasons = [c.reason for c in work.store.comparisons.find("mine")]
    assert reasons[0].startswith("unknown method 'nobodys'") and reasons[1].startswith(
        "method.alpha is a finite number"
    )
    assert reasons[2].endswith("; try --threshold 0.8")
    assert (
        "threshold is a probability" in reasons[2] and "do not divide into 3 rounds" in reasons[3] and reasons[4] == ""
    )


@pytest.mark.long
def test_what_cannot_begin_leaves_the_earlier_comparison(work) -> None:
    compare(work, plan("warmup"), Protocol("toy", None, FEW), [0])
    before = numbers(work)
    with pytest.raises(CurateError, match=r"unknown setting 'score.epoch'"):
        compare(work, plan("warmup"), Protocol("toy", None, [{"score": {"epoch": 1}}]), [0])
    with pytest.raises(CurateError, match=r"no sample in split 'test'"):
        compare(work, plan("warmup"), Protocol("toy", None, [*FEW, {"data": {"test": 0}}]), [0])
    with pytest.raises(CurateError, match=r"--redraw draws the splits anew"):  # those of `toy` do not depend on a seed
        compare(work, plan("warmup"), Protocol("toy", None, [*FEW, {"data": {"seed": 0}}], redraw=True), [0, 1])
    assert numbers(work) == before


@pytest.mark.long
def test_settings_of_a_row_win_and_its_scored_run_is_its_own(work, calls) -> None:
    rows = (
        Row("a", "warmup"),
        Row("b", "warmup", {"train": {"epochs": 1}}, {"optim": {"optimizer": "adam"}}),
    )
    layers = [*FEW, {"optim": {"optimizer": "sgd"}}]
    compare(work, Plan("mine", rows, settings={"optim": {"lr": 0.03}}), Protocol("toy", None, layers), [0])
    assert calls == ["score 0", "train warmup 0", "score 0", "train warmup 0"]
    a, b = (work.store.runs.find(c.run_id) for c in work.store.comparisons.find("mine"))
    for run, epochs, optimizer in ((a, 2, "sgd"), (b, 1, "adam")):
        for stage in (run, work.store.runs.find(run.parent)):
            assert (stage.config["optim"]["optimizer"], stage.config["optim"]["lr"]) == (optimizer, 0.03)
        assert run.config["train"]["epochs"] == epochs


@pytest.mark.long
def test_settings_of_the_project_s_file_are_below_those_of_a_row(work) -> None:
    own = {"iprm": {"alpha": 0.3, "mixup": "linear"}, "lfm": {"none": 1}}
    compare(work, plan("iprm:method.alpha=0.5"), Protocol("toy", None, FEW, own), [0])
    (cell,) = work.store.comparisons.find("mine")
    config = work.store.runs.find(cell.run_id).config["method"]
    assert (config["alpha"], config["mixup"]) == (0.5, "linear")


@pytest.mark.long
@pytest.mark.slow
def test_every_training_is_scored_at_its_end_on_all_samples(work) -> None:
    compare(
        work, plan("subset:method.threshold=0.5", "joint", "adaptive:method.rounds=2"), Protocol("toy", None, FEW), [0]
    )
    for cell in work.store.comparisons.find("mine"):
        rounds = work.store.rounds.numbers(cell.run_id)
        found = work.store.rounds.read(cell.run_id, rounds[-1])
        assert rounds[-1] == (2 if cell.method == "adaptive" else 1) and len(found.sample_ids) == 50
        assert cell.gap == pytest.approx(abs(found.gaps.prob).mean())


@pytest.mark.long
@pytest.mark.slow
def test_controls_stand_beside_the_methods_at_as_many_epochs(work) -> None:
    compare(work, plan("iprm", controls=True), Protocol("toy", None, FEW), [0])
    lines = summarize(work.store.comparisons.find("mine"))
    assert [(x.label, x.control, x.epochs) for x in lines] == [
        ("joint", True, 3), ("warmup", True, 3), ("unimodal", True, 3), ("iprm", False, 3)
    ]  # fmt: skip


@pytest.mark.long
@pytest.mark.slow
def test_a_method_dropped_into_the_folder_is_compared_with_no_edit_elsewhere(work, tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "methods"
    folder.mkdir()
    for name in ("joint", "warmup", "unimodal"):
        shutil.copy(catalog.FOLDER / f"{name}.py", folder)
    (folder / "halved.py").write_text(
        '"""A toy."""\nfrom .method import Method\n\n\nclass Halved(Method):\n    """Half the joint loss."""\n\n'
        '    name = "halved"\n\n    def loss(self, outputs, batch):\n        return super().loss(outputs, batch) / 2\n'
    )
    monkeypatch.setattr(catalog, "FOLDER", folder)
    monkeypatch.setattr("curate.train.methods.__path__", [str(folder)])
    compare(work, plan("all", controls=True), Protocol("toy", None, FEW), [0])
    cells = {c.label: c for c in work.store.comparisons.find("mine")}
    assert set(cells) == {"joint", "warmup", "unimodal", "halved"}
    assert cells["halved"].run_id and not cells["halved"].control and ("fused", "accuracy") in cells["halved"].values


@pytest.mark.long
def test_the_cost_is_told_before_anything_is_run_and_counts_what_is_done(work) -> None:
    """A warm-up of 1 epoch a seed; `warmup` takes 2 epochs, `joint` 4 and the warm-up's; two parts are done."""
    told: list[str] = []
    work = replace(work, message=told.append)
    compare(work, plan("warmup"), Protocol("toy", None, FEW), [0])
    told.clear()
    compare(work, plan("warmup", "joint:train.epochs=4"), Protocol("toy", None, FEW), [0, 1])
    assert told[0].startswith("4 cells, 1 of them done; left are 12 epochs, and 1 of warm-ups, of ")
    told.clear()
    compare(work, plan("warmup", "joint:train.epochs=4"), Protocol("toy", None, FEW), [0, 1])
    assert not told


def test_an_interrupted_repetition_keeps_the_results_and_another_plan_says_what_it_replaces(work, monkeypatch) -> None:
    told: list[str] = []
    work = replace(work, message=told.append)
    compare(work, plan("warmup"), Protocol("toy", None, FEW), [0])
    (before,) = work.store.comparisons.find("mine")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(comparing, "trained", interrupted)
        compare(work, plan("warmup", "joint"), Protocol("toy", None, FEW), [0])
    found = {c.label: c.run_id for c in work.store.comparisons.find("mine")}
    assert found == {before.label: before.run_id, "joint": None}
    assert not [line for line in told if "not listed any more" in line]
    compare(work, plan("warmup:train.epochs=1"), Protocol("toy", None, FEW), [0])
    assert "had 1 result of other rows, seeds or settings" in told[-1] and "--name" in told[-1]


def test_weights_that_are_gone_are_told_before_anything_is_trained(work, calls) -> None:
    """Rows from random weights need none, nor do those that are done."""
    compare(work, plan("warmup"), Protocol("toy", None, FEW), [0])
    (work.folder(work.store.runs.find(kind="score")) / "last.pt").unlink()
    calls.clear()
    with pytest.raises(CurateError, match=r"no checkpoint at .*last\.pt"):
        compare(work, plan("joint", "warmup", "usable"), Protocol("toy", None, FEW), [0])
    assert calls == [] and len(work.store.comparisons.find("mine")) == 1
    compare(work, plan("joint", "warmup"), Protocol("toy", None, FEW), [0])
    assert calls == ["train joint 0"]


@pytest.mark.long
def test_a_scored_run_that_cannot_be_made_is_tried_once(work, monkeypatch) -> None:
    """Two rows share a scored run that fails; a third has another."""
    score, failed = comparing.score, []

    def diverging(work, name, root, layers, seed):
        if any("family" in layer.get("score", {}) for layer in layers):
            failed.append(seed)
            raise CurateError("it diverged", "lower optim.lr")
        return score(work, name, root, layers, seed)

    monkeypatch.setattr(comparing, "score", diverging)
    other = {"score": {"family": "gaussian"}}
    rows = (Row("a", "warmup"), Row("b", "warmup", scoring=other), Row("c", "iprm", scoring=other))
    compare(work, Plan("mine", rows), Protocol("toy", None, FEW), [0])
    assert [c.reason for c in work.store.comparisons.find("mine")] == ["", *["it diverged; lower optim.lr"] * 2]
    assert failed == [0]
    with pytest.raises(CurateError, match="it diverged"):
        compare(work, Plan("mine", rows[1:]), Protocol("toy", None, FEW), [0])


@pytest.mark.long
def test_cells_on_two_devices_are_those_on_one(tmp_path: Path) -> None:
    """On features: the processes, started anew, know no toy data."""
    rng, names = np.random.default_rng(0), [f"s{i:02d}" for i in range(60)]
    for modality in ("sound", "picture"):
        np.save(tmp_path / f"{modality}.npy", np.eye(3)[np.arange(60) % 3] + 0.5 * rng.normal(size=(60, 3)))
    table = "\n".join(["sample_id,label", *(f"{name},{'xyz'[i % 3]}" for i, name in enumerate(names))])
    (tmp_path / "samples.csv").write_text(table)
    rows, few = (*plan("warmup", "iprm").rows, Row("nobody's", "nobodys")), {"optim": {"batch_size": 8}}
    told = []
    for devices in ([], ["cpu", "cpu"], ["cpu", "cpu"]):
        store = Store(tmp_path / f"{len(devices)}.duckdb")
        work = Session(store, tmp_path / "cache", Runtime(device="cpu"))
        compare(work, Plan("mine", rows), Protocol("features", tmp_path, [*FEW, few]), [0, 1], devices)
        told.append((numbers(work), len(store.runs.all())))
    assert told[0] == told[1] == told[2] and told[0][1] == 6
