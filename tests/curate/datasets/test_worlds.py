"""Planted faults: the truth of every sample is known, and nothing else is changed."""

from __future__ import annotations

import numpy as np
import pytest

from curate.datasets import find
from curate.datasets.cache import prepare
from curate.datasets.worlds import DecodedSamples, Fault, Planted, possible
from curate.datasets.worlds.damages import applicable, apply, medium
from curate.errors import CurateError

ARRAYS = {
    "sound": (np.sin(np.arange(2400) / 9) * 9000).astype(np.int16),
    "pictures": np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8),
    "vector": np.arange(32, dtype=np.float32),
    "text": np.array([7, 3, 2, 9, 4, 1, 0, 0], dtype=np.int32),
}
WORDS = 12


@pytest.mark.parametrize("name", ARRAYS)
def test_every_damage_keeps_shape_and_type_and_changes_the_content(name: str) -> None:
    array = ARRAYS[name]
    assert medium(array) == name
    kinds, of_text = applicable(medium(array)), {"vocabulary": WORDS} if name == "text" else {}
    assert len(kinds) >= 3
    for kind in kinds:
        changed = apply(kind, array, np.random.default_rng(1), 1.0, **of_text)
        assert changed.shape == array.shape and changed.dtype == array.dtype, kind
        assert not np.array_equal(changed, array), kind


def test_shuffling_moves_and_loses_nothing() -> None:
    for array in [a for name, a in ARRAYS.items() if name != "text"]:
        changed = apply("shuffle", array, np.random.default_rng(1), 1.0)
        assert np.array_equal(np.sort(changed, axis=None), np.sort(array, axis=None))


def test_damage_of_texts_by_hand() -> None:
    text, rng = ARRAYS["text"], np.random.default_rng(0)
    foreign = apply("minority", text, rng, 1.0, vocabulary=WORDS)
    assert foreign.tolist() == [6, 10, 11, 4, 9, 1, 0, 0]  # 2 and 11 change places, 3 and 10, ...
    assert np.array_equal(apply("minority", foreign, rng, 1.0, vocabulary=WORDS), text)
    for kind in ("noise", "occlusion"):
        assert np.array_equal(apply(kind, text, rng, 0.0, vocabulary=WORDS), text)
    other = np.stack([apply("noise", text, rng, 0.5, vocabulary=WORDS) for _ in range(500)])
    assert ((other != text).sum(axis=1) <= 3).all() and (other != text)[:, 6:].sum() == 0
    assert set(np.unique(other[:, 0])) == set(range(2, WORDS))  # every word of the vocabulary, and no padding
    for _ in range(20):
        short = apply("occlusion", text, rng, 0.5, vocabulary=WORDS)
        kept = short[short > 0].tolist()
        assert len(kept) == 3 and not short[3:].any()
        assert any(kept == [*text[:i], *text[i + 3 : 6]] for i in range(4))  # a run of three is missing
    assert (apply("occlusion", text, rng, 1.0, vocabulary=WORDS) > 0).sum() == 1
    with pytest.raises(ValueError):
        apply("blur", text, rng, 1.0, vocabulary=WORDS)


def test_static_is_as_long_and_as_loud_as_the_sound_it_replaces() -> None:
    sound = np.zeros(4000, dtype=np.int16)
    sound[500:2500] = ARRAYS["sound"][:2000] // 4
    changed = apply("static", sound, np.random.default_rng(1), 1.0).astype(float)
    assert not changed[:500].any() and not changed[2500:].any()
    part = sound[500:2500].astype(float)
    assert changed[500:2500].std() == pytest.approx(np.sqrt(np.mean(part**2)), rel=0.05)
    assert abs(np.corrcoef(changed[500:2500], part)[0, 1]) < 0.1
    assert not apply("static", np.zeros(9, dtype=np.int16), np.random.default_rng(1), 1.0).any()


def test_the_truth_is_known_and_the_rest_is_untouched() -> None:
    kind = find("demo")
    base = kind(None, kind.Options())
    faults = [Fault(kind="noise", modality="visual", share=0.1), Fault(kind="wrong_label", share=0.05)]
    world = Planted(base, faults, seed=3)
    train = [(a, b) for a, b in zip(base.samples, world.samples, strict=True) if a.split == "train"]
    noisy = [i for i, (_, b) in enumerate(train) if "noise visual" in str(b.extra.get("fault", ""))]
    wrong = [(a, b) for a, b in train if a.label != b.label]
    assert len(noisy) == round(0.1 * len(train)) and len(wrong) == round(0.05 * len(train))
    assert all(b.extra["true_label"] == a.label for a, b in wrong)
    for i in (noisy[0], next(j for j in range(len(train)) if j not in noisy)):
        same = np.array_equal(base.load(train[i][0], "visual"), world.load(train[i][1], "visual"))
        assert same == (i not in noisy)
    assert world.data_id() != base.data_id() and Planted(base, faults, seed=3).data_id() == world.data_id()


def test_what_cannot_be_planted_is_refused() -> None:
    kind = find("demo")
    base = kind(None, kind.Options())
    assert "frozen" in possible(base, "visual") and "frozen" not in possible(base, "audio")
    for wrong in ({"kind": "frozen", "modality": "audio"}, {"kind": "rain"}, {"kind": "noise", "modality": "smell"}):
        with pytest.raises(CurateError):
            Planted(base, [Fault(**wrong)])


def test_faults_that_are_kept_apart_never_meet() -> None:
    kind = find("demo")
    base = kind(None, kind.Options())
    noise = [Fault(kind="noise", modality=m, share=0.4) for m in base.modalities]
    faults = [*noise, Fault(kind="wrong_label", share=0.4)]
    counts = [
        [len(filter_empty(s.extra.get("fault"))) for s in Planted(base, faults, 1, apart=apart).samples]
        for apart in (False, True)
    ]
    assert max(counts[0]) > 1 and max(counts[1]) == 1
    assert Planted(base, faults, 1).data_id() != Planted(base, faults, 1, apart=True).data_id()


def filter_empty(text: object) -> list[str]:
    return [part for part in str(text or "").split("; ") if part]


def test_decoded_samples_are_some_of_those_in_the_cache(tmp_path) -> None:
    class Few(find("demo")):
        def __init__(self) -> None:
            super().__init__(None, self.Options())
            self.samples = self.samples[::40]

    base = Few()
    part = DecodedSamples(base, prepare(base, tmp_path), {"train": 10, "val": 3}, seed=1)
    assert [sum(s.split == split for s in part.samples) for split in ("train", "val", "test")] == [10, 3, 0]
    for sample in part.samples[:3]:
        for modality in base.modalities:
            assert np.array_equal(part.load(sample, modality), base.load(sample, modality))
