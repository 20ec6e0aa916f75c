from __future__ import annotations

import csv
import importlib.util
import shutil
from collections import Counter

import numpy as np
import pytest

from curate.datasets import find
from curate.datasets.cache import prepare
from curate.errors import CurateError

NvGesture = find("nvgesture")
SMALL = {"frames": 8, "size": 16, "window": 6, "crop": 12}


def make(root, **options):
    return NvGesture(root, NvGesture.Options(**{**SMALL, **options}))


def test_labels_are_the_list_s_counted_from_one_and_both_editions_are_kept(nvgesture):
    second, first = make(nvgesture), make(nvgesture, split_variant="v1")
    found = {s.sample_id: s for s in second.samples}
    moved = found["class_01/subject4_r2"]
    assert moved.label == "class_02", "neither the folder's nor the first edition's"
    assert moved.extra == {"label_v1": "class_01", "label_v2": "class_02"}
    assert {s.sample_id: s.label for s in first.samples}["class_01/subject4_r2"] == "class_01"
    assert second.classes[0] == "class_01" and second.classes[24] == "class_25" and len(second.classes) == 25
    assert Counter(s.split for s in second.samples) == {"train": 13, "val": 6, "test": 6}
    assert {s.group for s in second.samples if s.split == "val"} == {"subject17", "subject18"}
    assert second.data_id() != first.data_id()


@pytest.mark.long
def test_streams_are_read_at_their_own_frames_and_flow_by_the_row_of_the_list(nvgesture, tmp_path):
    data = make(nvgesture)
    sample = data.samples[2]  # row 2 of the train list, first frame 144
    assert sample.inputs == {
        "visual": "Video_data/class_01/subject4_r2/sk_color.avi@144-224",
        "flow": "Video_data/flow_data/train/2.npy",
        "depth": "Video_data/class_01/subject4_r2/sk_depth.avi@144-224",
    }
    cache = prepare(data, tmp_path)
    assert (cache.status["flow"] == "ok").all() and cache.usable.all()
    row = cache.rows([sample.sample_id])[0]
    colour, depth, flow = (cache.arrays[m][row].astype(float) for m in ("visual", "depth", "flow"))
    assert colour.shape == (8, 16, 16, 3) and depth.shape == (8, 16, 16, 1) and flow.shape == (8, 16, 16, 2)
    # Brightness 120 within the range and 10 before it; red is 40 above blue: RGB, not OpenCV's BGR.
    np.testing.assert_allclose(depth.mean((1, 2, 3)), 120, atol=4)
    assert colour[..., 0].mean() > colour[..., 2].mean() + 25
    # Motion (2, -2) of 32x24 frames is (1, -4/3) of 16x16 frames; 127 stands for 20 pixels.
    assert set(flow[..., 0].ravel()) == {round(127 / 20)} and set(flow[..., 1].ravel()) == {-round(127 * 4 / 3 / 20)}


def test_what_is_wrong_with_a_clip_is_its_status(nvgesture, tmp_path, writers):
    root = shutil.copytree(nvgesture, tmp_path / "nv")
    clips = [root / "Video_data" / s.sample_id for s in make(root).samples[:4]]
    (clips[0] / "sk_color.avi").unlink()
    (clips[1] / "sk_depth.avi").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    writers["avi"](clips[2] / "sk_color.avi", np.zeros((150, 24, 32, 3), np.uint8))
    (root / "Video_data/flow_data/train/3.npy").write_bytes(b"")
    cache = prepare(make(root), tmp_path / "cache")
    assert cache.status["visual"][:4].tolist() == ["missing", "ok", "truncated", "ok"]
    assert cache.status["depth"][:4].tolist() == ["ok", "lfs_pointer", "ok", "ok"]
    assert cache.status["flow"][:4].tolist() == ["ok", "ok", "ok", "empty"]
    assert cache.usable[4:].all()


def test_a_changed_file_changes_the_data(nvgesture, tmp_path):
    root = shutil.copytree(nvgesture, tmp_path / "nv")
    before = make(root).data_id()
    np.save(root / "Video_data/flow_data/train/0.npy", np.ones((80, 24, 32, 2), np.float16))
    assert make(root).data_id() != before


def test_without_files_flow_is_computed_or_refused_before_anything_is_decoded(nvgesture, tmp_path, monkeypatch):
    root = shutil.copytree(nvgesture, tmp_path / "nv", ignore=shutil.ignore_patterns("flow_data"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CurateError, match="OpenCV") as caught:
        make(root)
    assert "data.modalities" in caught.value.hint
    assert make(root, modalities="depth,visual").modalities == ("depth", "visual")


@pytest.mark.parametrize(
    "options",
    [
        {"modalities": "visual"},
        {"modalities": "visual,visual"},
        {"modalities": "visual,sound"},
        {"val_subjects": ""},
        {"val_subjects": "subject5"},
        {"val_subjects": "subject3,subject4,subject7,subject17,subject18"},
        {"window": 9},
        {"split_variant": "mini"},
    ],
)
def test_impossible_settings_are_refused(nvgesture, options):
    with pytest.raises(CurateError) as caught:
        make(nvgesture, **options)
    assert caught.value.hint


@pytest.mark.parametrize(
    "line",
    [
        "path:./Video_data/class_01/subject3_r0 depth:sk_depth:146:226 label:0",
        "path:./Video_data/class_01/subject3_r0 depth:sk_depth:146:226 label:26",
        "path:./Video_data/class_01/subject3_r0 depth:sk_depth:226:146 label:1",
        "path:./elsewhere/subject3_r0 depth:sk_depth:146:226 label:1",
        "path:./Video_data/class_01/subject3_r0 label:1",
        "class_01/subject3_r0 1",
    ],
)
def test_a_line_that_is_not_understood_is_told_by_number(nvgesture, tmp_path, line):
    root = shutil.copytree(nvgesture, tmp_path / "nv", ignore=shutil.ignore_patterns("*.avi"))
    with (root / "nvgesture_test_correct_cvpr2016_v2.lst").open("a") as file:
        file.write(line)
    with pytest.raises(CurateError, match="line 7 of"):
        make(root)


@pytest.mark.parametrize("variant", ["v1", "v2"])
def test_the_published_lists_have_the_known_counts(published, variant):
    data = NvGesture(published / "nvgesture", NvGesture.Options(split_variant=variant, modalities="visual,depth"))
    assert Counter("test" if s.split == "test" else "train" for s in data.samples) == {"train": 1050, "test": 482}
    groups = {split: {s.group for s in data.samples if s.split == split} for split in ("train", "val", "test")}
    assert groups["test"] == {f"subject{i}" for i in (5, 8, 9, 13, 14, 20)}
    assert groups["train"] | groups["val"] == {f"subject{i}" for i in (1, 2, 3, 4, 6, 7, 11, 12, 15, 16, 17, 18)}
    assert not groups["train"] & groups["val"]
    for split in groups:
        assert {s.label for s in data.samples if s.split == split} == set(data.classes)
    per_class = Counter(s.label for s in data.samples if s.split == "test")
    if variant == "v1":
        assert (min(per_class.values()), max(per_class.values())) == (16, 21)
        assert all(s.label == s.sample_id.partition("/")[0] for s in data.samples)
    frames = [source.partition("@")[2].split("-") for s in data.samples for source in s.inputs.values()]
    assert {int(end) - int(first) for first, end in frames} == {80}
    apart = [s for s in data.samples if s.inputs["visual"][-7:] != s.inputs["depth"][-7:]]
    assert len(apart) == 4


def test_the_published_corrections_are_those_known(published):
    data = NvGesture(published / "nvgesture", NvGesture.Options(modalities="visual,depth"))
    with (published / "nvgesture/label_corrections_v1_to_v2.csv").open() as file:
        known = {
            row["path"].removeprefix("./Video_data/"): (
                f"class_{int(row['label_v1']):02}",
                f"class_{int(row['label_v2']):02}",
            )
            for row in csv.DictReader(file)
        }
    corrected = {
        s.sample_id: (s.extra["label_v1"], s.extra["label_v2"])
        for s in data.samples
        if s.extra["label_v1"] != s.extra["label_v2"]
    }
    assert corrected == known and len(known) == 23
    assert sum(s.sample_id in known and s.split == "test" for s in data.samples) == 8


def test_a_folder_of_flow_is_nothing_to_a_mini_list_without_flow(published, tmp_path):
    root = shutil.copytree(published / "nvgesture", tmp_path / "nv")
    (root / "Video_data/flow_data/train").mkdir(parents=True, exist_ok=True)
    data = NvGesture(root, NvGesture.Options(split_variant="mini", modalities="visual,depth"))
    assert data.modalities == ("visual", "depth") and len(data.samples) == 100
    with pytest.raises(CurateError, match="numbered by the rows of the full lists"):
        NvGesture(root, NvGesture.Options(split_variant="mini", modalities="visual,flow"))


def test_the_published_part_of_100_clips_is_read(published):
    data = NvGesture(published / "nvgesture", NvGesture.Options(split_variant="mini", modalities="visual,depth"))
    assert Counter(s.split for s in data.samples) == {"train": 44, "val": 6, "test": 50}
