"""Texts that choose, and counts: a wrong one is refused at once, by the known ones."""

from __future__ import annotations

import inspect
import re
import typing

import pytest
import torch

import curate
import curate.torch
from curate.errors import CurateError
from curate.torch import AdaptiveLoss, EpochSampler, ProbeAndRebalance, Recorder, UsableLoss
from curate.torch.epochs import Epochs
from curate.torch.iprm import Rebalance
from curate.torch.losses import modality_gaps
from curate.torch.samplers import sampler_weights

CLASSES, SIZES = ["a", "b"], {"audio": 4, "visual": 4}
LABELS = torch.tensor([0, 1])
LOGITS = {"audio": torch.zeros(2, 2), "visual": torch.zeros(2, 2)}


def layer():
    """A layer's weight with a gradient of ones."""
    weight = torch.zeros(2, 2, requires_grad=True)
    weight.sum().backward()
    return weight


def modulated(noise):
    weight = layer()
    try:
        curate.torch.modulate_gradients({m: [weight] for m in LOGITS}, LOGITS, LABELS, noise=noise)
    finally:
        assert torch.equal(weight.grad, torch.ones(2, 2)), "nothing was edited"


def lost(mode):
    return curate.torch.usable_loss(LOGITS, LOGITS["audio"], LABELS, torch.zeros(2, 2), mode=mode)


CHOICES = {
    ("sampler_weights", "by"): (
        "p_balnced",
        "by is one of p_balanced, p_imbalanced",
        lambda table, v: sampler_weights(table, ["s000"], by=v),
    ),
    ("usable_loss", "mode"): ("sofen", "mode is one of soften, skip", lambda _, v: lost(v)),
    ("UsableLoss", "mode"): ("sofen", "mode is one of soften, skip", lambda table, v: UsableLoss(table, mode=v)),
    ("modulate_gradients", "noise"): ("non", "noise is one of none, damped, all", lambda _, v: modulated(v)),
    ("Recorder", "values"): (
        "logit",
        "values is one of logits, probabilities",
        lambda _, v: Recorder("d", CLASSES, values=v),
    ),
    ("Recorder", "features"): (
        "earlly",
        "features is one of deep, early",
        lambda _, v: Recorder("d", CLASSES, features=v),
    ),
    ("Recorder.epoch", "split"): (
        "valid",
        "a split is train, val or test",
        lambda _, v: Recorder("d", CLASSES).epoch(split=v).__enter__(),
    ),
    ("Recorder.missing", "split"): (
        "valid",
        "a split is train, val or test",
        lambda _, v: Recorder("d", CLASSES).missing(["s"], split=v),
    ),
    ("Epochs", "values"): (
        "logit",
        "values is one of logits, probabilities",
        lambda _, v: Epochs("d", CLASSES, values=v),
    ),
    ("Rebalance", "ema_init"): ("halv", "ema_init is one of omega, half", lambda _, v: Rebalance(SIZES, ema_init=v)),
    ("Rebalance", "mixup"): (
        "linear_",
        "mixup is one of geodesic, linear",
        lambda _, v: ProbeAndRebalance(SIZES, 2, mixup=v),
    ),
    ("Rebalance", "heads"): ("one", "heads is one of tri, single", lambda _, v: ProbeAndRebalance(SIZES, 2, heads=v)),
    ("modality_gaps", "kind"): ("klr", "kind is one of prob, kl", lambda _, v: modality_gaps(LOGITS, LABELS, v)),
}
"""{(where, argument): (a wrong value, what the error says, the call)}."""


@pytest.mark.parametrize(("where", "argument"), CHOICES)
@pytest.mark.parametrize("given", ["nearly", None, 5])
def test_a_text_that_chooses_is_one_of_the_known(where, argument, given, scored_table, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    wrong, said, call = CHOICES[where, argument]
    value = wrong if given == "nearly" else given
    with pytest.raises((CurateError, ValueError), match=re.escape(f"{said}, got {value!r}")):
        call(curate.open(scored_table.path), value)


def choosing(function) -> set[str]:
    """The parameters of a function that are a text from a set."""
    return {name for name, kind in typing.get_type_hints(function).items() if typing.get_origin(kind) is typing.Literal}


def test_every_text_that_chooses_is_tried() -> None:
    made = [getattr(curate.torch, name) for name in curate.torch.__all__] + [Rebalance]
    found = set()
    for thing in made:
        if inspect.isclass(thing):
            found |= {(thing.__name__, name) for name in choosing(thing.__init__)}
            methods = {n: f for n, f in vars(thing).items() if inspect.isfunction(f) and not n.startswith("_")}
            found |= {(f"{thing.__name__}.{n}", name) for n, f in methods.items() for name in choosing(f)}
        else:
            found |= {(thing.__name__, name) for name in choosing(thing)}
    assert len(found) > 8 and found <= set(CHOICES)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"draws": 0, "weights": torch.ones(120)}, "size and draws are 1 or more, got 120 and 0"),
        ({"draws": 2.5, "weights": torch.ones(120)}, "draws is a whole number or None, got 2.5"),
        ({"draws": -1}, "size and draws are 1 or more, got 120 and -1"),
        ({"seed": "x"}, "seed is a whole number, got 'x'"),
    ],
)
def test_a_sampler_draws_a_whole_number_above_zero(named, said) -> None:
    with pytest.raises(ValueError, match=said):
        EpochSampler(120, **named)


@pytest.mark.parametrize("classes", ["ab", 10, None])
def test_class_names_that_are_no_list_are_refused(classes) -> None:
    with pytest.raises(ValueError, match="classes is a list of class names, got"):
        Recorder("d", classes)


@pytest.mark.parametrize("named", [{"every": 2}, {"after": print}])
def test_what_would_do_nothing_without_a_table_is_refused(named, tmp_path) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(named))} is of scoring, and without a table nothing is scored"):
        Epochs(tmp_path / "r", CLASSES, **named)
    Epochs(tmp_path / "r", CLASSES, table=tmp_path / "t.duckdb", **named)


def test_settings_that_a_part_does_not_have_are_refused_by_the_known_ones() -> None:
    with pytest.raises(CurateError, match="unknown option of a recorder 'value'") as refused:
        Epochs("d", CLASSES, value="logits")
    assert "did you mean 'values'?" in refused.value.hint
    with pytest.raises(CurateError, match="unknown setting of IPRM 'mixp'"):
        ProbeAndRebalance(SIZES, 2, mixp="linear")


@pytest.mark.parametrize("classes", [("a", "b"), ("horn", "bark"), ("bark", "horn", "rain")])
def test_a_recorder_of_a_folder_with_other_classes_is_refused(tmp_path, classes) -> None:
    """Their logits would be columns of other names, or the same in another order."""
    recorder = Recorder(tmp_path, ["bark", "horn"])
    with recorder.epoch():
        rows = [[3.0, 0.5], [0.5, 3.0]]
        recorder.add(
            ["x", "y"], ["bark", "horn"], {"audio": rows, "visual": rows}, features={"audio": rows, "visual": rows}
        )
    with pytest.raises(CurateError, match="was recorded with the classes") as error:
        Recorder(tmp_path, classes)
    assert "bark" in error.value.message and "clear the folder" in error.value.hint
    assert Recorder(tmp_path, ["bark", "horn"]).classes == ("bark", "horn")


def test_ids_of_another_batch_are_refused_by_losses_of_a_table(scored_table) -> None:
    table = curate.open(scored_table.path)
    loss, run = AdaptiveLoss(table), table.find_run()
    logits = {m: torch.zeros(2, len(run.classes)) for m in run.modalities}
    ids = list(table.scored().sample_ids[:3])
    assert loss(ids[:2], LABELS, logits, logits["audio"]).isfinite()
    with pytest.raises(ValueError, match="3 sample ids and 2 labels"):
        loss(ids, LABELS, logits, logits["audio"])
