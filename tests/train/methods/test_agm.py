"""AGM against hand-computed coefficients, direct masked forwards, and a naive double of a step."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import chain, combinations

import pytest
import torch
import torch.nn.functional as F

from curate.errors import CurateError
from curate.torch.agm import modulation, shapley
from curate.train.methods.agm import _coalitions

PAIR = ("audio", "visual")
ALL = (*PAIR, "depth")


def scalars(**values: float) -> dict[str, torch.Tensor]:
    return {m: torch.tensor(v, dtype=torch.float64) for m, v in values.items()}


def test_coefficients_by_hand() -> None:
    """u = (.5, 1), running (.7, .9): r_a = e^.5, tau_a = e^.2; audio is stronger than it used to be and is damped."""
    k = modulation(scalars(audio=0.5, visual=1.0), scalars(audio=0.7, visual=0.9), 1.0)
    assert float(k["audio"]) == pytest.approx(0.6523, abs=5e-5)
    assert float(k["visual"]) == pytest.approx(1.2364, abs=5e-5)
    assert float(k["audio"]) == pytest.approx(math.exp(1.2214 - 1.6487), abs=5e-5)


def test_three_modalities_are_compared_with_their_mean() -> None:
    now, before = scalars(a=0.4, v=1.0, t=1.6), scalars(a=1.0, v=1.0, t=1.0)
    k = modulation(now, before, 2.0)
    for m, u in (("a", 0.4), ("v", 1.0), ("t", 1.6)):
        assert float(k[m]) == pytest.approx(math.exp(2 * (1 - math.exp((1.0 - u) * 3 / 2))))


def test_the_exponent_is_capped_and_strength_zero_is_one() -> None:
    now, before = scalars(a=18.0, v=0.0), scalars(a=0.0, v=18.0)
    assert float(modulation(now, before, 1.0)["a"]) == pytest.approx(math.exp(10))
    assert float(modulation(now, before, 1.0)["v"]) == 0
    assert all(float(k) == 1 for k in modulation(now, before, 0.0).values())


def test_shapley_values_by_the_published_formulas() -> None:
    g = torch.Generator().manual_seed(0)
    subsets = chain.from_iterable(combinations("avt", n) for n in (1, 2, 3))
    f = {frozenset(s): torch.randn(4, 3, generator=g, dtype=torch.float64) for s in subsets}

    def at(names: str) -> torch.Tensor:
        return f[frozenset(names)]

    two = shapley({s: x for s, x in f.items() if s <= set("av")}, ("a", "v"))
    torch.testing.assert_close(two["a"], (at("av") - at("v") + at("a")) / 2)
    torch.testing.assert_close(two["a"] + two["v"], at("av"))
    three = shapley(f, ("a", "v", "t"))
    expected = (at("avt") - at("av") + at("t")) / 3 + (at("vt") - at("v") + at("at") - at("a")) / 6
    torch.testing.assert_close(three["t"], expected)
    torch.testing.assert_close(sum(three.values()), at("avt"))


@pytest.mark.parametrize("names", [PAIR, ALL])
def test_coalitions_equal_forwards_with_zeroed_inputs(make_model, make_batch, names) -> None:
    model, batch = make_model(*names), make_batch(*names)
    model.train()
    for _ in range(2):
        model(batch.inputs)  # so that the batch norms have statistics
    before = {k: v.clone() for k, v in model.state_dict().items()}
    whole = torch.full((6, 3), 7.0)
    values = _coalitions(model, batch.inputs, whole)
    assert len(values) == 2 ** len(names) - 1 and values[frozenset(names)] is whole
    assert model.training and all(layer.training for layer in model.modules())
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items()), "the batch norms saw masked inputs"
    model.eval()
    for present, logits in values.items():
        if len(present) < len(names):
            masked = {m: x if m in present else torch.zeros_like(x) for m, x in batch.inputs.items()}
            assert not logits.requires_grad
            torch.testing.assert_close(logits, model(masked).fused)


def naive_factors(model, batch, running: dict[str, float], alpha: float) -> tuple[dict[str, float], dict[str, float]]:
    """(k, u) of two modalities by whole forwards."""
    model.train()
    whole = model(batch.inputs).fused.detach()
    model.eval()
    with torch.no_grad():
        alone = {
            m: model({n: x if n == m else torch.zeros_like(x) for n, x in batch.inputs.items()}).fused for m in PAIR
        }
    model.train()
    a, v = alone["audio"], alone["visual"]
    shares = {"audio": (whole - v + a) / 2, "visual": (whole - a + v) / 2}
    u = {m: float(F.cross_entropy(o.double(), batch.labels)) for m, o in shares.items()}
    factors = {}
    for m, other in (PAIR, PAIR[::-1]):
        r, tau = math.exp(u[other] - u[m]), math.exp(running[other] - running[m])
        factors[m] = math.exp(alpha * min(tau - r, 10))
    return factors, u


@pytest.mark.parametrize("fusion", ["concat", "sum"])
def test_two_steps_equal_a_naive_double(make_model, make_batch, make_method, fusion: str) -> None:
    """The encoder and the head's columns of a modality get k_m times the plain gradient; the running mean follows."""
    model, double = (make_model(fusion=fusion).double() for _ in range(2))
    with torch.no_grad():
        for p in model.fusion.parameters():
            p.mul_(20)
        for _ in range(20):  # so that evaluation mode sees features of the same size
            model({m: x.double() for m, x in make_batch().inputs.items()})
    method = make_method("agm", model, alpha=1.5, clip=0.0)
    model.train()
    running = dict.fromkeys(PAIR, 0.0)
    double.load_state_dict(model.state_dict())
    for step in range(2):
        batch = make_batch(seed=step)
        batch = replace(batch, inputs={m: x.double() for m, x in batch.inputs.items()})
        with torch.no_grad():  # labels that speak for audio
            logits = double.eval()(batch.inputs).logits
            batch = replace(batch, labels=(logits["audio"] - logits["visual"]).argmax(dim=1))
        double.load_state_dict(model.state_dict())
        factors, u = naive_factors(double, batch, running, 1.5)
        double.load_state_dict(model.state_dict())
        double.zero_grad(set_to_none=True)
        F.cross_entropy(double(batch.inputs).fused, batch.labels).backward()

        model.zero_grad(set_to_none=True)
        out = method.forward(model, batch.inputs)
        loss = method.loss(out, batch)
        assert torch.equal(loss, F.cross_entropy(out.fused, batch.labels)), "only gradients differ"
        loss.backward()
        assert method.modulate(model, out, batch) == 24
        assert max(abs(k - 1) for k in factors.values()) > 0.02
        for m in PAIR:
            for p, q in zip(model.encoder_parameters(m), double.encoder_parameters(m), strict=True):
                torch.testing.assert_close(p.grad, q.grad * factors[m])
        if fusion == "concat":
            columns = torch.cat([torch.full((64,), factors[m]).double() for m in PAIR])
            torch.testing.assert_close(model.fusion.head.weight.grad, double.fusion.head.weight.grad * columns)
            mean = sum(factors.values()) / 2
            torch.testing.assert_close(model.fusion.head.bias.grad, double.fusion.head.bias.grad * mean)
        running = {m: (running[m] * step + u[m]) / (step + 1) for m in PAIR}
        assert method.modulation.running.tolist() == pytest.approx([running[m] for m in PAIR], rel=1e-5)


@pytest.mark.parametrize(("config", "epoch"), [({}, 21), ({"first_epoch": 1}, 0), ({"alpha": 0.0, "clip": 0.0}, 0)])
def test_outside_the_window_and_without_strength_it_is_joint(make_model, make_batch, make_method, config, epoch):
    gradients = []
    for name, knobs in (("joint", {}), ("agm", config)):
        model, batch = make_model(), make_batch()
        method = make_method(name, model, epoch=epoch, **knobs)
        model.train()
        out = method.forward(model, batch.inputs)
        method.loss(out, batch).backward()
        method.modulate(model, out, batch)
        gradients.append([*(p.grad for p in model.parameters()), *model.buffers()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("steep", [False, True])
def test_all_gradients_are_cut_where_the_fusion_s_is_steep(make_model, make_batch, make_method, steep: bool) -> None:
    model, batch = make_model(), make_batch()
    method = make_method("agm", model, clip=0.25)
    model.train()
    out = method.forward(model, batch.inputs)
    (method.loss(out, batch) * (1e3 if steep else 0.5)).backward()
    before = [p.grad.clone() for p in model.parameters()]
    assert (float(model.fusion.head.weight.grad.abs().max()) > 1) is steep
    method.modulate(model, out, batch)
    norm = float(torch.cat([g.flatten() for g in before]).norm())
    assert norm > 0.25
    for p, g in zip(model.parameters(), before, strict=True):
        torch.testing.assert_close(p.grad, g * (0.25 / norm if steep else 1.0), rtol=1e-4, atol=1e-8)


def test_state_survives_a_round_trip(make_model, make_batch, make_method) -> None:
    model, batch = make_model(), make_batch()
    method = make_method("agm", model)
    model.train()
    out = method.forward(model, batch.inputs)
    method.loss(out, batch).backward()
    method.modulate(model, out, batch)
    other = make_method("agm", make_model(seed=4))
    other.load_state_dict(method.state_dict())
    assert int(other.modulation.steps) == 1
    assert torch.equal(other.modulation.running, method.modulation.running) and other.modulation.running.all()


def test_logits_that_do_not_add_up_are_refused(make_model, make_method) -> None:
    with pytest.raises(CurateError, match=r"model\.fusion=weight"):
        make_method("agm", make_model(fusion="weight"))


@pytest.mark.parametrize(("steepest", "norm"), [(2.0, 1.0), (0.5, None)])
def test_it_clips_outside_its_window_too(make_model, make_method, make_batch, steepest: float, norm) -> None:
    """As published: to norm 1 wherever an element of the fusion's gradient exceeds 1."""
    model, batch = make_model(), make_batch()
    method = make_method("agm", model, first_epoch=2, last_epoch=2)
    outputs = method.forward(model, batch.inputs)
    for p in model.parameters():
        p.grad = torch.full_like(p, steepest)
    count = sum(p.numel() for p in model.parameters())
    assert method.modulate(model, outputs, batch) is None
    total = float(torch.stack([p.grad.norm() for p in model.parameters()]).norm())
    assert total == pytest.approx(norm or steepest * count**0.5, rel=1e-4)
