"""A loop of one's own with the adaptive loss: the same weights, to the bit, as `train --method adaptive`."""

from __future__ import annotations

import pytest
import torch

import curate
from curate.errors import CurateError
from curate.torch import AdaptiveLoss, Recorder
from curate.train.data.samples import mix_seed
from curate.train.loop import checkpoint
from curate.train.loop.engine import predict
from curate.train.methods.optim import OptimConfig
from curate.train.stages.setup import prepare
from curate.train.stages.training import plan_train, train

SHORT = [{"method": {"rounds": 1}, "train": {"epochs": 2}}]


@pytest.mark.parametrize("gap", ["prob", "kl", "log_odds"])
def test_a_loop_of_ones_own_ends_at_the_same_weights(work, scored, gap) -> None:
    from curate.predictions.refit import refit

    if gap != "prob":
        scored = refit(work.store, scored, [{}, {"score": {"gap": gap}}])
    done = train(work, scored, "adaptive", SHORT, 0)
    expected = checkpoint.read(work.folder(done) / "last.pt", torch.device("cpu"))["model"]
    job = prepare(work, plan_train(work, scored, "adaptive", SHORT, 0))  # the same data and the same start
    model, loss = job.trainer.model, AdaptiveLoss(curate.open(work.store.path), scored.run_id)
    optimizer = OptimConfig(**scored.config["optim"]).make(model)
    for epoch in range(2):
        seed = mix_seed(job.run.seed, 1, epoch)
        torch.manual_seed(seed)
        model.train()
        job.trainer.transform.train()
        for step, raw in enumerate(job.data.training_batches(epoch)):
            batch = job.trainer.transform(raw, mix_seed(seed, step))
            outputs = model(batch.inputs)
            optimizer.zero_grad(set_to_none=True)
            loss(batch.sample_ids, batch.labels, outputs.logits, outputs.fused, epoch).backward()
            optimizer.step()
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, expected[name]), name


def test_what_was_not_scored_cannot_be_weighted(work, scored) -> None:
    loss = AdaptiveLoss(curate.open(work.store.path))
    x = torch.zeros(1, 3)
    with pytest.raises(CurateError, match=r"1 of 1 samples are not scored in .*: nobody"):
        loss(["nobody"], torch.tensor([0]), {"audio": x, "visual": x}, x)
    with pytest.raises(CurateError, match="no logits of visual"):
        loss(["train-000"], torch.tensor([0]), {"audio": x}, x)


def test_posteriors_are_taken_anew_from_what_an_epoch_recorded(work, scored, tmp_path) -> None:
    """One table, one recorder: score after an epoch of one's own, and go on with what it found."""
    job = prepare(work, scored)
    job.load(job.folder / "last.pt")
    said = predict(job.trainer, job.data, job.data.fit)
    recorder = Recorder(tmp_path / "recorded", said.classes, values="probabilities")
    with recorder.epoch():
        recorder.add(said.sample_ids, said.labels, {m: said.probs[m] for m in said.modalities}, said.probs["fused"])
    table = curate.open(tmp_path / "own.duckdb")
    loss = AdaptiveLoss(curate.open(work.store.path))
    before, run = loss.w0.clone(), recorder.score(table.path)
    loss.refresh(table)
    assert loss.run_id == run.run_id and loss.kind == "prob"
    torch.testing.assert_close(loss.w0, before, atol=2e-3, rtol=0)  # the same model said both
