"""joint, warmup, unimodal and subset against naive doubles."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from curate.train.loop.engine import OptimConfig


def test_joint_is_the_fused_cross_entropy(make_model, make_batch, make_method) -> None:
    model, batch = make_model(), make_batch()
    method = make_method("joint", model)
    out = method.forward(model, batch.inputs)
    torch.testing.assert_close(method.loss(out, batch), F.cross_entropy(out.fused, batch.labels))


def test_warm_up_and_subset_are_equation_8(make_model, make_batch, make_method) -> None:
    model, batch = make_model(), make_batch()
    out = model(batch.inputs)
    by_hand = sum(F.cross_entropy(x, batch.labels) for x in (out.fused, *out.logits.values()))
    for name in ("warmup", "subset"):
        torch.testing.assert_close(make_method(name, model).loss(out, batch), by_hand)


def test_unimodal_sums_log_probabilities(make_model, make_batch, make_method) -> None:
    model, batch = make_model(), make_batch()
    method = make_method("unimodal", model)
    out = method.forward(model, batch.inputs)
    torch.testing.assert_close(out.fused, sum(x.log_softmax(1) for x in out.logits.values()))


def test_unimodal_networks_train_exactly_as_they_would_alone(make_model, make_batch, make_method) -> None:
    model, alone, batch = make_model(), make_model(), make_batch()
    method, single = make_method("unimodal", model), make_method("unimodal", alone)
    optimizers = [OptimConfig(lr=0.1).make(m) for m in (model, alone)]
    for _ in range(3):
        method.step(model, optimizers[0], batch)
        optimizers[1].zero_grad(set_to_none=True)
        out = single.forward(alone, batch.inputs)
        F.cross_entropy(out.logits["audio"], batch.labels).backward()
        optimizers[1].step()
    for p, q in zip(model.encoder_parameters("audio"), alone.encoder_parameters("audio"), strict=True):
        assert torch.equal(p, q)
    untouched = make_model()
    for p, q in zip(alone.encoder_parameters("visual"), untouched.encoder_parameters("visual"), strict=True):
        assert torch.equal(p, q)
