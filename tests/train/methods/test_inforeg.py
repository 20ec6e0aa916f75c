"""Information acquisition regulation: its window and strength by hand, and the gradients against a naive double."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from curate.train.methods.inforeg import growth, regulation


def test_growth_by_hand() -> None:
    """Sums of the last epochs, against those one epoch earlier; the first epochs are all new."""
    assert growth([], 10) == growth([2.0], 10) == 1.0
    assert growth([2.0, 1.0], 10) == pytest.approx(1 / 3)
    assert growth([3.0, 1.0, 2.0], 2) == pytest.approx((3 - 4) / 3)
    assert growth([1.0] * 12, 10) == 0 and growth([0.0, 0.0], 10) == 0


def test_only_who_is_ahead_of_the_mean_of_the_others_is_held_back() -> None:
    """Sums of true probabilities of 1.5, 0.5 and 0.25."""
    labels = torch.tensor([0, 1])

    def logits(first: float, second: float) -> torch.Tensor:
        return torch.tensor([[first, 1 - first], [1 - second, second]]).log()

    audio, visual, text = logits(0.9, 0.6), logits(0.3, 0.2), logits(0.05, 0.2)
    two = regulation({"audio": audio, "visual": visual}, labels, 0.95)
    assert float(two["audio"]) == pytest.approx(0.95 * math.exp(math.tanh(1.0))) and float(two["visual"]) == 0
    three = regulation({"audio": audio, "visual": visual, "text": text}, labels, 1.0)
    assert float(three["audio"]) == pytest.approx(math.exp(math.tanh(1.5 - 0.375)))
    assert float(three["visual"]) == float(three["text"]) == 0
    even = regulation({"audio": audio, "visual": audio}, labels, 1.0)
    assert float(even["audio"]) == float(even["visual"]) == 0


@pytest.fixture
def stepped(make_model, make_batch, make_method):
    """A method, its model away from the weights of the epoch's start, a batch, and the gradients of the loss alone."""
    model, batch = make_model(), make_batch()
    inputs = {m: x.double() for m, x in batch.inputs.items()}
    method = make_method("inforeg", model)
    model.double()  # its own heads too
    with torch.no_grad():
        for p in model.parameters():
            p += 0.01
    outputs = method.forward(model, inputs)
    method.loss(outputs, batch).backward()
    plain = {m: [p.grad.clone() for p in model.encoder_parameters(m)] for m in model.modalities}
    return method, model, batch, outputs, plain


def test_the_gradient_of_who_is_ahead_gains_the_way_back_to_the_start_of_the_epoch(stepped) -> None:
    method, model, batch, outputs, plain = stepped
    rows = range(len(batch.labels)), batch.labels
    scores = {m: float(x.detach().softmax(1)[rows].sum()) for m, x in outputs.logits.items()}
    ahead, behind = sorted(scores, key=scores.get, reverse=True)
    beta = 0.95 * math.exp(math.tanh(scores[ahead] - scores[behind]))
    assert method.modulate(model, outputs, batch) == len(plain[ahead])
    for p, g in zip(model.encoder_parameters(ahead), plain[ahead], strict=True):
        torch.testing.assert_close(p.grad, g + beta * 0.01)
    for p, g in zip(model.encoder_parameters(behind), plain[behind], strict=True):
        assert torch.equal(p.grad, g)
    told = {(m, name): v for m, name, v in method.end_epoch(model)}
    trace = sum(float((p.grad**2).mean()) for p in model.encoder_parameters(ahead) if p.ndim > 1)
    assert told[ahead, "information"] == pytest.approx(trace) and told[ahead, "regulation"] == pytest.approx(beta)
    assert told[behind, "regulation"] == 0


def test_it_ends_for_each_encoder_when_its_information_no_longer_grows(stepped, make_context) -> None:
    method, model, batch, outputs, plain = stepped
    method.information = {"audio": [1.0] * 12, "visual": [1.0] * 12}
    method.begin_epoch(model, 12, make_context(model, None))
    assert method.modulate(model, outputs, batch) is None
    assert all(
        torch.equal(p.grad, g) for m in plain for p, g in zip(model.encoder_parameters(m), plain[m], strict=True)
    )
    method.information["visual"] += [2.0]
    method.begin_epoch(model, 13, make_context(model, None))
    assert list(method.begun) == ["visual"]


def test_the_loss_is_the_fused_and_all_unimodal_cross_entropies(stepped) -> None:
    method, _, batch, outputs, _ = stepped
    parts = [outputs.fused, *outputs.logits.values()]
    torch.testing.assert_close(method.loss(outputs, batch), sum(F.cross_entropy(x, batch.labels) for x in parts))
