"""MMCosine against hand-computed logits and its invariances."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from curate.train.models.fusion import Concat

PAIR = ("audio", "visual")


def heads(model) -> dict[str, torch.nn.Linear]:
    return {m: model.extra["cosine"].get_submodule(m) for m in model.modalities}


def test_logits_by_hand(make_model, make_method, make_batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """f = (3, 4), weights (1, 0) and (0, 2), scale 10: (6, 8)."""
    model, batch = make_model(classes=2), make_batch()
    monkeypatch.setattr(model, "dims", dict.fromkeys(PAIR, 2))
    model.fusion = Concat(model.dims, 2)
    method = make_method("mmcosine", model)
    monkeypatch.setattr(model, "encode", lambda inputs: {m: torch.tensor([[3.0, 4.0]]) for m in PAIR})
    with torch.no_grad():
        heads(model)["audio"].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        heads(model)["visual"].weight.copy_(torch.tensor([[4.0, -3.0], [-3.0, -4.0]]))
    out = method.forward(model, batch.inputs)
    torch.testing.assert_close(out.logits["audio"], torch.tensor([[6.0, 8.0]]))
    torch.testing.assert_close(out.logits["visual"], torch.tensor([[0.0, -10.0]]))
    torch.testing.assert_close(out.fused, torch.tensor([[6.0, -2.0]]))


def test_logits_equal_a_naive_double(make_model, make_method, make_batch) -> None:
    names = (*PAIR, "depth")
    model, batch = make_model(*names), make_batch(*names)
    method = make_method("mmcosine", model, scale=7.0)
    out = method.forward(model, batch.inputs)
    for m in names:
        f, w = out.features[m], heads(model)[m].weight
        for i in range(6):
            for c in range(3):
                cosine = F.cosine_similarity(f[i], w[c], dim=0)
                torch.testing.assert_close(out.logits[m][i, c], 7 * cosine)
    torch.testing.assert_close(out.fused, sum(out.logits.values()))
    torch.testing.assert_close(method.loss(out, batch), F.cross_entropy(out.fused, batch.labels))


def test_lengths_of_features_and_weights_mean_nothing(make_model, make_method, make_batch) -> None:
    model, batch = make_model(), make_batch()
    method = make_method("mmcosine", model)
    before = method.forward(model, batch.inputs).fused
    encode = model.encode
    model.encode = lambda inputs: {m: f * (9.0 if m == "audio" else 0.2) for m, f in encode(inputs).items()}
    with torch.no_grad():
        heads(model)["visual"].weight.mul_(torch.tensor([[0.1], [5.0], [30.0]]))
    torch.testing.assert_close(method.forward(model, batch.inputs).fused, before)


def test_evaluation_predicts_by_the_same_logits_within_the_scale(make_model, make_method, make_batch) -> None:
    model, batch = make_model(), make_batch()
    method = make_method("mmcosine", model, scale=4.0)
    model.eval()
    out = method.forward(model, batch.inputs)
    logits, fused = method.predict(out)
    assert fused is out.fused and logits is out.logits
    assert float(fused.detach().abs().max()) <= 8


def test_there_is_no_bias_and_warm_weights_are_the_split_head_s(make_model, make_method) -> None:
    model = make_model()
    make_method("mmcosine", model, warm=True)
    for m, head in heads(model).items():
        assert head.bias is None
        assert torch.equal(head.weight, model.fusion.unimodal_head(m).weight)


def test_heads_begin_with_the_length_of_the_concatenation_s(make_model, make_method) -> None:
    """Uniform within 1 / sqrt(64 + 64), not 1 / sqrt(64): 1.41 times longer heads would make smaller steps."""
    model = make_model()
    make_method("mmcosine", model)
    assert set(model.dims.values()) == {64}
    for m in model.modalities:
        weight = model.extra["cosine"].get_parameter(f"{m}.weight")
        assert 0.9 / 128**0.5 < float(weight.detach().abs().max()) <= 1 / 128**0.5
