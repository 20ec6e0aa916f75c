"""Greedy: conditional learning speed by hand, gates, and what a window of curation does."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from curate.errors import CurateError
from curate.train.loop.engine import OptimConfig
from curate.train.methods.greedy import effective_update, speed_difference
from curate.train.models.encoders import ResNet18, SmallCNN
from curate.train.models.mmtm import MMTM

PAIR = ("audio", "visual")


def scalar(x: float) -> torch.Tensor:
    return torch.tensor(x, dtype=torch.float64)


def gates(model, modality: str) -> list[nn.Module]:
    return [layer.gates[modality] for layer in model.extra["mmtm"]]


def test_the_difference_of_speeds_by_hand() -> None:
    """Bypass (2, 1), main (1, 1): d = log10 2."""
    assert speed_difference(scalar(2), scalar(1), scalar(1), scalar(1)) == pytest.approx(0.30103, abs=1e-6)
    assert speed_difference(scalar(1), scalar(1), scalar(2), scalar(1)) == pytest.approx(-0.30103, abs=1e-6)
    assert math.isfinite(speed_difference(scalar(0), scalar(1), scalar(1), scalar(0)))


def test_an_effective_update_is_of_the_whole_set() -> None:
    """||(3, 4)||^2 over ||(1, 2, 5)||^2; what has no gradient still has weight."""
    a, b = nn.Linear(2, 1, bias=False), nn.Linear(1, 1, bias=False)
    a.weight.data, b.weight.data = torch.tensor([[1.0, 2.0]]), torch.tensor([[5.0]])
    a.weight.grad = torch.tensor([[3.0, 4.0]])
    assert float(effective_update([a, b])) == pytest.approx(25 / 30)
    assert float(effective_update([b])) == 0


@pytest.mark.parametrize("kind", [SmallCNN, ResNet18])
def test_stages_and_pool_are_the_encoder(kind) -> None:
    encoder = kind(1).eval()
    x = torch.randn(2, 1, 64, 64)
    maps = x
    for stage, width in zip(encoder.stages, encoder.widths, strict=True):
        maps = stage(maps)
        assert maps.shape[1] == width
    assert torch.equal(encoder.pool(maps), encoder(x))
    inside = {id(p) for part in (*encoder.stages, encoder.pool) for p in part.parameters()}
    assert inside == {id(p) for p in encoder.parameters()}


def test_mmtm_equals_a_naive_double() -> None:
    layer = MMTM({"audio": 4, "visual": 6}, 4.0).eval()
    assert layer.squeeze.out_features == 5
    maps = {"audio": torch.randn(3, 1, 4, 5, 7), "visual": torch.randn(3, 2, 6, 2, 2)}
    out = layer(maps)
    for i in range(3):
        pooled = torch.cat(
            [maps["audio"][i, 0].flatten(1).mean(1), maps["visual"][i].transpose(0, 1).flatten(1).mean(1)]
        )
        squeezed = torch.relu(layer.squeeze.weight @ pooled + layer.squeeze.bias)
        for m in maps:
            gate = torch.sigmoid(layer.gates[m].excite.weight @ squeezed + layer.gates[m].excite.bias)
            for frame in range(maps[m].shape[1]):
                torch.testing.assert_close(out[m][i, frame], maps[m][i, frame] * gate[:, None, None])


def test_each_gate_has_the_mean_of_its_own_training_steps() -> None:
    layer = MMTM({"audio": 4, "visual": 6}, 4.0)
    seen: dict[str, list[torch.Tensor]] = {m: [] for m in PAIR}
    for _ in range(3):
        maps = {"audio": torch.rand(5, 1, 4, 3, 3) + 1, "visual": torch.rand(5, 1, 6, 3, 3) + 1}
        out = layer.train()(maps)
        for m in PAIR:
            seen[m].append((out[m] / maps[m])[:, 0, :, 0, 0].mean(dim=0).detach())
    layer.eval()(maps)
    for m in PAIR:
        torch.testing.assert_close(layer.gates[m].mean, torch.stack(seen[m]).mean(dim=0))


@pytest.mark.parametrize("frozen", PAIR)
def test_a_frozen_gate_is_its_mean_and_carries_no_gradient(frozen: str) -> None:
    layer = MMTM({"audio": 4, "visual": 6}, 4.0)
    maps = {"audio": torch.rand(5, 1, 4, 3, 3) + 1, "visual": torch.rand(5, 1, 6, 3, 3) + 1}
    layer(maps)
    out = layer(maps, frozen)
    (free,) = set(PAIR) - {frozen}
    torch.testing.assert_close((out[frozen] / maps[frozen])[:, 0, :, 0, 0], layer.gates[frozen].mean.expand(5, -1))
    sum(x.sum() for x in out.values()).backward()
    assert layer.gates[frozen].excite.weight.grad is None
    assert float(layer.gates[free].excite.weight.grad.abs().sum()) > 0
    layer(maps)  # the mean may go on while an earlier graph is alive
    assert out[frozen].isfinite().all()


def test_one_forward_equals_the_equations(make_model, make_batch, make_method) -> None:
    model, batch = make_model(), make_batch()
    method = make_method("greedy", model)
    model.eval()
    out = method.forward(model, batch.inputs)
    maps = {m: model.encoders[m].stages[0](batch.inputs[m]) for m in PAIR}
    for i, layer in enumerate(model.extra["mmtm"], start=1):
        maps = {m: model.encoders[m].stages[i](x) for m, x in maps.items()}
        maps = {m: x[:, 0] for m, x in layer({m: x[:, None] for m, x in maps.items()}).items()}
    for m in PAIR:
        logits = model.extra["own"][m](maps[m].mean(dim=(2, 3)))
        torch.testing.assert_close(out.logits[m], logits)
    torch.testing.assert_close(out.fused, (out.logits["audio"] + out.logits["visual"]) / 2)
    expected = sum(F.cross_entropy(x, batch.labels) for x in out.logits.values())
    torch.testing.assert_close(method.loss(out, batch), expected)


def test_clips_of_several_frames_share_a_gate(make_model, make_batch, make_method) -> None:
    """Twice the same frame is that frame."""
    model, batch = make_model(), make_batch()
    method = make_method("greedy", model)
    model.eval()
    clips = {**batch.inputs, "visual": batch.inputs["visual"][:, None].repeat(1, 2, 1, 1, 1)}
    here, there = method.forward(model, clips), method.forward(model, batch.inputs)
    torch.testing.assert_close(here.fused, there.fused)


def curated(make_model, make_batch, make_method, steps: int, bias: tuple[float, float] | None = None, **config):
    """(which gate each step froze, the method, the model); `bias` replaces what is measured, as bypass / main."""
    model = make_model()
    method = make_method("greedy", model, **config)
    optimizer = OptimConfig(lr=0.01).make(model)
    model.train()
    if bias:
        method._measure = lambda model: (
            method.bypass.update({m: method.bypass[m] + b for m, b in zip(PAIR, map(scalar, bias), strict=True)})
            or method.main.update({m: method.main[m] + 1 for m in PAIR})
        )
    frozen = []
    for seed in range(steps):
        frozen.append(method.frozen)
        method.step(model, optimizer, make_batch(seed=seed))
    return frozen, method, model


@pytest.mark.parametrize(("bias", "modality"), [((2.0, 1.0), "audio"), ((1.0, 2.0), "visual")])
def test_a_window_freezes_the_modality_that_relies_on_the_other(
    make_model, make_batch, make_method, bias, modality
) -> None:
    """One free step, then exactly `window` frozen ones; a frozen step measures nothing."""
    frozen, method, model = curated(make_model, make_batch, make_method, 9, bias, window=3, first_epoch=0)
    assert frozen == [None, *[modality] * 3, None, *[modality] * 3, None]
    assert float(method.main[modality]) == 3
    rows = {(m, k): v for m, k, v in method.end_epoch(model)}
    assert rows[modality, "frozen_share"] == pytest.approx(6 / 9)
    assert rows["all", "speed_difference"] == pytest.approx(math.log10(bias[0] / bias[1]))


@pytest.mark.parametrize("config", [{"epsilon": 0.31, "first_epoch": 0}, {"first_epoch": 1}])
def test_without_a_difference_above_epsilon_and_before_its_epoch_no_gate_is_frozen(
    make_model, make_batch, make_method, config
) -> None:
    frozen, method, _ = curated(make_model, make_batch, make_method, 4, (2.0, 1.0), **config)
    assert frozen == [None] * 4
    assert float(method.main["audio"]) == 4, "speeds are added up all the same"


def test_what_is_measured_equals_a_naive_double(make_model, make_batch, make_method) -> None:
    _, method, _ = curated(make_model, make_batch, make_method, 1, epsilon=math.inf, first_epoch=0)
    fresh = make_model()
    double = make_method("greedy", fresh)
    fresh.train()
    batch = make_batch(seed=0)
    double.loss(double.forward(fresh, batch.inputs), batch).backward()
    for m in PAIR:
        sets = {
            "main": [*fresh.encoders[m].parameters(), *fresh.extra["own"][m].parameters()],
            "bypass": [
                p
                for layer in fresh.extra["mmtm"]
                for part in (layer.gates[m], layer.squeeze)
                for p in part.parameters()
            ],
        }
        for name, parameters in sets.items():
            gradient = sum(float(p.grad.double().square().sum()) for p in parameters)
            weight = sum(float(p.detach().double().square().sum()) for p in parameters)
            assert float(getattr(method, name)[m]) == pytest.approx(gradient / weight, rel=1e-5)


def test_a_frozen_step_trains_the_encoder_but_not_its_gates(make_model, make_batch, make_method) -> None:
    model, batch = make_model(), make_batch()
    method = make_method("greedy", model)
    model.train()
    method.forward(model, batch.inputs)
    method.frozen = "audio"
    method.loss(method.forward(model, batch.inputs), batch).backward()
    assert all(p.grad is None for gate in gates(model, "audio") for p in gate.parameters())
    assert all(p.grad is not None for gate in gates(model, "visual") for p in gate.parameters())
    assert all(p.grad is not None for m in PAIR for p in model.encoder_parameters(m))


def test_evaluation_freezes_nothing_and_moves_no_mean(make_model, make_batch, make_method) -> None:
    model, batch = make_model(), make_batch()
    method = make_method("greedy", model)
    model.train()
    method.forward(model, batch.inputs)
    model.eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    free = method.forward(model, batch.inputs).fused
    method.frozen = "audio"
    assert torch.equal(method.forward(model, batch.inputs).fused, free)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_random_guidance_freezes_each_and_none(make_model, make_batch, make_method) -> None:
    torch.manual_seed(0)
    frozen, _, _ = curated(make_model, make_batch, make_method, 24, guide="random", first_epoch=0)
    assert set(frozen) == {None, *PAIR}


def test_state_and_gate_means_survive_a_round_trip(make_model, make_batch, make_method) -> None:
    _, method, model = curated(make_model, make_batch, make_method, 3, epsilon=0.0, first_epoch=0)
    other = make_model(seed=8)
    again = make_method("greedy", other)
    other.load_state_dict(model.state_dict())
    again.load_state_dict(method.state_dict())
    assert again.frozen == method.frozen and method.frozen is not None and again.remaining == method.remaining
    assert {m: float(x) for m, x in again.bypass.items()} == {m: float(x) for m, x in method.bypass.items()}
    assert all(torch.equal(g.mean, h.mean) for g, h in zip(gates(model, "audio"), gates(other, "audio"), strict=True))
    assert float(gates(other, "audio")[0].mean.sum()) > 0


def test_encoders_without_stages_are_refused(make_model, make_method) -> None:
    model = make_model()
    model.encoders["audio"] = nn.Sequential(nn.Flatten(), nn.Linear(256, 64))
    with pytest.raises(CurateError, match="encoders of four stages, and that of audio has none"):
        make_method("greedy", model)


def test_exchanging_the_modalities_exchanges_the_results(make_model, make_batch, make_method) -> None:
    model, swapped = make_model(*PAIR), make_model(*PAIR[::-1])
    here, there = make_method("greedy", model), make_method("greedy", swapped)
    state = model.state_dict()
    for i, width in enumerate(SmallCNN.widths[1:]):
        name = f"extra.mmtm.{i}.squeeze.weight"
        state[name] = torch.cat([state[name][:, width:], state[name][:, :width]], dim=1)
    state["fusion.head.weight"] = swapped.fusion.head.weight.data
    swapped.load_state_dict(state)
    losses = []
    for method, net in ((here, model), (there, swapped)):
        net.train()
        batch = make_batch()
        out = method.forward(net, batch.inputs)
        losses.append(method.loss(out, batch))
        losses[-1].backward()
        method.modulate(net, out, batch)
    torch.testing.assert_close(*losses)
    assert there.speed == pytest.approx(-here.speed, rel=1e-3) and here.speed != 0
    for m in PAIR:
        torch.testing.assert_close(there.bypass[m], here.bypass[m], rtol=1e-4, atol=0)
