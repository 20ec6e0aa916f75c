"""A loop of one's own with the losses and steps of the methods: the same weights, to the bit, as `curate train`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import curate
from curate.errors import CurateError
from curate.torch import (
    AdaptiveLoss,
    AdaptiveModulation,
    ProbeAndRebalance,
    Recorder,
    UsableLoss,
    coalitions,
    modulate_gradients,
    shapley,
    trimmed_loss,
)
from curate.train.data.samples import mix_seed
from curate.train.loop import checkpoint
from curate.train.loop.engine import predict
from curate.train.methods.optim import OptimConfig
from curate.train.stages.setup import Job, prepare
from curate.train.stages.training import plan_train, train

SHORT = [{"method": {"rounds": 1}, "train": {"epochs": 2}}]
ONE_ROUND = [{"train": {"epochs": 2}}]


def trained(work, scored, name: str, settings: Any = SHORT) -> tuple[Job, dict[str, Any]]:
    """The project's own training to its end; a job that begins as it did, and the checkpoint it ended with."""
    done = train(work, scored, name, settings, 0)
    ended = checkpoint.read(work.folder(done) / "last.pt", torch.device("cpu"))
    return prepare(work, plan_train(work, scored, name, settings, 0)), ended


def loop(job: Job, epochs: int, modules: Sequence[nn.Module], step: Callable[..., None]) -> None:
    """A hand-written loop over the same batches; `step` does everything between clearing gradients and the update."""
    parameters = [p for module in modules for p in module.parameters()]
    optimizer = OptimConfig(**job.run.config["optim"]).over(parameters)
    for epoch in range(epochs):
        seed = mix_seed(job.run.seed, 1, epoch)
        torch.manual_seed(seed)
        for module in modules:
            module.train()
        job.trainer.transform.train()
        for number, raw in enumerate(job.data.training_batches(epoch)):
            batch = job.trainer.transform(raw, mix_seed(seed, number))
            optimizer.zero_grad(set_to_none=True)
            step(batch, epoch)
            optimizer.step()


def assert_same(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    for name, weight in found.items():
        assert torch.equal(weight, expected[name]), name


@pytest.mark.parametrize("gap", ["prob", *(pytest.param(g, marks=pytest.mark.long) for g in ("kl", "log_odds"))])
def test_the_adaptive_loss_ends_at_the_same_weights(work, scored, gap) -> None:
    from curate.predictions.refit import refit

    if gap != "prob":
        scored = refit(work.store, scored, [{}, {"score": {"gap": gap}}])
    job, ended = trained(work, scored, "adaptive")
    model, loss = job.trainer.model, AdaptiveLoss(curate.open(work.store.path), scored.run_id)

    def step(batch, epoch):
        outputs = model(batch.inputs)
        loss(batch.sample_ids, batch.labels, outputs.logits, outputs.fused, epoch).backward()

    loop(job, ended["epoch"], [model], step)
    assert_same(model.state_dict(), ended["model"])


def test_iprm_ends_at_the_same_weights(work, scored) -> None:
    job, ended = trained(work, scored, "iprm", ONE_ROUND)
    model = job.trainer.model
    iprm = ProbeAndRebalance(model.dims, len(model.classes))
    iprm.own.load_state_dict(model.extra["own"].state_dict())
    iprm.heads.load_state_dict(model.extra["mix"].state_dict())

    def step(batch, _):
        iprm.loss(iprm(model.encode(batch.inputs)), batch.labels).backward()

    loop(job, ended["epoch"], [model.encoders, iprm], step)
    encoders = {f"encoders.{name}": x for name, x in model.encoders.state_dict().items()}
    heads = {f"extra.own.{name}": x for name, x in iprm.own.state_dict().items()}
    mixes = {f"extra.mix.{name}": x for name, x in iprm.heads.state_dict().items()}
    assert len(heads) == 4 and len(mixes) == 2
    assert_same(encoders | heads | mixes, ended["model"])
    carried = iprm.get_extra_state()["carried"][0]
    assert torch.equal(carried, ended["method"]["carried"][0]) and float(carried[0]) != 0.5
    # It predicts what the trained model does, lambda included, after its state came from a file.
    fresh = ProbeAndRebalance(model.dims, len(model.classes)).eval()
    fresh.load_state_dict(iprm.state_dict())
    batch = job.trainer.transform.eval()(next(iter(job.data.ordered_batches(job.data.val))))
    method = job.trainer.method
    model.load_state_dict(ended["model"])
    method.load_state_dict(ended["method"])
    model.eval()
    assert torch.equal(method.predict(method.forward(model, batch.inputs))[1], fresh(model.encode(batch.inputs)).fused)


THROUGHOUT = {"first_epoch": 0, "last_epoch": 1000}
"""A window of modulation that holds every epoch, as the loops here do."""


@pytest.mark.parametrize(("name", "noise"), [("ogm", "none"), ("ogm_ge", "all")])
def test_modulated_gradients_end_at_the_same_weights(work, scored, name, noise) -> None:
    job, ended = trained(work, scored, name, [{"method": THROUGHOUT, **ONE_ROUND[0]}])
    model = job.trainer.model

    def step(batch, _):
        outputs = model(batch.inputs)
        F.cross_entropy(outputs.fused, batch.labels).backward()
        encoders = {m: model.encoders[m].parameters() for m in model.modalities}
        factors, edited = modulate_gradients(encoders, outputs.logits, batch.labels, noise=noise)
        assert edited > 0 and min(map(float, factors.values())) < 1

    loop(job, ended["epoch"], [model], step)
    assert_same(model.state_dict(), ended["model"])


def test_agm_ends_at_the_same_weights(work, scored) -> None:
    job, ended = trained(work, scored, "agm", [{"method": {"clip": 0.0, **THROUGHOUT}, **ONE_ROUND[0]}])
    model = job.trainer.model
    agm = AdaptiveModulation(model.modalities)

    def step(batch, _):
        outputs = model(batch.inputs)
        model.eval()
        with torch.no_grad():
            there = model(batch.inputs).logits
            nothing = model.encode({m: torch.zeros_like(x[:1]) for m, x in batch.inputs.items()})
            absent, _ = model.fusion({m: f.expand(len(batch.labels), -1) for m, f in nothing.items()})
        model.train()
        values = {**coalitions(there, absent), frozenset(model.modalities): outputs.fused.detach()}
        agm(shapley(values, model.modalities), outputs.logits, batch.labels).backward()
        agm.update()

    loop(job, ended["epoch"], [model], step)
    assert_same(model.state_dict(), ended["model"])
    assert torch.equal(agm.running, ended["method"]["running"])


@pytest.mark.parametrize("mode", ["soften", pytest.param("skip", marks=pytest.mark.long)])
def test_the_usable_loss_ends_at_the_same_weights(work, scored, mode) -> None:
    ids, _ = work.store.usability.p_broken(scored.run_id)
    share = np.random.default_rng(0).random(len(ids))  # whatever was found, some are broken
    with work.store.usability.db.open(write=True) as con:
        con.register("drawn", {"sample_id": ids.astype(object), "p": share})
        con.execute(
            "UPDATE usability_here SET p_broken = p FROM drawn WHERE usability_here.sample_id = drawn.sample_id"
        )
    job, ended = trained(work, scored, "usable", [{"method": {"mode": mode}, **ONE_ROUND[0]}])
    model, loss = job.trainer.model, UsableLoss(curate.open(work.store.path), scored.run_id, mode=mode)
    assert loss.found and float(loss.p_broken.std()) > 0.1

    def step(batch, _):
        outputs = model(batch.inputs)
        loss(batch.sample_ids, batch.labels, outputs.logits, outputs.fused).backward()

    loop(job, ended["epoch"], [model], step)
    assert_same(model.state_dict(), ended["model"])
    with pytest.raises(CurateError, match=r"1 of 1 sample is not scored in .*: nobody"):
        loss(["nobody"], torch.tensor([0]), {m: torch.zeros(1, 3) for m in model.modalities}, torch.zeros(1, 3))


def test_the_trimmed_loss_ends_at_the_same_weights(work, scored) -> None:
    job, ended = trained(work, scored, "trim", [{"method": {"share": 0.25}, **ONE_ROUND[0]}])
    model = job.trainer.model

    def step(batch, _):
        outputs = model(batch.inputs)
        trimmed_loss(outputs.logits, outputs.fused, batch.labels, 0.25).backward()

    loop(job, ended["epoch"], [model], step)
    assert_same(model.state_dict(), ended["model"])


def test_what_was_not_scored_cannot_be_weighted(work, scored) -> None:
    loss = AdaptiveLoss(curate.open(work.store.path))
    x = torch.zeros(1, 3)
    with pytest.raises(CurateError, match=r"1 of 1 sample is not scored in .*: nobody"):
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
