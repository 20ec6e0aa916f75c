"""Several processes: the same batches give the same weights as in one, whatever the method, and the same predictions.

Letters: B batch.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from curate.errors import CurateError
from curate.specs import ClipSpec, FeatureSpec, TextSpec, VisualSpec
from curate.train.loop.divided import rows
from curate.train.loop.engine import fit, make_trainer, predict
from curate.train.loop.launch import Launched
from curate.train.loop.processes import Team, split
from curate.train.methods import catalog
from curate.train.methods.optim import OptimConfig
from curate.train.methods.updates import Updates
from curate.train.models.model import FusionModel, ModelConfig

SAME = {"rtol": 1e-6, "atol": 1e-6}
SIZES = (6, 5, 1, 2, 6)
"""Samples of the batches: some do not divide by the processes, some are fewer."""
QUICK = {"mmpareto", "reconboost"}
LONG = [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in catalog.names()]

EITHER = pytest.mark.parametrize("sharded", [False, True], ids=["whole", "divided"])
"""Whether each process has all weights of the encoders, or its part."""


@pytest.fixture(scope="module", params=[2, pytest.param(3, marks=pytest.mark.long)])
def team(request: pytest.FixtureRequest) -> Iterator[Team]:
    """Two or three processes, for all tests."""
    team = Team(request.param, Launched(request.param))
    yield team
    team.close()


@pytest.fixture
def train_here(make_model, make_context, make_batch, short):
    """`train_here(name, team)`: what a float64 training leaves, of a step on each batch, in an epoch each."""

    def go(
        name: str,
        team: Team | None,
        *modalities: str,
        fusion: str = "",
        optim: OptimConfig | None = None,
        sharded: bool = False,
    ) -> Any:
        kind, optim = catalog.find(name), optim or OptimConfig(lr=0.05)
        model: FusionModel = make_model(*modalities, fusion=kind.fusion or fusion or "concat")
        model.spread, model.config = team, replace(model.config, sharded=sharded)
        method = kind(kind.Config(**short.get(name, {})))
        torch.manual_seed(3)
        method.attach(model, False)
        model.double()
        optimizer = method.optimizer(model, optim)
        updates = Updates(optim, optimizer, model.precision)
        losses = []
        for step, size in enumerate(SIZES):
            batch = in_doubles(make_batch(*model.modalities, size=size, seed=step))
            torch.manual_seed(step)
            method.begin_epoch(model, step, make_context(model, optimizer))
            updates.begin_batch(optim.accumulate, step % optim.accumulate == optim.accumulate - 1)
            model.train()
            losses.append(method.step(model, optimizer, batch))
        model.eval()
        with torch.no_grad():
            inputs = in_doubles(make_batch(*model.modalities, size=5, seed=9)).inputs
            logits, fused = method.predict(method.forward(model, inputs))
        # Random numbers that follow are the same too: nothing in the encoders has taken some.
        left = [model.state_dict(), optimizer.state_dict(), method.state_dict(), losses, logits, fused, torch.rand(3)]
        return dict(flat("", left))

    return go


def in_doubles(batch):
    others = {k: getattr(batch, k).double() for k in ("p_balanced", "p_broken")}
    return replace(batch, inputs={m: x.double() for m, x in batch.inputs.items()}, **others)


def flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """(path, tensor or number) of everything in lists and dictionaries."""
    if isinstance(value, dict | list | tuple):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from flat(f"{name}.{key}", inner)
    else:
        yield name, copy.deepcopy(value)


def assert_same(here: dict[str, Any], there: dict[str, Any]) -> None:
    assert here.keys() == there.keys()
    for key, value in here.items():
        if isinstance(value, torch.Tensor | float):
            torch.testing.assert_close(value, there[key], **SAME, msg=lambda text, key=key: f"{key}: {text}")
        else:
            assert value == there[key], key


@EITHER
@pytest.mark.parametrize("name", LONG)
def test_several_processes_give_the_weights_of_one(name: str, sharded: bool, team: Team, train_here: Callable) -> None:
    before = team.forwards
    assert_same(train_here(name, team, sharded=sharded), train_here(name, None))
    assert (team.forwards > before) == catalog.find(name).uses_encode


@pytest.mark.long
@EITHER
@pytest.mark.parametrize("fusion", ["concat", "sum", "weight"])
def test_every_fusion_three_modalities_and_accumulated_batches(
    fusion: str, sharded: bool, team: Team, train_here: Callable
) -> None:
    how = {"fusion": fusion, "optim": OptimConfig(lr=0.05, accumulate=2, clip=0.1), "sharded": sharded}
    modalities = ("audio", "visual", "depth")
    assert_same(train_here("joint", team, *modalities, **how), train_here("joint", None, *modalities, **how))


CLIP = ClipSpec(frames=8, size=16, channels=1, window=8, crop=16)
TEXT = TextSpec(tokens=6, vocabulary=9)


def clips_and_texts(team: Team | None, precision: str = "fp32", **config: Any) -> FusionModel:
    """A model of clips (3-D batch norm) and texts (attention, dropout), and 5 samples for it."""
    torch.manual_seed(0)
    model = FusionModel({"visual": CLIP, "text": TEXT}, "abc", ModelConfig(text_width=8, **config), precision)
    model.spread = team
    return model


def features(model: FusionModel, seed: int = 1) -> dict[str, torch.Tensor]:
    """(B, D) features of 5 samples, in float64 where the model is."""
    g = torch.Generator().manual_seed(seed)
    clips = torch.randn(5, 8, 1, 16, 16, generator=g).to(next(model.encoders["visual"].parameters()).dtype)
    return model.encode({"visual": clips, "text": torch.randint(0, 9, (5, 6), generator=g)})


def gradients(model: FusionModel) -> dict[str, torch.Tensor | None]:
    """Of the squared features, after some other forwards whose graphs are alive."""
    kept = [features(model, seed) for seed in (1, 2, 3)]
    sum(f.square().mean() for f in kept[1].values()).backward()
    return {name: p.grad for name, p in model.encoders.named_parameters()}


@pytest.mark.long
@EITHER
def test_clips_texts_and_frozen_encoders(sharded: bool, team: Team) -> None:
    """The text encoder is in evaluation mode: its dropout has random numbers of its own."""
    for frozen in ("", "visual"):
        here, there = (clips_and_texts(where, freeze=frozen, sharded=sharded).double() for where in (team, None))
        here.encoders["text"].eval(), there.encoders["text"].eval()
        assert_same(gradients(here), gradients(there))
        assert_same(here.state_dict(), there.state_dict())


@pytest.mark.long
@EITHER
def test_dropout_has_random_numbers_of_its_own(sharded: bool, team: Team) -> None:
    """They repeat with the seed, change from step to step, and take none from those of the first process."""
    found = []
    for seed in (5, 5, 6):
        model = clips_and_texts(team, sharded=sharded).double()
        team.seed(seed)
        torch.manual_seed(seed)
        found.append([features(model)["text"].detach(), features(model)["text"].detach(), torch.rand(1)])
    torch.manual_seed(5)
    assert torch.equal(found[0][2].double(), torch.rand(1).double())
    assert all(torch.equal(x, y) for x, y in zip(found[0], found[1], strict=True))
    assert not torch.equal(found[0][0], found[0][1]) and not torch.equal(found[0][0], found[2][0])
    assert not torch.equal(found[0][0][0], found[0][0][3])


@pytest.mark.long
@EITHER
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision(precision: str, sharded: bool, team: Team) -> None:
    """The scale of float16 is taken out once: gradients are those of float32, to the precision of half the bits."""
    models = (clips_and_texts(t, p, sharded=sharded) for t, p in ((team, precision), (None, "fp32")))
    half, full = (gradients(model.eval()) for model in models)
    for name, g in full.items():
        if g is not None:
            assert (half[name] - g).norm() <= 0.05 * g.norm() + 1e-6, name


@pytest.mark.long
@EITHER
def test_without_norms_of_the_whole_batch(sharded: bool, team: Team, make_model, make_batch) -> None:
    """Without `sync_norm` they do what one process does that adds up the gradients of as many smaller batches."""
    batch, size = make_batch(size=6), 6 // team.world
    split_up, whole = make_model(), make_model()
    split_up.config = replace(split_up.config, sync_norm=False, sharded=sharded)
    split_up.spread = team
    for model in (split_up.double(), whole.double()):
        model.train()
    inputs = {m: x.double() for m, x in batch.inputs.items()}
    slices = [slice(i, i + size) for i in range(0, 6, size)]
    for model, parts in ((split_up, [slice(0, 6)]), (whole, slices)):
        for part in parts:
            out = model({m: x[part] for m, x in inputs.items()})
            (torch.nn.functional.cross_entropy(out.fused, batch.labels[part]) / len(parts)).backward()
    for p, q in zip(split_up.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, **SAME)


@pytest.mark.long
@EITHER
def test_epochs_with_averaged_weights(sharded: bool, team: Team, small_data) -> None:
    """The engine's own loop: the average is another model in the same processes; predictions are of float32."""
    found = []
    for where in (team, None):
        torch.manual_seed(0)
        config, kind = ModelConfig(sharded=sharded), catalog.find("joint")
        model = FusionModel(small_data.specs, ("low", "middle", "high"), config)
        model.spread = where
        trainer = make_trainer(model, kind(), OptimConfig(lr=0.01, ema=0.5), small_data, torch.device("cpu"))
        rows = list(fit(trainer, small_data, 2))
        found.append((rows[0][0][3], predict(trainer, small_data, small_data.val).probs))
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-4)
    for m, probs in found[0][1].items():
        assert probs == pytest.approx(found[1][1][m], abs=1e-3), m


def test_split() -> None:
    assert split(7, 3) == [3, 2, 2] and split(2, 3) == [1, 1, 0] and split(0, 2) == [0, 0]


@pytest.mark.long
def test_what_cannot_run_in_several(team: Team) -> None:
    model = clips_and_texts(None)
    model.config = replace(model.config, compile=True)
    with pytest.raises(CurateError, match="compile"):
        team.join(model, catalog.find("joint")(), torch.device("cpu"), print)


@pytest.mark.long
def test_divided_encoders(team: Team) -> None:
    """Each process has its part of the numbers, before and after they have run; a batch that is too small runs here."""
    model = clips_and_texts(team, sharded=True)
    for _ in range(2):
        sum(f.square().mean() for f in features(model).values()).backward()
        assert team.copy is not None
        for m, encoder in model.encoders.items():
            own = list(team.copy.model.encoders[m].parameters())
            expected = sum(p.chunk(team.world)[0].numel() for p in encoder.parameters())
            assert sum(rows(p).numel() for p in own) == expected < 0.6 * sum(p.numel() for p in encoder.parameters())
    before = team.forwards
    model.encode({"text": torch.zeros((team.world - 1, 6), dtype=torch.int64)})
    assert team.forwards == before


@pytest.mark.long
@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_convnext"])
def test_networks_of_others_divided(name: str, team: Team) -> None:
    pytest.importorskip("timm")
    pictures, found = torch.randn(4, 3, 64, 64, dtype=torch.float64), []
    for where in (team, None):
        torch.manual_seed(0)
        config = ModelConfig(encoder=f"timm:{name}", weights="random", sharded=True)
        model = FusionModel({"visual": VisualSpec(size=64)}, "abc", config).double()
        model.spread = where
        model.encode({"visual": pictures})["visual"].square().sum().backward()
        gradients = {n: p.grad for n, p in model.encoders.named_parameters()}
        found.append(dict(flat("", [gradients, model.state_dict()])))
    assert_same(*found)


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
@EITHER
def test_on_two_cards(sharded: bool, make_model, make_batch) -> None:
    """Whole encoders are where their inputs are; divided ones are in memory, and their parts on the cards."""
    team, found = Team(2, Launched(2)), []
    where = torch.device("cpu" if sharded else "cuda")
    try:
        for of, device in ((team, where), (None, torch.device("cpu"))):
            torch.manual_seed(0)
            model = make_model().to(device)
            model.config = replace(model.config, sharded=sharded)
            if of is not None:
                of.join(model, catalog.find("joint")(), torch.device("cuda"), print)
            batch = make_batch(size=6).to(device)
            torch.nn.functional.cross_entropy(model(batch.inputs).fused, batch.labels).backward()
            found.append({name: p.grad.cpu() for name, p in model.named_parameters()})
    finally:
        team.close()
    for name, gradient in found[0].items():
        torch.testing.assert_close(
            gradient, found[1][name], rtol=1e-3, atol=1e-5, msg=lambda text, n=name: f"{n}: {text}"
        )


def test_a_process_that_is_killed_while_it_starts_is_not_said_to_have_messages() -> None:
    launched = Launched(2)
    try:
        launched.processes[0].kill()
        with pytest.raises(CurateError, match="could not be started: process 1 was ended by SIGKILL") as error:
            launched.links()
        assert "memory" in error.value.hint and "CURATE_DEBUG" not in error.value.hint
    finally:
        launched.close(wait=False)


def test_what_is_said_of_encoders_that_no_other_process_runs() -> None:
    """Nothing is divided then, and nothing says so."""
    features = FusionModel({m: FeatureSpec(dim=3) for m in ("audio", "visual")}, "abc", ModelConfig(sharded=True))
    for model, name, expected in (
        (features, "joint", "audio, visual: features have no encoders for several processes"),
        (clips_and_texts(None, sharded=True), "greedy", "greedy runs the encoders itself, in one process"),
        (clips_and_texts(None, sharded=True), "joint", "each process has 1/2 of the encoders' weights"),
    ):
        said: list[str] = []
        Team(2).join(model, catalog.find(name)(), torch.device("cpu"), said.append)
        assert len(said) == 1 and said[0].startswith(expected)


def test_a_single_number_cannot_be_divided() -> None:
    model = clips_and_texts(None, sharded=True)
    model.encoders["text"].scale = torch.nn.Parameter(torch.tensor(1.0))
    with pytest.raises(CurateError, match=r"model\.sharded: scale of the encoder of text is a single number"):
        Team(2).join(model, catalog.find("joint")(), torch.device("cpu"), print)


@pytest.mark.long
def test_watched_encoders_and_inputs_with_a_gradient_run_here(team: Team, make_model, make_batch) -> None:
    model, seen, before = make_model(), [], team.forwards
    model.spread = team
    model.encoders["audio"].early[0].register_forward_hook(lambda _, __, output: seen.append(len(output)))
    inputs = make_batch(size=6).inputs
    inputs["visual"].requires_grad_()
    sum(f.sum() for f in model.encode(inputs).values()).backward()
    assert seen == [6] and inputs["visual"].grad is not None and team.forwards == before
