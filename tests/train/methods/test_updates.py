"""What happens between a method's gradients and the weights: for every method, whatever its paper."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from curate.errors import CurateError, NonFiniteError
from curate.specs import AudioSpec
from curate.train.methods import catalog
from curate.train.methods.optim import OptimConfig
from curate.train.methods.updates import Updates
from curate.train.models.model import FusionModel, ModelConfig
from curate.train.models.precision import Precision

ALL = catalog.names()
MEMORY = {"agm", "aug", "greedy", "iprm", "mla"}
"""Methods whose second look at a batch differs from the first: running means, a frozen gate, a head that has stepped, a
projection, a probe."""
STEPS = {"aug": 2, "mla": 2}
"""Steps of the optimizer in a batch, where that is not one."""


@pytest.fixture
def ready(make_model, make_method):
    """A model, a method and its optimizer, with what stands between them."""

    def make(name: str, precision: Precision | None = None, **optim):
        model = make_model(fusion=catalog.find(name).fusion or "concat")
        if precision is not None:
            model.precision = precision
        method = make_method(name, model)
        config = OptimConfig(**{"lr": 0.05, "momentum": 0.0, "weight_decay": 0.0, **optim})
        optimizer = method.optimizer(model, config)
        model.train()
        return model, method, optimizer, Updates(config, optimizer, model.precision)

    return make


def step(made, batch, together: int = 1, last: bool = True) -> None:
    """A step whose random numbers depend on the batch alone."""
    model, method, optimizer, updates = made
    updates.begin_batch(together, last)
    torch.manual_seed(0)
    method.step(model, optimizer, batch)


def weights(model: nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in model.parameters()]


@pytest.mark.parametrize("name", ALL)
def test_two_equal_batches_together_step_as_one(name, ready, make_batch) -> None:
    """The mean of g and g is g; nothing moves before the second."""
    batch, one, two = make_batch(), ready(name), ready(name, accumulate=2)
    before = weights(two[0])
    step(two, batch, together=2, last=False)
    assert all(torch.equal(p, q) for p, q in zip(before, weights(two[0]), strict=True))
    step(two, batch, together=2, last=True)
    assert any(not torch.equal(p, q) for p, q in zip(before, weights(two[0]), strict=True))
    if name not in MEMORY:
        step(one, batch)
        assert all(torch.equal(p, q) for p, q in zip(weights(one[0]), weights(two[0]), strict=True))


def test_each_modality_of_remix_has_a_mean_of_its_own_whoever_has_samples_in_a_batch(ready, make_batch) -> None:
    """Of two batches together the first has samples of both modalities, the second of one: each steps by half the sum
    of its own gradients, and nothing is left for the next step."""
    batches = [make_batch(seed=s) for s in (1, 2)]
    assigned = [[0, 1, 0, 1, 0, 1], [1] * 6]

    def remixed(made, number: int, together: int, last: bool) -> None:
        made[1].assigned = dict(zip(batches[number].sample_ids.tolist(), assigned[number], strict=True))
        step(made, batches[number], together, last)

    together = ready("remix", accumulate=2)
    together[0].fusion.requires_grad_(False)  # it would step after the first modality of a batch
    before = {name: p.detach().clone() for name, p in together[0].named_parameters()}
    for number in (0, 1):
        remixed(together, number, 2, last=number == 1)
    moves = []
    for number in (0, 1):
        alone = ready("remix")
        alone[0].fusion.requires_grad_(False)
        remixed(alone, number, 1, last=True)
        moves.append({name: before[name] - p for name, p in alone[0].named_parameters()})
    for name, p in together[0].named_parameters():
        torch.testing.assert_close(before[name] - p.detach(), ((moves[0][name] + moves[1][name]) / 2).detach())
    left = {name: p.detach().clone() for name, p in together[0].named_parameters()}
    together[1].assigned = dict.fromkeys(batches[0].sample_ids.tolist(), 0)
    for last in (False, True):
        step(together, batches[0], 2, last)
    for name, p in together[0].named_parameters():
        if name.startswith("encoders.visual."):
            assert torch.equal(p, left[name])


def test_a_step_takes_the_mean_of_its_batches(ready, make_batch) -> None:
    batches = [make_batch(seed=s) for s in (1, 2)]
    together, start = ready("joint", accumulate=2), ready("joint")
    before = weights(start[0])
    moves = []
    for batch in batches:
        alone = ready("joint")
        step(alone, batch)
        moves.append([p - q for p, q in zip(weights(alone[0]), before, strict=True)])
    step(together, batches[0], together=2, last=False)
    step(together, batches[1], together=2, last=True)
    for p, q, first, second in zip(weights(together[0]), before, *moves, strict=True):
        torch.testing.assert_close(p, q + (first + second) / 2, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_a_step_is_no_longer_than_its_clip(name, ready, make_batch) -> None:
    """By plain gradient descent the weights move by the learning rate times the gradient."""

    def moved(clip: float) -> float:
        made = ready(name, clip=clip)
        before = weights(made[0])
        step(made, make_batch())
        return math.sqrt(sum(float((p - q).square().sum()) for p, q in zip(before, weights(made[0]), strict=True)))

    clip = 1e-3
    assert moved(0.0) > 2 * 0.05 * clip
    assert 0.9 * 0.05 * clip < moved(clip) <= STEPS.get(name, 1) * 0.05 * clip * 1.001


@pytest.mark.parametrize("name", ALL)
def test_no_method_sees_the_scale_of_gradients(name, ready, make_batch, monkeypatch) -> None:
    """Multiplied and divided by a power of two in float32, every weight comes out the same, bit for bit."""
    batch, plain = make_batch(), ready(name)
    step(plain, batch)
    scaled = Precision("fp16")
    monkeypatch.setattr("curate.train.models.precision.DTYPES", {})  # the arithmetic stays float32
    made = ready(name, precision=scaled)
    step(made, batch)
    assert scaled.scale == 2.0**16
    assert scaled.good == STEPS.get(name, 1)
    assert all(torch.equal(p, q) for p, q in zip(weights(plain[0]), weights(made[0]), strict=True))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("name", ALL)
def test_half_precision_takes_the_same_step_roughly(name, precision, ready, make_batch) -> None:
    """Gradients of the encoders point where those of float32 do."""
    batch, made = make_batch(), [ready(name), ready(name, precision=Precision(precision))]
    before = weights(made[0][0].encoders)
    moves = []
    for one in made:
        step(one, batch)
        while (skipped := one[3].skipped) and one[3].precision.good == 0:  # the scale is still too large
            step(one, batch)
            assert one[3].skipped <= skipped + 1 < 16
        moves.append(torch.cat([(p - q).flatten() for p, q in zip(weights(one[0].encoders), before, strict=True)]))
    assert torch.nn.functional.cosine_similarity(*moves, dim=0) > 0.95
    assert all(p.dtype == torch.float32 for p in made[1][0].parameters())


def test_small_gradients_survive_in_float16_because_of_the_scale() -> None:
    """1e-8 is below the smallest float16; times 2^16 it is not."""
    layer, x = nn.Linear(2, 2, bias=False), torch.ones(1, 2)

    def gradient(scale: float) -> torch.Tensor:
        precision = Precision("fp16")
        precision.scale = scale
        layer.weight.grad = None
        with precision.autocast(torch.device("cpu"), copied := copy.deepcopy(layer)):
            out = copied(x)
        (precision.leave(out) * 1e-8).sum().backward()
        return copied.weight.grad

    assert not gradient(1.0).any()
    torch.testing.assert_close(gradient(2.0**16), torch.full((2, 2), 1e-8), rtol=1e-2, atol=0)


def test_a_copy_of_a_model_has_the_scale_taken_out_too(ready, make_batch) -> None:
    """G-Blend trains copies."""
    model = ready("joint", precision=Precision("fp16"))[0]
    batch = make_batch()
    model(batch.inputs).fused.sum().backward()
    copied = copy.deepcopy(model)
    for p in copied.parameters():
        p.grad = None
    copied(batch.inputs).fused.sum().backward()
    for p, q in zip(model.parameters(), copied.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)


def test_an_overflowed_step_is_left_out_and_the_scale_halved(ready, make_batch) -> None:
    precision = Precision("fp16")
    model, _, optimizer, updates = ready("joint", precision=precision, momentum=0.9)
    before = weights(model)
    next(model.encoders.parameters()).grad = torch.full_like(next(model.encoders.parameters()), math.inf)
    optimizer.step()
    assert updates.skipped == 1
    assert precision.scale == 2.0**15
    assert all(torch.equal(p, q) for p, q in zip(before, weights(model), strict=True))
    precision.scale = 1.0
    next(model.encoders.parameters()).grad = torch.full_like(next(model.encoders.parameters()), math.nan)
    with pytest.raises(NonFiniteError, match="even without a scale"):
        optimizer.step()


def test_the_scale_doubles_after_many_good_steps() -> None:
    precision = Precision("fp16")
    for _ in range(2000):
        precision.after_step(False)
    assert precision.scale == 2.0**17
    precision.after_step(True)
    assert precision.scale == 2.0**16


def test_decay_is_decoupled_and_spares_vectors() -> None:
    """Without gradients' direction: AdamW multiplies matrices by 1 - lr decay and leaves the rest."""
    layer = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2), nn.Conv2d(1, 2, 3))
    optimizer = OptimConfig(optimizer="adamw", lr=0.1, weight_decay=0.5).make(layer)
    before = {k: v.clone() for k, v in layer.state_dict().items()}
    for p in layer.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    for name, value in layer.state_dict().items():
        expected = before[name] * (0.95 if value.ndim > 1 else 1.0)
        torch.testing.assert_close(value, expected)


def test_adamw_keeps_a_methods_own_groups() -> None:
    """MSLR's rates are of groups; each is split, none lost."""
    first, second = nn.Linear(3, 2), nn.Linear(2, 2)
    groups = [{"params": m.parameters(), "modality": name} for name, m in (("audio", first), ("visual", second))]
    optimizer = OptimConfig(optimizer="adamw", weight_decay=0.5).over(groups)
    found = [(g["modality"], g["weight_decay"], len(g["params"])) for g in optimizer.param_groups]
    assert found == [("audio", 0.5, 1), ("audio", 0.0, 1), ("visual", 0.5, 1), ("visual", 0.0, 1)]


@pytest.mark.parametrize(
    ("config", "done", "expected"),
    [
        ({"schedule": "cosine"}, 0.0, 1.0),
        ({"schedule": "cosine"}, 2.0, 0.5),
        ({"schedule": "cosine"}, 3.0, (1 - math.sqrt(0.5)) / 2),
        ({"warmup": 1.0}, 0.0, 0.25),
        ({"warmup": 1.0}, 0.5, 0.75),
        ({"warmup": 1.0}, 3.0, 1.0),
        ({"schedule": "cosine", "warmup": 2.0}, 1.0, 0.625 * (1 + math.sqrt(0.5)) / 2),
    ],
)
def test_the_factor_of_the_rate(config, done, expected) -> None:
    """Four epochs of four steps, by hand."""
    assert OptimConfig(**config).factor(done, 4, 0.25) == pytest.approx(expected)


def one_encoder(**config) -> FusionModel:
    """A model of audio alone, with the same weights each time."""
    spec = AudioSpec(rate=1000, seconds=0.512, n_fft=64, hop=32, n_mels=16, fill="pad", standardize=True)
    torch.manual_seed(0)
    return FusionModel({"audio": spec}, ("a", "b", "c"), ModelConfig(**config))


def test_channels_last_computes_the_same(make_batch) -> None:
    made = [one_encoder(channels_last=last) for last in (False, True)]
    kernels = [p for p in made[1].encoders.parameters() if p.ndim == 4 and p.shape[1] > 1]
    assert kernels
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in kernels)
    inputs = make_batch("audio").inputs
    torch.testing.assert_close(made[1](inputs).fused, made[0](inputs).fused, atol=1e-5, rtol=1e-5)


@pytest.mark.long
def test_a_compiled_encoder_computes_the_same(make_batch) -> None:
    made = [one_encoder(compile=compiled) for compiled in (False, True)]
    inputs = make_batch("audio").inputs
    torch.testing.assert_close(made[1](inputs).fused, made[0](inputs).fused, atol=1e-5, rtol=1e-5)
    assert made[0].state_dict().keys() == made[1].state_dict().keys()


def test_compiling_without_a_compiler(monkeypatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(CurateError, match="no-such-compiler was not found"):
        one_encoder(compile=True)
