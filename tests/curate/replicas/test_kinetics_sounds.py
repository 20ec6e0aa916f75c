"""Kinetics-Sounds: the published lists in full, and a replica of the Kinetics-400 layout with its traps."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from curate.datasets import checks
from curate.datasets.kinetics_sounds import CLASSES, KineticsSounds
from curate.errors import CurateError, MediaError

TRAIN = [
    ("--4-0ihtnBU_000058_000068", 4),
    ("--6q_33gNew_000132_000142", 27),
    ("-00nar1nEPc_000033_000043", 13),
    *((f"train_id_{i:02}_{i:06}_{i + 10:06}", (4, 13, 27)[i % 3]) for i in range(9)),
]
TEST = [("-3Mwkq-7TV4_2", 4), ("-74csnCOiUs_0", 13), ("-7aeB7vFtB4_1237", 27)]


def open_at(root, **options) -> KineticsSounds:
    return KineticsSounds(root, KineticsSounds.Options(**options))


def one(data: KineticsSounds, sample_id: str):
    return next(s for s in data.samples if s.sample_id == sample_id)


# --- the published lists ---------------------------------------------------------------------------------------


def test_the_published_lists(real_lists):
    folder = real_lists("kinetics_sounds")
    data = open_at(folder)
    counts = Counter(s.split for s in data.samples)
    assert counts["train"] + counts["val"] == 14799 and counts["test"] == 2597
    assert abs(counts["val"] - 1480) <= 31
    assert len({s.group for s in data.samples}) == len(data.samples)
    by_class = Counter((s.split != "test", s.label) for s in data.samples)
    train = {c: by_class[True, c] for c in CLASSES}
    assert (min(train, key=train.__getitem__), min(train.values())) == ("stomping_grapes", 197)
    assert (max(train, key=train.__getitem__), max(train.values())) == ("blowing_out_candles", 690)
    assert {min(by_class[False, c] for c in CLASSES), max(by_class[False, c] for c in CLASSES)} == {63, 92}
    assert not checks.check(data)


def test_the_published_lists_of_bml_are_the_same_clips(real_lists):
    folder = real_lists("kinetics_sounds")
    ogm, bml = open_at(folder), open_at(folder, split_variant="bml")
    assert Counter(s.split for s in bml.samples) == {"train": 14799, "val": 1320, "test": 2597}
    label = {s.sample_id: (s.label, s.split == "test") for s in bml.samples if s.split != "val"}
    assert label == {s.sample_id: (s.label, s.split == "test") for s in ogm.samples}


def test_the_leak_of_the_published_json(real_lists):
    data = open_at(real_lists("kinetics_sounds"), split_variant="ks_json")
    assert Counter(s.split for s in data.samples) == {"train": 17396, "val": 1320, "test": 2597}
    assert len({s.sample_id for s in data.samples}) == 17396 + 1320 + 2597
    assert len(checks.leaking(data)) == 2597


# --- the replica -----------------------------------------------------------------------------------------------


@pytest.fixture
def lists(tmp_path):
    """Lists as OGM-GE publishes them: CRLF, no header."""
    root = tmp_path / "k400"
    root.mkdir()
    for name, rows in (("my_train.txt", TRAIN), ("my_test.txt", TEST)):
        (root / name).write_text("".join(f"{clip},10,{label}\r\n" for clip, label in rows), newline="")
    return root


@pytest.fixture
def download(lists, replica):
    """Kinetics-400: a folder a class, names with both seconds; one clip is broken, one mute, one absent."""
    rows = [("train", *row) for row in TRAIN[:-1]] + [("test", *row) for row in TEST]
    for index, (split, clip, label) in enumerate(rows):
        start = int(clip[12:].split("_")[0])
        name = f"{clip[:11]}_{start:06}_{start + 10:06}.mp4"
        folder = CLASSES[label].replace("_", " ") if split == "test" else CLASSES[label]
        replica.video(lists / split / folder / name, index, 2, sound=index != 1)
    (lists / "train" / CLASSES[4] / "--4-0ihtnBU_000058_000068.mp4").write_bytes(b"\0" * 999)
    return lists


def test_files_are_found_whichever_way_the_list_writes_the_second(download):
    data = open_at(download)
    assert one(data, "-7aeB7vFtB4_1237").inputs["visual"] == "test/tap dancing/-7aeB7vFtB4_001237_001247.mp4"
    assert one(data, "--6q_33gNew_000132_000142").group == "--6q_33gNew"
    assert one(data, "train_id_03_000003_000013").inputs["audio"].startswith("train/dribbling_basketball/")


def test_a_clip_from_another_second_is_another_clip(download):
    (download / "my_test.txt").write_text("-3Mwkq-7TV4_3,10,4\n")
    data = open_at(download)
    with pytest.raises(MediaError) as caught:
        data.load(one(data, "-3Mwkq-7TV4_3"), "visual")
    assert caught.value.status == "missing"


def test_extracted_sound_and_frames_serve_where_there_is_no_video(lists, replica):
    clip = TRAIN[0][0]
    replica.sound(lists / "audio" / f"{clip}.wav", 0, 2)
    replica.pictures(lists / "visual" / clip, 0, 12, "frame_0000{}.jpg")  # frame_000010 comes after frame_00009
    data = open_at(lists, frames=12, size=16)
    sample = one(data, clip)
    assert sample.inputs == {"audio": f"audio/{clip}.wav", "visual": f"visual/{clip}"}
    assert (np.diff(data.load(sample, "visual").mean(axis=(1, 2, 3))) > 10).all()
    wave = data.load(sample, "audio")
    assert wave[: 2 * 16000].any() and not wave[2 * 16000 :].any()  # filled up with zeros


def test_without_lists_the_folders_say_splits_and_classes(download, replica):
    (download / "my_train.txt").unlink()
    replica.video(download / "val" / CLASSES[4] / "valvalval_0_000001_000011.mp4", 50, 1)
    data = open_at(download)
    assert Counter(s.split for s in data.samples) == {"train": 11, "val": 1, "test": 3}
    assert data.notes and one(data, "-7aeB7vFtB4_001237_001247").label == "tap_dancing"


def test_the_leak_of_ks_json(lists):
    database = {clip: {"subset": "training", "label": CLASSES[label]} for clip, label in TRAIN + TEST}
    (lists / "KS.json").write_text(json.dumps({"labels": list(CLASSES), "database": database}))
    data = open_at(lists, split_variant="ks_json", val_fraction=0.2)
    leaking = checks.leaking(data)
    assert set(leaking) <= {clip for clip, _ in TEST}
    in_val = {s.sample_id for s in data.samples if s.split == "val"}
    assert set(leaking) | in_val >= {clip for clip, _ in TEST}
    assert one(data, "-3Mwkq-7TV4_2#test").split == "test" and one(data, "-3Mwkq-7TV4_2").split != "test"


@pytest.mark.parametrize("line", ["short_1,10,4", "-3Mwkq-7TV4_2,10,31", "-3Mwkq-7TV4_2 10 4"])
def test_a_line_that_does_not_fit_is_named(lists, line):
    (lists / "my_test.txt").write_text(line)
    with pytest.raises(CurateError, match="has the line"):
        open_at(lists)


def test_a_json_that_does_not_fit_is_named(lists):
    (lists / "KS_train_val.json").write_text('{"database": {"-3Mwkq-7TV4_2": {"subset": "training"}}}')
    with pytest.raises(CurateError, match="does not fit"):
        open_at(lists, split_variant="bml")
    with pytest.raises(CurateError, match=r"no KS\.json"):
        open_at(lists, split_variant="ks_json")


@pytest.mark.long
def test_the_four_commands(download, four_commands, curate):
    four_commands("kinetics_sounds", download, True, "data.val_fraction=0.3", "data.audio=spec257x299")
    _, out, _ = curate("sql", "SELECT status, count(*) AS n FROM failures GROUP BY 1 ORDER BY 1", "--format", "csv")
    assert out.split() == ["status,n", "missing,1", "no_audio,1", "undecodable,1"]
