"""Balance-aware sequences: scores and pace by hand, orders of made samples, and the epoch that follows them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from curate.train.methods.bss import Bss, agreement, pace, scaled
from curate.train.methods.method import Context


def test_scores_by_hand() -> None:
    same = {"audio": torch.tensor([[2.0, 0.0]]), "visual": torch.tensor([[3.0, 1.0]])}
    assert float(agreement(same)) == pytest.approx(1)
    apart = {"audio": torch.tensor([[0.8, 0.2]]).log(), "visual": torch.tensor([[0.2, 0.8]]).log()}
    assert float(agreement(apart)) == pytest.approx((2 * 0.8 * 0.2) / (0.8**2 + 0.2**2))
    three = {**same, "text": torch.tensor([[0.0, 2.0]])}
    against = float(agreement({"audio": same["audio"], "text": three["text"]}))
    assert float(agreement(three)) == pytest.approx((1 + 2 * against) / 3)
    assert scaled(torch.tensor([2.0, 4.0, 3.0])).tolist() == [0, 1, 0.5]
    assert scaled(torch.tensor([2.0, 2.0])).tolist() == [0, 0]


def test_the_pace_grows_to_all_samples_within_a_third_of_the_run() -> None:
    """The published numbers: epochs 0, 9 and 39 of 120, with T = 40."""
    assert pace(0, 120) == pytest.approx((0.99 / 40 + 0.01) ** 0.5)
    assert pace(9, 120) == pytest.approx((0.99 / 4 + 0.01) ** 0.5)
    assert pace(39, 120) == pace(119, 120) == pace(0, 0) == 1
    assert pace(19, 60) == pytest.approx(1)


@pytest.fixture
def measured(monkeypatch):
    """Four samples of a balance from 1 to -1, in a mixed order."""
    found = (["s2", "s0", "s3", "s1"], torch.tensor([-0.5, 1.0, -1.0, 0.5], dtype=torch.float64))
    monkeypatch.setattr(Bss, "_measured", lambda self, model, data: found)


def begin(method: Bss, epoch: int, epochs: int, seed: int = 0) -> list[str]:
    """The ids in the order in which an epoch reads them, of samples s0 to s3."""
    method.begin_epoch(
        None, epoch, Context(epochs=epochs, data=object(), generator=torch.Generator().manual_seed(seed))
    )
    return [f"s{i}" for i in method.order(np.array(["s0", "s1", "s2", "s3"]))]


def test_the_heuristic_schedule_reads_the_most_balanced_first(measured) -> None:
    """Of 12 epochs, T = 4: shares .51, .71, .86 and 1 of four samples."""
    method = Bss(Bss.Config(schedule="heuristic"))
    read = [begin(method, epoch, 12, seed=epoch) for epoch in range(5)]
    assert [set(r) for r in read] == [{"s0", "s1"}, {"s0", "s1"}, {"s0", "s1", "s2"}, *[{"s0", "s1", "s2", "s3"}] * 2]
    assert len({tuple(begin(method, 9, 12, seed)) for seed in range(20)}) > 1, "shuffled"


def test_the_learned_schedule_reads_all_and_draws_by_balance(measured) -> None:
    """Weights 2.01, 1.51, .51 and .01 of 4.04: the first sample read is s0 in half of the draws, s3 in 1 of 400."""
    drawn = [begin(Bss(), 0, 12, seed) for seed in range(600)]
    assert all(sorted(d) == ["s0", "s1", "s2", "s3"] for d in drawn)
    first = Counter(d[0] for d in drawn)
    assert first["s0"] / 600 == pytest.approx(2.01 / 4.04, abs=0.07)  # over three standard deviations
    assert first["s2"] / 600 == pytest.approx(0.51 / 4.04, abs=0.05) and first["s3"] < 10


def test_what_is_measured_is_similarity_less_loss(make_model, make_batch, make_method) -> None:
    class Data:
        def ordered(self, split: str):
            return iter([batch])

    model, batch = make_model(), make_batch()
    method = make_method("bss", model)
    ids, balance = method._measured(model.train(), Data())
    out = method.forward(model.eval(), batch.inputs)
    loss = 0.1 * F.cross_entropy(out.fused, batch.labels, reduction="none")
    loss = loss + 0.9 * sum(F.cross_entropy(x, batch.labels, reduction="none") for x in out.logits.values())
    probs = [x.double().softmax(1) for x in out.logits.values()]
    similar = F.cosine_similarity(*probs)
    want = (similar - similar.min()) / (similar.max() - similar.min())
    want = want - (loss - loss.min()) / (loss.max() - loss.min())
    assert ids == batch.sample_ids.tolist()
    torch.testing.assert_close(balance, want.detach(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(method.loss(out, batch), loss.mean())
    torch.testing.assert_close(method.predict(out)[1], sum(out.logits.values()))


def test_batches_follow_an_order(small_data) -> None:
    order = [5, 2, 9, 0, 3, 7, 1, 4, 6]
    batches = [b.sample_ids.tolist() for b in small_data.training_batches(0, order)]
    assert [len(b) for b in batches] == [8, 1]
    assert [s for b in batches for s in b] == small_data.fit.sample_ids[order].tolist()
