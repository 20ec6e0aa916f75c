"""Media that cannot be used: counted, left out, and what is still predicted of their samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from curate.errors import CurateError, MediaError
from curate.train.data.samples import Batch
from curate.train.stages.evaluate import evaluate
from curate.train.stages.score import score
from curate.train.stages.setup import prepare
from curate.train.stages.training import train


@pytest.mark.long
def test_unusable_media_are_counted_and_left_out(work, toy, monkeypatch) -> None:
    load = toy.load

    def broken(self, sample, modality):
        if (sample.sample_id, modality) == ("train-004", "visual"):
            raise MediaError("silent", "nothing to see")
        return load(self, sample, modality)

    monkeypatch.setattr(toy, "load", broken)
    run = score(work, "toy", None, [], 0)
    assert work.store.samples.status_counts(run.data_id) == [("silent", 1)]
    rows = work.store.query("SELECT sample_id, status, reason, gap FROM samples WHERE status <> 'ok'")[1]
    assert rows == [("train-004", "silent", "visual: nothing to see", None)]
    assert "train-004" not in work.store.rounds.read(run.run_id).sample_ids
    assert train(work, run, "adaptive", [], 0).status == "done"


def test_a_split_without_a_usable_sample_is_an_error(work, toy, monkeypatch) -> None:
    def broken(self, sample, modality):
        raise MediaError("missing", "gone")

    monkeypatch.setattr(toy, "load", broken)
    with pytest.raises(CurateError, match="no usable sample in split 'train'"):
        score(work, "toy", None, [], 0)
    assert work.store.query("SELECT status, count(*) FROM samples GROUP BY 1")[1] == [("missing", 94)]


def test_without_a_test_split_a_training_ends_and_only_validation_is_measured(work) -> None:
    run = score(work, "toy", None, [{"data": {"test": 0}}], 0)
    done = train(work, run, "joint", [], 0)
    epochs = work.store.epochs
    assert done.status == "done" and epochs.test_metrics(done.run_id) == {}
    best = epochs.metrics(done.run_id, "val", epochs.chosen(done.run_id))
    assert best["fused"]["accuracy"] == epochs.best_validation(done.run_id)
    with pytest.raises(CurateError, match=r"no sample in split 'test'; there are 50 in train, 21 in val"):
        evaluate(work, done, "test")


def test_a_test_split_that_cannot_be_used_is_refused_before_the_first_epoch(work, toy, monkeypatch) -> None:
    load = toy.load

    def broken(self, sample, modality):
        if sample.split == "test":
            raise MediaError("missing", "gone")
        return load(self, sample, modality)

    monkeypatch.setattr(toy, "load", broken)
    run = score(work, "toy", None, [], 0)
    with pytest.raises(CurateError, match=r"no usable sample in split 'test'"):
        train(work, run, "joint", [], 0)
    assert work.store.query("SELECT count(*) FROM epoch WHERE run_id LIKE 'joint%'")[1] == [(0,)]


def test_a_sample_that_lacks_a_modality_is_predicted_by_the_one_it_has(work, toy, monkeypatch) -> None:
    load, broken = toy.load, {("train-003", "visual"), ("train-004", "audio"), ("val-001", "audio")}

    def missing(self, sample, modality):
        if (sample.sample_id, modality) in broken:
            raise MediaError("missing", "it is gone")
        return load(self, sample, modality)

    monkeypatch.setattr(toy, "load", missing)
    run = score(work, "toy", None, [], 0)
    rows = work.store.query(
        "SELECT sample_id, p_audio, p_visual, p_fused, gap, p_balanced, in_sample, status FROM samples "
        "WHERE status <> 'ok' ORDER BY 1"
    )[1]
    (one, heard, unseen, fused, *rest), (two, unheard, seen, other, *rest_of_two), (three, *nothing) = rows
    assert (one, two, three) == ("train-003", "train-004", "val-001")
    assert unseen is None is unheard and rest == rest_of_two == [None, None, False, "missing"]
    assert 0 < heard < 1 and fused == pytest.approx(heard) and 0 < seen < 1 and other == pytest.approx(seen)
    assert nothing == [None] * 6 + ["missing"], "only training samples are scored"
    assert len(work.store.rounds.read(run.run_id).sample_ids) == 48
    # The unimodal prediction does not depend on what is missing: it is that of the complete sample.
    job = prepare(work, run)
    job.load(job.folder / "last.pt")
    with monkeypatch.context() as whole:
        whole.setattr(toy, "load", load)
        dataset = toy(None, toy.Options())
        sample = next(s for s in dataset.samples if s.sample_id == "train-003")
        arrays = {m: torch.from_numpy(dataset.load(sample, m)[None]) for m in dataset.modalities}
    job.trainer.transform.eval()
    job.trainer.model.eval()
    batch = job.trainer.transform(Batch(np.array(["train-003"]), arrays, torch.tensor([0])))
    with torch.no_grad():
        logits = job.trainer.model(batch.inputs).logits["audio"].double().softmax(dim=1)[0]
    assert heard == pytest.approx(float(logits[dataset.classes.index(sample.label)]), abs=1e-5)
