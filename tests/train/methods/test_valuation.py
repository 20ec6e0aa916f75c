"""Sample-level valuation: contributions and repetitions by hand, and the loss against a naive double."""

from __future__ import annotations

from itertools import combinations, product

import pytest
import torch
import torch.nn.functional as F

from curate.torch import contributions, copies

FROM_THE_START = {"first_epoch": 0}


def answers(labels: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """(B, 3) logits that are right where they shall be."""
    return F.one_hot(torch.where(right, labels, (labels + 1) % 3), 3).float()


def test_two_modalities_by_hand() -> None:
    """Right: all of them, the fusion by audio, only audio alone, none, the fusion alone, audio but not the fusion."""
    labels = torch.zeros(6, dtype=torch.long)
    fused, audio, visual = (
        torch.tensor(x, dtype=torch.bool) for x in ([1, 1, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1], [1, 0, 0, 0, 0, 1])
    )
    values = {
        frozenset({"audio", "visual"}): answers(labels, fused),
        frozenset({"audio"}): answers(labels, audio),
        frozenset({"visual"}): answers(labels, visual),
    }
    found = contributions(values, labels, ("audio", "visual"))
    assert found["audio"].tolist() == [1, 1.5, 0.5, 0, 1, 0]
    assert found["visual"].tolist() == [1, 0.5, -0.5, 0, 1, 0]
    assert copies(found["audio"]).tolist() == [0, 0, 1, 2, 0, 2]
    assert copies(found["visual"]).tolist() == [0, 1, 3, 2, 0, 2]


def test_repetitions_are_whole_numbers() -> None:
    """Of three modalities there are thirds: 2/3, 4/3, 10/3 and, below 0, -2/3."""
    assert copies(torch.tensor([2 / 3, 1 / 3, -2 / 3, 4 / 3])).tolist() == [1, 1, 3, 0]


def test_contributions_add_up_to_the_number_of_modalities_where_all_together_are_right() -> None:
    """Whatever the smaller sets say; three modalities."""
    names = ("audio", "visual", "text")
    sets = [frozenset(c) for size in (1, 2, 3) for c in combinations(names, size)]
    right = torch.tensor(list(product([False, True], repeat=len(sets))))
    labels = torch.arange(len(right)) % 3
    found = contributions({s: answers(labels, right[:, i]) for i, s in enumerate(sets)}, labels, names)
    torch.testing.assert_close(sum(found.values()), 3.0 * right[:, -1].double())


@pytest.mark.parametrize("fusion", ["concat", "sum"])
def test_the_loss_is_that_of_samples_and_their_repetitions(
    fusion, make_model, make_batch, make_method, make_context, look
) -> None:
    model, batch = make_model(fusion=fusion), make_batch()
    method = make_method("valuation", model, **FROM_THE_START)
    method.begin_epoch(model, 0, make_context(model, data=look([batch], [])))
    model.eval()
    out = method.forward(model, batch.inputs)
    loss = method.loss(out, batch)

    features, names = out.features, tuple(out.features)
    zero = {m: torch.zeros_like(x) for m, x in features.items()}
    alone = {m: model.fusion({**zero, m: features[m]})[1] for m in names}
    each, phi = list(F.cross_entropy(out.fused, batch.labels, reduction="none")), {m: 0.0 for m in names}
    for i, label in enumerate(batch.labels.tolist()):
        r = {m: float(alone[m][i].argmax() == label) for m in names}
        both = 2.0 * float(out.fused[i].argmax() == label)
        for m, other in (names, names[::-1]):
            own = (both + r[m] - r[other]) / 2
            phi[m] += own / len(batch.labels)
            each += [F.cross_entropy(alone[m][i : i + 1], batch.labels[i : i + 1])] * max(round(2 * (1 - own)), 0)
    assert len(each) > len(batch.labels)
    torch.testing.assert_close(loss, torch.stack(each).mean())
    told = {m: v for m, name, v in method.end_epoch(model) if name == "contribution"}
    assert told == pytest.approx(phi)

    method.repeated = dict(reversed(method.repeated.items()))  # a sample is found by its id, not by its place
    assert torch.equal(method.loss(out, batch), loss)


def test_at_modality_level_the_share_is_that_of_the_formula_and_only_the_weakest_is_repeated(
    make_model, make_method
) -> None:
    """Means .9 and .3: 2/3 of the difference is .4."""
    method = make_method("valuation", make_model(), level="modality", **FROM_THE_START)
    phi = torch.tensor([[0.9, 0.3]]).expand(1000, 2)
    numbers = method._numbers(phi, torch.Generator().manual_seed(0))
    assert numbers[:, 0].sum() == 0 and numbers[:, 1].sum() in (399, 400)
    assert numbers[:, 1].max() > 1  # drawn with replacement
