"""Usability is a theorem or a number worked out by hand; what it finds on recordings stands in the studies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.scores.em import Components
from curate.scores.guard import DEEP, HARDLY_READ, Labels, _below, _kept, broken, reason
from curate.scores.references import AXES, REST, Reference, load, look_alikes, save
from curate.scores.usability import (
    Evidence,
    assess,
    contradiction,
    some_not_all,
    weighted_fusion,
)
from curate.scores.vectors import FEW

CLASSES = 10


def ids(n: int) -> np.ndarray:
    return np.array([f"s{i:04d}" for i in range(n)])


def evidence(seed: int = 0, n: int = 400, held: int = 200, bad: float = 0.2, honest: float = 0.1) -> Evidence:
    """A modality in which a share `bad` looks apart, is half memorised, and held out keeps `honest` of p(true)."""
    rng = np.random.default_rng(seed)

    def draw(count: int, low: float) -> tuple[np.ndarray, np.ndarray]:
        is_bad = np.arange(count) < bad * count
        appearance = rng.normal(np.where(is_bad, 8.0, 0.0)[:, None], 1, (count, 5))
        return appearance, np.clip(rng.normal(np.where(is_bad, low, 0.8), 0.1), 0, 1)

    (appearance, p), (held_appearance, held_p) = draw(n, 0.4), draw(held, honest)
    return Evidence(p, appearance, held_p, held_appearance)


def test_pooled_recognition_by_hand():
    # Four samples on a line: k = round(sqrt 4) = 2, so each is pooled over its two nearest others.
    x = np.array([[0.0], [1.0], [3.0], [7.0]])
    p = np.array([0.1, 0.2, 0.4, 0.8])
    reference = Reference(look_alikes(x), p, 0.0, 1.0)
    assert reference.recognition(x, np.arange(4)) == pytest.approx([0.3, 0.25, 0.15, 0.3])
    # A new sample may be as near as it likes: nobody is itself.
    assert reference.recognition(np.array([[0.1], [6.0]])) == pytest.approx([0.15, 0.6])


def test_usability_by_hand():
    reference = Reference(look_alikes(np.eye(3)), np.ones(3), 0.1, 0.6)
    assert reference.usability(np.array([0.05, 0.1, 0.35, 0.6, 0.9])) == pytest.approx([0, 0, 0.5, 1, 1])
    hopeless = replace(reference, top=0.1)
    assert hopeless.usability(np.array([0.05, 0.2])) == pytest.approx([1, 1])


def test_a_sample_is_not_its_own_look_alike():
    e = evidence(n=60)
    e = replace(e, held_p_true=e.held_p_true[:9], held_appearance=e.held_appearance[:9])  # too few to learn weights of
    changed = e.p_true.copy()
    changed[7] = 1 - changed[7]
    before, after = (assess(ids(60), {"audio": replace(e, p_true=p)}, CLASSES) for p in (e.p_true, changed))
    assert before.recognition[7, 0] == after.recognition[7, 0]
    assert not np.array_equal(before.recognition, after.recognition)


def test_order_of_the_samples_changes_nothing():
    e, order = evidence(), np.random.default_rng(3).permutation(400)
    there = assess(ids(400), {"audio": e}, CLASSES)
    here = assess(
        ids(400)[order], {"audio": replace(e, p_true=e.p_true[order], appearance=e.appearance[order])}, CLASSES
    )
    np.testing.assert_allclose(here.recognition, there.recognition[order], atol=1e-12)
    np.testing.assert_allclose(here.p_broken, there.p_broken[order], atol=1e-6)


def test_units_of_appearance_change_nothing():
    e = evidence()
    scaled, held = (x * np.array([1e3, 1e-3, 1, 5, 0.2]) + 4 for x in (e.appearance, e.held_appearance))
    here, there = (
        assess(ids(400), {"a": replace(e, appearance=x, held_appearance=h)}, CLASSES)
        for x, h in ((scaled, held), (e.appearance, e.held_appearance))
    )
    np.testing.assert_allclose(here.recognition, there.recognition, atol=1e-9)


def test_a_group_that_held_out_samples_fail_on_is_broken():
    found = assess(ids(400), {"audio": evidence()}, CLASSES)
    (guard,) = found.guards
    assert guard.found and guard.share == pytest.approx(0.2, abs=0.02) and guard.ratio < 0.1
    assert np.array_equal(found.p_broken[:, 0] > 0.5, np.arange(400) < 80)


def test_a_group_that_is_recognised_when_held_out_is_not():
    """It looks apart, and training found it harder: that alone breaks nothing."""
    found = assess(ids(400), {"audio": evidence(honest=0.7)}, CLASSES)
    (guard,) = found.guards
    assert not guard.found and guard.ratio > 0.7 and not found.p_broken.any()
    assert "no broken group" in guard.verdict


def half_learnt(kept: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, Labels]:
    """Recognition of 200 and 60 samples: the first quarter keeps a share of the others' 0.5 above chance, 0.1."""
    rng = np.random.default_rng(0)
    seen, held = (np.where(np.arange(n) < n // 4, 0.1 + 0.5 * kept, 0.6) for n in (200, 60))
    labels = Labels(np.arange(200) % 10, np.arange(60) % 10, [str(k) for k in range(10)])
    return seen + 0.01 * rng.normal(size=200), held, held + 0.01 * rng.normal(size=60), labels


def test_of_what_was_half_learnt_it_counts_whether_the_content_is_lost():
    """Kept are 0.5 or 0.7 of the others' recognition above chance: less than `IMPAIRED` = 0.6, or more."""
    q, held, p_true, labels = half_learnt(0.5)
    asked: list[np.ndarray] = []

    def lost(group):
        asked.append(group)
        return True

    p, guard = broken(q, held, p_true, 10, labels, lost=lost)
    assert guard.found and guard.ratio == pytest.approx(0.5, abs=0.02)
    assert np.array_equal(p > 0.5, np.arange(200) < 50) and np.array_equal(asked[0], p > 0.5)
    assert not broken(q, held, p_true, 10, labels, lost=lambda group: False)[1].found
    assert not broken(q, held, p_true, 10, labels)[1].found
    q, held, p_true, labels = half_learnt(0.7)
    assert not broken(q, held, p_true, 10, labels, lost=lost)[1].found


def test_classes_that_were_half_learnt_are_not_broken():
    """The content of ambiguous classes is lost too; but the classes are the group."""
    q, held, p_true, labels = half_learnt(0.5)
    of_two = replace(labels, seen=np.repeat([0, 1, 2, 3], 50), held=np.repeat([0, 1, 2, 3], 15))
    assert not broken(q, held, p_true, 10, of_two, lost=lambda group: True)[1].found


def test_what_is_hard_about_a_class_is_not_broken_in_it():
    """Two classes are hardly recognised, wherever they lie; four in five of their samples are low, and a tenth
    of the others. Damage in any class is found."""
    seen, held = np.arange(400) % 4, np.arange(160) % 4

    def drawn(label: np.ndarray, of_class: bool) -> tuple[np.ndarray, np.ndarray]:
        turn = np.arange(len(label)) // 4 % 10
        low = turn < np.where(label < 2, 8, 1) if of_class else turn < 4
        return low, np.where((label < 2) if of_class else low, 0.27, 0.9)

    rng = np.random.default_rng(0)
    for of_class in (True, False):
        (low, _), (held_low, held_p) = drawn(seen, of_class), drawn(held, of_class)
        q, held_q = (np.where(x, 0.3, 0.8) + 0.01 * rng.normal(size=len(x)) for x in (low, held_low))
        blind, found = (broken(q, held_q, held_p, 4, labels)[1] for labels in (None, Labels(seen, held, "abcd")))
        assert blind.found and found.found != of_class and not found.weak


def test_recognition_beside_others_of_the_class_by_hand():
    """Of class 0 two are low (0.3, 0.5), of class 1 three (0.2 each). Others: 0.6 twice of class 0, 0.9 four times of
    class 1, 0.8 on average, which counts as 0.3 samples of each class: (1.2 + 0.24) / 2.3 and (3.6 + 0.24) / 4.3."""
    low = np.array([True] * 5 + [False] * 6)
    labels = np.array([0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1])
    p = np.array([0.3, 0.5, 0.2, 0.2, 0.2, 0.6, 0.6, 0.9, 0.9, 0.9, 0.9])
    error = p[:5].std(ddof=1) / np.sqrt(5)
    above = (2 * 1.44 / 2.3 + 3 * 3.84 / 4.3) / 5 - 0.1
    assert _kept(low, p, 10, labels) == pytest.approx((0.28 + error - 0.1) / above)
    assert _kept(low, p, 10, np.zeros(11, int)) == pytest.approx((0.28 + error - 0.1) / 0.7)


@pytest.mark.parametrize("left", [0, 3])
def test_a_group_is_compared_with_others_of_its_classes(left):
    """The modality tells one class of seven. Of the others 17 in 20 are in the low group, and 10 - `left` of 10 that
    were held out: where nothing of their classes is left, that the one class is recognised says nothing about them."""
    seen, held = np.arange(420) % 7, np.arange(70) % 7
    low = np.arange(420) // 7 % 20 < np.where(seen < 6, 17, 4)
    held_low = np.arange(70) // 7 < np.where(held < 6, 10 - left, 2)
    rng, labels = np.random.default_rng(0), Labels(seen, held, "abcdefg")
    q, held_q = (np.where(x, 0.2, 0.8) + 0.02 * rng.normal(size=len(x)) for x in (low, held_low))
    guard = broken(q, held_q, np.where(held_low, 0.15, 0.9), 7, labels)[1]
    assert guard.found == (left > 0) and not guard.weak


@pytest.mark.parametrize(
    ("share", "part", "claimed"), [(0.05, 0.25, False), (0.15, 0.25, True), (0.3, 0.75, False), (0.7, 0.75, True)]
)
def test_what_the_model_has_not_learnt_to_read_proves_nothing(share, part, claimed):
    """A part is not recognised at all, the others by a share of what is above the chance of 0.1: `LEARNT` = 0.1, and if
    the part is most samples, `WELL` = 0.5."""
    rng = np.random.default_rng(0)
    q, held = (np.where(np.arange(n) < n * part, 0.02, 0.1 + 0.9 * share) for n in (200, 60))
    q, held = q + 0.002 * rng.normal(size=200), held + 0.002 * rng.normal(size=60)
    p, guard = broken(q, held, held, 10)
    assert guard.found == claimed == bool(p.any()) and (guard.ratio is not None) == claimed


def test_what_looks_exactly_alike_is_a_group_of_held_out_samples_too():
    """A tenth has one pooled recognition, of no width; that of held-out ones, without themselves, lies beside it."""
    rng = np.random.default_rng(0)
    q = np.concatenate([rng.normal(0.112, 1e-4, 100), rng.normal(0.8, 0.09, 900)])
    held = np.concatenate([np.full(20, 0.124), rng.normal(0.8, 0.09, 180)])
    p, guard = broken(q, held, held, CLASSES)
    assert guard.found and guard.share == pytest.approx(0.1, abs=0.01)
    assert (p[:100] > 0.5).all() and not (p[100:] > 0.5).any()


def test_without_two_groups_nothing_is_claimed():
    rng = np.random.default_rng(0)
    q, held = rng.normal(0.6, 0.1, 1000), rng.normal(0.6, 0.1, 300)
    p, guard = broken(q, held, held, CLASSES)
    assert not guard.found and not p.any()


@pytest.mark.parametrize("what", ["p_true", "appearance"])
def test_a_constant_modality_yields_no_claim(what):
    e = evidence()
    constant = replace(e, **{name: np.full_like(getattr(e, name), 0.5) for name in (what, f"held_{what}")})
    found = assess(ids(400), {"audio": constant}, CLASSES)
    assert not found.guards[0].found and not found.p_broken.any() and np.isfinite(found.usability).all()


def test_deep_features_are_ranked_but_not_judged():
    found = assess(ids(400), {"text": replace(evidence(), deep=True)}, CLASSES)
    assert found.guards[0].withheld and not found.p_broken.any()
    assert found.usability[:80, 0].mean() < found.usability[80:, 0].mean()


def test_deep_features_are_judged_by_how_their_vectors_look():
    """Where the deep features say nothing of damage, its look does; what is claimed is not usable, and no look-alikes
    but those of the deep features are kept for new samples."""
    e, rng = evidence(), np.random.default_rng(1)
    same = replace(
        e, deep=True, appearance=rng.normal(size=e.appearance.shape), held_appearance=rng.normal(size=(200, 5))
    )
    looks = replace(same, look=(e.appearance, e.held_appearance))
    blind, found = (assess(ids(400), {"audio": x}, CLASSES) for x in (same, looks))
    assert blind.guards[0].withheld and not blind.p_broken.any()
    guard, claimed = found.guards[0], found.p_broken[:, 0] > 0.5
    assert guard.found and not guard.withheld and claimed[:80].all() and not claimed[80:].any()
    assert guard.share == pytest.approx(0.2, abs=0.01)
    assert (found.usability <= 1 - found.p_broken)[:80].all()
    assert np.array_equal(found.usability[80:], blind.usability[80:])
    assert np.array_equal(found.recognition, blind.recognition)
    hardly = replace(looks, held_p_true=looks.held_p_true * 0.35)  # less than a fifth above chance
    unread = assess(ids(400), {"audio": hardly}, CLASSES).guards[0]
    assert unread.withheld and unread.verdict == f"not judged: {HARDLY_READ}"
    # The reason that is known is given, and no other.
    for why in (DEEP, FEW):
        (guard,) = assess(ids(400), {"audio": replace(same, unlooked=why)}, CLASSES).guards
        assert guard.withheld and guard.verdict.startswith(f"not judged: {why}") and reason(guard.verdict) == why
    assert reason(found.guards[0].verdict) == ""
    # A new sample among those that are claimed is as little usable as they are.
    reference = found.references["audio"]
    assert reference.look_alikes.bank.shape[1] == same.appearance.shape[1]
    assert np.flatnonzero(reference.grouped).tolist() == list(range(80))


@settings(max_examples=10)
@given(st.integers(0, 50), st.floats(0.02, 0.5))
def test_broken_never_rises_with_recognition(seed, bad):
    e = evidence(seed, n=300, bad=bad)
    found = assess(ids(300), {"audio": e}, CLASSES)
    order = np.argsort(found.recognition[:, 0], kind="stable")
    assert (np.diff(found.p_broken[order, 0]) <= 0).all()
    assert (np.diff(found.usability[order, 0]) >= 0).all()
    assert ((found.p_broken >= 0) & (found.p_broken <= 1)).all()


def test_a_bank_of_everyone_is_exact_and_a_small_one_is_used_alone():
    e = evidence()
    whole = assess(ids(400), {"a": e}, CLASSES)
    same = assess(ids(400), {"a": e}, CLASSES, bank=400, seed=9)
    assert np.array_equal(whole.recognition, same.recognition)
    alike = look_alikes(e.appearance, seed=1, bank=50)
    assert len(alike.bank) == 50 and np.array_equal(alike.members, np.unique(alike.members))
    assert set(alike.nearest(e.appearance, np.arange(400)).ravel()) <= set(alike.members.tolist())


def test_new_samples_need_no_label():
    """A training sample seen again as new differs only by being its own look-alike."""
    e = evidence()
    found = assess(ids(400), {"audio": e}, CLASSES)
    again = found.references["audio"].recognition(e.appearance)
    assert np.abs(again - found.recognition[:, 0]).max() < 2 / found.references["audio"].look_alikes.neighbours


def test_probabilities_that_round_above_one_are_one():
    """Three components that add to one in another order than they were divided by."""
    rng = np.random.default_rng(0)
    for seed in range(40):
        levels = Components(*(rng.uniform(0.1, 1, (1, 4)) for _ in range(3)), np.full((1, 4), np.inf))
        x = np.random.default_rng(seed).uniform(0, 1, 500)
        assert all(_below(levels, cut, x).max() <= 1 for cut in (1, 2, 3, 4))


def test_some_but_not_all_by_hand():
    good = np.array([[1.0, 1.0], [0.0, 0.0], [1.0, 0.0], [0.8, 0.3]])
    assert some_not_all(good) == pytest.approx([0, 0, 1, 0.8 * 0.7 + 0.3 * 0.2])
    assert some_not_all(np.array([[0.5, 0.5, 0.5], [1.0, 1.0, 0.0]])) == pytest.approx([0.75, 1])
    assert some_not_all(good[:, ::-1]) == pytest.approx(some_not_all(good))


def test_contradiction_by_hand():
    # p(true) = .2 against .6 of another class: 3 to 1 for the other.
    assert contradiction(np.log([0.2 / 0.6, 1.0, 3.0])) == pytest.approx([0.75, 0.5, 0.25])


def test_weighted_fusion_by_hand():
    probs = {"a": np.array([[0.8, 0.2], [0.5, 0.5]]), "v": np.array([[0.4, 0.6], [0.9, 0.1]])}
    both = np.array([[0.32, 0.12], [0.45, 0.05]])
    assert weighted_fusion(probs, np.ones((2, 2))) == pytest.approx(both / both.sum(1, keepdims=True))
    alone = weighted_fusion(probs, np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert alone == pytest.approx(np.array([[0.8, 0.2], [0.9, 0.1]]))
    neither = weighted_fusion({"a": np.array([[1.0, 0.0]])}, np.zeros((1, 1)))
    assert neither == pytest.approx(np.array([[0.5, 0.5]]))


def test_saved_references_judge_alike(tmp_path):
    e = evidence()
    words = wide(np.random.default_rng(0), 400, np.arange(400) < 40)
    features = Evidence(e.p_true, words, e.held_p_true, words[:200], deep=True)
    found = assess(ids(400), {"audio": e, "text": features}, CLASSES, bank=100)
    save(tmp_path / "usability.npz", found.references)
    again = load(tmp_path / "usability.npz")
    assert list(again) == ["audio", "text"] and [p.name for p in tmp_path.iterdir()] == ["usability.npz"]
    for m, reference in found.references.items():
        new = e.held_appearance if m == "audio" else features.held_appearance
        q, r = reference.recognition(new), again[m].recognition(new)
        assert np.array_equal(q, r) and np.array_equal(reference.usability(q), again[m].usability(r))


def wide(rng: np.random.Generator, count: int, noise: np.ndarray) -> np.ndarray:
    """(count, 120) features that 30 numbers make, but for those of pure noise, which vary as much."""
    made = rng.normal(size=(count, 30)) @ np.random.default_rng(0).normal(size=(30, 120)) / np.sqrt(30)
    return np.where(noise[:, None], rng.normal(size=(count, 120)), made)


def test_the_length_of_what_the_axes_leave_out_by_hand() -> None:
    x = wide(np.random.default_rng(1), 60, np.arange(60) < 6)
    alike, plain = look_alikes(x, deep=True), look_alikes(x)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    left_out = np.linalg.norm(z - z @ plain.axes @ plain.axes.T, axis=1)
    assert np.array_equal(alike.bank[:, :AXES], plain.bank) and alike.bank[:, AXES] == pytest.approx(REST * left_out)
    few = x[:, :AXES]  # the axes leave nothing out
    assert np.array_equal(look_alikes(few, deep=True).bank, look_alikes(few).bank)


def test_noise_in_many_features_has_noise_for_neighbours() -> None:
    """Its place on the axes is in the midst of all; what the axes leave out of it is longer."""
    rng = np.random.default_rng(2)
    noise = np.arange(600) < 60
    x, p = wide(rng, 600, noise), np.where(noise, 0.2, 0.8) + rng.normal(0, 0.1, 600)
    e = Evidence(np.clip(p, 0, 1), x, np.empty(0), np.empty((0, 120)), deep=True)
    found = assess(ids(600), {"text": e}, CLASSES)
    assert found.usability[noise, 0].max() < found.usability[~noise, 0].min()
    on_the_axes = Reference(look_alikes(x), e.p_true, 0.0, 1.0).recognition(x, np.arange(600))
    assert on_the_axes[noise].max() > on_the_axes[~noise].min(), "the axes alone do not tell"
    new = wide(rng, 200, np.arange(200) < 100)
    usable = found.references["text"].of(new)
    assert usable[:100].max() < usable[100:].min(), "samples that are met later"


def test_a_broken_group_that_is_known_by_heart_shows_in_held_out_look_alikes() -> None:
    """In training it is recognised better than the rest; held out, hardly."""
    rng = np.random.default_rng(0)
    broken, held_broken = np.arange(600) < 100, np.arange(200) < 33
    x, held_x = (np.where(b, 6.0, 0.0)[:, None] + rng.normal(0, 1, (len(b), 3)) for b in (broken, held_broken))
    p = np.clip(np.where(broken, 0.8, 0.7) + rng.normal(0, 0.1, 600), 0, 1)
    held_p = np.clip(np.where(held_broken, 0.15, 0.85) + rng.normal(0, 0.1, 200), 0, 1)
    found = assess(ids(600), {"a": Evidence(p, x, held_p, held_x)}, CLASSES)
    assert found.recognition[broken, 0].max() < 0.3 < 0.7 < found.recognition[~broken, 0].min()
    assert np.array_equal(found.p_broken[:, 0] > 0.5, broken)
    weights = found.references["a"].unseen.weights
    assert weights[1] > 0.9
