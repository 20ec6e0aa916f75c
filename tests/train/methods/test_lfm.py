"""LFM: both alignments by hand, the schedule, the loss against a naive double."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from curate.train.methods.lfm import divergence_from_mean, infonce


def test_divergence_by_hand() -> None:
    """On p = softmax(2, 0) and q = softmax(0, 1) it is .2508, not the Jensen-Shannon .2081."""
    a, b = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    assert float(divergence_from_mean(a, b)) == pytest.approx(0.2508, abs=5e-5)
    assert float(divergence_from_mean(b, a)) == pytest.approx(0.2508, abs=5e-5)
    assert float(divergence_from_mean(a, a + 7)) == pytest.approx(0, abs=1e-7)
    far = divergence_from_mean(torch.tensor([[200.0, -200.0]]), torch.tensor([[-200.0, 200.0]]))
    assert math.isfinite(far) and far > 100


def test_infonce_by_hand() -> None:
    """Two orthogonal pairs at temperature 1: -log(e / (e + 1)); opposite pairs: -log(1 / (1 + e))."""
    eye = torch.eye(2)
    assert float(infonce(eye, eye, 1.0)) == pytest.approx(math.log1p(math.exp(-1)))
    assert float(infonce(eye, eye.flip(0), 1.0)) == pytest.approx(math.log1p(math.exp(1)))
    assert float(infonce(eye[:1], eye[:1], 0.1)) == 0
    a, b = F.normalize(torch.randn(5, 3), dim=1), F.normalize(torch.randn(5, 3), dim=1)
    assert float(infonce(a, b, 0.1)) == pytest.approx(float(infonce(b, a, 0.1)))
    s = (a @ b.T / 0.1).exp()
    naive = sum(-(s[i, i] / s[i].sum()).log() - (s[i, i] / s[:, i].sum()).log() for i in range(5)) / 10
    torch.testing.assert_close(infonce(a, b, 0.1), naive)


def test_the_weight_grows_linearly_and_both_add_to_one(make_model, make_method, make_context) -> None:
    model = make_model()
    method = make_method("lfm", model)
    weights = []
    for epoch in range(8):
        method.begin_epoch(model, epoch, make_context(model, epochs=8))
        weights.append(method.weight)
    assert weights == pytest.approx([0.2 + 0.1 * e for e in range(8)])


@pytest.mark.parametrize("align", ["infonce", "js_code"])
def test_loss_equals_a_naive_double_and_reaches_both_heads(align, make_model, make_method, make_batch) -> None:
    model, batch = make_model(), make_batch()
    method = make_method("lfm", model, align=align, begin=0.3, scale=2.0)
    out = method.forward(model, batch.inputs)
    a, v = out.logits["audio"], out.logits["visual"]
    torch.testing.assert_close(out.fused, (a + v) / 2)
    if align == "infonce":
        unit = {m: f / f.norm(dim=1, keepdim=True) for m, f in out.features.items()}
        alignment = infonce(unit["audio"], unit["visual"], 0.1)
    else:
        p, q = a.softmax(1), v.softmax(1)
        n = (p + q) / 2
        alignment = ((n * (n / p).log()).sum(1) + (n * (n / q).log()).sum(1)).mean() / 2
    expected = 2 * (0.3 * F.cross_entropy((a + v) / 2, batch.labels) + 0.7 * alignment)
    loss = method.loss(out, batch)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    for m in model.modalities:
        assert model.extra["own"].get_submodule(m).weight.grad.abs().sum() > 0


def test_without_alignment_it_is_the_cross_entropy_of_the_mean(make_model, make_method, make_batch) -> None:
    model, batch = make_model(), make_batch()
    method = make_method("lfm", model, begin=1.0, end=1.0, scale=1.0)
    out = method.forward(model, batch.inputs)
    assert torch.equal(method.loss(out, batch), F.cross_entropy(out.fused, batch.labels))


def test_three_modalities_align_by_the_mean_over_pairs(make_model, make_method, make_batch) -> None:
    names = ("audio", "visual", "depth")
    model, batch = make_model(*names), make_batch(*names)
    method = make_method("lfm", model, begin=0.0, align="js_code", scale=1.0)
    out = method.forward(model, batch.inputs)
    x = out.logits
    pairs = [("audio", "visual"), ("audio", "depth"), ("visual", "depth")]
    expected = sum(divergence_from_mean(x[a], x[b]) for a, b in pairs) / 3
    torch.testing.assert_close(method.loss(out, batch), expected)


def test_the_default_is_the_published_loss(make_model, make_method, make_batch) -> None:
    """2 (a CE + (1 - a) A), A of the predictions, a = 0.2 in the first epoch."""
    model, batch = make_model(), make_batch()
    method = make_method("lfm", model)
    out = method.forward(model, batch.inputs)
    p, q = (out.logits[m].softmax(1) for m in ("audio", "visual"))
    n = (p + q) / 2
    alignment = (n * (n.log() - (p.log() + q.log()) / 2)).sum(1).mean()
    expected = 2 * (0.2 * F.cross_entropy((out.logits["audio"] + out.logits["visual"]) / 2, batch.labels))
    torch.testing.assert_close(method.loss(out, batch), expected + 2 * 0.8 * alignment)
