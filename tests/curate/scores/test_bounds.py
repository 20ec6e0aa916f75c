"""How many labels are wrong: bounds by held-out samples, and by a classifier that the model has no part in."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from curate.scores.bounds import (
    UNKNOWN,
    WrongBounds,
    accidents,
    decider,
    least_wrong,
    limited,
    read_at_least,
    wrong_among,
    wrong_bounds,
)
from curate.types import FUSED, Predictions


@pytest.mark.parametrize(("count", "looked_at"), [(300, 75), (100, 25), (2000, 200)])
def test_wrong_labels_are_counted_among_the_surest(count: int, looked_at: int) -> None:
    """A third of these are denied, and all others: as many or more have a chance of 5 % at the lower bound, as many or
    fewer at the upper one. If none of these is denied, the upper bound is 1 - 0.05 ** (1 / n).
    """
    sure = np.random.default_rng(0).permutation(np.linspace(0.3, 1, count))
    surest = sure >= np.sort(sure)[-looked_at]
    hits = looked_at // 3
    least, most, *_ = wrong_bounds(sure, ~surest | (surest & (np.cumsum(surest) <= hits)), np.zeros(count, dtype=int))
    assert binom.sf(hits - 1, looked_at, least) == pytest.approx(0.05)
    assert binom.cdf(hits, looked_at, most) == pytest.approx(0.05)
    assert wrong_bounds(sure, ~surest, np.zeros(count, dtype=int))[:2] == pytest.approx(
        (0.0, 1 - 0.05 ** (1 / looked_at))
    )


def test_where_most_of_the_surest_are_denied_it_is_the_model_that_is_wrong() -> None:
    sure, one = np.linspace(0.3, 1, 300), np.zeros(300, dtype=int)
    assert wrong_bounds(sure, np.arange(300) % 10 < 7, one)[:3] == UNKNOWN[:3]
    assert wrong_bounds(sure, np.arange(300) % 10 < 5, one).least > 0.35


@pytest.mark.parametrize("wrong", [0.0, 0.1, 0.4])
def test_a_classifier_of_the_content_limits_how_many_labels_are_wrong(wrong: float) -> None:
    """Two clusters a class apart by far: it gives every right label, and no wrong one."""
    rng = np.random.default_rng(0)
    truth = np.arange(500) % 5
    content, noise = np.eye(5)[truth] * 9 + rng.normal(size=(500, 5)), rng.normal(size=(500, 5))
    labels = np.where(rng.random(500) < wrong, (truth + rng.integers(1, 5, 500)) % 5, truth)
    share = float((labels != truth).mean())
    shown = WrongBounds(0.2, 0.6, accidents=0.3)
    told = limited(shown, [None, noise, content], labels, 0)
    assert share <= told.limit < share + 0.08
    assert told[:2] == (UNKNOWN[:2] if wrong < 0.2 else shown[:2]) and told.accidents == 0.3
    assert limited(shown, [None], labels, 0) == shown
    assert limited(shown, [noise], labels, 0).limit == 0.5, "what reads nothing limits nothing"


def test_a_bound_of_wrong_labels_holds_in_95_of_100_samples_and_few_are_none() -> None:
    """A fifth are wrong, and what is unsure is denied more often; of a twentieth hardly ever any is claimed."""
    rng, found = np.random.default_rng(0), {0.2: [], 0.05: []}
    for share, bounds in found.items():
        for _ in range(400):
            sure = rng.uniform(0.3, 1, 300)
            unsure = rng.random(300) < np.clip(0.75 - sure, 0, 1)
            bounds.append(wrong_bounds(sure, (rng.random(300) < share) | unsure, np.zeros(300, dtype=int))[:2])
    least, most = np.array(found[0.2]).T
    for missed in (least > 0.2, most < 0.2):
        assert missed.mean() < 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5
    assert np.median(least) > 0.1 and np.median(most) < 0.35
    assert np.mean(np.array(found[0.05])[:, 0] > 0) < 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5


def drawn(share: float, sureness: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(600, 8) probabilities of a model that is `sureness` times as sure as its labels bear out, and labels, of which a
    share is wrong; it is right on less than half."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(600, 8))
    truth = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)  # drawn from softmax(logits)
    labels = np.where(rng.random(600) < share, (truth + rng.integers(1, 8, 600)) % 8, truth)
    powers = np.exp(sureness * logits)
    return powers / powers.sum(axis=1, keepdims=True), labels


@pytest.mark.parametrize("sureness", [1.0, 4.0])
def test_a_model_that_is_too_sure_of_itself_shows_no_wrong_labels_where_there_are_none(sureness: float) -> None:
    clean = [least_wrong(*drawn(0.0, sureness, seed)) for seed in range(40)]
    some = [least_wrong(*drawn(0.3, sureness, seed)) for seed in range(40)]
    assert np.mean(np.array(clean) > 0) < 0.05 + 3 * (0.05 * 0.95 / 40) ** 0.5
    assert np.mean(np.array(some) > 0.3) < 0.05 + 3 * (0.05 * 0.95 / 40) ** 0.5
    probs, labels = drawn(0.0, 4.0, 0)
    held = Predictions(np.arange(600).astype(str), labels, tuple("abcdefgh"), (), {FUSED: probs})
    wrong = probs.argmax(axis=1) != labels
    assert wrong_bounds(probs.max(axis=1), wrong, probs.argmax(axis=1)).least > 0.2, "by where it is surest"
    assert wrong_among(held).least == 0


def test_labels_that_a_sure_model_denies_are_wrong() -> None:
    """Two thirds are as a well calibrated model says, the others any of nine other classes."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 4, (900, 10))
    truth = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    labels = np.where(np.arange(900) % 3 < 2, truth, (truth + rng.integers(1, 10, 900)) % 10)
    powers = np.exp(logits)
    assert 0.2 < least_wrong(powers / powers.sum(axis=1, keepdims=True), labels) < 1 / 3


def test_of_no_held_out_samples_none_are_wrong() -> None:
    assert wrong_bounds(np.empty(0), np.empty(0, dtype=bool), np.empty(0, dtype=int)) == UNKNOWN
    assert wrong_bounds(np.ones(3), np.ones(3, dtype=bool), np.zeros(3, dtype=int)) == UNKNOWN


def test_what_is_read_is_counted_among_the_right_labels() -> None:
    """The fusion is right on every held-out sample, surely; of 75 of 300 labels, 30 of the 75 surest, are wrong."""
    sure = np.linspace(0.99, 0.6, 300)
    wrong = np.isin(np.arange(300), [*range(0, 75, 5), *range(1, 75, 5), *range(80, 125)])
    probs, labels = np.stack([sure, 1 - sure], axis=1), wrong.astype(np.int64)
    held = Predictions(np.arange(300).astype(str), labels, ("a", "b"), (), {FUSED: probs})
    share = wrong_among(held)
    assert (
        share == wrong_bounds(sure, wrong, np.zeros(300, dtype=int), drawn=True)
        and 0.25 < share.least < 30 / 75 < share.most
    )
    assert read_at_least(0.75, 0.25) == 1 and read_at_least(0.5, 0) == 0.5 and read_at_least(0.4, 0.5) == 0.8
    assert read_at_least(0.9, 0.25) == 1


@pytest.mark.parametrize(
    ("audio", "fused", "both", "expected"),
    [
        (20, 6, 50, "audio"),  # 14 > 1.645 sqrt(26) = 8.4
        (13, 6, 50, FUSED),  # 7 < 1.645 sqrt(19) = 7.2
        (14, 6, 50, "audio"),  # 8 > 1.645 sqrt(20) = 7.4
        (2, 0, 98, FUSED),  # 2 < 1.645 sqrt(2) = 2.3
        (3, 0, 97, "audio"),  # 3 > 1.645 sqrt(3) = 2.8
        (6, 20, 50, FUSED),
        (0, 0, 0, FUSED),
    ],
)
def test_labels_are_judged_by_a_modality_that_is_clearly_right_more_often_than_the_fusion(
    audio, fused, both, expected
) -> None:
    """Of 100 samples it alone is right on some, the fusion alone on some, and both on some; visual is right on less."""
    right = {
        "visual": np.arange(100) < audio // 2,
        "audio": np.arange(100) < audio + both,
        FUSED: (np.arange(100) >= audio) & (np.arange(100) < audio + both + fused),
    }
    probs = {m: np.where(r[:, None], [0.9, 0.1], [0.2, 0.8]) for m, r in right.items()}
    ids, labels = np.arange(100).astype(str), np.zeros(100, dtype=np.int64)
    assert decider(Predictions(ids, labels, ("a", "b"), ("visual", "audio"), probs)) == expected
    none = {m: p[:0] for m, p in probs.items()}
    assert decider(Predictions(ids[:0], labels[:0], ("a", "b"), ("visual", "audio"), none)) == FUSED


def test_errors_that_are_as_sure_as_right_predictions_may_all_be_accidents_and_unsure_ones_hardly() -> None:
    """By hand: errors at .5 and .9 among right ones at .6, .7 and .8, A = 1/2: all; unsure ones, A = 1: none."""
    sure, denied = np.array([0.5, 0.6, 0.7, 0.8, 0.9]), np.array([True, False, False, False, True])
    one = np.zeros(5, dtype=int)
    assert accidents(sure, denied, one) == pytest.approx(0.4)
    assert accidents(sure, denied, one, drawn=True) == pytest.approx(0.4 + 1.645 * (0.4 * 0.6 / 5) ** 0.5)
    assert accidents(sure, np.zeros(5, dtype=bool), one) == 1, "nothing is known without an error"
    surely, alike = np.linspace(0, 1, 1000), np.zeros(1000, dtype=int)
    assert accidents(surely, surely < 0.3, alike) == pytest.approx(0), "A = 1 has no error"
    rng = np.random.default_rng(0)
    hard = rng.random(1000) > surely  # as calibrated predictions are
    wrong = rng.random(1000) < 0.2
    assert hard.mean() > 0.4 and accidents(surely, hard, alike) < 0.4
    assert accidents(np.ones(1000), wrong, alike) == pytest.approx(wrong.mean())


def test_the_bound_of_others_holds_in_nine_of_ten_samples_where_all_are_accidents() -> None:
    """Of all labels .15 are wrong by accident; 120 samples are asked. Two bounds hold in 95 of 100 each."""
    held = {True: 0, False: 0}
    for seed in range(400):
        rng = np.random.default_rng(seed)
        sure, wrong = rng.random(120), rng.random(120) < 0.15
        for drawn in held:
            held[drawn] += accidents(sure, wrong, np.zeros(120, dtype=int), drawn) >= 0.15
    assert held[True] >= 0.88 * 400 and held[False] < 0.7 * 400


def test_a_class_that_is_named_as_another_is_compared_within_what_it_is_given() -> None:
    """Of the class that is given at .5, half have another label by accident; of the others, at .9, none: A over all is
    1 - 1/8, and within the class 1/2."""
    sure, given = np.repeat([0.5, 0.9], [100, 300]), np.repeat([0, 1], [100, 300])
    denied = np.arange(400) < 50
    assert accidents(sure, denied, given) == pytest.approx(50 / 400)
    assert accidents(sure, denied, np.zeros(400, dtype=int)) < 0.8 * 50 / 400


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_accidents_bound_the_share_of_wrong_labels(share: float) -> None:
    """Held-out samples of a calibrated model, 300: the share of wrong labels is below in 19 of 20 of 200 draws."""
    below = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        sure, given = rng.uniform(0.4, 1, 300), rng.integers(0, 4, 300)
        wrong = rng.random(300) < share
        below += wrong.mean() <= accidents(sure, wrong | (rng.random(300) > sure), given)
    assert below >= 190
