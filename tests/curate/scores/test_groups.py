"""What a group is besides broken, on groups whose nature is known by construction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from curate.scores import usability
from curate.scores.groups import Readable, apart, completed, crossing, readable, weak_classes
from curate.scores.guard import Guard, Labels, broken
from curate.scores.references import load, save
from curate.scores.usability import Evidence, assess


def test_a_group_of_whole_classes_is_named_and_a_random_one_is_not() -> None:
    labels = np.repeat(np.arange(5), 40)
    assert weak_classes(np.isin(labels, (1, 3)), labels, 5).tolist() == [False, True, False, True, False]
    drawn = np.random.default_rng(0).random(200) < 0.3
    assert not weak_classes(drawn, labels, 5).any()
    assert not weak_classes(np.ones(200, dtype=bool), labels, 5).any()  # everyone: no class explains that


def test_a_tiny_class_within_a_random_group_is_an_accident() -> None:
    labels = np.append(np.repeat(np.arange(2), 100), 2)
    inside = np.append(np.resize([True, False, False], 200), True)
    assert not weak_classes(inside, labels, 3).any()


def grouped(kind: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patterns of four classes, labels, and a tenth that is negated, noise, or as the rest."""
    rng = np.random.default_rng(seed)
    labels, group = np.resize(np.arange(4), 600), np.repeat([True, False], [60, 540])
    pattern = np.eye(4)[labels].repeat(4, axis=1) + rng.normal(0, 0.3, (600, 16))
    if kind == "negated":
        pattern[group] *= -1
    if kind == "noise":
        pattern[group] = rng.normal(0, 1, (60, 16))
    return pattern, labels, group


@pytest.mark.parametrize(("kind", "held"), [("negated", True), ("as the rest", True), ("noise", False)])
def test_what_holds_the_class_is_readable_by_itself(kind: str, held: bool) -> None:
    found = readable(*grouped(kind))
    assert found is not None and found.chance == 0.25
    assert found.unreadable != held and found.as_others == held
    assert readable(grouped(kind)[0], np.zeros(600, dtype=int), grouped(kind)[2]) is None  # one class: nothing to read


def test_what_is_as_long_as_its_class_is_not_readable_by_that() -> None:
    """Sounds of which the class is read from the place, and from the length; a tenth is noise of the same lengths."""
    rng = np.random.default_rng(0)
    labels, group = np.resize(np.arange(4), 600), np.repeat([True, False], [60, 540])
    sounding = np.arange(16) < (6 + 2 * labels + rng.integers(0, 3, 600))[:, None]
    content = np.where(group[:, None], 0, 2 * np.roll(np.eye(4), 1, axis=1)[labels][:, np.arange(16) % 4])
    pattern = np.where(sounding, 5 + content + rng.normal(0, 0.3, (600, 16)), 0)
    found = readable(pattern, labels, group)
    assert found is not None and found.accuracy > 0.5 and found.unreadable and not found.as_others
    shown = 2 * np.roll(np.eye(4), 1, axis=1)[labels][:, np.arange(16) % 4]
    turned = np.where(group[:, None] & sounding, pattern + 2 - shown, pattern)  # the content, negated
    found = readable(turned, labels, group)
    assert found is not None and not found.unreadable and found.as_others


def test_readable_by_hand() -> None:
    assert not Readable(0.5, 0.0, 0.9, 0.1).unreadable and Readable(0.49, 0.0, 0.9, 0.1).unreadable
    assert not Readable(0.49, 0.05, 0.9, 0.1).unreadable  # not shown
    assert Readable(0.69, 0.0, 0.9, 0.1, 0.5, 0.5).unreadable and not Readable(0.7, 0.0, 0.9, 0.1, 0.5, 0.5).unreadable
    assert Readable(0.8, 0.05, 0.9, 0.1).as_others and not Readable(0.79, 0.05, 0.9, 0.1).as_others
    assert not Readable(0.5, 0.1, 0.6, 0.1, bare=0.4).as_others
    assert not Readable(0.3, 0.06, 0.25, 0.1, others_bare=0.2).as_others  # hardly any content is read of the others
    assert Readable(0.3, 0.06, 0.26, 0.1).as_others and not Readable(0.3, 0.06, 0.24, 0.1).as_others
    assert Readable(0.31, 0.05, 0.24, 0.1).as_others  # it is read itself, whatever is read of the others
    assert Readable(0.3, 0.09, 0.9, 0.1).lost and not Readable(0.3, 0.1, 0.9, 0.1).lost  # two errors below 0.5
    assert not Readable(0.1, 0.0, 0.39, 0.1).lost and Readable(0.1, 0.0, 0.41, 0.1).lost  # others are read clearly


def test_a_group_elsewhere_is_apart_and_a_part_of_a_cloud_is_not() -> None:
    places, group = np.random.default_rng(0).normal(0, 1, (300, 3)), np.arange(300) < 40
    assert not apart(places, group)
    assert crossing(places, group) == pytest.approx(1, abs=0.1)
    places[group] += 20
    assert apart(places, group) and crossing(places, group) == 0


def test_a_group_is_completed_by_what_looks_like_it() -> None:
    rng = np.random.default_rng(0)
    places = rng.normal(0, 1, (300, 3)) + np.where(np.arange(300) < 40, 10, 0)[:, None]
    inside, everyone = np.arange(300) < 36, np.arange(300) < 40
    assert np.array_equal(completed(places, inside), everyone)
    assert np.array_equal(completed(places, everyone), everyone)
    assert not completed(places, np.zeros(300, dtype=bool)).any()


def evidence(low: np.ndarray, held_low: np.ndarray, labels: Labels, pattern: np.ndarray | None = None) -> Evidence:
    """Low samples look apart, are half known, and held out hardly recognised."""
    rng = np.random.default_rng(1)

    def drawn(mask: np.ndarray, p: float) -> tuple[np.ndarray, np.ndarray]:
        places = rng.normal(np.where(mask, 8.0, 0.0)[:, None], 1, (len(mask), 4))
        return np.clip(rng.normal(np.where(mask, p, 0.8), 0.1), 0, 1), places

    (p, x), (held_p, held_x) = drawn(low, 0.4), drawn(held_low, 0.25)
    return Evidence(p, x, held_p, held_x, False, labels, pattern)


def judged(low: np.ndarray, held_low: np.ndarray, labels: Labels, pattern: np.ndarray | None = None):
    ids = np.array([f"s{i:04}" for i in range(len(low))])
    return assess(ids, {"visual": evidence(low, held_low, labels, pattern)}, len(labels.names))


def test_a_group_that_is_a_set_of_classes_is_weak_and_not_broken() -> None:
    labels = Labels(np.resize(np.arange(4), 600), np.resize(np.arange(4), 200), "abcd")
    both = judged(labels.seen > 1, labels.held > 1, labels)
    (guard,) = both.guards
    assert guard.weak == ("c", "d") and not guard.found and not both.p_broken.any()
    assert "weak on classes c, d" in guard.verdict
    assert np.array_equal(both.kinds["weak"][:, 0], labels.seen > 1)
    rng = np.random.default_rng(0)
    spread = judged(rng.random(600) < 0.3, rng.random(200) < 0.3, labels)
    assert spread.guards[0].found and not spread.guards[0].weak


def test_most_classes_are_not_weak_beside_one_that_is_given_away() -> None:
    labels = Labels(np.resize(np.arange(4), 600), np.resize(np.arange(4), 200), "abcd")
    assert not judged(labels.seen > 0, labels.held > 0, labels).guards[0].weak


@pytest.mark.parametrize(("right", "found"), [(0.9, False), (0.6, False), (0.25, True), (None, True)])
def test_a_group_of_which_the_model_is_only_less_sure_is_not_broken(right: float | None, found: bool) -> None:
    """Its p(true) is lost, at 0.25 of four classes; it is broken if the model is right no more often either."""
    rng, labels = np.random.default_rng(0), Labels(np.resize(np.arange(4), 600), np.resize(np.arange(4), 200), "abcd")
    low, held_low = (rng.random(count) < 0.3 for count in (600, 200))
    e = evidence(low, held_low, labels)
    if right is not None:
        e = replace(e, held_right=rng.random(200) < np.where(held_low, right, 0.9))
    (guard,) = assess(np.array([f"s{i:04}" for i in range(600)]), {"visual": e}, 4).guards
    assert guard.found == found


def test_a_part_of_weak_classes_is_no_broken_group() -> None:
    """Of two classes 70 % are recognised at .2 and 30 % at .35: no class is in the lowest group as a whole."""
    rng = np.random.default_rng(0)

    def drawn(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.resize(np.arange(4), count)
        level = np.where(rng.random(count) < 0.7, 0.2, 0.35)
        return labels, rng.normal(np.where(labels > 1, level, 0.9), 0.01)

    (seen, q), (held, held_q) = drawn(600), drawn(200)
    p_true = np.where(held > 1, 0.25, 0.9) + 0.01 * np.resize([-1, 1], 200)
    p, guard = broken(q, held_q, p_true, 4, Labels(seen, held, "abcd"))
    assert guard.weak == ("c", "d") and not guard.found and not p.any()
    assert broken(q, held_q, p_true, 4)[1].found, "which classes they are says it"


def test_of_weak_classes_nothing_is_broken_beside_a_broken_group() -> None:
    """A third of the two other classes is recognised as little as the weak ones."""

    def drawn(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        labels, turn = np.resize(np.arange(4), count), np.arange(count) // 4
        low = (labels > 1) | (turn % 3 == 0)
        return labels, low, np.where(low, 0.25, 0.9) + 0.01 * np.resize([-1, 0, 1, 0, 1], count)

    (seen, low, q), (held, _, held_q) = drawn(600), drawn(200)
    p, guard = broken(q, held_q, held_q, 4, Labels(seen, held, "abcd"))
    assert guard.found and guard.weak == ("c", "d") and guard.share == pytest.approx(1 / 6, abs=0.01)
    assert np.array_equal(p > 0.5, low & (seen < 2))


def test_a_rare_group_keeps_its_part_if_it_is_readable_and_is_broken_if_it_is_not() -> None:
    labels = Labels(np.resize(np.arange(4), 600), np.resize(np.arange(4), 200), "abcd")
    held = np.arange(200) < 20
    rare, broken = (judged(grouped(k)[2], held, labels, grouped(k)[0]) for k in ("negated", "noise"))
    group = grouped("negated")[2]
    assert not rare.guards[0].found and rare.guards[0].rare == pytest.approx(0.1, abs=0.02)
    worst = rare.usability[:, 0] <= np.quantile(rare.usability[:, 0], 0.1)
    assert worst[group].mean() < 0.2 and not rare.p_broken.any()
    assert np.array_equal(rare.kinds["rare"][:, 0], group) and not broken.kinds["rare"].any()
    assert broken.guards[0].found and broken.guards[0].rare == 0
    assert np.array_equal(broken.p_broken[:, 0] > 0.5, group)


@pytest.mark.parametrize(("held_p", "kept"), [(0.45, True), (0.25, False)])
def test_a_dozen_that_nothing_can_be_shown_of_are_rare_if_the_model_recognises_held_out_ones(held_p, kept) -> None:
    """0.45 is far above chance, 0.25, beyond any error; patterns of noise tell nothing of anybody."""
    rng = np.random.default_rng(3)
    labels = Labels(np.resize(np.arange(4), 600), np.resize(np.arange(4), 200), "abcd")
    group, held = np.arange(600) < 12, np.arange(200) < 6
    e = evidence(group, held, labels, rng.normal(0, 1, (600, 16)))
    e.held_p_true[held] = held_p + 0.02 * np.resize([-1, 1], 6)
    found = assess(np.array([f"s{i:04}" for i in range(600)]), {"visual": e}, 4)
    worst = found.usability[:, 0] <= np.quantile(found.usability[:, 0], 0.1)
    assert (worst[group].mean() < 0.3) == kept and (found.guards[0].rare > 0) == kept


@pytest.mark.parametrize(
    ("away", "noise", "claimed"),
    [(1, "nobody", True), (1, "group", True), (1, "all", True), (0, "nobody", False), (0, "group", True)],
)
def test_a_group_is_claimed_if_it_looks_apart_or_is_shown_to_be_unreadable(away, noise, claimed) -> None:
    """A sixth beyond a border in one direction is recognised by nobody held out, as one speaker of many may be.

    Apart, it is broken as a whole, and no half of it rare, though a classifier of its own reads it as others.
    """
    rng = np.random.default_rng(4)
    labels = Labels(np.resize(np.arange(4), 600), np.resize(np.arange(4), 200), "abcd")
    group, held = np.arange(600) < 100, np.arange(200) < 33
    e = evidence(group, held, labels, grouped("as the rest")[0])
    for places, mask in ((e.appearance, group), (e.held_appearance, held)):
        places[:] = rng.normal(0, 1, places.shape)
        beyond = np.abs(rng.normal(0, 1, len(mask)))
        places[:, 0] = np.where(mask, away + beyond, -beyond)
    unread = {"nobody": 0, "group": 100, "all": 600}[noise]
    e.pattern[:unread] = rng.normal(0, 1, (unread, 16))
    found = assess(np.array([f"s{i:04}" for i in range(600)]), {"visual": e}, 4)
    assert found.guards[0].found == claimed and (found.p_broken[:, 0] > 0.5).any() == claimed
    assert not found.kinds["rare"].any()


def test_what_a_shortcut_gives_away_ranks_last() -> None:
    labels = Labels(np.resize(np.arange(4), 600), np.resize(np.arange(4), 200), "abcd")
    e = evidence(np.zeros(600, dtype=bool), np.zeros(200, dtype=bool), labels)
    tied = (labels.seen == 2) & (np.arange(600) % 5 < 3)
    e.appearance[tied] += 30
    e.p_true[tied] = 1.0  # recognised better than any other
    found = assess(np.array([f"s{i:04}" for i in range(600)]), {"visual": e}, 4)
    assert found.guards[0].shortcuts == ("c",) and "class c" in found.guards[0].verdict
    assert found.usability[tied, 0].max() < found.usability[~tied, 0].min() + 1e-9
    assert np.array_equal(found.kinds["shortcut"][:, 0], tied) and not found.kinds["rare"].any()


def test_vectors_of_one_class_that_look_like_no_others_rank_last() -> None:
    """Copies of one vector, or a part of a class apart from its rest: the look of vectors, not their content, is it."""
    labels = Labels(np.resize(np.arange(4), 600), np.resize(np.arange(4), 200), "abcd")
    tied = (labels.seen == 2) & (np.arange(600) % 5 < 3)
    for copies in (True, False):
        e = evidence(np.zeros(600, dtype=bool), np.zeros(200, dtype=bool), labels)
        e.p_true[tied] = 1.0
        look = e.appearance.copy()
        look[tied] = 30 if copies else look[tied] + 30
        e = replace(e, deep=True, look=(look, e.held_appearance))
        found = assess(np.array([f"s{i:04}" for i in range(600)]), {"visual": e}, 4)
        assert found.guards[0].shortcuts == ("c",) and not found.usability[tied, 0].any()
        assert found.usability[~tied, 0].all()


@pytest.mark.long
def test_new_samples_of_a_group_get_what_their_group_got(tmp_path) -> None:
    labels = Labels(np.resize(np.arange(4), 600), np.resize(np.arange(4), 200), "abcd")
    pattern, _, group = grouped("negated")
    e = evidence(group, np.arange(200) < 20, labels, pattern)
    found = assess(np.array([f"s{i:04}" for i in range(600)]), {"visual": e}, 4)
    save(tmp_path / "r.npz", found.references)
    reference = load(tmp_path / "r.npz")["visual"]
    rare, usual = np.full((1, 4), 8.0), np.zeros((1, 4))
    assert reference.of(rare) == pytest.approx(found.usability[group, 0].mean(), abs=0.1)
    assert reference.of(rare)[0] > 0.5 > reference.usability(reference.recognition(rare))[0]
    assert reference.of(usual) == reference.usability(reference.recognition(usual))


def test_half_of_a_half_learnt_group_is_not_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks name two tenths, of which the model has learnt one by its deep features."""
    labels = Labels(np.resize(np.arange(4), 600), np.resize(np.arange(4), 200), "abcd")
    noise, both = np.arange(600) < 60, np.arange(600) < 120
    e = evidence(noise, np.arange(200) < 20, labels, grouped("noise")[0])
    rng = np.random.default_rng(5)
    deep = replace(e, deep=True, look=(rng.normal(size=(600, 8)), rng.normal(size=(200, 8))))
    ids = np.array([f"s{i:04}" for i in range(600)])
    for group, ratio, claimed in ((both, 0.4, noise), (both, 0.1, both), (both & ~noise, 0.4, both & ~both)):
        found = (group.astype(float), Guard(True, 0.2, 3.0, ratio), np.zeros(600, dtype=bool))
        monkeypatch.setattr(usability, "_grouped", lambda *_, found=found: found)
        seen = assess(ids, {"visual": deep}, 4)
        assert np.array_equal(seen.p_broken[:, 0] > 0.5, claimed)
        assert seen.guards[0].found == claimed.any() and seen.guards[0].share == claimed.mean()


def test_what_is_rare_by_the_look_of_its_vectors_keeps_its_rank() -> None:
    """Among deep features a readable minority lies between the others, with a look of its own."""
    labels = Labels(np.resize(np.arange(4), 600), np.resize(np.arange(4), 200), "abcd")
    pattern, _, group = grouped("negated")
    e = evidence(group, np.arange(200) < 20, labels, pattern)
    between = np.random.default_rng(5).normal(0, 1, (800, 4))
    between[:600][group] *= 0.1
    deep = replace(e, deep=True, appearance=between[:600], held_appearance=between[600:])
    ids = np.array([f"s{i:04}" for i in range(600)])
    found = assess(ids, {"visual": replace(deep, look=(e.appearance, e.held_appearance))}, 4)
    assert found.guards[0].rare == pytest.approx(0.1, abs=0.02) and not found.p_broken.any()
    kept = [
        (u[:, 0] > np.quantile(u[:, 0], 0.1))[group].mean()
        for u in (found.usability, assess(ids, {"visual": replace(deep, pattern=None)}, 4).usability)
    ]
    assert kept[0] > 0.8 > 0.5 > kept[1]


def test_what_is_rare_among_what_is_broken_is_not_claimed() -> None:
    """A tenth is noise, another is negated and looks different again; both are hardly recognised."""
    rng = np.random.default_rng(2)
    seen, held = np.resize(np.arange(4), 600), np.resize(np.arange(4), 200)
    broken, rare = np.arange(600) < 60, (np.arange(600) >= 60) & (np.arange(600) < 110)
    pattern = np.eye(4)[seen].repeat(4, axis=1) + rng.normal(0, 0.3, (600, 16))
    pattern[broken], pattern[rare] = rng.normal(0, 1, (60, 16)), -pattern[rare]
    e = evidence(broken | rare, np.arange(200) < 36, Labels(seen, held, "abcd"), pattern)
    e.appearance[rare, 0] += 30
    e.held_appearance[20:36, 0] += 30
    found = assess(np.array([f"s{i:04}" for i in range(600)]), {"visual": e}, 4)
    claimed, guard = found.p_broken[:, 0] > 0.5, found.guards[0]
    assert guard.found and claimed[broken].all() and not claimed[rare].any()
    assert guard.share == pytest.approx(0.1, abs=0.02) and guard.rare == pytest.approx(50 / 600, abs=0.01)
    assert found.usability[rare, 0].mean() > 0.5 > found.usability[broken, 0].mean()


def test_a_rare_kind_of_features_keeps_its_rank_though_nothing_is_claimed_of_them() -> None:
    """A tenth is noise, another is negated and lies apart; both are hardly recognised. Only of the second is the class
    read, and only where there is something to read it from."""
    rng = np.random.default_rng(2)
    seen, held = np.resize(np.arange(4), 600), np.resize(np.arange(4), 200)
    broken, rare = np.arange(600) < 60, (np.arange(600) >= 60) & (np.arange(600) < 110)
    pattern = np.eye(4)[seen].repeat(4, axis=1) + rng.normal(0, 0.3, (600, 16))
    pattern[broken], pattern[rare] = rng.normal(0, 1, (60, 16)), -pattern[rare]
    e = replace(evidence(broken | rare, np.arange(200) < 36, Labels(seen, held, "abcd"), pattern), deep=True)
    e.appearance[rare, 0] += 30
    ids = np.array([f"s{i:04}" for i in range(600)])
    found, unknown = (assess(ids, {"sound": x}, 4) for x in (e, replace(e, pattern=None)))
    assert found.guards[0].withheld and not found.p_broken.any()
    assert found.guards[0].rare == pytest.approx(50 / 600, abs=0.01) and "rare, not broken" in found.guards[0].verdict
    usable = found.usability[:, 0]
    assert usable[rare].mean() > 0.5 > max(usable[broken].mean(), unknown.usability[rare].mean())
    assert np.array_equal(usable[~rare], unknown.usability[~rare, 0]) and not unknown.guards[0].rare
