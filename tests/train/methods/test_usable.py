"""The warm-up loss without asking of a broken modality what it cannot know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from curate.errors import CurateError
from curate.train.loop.engine import OptimConfig
from curate.train.stages.assess import judged
from curate.train.stages.score import score
from curate.train.stages.setup import prepare
from curate.train.stages.training import train

MODES = ["skip", "soften"]


def broken(batch, *rows):
    return replace(batch, p_broken=torch.tensor(rows))


@pytest.mark.parametrize("mode", MODES)
def test_per_sample_loss_by_hand(mode, make_model, make_batch, make_method) -> None:
    """A naive double: probabilities and targets written out."""
    model, batch = make_model(), make_batch(size=3)
    batch = broken(batch, [0.0, 1.0], [0.25, 0.0], [0.5, 0.75])
    method = make_method("usable", model, mode=mode)
    out = method.forward(model, batch.inputs)
    expected = 0.0
    for i, y in enumerate(batch.labels.tolist()):
        expected -= out.fused[i].softmax(0)[y].log()
        for j, m in enumerate(("audio", "visual")):
            u, log_p = 1 - float(batch.p_broken[i, j]), out.logits[m][i].softmax(0).log()
            target = [u * (k == y) + (1 - u) / 3 * (mode == "soften") for k in range(3)]
            expected -= sum(q * lp for q, lp in zip(target, log_p, strict=True))
    torch.testing.assert_close(method.loss(out, batch), expected / 3)


@pytest.mark.parametrize("mode", MODES)
def test_where_nothing_is_broken_it_is_the_warm_up_bit_for_bit(mode, make_model, make_batch, make_method) -> None:
    models = make_model(), make_model()
    methods = make_method("usable", models[0], mode=mode), make_method("warmup", models[1])
    optimizers = [OptimConfig(lr=0.05).make(m) for m in models]
    for seed in range(3):
        batch = make_batch(seed=seed)
        batch = replace(batch, p_broken=torch.zeros_like(batch.p_broken))
        losses = [method.step(*rest, batch) for method, *rest in zip(methods, models, optimizers, strict=True)]
        assert torch.equal(*losses)
    pairs = zip(*(m.state_dict().values() for m in models), strict=True)
    assert all(torch.equal(p, q) for p, q in pairs)


def test_a_skipped_modality_learns_nothing_from_its_own_loss(make_model, make_batch, make_method) -> None:
    """Broken throughout, its encoder's gradient is that of the fused loss alone."""
    model, batch = make_model(), make_batch(size=2)
    batch = broken(batch, [0.0, 1.0], [0.0, 1.0])
    method = make_method("usable", model, mode="skip")
    parameters = model.encoder_parameters("visual")
    out = method.forward(model, batch.inputs)
    own = torch.autograd.grad(method.loss(out, batch), parameters, retain_graph=True)
    fused = torch.autograd.grad(F.cross_entropy(out.fused, batch.labels), parameters)
    for a, b in zip(own, fused, strict=True):
        torch.testing.assert_close(a, b)


def test_a_softened_target_is_best_met_by_knowing_nothing(make_model, make_batch, make_method) -> None:
    """Of a wholly broken modality uniform logits have the least loss, log K."""
    model, batch = make_model(), make_batch(size=2)
    method = make_method("usable", model, mode="soften")
    out = method.forward(model, batch.inputs)
    zero = dict.fromkeys(out.logits, torch.zeros(2, 3))
    batch = broken(batch, [1.0, 1.0], [1.0, 1.0])
    fused = F.cross_entropy(out.fused, batch.labels)
    least = method.loss(replace(out, logits=zero), batch)
    torch.testing.assert_close(least - fused, 2 * torch.tensor(3.0).log())
    assert method.loss(out, batch) > least


@pytest.fixture
def claimed(work, scored):
    """The scored run, with a claim about every fifth picture."""
    with work.store.db.open(write=True) as con:
        con.execute("UPDATE usability_here SET p_broken = 0")
        con.execute("UPDATE usability_here SET p_broken = 0.9 WHERE modality = 'visual' AND sample_id LIKE '%0'")
    return scored


def samples_of(work, scored):
    return prepare(work, scored).data.fit


def test_probabilities_are_joined_by_id(work, claimed) -> None:
    fit = samples_of(work, claimed)
    found = judged(work, claimed, fit.subset(np.arange(len(fit)) % 3 == 0), "none", 0)
    expected = [[0.0, 0.9 * i.endswith("0")] for i in found.sample_ids]
    np.testing.assert_array_equal(found.p_broken, expected)
    batch = found.__getitems__([3, 1])
    np.testing.assert_allclose(batch.p_broken, np.array(expected)[[3, 1]], rtol=1e-6)


def test_samples_that_were_not_assessed_count_as_whole_and_are_told(work, claimed) -> None:
    with work.store.db.open(write=True) as con:
        con.execute("DELETE FROM usability_here WHERE sample_id IN ('train-010', 'train-011')")
    told: list[str] = []
    found = judged(replace(work, message=told.append), claimed, samples_of(work, claimed), "none", 0)
    assert dict(zip(found.sample_ids.tolist(), found.p_broken[:, 1], strict=True))["train-010"] == 0
    assert found.p_broken[:, 1].sum() == pytest.approx(4 * 0.9)
    assert told == [f"2 samples were not assessed by {claimed.run_id}; they count as whole"]


def test_shuffled_rows_are_the_same_rows_on_other_samples(work, claimed) -> None:
    fit = samples_of(work, claimed)
    own, other = (judged(work, claimed, fit, control, 1).p_broken for control in ("none", "shuffled"))
    assert not np.array_equal(own, other)
    np.testing.assert_array_equal(np.sort(own, axis=0), np.sort(other, axis=0))
    np.testing.assert_array_equal(other, judged(work, claimed, fit, "shuffled", 1).p_broken)


def test_training_reads_the_table_and_the_control_says_what_it_is(work, claimed) -> None:
    short = {"train": {"epochs": 1}}
    warmup, usable = (train(work, claimed, name, [short], 0) for name in ("warmup", "usable"))
    shuffled = train(work, claimed, "usable", [short, {"method": {"control": "shuffled"}}], 0)
    losses = dict(work.store.query("SELECT run_id, value FROM epoch WHERE metric = 'loss' AND epoch = 1")[1])
    assert len({losses[run.run_id] for run in (warmup, usable, shuffled)}) == 3
    assert (usable.note, shuffled.note) == (None, "shuffled usability")


def test_without_a_broken_group_a_run_is_the_continued_warm_up_and_says_so(work, scored) -> None:
    with work.store.db.open(write=True) as con:
        con.execute("UPDATE usability_here SET p_broken = 0")
    told: list[str] = []
    short = [{"train": {"epochs": 2}}]
    runs = [train(replace(work, message=told.append), scored, name, short, 0) for name in ("warmup", "usable")]
    first, second = (work.store.epochs.test_metrics(run.run_id) for run in runs)
    assert first == second
    assert told == [f"no broken group was found in {scored.run_id}: this is the warm-up continued"]


def test_a_scored_run_of_which_no_usability_is_known_is_refused(work) -> None:
    plain = score(work, "toy", None, [{"score": {"dynamics": False}}], 0)
    with pytest.raises(CurateError, match="nothing is known of usability"):
        train(work, plain, "usable", [], 0)
    assert [run.kind for run in work.store.runs.all()] == ["score"]
