"""AUG: its loss by hand, who gets a layer and when, and that a step of one modality leaves the other as it was."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from curate.train.methods.aug import Boosted, boosted, layered_loss
from curate.train.methods.method import Context
from curate.train.methods.optim import OptimConfig

LABELS = torch.tensor([0])


def test_the_loss_by_hand() -> None:
    """o = (log 3, 0): p_o = 3/4; a = (0, log 3): CE(a) = log 4; o + a = (log 3, log 3): CE = log 2; CE(o) = log 4/3."""
    o, a = torch.tensor([[math.log(3), 0.0]]), torch.tensor([[0.0, math.log(3)]])
    want = math.log(2) + math.log(4 / 3) + (1 - 0.5 * 0.75) * math.log(4)
    assert float(layered_loss([o, a], LABELS, 0.5)) == pytest.approx(want)
    assert float(layered_loss([a], LABELS, 0.5)) == pytest.approx(math.log(4))
    assert float(layered_loss([o / 2, o / 2, a], LABELS, 0.5)) == pytest.approx(want), "all but the last together"


def test_what_the_earlier_layers_know_takes_from_the_last_alone() -> None:
    """d/do is that of CE(o + a) + CE(o): the weight of the residual has no gradient."""
    g = torch.Generator().manual_seed(0)
    o, a = (torch.randn(4, 3, generator=g).requires_grad_() for _ in range(2))
    labels = torch.tensor([0, 1, 2, 0])
    (found,) = torch.autograd.grad(layered_loss([o, a], labels, 0.7), o)
    (want,) = torch.autograd.grad(F.cross_entropy(o + a, labels) + F.cross_entropy(o, labels), o)
    torch.testing.assert_close(found, want)


@pytest.mark.parametrize(
    ("seen", "grown"),
    [((6.0, 3.0), (1, 2)), ((3.0, 6.0), (2, 1)), ((6.0, 5.97), (1, 1)), ((6.0, 5.9), (1, 2)), ((0.0, 0.0), (1, 1))],
)
def test_the_weaker_modality_gets_a_layer_where_the_other_is_a_hundredth_ahead(make_model, make_method, seen, grown):
    model = make_model()
    method = make_method("aug", model)
    method.seen = dict(zip(("audio", "visual"), seen, strict=True))
    method.begin_epoch(model, 1, Context(epochs=50))
    assert tuple(len(boosted(model).present(m)) for m in ("audio", "visual")) == grown
    assert set(method.seen.values()) == {0.0}


@pytest.mark.parametrize(
    ("epochs", "layers", "want"),
    [(20, 10, [1, *range(2, 20, 2)]), (40, 4, [1, 10, 20, 30]), (5, 10, [1, 2, 3, 4]), (20, 0, []), (20, 1, [1])],
)
def test_layers_come_after_the_first_epoch_and_each_share_of_the_run(make_model, make_method, epochs, layers, want):
    """Before epochs that are counted from 0; never more than there may be."""
    model = make_model()
    method = make_method("aug", model, layers=layers)
    at = []
    for epoch in range(epochs):
        before = len(boosted(model).present("visual"))
        method.seen = {"audio": 2.0, "visual": 1.0}
        method.begin_epoch(model, epoch, Context(epochs=epochs))
        at += [epoch] * (len(boosted(model).present("visual")) - before)
    assert at == want
    assert len(boosted(model).present("audio")) == 1


def test_a_step_of_one_modality_leaves_the_encoder_of_the_other(make_model, make_batch, make_method) -> None:
    """With momentum and decay too; the layers to come do not move either."""
    model, batch = make_model(), make_batch()
    method = make_method("aug", model)
    optim = OptimConfig(lr=0.05, momentum=0.9, weight_decay=0.1)
    optimizer = method.optimizer(model, optim)
    method.step(model, optimizer, batch)
    seen = []
    step = optimizer.step

    def watched():
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        step()
        seen.append({name for name, p in model.named_parameters() if not torch.equal(p, before[name])})

    optimizer.step = watched
    method.step(model, optimizer, batch)
    audio, visual = seen
    assert all("visual" not in name for name in audio) and all("audio" not in name for name in visual)
    assert any("encoders.audio" in name for name in audio) and any("encoders.visual" in name for name in visual)
    moved = {name for names in seen for name in names if ".layers." in name}
    assert {name.split(".")[-2] for name in moved} == {"0"}
    assert any("head" in name for name in audio & visual), "the head is shared"


def test_probabilities_of_the_true_class_are_summed_before_the_step(make_model, make_batch, make_method) -> None:
    model, batch = make_model(), make_batch()
    method = make_method("aug", model)
    model.train()
    first = method.forward(model, {"audio": batch.inputs["audio"]} | batch.inputs).logits["audio"].softmax(dim=1)
    method.step(model, method.optimizer(model, OptimConfig(lr=0.05)), batch)
    want = first.gather(1, batch.labels[:, None]).sum()
    assert method.seen["audio"] == pytest.approx(want.item(), rel=1e-5)


def test_the_logits_are_the_sum_of_the_layers_and_the_fusion_their_mean(make_model, make_batch, make_method) -> None:
    model, batch = make_model(), make_batch()
    method = make_method("aug", model, weights="audio=0.4,visual=0.6")
    boosted(model).grow("visual")
    model.eval()
    out = method.forward(model, batch.inputs)
    layers = boosted(model)("visual", out.features["visual"])
    assert len(layers) == 2
    torch.testing.assert_close(out.logits["visual"], layers[0] + layers[1])
    torch.testing.assert_close(out.fused, 0.4 * out.logits["audio"] + 0.6 * out.logits["visual"])


def test_how_many_layers_there_are_is_in_the_weights() -> None:
    one, other = (Boosted({"audio": 4, "visual": 5}, 3, 2) for _ in range(2))
    one.grow("visual")
    other.load_state_dict(one.state_dict())
    features = torch.randn(2, 5)
    torch.testing.assert_close(torch.stack(one("visual", features)), torch.stack(other("visual", features)))
    for _ in range(4):
        one.grow("visual")
    assert len(one.present("visual")) == 3
