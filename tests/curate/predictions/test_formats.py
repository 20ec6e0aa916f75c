"""One content, many files: the format, the order of rows and the order of classes change nothing."""

from __future__ import annotations

import numpy as np
import pytest

from curate.errors import CurateError
from curate.predictions.align import align
from curate.predictions.files import read_all

FORMATS = ("parquet", "csv", "npz", "jsonl")


def same(a, b):
    """Whether two aligned sets are equal to the last bit."""
    keys = ("sample_ids", "labels", "splits")
    arrays = all(np.array_equal(getattr(a, k), getattr(b, k)) for k in keys)
    names = (a.classes, a.modalities, a.epochs, a.kinds) == (b.classes, b.modalities, b.epochs, b.kinds)
    rounds = zip(a.rounds, b.rounds, strict=True)
    return arrays and names and all(np.array_equal(p.probs[m], q.probs[m]) for p, q in rounds for m in p.probs)


@pytest.mark.parametrize("suffix", FORMATS[1:])
def test_every_format_gives_the_same_bits(saved, tmp_path, suffix):
    content = saved.make()
    content.splits = ["val" if i % 5 == 0 else "train" for i in range(24)]
    content.epochs = [7] * 24
    one = align(read_all([str(saved.write(content, tmp_path / "a.parquet"))]))
    other = align(read_all([str(saved.write(content, tmp_path / f"a.{suffix}"))]))
    assert same(one, other)
    assert one.classes == ("class.a", "class.b", "class.c")
    assert list(one.splits[:6]) == ["val", "train", "train", "train", "train", "val"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_order_of_rows_and_of_classes_does_not_matter(saved, tmp_path, suffix):
    content = saved.make()
    moved = content.rows(np.random.default_rng(1).permutation(24)).columns([2, 0, 1])
    one = align(read_all([str(saved.write(content, tmp_path / f"a.{suffix}"))]))
    assert same(one, align(read_all([str(saved.write(moved, tmp_path / f"b.{suffix}"))])))


def test_a_class_is_found_by_name(saved, tmp_path):
    """Modalities that list their classes in different orders: p(cat) = 0.9 in both."""
    path = tmp_path / "a.csv"
    path.write_text("sample_id,label,audio.cat,audio.dog,visual.dog,visual.cat\nx,cat,0.9,0.1,0.1,0.9\n")
    found = align(read_all([str(path)])).rounds[0]
    assert found.classes == ("cat", "dog")
    np.testing.assert_array_equal(found.probs["audio"], found.probs["visual"])
    np.testing.assert_allclose(found.probs["audio"], [[0.9, 0.1]], atol=1e-15)


def test_ids_are_texts(tmp_path):
    """18 digits and leading zeros survive; so does a label that looks like a number."""
    path = tmp_path / "a.csv"
    path.write_text(
        "\ufeffsample_id,label,a.0,a.1,b.0,b.1\n100000000000000001,1,0,9,0,9\n007,0,3,1,2,1\n", encoding="utf-8"
    )
    found = align(read_all([str(path)]))
    assert list(found.sample_ids) == ["007", "100000000000000001"]
    assert found.classes == ("0", "1") and list(found.labels) == [0, 1]


def test_labels_of_arrays_are_names_or_positions(saved, tmp_path):
    content = saved.make(n=6)
    by_name = align(read_all([str(saved.write(content, tmp_path / "a.npz"))]))
    content.labels = [content.classes.index(label) for label in content.labels]
    assert same(by_name, align(read_all([str(saved.write(content, tmp_path / "b.npz"))])))


def test_lists_beside_classes_equal_mappings(write_lines):
    mapping = [{"sample_id": "a", "label": "y", "audio": {"x": 1, "y": 2}, "visual": {"x": 0.5, "y": -3}}]
    listed = [{"sample_id": "a", "label": 0, "classes": ["y", "x"], "audio": [2, 1], "visual": [-3, 0.5]}]
    one, other = (align(read_all([write_lines(f"{i}.jsonl", *r)])) for i, r in enumerate((mapping, listed)))
    assert same(one, other)
    np.testing.assert_allclose(one.rounds[0].probs["audio"], [[1 / (1 + np.e), np.e / (1 + np.e)]], atol=1e-15)


def test_training_dynamics_of_two_modalities(write_lines, tmp_path):
    """A file an epoch and modality, as dataset cartography writes them, or their folder; epoch 10 is after epoch 9."""
    sources = []
    for m, scale in (("audio", 1.0), ("visual", -1.0)):
        for epoch in (9, 10):
            (tmp_path / m).mkdir(exist_ok=True)
            rows = [{"guid": g, f"logits_epoch_{epoch}": [scale * epoch, 0.0], "gold": 0} for g in ("b", "a")]
            sources.append(f"{m}={write_lines(f'{m}/dynamics_epoch_{epoch}.jsonl', *rows)}")
    found = align(read_all(sources))
    assert found.epochs == (10, 9) and found.modalities == ("audio", "visual") and found.classes == ("0", "1")
    for given, epoch in zip(found.rounds, (10, 9), strict=True):
        np.testing.assert_allclose(given.probs["audio"][:, 0], 1 / (1 + np.exp(-epoch)), rtol=1e-12)
        np.testing.assert_allclose(given.probs["visual"][:, 0], 1 / (1 + np.exp(epoch)), rtol=1e-9)
    assert same(found, align(read_all([f"{m}={tmp_path / m}" for m in ("audio", "visual")])))


def test_several_epochs_on_one_line(write_lines):
    rows = [{"guid": g, "logits_epoch_0": [0, 1], "logits_epoch_1": [5, 0], "gold": 1} for g in "ab"]
    path = write_lines("a.jsonl", *rows)
    found = align(read_all([f"audio={path}", f"visual={path}"]))
    assert found.epochs == (1, 0)
    assert found.rounds[0].probs["audio"][0, 1] < 0.01 < found.rounds[1].probs["audio"][0, 1]


def test_modalities_in_files_of_their_own_equal_one_file(saved, tmp_path):
    content = saved.make()
    together = align(read_all([str(saved.write(content, tmp_path / "a.parquet"))]))
    sources = []
    for m, suffix in (("audio", "npz"), ("visual", "csv")):
        alone = saved.content(content.sample_ids, content.labels, content.classes, {"raw": content.values[m]})
        order = np.random.default_rng(len(m)).permutation(24)
        sources.append(f"{m}={saved.write(alone.rows(order), tmp_path / f'{m}.{suffix}')}")
    assert same(together, align(read_all(sources)))


def test_columns_of_other_use_are_left_alone(saved, tmp_path):
    content = saved.make(n=4)
    content.extra = {"speaker": list("wxyz")}
    found = align(read_all([str(saved.write(content, tmp_path / "a.csv"))]))
    assert found.modalities == ("audio", "visual")


def test_objects_in_arrays_are_not_loaded(tmp_path):
    np.savez(tmp_path / "a.npz", sample_id=np.array(["a", 1], dtype=object), label=[0, 1], classes=["x", "y"])
    with pytest.raises(CurateError) as refused:
        read_all([str(tmp_path / "a.npz")])
    assert "dtype=str" in refused.value.hint


@pytest.mark.parametrize("suffix", FORMATS)
def test_groups_are_read_and_what_is_not_read_is_named(saved, tmp_path, suffix):
    content = saved.make(n=6)
    content.extra = {"group": ["g1", "g1", "", "NA", "g2", "g2"], "speaker": list("uvwxyz")}
    found = align(read_all([str(saved.write(content, tmp_path / f"a.{suffix}"))]))
    assert found.groups.tolist() == ["g1", "g1", "", "", "g2", "g2"] and found.modalities == ("audio", "visual")
    assert found.notes == (f"note: a.{suffix}: column 'speaker' is not read",)
    content.extra = {"speaker": list("uvwxyz"), "fold": [0, 1] * 3}
    found = align(read_all([str(saved.write(content, tmp_path / f"b.{suffix}"))]))
    assert found.groups is None and found.notes == (f"note: b.{suffix}: columns 'speaker', 'fold' are not read",)


def test_groups_of_training_dynamics_follow_the_samples(write_lines):
    rows = [{"guid": g, "group": g + g, "logits_epoch_0": [0, 1], "logits_epoch_1": [5, 0], "gold": 1} for g in "ba"]
    path = write_lines("a.jsonl", *rows)
    found = align(read_all([f"audio={path}", f"visual={path}"]))
    assert list(found.sample_ids) == ["a", "b"] and list(found.groups) == ["aa", "bb"]


def test_a_sample_has_one_group(saved, tmp_path):
    content, sources = saved.make(n=4), []
    for m, groups in (("audio", list("xxyy")), ("visual", list("xyyy"))):
        content.extra = {"group": groups}
        alone = saved.content(content.sample_ids, content.labels, content.classes, {m: content.values[m]})
        alone.extra = content.extra
        sources.append(str(saved.write(alone, tmp_path / f"{m}.csv")))
    with pytest.raises(CurateError, match="disagree on the group of 's001'"):
        align(read_all(sources))


def test_a_modality_that_only_later_lines_have_is_not_dropped(write_lines):
    row = {"label": "x", "audio": {"x": 1, "y": 2}, "visual": {"x": 1, "y": 2}}
    path = write_lines("a.jsonl", {"sample_id": "a", **row}, {"sample_id": "b", **row, "text": {"x": 1, "y": 2}})
    with pytest.raises(CurateError, match=r"line 1 of .*a\.jsonl lacks 'text'") as error:
        read_all([path])
    assert '"text": null' in error.value.hint
    path = write_lines(
        "b.jsonl", {"sample_id": "a", "text": None, **row}, {"sample_id": "b", **row, "text": row["audio"]}
    )
    assert read_all([path])[0].values["text"][1].shape == (2, 2)
