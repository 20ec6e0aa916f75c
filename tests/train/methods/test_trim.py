"""The warm-up loss without the samples of a batch that are most at odds with their labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from curate.errors import CurateError
from curate.scores.bounds import wrong_among
from curate.torch.losses import multimodal_cross_entropy, trimmed_loss
from curate.train.loop.engine import OptimConfig
from curate.train.stages import wrong_labels
from curate.train.stages.evaluate import predicted
from curate.train.stages.improve import GIVEN, TRIMMED, improve, plan_improvement
from curate.train.stages.setup import prepare
from curate.train.stages.training import train
from curate.types import FUSED


def logits_of(*losses: float) -> torch.Tensor:
    """(B, 2) logits whose cross-entropy with label 0 is this."""
    return torch.tensor([[0.0, float(np.log(np.expm1(loss)))] for loss in losses])


def test_the_largest_fused_losses_take_no_part_by_hand() -> None:
    """Of five samples two go, by the fusion alone: what is left of every loss is averaged over three."""
    fused, audio = logits_of(1.0, 5.0, 2.0, 3.0, 4.0), logits_of(9.0, 0.1, 0.2, 0.3, 0.4)
    labels = torch.zeros(5, dtype=torch.long)
    loss = trimmed_loss({"audio": audio}, fused, labels, share=0.4)
    assert loss.item() == pytest.approx((1 + 2 + 3 + 9 + 0.2 + 0.3) / 3, rel=1e-5)


@pytest.mark.parametrize(("share", "size", "left"), [(0.2, 10, 8), (0.1, 4, 4), (0.3, 5, 3), (0.99, 4, 1), (0.5, 1, 1)])
def test_so_many_have_a_gradient(share: float, size: int, left: int) -> None:
    """round(share B) samples have none, in no modality; one is always left."""
    torch.manual_seed(0)
    fused, audio = (torch.randn(size, 3, requires_grad=True) for _ in range(2))
    trimmed_loss({"audio": audio}, fused, torch.arange(size) % 3, share).backward()
    learned = [x.grad.abs().sum(dim=1) > 0 for x in (fused, audio)]
    assert torch.equal(*learned) and int(learned[0].sum()) == left
    losses = F.cross_entropy(fused.detach(), torch.arange(size) % 3, reduction="none")
    assert losses[learned[0]].max() <= min(losses[~learned[0]].tolist(), default=np.inf)


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_that_is_none_is_refused(share: float, make_model, make_method) -> None:
    with pytest.raises(ValueError, match="share"):
        trimmed_loss({}, torch.zeros(2, 2), torch.zeros(2, dtype=torch.long), share)
    with pytest.raises(CurateError, match="share"):
        make_method("trim", make_model(), share=share)


@pytest.mark.parametrize("share", [None, float("nan")])
def test_a_share_that_the_table_does_not_know_is_refused_with_a_way_out(share: float | None) -> None:
    """`SELECT avg(p_mislabelled)` gives it where labels were not judged."""
    with pytest.raises(ValueError, match="not judged, give a share of your own"):
        trimmed_loss({}, torch.zeros(2, 2), torch.zeros(2, dtype=torch.long), share)


def test_without_wrong_labels_it_is_the_warm_up_bit_for_bit(make_model, make_batch, make_method) -> None:
    models = make_model(), make_model()
    methods = make_method("trim", models[0]), make_method("warmup", models[1])
    optimizers = [OptimConfig(lr=0.05).make(m) for m in models]
    for seed in range(3):
        steps = zip(methods, models, optimizers, strict=True)
        assert torch.equal(*(method.step(*rest, make_batch(seed=seed)) for method, *rest in steps))
    pairs = zip(*(m.state_dict().values() for m in models), strict=True)
    assert all(torch.equal(p, q) for p, q in pairs)


def test_what_the_scored_run_claims_is_left_out(make_model, make_batch, make_context, make_method) -> None:
    """A share of one's own comes before it."""
    model, batch = make_model(), make_batch(size=10)
    told, own = make_method("trim", model), make_method("trim", model, share=0.5)
    out = told.forward(model, batch.inputs)
    for method, share in ((told, 0.2), (own, 0.5)):
        context = replace(make_context(model, OptimConfig(lr=0.05).make(model)), wrong_share=0.2)
        method.begin_epoch(model, 1, context)
        expected = trimmed_loss(out.logits, out.fused, batch.labels, share)
        torch.testing.assert_close(method.loss(out, batch), expected, rtol=0, atol=0)


def test_the_control_leaves_out_as_many_others(make_model, make_batch, make_context, make_method) -> None:
    """Over many draws each sample is left out alike, whatever its loss."""
    model, batch = make_model(), make_batch(size=10)
    method = make_method("trim", model, share=0.2, control="random")
    context = make_context(model, OptimConfig(lr=0.05).make(model))
    method.begin_epoch(model, 1, replace(context, generator=torch.Generator().manual_seed(1)))
    out = method.forward(model, batch.inputs)
    gone = torch.zeros(10)
    for _ in range(1000):
        fused = out.fused.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(method.loss(replace(out, fused=fused), batch), fused)
        zero = gradient.abs().sum(dim=1) == 0
        assert int(zero.sum()) == 2
        gone += zero
    assert (gone / 1000 - 0.2).abs().max() < 5 * (0.2 * 0.8 / 1000) ** 0.5
    assert not torch.equal(multimodal_cross_entropy(out.logits, out.fused, batch.labels), method.loss(out, batch))


@pytest.fixture
def doubted(work, scored):
    """The scored run, with every tenth label claimed to be wrong."""
    with work.store.db.open(write=True) as con:
        con.execute("UPDATE usability_here SET p_mislabelled = 0")
        con.execute("UPDATE usability_here SET p_mislabelled = 0.8 WHERE sample_id LIKE '%0'")
    return scored


def losses(work) -> dict[str, float]:
    return dict(work.store.query("SELECT run_id, value FROM epoch WHERE metric = 'loss' AND epoch = 1")[1])


SHORT = {"train": {"epochs": 1}}


def test_training_reads_the_share_from_the_table(work, doubted) -> None:
    """It is the mean over the training samples, and says so; the same share by hand is the same training."""
    told: list[str] = []
    run = train(replace(work, message=told.append), doubted, "trim", [SHORT], 0)
    ids = [i for (i,) in work.store.query("SELECT sample_id FROM sample WHERE split = 'train' AND status = 'ok'")[1]]
    share = 0.8 * sum(i.endswith("0") for i in ids) / len(ids)
    assert any(f"{share:.1%} of the labels" in line for line in told)
    same = train(work, doubted, "trim", [SHORT, {"method": {"share": share}}], 0)
    warmup = train(work, doubted, "warmup", [SHORT], 0)
    found = losses(work)
    assert found[run.run_id] == found[same.run_id] != found[warmup.run_id]


def test_labels_that_are_corrected_are_not_wrong_any_more(work, doubted) -> None:
    told: list[str] = []
    with work.store.db.open(write=True) as con:  # the fusion prefers another class throughout
        con.execute("UPDATE dynamic_here SET log_margin = -5 WHERE modality = 'fused' AND sample_id LIKE '%0'")
    layers = [SHORT, {"train": {"labels": "corrected"}}]
    run = train(replace(work, message=told.append), doubted, "trim", layers, 0)
    assert work.store.relabelled.read(run.run_id)
    assert any(f"no wrong labels are claimed in {doubted.run_id}: this" in line for line in told)


@pytest.mark.parametrize(
    ("value", "told"), [("0", "no wrong labels are claimed in"), ("NULL", "labels were not judged in")]
)
def test_where_none_are_claimed_a_run_says_what_it_is(value: str, told: str, work, scored) -> None:
    with work.store.db.open(write=True) as con:
        con.execute(f"UPDATE usability_here SET p_mislabelled = {value}")
    lines: list[str] = []
    runs = [train(replace(work, message=lines.append), scored, name, [SHORT], 0) for name in ("warmup", "trim")]
    first, second = (work.store.epochs.test_metrics(run.run_id) for run in runs)
    assert first == second
    assert any(told in line and "this is the warm-up continued" in line for line in lines)


def test_a_run_that_was_not_assessed_needs_a_share(work, scored) -> None:
    with work.store.db.open(write=True) as con:
        con.execute("DELETE FROM usability_here")
    with pytest.raises(CurateError, match=scored.run_id) as caught:
        train(work, scored, "trim", [SHORT], 0)
    assert "method.share" in str(caught.value.hint)
    assert train(work, scored, "trim", [SHORT, {"method": {"share": 0.1}}], 0).status == "done"


@pytest.fixture
def undecided(work, scored):
    """The scored run, in which labels were judged, none is claimed, and half were denied over the warm-up."""
    with work.store.db.open(write=True) as con:
        con.execute("UPDATE usability_here SET p_mislabelled = 0, contradiction_fused = 0.1")
        con.execute(
            "UPDATE usability_here SET contradiction_fused = 0.9 WHERE sample_id[-1] IN ('0', '2', '4', '6', '8')"
        )
    return scored


def show(work, share: float) -> None:
    """Let the scored run's validation samples show so many wrong labels."""
    with work.store.db.open(write=True) as con:
        con.execute("UPDATE epoch SET value = ? WHERE metric = 'wrong_labels'", [share])


@pytest.mark.parametrize(("found", "share"), [(0.0, 0.0), (0.2, 0.2), (0.9, "denied")])
def test_where_none_is_told_apart_validation_says_how_many(found, share, work, undecided) -> None:
    """As many as surely denied validation labels show, and no more than training labels were denied."""
    show(work, found)
    told, how = wrong_labels.wrong_share(work, undecided)
    ids = [i for (i,) in work.store.rows("SELECT sample_id FROM sample WHERE split = 'train' AND status = 'ok'", [])]
    most = sum(int(i[-1]) % 2 == 0 for i in ids) / len(ids)
    assert told == pytest.approx(most if share == "denied" else share)
    assert ("not which" in how) == bool(found)


def test_the_larger_of_what_is_claimed_and_what_validation_shows_counts(work, undecided) -> None:
    with work.store.db.open(write=True) as con:
        con.execute("UPDATE usability_here SET p_mislabelled = 0.8 WHERE sample_id LIKE '%0'")
    show(work, 0.01)
    claimed, how = wrong_labels.wrong_share(work, undecided)
    assert 0.05 < claimed < 0.12 and "expected" in how
    show(work, 0.2)
    assert wrong_labels.wrong_share(work, undecided)[0] == 0.2
    count = len(work.store.relabelled.known(undecided).sample_ids)
    assert wrong_labels.wrong_share(work, undecided, ["train-000"])[0] == pytest.approx(0.2 - 1 / count), "one is right"


def test_what_validation_shows_is_stored_when_it_is_scored(work, scored) -> None:
    known = work.store.rows(
        "SELECT split, modality, value FROM epoch WHERE run_id = ? AND metric = 'wrong_labels'", [scored.run_id]
    )
    assert known == [("val", FUSED, wrong_among(predicted(work, scored, "val")).least)]


def test_a_resumed_run_leaves_out_as_many(work, undecided) -> None:
    """What validation says is of the warm model, not of the one that trains."""
    show(work, 0.13)
    told: list[str] = []
    here = replace(work, message=told.append)
    run = train(here, undecided, "trim", [SHORT], 0)
    again = wrong_labels.announced_share(prepare(here, run), undecided)
    lines = [line for line in told if "not which" in line]
    assert len(lines) == 2 and lines[0] == lines[1] and again == 0.13


def test_improve_leaves_out_what_it_cannot_correct(work, undecided) -> None:
    show(work, 0.2)
    plan = plan_improvement(work, undecided, [SHORT], [0], control=True)
    assert [row.label for row in plan.rows] == [GIVEN, TRIMMED] and "not which" in plan.wrong
    (_, left_out) = improve(work, plan)
    assert work.store.runs.find(left_out.runs[0]).method == "trim" and not left_out.control
