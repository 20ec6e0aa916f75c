"""ReconBoost: the boosting loss by hand, who moves in which phase, and the calendar of the stages."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from curate.errors import CurateError
from curate.train.methods.method import Context
from curate.train.methods.optim import OptimConfig
from curate.train.methods.reconboost import ReconBoost, boosting_loss


def ensemble_scale(model):
    """The learned scale of the ensemble."""
    return model.extra["boost"].scale


def test_boosting_loss_by_hand() -> None:
    """C = 2, l = (0, 0), J[y] = .75, w = (5, 1): (5 - .75) ln 2 / 2."""
    others = torch.tensor([[math.log(3), 0.0]])
    loss = boosting_loss(torch.zeros(1, 2), others, torch.tensor([0]), 5.0, 1.0)
    assert float(loss) == pytest.approx(1.47294, abs=5e-6)


@pytest.mark.parametrize("epoch", [2, 3])
def test_loss_equals_a_naive_double(epoch, make_model, make_method, make_batch) -> None:
    """Epoch 2 is visual's, on audio's residual with the memory term; epoch 3 is everyone's."""
    model, batch = make_model(), make_batch()
    method = make_method("reconboost", model, epoch=epoch, memory=0.4)
    ensemble = model.extra["boost"]
    ensemble.scale.data.fill_(1.7)
    out = method.forward(model.eval(), batch.inputs)
    for m in model.modalities:
        torch.testing.assert_close(out.logits[m], ensemble.head(out.features[m]))
    a, v = out.logits["audio"], out.logits["visual"]
    torch.testing.assert_close(out.fused, 1.7 * (a + v))
    if epoch == 3:
        expected = F.cross_entropy(1.7 * (a + v), batch.labels)
    else:
        j = (1.7 * a).softmax(1)
        expected = (
            torch.stack([-(5 - j[i, y]) * v.log_softmax(1)[i, y] / 3 for i, y in enumerate(batch.labels)]).mean()
            + 0.4 * ((v.softmax(1) - a.softmax(1)) ** 2).mean()
        )
    torch.testing.assert_close(method.loss(out, batch), expected)


def test_in_a_first_phase_one_encoder_and_the_head_move_and_nothing_else(make_model, make_method, make_batch) -> None:
    model = make_model()
    method = make_method("reconboost", model)
    assert method.alone == "audio"
    before = {k: v.clone() for k, v in model.state_dict().items()}
    optimizer = OptimConfig(lr=0.1).make(model)
    model.train()
    for seed in range(2):
        method.step(model, optimizer, make_batch(seed=seed))
    moved = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert moved == {k for k in before if k.startswith(("encoders.audio.", "extra.boost.head."))}
    assert model.encoders["visual"].training
    method.begin_epoch(model, 1, Context(epochs=3, optimizer=optimizer))
    assert method.alone is None
    method.step(model, optimizer, make_batch())
    still = {k for k, v in model.state_dict().items() if torch.equal(v, before[k])}
    assert still == {k for k in before if k.startswith("fusion.")}
    assert ensemble_scale(model).grad is not None


def test_the_memory_term_moves_this_modality_alone(make_model, make_method, make_batch) -> None:
    model, batch = make_model(), make_batch()
    method = make_method("reconboost", model, epoch=2, memory=1.0, first=0.0, second=0.0)
    assert (method.alone, method.previous) == ("visual", "audio")
    method.loss(method.forward(model.train(), batch.inputs), batch).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.encoder_parameters("visual")[-2:])
    assert all(p.grad is None for p in model.encoder_parameters("audio"))
    assert ensemble_scale(model).grad is None


def test_stages_take_turns_and_each_phase_begins_with_fresh_state(make_model, make_method, make_batch) -> None:
    model = make_model("audio", "visual", "depth")
    method = make_method("reconboost", model)
    optimizer = OptimConfig(lr=0.01).make(model)
    seen = []
    for epoch in range(24):
        method.begin_epoch(model, epoch, Context(epochs=24, optimizer=optimizer))
        seen.append((method.alone, bool(optimizer.state)))
        method.step(model.train(), optimizer, make_batch("audio", "visual", "depth", seed=epoch))
    first = [(m, kept) for m in ("audio", "visual", "depth") for kept in (False, True, True, True)]
    second = [(None, kept) for _ in range(3) for kept in (False, True, True, True)]
    assert seen == [x for i in range(3) for x in (*first[4 * i : 4 * i + 4], *second[4 * i : 4 * i + 4])]


def test_a_short_run_has_short_phases(make_model, make_method, make_context) -> None:
    model = make_model()
    method = make_method("reconboost", model)

    def turns(total):
        alone = []
        for epoch in range(total):
            method.begin_epoch(model, epoch, make_context(model, epochs=total))
            alone.append(method.alone)
        return alone

    assert turns(8) == ["audio"] * 2 + [None] * 2 + ["visual"] * 2 + [None] * 2
    assert turns(2) == ["audio", None]


def test_weights_that_would_turn_the_loss_around_are_refused() -> None:
    with pytest.raises(CurateError, match=r"method\.first=0.5"):
        ReconBoost.Config(first=0.5)
