"""Which clips are swapped, and why it is not judged: margins of a group that is a mode or a tail, and who reads."""

from __future__ import annotations

import numpy as np
import pytest

from curate.scores.bounds import UNKNOWN, WrongBounds, wrong_bounds
from curate.scores.labels import judge, own_bounds
from curate.scores.preferences import Preferences
from curate.scores.references import Looks, look_alikes
from curate.scores.swaps import HARD, NOBODY_READS, READS_FEW, WRONG_LABELS, typical
from curate.scores.two_groups import CLAIMED

COUNT, CLASSES = 1000, 5
LABELS = np.arange(COUNT) % CLASSES


def said(margins: np.ndarray, other: np.ndarray, rest: float = 1.5) -> Preferences:
    """(N, M + 1) margins and other classes; everybody prefers the label by `rest` to the other class of another."""
    own = np.full(margins.shape, 0.05)
    cross = np.full((*margins.shape, margins.shape[1]), 0.05 / np.exp(rest))
    each = np.arange(margins.shape[1])
    cross[:, each, each] = own / np.exp(margins)
    return Preferences(own, other, cross)


@pytest.mark.parametrize("favoured", [0.0, 0.3])
@pytest.mark.parametrize("apart", [2.6, 5.0])
def test_a_tail_is_not_judged_where_what_it_shows_may_go_with_the_label(favoured: float, apart: float) -> None:
    """A tenth of the pictures shows another class, 2.6 spreads away, which is no mode, or 5. It shows any class, or the
    next one more often: further than chance, not clearly further than the limit."""
    rng, low = np.random.default_rng(3), np.arange(COUNT) < COUNT // 10
    spread = 2.8 / apart
    margins = np.stack(
        [
            rng.normal(1.5, 0.3, COUNT),
            rng.normal(np.where(low, -1.3, 1.5), spread),
            rng.normal(np.where(low, 0.2, 1.5), 0.3),
        ],
        axis=1,
    )
    steps = np.where(rng.random(COUNT) < favoured, 1, rng.integers(1, CLASSES, COUNT))
    other = np.repeat(((LABELS + steps) % CLASSES)[:, None], 3, axis=1)
    together, error = typical(LABELS, other[:, 1], low.astype(float)) or (0.0, 0.0)
    assert together - 2 * error < 0.1 and (together + 2 * error > 0.1) == (favoured > 0)
    found = judge(said(margins, other), LABELS, np.zeros((COUNT, 2)))
    judged = apart > 3 or not favoured
    assert found.unjudged == ("", "" if judged else HARD)
    assert not (found.p_mislabelled > CLAIMED).any() and not found.p_swapped[:, 0].any()
    if judged:
        assert low[found.p_swapped[:, 1] > CLAIMED].mean() > 0.75
    else:
        assert np.isnan(found.p_swapped[:, 1]).all()


@pytest.mark.parametrize(("prefers", "reasons"), [(0.5, (READS_FEW, NOBODY_READS)), (0.7, ("", ""))])
def test_it_is_said_who_reads_too_little(prefers: float, reasons: tuple[str, str]) -> None:
    rng = np.random.default_rng(0)
    margins = rng.normal(1.5, 0.3, (COUNT, 3))
    margins[:, 0] = np.where(np.arange(COUNT) < prefers * COUNT, 0.5, -0.1) + rng.normal(0, 0.01, COUNT)
    found = judge(said(margins, np.repeat((LABELS[:, None] + 1) % CLASSES, 3, axis=1)), LABELS, np.zeros((COUNT, 2)))
    assert found.unjudged == reasons
    assert np.isnan(found.p_swapped).any(axis=0).tolist() == [bool(reason) for reason in reasons]


@pytest.mark.parametrize(
    ("wrong", "claimed"),
    [(UNKNOWN, 0.5), (WrongBounds(0.06, accidents=0.15), 1.0), (WrongBounds(0.06, accidents=0.07), 0.5)],
)
def test_what_may_be_swapped_or_wrong_is_wrong_where_held_out_samples_show_as_many(wrong, claimed: float) -> None:
    """A tenth of the labels is denied by the picture and by the fusion; the sound prefers one of two of these labels to
    what the picture shows."""
    rng, low = np.random.default_rng(0), np.arange(COUNT) < COUNT // 10
    centre = np.stack([np.full(COUNT, 1.5), np.where(low, -1.5, 1.5), np.where(low, -1.5, 1.5)], axis=1)
    told = said(rng.normal(centre, 0.3), (LABELS[:, None] + rng.integers(1, CLASSES, (COUNT, 3))) % CLASSES)
    told.cross[low, 1, 0] = 0.05 / np.exp(rng.normal(np.where(np.arange(COUNT // 10) % 2, 1.5, -1.5), 0.3))
    found = judge(told, LABELS, np.zeros((COUNT, 2)), wrong=wrong)
    assert found.unjudged == ("", WRONG_LABELS) and np.isnan(found.p_swapped[:, 1]).all()
    assert (found.p_mislabelled > CLAIMED)[low].mean() == pytest.approx(claimed, abs=0.05)
    assert not (found.p_mislabelled > CLAIMED)[~low].any()


def test_wrong_labels_of_unequal_classes_are_told_where_held_out_samples_show_some() -> None:
    """A sixth is of one of two classes, a tenth has the wrong one: at equal frequency hardly any of these is denied."""
    rng, true = np.random.default_rng(0), (np.arange(COUNT) % 6 == 0).astype(int)
    wrong = np.arange(COUNT) // 6 % 10 == 3
    labels = np.where(wrong, 1 - true, true)
    margins = rng.normal(np.where(wrong, -0.9, 1.5)[:, None], 0.3, (COUNT, 3))
    told = said(margins, np.repeat(1 - labels[:, None], 3, axis=1))
    assert (told.at_equal_frequency(labels).margin(2)[wrong & (labels == 1)] > -0.7).mean() > 0.9
    assert not (judge(told, labels, np.zeros((COUNT, 2))).p_mislabelled > CLAIMED).any()
    claimed = judge(told, labels, np.zeros((COUNT, 2)), wrong=WrongBounds(0.06)).p_mislabelled > CLAIMED
    assert claimed[wrong].mean() > 0.95 and wrong[claimed].mean() > 0.95


@pytest.mark.parametrize("kind", ["swapped", "broken", "wrong"])
def test_labels_that_a_swapped_or_broken_clip_makes_the_fusion_deny_show_no_wrong_ones(kind: str) -> None:
    """Of 40 samples the fusion denies the label, and is surest there: their picture is another's, or broken, or the
    label is wrong. Only the last shows that labels are."""
    rng, low = np.random.default_rng(3), np.arange(COUNT) < 40
    sides = (-1.3 if kind == "wrong" else 1.5, -1.3, -0.8)
    margins = np.stack([rng.normal(np.where(low, side, 1.5), 0.3) for side in sides], axis=1)
    other = np.repeat(((LABELS + rng.integers(1, CLASSES, COUNT)) % CLASSES)[:, None], 3, axis=1)
    told = said(margins, other, rest=-1.3 if kind == "wrong" else 1.5)
    p_broken = np.zeros((COUNT, 2))
    p_broken[low, 1] = kind == "broken"
    every, own = wrong_bounds(*told.decided(LABELS)), own_bounds(told, LABELS, p_broken)
    assert every.least > 0.2 and own.least == (every.least if kind == "wrong" else 0)
    assert own.accidents <= every.accidents < 0.1, "though nothing else is denied"


@pytest.mark.parametrize("place", ["of the class shown", "of its own", "of both", "of a third"])
def test_swapped_clips_have_the_content_of_another_class(place: str) -> None:
    """A tenth of the pictures shows any other class. Each class has a content of its own; these have that of the class
    they show, or a second one of their own class, which the model takes for any other, or half of them either, or that
    of neither, as an upturned sensor's may have."""
    rng, low = np.random.default_rng(3), np.arange(COUNT) < COUNT // 10
    margins = np.stack([rng.normal(np.where(low, side, 1.5), 0.3) for side in (1.5, -1.4, 0.4)], axis=1)
    shown = np.where(low, (LABELS + rng.integers(1, CLASSES, COUNT)) % CLASSES, LABELS)
    either = np.where(rng.random(COUNT) < 0.5, LABELS, shown)
    third = np.where(low, (LABELS + rng.integers(1, CLASSES, COUNT)) % CLASSES, LABELS)
    kinds = {"of the class shown": shown, "of its own": LABELS + CLASSES * low, "of both": either, "of a third": third}
    content = 9.0 * np.eye(2 * CLASSES)[kinds[place]] + rng.normal(size=(COUNT, 2 * CLASSES))
    seen = Looks(None, content, look_alikes(content), content)
    other = np.repeat(np.where(low, shown, (LABELS + 1) % CLASSES)[:, None], 3, axis=1)
    found = judge(said(margins, other), LABELS, np.zeros((COUNT, 2)), looks=[None, seen])
    if place == "of the class shown":
        assert low[found.p_swapped[:, 1] > CLAIMED].mean() > 0.9 and (found.p_swapped[low, 1] > CLAIMED).mean() > 0.9
    else:
        assert found.unjudged == ("", HARD) and np.isnan(found.p_swapped[:, 1]).all()
    assert not (found.p_mislabelled[low] > CLAIMED).any(), "the label is right in any case"


def test_content_beside_that_of_the_same_label_by_hand() -> None:
    """Five samples on a line, each asked of the two nearest: of 0 these are 1 and 2, with the labels b and a."""
    content, labels = np.array([[0.0], [1.0], [2.1], [3.3], [9.0]]), np.array([0, 1, 0, 0, 1])
    looks = Looks(None, content, look_alikes(content), content)
    assert looks.shows is not None and looks.shows.neighbours == 2
    np.testing.assert_allclose(looks.sharing(labels, labels, np.array([0, 2])), [0.5, 0.5])
    assert looks.pooled(content[:, 0], np.array([0])) is None
    assert Looks(look_alikes(content), content).sharing(labels, labels, np.array([0])) is None
