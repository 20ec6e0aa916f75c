"""Scoring and training through the table, on the toy data."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from curate.errors import CurateError, EmptySelectionError
from curate.train.loop import checkpoint
from curate.train.methods import catalog
from curate.train.stages import training
from curate.train.stages.evaluate import evaluate
from curate.train.stages.score import resume_score, score
from curate.train.stages.session import Session
from curate.train.stages.setup import Job
from curate.train.stages.training import resume_train, train
from curate.types import Selection

OPTIONS = {"data": {"modalities": "audio,visual"}}


def stored(work: Session, run_id: str, *tables: str) -> list:
    """Rows of a run without its name, to compare runs by content."""
    out = []
    for t in tables or ("prediction", "gap", "posterior", "mixture"):
        out += work.store.query(f"SELECT * EXCLUDE (run_id) FROM {t} WHERE run_id = '{run_id}' ORDER BY ALL")[1]
    return out


def epochs(work: Session, run_id: str) -> list:
    return work.store.query(
        f"SELECT * EXCLUDE (run_id) FROM epoch WHERE run_id = '{run_id}' AND metric <> 'seconds' ORDER BY ALL"
    )[1]


def test_scoring_writes_every_training_sample_once(work, scored) -> None:
    _, rows = work.store.query(
        "SELECT modality, count(*), count(DISTINCT sample_id) FROM prediction GROUP BY 1 ORDER BY 1"
    )
    assert rows == [("audio", 50, 50), ("fused", 50, 50), ("visual", 50, 50)]
    assert work.store.query("SELECT count(*), count(gap) FROM samples")[1] == [(50 + 21 + 23, 50)]
    assert scored.status == "done" and scored.checkpoint_sha256 == checkpoint.sha256(Path(scored.folder) / "last.pt")
    found = work.store.rounds.read(scored.run_id)
    p = work.store.query("SELECT p_audio - p_visual FROM samples WHERE gap IS NOT NULL ORDER BY sample_id")[1]
    np.testing.assert_array_equal(found.gaps.prob[:, 0], [v for (v,) in p])


def test_the_same_seed_gives_the_same_table_and_another_does_not(work, scored) -> None:
    again, other = score(work, "toy", None, [], 0), score(work, "toy", None, [], 1)
    assert stored(work, scored.run_id) == stored(work, again.run_id)
    assert epochs(work, scored.run_id) == epochs(work, again.run_id)
    assert stored(work, scored.run_id) != stored(work, other.run_id)


def test_scoring_with_a_checkpoint_gives_the_scores_of_its_run(work, scored) -> None:
    again = score(work, "toy", None, [], 5, Path(scored.folder) / "last.pt")
    for table, left_out in {"gap": "", "posterior": "", "mixture": "", "prediction": ", in_sample"}.items():
        sql = f"SELECT * EXCLUDE (run_id{left_out}) FROM {table} WHERE run_id = '{{}}' ORDER BY ALL"
        assert work.store.query(sql.format(again.run_id)) == work.store.query(sql.format(scored.run_id))
    assert epochs(work, again.run_id) == []
    known = "SELECT run_id, in_sample, count(*) FROM prediction GROUP BY ALL ORDER BY 1"
    assert work.store.query(known)[1] == [(scored.run_id, True, 150), (again.run_id, None, 150)]


def test_swapping_the_modalities_mirrors_the_gaps(work, scored) -> None:
    """Same weights under the other declared order: gaps change sign, posteriors stay."""
    content = checkpoint.read(Path(scored.folder) / "last.pt", torch.device("cpu"))
    weight = content["model"]["fusion.head.weight"]
    content["model"]["fusion.head.weight"] = torch.cat([weight[:, 64:], weight[:, :64]], dim=1)
    path = work.runs_folder / "swapped.pt"
    torch.save({**content, "modalities": ["visual", "audio"]}, path)
    swapped = score(work, "toy", None, [{"data": {"modalities": "visual,audio"}}], 0, path)
    here, there = work.store.rounds.read(scored.run_id), work.store.rounds.read(swapped.run_id)
    np.testing.assert_allclose(there.gaps.prob, -here.gaps.prob, atol=1e-6)
    np.testing.assert_allclose(there.gaps.kl, -here.gaps.kl, atol=1e-5)
    np.testing.assert_allclose(there.p_balanced, here.p_balanced, atol=1e-3)


class Stop(Exception):
    pass


FIRST = ("adaptive",)
"""By rounds from the warm start; the others are long."""
EACH = [n if n in FIRST else pytest.param(n, marks=pytest.mark.long) for n in catalog.names()]


@pytest.mark.parametrize("name", EACH)
def test_a_training_opens_the_test_split_once_at_its_end_and_resumes_to_the_same_end(
    work, scored, name, monkeypatch
) -> None:
    opened, saved, stop_at = [], [], {1, 3}  # after the first epoch, and after two more
    split, save = Job.samples, checkpoint.save

    def open_split(job, which):
        (run,) = work.store.runs.all(kind="train", status="running")
        last = checkpoint.read(work.folder(run) / "last.pt", torch.device("cpu"))
        opened.append((which, last["epoch"] == (6 if run.config["train"]["start"] == "scratch" else 4)))
        assert work.store.epochs.test_metrics(run.run_id) == {}
        return split(job, which)

    def save_and_stop(trainer, path):
        save(trainer, path)
        saved.extend([path.name] * (path.name == "last.pt"))
        if len(saved) in stop_at:
            stop_at.remove(len(saved))
            raise Stop

    monkeypatch.setattr(Job, "samples", open_split)
    whole = train(work, scored, name, [], 0)
    assert opened == [("test", True)], "opened once, after the last epoch"
    metrics = work.store.epochs.test_metrics(whole.run_id)
    assert list(metrics) == ["audio", "visual", "fused"]
    assert all(0 <= v <= 1 for values in metrics.values() for v in values.values())

    monkeypatch.setattr(checkpoint, "save", save_and_stop)
    with pytest.raises(Stop):
        train(work, scored, name, [], 0)
    broken = work.store.runs.all(kind="train")[0]
    assert broken.status == "failed"
    if stop_at:
        with pytest.raises(Stop):
            resume_train(work, broken)
    resumed = resume_train(work, broken)
    assert resumed.run_id == broken.run_id and resumed.status == "done" and not stop_at
    assert opened == [("test", True)] * 2
    assert epochs(work, resumed.run_id) == epochs(work, whole.run_id)
    assert stored(work, resumed.run_id) == stored(work, whole.run_id)
    monkeypatch.setattr(Job, "samples", split)
    assert metrics == {m: pytest.approx(v) for m, v in evaluate(work, resumed, "test").items()}


def test_resumed_scoring_equals_unbroken(work, scored, monkeypatch) -> None:
    save = checkpoint.save
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", lambda t, p: save(t, p) or (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            score(work, "toy", None, [], 0)
    broken = work.store.runs.all(kind="score")[0]
    assert broken.status == "interrupted"
    resumed = resume_score(work, broken)
    assert stored(work, resumed.run_id) == stored(work, scored.run_id)


def test_adaptive_rounds_are_in_the_table_and_the_first_is_the_scored_run_s(work, scored) -> None:
    run = train(work, scored, "adaptive", [{"method": {"rounds": 2}}], 0)
    assert work.store.rounds.numbers(run.run_id) == [0, 1, 2]
    first, parent = work.store.rounds.read(run.run_id, 0), work.store.rounds.read(scored.run_id)
    np.testing.assert_array_equal(first.p_balanced, parent.p_balanced)
    assert not np.array_equal(work.store.rounds.read(run.run_id, 1).gaps.prob, parent.gaps.prob)
    annealing = work.store.query(
        f"SELECT value FROM epoch WHERE metric = 'lambda' AND run_id = '{run.run_id}' ORDER BY epoch"
    )[1]
    assert [v for (v,) in annealing] == pytest.approx([0.96**e for e in range(4)]), "cumulative over rounds"


def test_adaptive_reads_its_weights_from_the_table(work, scored) -> None:
    """Posteriors changed in the file change the training: they are read back, not recomputed."""
    import duckdb

    plain = train(work, scored, "adaptive", [{"method": {"rounds": 1}}], 0)
    with duckdb.connect(str(work.store.path)) as con:
        of_run = "part IN (SELECT number FROM part WHERE run_id = ?)"
        con.execute(
            f"UPDATE item_here SET p_balanced = [0.25] WHERE p_balanced IS NOT NULL AND {of_run}", [scored.run_id]
        )
    edited = train(work, scored, "adaptive", [{"method": {"rounds": 1}}], 0)
    assert (work.store.rounds.read(edited.run_id, 0).p_balanced == 0.25).all()
    assert epochs(work, plain.run_id) != epochs(work, edited.run_id)


@pytest.mark.long
@pytest.mark.parametrize(("gap", "family"), [("kl", "scored"), ("prob", "student-t"), ("kl", "student-t")])
def test_adaptive_with_a_gap_or_family_of_its_own_refits_from_the_table(work, scored, gap, family) -> None:
    run = train(work, scored, "adaptive", [{"method": {"gap": gap, "family": family}, "train": {"epochs": 4}}], 0)
    rows = work.store.query(f"SELECT DISTINCT gap_kind, family FROM mixture WHERE run_id = '{run.run_id}'")[1]
    assert rows == [(gap, "two-sided" if family == "scored" else family)]


@pytest.mark.long
def test_subset_trains_on_the_selected_samples_and_its_control_on_as_many(work, scored, monkeypatch) -> None:
    sizes = []
    original = training.train_to
    monkeypatch.setattr(
        training,
        "train_to",
        lambda *a, data, **k: sizes.append(set(data.fit.sample_ids)) or original(*a, data=data, **k),
    )
    found = work.store.rounds.read(scored.run_id)
    threshold = float(np.median(found.p_balanced))
    train(work, scored, "subset", [{"method": {"threshold": threshold}}], 0)
    train(work, scored, "subset", [{"method": {"threshold": threshold, "control": "random"}}], 0)
    assert sizes[0] == set(found.sample_ids[found.p_balanced[:, 0] >= threshold])
    assert len(sizes[1]) == len(sizes[0]) < 50 and sizes[1] != sizes[0]
    work.store.selections.write(Selection("few", scored.run_id, "by hand", found.sample_ids[:9], 50))
    train(work, scored, "subset", [{"method": {"selection": "few"}}], 0)
    assert sizes[2] == set(found.sample_ids[:9])


def test_an_empty_subset_is_refused(work, scored, monkeypatch) -> None:
    found = work.store.rounds.read(scored.run_id)
    monkeypatch.setattr(type(work.store.rounds), "read", lambda *a: replace(found, p_balanced=found.p_balanced * 0))
    with pytest.raises(EmptySelectionError, match=r"p_balanced >= 0\.5"):
        train(work, scored, "subset", [], 0)


@pytest.mark.long
def test_a_start_from_scratch_adds_the_warm_up_epochs(work, scored) -> None:
    for name, expected in (("joint", 6), ("warmup", 4)):
        run = train(work, scored, name, [], 0)
        assert work.store.query(f"SELECT max(epoch) FROM epoch WHERE run_id = '{run.run_id}'")[1] == [(expected,)]
    run = train(work, scored, "joint", [{"train": {"start": "warm"}}], 0)
    assert work.store.query(f"SELECT max(epoch) FROM epoch WHERE run_id = '{run.run_id}'")[1] == [(4,)]


@pytest.mark.long
def test_optimizer_reset_ablations_differ(work, scored) -> None:
    resets = ("once", "per_round", "never")
    runs = [train(work, scored, "adaptive", [{"train": {"reset_optimizer": r}}], 0) for r in resets]
    a, b, c = (epochs(work, r.run_id) for r in runs)
    assert a != b and a != c


def test_heads_of_a_method_cannot_continue_the_warm_up_s_optimizer(work, scored) -> None:
    with pytest.raises(CurateError, match="cannot continue the warm-up's optimizer"):
        train(work, scored, "iprm", [{"train": {"reset_optimizer": "never"}}], 0)


def test_rounds_must_divide_the_epochs(work, scored) -> None:
    with pytest.raises(CurateError, match="do not divide into 3 rounds"):
        train(work, scored, "adaptive", [{"method": {"rounds": 3}}], 0)


@pytest.mark.parametrize("change", [{"modalities": ["audio", "depth"]}, {"classes": ["a", "b"]}, {"fusion": "sum"}])
def test_a_checkpoint_of_another_model_is_refused(work, scored, change, tmp_path) -> None:
    content = checkpoint.read(Path(scored.folder) / "last.pt", torch.device("cpu"))
    path = tmp_path / "other.pt"
    torch.save({**content, **change}, path)
    with pytest.raises(CurateError, match=next(iter(change))):
        score(work, "toy", None, [], 0, path)


def test_what_is_not_a_checkpoint_is_refused(work, tmp_path) -> None:
    path = tmp_path / "x.pt"
    for content in (b"nonsense", b""):
        path.write_bytes(content)
        with pytest.raises(CurateError, match="checkpoint"):
            score(work, "toy", None, [], 0, path)
    with pytest.raises(CurateError, match="no checkpoint at"):
        score(work, "toy", None, [], 0, tmp_path / "none.pt")


def test_changed_data_are_noticed(work, scored) -> None:
    altered = replace(scored, data_id="toy-0000000000")
    with pytest.raises(CurateError, match="has changed since"):
        train(work, altered, "warmup", [], 0)


@pytest.mark.long
@pytest.mark.parametrize("heads", ["tri", "single"])
def test_three_modalities_run_through(work, heads) -> None:
    scored = score(work, "toy", None, [{"data": {"modalities": "audio,visual,depth"}}], 0)
    found = work.store.rounds.read(scored.run_id)
    assert found.gaps.pairs == (("audio", "visual"), ("audio", "depth"), ("visual", "depth"))
    adaptive = train(work, scored, "adaptive", [{"method": {"rounds": 2}, "train": {"epochs": 2}}], 0)
    iprm = train(work, scored, "iprm", [{"method": {"heads": heads}, "train": {"epochs": 2}}], 0)
    for run in (adaptive, iprm):
        assert set(work.store.epochs.test_metrics(run.run_id)) == {"audio", "visual", "depth", "fused"}
    logged = {m for (m,) in work.store.query(f"SELECT DISTINCT metric FROM epoch WHERE run_id = '{iprm.run_id}'")[1]}
    assert {"omega:audio|visual", "lambda:visual|depth"} <= logged


@pytest.mark.long
@pytest.mark.parametrize("fusion", ["sum", "weight"])
def test_joint_training_of_the_other_fusions(work, scored, fusion) -> None:
    run = train(work, scored, "joint", [{"model": {"fusion": fusion}}], 0)
    assert run.config["model"]["fusion"] == fusion
    with pytest.raises(CurateError, match="fusion"):
        train(work, scored, "joint", [{"model": {"fusion": fusion}, "train": {"start": "warm"}}], 0)


@pytest.mark.long
def test_the_resnet_takes_the_place_of_the_small_network(work) -> None:
    scored = score(
        work, "toy", None, [{"model": {"encoder": "resnet18"}, "score": {"epochs": 1}, "optim": {"lr": 1e-4}}], 0
    )
    run = train(work, scored, "iprm", [{"train": {"epochs": 1}}], 0)
    assert run.config["model"]["encoder"] == "resnet18"
    weights = checkpoint.read(Path(run.folder) / "best.pt", torch.device("cpu"))["model"]
    assert weights["encoders.audio.net.conv1.weight"].shape == (64, 1, 7, 7)
    assert weights["extra.mix.0.weight"].shape == (3, 512)


def test_warm_up_dynamics_end_at_the_scores_and_follow_their_definitions(work, scored) -> None:
    last = work.store.query(
        "SELECT count(*) FROM dynamic d JOIN prediction p USING (run_id, sample_id, modality) "
        "WHERE d.epoch = 2 AND d.p_true = p.p_true AND d.correct = p.correct"
    )[1]
    assert last == [(150,)], "the last epoch of the warm-up is what was scored"
    rows = work.store.query(
        "SELECT sample_id, modality, list(p_true ORDER BY epoch), list(correct ORDER BY epoch) "
        "FROM dynamic GROUP BY ALL"
    )[1]
    found = work.store.query(
        "SELECT sample_id, modality, mean_p_true, sd_p_true, share_correct, forgotten FROM dynamics"
    )
    by_key = {row[:2]: row[2:] for row in found[1]}
    for sample, modality, p, right in rows:
        forgotten = sum(a and not b for a, b in itertools.pairwise(right))
        assert by_key[sample, modality] == pytest.approx((np.mean(p), np.std(p), np.mean(right), forgotten))
    gaps = work.store.query("SELECT sample_id, mean_gap, share_first_ahead, pair FROM gap_dynamics ORDER BY 1")[1]
    p = {(s, m): v for s, m, v, _ in rows}
    assert len(gaps) == 50
    for sample, mean, ahead, pair in gaps:
        each = np.subtract(p[sample, "audio"], p[sample, "visual"])
        assert pair == "audio|visual"
        assert (mean, ahead) == pytest.approx((each.mean(), (each > 0.3).mean()))


def test_dynamics_can_be_left_out_and_change_nothing_else(work, scored) -> None:
    plain = score(work, "toy", None, [{"score": {"dynamics": False}}], 0)
    assert stored(work, plain.run_id) == stored(work, scored.run_id)
    assert work.store.query(f"SELECT count(*) FROM dynamic WHERE run_id = '{plain.run_id}'")[1] == [(0,)]


@pytest.mark.long
def test_a_selection_of_another_scored_run_is_used_with_a_warning(work, scored, caplog) -> None:
    found = work.store.rounds.read(scored.run_id)
    other = score(work, "toy", None, [{"score": {"epochs": 1}}], 1)
    work.store.selections.write(Selection("theirs", other.run_id, "by hand", found.sample_ids[:9], 50))
    run = train(work, scored, "subset", [{"method": {"selection": "theirs"}, "train": {"epochs": 1}}], 0)
    assert run.status == "done"
    assert f"selection theirs was made from {other.run_id}, the training starts from {scored.run_id}" in caplog.text
