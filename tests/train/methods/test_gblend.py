"""G-Blend: the weights by hand, the estimate against a naive double, and that it leaves the model alone."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from curate.errors import CurateError
from curate.train.methods.gblend import blend, generalisation
from curate.train.methods.optim import OptimConfig

BEFORE = ({"audio": 1.5, "visual": 1.6, "fused": 1.4}, {"audio": 1.6, "visual": 1.65, "fused": 1.5})
AFTER = ({"audio": 0.6, "visual": 1.2, "fused": 0.3}, {"audio": 1.1, "visual": 1.4, "fused": 1.0})


def test_weights_by_hand() -> None:
    gained, overfitted = generalisation(BEFORE, AFTER)
    assert gained == pytest.approx({"audio": 0.5, "visual": 0.25, "fused": 0.5})
    assert overfitted == pytest.approx({"audio": 0.4, "visual": 0.15, "fused": 0.6})
    assert blend(gained, overfitted) == pytest.approx({"audio": 0.2, "visual": 0.7111, "fused": 0.0889}, abs=5e-5)


def test_what_got_worse_gets_nothing_and_no_gain_at_all_is_uniform() -> None:
    assert blend({"a": 1.0, "v": -2.0}, {"a": 1.0, "v": 1.0}) == {"a": 1.0, "v": 0.0}
    assert blend({"a": -1.0, "v": 0.0}, {"a": 1.0, "v": 0.0}) == {"a": 0.5, "v": 0.5}
    assert blend({"a": float("nan"), "v": 1.0}, {"a": 1.0, "v": 1.0}) == {"a": 0.5, "v": 0.5}
    by_hand = {"a": 0.8, "v": 0.2}  # 1 / 0.0001, the floor, and 1 / 0.02^2
    assert blend({"a": 1.0, "v": 1.0}, {"a": 0.0, "v": 0.02}) == pytest.approx(by_hand)


def test_loss_is_the_blend(make_model, make_method, make_batch) -> None:
    model, batch = make_model(), make_batch()
    method = make_method("gblend", model, mode="fixed", weights="audio=0.2,fused=0.7")
    out = method.forward(model, batch.inputs)
    by_hand = 0.2 * F.cross_entropy(out.logits["audio"], batch.labels) + 0.7 * F.cross_entropy(out.fused, batch.labels)
    torch.testing.assert_close(method.loss(out, batch), by_hand)
    torch.testing.assert_close(out.fused, model.fusion(out.features)[1])


def test_the_estimate_equals_a_naive_double(make_model, make_method, make_context) -> None:
    """Train a full copy on one loss, measure everything before and after."""
    model = make_model()
    method = make_method("gblend", model, mode="fixed")
    start = copy.deepcopy(model)
    context = make_context(model)

    def losses(m, split):
        m.eval()
        with torch.no_grad():
            outs = [(method.forward(m, b.inputs), b.labels) for b in context.data.ordered(split)]
        joined = {
            k: torch.cat([{**o.logits, "fused": o.fused}[k] for o, _ in outs]) for k in ("audio", "visual", "fused")
        }
        labels = torch.cat([y for _, y in outs])
        return {k: float(F.cross_entropy(v, labels)) for k, v in joined.items()}

    before, after = [losses(model, s) for s in ("fit", "val")], [{}, {}]
    for name in ("audio", "visual", "fused"):
        probe = copy.deepcopy(start).train()
        optimizer = OptimConfig(lr=0.05).make(probe)
        for batch in context.data.shuffled(0):
            optimizer.zero_grad()
            out = method.forward(probe, batch.inputs)
            F.cross_entropy({**out.logits, "fused": out.fused}[name], batch.labels).backward()
            optimizer.step()
        for i, split in enumerate(("fit", "val")):
            after[i][name] = losses(probe, split)[name]
    expected = blend(*generalisation(before, after))

    torch.testing.assert_close(
        {k: torch.tensor(v) for k, v in make_method("gblend", start).weights.items()},
        {k: torch.tensor(v) for k, v in expected.items()},
        rtol=1e-3,
        atol=1e-4,
    )


def test_estimating_leaves_model_and_optimizer_bit_identical(make_model, make_method, make_context) -> None:
    model = make_model()
    method = make_method("gblend", model, mode="fixed")
    optimizer = OptimConfig(lr=0.05).make(model)
    before = copy.deepcopy(model.state_dict())
    method._estimate(model, 0, 2, make_context(model, optimizer))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not optimizer.state and all(p.grad is None for p in model.parameters())
    assert sum(method.weights.values()) == pytest.approx(1)


def test_when_it_estimates(make_model, make_method, make_context, monkeypatch) -> None:
    def epochs(**config):
        model, asked = make_model(), []
        method = make_method("gblend", model, mode="fixed")
        method.config = type(method).Config(**config)
        monkeypatch.setattr(method, "_estimate", lambda model, epoch, length, context: asked.append((epoch, length)))
        for epoch in range(20):
            method.begin_epoch(model, epoch, make_context(model, epochs=20))
        return asked

    assert epochs() == [(e, 2) for e in range(0, 20, 2)]
    assert epochs(super_epoch=8) == [(0, 8), (8, 8), (16, 8)]
    assert epochs(mode="offline") == [(0, 2)]
    assert epochs(mode="fixed") == []


def test_a_weight_of_no_branch_is_refused(make_model, make_method) -> None:
    with pytest.raises(CurateError, match=r"method\.weights.*smell"):
        make_method("gblend", make_model(), mode="fixed", weights="smell=1")
