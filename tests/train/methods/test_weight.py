"""Weight fusion as a method: what it adds to joint training is the fusion alone."""

from __future__ import annotations

import math

import pytest
import torch

from curate.errors import CurateError
from curate.train.methods import catalog


def test_the_fusion_by_hand(make_model, make_method, make_batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """f_a = (ln 3, 0, ...), f_v = 0: shares of the first two elements, by softmax over the elements."""
    model = make_model(fusion=catalog.find("weight").fusion)
    method = make_method("weight", model)
    a = torch.zeros(1, 64)
    a[0, 0] = math.log(3)
    monkeypatch.setattr(model, "encode", lambda inputs: {"audio": a, "visual": torch.zeros(1, 64)})
    share = (3 / 66) / (3 / 66 + 1 / 64)
    expected = model.fusion.head(a * share)
    torch.testing.assert_close(method.forward(model, make_batch().inputs).fused, expected)


def test_unequal_feature_sizes_are_refused() -> None:
    from curate.train.models.fusion import FUSIONS

    with pytest.raises(CurateError, match="equal feature sizes"):
        FUSIONS["weight"]({"audio": 64, "visual": 512}, 3)
