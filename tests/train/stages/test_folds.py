"""Out-of-fold scores: nobody is judged by a model that saw it, and an interruption changes nothing."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from curate.advice.conclusions import conclusions
from curate.advice.evidence import read_evidence
from curate.errors import CurateError
from curate.scores.labels import Denied
from curate.scores.preferences import Preferences
from curate.train.loop import checkpoint, engine
from curate.train.stages import assess as assessing
from curate.train.stages import folds
from curate.train.stages import score as scoring
from curate.train.stages.score import resume_score, score
from curate.train.stages.session import Session
from curate.train.stages.setup import LAST, prepare
from curate.train.stages.training import train
from curate.types import Predictions, Run

K = 2
FOLDS = {"score": {"folds": K}}
TABLES = ("prediction", "gap", "posterior", "mixture", "dynamic", "epoch", "fold_epoch")


def content(work: Session, run: Run, *tables: str) -> dict[str, list]:
    """Rows of a run by table, without its name and its clock."""
    found = {}
    for table in tables or TABLES:
        clock = "AND metric <> 'seconds'" if table.endswith("epoch") else ""
        sql = f"SELECT * EXCLUDE (run_id) FROM {table} WHERE run_id = '{run.run_id}' {clock} ORDER BY ALL"
        found[table] = work.store.query(sql)[1]
    return found


@pytest.fixture
def scored(score_once: Callable[..., Path], work: Session) -> Run:
    """A run scored out of fold, in the test's own workplace."""
    shutil.copytree(score_once(FOLDS), work.store.path.parent, dirs_exist_ok=True)
    return work.store.runs.find()


@pytest.mark.parametrize(
    ("heart", "cheap"),
    [
        ("audio 99% and 50%", True),
        pytest.param("audio 99% and 50%", False, marks=pytest.mark.long),
        pytest.param("", True, marks=pytest.mark.long),
    ],
)
def test_what_is_known_by_heart_is_scored_out_of_fold_unasked_where_that_is_cheap(
    work: Session, monkeypatch: pytest.MonkeyPatch, heart: str, cheap: bool
) -> None:
    monkeypatch.setattr(scoring, "known_by_heart", lambda *_: heart)
    monkeypatch.setattr(scoring, "is_cheap", lambda *_: cheap)
    monkeypatch.setattr(scoring, "USUAL", K)
    judged: list[int] = []
    assess = scoring.assess
    monkeypatch.setattr(scoring, "assess", lambda job, known: (judged.append(job.run.folds), assess(job, known)))
    unasked = score(work, "toy", None, [], 0)
    if not (heart and cheap):
        assert unasked.folds == 0 and "decided" not in unasked.config
        return
    assert unasked.folds == K and unasked.config["decided"] == {"folds": K, "by_heart": heart}
    asked = score(work, "toy", None, [FOLDS], 0)
    assert content(work, unasked) == content(work, asked), "every number is that of --folds"
    assert judged == [K, K], "labels are judged by samples that the model had not seen"
    assert conclusions(read_evidence(work.store, unasked.run_id))[0].startswith("memory: ")


def test_labels_that_held_out_samples_leave_open_are_judged_out_of_fold(
    work: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "known_by_heart", lambda *_: "")
    monkeypatch.setattr(scoring, "is_cheap", lambda *_: True)
    monkeypatch.setattr(scoring, "USUAL", K)
    monkeypatch.setattr(scoring, "labels_unjudged", lambda *_: True)
    run = score(work, "toy", None, [], 0)
    assert run.folds == K and not run.by_heart, "it was not memorised"


@pytest.mark.parametrize(("reads", "known", "left_open"), [(0.9, False, True), (0.9, True, False), (0.5, False, False)])
def test_labels_are_left_open_where_the_fusion_reads_and_none_is_judged(
    work: Session, monkeypatch: pytest.MonkeyPatch, reads: float, known: bool, left_open: bool
) -> None:
    count = 0

    def judged(said: Preferences, labels: np.ndarray, p_broken: np.ndarray, *_: object) -> Denied:
        nonlocal count
        count += 1
        return Denied(np.full(len(labels), 0.0 if known else np.nan), np.zeros(p_broken.shape))

    run = score(work, "toy", None, [{"score": {"folds": 0}}], 0)
    monkeypatch.setattr(assessing.labels, "judge", judged)
    monkeypatch.setattr(assessing, "accuracy", lambda *_: reads)
    job = prepare(work, run)
    job.load(job.folder / LAST)
    measured = assessing.measure(job)
    assert measured and assessing.labels_unjudged(job, measured) == left_open and count == 1


@pytest.mark.long
def test_the_papers_way_is_never_left_where_it_is_asked_for(work: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "known_by_heart", lambda *_: pytest.fail("asked, though folds=0 was given"))
    assert score(work, "toy", None, [{"score": {"folds": 0}}], 0).folds == 0


def test_known_by_heart_compares_training_with_held_out_samples() -> None:
    def right(share: float, n: int) -> Predictions:
        labels = np.zeros(n, dtype=np.int64)
        hit = np.arange(n) < round(share * n)
        probs = np.where(hit[:, None], [0.9, 0.1], [0.1, 0.9])
        ids = np.array([f"s{i:03d}" for i in range(n)])
        return Predictions(
            ids, labels, ("a", "b"), ("audio", "visual"), {m: probs for m in ("audio", "visual", "fused")}
        )

    assert folds.known_by_heart(right(0.97, 100), right(0.59, 100)) == "audio 97% and 59%, visual 97% and 59%"
    assert folds.known_by_heart(right(0.75, 100), right(0.5, 100)) == "", "it does not know them well"
    partly = folds.known_by_heart(right(0.75, 100), right(0.5, 100), ["visual"])
    assert partly == "visual 75% and 50%", "of deep features any difference counts"
    assert folds.known_by_heart(right(0.6, 100), right(0.5, 100), ["visual"]) == "", "too small a difference"
    assert (
        folds.known_by_heart(right(0.97, 100), right(0.9, 100)) == "" == folds.known_by_heart(right(1, 9), right(0, 9))
    )


def test_what_is_cheap_is_counted_in_operations(work: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of twice as many epochs twice as many, and a backward pass as two forward passes."""
    job = prepare(work, *scoring.plan_score(work, "toy", None, [], 0))
    trainer, data = job.trainer, job.data
    with FlopCounterMode(display=False) as counter:
        engine.predict(trainer, data, data.fit)
    total = 3 * counter.get_total_flops() * (folds.USUAL - 1)
    for epochs, bound, expected in ((1, 1.01, True), (1, 0.99, False), (2, 2.01, True), (2, 1.99, False)):
        monkeypatch.setattr(folds, "CHEAP", bound * total)
        assert folds.is_cheap(trainer, data.fit, data, epochs) is expected


def test_every_sample_is_predicted_once_by_a_model_that_never_saw_it(work, monkeypatch) -> None:
    """A spy on every batch that is trained on and every prediction that is made, by model."""
    seen: dict[int, set[str]] = {}
    models, judged = [], []
    step, predict = engine._train_epoch, folds.predict

    def watched(trainer, data, *rest):
        models.append(trainer.model)  # kept, so that no id is used twice
        for batch in data.training_batches(trainer.epoch):
            seen.setdefault(id(trainer.model), set()).update(batch.sample_ids.tolist())
        return step(trainer, data, *rest)

    def judging(trainer, data, samples):
        judged.append((trainer.epoch, id(trainer.model), samples.sample_ids.tolist()))
        return predict(trainer, data, samples)

    monkeypatch.setattr(engine, "_train_epoch", watched)
    monkeypatch.setattr(folds, "predict", judging)
    monkeypatch.setattr(scoring, "predict", lambda *a: pytest.fail("predicted what it was trained on"))
    run = score(work, "toy", None, [FOLDS], 0)
    everything = {f"train-{i:03d}" for i in range(50)}
    for _, model, ids in judged:
        assert seen[model] == everything - set(ids), "all others, and none of these"
    for epoch in (1, 2):
        counted = Counter(i for e, _, ids in judged if e == epoch for i in ids)
        assert set(counted) == everything and len(set(counted.values())) == 1
    counted = work.store.query("SELECT fold, count(*) FROM samples WHERE split = 'train' GROUP BY 1 ORDER BY 1")[1]
    assert counted == [(0, 25), (1, 25)]
    assert sorted(Path(run.folder).glob("fold-*.pt")) == [Path(run.folder) / f"fold-{k}.pt" for k in range(K)]


def test_the_stored_predictions_are_those_of_the_fold_s_own_checkpoint(work, scored) -> None:
    job = prepare(work, scored)
    trainer, data = job.trainer, job.data
    rows = work.store.query("SELECT sample_id, fold, p_audio, p_fused FROM samples WHERE fold IS NOT NULL ORDER BY 1")[
        1
    ]
    assert [r[0] for r in rows] == data.fit.sample_ids.tolist()
    for number in range(K):
        path = Path(scored.folder) / f"fold-{number}.pt"
        checkpoint.load_trainer(trainer, checkpoint.read(path, torch.device("cpu")), str(path))
        mine = data.fit.subset(np.array([r[1] == number for r in rows]))
        found = engine.predict(trainer, data, mine)
        p = {m: found.probs[m][np.arange(len(mine)), mine.labels] for m in ("audio", "fused")}
        np.testing.assert_allclose([r[2:] for r in rows if r[1] == number], np.stack([p["audio"], p["fused"]], 1))


@pytest.mark.long
def test_folds_share_their_first_weights_with_the_warm_up_and_nothing_later(work, monkeypatch) -> None:
    starts = []
    original = engine._train_epoch

    def watched(trainer, *rest):
        if trainer.epoch == 0:
            starts.append({k: v.clone() for k, v in trainer.model.state_dict().items()})
        return original(trainer, *rest)

    monkeypatch.setattr(engine, "_train_epoch", watched)
    score(work, "toy", None, [FOLDS], 0)
    assert len(starts) == 1 + K
    assert all(torch.equal(start[k], v) for start in starts for k, v in starts[0].items())


def test_the_ordinary_warm_up_is_untouched_and_training_starts_from_it(work, scored) -> None:
    plain = score(work, "toy", None, [], 0)
    assert content(work, scored, "epoch") == content(work, plain, "epoch")
    ours, theirs = (checkpoint.read(Path(r.folder) / "last.pt", torch.device("cpu"))["model"] for r in (scored, plain))
    assert all(torch.equal(ours[k], v) for k, v in theirs.items())
    assert (scored.folds, plain.folds) == (K, 0) and scored.note == f"out of fold, {K} folds"
    assert content(work, plain, "fold_epoch") == {"fold_epoch": []}
    run = train(work, scored, "adaptive", [{"method": {"rounds": 1}, "train": {"epochs": 1}}], 0)
    first = work.store.rounds.read(run.run_id, 0).p_balanced
    np.testing.assert_array_equal(first, work.store.rounds.read(scored.run_id).p_balanced)
    assert run.folds == 0, "only what was scored is out of fold"


@pytest.mark.long
def test_epochs_and_dynamics_of_the_folds(work, scored) -> None:
    counted = work.store.query(
        "SELECT fold, epoch, count(*) FROM fold_epoch WHERE metric = 'seconds' GROUP BY ALL ORDER BY ALL"
    )[1]
    assert counted == [(k, e, 1) for k in range(K) for e in (1, 2)]
    per_epoch = work.store.query("SELECT epoch, modality, count(*) FROM dynamic GROUP BY ALL ORDER BY ALL")[1]
    assert per_epoch == [(e, m, 50) for e in (1, 2) for m in ("audio", "fused", "visual")]
    last = "SELECT count(*) FROM dynamic d JOIN prediction p USING (run_id, sample_id, modality) WHERE d.epoch = 2"
    assert work.store.query(last + " AND d.p_true = p.p_true")[1] == [(150,)]
    own, more = work.store.epochs.warm_up_seconds(scored.run_id)
    assert own > 0 and more > 0
    without = score(work, "toy", None, [{"score": {"folds": K, "dynamics": False}}], 0)
    assert content(work, without, "dynamic") == {"dynamic": []}
    assert content(work, without, "prediction") == content(work, scored, "prediction")
    work.store.remove_run(scored.run_id)
    assert content(work, scored, "fold_epoch") == {"fold_epoch": []}


class Stop(Exception):
    pass


@pytest.mark.long
@pytest.mark.parametrize(
    ("after", "error"), [pytest.param(1, Stop, marks=pytest.mark.long), (3, Stop), (4, KeyboardInterrupt)]
)
def test_an_interrupted_scoring_resumes_to_the_same_end(work, scored, monkeypatch, after, error) -> None:
    """Stopped in the warm-up, in a fold, and between two folds: bit for bit the same."""
    save, count = checkpoint.save, []

    def save_and_stop(trainer, path):
        save(trainer, path)
        count.append(path.name)
        if len(count) == after:
            raise error

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", save_and_stop)
        with pytest.raises(error):
            score(work, "toy", None, [FOLDS], 0)
    broken = work.store.runs.all(kind="score")[0]
    assert broken.run_id != scored.run_id and content(work, broken, "prediction") == {"prediction": []}
    made = []
    monkeypatch.setattr(checkpoint, "save", lambda trainer, path: made.append(path.name) or save(trainer, path))
    resumed = resume_score(work, broken)
    assert count + made == ["last.pt"] * 2 + [f"fold-{k}.pt" for k in range(K) for _ in range(2)], "no epoch done twice"
    assert content(work, resumed) == content(work, scored)


@pytest.mark.long
def test_the_same_seed_gives_the_same_folds_and_scores(work, scored) -> None:
    again = score(work, "toy", None, [FOLDS], 0)
    assert again.run_id != scored.run_id and content(work, again) == content(work, scored)


@pytest.mark.long
def test_groups_never_cross_folds(work, toy, monkeypatch) -> None:
    original = toy.__init__

    def grouped(self, root, options):
        original(self, root, options)
        self.samples = tuple(replace(s, group=f"{s.split}-{i // 4}") for i, s in enumerate(self.samples))

    monkeypatch.setattr(toy, "__init__", grouped)
    score(work, "toy", None, [FOLDS], 0)
    sql = "SELECT group_id, count(DISTINCT fold), count(*) FROM samples WHERE split = 'train' GROUP BY 1"
    rows = work.store.query(sql)[1]
    assert {n for _, n, _ in rows} == {1} and max(n for *_, n in rows) == 4


@pytest.mark.long
def test_three_modalities_out_of_fold(work) -> None:
    run = score(
        work,
        "toy",
        None,
        [FOLDS, {"data": {"modalities": "audio,visual,depth"}, "score": {"epochs": 1, "dynamics": False}}],
        0,
    )
    assert len(work.store.rounds.read(run.run_id).gaps.pairs) == 3
    assert work.store.query("SELECT count(*), count(fold) FROM samples WHERE split = 'train'")[1] == [(50, 50)]


def test_nothing_is_begun_where_folds_cannot_be_had(work, scored, tmp_path) -> None:
    with pytest.raises(CurateError, match="17 folds need 17 training samples of every class"):
        score(work, "toy", None, [{"score": {"folds": 17}}], 0)
    with pytest.raises(CurateError, match=r"score\.folds=1"):
        score(work, "toy", None, [{"score": {"folds": 1}}], 0)
    with pytest.raises(CurateError, match="has seen every sample"):
        score(work, "toy", None, [FOLDS], 0, Path(scored.folder) / "last.pt")
    assert [r.run_id for r in work.store.runs.all()] == [scored.run_id]


def test_what_was_never_seen_is_not_called_memorised() -> None:
    """Perfect predictions with gaps at zero: known by heart when trained on, plainly good when held out."""
    from curate.scores.scoring import MixtureConfig, fit_round

    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    probs = {}
    for m in ("a", "b", "fused"):
        p = np.full((300, 3), 0.0)
        p[np.arange(300), labels] = 0.98 + 0.019 * rng.random(300)
        probs[m] = np.where(p > 0, p, (1 - p.max(axis=1, keepdims=True)) / 2)
    ids = np.array([f"s{i:03d}" for i in range(300)])
    seen = Predictions(ids, labels, ("x", "y", "z"), ("a", "b"), probs)
    unseen = replace(seen, fold=labels % 2)
    outcomes = [fit_round(p, MixtureConfig()).fits[0] for p in (seen, unseen)]
    assert any("memorised" in w for w in outcomes[0].warnings)
    assert not any("memorised" in w for w in outcomes[1].warnings)


def test_folds_of_another_length_are_refused() -> None:
    p = {m: np.full((2, 2), 0.5) for m in ("a", "b", "fused")}
    for wrong in (np.array([0]), np.array([0, -1])):
        with pytest.raises(ValueError, match="fold must be"):
            Predictions(np.array(["s", "t"]), np.array([0, 1]), ("x", "y"), ("a", "b"), p, fold=wrong)
