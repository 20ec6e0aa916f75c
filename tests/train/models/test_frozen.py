"""Encoders that are not trained, or at a learning rate of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from curate.errors import CurateError
from curate.specs import AudioSpec, VisualSpec
from curate.train.methods.method import check_encoders
from curate.train.methods.optim import OptimConfig
from curate.train.models.encoders import body_of
from curate.train.models.model import FusionModel, ModelConfig

SOUND = AudioSpec(rate=16000, seconds=0.25, n_fft=256, hop=128, n_mels=16)
PICTURE = VisualSpec(frames=2, size=32, augment="none")


def of_two(**settings: Any) -> FusionModel:
    torch.manual_seed(0)
    specs = {"audio": SOUND, "visual": replace(PICTURE, frames=1)}
    return FusionModel(specs, ["a", "b"], ModelConfig(encoder="small_cnn", **settings))


def test_a_frozen_encoder_keeps_its_weights_and_its_batch_statistics() -> None:
    model = of_two(freeze="visual")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    optimizer = OptimConfig(lr=0.1, weight_decay=0.1).make(model)
    x = {"audio": torch.randn(4, 1, 16, 32), "visual": torch.randn(4, 1, 3, 32, 32)}
    model.train()
    model.encoders["visual"].train()
    model(x).fused.sum().backward()
    optimizer.step()
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert not [k for k in changed if k.startswith("encoders.visual.")]
    assert (
        any(k.startswith("encoders.audio.") and "running_mean" in k for k in changed)
        and "fusion.head.weight" in changed
    )
    assert model.encoder_parameters("visual") == []
    assert of_two(freeze="all").frozen == ("audio", "visual")
    assert of_two(freeze="visual", dim=7).encoders["visual"].net.weight.requires_grad, "ours is trained"
    with pytest.raises(CurateError, match="'vision'"):
        of_two(freeze="vision")


def test_a_method_that_edits_gradients_of_encoders_needs_one_that_is_trained() -> None:
    check_encoders("ogm", of_two(freeze="visual"))
    with pytest.raises(CurateError, match="all of these are frozen"):
        check_encoders("ogm", of_two(freeze="all"))


def test_a_step_of_a_scaled_encoder_is_that_much_smaller() -> None:
    steps: dict[str, dict[str, torch.Tensor]] = {}
    for scale in ("", "visual=0.25"):
        model = of_two(lr_scale=scale)
        before = {k: p.detach().clone() for k, p in model.named_parameters()}
        optimizer = OptimConfig(lr=0.1, momentum=0.0).make(model)
        torch.manual_seed(1)
        model({"audio": torch.randn(4, 1, 16, 32), "visual": torch.randn(4, 1, 3, 32, 32)}).fused.sum().backward()
        optimizer.step()
        steps[scale] = {k: p.detach() - before[k] for k, p in model.named_parameters()}
    for k, step in steps[""].items():
        factor = 0.25 if k.startswith("encoders.visual.") else 1.0
        torch.testing.assert_close(steps["visual=0.25"][k], factor * step, atol=1e-6, rtol=1e-3)
    assert len(OptimConfig().make(of_two()).param_groups) == 1, "as ever without it"


@pytest.mark.parametrize("text", ["visual=0", "visual=fast", "visual=-1", "visual=nan", "vision=1", "0.1"])
def test_a_factor_is_above_0_and_of_a_modality(text: str) -> None:
    with pytest.raises(CurateError, match=r"model\.lr_scale"):
        of_two(lr_scale=text)


def test_our_own_encoders_are_found_behind_their_projection() -> None:
    model = of_two(dim=7)
    assert type(body_of(model.encoders["audio"])).__name__ == "SmallCNN"
