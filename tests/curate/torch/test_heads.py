"""Unimodal logits of models whose truth is known: what each way measures, and when it misleads."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from curate.errors import CurateError
from curate.torch import LinearProbes, ProbeAndRebalance, mask_out, split_head


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(200) % 2
    audio = torch.randn(200, 3, generator=generator) + 3 * F.one_hot(labels, 3)
    return labels, {"audio": audio, "visual": torch.randn(200, 5, generator=generator)}


def test_the_parts_of_a_head_add_up_to_it(features) -> None:
    _, found = features
    torch.manual_seed(0)
    head = nn.Linear(8, 4)
    fused = head(torch.cat(list(found.values()), dim=1))
    parts, residual = split_head(head, found, fused)
    assert residual < 1e-5
    torch.testing.assert_close(parts["audio"] + parts["visual"], fused)
    by_hand = found["visual"] @ head.weight[:, 3:].T + head.bias / 2
    torch.testing.assert_close(parts["visual"], by_hand)
    # Something between features and head shows in the residual.
    _, apart = split_head(head, found, head(torch.cat([x.tanh() for x in found.values()], dim=1)))
    assert apart > 0.5
    with pytest.raises(CurateError, match=r"the head takes 8 features, got 3 \+ 4 of audio, visual"):
        split_head(head, {"audio": found["audio"], "visual": found["visual"][:, :4]})


def test_a_split_head_shows_use_and_not_knowledge(features) -> None:
    """The audio knows the class; a head that ignores it gives it the same logits for every sample."""
    _, found = features
    head = nn.Linear(8, 2)
    with torch.no_grad():
        head.weight[:, :3] = 0
    parts, _ = split_head(head, found)
    assert torch.equal(parts["audio"], parts["audio"][:1].expand(200, 2))


def test_probes_learn_what_is_readable_and_leave_the_model_alone(features) -> None:
    labels, found = features
    encoder = nn.Linear(3, 3)
    torch.manual_seed(0)
    probes = LinearProbes({"audio": 3, "visual": 5}, classes=2)
    for _ in range(100):
        logits = probes.step({"audio": encoder(found["audio"]), "visual": found["visual"]}, labels)
    assert all(p.grad is None for p in encoder.parameters())
    right = {m: float((x.argmax(dim=1) == labels).float().mean()) for m, x in logits.items()}
    assert right["audio"] > 0.95 and right["visual"] < 0.7
    # An encoder that throws the class away makes the modality look useless.
    constant = probes.step({"audio": torch.zeros(200, 3), "visual": found["visual"]}, labels)["audio"]
    assert torch.equal(constant, constant[:1].expand(200, 2))
    with pytest.raises(CurateError, match=r"no probe for 4 features of audio; there are: audio \(3\), visual \(5\)"):
        probes({"audio": torch.zeros(1, 4)})


def test_masking_an_additive_fusion_leaves_the_modality_s_own_part(features) -> None:
    _, found = features
    torch.manual_seed(0)
    one, other = nn.Linear(3, 2), nn.Linear(5, 2)
    masked = mask_out(lambda x: one(x["audio"]) + other(x["visual"]), found)
    torch.testing.assert_close(masked["audio"], one(found["audio"]) + other(found["visual"].mean(dim=0)))
    torch.testing.assert_close(masked["visual"], one(found["audio"].mean(dim=0)) + other(found["visual"]))


def test_masking_shows_nothing_where_only_both_together_know() -> None:
    """Exclusive or: the product of two signs decides, the fusion is always right, each alone is at chance."""
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]).repeat(10, 1)
    labels = (signs.prod(dim=1) > 0).long()

    def head(x):
        product = x["audio"] * x["visual"]
        return torch.cat([-product, product], dim=1)

    inputs = {"audio": signs[:, :1], "visual": signs[:, 1:]}
    assert torch.equal(head(inputs).argmax(dim=1), labels)
    for logits in mask_out(head, inputs).values():
        assert torch.equal(logits, torch.zeros_like(logits))


@pytest.mark.parametrize("made", [LinearProbes, ProbeAndRebalance])
@pytest.mark.parametrize("name", ["values", "type", "training"])
def test_a_modality_with_the_name_of_an_attribute_of_modules_is_refused(made, name) -> None:
    with pytest.raises(CurateError, match=f"cannot have the name '{name}'"):
        made({"audio": 4, name: 4}, 2)
    made({"audio": 4, f"{name}_1": 4}, 2)
