"""Branches on their own: results over samples, and that the looks leave the model as it was."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from curate.train.methods.alone import results, train_alone
from curate.train.methods.optim import OptimConfig


def test_results_are_means_over_samples_not_batches(make_model, make_batch, make_context) -> None:
    model = make_model().eval()
    uneven = [make_batch(size=6, seed=1), make_batch(size=2, seed=2)]
    data = make_context(model).data
    data.batches["fit"] = uneven
    logits = [model(b.inputs).fused for b in uneven]
    each = [F.cross_entropy(x, b.labels).item() for x, b in zip(logits, uneven, strict=True)]
    hits = [int((x.argmax(dim=1) == b.labels).sum()) for x, b in zip(logits, uneven, strict=True)]
    found = results(model.train(), data, "fit", ["fused"])["fused"]
    assert found.loss == pytest.approx((6 * each[0] + 2 * each[1]) / 8)
    assert found.accuracy == pytest.approx(sum(hits) / 8)
    assert model.training


def test_a_branch_is_trained_alone_in_training_mode_and_clipped(make_model, make_method, make_context) -> None:
    """Two steps of a rate of 0.5, each of a gradient of norm 0.01."""
    model = make_model()
    make_method("gblend", model)
    plain = OptimConfig(optimizer="sgd", lr=0.5, momentum=0, weight_decay=0, clip=0.01)
    context = replace(make_context(model, plain.make(model)), optim=plain)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    train_alone(model.eval(), "audio", range(1), context)
    moved = {name: p.detach() - before[name] for name, p in model.named_parameters()}
    assert model.training and all("audio" in name for name, d in moved.items() if d.any())
    assert 0.005 < torch.stack([d.square().sum() for d in moved.values()]).sum().sqrt() <= 2 * 0.5 * 0.01 * 1.001
