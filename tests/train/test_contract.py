"""What every method must hold, whatever its paper: each test runs for every file in `train/methods`."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from curate.errors import CurateError
from train import catalog
from train.engine import OptimConfig
from train.method import Method

ALL = catalog.names()
MODALITIES = ("audio", "visual")


def trained(make_model, make_method, batches, name: str, modalities: tuple[str, ...] = (), **config):
    """A model after a step on each batch."""
    model = make_model(*modalities)
    method = make_method(name, model, **config)
    optimizer = OptimConfig(lr=0.05).make(model)
    model.train()
    losses = [seeded_step(method, model, optimizer, b) for b in batches]
    return model, method, torch.stack(losses)


def seeded_step(method: Method, model, optimizer, batch) -> torch.Tensor:
    """A step whose random numbers depend on the batch alone, as the engine's depend on the epoch."""
    torch.manual_seed(int(batch.labels.sum()) + round(float(batch.p_balanced.sum()) * 1e6))
    return method.step(model, optimizer, batch)


@pytest.fixture
def batches(make_batch):
    return [make_batch(seed=s) for s in range(3)]


@pytest.mark.parametrize("name", ALL)
def test_every_encoder_moves(name, make_model, make_method, batches) -> None:
    before = make_model()
    model, _, _ = trained(make_model, make_method, batches, name)
    for m in MODALITIES:
        pairs = zip(before.encoder_parameters(m), model.encoder_parameters(m), strict=True)
        assert all(not torch.equal(p, q) for p, q in pairs), m


@pytest.mark.parametrize("name", ALL)
def test_swapping_the_modalities_only_permutes(name, make_model, make_method, batches) -> None:
    """Same weights and data under exchanged order: same loss, same logits under the other name."""

    def first_step(order: tuple[str, str]):
        model = make_model(*MODALITIES)
        method = make_method(name, model)
        model.double()
        if order != MODALITIES:
            _exchange(model, method)
        model.train()
        inputs = {m: x.double() for m, x in batches[0].inputs.items()}
        batch = replace(batches[0], inputs=inputs, p_balanced=batches[0].p_balanced.double())
        out = method.forward(model, inputs)
        return method.loss(out, batch).item(), method.predict(out)

    (loss, (logits, fused)), (other, (swapped, refused)) = first_step(MODALITIES), first_step(MODALITIES[::-1])
    assert loss == pytest.approx(other, rel=1e-9)
    torch.testing.assert_close(fused, refused)
    for m in MODALITIES:
        torch.testing.assert_close(logits[m], swapped[m])


def _exchange(model, method: Method) -> None:
    """Declare the modalities of a two-modality model in the other order, keeping every weight with its modality."""
    model.modalities = model.modalities[::-1]
    head = model.fusion.head
    a, v = head.weight.data.split(list(model.dims.values()), dim=1)
    head.weight.data = torch.cat([v, a], dim=1)
    model.dims = dict(reversed(model.dims.items()))
    model.fusion.dims = model.dims
    if hasattr(method, "pairs"):
        extra = model.extra
        method.weights.clear()
        method.carried.clear()
        method.seen.clear()
        state = {k: v.clone() for k, v in extra.state_dict().items()}
        method.attach(model, warm=False)
        model.extra.load_state_dict(state)
        model.double()
    fits = getattr(method, "context", None)
    if fits is not None:
        f = fits.fits[0]
        method.context = replace(fits, fits=(replace(f, locs=-f.locs),))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("case", ["identical", "zero", "one class", "one sample", "saturated"])
def test_hard_batches_give_finite_losses_and_gradients(name, case, make_model, make_method, make_batch) -> None:
    model = make_model()
    method = make_method(name, model)
    batch = make_batch(size=1 if case == "one sample" else 6)
    inputs = dict(batch.inputs)
    if case == "identical":
        inputs["visual"] = inputs["audio"].clone()
        model.encoders["visual"].load_state_dict(model.encoders["audio"].state_dict())
    elif case == "zero":
        inputs = {m: torch.zeros_like(x) for m, x in inputs.items()}
    elif case == "saturated":
        for layer in model.modules():
            if isinstance(layer, nn.Linear):
                layer.weight.data *= 200 / layer.weight.data.abs().max()
    labels = torch.zeros_like(batch.labels) if case == "one class" else batch.labels
    batch = replace(batch, inputs=inputs, labels=labels)
    model.train()
    loss = method.loss(method.forward(model, batch.inputs), batch)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", ALL)
def test_predictions_do_not_depend_on_batch_mates(name, make_model, make_method, batches) -> None:
    model, method, _ = trained(make_model, make_method, batches, name)
    model.eval()
    with torch.no_grad():
        _, together = method.predict(method.forward(model, batches[0].inputs))
        alone = [
            method.predict(method.forward(model, {m: x[i : i + 1] for m, x in batches[0].inputs.items()}))[1]
            for i in range(6)
        ]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_saved_loaded_and_continued_equals_unbroken(name, make_model, make_method, batches) -> None:
    whole, _, _ = trained(make_model, make_method, batches, name)
    model = make_model()
    method = make_method(name, model)
    optimizer = OptimConfig(lr=0.05).make(model)
    model.train()
    seeded_step(method, model, optimizer, batches[0])
    saved = [x.state_dict() for x in (model, method, optimizer)]

    other = make_model(seed=9)
    resumed = make_method(name, other)
    again = OptimConfig(lr=0.05).make(other)
    for x, state in zip((other, resumed, again), saved, strict=True):
        x.load_state_dict(state)
    other.train()
    for batch in batches[1:]:
        seeded_step(resumed, other, again, batch)
    for p, q in zip(whole.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(p, q)


TWO_ONLY = {"greedy"}


@pytest.mark.parametrize("name", sorted(TWO_ONLY))
def test_a_method_for_two_modalities_refuses_three(name, make_model, make_method) -> None:
    with pytest.raises(CurateError, match="two modalities, got audio, visual, depth"):
        make_method(name, make_model(*MODALITIES, "depth"))


@pytest.mark.parametrize("name", sorted({*ALL} - TWO_ONLY))
def test_three_modalities_take_a_step(name, make_model, make_method, make_batch) -> None:
    names = (*MODALITIES, "depth")
    model, _, losses = trained(make_model, make_method, [make_batch(*names)], name, names)
    assert torch.isfinite(losses).all()
    fresh = make_model(*names)
    for m in names:
        pairs = zip(fresh.encoder_parameters(m), model.encoder_parameters(m), strict=True)
        assert any(not torch.equal(p, q) for p, q in pairs), m


OFF = [
    ("adaptive", {"beta": 0.0, "gamma": 0.0, "decay": 1.0, "use_weights": False}, "warmup"),
    ("subset", {"threshold": 0.0}, "warmup"),
    ("ogm", {"alpha": 0.0}, "joint"),
    ("ogm", {"first_epoch": 1}, "joint"),
    ("ogm_ge", {"first_epoch": 1}, "joint"),
    ("opm", {"first_epoch": 0, "p_exe": 0.0}, "joint"),
    ("opm", {"first_epoch": 1}, "joint"),
    ("opm_ogm", {"opm_first_epoch": 0, "p_exe": 0.0, "alpha": 0.0}, "joint"),
    ("opm_ogm", {"ogm_first_epoch": 1}, "joint"),
    ("agm", {"alpha": 0.0, "clip": 0.0}, "joint"),
    ("agm", {"first_epoch": 1}, "joint"),
]


@pytest.mark.parametrize(("name", "config", "baseline"), OFF)
def test_strength_zero_equals_the_baseline_bit_for_bit(
    name, config, baseline, make_model, make_method, batches
) -> None:
    here, _, _ = trained(make_model, make_method, batches, name, **config)
    there, _, _ = trained(make_model, make_method, batches, baseline)
    for p, q in zip(here.parameters(), there.parameters(), strict=True):
        assert torch.equal(p, q)


def test_a_gradient_edit_that_touches_nothing_is_an_error(make_model, make_batch) -> None:
    class Edit(Method):
        touched: int | None = 0

        def modulate(self, model, outputs, batch) -> int | None:
            return self.touched

    model, method = make_model(), Edit()
    optimizer = OptimConfig().make(model)
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(RuntimeError, match="touched no parameter"):
        method.step(model, optimizer, make_batch())
    assert all(torch.equal(p, q) for p, q in zip(before, model.parameters(), strict=True))
    for outside_window_or_active in (None, 3):
        method.touched = outside_window_or_active
        method.step(model, optimizer, make_batch())


def test_a_method_is_one_file(tmp_path, monkeypatch, make_model, make_batch) -> None:
    """A file dropped beside the others is listed, with its knobs, and found."""
    source = (
        '"""A toy."""\nfrom dataclasses import dataclass\nfrom ..method import Method\n\n\n'
        'class Halved(Method):\n    """Half the joint loss."""\n\n    name = "halved"\n    paper = "nobody, 2026"\n\n'
        "    @dataclass(frozen=True, kw_only=True)\n    class Config:\n"
        '        """Knobs.\n\n        Attributes:\n            factor: what the loss is\n'
        '                multiplied by.\n        """\n\n        factor: float = 0.5\n\n'
        "    def loss(self, outputs, batch):\n        return self.config.factor * super().loss(outputs, batch)\n"
    )
    (tmp_path / "halved.py").write_text(source)
    monkeypatch.setattr(catalog, "FOLDER", tmp_path)
    monkeypatch.setattr("train.methods.__path__", [str(tmp_path)])
    (entry,) = catalog.entries()
    assert (entry.name, entry.summary, entry.paper) == ("halved", "Half the joint loss.", "nobody, 2026")
    assert entry.knobs == {"factor": ("float", "0.5", "what the loss is multiplied by.")}
    model, batch = make_model(), make_batch()
    out = model(batch.inputs)
    torch.testing.assert_close(catalog.find("halved")().loss(out, batch), Method().loss(out, batch) / 2)
