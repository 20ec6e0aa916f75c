"""Test-time weighting by usability: what is weighted, whose usability it is, and what stands beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from curate.errors import CurateError
from curate.scores import metrics, usability
from curate.scores.references import load
from curate.train.loop import checkpoint
from curate.train.stages import evaluate as evaluating
from curate.train.stages.appearance import appearance
from curate.train.stages.assess import references
from curate.train.stages.evaluate import evaluate, evaluate_weighted
from curate.train.stages.score import score
from curate.train.stages.setup import Job, prepare
from curate.train.stages.training import train
from curate.train.stages.weighting import usability_of, weighted_metrics
from curate.types import FUSED


@pytest.fixture
def said(predictions):
    """Predictions whose fusion is the normalised product of the modalities, as that of summed logits is."""
    found = predictions(seed=3)
    alone = {m: found.probs[m] for m in found.modalities}
    product = usability.weighted_fusion(alone, np.ones((len(found.labels), 2)))
    return replace(found, probs={**alone, FUSED: product})


def test_full_weight_everywhere_is_the_fusion_itself(said) -> None:
    found = weighted_metrics(said, np.ones((60, 2)), 0)
    assert list(found) == ["none", "usability", "shuffled", "constant"]
    for how in ("usability", "shuffled", "constant"):
        assert found[how] == pytest.approx(found["none"])
    assert found["none"] == metrics.measure(said)[FUSED]


def test_a_modality_without_weight_is_not_heard(said) -> None:
    weights = np.tile([1.0, 0.0], (60, 1))
    found, alone = weighted_metrics(said, weights, 0), metrics.measure(said)["audio"]
    assert all(found[how] == pytest.approx(alone) for how in ("usability", "shuffled", "constant"))


def test_controls_have_the_same_weights_elsewhere_or_their_mean(said, monkeypatch) -> None:
    seen = []
    fuse = usability.weighted_fusion
    monkeypatch.setattr(usability, "weighted_fusion", lambda p, w: seen.append(w) or fuse(p, w))
    weights = np.random.default_rng(0).uniform(size=(60, 2))
    weighted_metrics(said, weights, 1)
    _, own, shuffled, constant = seen
    np.testing.assert_array_equal(own, weights)
    assert not np.array_equal(shuffled, weights)
    np.testing.assert_array_equal(shuffled[np.lexsort(shuffled.T)], weights[np.lexsort(weights.T)])
    np.testing.assert_array_equal(constant, np.tile(weights.mean(axis=0), (60, 1)))


def test_a_fusion_that_is_no_sum_is_refused(said) -> None:
    fused = 0.5 * (said.probs["audio"] + said.probs["visual"])
    other = replace(said, probs={**said.probs, FUSED: fused})
    with pytest.raises(CurateError, match="not the sum of the unimodal logits"):
        weighted_metrics(other, np.ones((60, 2)), 0)


def test_weights_are_the_warm_model_s_whichever_run_is_evaluated(work, scored, monkeypatch) -> None:
    trained = train(work, scored, "warmup", [{"train": {"epochs": 2}}], 0)
    seen = []
    monkeypatch.setattr(evaluating, "weighted_metrics", lambda said, weights, seed: seen.append((said, weights)) or {})
    evaluate_weighted(work, scored, "test")
    evaluate_weighted(work, trained, "test")
    (before, warm), (after, same) = seen
    np.testing.assert_array_equal(warm, same)
    assert warm.shape == (23, 2) and warm.min() >= 0 and warm.max() <= 1
    assert not np.array_equal(before.probs[FUSED], after.probs[FUSED])


def test_appearance_is_read_with_the_weights_that_scored(work, scored) -> None:
    job = prepare(work, scored)
    trainer, data = job.trainer, job.data
    known, samples = load(references(work, scored)), job.samples("test")

    def told() -> np.ndarray:
        seen = appearance(trainer, data, samples)
        return np.stack([known[m].of(seen[m]) for m in scored.modalities], axis=1)

    random = told()
    last = work.folder(scored) / "last.pt"
    checkpoint.load_trainer(trainer, checkpoint.read(last, trainer.device), str(last))
    np.testing.assert_array_equal(usability_of(work, scored, "test"), told())
    assert not np.array_equal(random, told())


def test_the_fusion_beside_the_weighted_one_is_what_evaluate_says(work, scored) -> None:
    assert evaluate_weighted(work, scored, "val")["none"] == evaluate(work, scored, "val")[FUSED]


def test_usability_of_new_samples_needs_no_label(work, scored, monkeypatch) -> None:
    known = usability_of(work, scored, "test")
    split = Job.samples

    def unlabelled(*args):
        samples = split(*args)
        samples.labels = np.zeros_like(samples.labels)
        return samples

    monkeypatch.setattr(Job, "samples", unlabelled)
    np.testing.assert_array_equal(usability_of(work, scored, "test"), known)


def test_samples_that_were_trained_on_are_refused(work, scored) -> None:
    with pytest.raises(CurateError, match="not for split train"):
        evaluate_weighted(work, scored, "train")


def test_a_run_of_which_no_usability_is_known_is_refused(work) -> None:
    plain = score(work, "toy", None, [{"score": {"dynamics": False}}], 0)
    with pytest.raises(CurateError, match="nothing is known of usability"):
        evaluate_weighted(work, plain, "test")


def test_a_method_with_heads_of_its_own_is_refused(work, scored) -> None:
    trained = train(work, scored, "joint", [{"train": {"epochs": 1}, "model": {"fusion": "weight"}}], 0)
    with pytest.raises(CurateError, match="not the sum of the unimodal logits"):
        evaluate_weighted(work, trained, "test")
