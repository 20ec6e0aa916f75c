"""Wrong labels and swapped clips, on margins whose nature is known by construction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from curate.scores.bounds import WrongBounds
from curate.scores.labels import (
    DENIES,
    contradicted,
    judge,
    vouched,
)
from curate.scores.preferences import Preferences, preferences
from curate.scores.references import Looks, look_alikes
from curate.scores.swaps import PREFERS, typical
from curate.scores.two_groups import CLAIMED, at_most
from curate.types import FUSED

COUNT, CLASSES = 1000, 5
NAMES = ("audio", "visual")
RIGHT, WRONG = 1.5, -1.3
LABELS = np.arange(COUNT) % CLASSES
"""No class is more frequent."""


def told(margins: np.ndarray, rest: np.ndarray | None = None) -> Preferences:
    """Preferences with the (N, M + 1) margins given, and with `rest` (N, M) as what others say of one's other class.

    The other class is drawn at random.
    """
    own = np.full(margins.shape, 0.05)
    cross = np.repeat((own / np.exp(margins))[:, None, :], margins.shape[1], axis=1)
    if rest is not None:
        for m in range(rest.shape[1]):
            cross[:, 1 - m, m] = own[:, m] / np.exp(rest[:, m])
    other = (LABELS[: len(margins), None] + np.random.default_rng(9).integers(1, CLASSES, margins.shape)) % CLASSES
    return Preferences(own, other, cross)


def world(wrong: int = 0, swapped: int = 0, hard: int = 0, seed: int = 0) -> tuple[Preferences, np.ndarray]:
    """The first samples have a wrong label, the next a swapped picture, the next show nothing; and their kinds."""
    rng = np.random.default_rng(seed)
    kind = np.repeat([1, 2, 3, 0], [wrong, swapped, hard, COUNT - wrong - swapped - hard])
    place = np.array([[RIGHT, WRONG, RIGHT, RIGHT], [RIGHT, WRONG, WRONG, 0.0], [2.0, -1.5, 0.9, 1.0]])
    margins = rng.normal(place[:, kind].T, 0.5)
    rest = rng.normal(np.array([[RIGHT, WRONG, RIGHT, RIGHT], [RIGHT, WRONG, WRONG, 0.0]])[:, kind].T, 0.5)
    return told(margins, rest), kind


@pytest.mark.parametrize("seed", range(3))
def test_wrong_labels_and_swapped_pictures_are_told_apart_and_probabilities_are_calibrated(seed: int) -> None:
    said, kind = world(wrong=100, seed=seed)
    found = judge(said, LABELS, np.zeros((COUNT, 2)))
    claimed = found.p_mislabelled > CLAIMED
    assert (kind[claimed] == 1).mean() >= 0.95 and claimed[kind == 1].mean() >= 0.9 and not found.p_swapped.any()
    assert found.p_mislabelled.mean() == pytest.approx(0.1, abs=0.02)
    said, kind = world(swapped=100, seed=seed)
    found = judge(said, LABELS, np.zeros((COUNT, 2)))
    claimed = found.p_swapped[:, 1] > CLAIMED
    assert (kind[claimed] == 2).mean() >= 0.95 and claimed[kind == 2].mean() >= 0.9
    assert not found.p_swapped[:, 0].any() and not (found.p_mislabelled > CLAIMED).any()


@pytest.mark.parametrize("share", [0.03, 0.3, 0.45])
def test_few_wrong_labels_are_found_and_so_are_many(share: float) -> None:
    said, kind = world(wrong=int(share * COUNT))
    found = judge(said, LABELS, np.zeros((COUNT, 2)))
    claimed = found.p_mislabelled > CLAIMED
    assert (kind[claimed] == 1).mean() >= 0.95 and claimed[kind == 1].mean() >= 0.9
    assert found.p_mislabelled.mean() == pytest.approx(share, abs=0.02)


def test_who_shows_nothing_vouches_for_no_label() -> None:
    """A tenth of the labels is wrong. Sound denies them; pictures say little, or prefer all labels."""
    said, kind = world(wrong=100)
    rng, margins = np.random.default_rng(4), np.stack([said.margin(m) for m in range(3)], axis=1)
    for prefers, vouches in ((0.1, False), (0.2, False), (1.5, True)):
        margins[:, 1] = rng.normal(prefers, 1.0, COUNT)
        rest = np.stack([said.margin(0, 1), rng.normal(prefers, 1.0, COUNT)], axis=1)  # by pictures, as of right labels
        found = judge(told(margins, rest), LABELS, np.zeros((COUNT, 2)))
        swapped, wrong = found.p_swapped[:, 0] > CLAIMED, found.p_mislabelled > CLAIMED
        assert swapped[kind == 1].mean() > 0.9 if vouches else not swapped.any()
        assert not wrong[kind == 1].mean() > 0.1 if vouches else wrong[kind == 1].mean() > 0.9


def test_what_may_be_a_swapped_clip_is_not_called_a_wrong_label() -> None:
    """As many swapped pictures as wrong labels, and a fusion that follows pictures: it is not clear which are more."""
    said, kind = world(wrong=60, swapped=60)
    follows = said.cross.copy()
    follows[:, 2, 2] = said.own[:, 2] / np.exp(np.where(kind == 2, said.margin(1), said.margin(2)))
    found = judge(replace(said, cross=follows), LABELS, np.zeros((COUNT, 2)))
    denied, claimed = follows[:, 2, 2] > said.own[:, 2], found.p_mislabelled > CLAIMED
    assert denied[kind == 2].mean() > 0.95
    assert claimed[kind == 1].mean() > 0.8 and claimed[kind == 2].mean() < 0.1
    assert np.isnan(found.p_swapped[:, 1]).all() and not (found.p_swapped[:, 0] > CLAIMED).any()


def test_nothing_is_claimed_where_nothing_denies() -> None:
    for said in (world()[0], world(hard=200)[0]):
        found = judge(said, LABELS, np.zeros((COUNT, 2)))
        assert not found.p_mislabelled.any() and not found.p_swapped.any()


@pytest.mark.parametrize(("seed", "share", "most"), [(0, 0.3, 1.4), (1, 0.2, 1.6), (2, 0.2, 1.6)])
def test_one_skewed_group_is_not_a_group_of_wrong_labels(seed: int, share: float, most: float) -> None:
    """Damage that nobody claimed pulls some margins below zero, by more or less: a tail without a mode of its own."""
    rng = np.random.default_rng(seed)
    margins = rng.normal(0.9, 0.35, (COUNT, 3))
    pulled = rng.random((COUNT, 1)) < share
    margins -= np.where(pulled, rng.uniform(0, most, (COUNT, 1)), 0)
    assert (margins[:, 2] < -0.2).mean() > 0.05, "many labels are denied"
    assert not judge(told(margins), LABELS, np.zeros((COUNT, 2))).p_mislabelled.any()


def test_wrong_labels_that_held_out_samples_show_need_not_be_a_mode() -> None:
    """A tenth, 2.7 spreads below the others: a tail, of which only held-out samples say that it is wrong labels."""
    rng, wrong = np.random.default_rng(0), np.arange(COUNT) < COUNT // 10
    for apart, found in ((2.7, True), (2.0, False)):
        spread = (RIGHT - WRONG) / apart
        said = told(rng.normal(np.where(wrong, WRONG, RIGHT)[:, None], spread, (COUNT, 3)))
        assert not judge(said, LABELS, np.zeros((COUNT, 2))).p_mislabelled.any()
        claimed = judge(said, LABELS, np.zeros((COUNT, 2)), wrong=WrongBounds(0.06)).p_mislabelled > CLAIMED
        assert (wrong[claimed].mean() > 0.8 and claimed[wrong].mean() > 0.5) if found else not claimed.any()


def test_clips_that_look_like_no_others_are_not_swapped() -> None:
    """A hundred clips show any other class: of ordinary look, or all of a look of their own, as damage has."""
    said, kind = world(swapped=100)
    rng = np.random.default_rng(3)
    ordinary, apart = rng.normal(size=(COUNT, 4)), rng.normal(size=(COUNT, 4)) + 9.0 * (kind == 2)[:, None]
    for values, found in ((ordinary, True), (apart, False)):
        seen = Looks(look_alikes(values), values)
        pooled = seen.pooled((kind == 2).astype(float), np.flatnonzero(kind == 2))
        assert (pooled.mean() < 0.2) if found else (pooled.mean() > 0.9)
        found_by = judge(said, LABELS, np.zeros((COUNT, 2)), looks=[None, seen])
        claimed = found_by.p_swapped[:, 1] > CLAIMED
        assert claimed[kind == 2].mean() > 0.8 if found else not claimed.any()
        assert (found_by.p_mislabelled[kind == 2] > CLAIMED).mean() < 0.2, "the label is right in any case"


@pytest.mark.parametrize(
    ("share", "limit", "judged"), [(0.6, 1, False), (0.4, 0.5, True), (0.4, 0.32, True), (0.4, 0.28, False)]
)
def test_most_labels_are_not_wrong_nor_many_more_than_a_plain_classifier_leaves_room_for(share, limit, judged) -> None:
    """A model that has learnt little denies most labels. A third above the limit may be chance, more is not.

    So it is of what held-out samples leave room for: what a model cannot tell is a group of margins too.
    """
    said, kind = world(wrong=int(share * COUNT))
    for bound in (WrongBounds(limit=limit), WrongBounds(accidents=limit)):
        found = judge(said, LABELS, np.zeros((COUNT, 2)), wrong=bound).p_mislabelled
        assert (found[kind == 1] > CLAIMED).mean() > 0.9 if judged else np.isnan(found).all()


def test_the_others_must_read_to_vouch_for_a_label_and_so_must_the_modality_itself() -> None:
    said, kind = world(swapped=250)
    margins = np.stack([said.margin(m) for m in range(3)], axis=1)
    vouched = np.stack([said.margin(0, 1), said.margin(1, 0)], axis=1)
    badly = margins.copy()
    badly[:, 1] = np.random.default_rng(1).normal(np.where(kind == 2, -1.0, 0.28), 0.45)
    assert (badly[:, 1] > 0).mean() < PREFERS < (margins[:, 1] > 0).mean()
    cases = [told(margins, vouched), told(margins, vouched - 2.5), told(badly, vouched)]
    found = [judge(one, LABELS, np.zeros((COUNT, 2))).p_swapped[:, 1] > CLAIMED for one in cases]
    assert found[0][kind == 2].mean() >= 0.9, "the others prefer the label"
    assert not found[1].any(), "they deny nearly every label"
    assert not found[2].any(), "many pictures that are nobody else's are read as another class"
    judged = [~np.isnan(judge(one, LABELS, np.zeros((COUNT, 2))).p_swapped).any(axis=0) for one in cases]
    assert [list(one) for one in judged] == [[True, True], [True, True], [False, False]], "nor do these vouch"


@pytest.mark.parametrize(("step", "found"), [(1, False), (2, False), (None, True)])
def test_clips_that_show_a_class_which_goes_with_the_label_are_not_swapped(step: int | None, found: bool) -> None:
    """Each label is taken for the next class, or the one after, or what is shown is drawn at random."""
    said, kind = world(swapped=100)
    other = said.other.copy()
    if step is not None:
        other[:, 1] = (LABELS + step) % CLASSES
    claimed = judge(replace(said, other=other), LABELS, np.zeros((COUNT, 2))).p_swapped[:, 1] > CLAIMED
    assert claimed[kind == 2].mean() >= 0.9 if found else not claimed.any()


@pytest.mark.parametrize(("spread", "found"), [(0.4, True), (0.9, False)])
def test_of_two_classes_swapped_clips_must_stand_apart(spread: float, found: bool) -> None:
    """What is shown instead is always the other class, so it says nothing."""
    rng, swapped, labels = np.random.default_rng(0), np.arange(COUNT) < 100, np.arange(COUNT) % 2
    margins = np.stack([rng.normal(at, spread, COUNT) for at in (RIGHT, np.where(swapped, -RIGHT, RIGHT), 1.0)], axis=1)
    said = replace(told(margins, np.full((COUNT, 2), RIGHT)), other=np.repeat(1 - labels[:, None], 3, axis=1))
    claimed = judge(said, labels, np.zeros((COUNT, 2))).p_swapped[:, 1] > CLAIMED
    assert claimed[swapped].mean() >= 0.9 if found else not claimed.any()


def test_how_far_the_shown_class_goes_with_the_label_by_hand() -> None:
    """Four of each of three classes: of two samples with a label, half would show the same other class by chance."""
    labels, ones = np.repeat([0, 1, 2], 4), np.ones(12)
    next_one, mixed = (labels + 1) % 3, (labels + np.tile([1, 1, 2, 2], 3)) % 3
    assert typical(labels, next_one, ones) == pytest.approx((1, 0))
    error = (1 / 3 * 2 / 3 / 18) ** 0.5 / (1 - 1 / 2)
    assert typical(labels, mixed, ones) == pytest.approx(((1 / 3 - 1 / 2) / (1 - 1 / 2), error))
    assert typical(labels, mixed, (np.arange(12) % 4 < 2).astype(float)) == pytest.approx((1, 0))
    assert typical(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0]), np.ones(4)) is None
    assert typical(np.array([0, 1, 2]), np.array([1, 2, 0]), np.ones(3)) is None
    assert typical(np.array([1, 1, 1]), np.array([0, 2, 0]), np.ones(3)) == pytest.approx((1 / 3, 2**0.5 / 27**0.5))


@pytest.mark.parametrize("seed", range(3))
def test_clips_of_others_go_with_the_label_as_if_drawn_at_random(seed: int) -> None:
    """Whatever the frequencies of the classes."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(4, 4000, p=[0.5, 0.3, 0.15, 0.05])
    partner = rng.permutation(4000)
    differs = labels[partner] != labels
    found, error = typical(labels, labels[partner], differs.astype(float))
    assert found == pytest.approx(0, abs=0.02) and 0 < error < 0.01


def test_what_is_broken_or_badly_read_is_not_judged() -> None:
    said, kind = world(wrong=100)
    broken = np.stack([np.zeros(COUNT), np.where(np.arange(COUNT) < 30, 0.9, 0.0)], axis=1)
    found = judge(said, LABELS, broken)
    assert not found.p_mislabelled[:30].any() and (found.p_mislabelled[30:100] > CLAIMED).mean() >= 0.9
    assert np.isnan(judge(said, LABELS, broken, reads=0.5).p_mislabelled).all()
    few = Preferences(said.own[:40], said.other[:40], said.cross[:40])
    assert not judge(few, LABELS[:40], np.zeros((40, 2))).p_mislabelled.any()
    assert not kind[100:].any()


def test_a_single_modality_has_wrong_labels_and_no_swaps() -> None:
    margins = np.random.default_rng(0).normal(np.where(np.arange(COUNT) < 100, WRONG, RIGHT)[:, None], 0.4, (COUNT, 2))
    found = judge(told(margins), LABELS, np.zeros((COUNT, 1)))
    assert found.p_swapped.shape == (COUNT, 1) and not found.p_swapped.any()
    assert (found.p_mislabelled[:100] > CLAIMED).mean() >= 0.95


def test_what_shows_nothing_is_given_to_the_frequent_class_and_denies_no_label() -> None:
    """Nine in ten samples are of class 0, which three in four of the others are predicted as, by its frequency alone;
    10 of class 0 are really of class 1. A modality that shows nothing has margins of the frequencies, log(101/901)."""
    rng, labels = np.random.default_rng(0), np.repeat([0, 1], [900, 100])
    wrong, ignorant = np.arange(COUNT) < 40, np.arange(COUNT) >= 925
    place = np.select([wrong, ignorant], [-3.5, np.log(101 / 901)], 4.0)[:, None]
    one = np.zeros(COUNT, dtype=np.int64)
    blind = replace(told(rng.normal(place, 0.2, (COUNT, 3))), other=np.zeros((COUNT, 3), dtype=np.int64))
    said = replace(blind, other=np.repeat(1 - labels[:, None], 3, axis=1))
    for judged, of, among in ((blind, one, wrong | ignorant), (said, labels, wrong)):
        claimed = judge(judged, of, np.zeros((COUNT, 2))).p_mislabelled > CLAIMED
        assert np.array_equal(claimed, among)


def test_margins_at_equal_frequency_by_hand() -> None:
    """Two samples of class 0, none of class 1, one of class 2: n + 1 is 3, 1 and 2."""
    own, other = np.full((3, 1), 0.2), np.array([[1], [2], [0]])
    said = Preferences(own, other, np.full((3, 1, 1), 0.4))
    found = said.at_equal_frequency(np.array([0, 0, 2]))
    assert found.margin(0) == pytest.approx(np.log([0.5 / 3, 0.5 * 2 / 3, 0.5 * 3 / 2]))
    assert said.margin(0) == pytest.approx(np.log([0.5] * 3))


def test_margins_at_equal_confidence_by_hand() -> None:
    """Class 0 has .2 and .4 on its own samples, mean .3; class 2 has .8; no sample has class 1."""
    own, other = np.array([[0.2], [0.4], [0.8]]), np.array([[1], [2], [0]])
    said = Preferences(own, other, np.full((3, 1, 1), 0.1))
    expected = np.log([2 / 0.3, 4 * 0.8 / 0.3, 8 * 0.3 / 0.8])
    assert said.at_equal_confidence(np.array([0, 0, 2])).margin(0) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_wrong_labels_of_one_class_are_told_though_the_model_learns_them(seed: int) -> None:
    """Of three classes of 200, 30 of class 0 are named 1: they are given 1 with .43 and 0 with .37.

    Their margin is log(.43 / .37) - log(231 / 171) = -.15, hardly below 0. But class 0 has .66 on its own samples, and
    class 1 .87: log(.66 / .87) = -.27 less.
    """
    rng = np.random.default_rng(seed)
    true, wrong = np.repeat([0, 1, 2], 200), np.arange(600) < 30
    labels = np.where(wrong, 1, true)
    own = np.select([wrong, true == 0], [0.43, 0.66], 0.93) * np.exp(rng.normal(0, 0.1, 600))
    rest = np.select([wrong, true == 0], [0.37, 0.22], 0.06) * np.exp(rng.normal(0, 0.45, 600))
    other = np.select([wrong, true == 0], [0, 1], 2 - true)
    said = Preferences(*(np.tile(x[:, None], 3) for x in (own, other)), np.tile(rest[:, None, None], (3, 3)))
    claimed = judge(said, labels, np.zeros((600, 2))).p_mislabelled > CLAIMED
    assert claimed[wrong].mean() >= 0.9 and wrong[claimed].mean() >= 0.95


@pytest.mark.parametrize("seed", range(3))
def test_wrong_labels_among_very_unequal_classes_are_told(seed: int) -> None:
    """A wrong label is mostly of a rare class and shows a frequent one: at equal frequency it is denied less."""
    rng, count = np.random.default_rng(seed), 880
    true = np.repeat(np.arange(6), [500, 200, 100, 50, 20, 10])
    wrong = rng.permutation(count) < 88
    labels = np.where(wrong, (true + rng.integers(1, 6, count)) % 6, true)
    other = np.where(wrong, true, np.where(true == 0, 1, 0))
    own = np.array([0.9, 0.8, 0.7, 0.5, 0.4, 0.3])[labels] * np.where(wrong, 0.1, 1)
    rest = own / np.exp(rng.normal(np.where(wrong, -2.4, 2.6), 1.0))
    said = Preferences(*(np.tile(x[:, None], 3) for x in (own, other)), np.tile(rest[:, None, None], (3, 3)))
    claimed = judge(said, labels, np.zeros((count, 2))).p_mislabelled > CLAIMED
    assert wrong[claimed].mean() >= 0.95 and claimed[wrong].mean() >= 0.5


def test_preferences_by_hand() -> None:
    first, second = np.array([[0.5, 0.3, 0.2]]), np.array([[0.1, 0.2, 0.7]])
    epochs = [{"audio": first, "visual": second, FUSED: first}, {"audio": second, "visual": second, FUSED: second}]
    found = preferences(epochs, NAMES, np.array([0]))
    assert found.other.tolist() == [[2, 2, 2]]
    assert found.own[0] == pytest.approx([0.3, 0.1, 0.3])
    assert found.cross[0, 1] == pytest.approx([0.45, 0.7, 0.45])
    assert found.margin(1) == pytest.approx(np.log([0.1 / 0.7]))
    assert found.margin(0, 1) == pytest.approx(np.log([2 / 3]))
    weights = {"audio": np.array([3.0, 1.0]), "visual": np.ones(2), FUSED: np.array([1.0, 0.0])}
    found = preferences(epochs, NAMES, np.array([0]), weights)
    assert found.own[0] == pytest.approx([0.4, 0.1, 0.5]) and found.other.tolist() == [[2, 2, 1]]
    assert found.cross[0, 0] == pytest.approx([0.325, 0.7, 0.2])


def test_a_look_vouches_for_the_labels_that_it_has_more_than_once() -> None:
    rng = np.random.default_rng(0)
    look = np.concatenate([np.ones((5, 3)), rng.normal(size=(40, 3))])
    labels = np.concatenate([[0, 0, 0, 1, 1], np.zeros(40)]).astype(np.int64)
    assert np.array_equal(np.flatnonzero(vouched([look], labels)), range(5))
    labels[4] = 2
    assert np.array_equal(np.flatnonzero(vouched([look], labels)), range(3)), "labels that it has once"
    noise = look * (1 + 1e-7 * rng.normal(size=look.shape))  # as features in batches of other sizes differ
    assert vouched([noise], labels)[:3].all()
    assert vouched([np.zeros((4, 2))] * 2, np.array([0, 0, 1, 2])).tolist() == [[True] * 2] * 2 + [[False] * 2] * 2


def test_copies_contradict_each_other_if_they_are_alike_by_every_modality() -> None:
    rng = np.random.default_rng(0)
    sound, picture = rng.normal(size=(2, 40, 3))
    sound[1], picture[1] = sound[0], picture[0]  # a copy with another label
    sound[3] = sound[2]  # one modality alone
    sound[5:7], picture[5:7] = sound[4], picture[4]  # two labels, one of them twice
    sound[9], picture[9] = sound[8], picture[8]  # the same label
    labels = np.arange(40) % 4
    labels[[4, 5, 6, 8, 9]] = [0, 0, 1, 2, 2]
    assert np.flatnonzero(contradicted([sound, picture], labels)).tolist() == [0, 1, 6]
    assert 3 in np.flatnonzero(contradicted([sound], labels))


def test_of_copies_the_label_is_wrong_that_the_fusion_likes_less_though_they_are_no_group() -> None:
    """80 clips, each beside itself with a wrong label: what a model says of both lies between."""
    said, _ = world()
    margins, rng = np.stack([said.margin(m) for m in range(3)], axis=1), np.random.default_rng(6)
    copies, wrong = np.arange(COUNT) < 160, np.arange(COUNT) < 80
    margins[copies] = rng.normal(np.where(wrong, -0.5, 0.4)[copies, None], 0.1, (160, 3))
    said, nobody = told(margins, margins[:, :2]), np.zeros((COUNT, 2))
    assert not (judge(said, LABELS, nobody).p_mislabelled > CLAIMED)[wrong].any(), "two halves that pull both ways"
    p = judge(said, LABELS, nobody, copies=copies).p_mislabelled
    assert np.array_equal(p > CLAIMED, wrong)
    assert p[:80] == pytest.approx(1 / (1 + np.exp(margins[:80, 2])))
    assert np.isnan(judge(said, LABELS, nobody, 0.5, copies=copies).p_mislabelled).all()
    broken = np.where(copies[:, None], [1.0, 0.0], 0.0)  # silence under two labels says nothing of either
    assert not judge(said, LABELS, broken, copies=copies).p_mislabelled[copies].any()


def test_a_label_is_not_wrong_if_every_modality_that_denies_it_is_vouched_for() -> None:
    """100 wrong labels, which nearly all both modalities and the fusion deny."""
    said, kind = world(wrong=100)

    def claimed(vouches: np.ndarray | None = None) -> np.ndarray:
        return judge(said, LABELS, np.zeros((COUNT, 2)), vouches=vouches).p_mislabelled > CLAIMED

    nobody = np.zeros((COUNT, 2), dtype=bool)
    assert np.array_equal(claimed(nobody), claimed())
    one, both, half = nobody.copy(), nobody.copy(), np.arange(COUNT) < 50
    one[half, 0], both[half] = True, True
    first, second = (said.margin(m) < -DENIES for m in (0, 1))
    assert claimed(one)[half & second].mean() > 0.9 and not claimed(one)[half & first & ~second].any()
    assert not claimed(both)[half & (first | second)].any() and claimed(both)[50:100].mean() > 0.9
    assert claimed(both)[kind == 0].mean() < 0.01


def test_probabilities_are_lowered_to_a_mean_by_the_same_log_odds() -> None:
    assert at_most(np.full(8, 0.5), 0.2) == pytest.approx(np.full(8, 0.2))
    p = np.array([0.0, 0.2, 0.5, 0.9, 1.0])
    assert at_most(p, 0.6) is p
    found = at_most(p, 0.3)
    assert found.mean() == pytest.approx(0.3) and found[0] == 0 and (np.diff(found) > 0).all()
    odds = np.log(found[1:4] / (1 - found[1:4])) - np.log(p[1:4] / (1 - p[1:4]))
    assert odds == pytest.approx(np.full(3, odds[0])) and not at_most(p, 0.0).any()


def test_as_many_sure_probabilities_as_the_share_allows_stay() -> None:
    """Log-odds of 1 are not finite; nothing is to be lowered but what makes them so."""
    p = np.r_[np.ones(30), 1.4e-6, np.zeros(387)]
    assert at_most(p, 30 / 418) == pytest.approx(p, abs=1e-5)
