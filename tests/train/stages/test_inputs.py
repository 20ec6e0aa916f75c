"""Scoring by other inputs of the mixture, and training with what it found."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from curate.errors import CurateError
from curate.predictions.refit import refit
from curate.scores import gap, posteriors
from curate.scores.scoring import MixtureConfig, fit_round
from curate.train.data.samples import Batch
from curate.train.loop import checkpoint
from curate.train.methods.adaptive import Adaptive
from curate.train.methods.method import Context
from curate.train.models.model import Outputs
from curate.train.stages import training
from curate.train.stages.rounds import context_of
from curate.train.stages.score import resume_score, score
from curate.train.stages.training import train

FORMS = [
    {"gap": "log_odds"},
    {"input": "absolute", "gap": "kl"},
    {"average": "warmup", "check": "none"},
    {"average": "warmup", "gap": "kl", "input": "absolute"},
    {"components": 3, "gap": "log_prob", "check": "none"},
]
SMALL = {"data": {"train": 30}, "score": {"epochs": 2}}
ONE_ROUND = {"method": {"rounds": 1}, "train": {"epochs": 1}}
NAMES = ["-".join(map(str, f.values())) for f in FORMS]
FURTHER = [f if k < 2 else pytest.param(f, marks=pytest.mark.long) for k, f in enumerate(FORMS)]


def content(work, run_id: str, *tables: str) -> list:
    out = []
    for t in tables or ("prediction", "gap", "posterior", "mixture", "dynamic"):
        out += work.store.query(f"SELECT * EXCLUDE (run_id) FROM {t} WHERE run_id = '{run_id}' ORDER BY ALL")[1]
    return out


def test_an_averaged_gap_is_the_mean_of_the_stored_dynamics(work) -> None:
    run = score(work, "toy", None, [{"score": {"average": "warmup", "epochs": 3}}], 0)
    found = work.store.rounds.read(run.run_id)
    _, rows = work.store.query("SELECT mean_gap, epochs FROM gap_dynamics ORDER BY sample_id")
    np.testing.assert_allclose(found.gaps.fitted[:, 0], [g for g, _ in rows], atol=1e-12)
    assert {n for _, n in rows} == {3}
    np.testing.assert_array_equal(found.p_balanced[:, 0], posteriors.p_balanced(found.fits[0], found.gaps.fitted[:, 0]))
    assert work.store.query("SELECT DISTINCT input, average FROM mixture")[1] == [("signed", "warmup")]
    assert not np.array_equal(found.gaps.fitted, found.gaps.prob)


@pytest.mark.long
def test_the_mean_over_one_epoch_is_the_gap_of_the_last(work) -> None:
    for kind in gap.KINDS:
        run = score(work, "toy", None, [{"score": {"average": "warmup", "epochs": 1, "gap": kind}}], 0)
        known = work.store.rounds.known(run.run_id)
        np.testing.assert_array_equal(work.store.rounds.read(run.run_id).gaps.fitted, gap.signed_gap(kind, known))


@pytest.mark.long
def test_interrupted_averaged_scoring_ends_as_if_it_had_not_been(work, monkeypatch) -> None:
    layers = [{"score": {"average": "warmup", "gap": "log_odds", "epochs": 3}}]
    whole = score(work, "toy", None, layers, 0)
    with monkeypatch.context() as patch:
        save = checkpoint.save
        patch.setattr(checkpoint, "save", lambda t, p: save(t, p) or (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            score(work, "toy", None, layers, 0)
    resumed = resume_score(work, work.store.runs.all(kind="score")[0])
    assert content(work, resumed.run_id) == content(work, whole.run_id)


@pytest.mark.long
def test_what_has_no_epochs_cannot_be_averaged(work, tmp_path) -> None:
    run = score(work, "toy", None, [], 0)
    with pytest.raises(CurateError, match="no warm-up"):
        score(work, "toy", None, [{"score": {"average": "warmup"}}], 0, work.folder(run) / "last.pt")
    with pytest.raises(CurateError, match="predictions of every epoch"):
        score(work, "toy", None, [{"score": {"average": "warmup", "dynamics": False}}], 0)
    bare = score(work, "toy", None, [{"score": {"dynamics": False}}], 0)
    with pytest.raises(CurateError, match="no epochs were kept"):
        refit(work.store, bare, [{}, {"score": {"average": "warmup"}}])
    assert [r.run_id for r in work.store.runs.all()] == [bare.run_id, run.run_id], "nothing else was stored"


@pytest.mark.long
@pytest.mark.parametrize("form", FURTHER, ids=NAMES)
def test_a_refit_equals_a_scoring_with_these_settings(work, scored, form) -> None:
    direct = score(work, "toy", None, [{"score": form}], 0)
    again = refit(work.store, scored, [{}, {"score": form}])
    assert content(work, again.run_id) == content(work, direct.run_id)
    assert again.note == f"refit of {scored.run_id}" and again.status == "done"
    assert {k: again.config["score"][k] for k in form} == form
    assert {**again.config["score"], **scored.config["score"]} == scored.config["score"]
    assert (again.gap_kind, again.checkpoint_sha256) == (direct.gap_kind, scored.checkpoint_sha256)
    if "average" in form:
        there, here = (train(work, r, "adaptive", [ONE_ROUND], 0) for r in (direct, again))
        assert content(work, there.run_id, "gap", "posterior", "mixture") == content(
            work, here.run_id, "gap", "posterior", "mixture"
        )


@pytest.mark.long
@pytest.mark.parametrize("form", FURTHER, ids=NAMES)
def test_adaptive_starts_from_the_table_and_fits_the_same_form_to_later_epochs(work, scored, monkeypatch, form) -> None:
    scored = refit(work.store, scored, [{}, {"score": form}])
    contexts: list[Context] = []
    original = training.context_of
    monkeypatch.setattr(training, "context_of", lambda *a: contexts.append(original(*a)) or contexts[-1])
    run = train(work, scored, "adaptive", [{"method": {"rounds": 2}, "train": {"epochs": 2}}], 0)
    first, parent = work.store.rounds.read(run.run_id, 0), work.store.rounds.read(scored.run_id)
    np.testing.assert_array_equal(first.p_balanced, parent.p_balanced)
    np.testing.assert_array_equal(first.gaps.fitted, parent.gaps.fitted)
    for number in (1, 2):
        found, known = work.store.rounds.read(run.run_id, number), work.store.rounds.known(run.run_id, number)
        signed = gap.signed_gap(run.gap_kind, known)
        np.testing.assert_array_equal(
            found.gaps.seen(run.gap_kind), np.abs(signed) if form.get("input") == "absolute" else signed
        )
        assert found.gaps.average == "last"
        assert {r[0] for r in content(work, run.run_id, "mixture") if r[0] == number} == {number}
    for context, number in zip(contexts, (0, 1), strict=True):
        found = work.store.rounds.read(run.run_id, number)
        kind = "kl" if form.get("gap") == "kl" else "prob"
        assert context.gap_kind == kind
        very = found.gaps.fitted is None
        w0, g = found.p_balanced[:, 0], found.gaps.of(kind)[:, 0]
        assert context.centres == (None if very else pytest.approx(((w0 * g).sum() / w0.sum(),)))


def test_in_the_papers_form_the_centre_is_the_fitted_location(work) -> None:
    """And the mean under w0 is that location, where EM has come to rest on a Gaussian."""
    found = fit_round(*_world())
    assert context_of(found, "prob") == Context(found.fits, "prob", None, False)
    w0, g = found.p_balanced[:, 0], found.gaps.prob[:, 0]
    assert (w0 * g).sum() / w0.sum() == pytest.approx(found.fits[0].locs[found.fits[0].balanced], abs=1e-6)


def _world():
    from curate.types import FUSED, Predictions

    rng = np.random.default_rng(0)
    labels = np.arange(300) % 2
    p = np.clip(
        np.where(np.arange(300)[:, None] % 3 == 0, [0.9, 0.2], [0.8, 0.8]) + rng.normal(0, 0.04, (300, 2)), 0, 1
    )
    both = [np.where(np.arange(2) == labels[:, None], c[:, None], 1 - c[:, None]) for c in p.T]
    probs = {"audio": both[0], "visual": both[1], FUSED: both[0]}
    ids = np.array([f"s{i:03d}" for i in range(300)])
    return Predictions(ids, labels, ("a", "b"), ("audio", "visual"), probs), MixtureConfig(family="gaussian")


def test_where_nothing_is_balanced_the_centre_is_zero() -> None:
    from dataclasses import replace

    predictions, _ = _world()
    found = fit_round(predictions, MixtureConfig(input="absolute"))
    assert context_of(replace(found, p_balanced=found.p_balanced * 0), "prob").centres == (0.0,)


def test_the_loss_takes_the_centre_it_is_given(two_component_fit) -> None:
    """By hand: alpha = beta = 0, no unimodal losses, w1 = 1: (g - mu0)^2 with g = .75 - .5."""
    method = Adaptive(Adaptive.Config(alpha=0.0, beta=0.0, unimodal=False))
    logits = {"audio": torch.tensor([[np.log(3.0), 0.0]]), "visual": torch.zeros(1, 2)}
    out, batch = (
        Outputs({}, logits, torch.zeros(1, 2)),
        Batch(np.array(["0"]), {}, torch.tensor([0]), torch.zeros(1, 1)),
    )
    for centres, expected in ((None, 0.25**2), ((0.05,), 0.2**2)):
        method.begin_epoch(None, 0, Context((two_component_fit,), "prob", centres))
        assert float(method.loss(out, batch)) == pytest.approx(expected, abs=1e-6)


def test_online_posteriors_of_a_size_are_those_of_the_size(two_component_fit) -> None:
    method = Adaptive(Adaptive.Config(posteriors="online"))
    x = torch.tensor([[-0.6], [0.6], [-0.1]])
    method.begin_epoch(None, 0, Context((two_component_fit,), "prob", (0.0,), absolute=True))
    expected = posteriors.p_balanced(two_component_fit, np.array([0.6, 0.6, 0.1]))
    np.testing.assert_allclose(method._posteriors(x, None)[:, 0].numpy(), expected, atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize(
    ("form", "method", "fine"),
    [
        ({"gap": "log_odds"}, {}, False),
        ({"gap": "log_odds"}, {"gap": "prob"}, True),
        ({"average": "warmup"}, {}, False),
        ({"average": "warmup"}, {"gap": "kl"}, True),
        ({"input": "absolute"}, {}, True),
        ({"components": 3, "check": "none"}, {}, True),
    ],
)
def test_online_posteriors_need_the_gap_of_the_moment(work, scored, form, method, fine) -> None:
    scored = refit(work.store, scored, [{}, {"score": form}])
    layers = [{"method": {"posteriors": "online", "rounds": 1, **method}, "train": {"epochs": 1}}]
    if fine:
        assert train(work, scored, "adaptive", layers, 0).status == "done"
        return
    with pytest.raises(CurateError, match="posteriors=online"):
        train(work, scored, "adaptive", layers, 0)
    assert work.store.runs.all(kind="train") == []


@pytest.mark.long
def test_a_gap_of_the_methods_own_is_of_the_last_epoch(work, scored) -> None:
    scored = refit(work.store, scored, [{}, {"score": {"average": "warmup", "input": "absolute"}}])
    run = train(work, scored, "adaptive", [{"method": {"gap": "kl", "rounds": 1}}], 0)
    found = work.store.rounds.read(run.run_id, 0)
    np.testing.assert_array_equal(found.gaps.fitted, np.abs(found.gaps.kl))
    assert (found.gaps.input, found.gaps.average, run.gap_kind) == ("absolute", "last", "kl")
    other = train(work, scored, "adaptive", [{"method": {"family": "student-t", "rounds": 1}}], 0)
    found = work.store.rounds.read(other.run_id, 0)
    np.testing.assert_array_equal(found.gaps.fitted, work.store.rounds.read(scored.run_id).gaps.fitted)
    assert found.gaps.average == "warmup" and found.fits[0].family == "student-t"


@pytest.mark.long
def test_three_modalities_with_other_forms(work) -> None:
    scored = score(work, "toy", None, [SMALL, {"data": {"modalities": "audio,visual,depth"}}], 0)
    for form in FORMS[-2:]:
        again = refit(work.store, scored, [{}, {"score": form}])
        assert work.store.rounds.read(again.run_id).p_balanced.shape == (30, 3)
        assert train(work, again, "adaptive", [ONE_ROUND], 0).status == "done"
