"""Branches on their own: results over samples, and that the looks leave the model as it was."""

from __future__ import annotations

import pytest
import torch.nn.functional as F

from curate.train.methods.alone import results


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
