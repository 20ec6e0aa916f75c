"""The same predictions in many types and dialects are the same numbers, or refused; damage is a user's error."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import CurateError
from curate.predictions.align import align
from curate.predictions.files import read_all
from curate.predictions.labels import named

K, N = 4, 24
LABELS = np.arange(N) % 3  # the last class is of no sample
ORDER = {"ascending": [0, 1, 2, 3], "another": [2, 0, 3, 1]}


def logits(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 3 * np.eye(K)[LABELS] + rng.normal(size=(N, K))


def true_class(found) -> dict[str, np.ndarray]:
    return {m: p[np.arange(N), found.rounds[0].labels] for m, p in found.rounds[0].probs.items()}


def expected() -> dict[str, np.ndarray]:
    out = {}
    for m, seed in (("audio", 0), ("visual", 1)):
        e = np.exp(logits(seed))
        out[m] = (e / e.sum(axis=1, keepdims=True))[np.arange(N), LABELS]
    return out


@pytest.mark.parametrize("order", ORDER)
@pytest.mark.parametrize(
    "class_type",
    [np.int64, np.uint8, np.float64, str, "S4", "one-based", "spaced", "words"],
)
@pytest.mark.parametrize("label_type", [np.int64, np.int8, np.float32, str, "S4", "names"])
@pytest.mark.parametrize("kind", ["logits", "probabilities", "log", "log10", "percent", "odds"])
def test_arrays_of_any_type_are_one(tmp_path, order, class_type, label_type, kind):
    """Classes are values where labels name them, positions where that is the only reading; never a shift."""
    at = ORDER[order]
    values = {"one-based": [1, 2, 3, 4], "spaced": [10, 20, 30, 40], "words": ["ant", "bee", "cat", "dog"]}.get(
        class_type if isinstance(class_type, str) else "", [0, 1, 2, 3]
    )
    given_classes = np.array([values[k] for k in at])
    if class_type not in ("one-based", "spaced", "words"):
        given_classes = given_classes.astype(class_type)
    names = label_type == "names" or class_type == "words"
    labels = np.array([values[y] for y in LABELS])
    if not names:
        labels = labels.astype(label_type)
    numbers = {}
    for m, seed in (("audio", 0), ("visual", 1)):
        z = logits(seed)
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        made = {
            "logits": z,
            "probabilities": p,
            "log": np.log(p),
            "log10": np.log10(p),
            "percent": 100 * p,
            "odds": np.log(p / (1 - p)),
        }[kind]
        numbers[m] = made[:, at]
    ids = np.array([f"s{i:02}" for i in range(N)])
    np.savez(tmp_path / "a.npz", sample_id=ids, label=labels, classes=given_classes, **numbers)
    found = align(read_all([str(tmp_path / "a.npz")]))
    for m, p in expected().items():
        np.testing.assert_allclose(true_class(found)[m], p, atol=1e-9)


def test_positions_are_taken_where_nothing_else_fits():
    for labels, classes, wanted, note in (
        ([0, 1, 2], ("10", "20", "30"), ["10", "20", "30"], True),
        ([1, 2], ("1", "2", "3"), ["1", "2"], True),  # names, and said so: a position would be another class
        ([0, 1, 2], ("1", "2", "3"), ["1", "2", "3"], True),
        ([2, 0], ("2", "0", "1"), ["2", "0"], True),
        ([0, 1], ("0", "1"), ["0", "1"], False),
        ([1.0, np.nan, None], ("a", "b"), ["b", "", ""], True),
        (["1.0", "", "NA"], ("0", "1"), ["1", "", ""], False),
        (["NA", "nan"], ("NA", "x"), ["NA", ""], False),
        (["1.0"], ("1", "1.0"), ["1.0"], False),
        (["e\u0301"], ("\u00e9", "x"), ["\u00e9"], False),
    ):
        found, said = named(labels, classes, "f", positions=True)
        assert found.tolist() == wanted and bool(said) is note, (labels, classes)
    for labels in ([5], [-1], [0, 1, 2, 3]):
        with pytest.raises(CurateError, match="are not the classes"):
            named(labels, ("a", "b", "c"), "f", positions=True)


def test_a_modality_that_is_missing_is_a_status_and_the_other_is_kept(saved, tmp_path):
    content = saved.make()
    content.values["visual"][[1, 5]] = np.nan
    content.values["audio"][[2, 5]] = np.nan
    content.labels = ["" if i == 7 else label for i, label in enumerate(content.labels)]
    for suffix in ("csv", "npz", "parquet"):
        found = align(read_all([str(saved.write(content, tmp_path / f"a.{suffix}"))]))
        assert {s: found.reason[i] for i, s in enumerate(found.sample_ids) if found.status[i] != "ok"} == {
            "s001": "no prediction by visual",
            "s002": "no prediction by audio",
            "s005": "no prediction by audio; visual",
            "s007": "no label is given",
        }
        assert len(found.rounds[0].sample_ids) == 20
        assert {tuple(o.sample_ids): o.modalities for o in found.others} == {
            ("s001",): ("audio",),
            ("s002",): ("visual",),
        }
        full = align(read_all([str(saved.write(saved.make(), tmp_path / f"b.{suffix}"))])).rounds[0]
        (audio,) = (o for o in found.others if o.modalities == ("audio",))
        np.testing.assert_allclose(audio.probs["audio"][0], full.probs["audio"][1])


@given(data=st.data(), suffix=st.sampled_from(["csv", "npz", "jsonl", "parquet"]))
def test_damaged_files_are_refused_or_read(saved, tmp_path_factory, data, suffix):
    """Bits flipped, bytes put in, ends cut off: a user's error with a hint, or predictions that add to one."""
    path = saved.write(saved.make(n=8), tmp_path_factory.mktemp("d") / f"a.{suffix}")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, max(len(content) - 1, 0)))
        how = data.draw(st.sampled_from(["flip", "cut", "put"]))
        if how == "flip" and content:
            content[at] ^= 1 << data.draw(st.integers(0, 7))
        elif how == "cut":
            del content[at:]
        else:
            content[at:at] = data.draw(st.binary(max_size=20))
    path.write_bytes(content)
    try:
        found = align(read_all([str(path)]))
    except CurateError as refused:
        assert refused.hint and refused.message
    else:
        for p in found.rounds[0].probs.values():
            np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-9)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=6,
    ),
    st.sampled_from(["sample_id", "label", "classes", "audio", "visual", "split", "epoch"]),
)
def test_a_line_with_a_value_of_another_type_is_refused_or_read(tmp_path_factory, value, key):
    line = {"sample_id": "a", "label": "x", "classes": ["x", "y"], "audio": [1.5, 0.2], "visual": {"x": 0.1, "y": -2}}
    path = tmp_path_factory.mktemp("l") / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ({**line, key: value}, {**line, "sample_id": "b"})))
    try:
        align(read_all([str(path)]))
    except CurateError as refused:
        assert refused.hint
