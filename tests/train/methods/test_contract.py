"""What every method must hold, whatever its paper: each test runs for every file in `train/methods`.

A method that needs more than the others gets it from the tables below, never from the product.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from curate.errors import CurateError
from curate.train.loop.engine import OptimConfig
from curate.train.methods import catalog
from curate.train.methods.method import Method
from curate.train.models.model import FusionModel, freeze

ALL = catalog.names()
MODALITIES = ("audio", "visual")

ALIKE_AT: Mapping[str, int] = {"reconboost": 1}
"""The epoch in which a method treats its modalities alike, where that is not the first."""

ORDERED: Mapping[str, str] = {
    "aug": "modalities take steps in the declared order, on one head",
    "mla": "modalities take steps in the declared order, on one head",
    "ogm_ge": "noise is drawn in the declared order",
}
"""Methods whose step depends on the declared order, and why; their first loss and predictions do not."""


CERTAIN: Mapping[str, dict[str, Any]] = {name: {"q_base": 1.0, "p_exe": 1.0} for name in ("opm", "opm_ogm")}
"""Settings with which nothing is drawn: the modality that is ahead is always dropped."""


def exchange_squeezes(model: FusionModel) -> None:
    """The columns of Greedy's squeezes, which see the pooled maps of both modalities side by side."""
    for layer in model.extra["mmtm"].children():
        layer.squeeze.weight.data = torch.cat(layer.squeeze.weight.data.chunk(2, dim=1)[::-1], dim=1)


EXCHANGE: Mapping[str, Callable[[FusionModel], None]] = {"greedy": exchange_squeezes}
"""How weights in `model.extra` that depend on the order are exchanged, where they do."""

TWO_ONLY = {"greedy"}
"""Methods for two modalities alone."""

BATCH_MATES = 1e-5
"""Tolerance of predictions alone against those in a batch: sums of another length."""


def model_for(name: str, make_model, *modalities: str, **known) -> FusionModel:
    """A model with the fusion that a method works on."""
    return make_model(*modalities, fusion=catalog.find(name).fusion or "concat", **known)


def trained(make_model, make_method, make_context, batches, name: str, *, on: str = "", start: int = 0, **config):
    """A model after an epoch of a step on each batch, with the method and the losses; `on` says whose fusion."""
    model = model_for(on or name, make_model, *batches[0].inputs)
    method = make_method(name, model, epoch=start, **config)
    optimizer = method.optimizer(model, OptimConfig(lr=0.05))
    losses = []
    for epoch, batch in enumerate(batches, start):
        if epoch > start:
            method.begin_epoch(model, epoch, make_context(model, optimizer))
        model.train()
        losses.append(seeded_step(method, model, optimizer, batch))
    return model, method, torch.stack(losses)


def seeded_step(method: Method, model: FusionModel, optimizer, batch) -> torch.Tensor:
    """A step whose random numbers depend on the batch alone, as the engine's depend on the epoch."""
    torch.manual_seed(round(float(batch.p_balanced.sum()) * 1e6))
    return method.step(model, optimizer, batch)


@pytest.fixture
def run(make_model, make_method, make_context):
    """`trained` with the fixtures filled in."""

    def go(batches, name: str, **config):
        return trained(make_model, make_method, make_context, batches, name, **config)

    return go


@pytest.fixture
def batches(make_batch):
    return [make_batch(seed=s) for s in range(3)]


@pytest.mark.parametrize("name", ALL)
def test_every_encoder_moves(name, run, make_model, batches) -> None:
    before = model_for(name, make_model)
    model, _, _ = run(batches, name)
    for m in MODALITIES:
        pairs = zip(before.encoder_parameters(m), model.encoder_parameters(m), strict=True)
        assert all(not torch.equal(p, q) for p, q in pairs), m


@pytest.mark.parametrize("name", ALL)
def test_a_frozen_encoder_stays_and_the_other_moves(name, make_model, make_method, make_context, batches) -> None:
    model = model_for(name, make_model)
    freeze(model.encoders["visual"])
    before = {k: v.clone() for k, v in model.encoders.state_dict().items()}
    method = make_method(name, model)
    optimizer = method.optimizer(model, OptimConfig(lr=0.05))
    for epoch, batch in enumerate(batches):
        method.begin_epoch(model, epoch, make_context(model, optimizer))
        seeded_step(method, model.train(), optimizer, batch)
    moved = {k.split(".")[0] for k, v in model.encoders.state_dict().items() if not torch.equal(v, before[k])}
    assert moved == {"audio"}


@pytest.mark.parametrize("name", ALL)
def test_swapping_the_modalities_only_permutes(name, make_model, make_method, make_context, batches) -> None:
    """Same weights and data under exchanged order: same loss, same logits under the other name, before and after."""
    inputs = {m: x.double() for m, x in batches[0].inputs.items()}
    doubles = {k: getattr(batches[0], k).double() for k in ("p_balanced", "p_broken")}

    def first_step(model: FusionModel, weights=None):
        kind = catalog.find(name)
        method = kind(kind.Config(**CERTAIN.get(name, {})))
        torch.manual_seed(3)
        method.attach(model, False)
        model.double()
        if weights is not None:
            model.load_state_dict(weights)
            EXCHANGE.get(name, lambda _: None)(model)
        optimizer = method.optimizer(model, OptimConfig(lr=0.05))
        fits = make_context(model).fits
        if weights is not None:
            fits = tuple(replace(f, locs=-f.locs) for f in fits)
        saved = {k: v.clone() for k, v in model.state_dict().items()}
        method.begin_epoch(model, ALIKE_AT.get(name, 0), make_context(model, optimizer, fits=fits))
        model.train()
        broken = doubles["p_broken"] if weights is None else doubles["p_broken"].flip(1)
        batch = replace(batches[0], inputs=inputs, **{**doubles, "p_broken": broken})
        out = method.forward(model, inputs)
        told = [method.loss(out, batch).detach(), *_flat(method.predict(out))]
        if name not in ORDERED:
            seeded_step(method, model, optimizer, batch)
            model.eval()
            with torch.no_grad():
                told += _flat(method.predict(method.forward(model, inputs)))
        return told, saved

    there, weights = first_step(model_for(name, make_model, *MODALITIES))
    swapped = model_for(name, make_model, *MODALITIES[::-1])
    here, _ = first_step(swapped, _exchanged(weights, swapped))
    for a, b in zip(there, here, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)


def _flat(predicted) -> list[torch.Tensor]:
    logits, fused = predicted
    return [*(logits[m] for m in MODALITIES), fused]


def _exchanged(weights, swapped: FusionModel) -> dict[str, torch.Tensor]:
    """The same weights for the other order: a concatenation's columns move, all else goes by modality."""
    head = weights.get("fusion.head.weight")
    if swapped.config.fusion != "concat":
        return weights
    a, v = head.split([swapped.dims[m] for m in MODALITIES], dim=1)
    return {**weights, "fusion.head.weight": torch.cat([v, a], dim=1)}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("case", ["identical", "zero", "one class", "one sample", "saturated"])
def test_a_step_on_a_hard_batch_stays_finite(name, case, make_model, make_method, make_batch) -> None:
    model = model_for(name, make_model)
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
    loss = method.step(model, method.optimizer(model, OptimConfig(lr=1e-3)), batch)
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    assert all(torch.isfinite(p).all() for p in model.parameters())
    model.eval()
    logits, fused = method.predict(method.forward(model, batch.inputs))
    assert all(torch.isfinite(x).all() for x in (fused, *logits.values()))


@pytest.mark.parametrize("name", ALL)
def test_predictions_do_not_depend_on_batch_mates(name, run, batches) -> None:
    model, method, _ = run(batches, name)
    model.eval()
    with torch.no_grad():
        together = _flat(method.predict(method.forward(model, batches[0].inputs)))
        alone = [
            _flat(method.predict(method.forward(model, {m: x[i : i + 1] for m, x in batches[0].inputs.items()})))
            for i in range(6)
        ]
    for whole, parts in zip(together, zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(whole, torch.cat(parts), atol=BATCH_MATES, rtol=BATCH_MATES)


@pytest.mark.parametrize("name", ALL)
def test_saved_loaded_and_continued_equals_unbroken(name, make_model, make_method, batches) -> None:
    """In the middle of an epoch, step by step."""

    def ready(seed: int):
        model = model_for(name, make_model, seed=seed)
        method = make_method(name, model)
        return model, method, method.optimizer(model, OptimConfig(lr=0.05))

    def steps(model, method, optimizer, some) -> None:
        model.train()
        for batch in some:
            seeded_step(method, model, optimizer, batch)

    whole = ready(0)
    steps(*whole, batches)
    broken, resumed = ready(0), ready(9)
    steps(*broken, batches[:1])
    for x, y in zip(resumed, broken, strict=True):
        x.load_state_dict(y.state_dict())
    steps(*resumed, batches[1:])
    for p, q in zip(whole[0].state_dict().values(), resumed[0].state_dict().values(), strict=True):
        assert torch.equal(p, q)


@pytest.mark.parametrize("name", sorted(TWO_ONLY))
def test_a_method_for_two_modalities_refuses_three(name, make_model, make_method) -> None:
    with pytest.raises(CurateError, match="two modalities, got audio, visual, depth"):
        make_method(name, make_model(*MODALITIES, "depth"))


@pytest.mark.parametrize("name", sorted({*ALL} - TWO_ONLY))
def test_three_modalities_take_steps(name, run, short, make_model, make_batch) -> None:
    names = (*MODALITIES, "depth")
    config = short.get(name, {})
    model, _, losses = run([make_batch(*names, seed=s) for s in range(5)], name, **config)
    assert torch.isfinite(losses).all()
    fresh = model_for(name, make_model, *names)
    for m in names:
        pairs = zip(fresh.encoder_parameters(m), model.encoder_parameters(m), strict=True)
        assert any(not torch.equal(p, q) for p, q in pairs), m


OFF: list[tuple[str, dict[str, Any], str, int]] = [
    ("adaptive", {"beta": 0.0, "gamma": 0.0, "decay": 1.0, "use_weights": False}, "warmup", 0),
    ("subset", {"threshold": 0.0}, "warmup", 0),
    ("gblend", {"mode": "fixed", "weights": "fused=1"}, "joint", 0),
    ("mslr", {"dynamic": False}, "joint", 0),
    ("mslr", {"dynamic": False, "scale": "gradient"}, "joint", 0),
    ("mslr", {"factors": "audio=3", "until": 2}, "joint", 2),
    ("pdmp", {"gamma_p": 1.0, "gamma_r": 1.0}, "joint", 0),
    ("pmr", {"alpha": 0.0, "entropy": 0.0}, "joint", 0),
    ("pmr", {"until": 1}, "joint", 1),
    ("dr", {"strength": 0.0}, "joint", 0),
    ("dr", {"times": 0}, "joint", 0),
    ("ogm", {"alpha": 0.0}, "joint", 0),
    ("ogm", {"first_epoch": 3}, "joint", 0),
    ("ogm_ge", {"first_epoch": 3}, "joint", 0),
    ("opm", {"first_epoch": 0, "p_exe": 0.0}, "joint", 0),
    ("opm", {"first_epoch": 3}, "joint", 0),
    ("opm_ogm", {"opm_first_epoch": 0, "p_exe": 0.0, "alpha": 0.0}, "joint", 0),
    ("opm_ogm", {"opm_first_epoch": 3, "ogm_first_epoch": 3}, "joint", 0),
    ("valuation", {"level": "modality", "alpha": 0.0}, "joint", 0),
    ("valuation", {"first_epoch": 3}, "joint", 0),
    ("agm", {"alpha": 0.0, "clip": 0.0}, "joint", 0),
    ("agm", {"first_epoch": 3, "clip": 0.0}, "joint", 0),
]
"""Method, settings of strength zero or a window that is over, the baseline it then is, the first epoch."""


@pytest.mark.parametrize(("name", "config", "baseline", "start"), OFF)
def test_strength_zero_equals_the_baseline_bit_for_bit(name, config, baseline, start, run, batches) -> None:
    here, _, _ = run(batches, name, start=start, **config)
    there, _, _ = run(batches, baseline, on=name, start=start)
    weights = here.state_dict()
    assert all(torch.equal(weights[key], value) for key, value in there.state_dict().items())


REGULARISERS: list[tuple[str, dict[str, Any], dict[str, Any], int]] = [
    ("adaptive", {}, {"beta": 0.0}, 0),
    ("adaptive", {}, {"gamma": 0.0}, 0),
    ("gblend", {"mode": "fixed"}, {"mode": "fixed", "weights": "fused=1"}, 0),
    ("pmr", {"entropy": 0.0}, {"alpha": 0.0, "entropy": 0.0}, 0),
    ("pmr", {"entropy": 0.01}, {"entropy": 0.0}, 0),
    ("lfm", {}, {"begin": 1.0}, 0),
    ("lfm", {"align": "infonce"}, {"begin": 1.0}, 0),
    ("reconboost", {"memory": 1.0, "epochs": 1}, {"epochs": 1}, 2),
]
"""Method, settings with and without a term, the epoch."""


@pytest.mark.parametrize(("name", "with_it", "without", "epoch"), REGULARISERS)
def test_a_regulariser_changes_a_gradient(name, with_it, without, epoch, make_model, make_method, batches) -> None:
    def gradients(config):
        model = model_for(name, make_model)
        method = make_method(name, model, epoch=epoch, **config)
        model.train()
        method.loss(method.forward(model, batches[0].inputs), batches[0]).backward()
        return [p.grad for m in MODALITIES for p in model.encoder_parameters(m)]

    pairs = zip(gradients(with_it), gradients(without), strict=True)
    assert any(p is not None and (q is None or not torch.equal(p, q)) for p, q in pairs)


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
        '"""A toy."""\nfrom dataclasses import dataclass\nfrom .method import Method\n\n\n'
        'class Halved(Method):\n    """Half the joint loss.\n\n'
        "    Departures:\n        scale: the paper has a third;\n            here a half, since it is round.\n"
        '    """\n\n    name = "halved"\n    paper = "nobody, 2026"\n\n'
        "    @dataclass(frozen=True, kw_only=True)\n    class Config:\n"
        '        """Knobs.\n\n        Attributes:\n            factor: what the loss is\n'
        '                multiplied by.\n        """\n\n        factor: float = 0.5\n\n'
        "    def loss(self, outputs, batch):\n        return self.config.factor * super().loss(outputs, batch)\n"
    )
    (tmp_path / "halved.py").write_text(source)
    monkeypatch.setattr(catalog, "FOLDER", tmp_path)
    monkeypatch.setattr("curate.train.methods.__path__", [str(tmp_path)])
    (entry,) = catalog.entries()
    assert (entry.name, entry.summary, entry.paper) == ("halved", "Half the joint loss.", "nobody, 2026")
    assert entry.departures == {"scale": "the paper has a third; here a half, since it is round."}
    assert entry.knobs == {"factor": ("float", "0.5", "what the loss is multiplied by.")}
    model, batch = make_model(), make_batch()
    out = model(batch.inputs)
    torch.testing.assert_close(catalog.find("halved")().loss(out, batch), Method().loss(out, batch) / 2)
