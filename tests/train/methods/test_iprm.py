"""IPRM against hand-computed values, a naive double of one step, and its state."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from curate.torch.iprm import probe
from curate.torch.mixup import geodesic_mixup, linear_mixup, normalize
from curate.train.methods.iprm import Iprm

PAIR = ("audio", "visual")


def logits(*p: float) -> torch.Tensor:
    return torch.tensor([p]).log()


@pytest.mark.parametrize(
    ("mixed", "omega"), [((0.5, 0.5), 0.052), ((0.7, 0.3), 0.163), ((0.8, 0.2), 0.740), ((0.9, 0.1), 1.0)]
)
def test_probe_by_hand(mixed: tuple[float, float], omega: float) -> None:
    """p_a = (.9, .1), p_v = (.6, .4): the closer modality gets the larger share."""
    shares = probe(logits(0.9, 0.1), logits(0.6, 0.4), logits(*mixed))
    assert float(shares[0]) == pytest.approx(omega, abs=6e-4)
    assert float(shares.sum()) == pytest.approx(1)
    swapped = probe(logits(0.6, 0.4), logits(0.9, 0.1), logits(*mixed))
    torch.testing.assert_close(swapped, shares.flip(0))


def test_probe_of_three_equal_predictions_is_one_half() -> None:
    same = torch.randn(4, 5)
    assert torch.equal(probe(same, same, same), torch.tensor([0.5, 0.5]))
    assert torch.isfinite(probe(torch.full((1, 2), 200.0), torch.tensor([[200.0, -200.0]]), torch.zeros(1, 2))).all()


def test_one_step_equals_the_equations(make_model, make_batch, make_method) -> None:
    model, batch = make_model(), make_batch()
    method = make_method("iprm", model)
    model.train()
    out = method.forward(model, batch.inputs)
    f = model.encode(batch.inputs)
    own, head = model.extra["own"], model.extra["mix"][0]
    z = {m: normalize(x) for m, x in f.items()}
    half = torch.tensor(0.5)
    omega = probe(
        own["audio"](f["audio"]), own["visual"](f["visual"]), head(geodesic_mixup(z["audio"], z["visual"], half, half))
    )
    mixed = head(geodesic_mixup(z["audio"], z["visual"], omega[0], omega[1]))
    torch.testing.assert_close(out.fused, mixed)
    expected = (
        F.cross_entropy(mixed, batch.labels)
        + F.cross_entropy(own["audio"](f["audio"]), batch.labels)
        + F.cross_entropy(own["visual"](f["visual"]), batch.labels)
    )
    torch.testing.assert_close(method.loss(out, batch), expected)


def test_probe_trains_nothing(make_model, make_batch, make_method, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the learning pass cut off, no mixup gradient is left: the probe itself has none."""
    model, batch = make_model(), make_batch()
    method = make_method("iprm", model)
    model.train()
    grads = []
    mix = method.rebalance._mixed
    monkeypatch.setattr(method.rebalance, "_mixed", lambda *a: grads.append(torch.is_grad_enabled()) or mix(*a))
    method.forward(model, batch.inputs)
    assert grads == [False, True]
    assert all(p.grad is None for p in model.parameters())
    assert not any(t.requires_grad for t in (*method.rebalance.weights.values(), *method.rebalance.carried.values()))


def run_steps(method, model, batch, steps: int) -> list[tuple[float, float]]:
    """(lambda used by the probe, omega) of the first modality at each step."""
    seen = []
    model.train()
    for _ in range(steps):
        before = method.rebalance.carried[PAIR][0].item()
        method.rebalance.sums = {}
        method.forward(model, batch.inputs)
        seen.append((before, float(method.rebalance.sums[PAIR][1][0])))
    return seen


@pytest.mark.parametrize(("config", "alpha"), [({}, 0.8), ({"ema_init": "half"}, 0.8), ({"alpha": 0.0}, 0.0)])
def test_moving_average_of_lambda(make_model, make_batch, make_method, config, alpha) -> None:
    model, batch = make_model(), make_batch()
    method = make_method("iprm", model, **config)
    (l0, w0), (l1, w1), (l2, _) = run_steps(method, model, batch, 3)
    assert l0 == 0.5
    assert l1 == pytest.approx(w0 if config.get("ema_init", "omega") == "omega" else alpha * 0.5 + (1 - alpha) * w0)
    assert l2 == pytest.approx(alpha * l1 + (1 - alpha) * w1, abs=1e-6)


def test_one_pass_learns_with_the_carried_weights(make_model, make_batch, make_method) -> None:
    model, batch = make_model(), make_batch()
    method = make_method("iprm", model, one_pass=True)
    model.train()
    out = method.forward(model, batch.inputs)
    z = {m: normalize(x) for m, x in model.encode(batch.inputs).items()}
    half = torch.tensor(0.5)
    torch.testing.assert_close(out.fused, model.extra["mix"][0](geodesic_mixup(z["audio"], z["visual"], half, half)))


def test_linear_mixup_ablation(make_model, make_batch, make_method) -> None:
    model, batch = make_model(), make_batch()
    method = make_method("iprm", model, mixup="linear", one_pass=True)
    model.train()
    out = method.forward(model, batch.inputs)
    z = {m: normalize(x) for m, x in model.encode(batch.inputs).items()}
    half = torch.tensor(0.5)
    torch.testing.assert_close(out.fused, model.extra["mix"][0](linear_mixup(z["audio"], z["visual"], half, half)))


def test_evaluation_uses_the_weights_of_the_last_probe_and_sums_the_heads(make_model, make_batch, make_method) -> None:
    model, batch = make_model(), make_batch()
    method = make_method("iprm", model)
    used = run_steps(method, model, batch, 3)[-1][0]
    assert float(method.rebalance.weights[PAIR][0]) == pytest.approx(used)
    model.eval()
    with torch.no_grad():
        out = method.forward(model, batch.inputs)
        z = {m: normalize(x) for m, x in model.encode(batch.inputs).items()}
        w = torch.tensor([used, 1 - used])
        mixed = model.extra["mix"][0](geodesic_mixup(z["audio"], z["visual"], w[0], w[1]))
        _, fused = method.predict(out)
    torch.testing.assert_close(fused, mixed + out.logits["audio"] + out.logits["visual"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(Iprm(Iprm.Config(predict="fused")).predict(out)[1], mixed, atol=1e-5, rtol=1e-5)


def test_posteriors_of_the_table_weight_the_mixup_loss(make_model, make_batch, make_method) -> None:
    model, batch = make_model(), make_batch()
    method = make_method("iprm", model, weighted=True)
    model.train()
    out = method.forward(model, batch.inputs)
    per_sample = F.cross_entropy(out.fused, batch.labels, reduction="none") * batch.p_balanced[:, 0]
    unimodal = sum(F.cross_entropy(x, batch.labels) for x in out.logits.values())
    torch.testing.assert_close(method.loss(out, batch), per_sample.mean() + unimodal)


@pytest.mark.parametrize("heads", ["tri", "single"])
def test_three_modalities(make_model, make_batch, make_method, heads: str) -> None:
    names = ("audio", "visual", "depth")
    model, batch = make_model(*names), make_batch(*names)
    method = make_method("iprm", model, heads=heads)
    assert len(model.extra["mix"]) == (3 if heads == "tri" else 1)
    model.train()
    out = method.forward(model, batch.inputs)
    assert len(out.mixed) == (3 if heads == "tri" else 1)
    method.loss(out, batch).backward()
    heads_moved = [model.extra["own"][m].weight.grad is not None for m in names]
    assert all(heads_moved), "every modality has a head of its own"
    model.eval()
    evaluated = method.forward(model, batch.inputs)
    assert len(evaluated.mixed) == 3, "pairs that were never drawn have weights too"
    _, fused = method.predict(evaluated)
    expected = sum(evaluated.logits.values()) + sum(evaluated.mixed.values()) / 3
    torch.testing.assert_close(fused, expected)
    assert {metric for _, metric, _ in method.end_epoch(model)} >= {f"omega:{'|'.join(p)}" for p in out.mixed}


def test_state_survives_a_round_trip(make_model, make_batch, make_method) -> None:
    model, batch = make_model(), make_batch()
    method = make_method("iprm", model)
    run_steps(method, model, batch, 2)
    other = make_method("iprm", make_model(seed=5))
    other.load_state_dict(method.state_dict())
    assert (
        torch.equal(other.rebalance.carried[PAIR], method.rebalance.carried[PAIR])
        and other.rebalance.seen == method.rebalance.seen
    )
    assert not math.isclose(float(other.rebalance.carried[PAIR][0]), 0.5)


def test_warm_heads_are_the_split_head(make_model, make_batch, make_method) -> None:
    model, batch = make_model(), make_batch()
    model.eval()
    before = model(batch.inputs).logits
    method = make_method("iprm", model, warm=True)
    after = method.forward(model, batch.inputs).logits
    for m in PAIR:
        torch.testing.assert_close(after[m], before[m])
