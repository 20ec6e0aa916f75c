"""AVE: the published lists in full, and a replica of the download with its traps."""

from __future__ import annotations

import json
import shutil
from collections import Counter

import numpy as np
import pytest

from curate.datasets import checks
from curate.datasets.ave import CLASSES, Ave
from curate.datasets.cache import prepare
from curate.errors import CurateError, MediaError

TRAIN = """Church bell&c---zaDCTaE&good&0&10
Church bell&VWi2ENBuTbw&good&0&0
Male speech, man speaking&-9_5_2i4igQ&good&2&5
Banjo&0f_iTO5t3hU&good&0&10
Mandolin&0f_iTO5t3hU&good&0&10
Bark&_aaaaaaaaa0&good&1&3
Bark&_aaaaaaaaa1&good&6&10
Flute&_aaaaaaaaa2&good&0&10
Flute&_aaaaaaaaa3&good&4&6
Goat&_aaaaaaaaa4&good&0&9
Goat&_aaaaaaaaa5&good&0&10"""
VAL = "Church bell&PIdEa_F_VYg&good&0&10\nBark&_aaaaaaaaa6&good&0&10"
TEST = "Ukulele&0f_iTO5t3hU&good&0&10\nFemale speech, woman speaking&-9_5_2i4igQ&good&2&5\nFlute&_aaaaaaaaa7&good&0&10"
SMALL = [w for s in ("data.size=16", "data.augment=none", "data.audio=spec257x299") for w in ("--set", s)]
SMALL += ["--set", "model.encoder=small_cnn"]
HEADER = "Category&VideoID&Quality&StartTime&EndTime\n"


def open_at(root, **options) -> Ave:
    return Ave(root, Ave.Options(**options))


def one(data: Ave, sample_id: str):
    return next(s for s in data.samples if s.sample_id == sample_id)


@pytest.fixture
def lists(tmp_path):
    """The lists alone, as they lie in the zip: a header in one, CRLF, a byte order mark, no final newline."""
    folder = tmp_path / "AVE_Dataset"
    folder.mkdir()
    (folder / "trainSet.txt").write_text(TRAIN)
    (folder / "valSet.txt").write_bytes(b"\xef\xbb\xbf" + VAL.replace("\n", "\r\n").encode() + b"\r\n")
    (folder / "testSet.txt").write_text(TEST + "\n")
    (folder / "Annotations.txt").write_text(HEADER + "\n".join((TRAIN, VAL, TEST)))
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory, replica):
    """A 10 s clip a video, written once; copy, never change."""
    folder = tmp_path_factory.mktemp("clips")
    videos = sorted({line.split("&")[1] for text in (TRAIN, VAL, TEST) for line in text.split("\n")})
    for index, video in enumerate(videos):
        replica.video(folder / f"{video}.mp4", index, 10)
    return folder


@pytest.fixture
def download(lists, clips, replica):
    """The lists and the clips; one is missing, one a pointer."""
    shutil.copytree(clips, lists / "AVE")
    (lists / "AVE" / "_aaaaaaaaa4.mp4").unlink()
    (lists / "AVE" / "_aaaaaaaaa5.mp4").write_bytes(replica.pointer(5))
    return lists


# --- the published lists ---------------------------------------------------------------------------------------


def test_the_published_lists(real_lists, tmp_path):
    folder = real_lists("ave")
    data = open_at(folder)
    assert Counter(s.split for s in data.samples) == {"train": 3339, "val": 402, "test": 402}
    videos = {split: {s.group for s in data.samples if s.split == split} for split in ("train", "val", "test")}
    assert {split: len(v) for split, v in videos.items()} == {"train": 3312, "val": 401, "test": 402}
    assert len(set().union(*videos.values())) == 4097
    assert len({s.sample_id for s in data.samples}) == 4143
    assert len(videos["train"] & videos["test"]) == 8 and len(videos["train"] & videos["val"]) == 10
    by_class = Counter((s.label, s.split) for s in data.samples)
    for label, counts in {"Church bell": (152, 18, 18), "Cat": (48, 6, 6), "Mandolin": (126, 15, 15)}.items():
        assert tuple(by_class[label, split] for split in ("train", "val", "test")) == counts
    found = Counter(f.kind for f in checks.check(data))
    assert found["group_crosses"] == 18 and found["label_conflict"] == 44 * 2 + 3
    assert data.notes == ()  # Annotations.txt is their union
    assert Counter(s.extra["end"] - s.extra["start"] for s in data.samples)[10] == 2750
    assert len({s.group for s in data.samples if s.group.startswith("-")}) == 1012
    for variant in ("first", "last"):
        assert Counter(s.split for s in open_at(folder, split_variant=variant).samples)["train"] == 3312


def test_classes_are_in_the_order_of_the_published_labels(real_lists):
    seen = dict.fromkeys(line.split("&")[0] for line in (real_lists("ave") / "Annotations.txt").read_text().split("\n"))
    assert tuple(label for label in seen if label) == CLASSES


# --- the replica -----------------------------------------------------------------------------------------------


def test_every_row_is_a_sample(lists):
    data = open_at(lists)
    assert len(data.samples) == 16 and data.notes == ()
    banjo, mandolin, ukulele = (one(data, i) for i in ("0f_iTO5t3hU", "0f_iTO5t3hU#2", "0f_iTO5t3hU#3"))
    assert [s.label for s in (banjo, mandolin, ukulele)] == ["Banjo", "Mandolin", "Ukulele"]
    assert [s.split for s in (banjo, mandolin, ukulele)] == ["train", "train", "test"]
    assert banjo.extra["other_labels"] == "Mandolin; Ukulele"
    assert one(data, "-9_5_2i4igQ#2").label == "Male speech, man speaking"
    assert one(data, "-9_5_2i4igQ#2").inputs == {m: "AVE/-9_5_2i4igQ.mp4#t=2,5" for m in ("audio", "visual")}
    assert open_at(lists.parent).samples[0].inputs["audio"].startswith("AVE_Dataset/AVE/")


def test_a_list_with_a_header_gives_the_same_rows(lists):
    before = open_at(lists).samples
    for name in ("trainSet.txt", "testSet.txt"):
        (lists / name).write_text(HEADER + (lists / name).read_text())
    assert open_at(lists).samples == before


def test_one_row_a_video_as_public_loaders_keep_it(lists):
    labels = lambda variant: {  # noqa: E731
        (s.group, s.split): s.label for s in open_at(lists, split_variant=variant).samples
    }
    assert labels("first")["0f_iTO5t3hU", "train"] == "Banjo" and labels("last")["0f_iTO5t3hU", "train"] == "Mandolin"
    assert "leaves out 1 row" in open_at(lists, split_variant="first").notes[0]


@pytest.mark.parametrize("line", ["Parrot&abc&good&0&10", "Bark&abc&good&0", "Bark&abc&good&a&b", "Bark,abc,good,0,1"])
def test_a_line_that_does_not_fit_is_named(lists, line):
    (lists / "valSet.txt").write_text(line)
    with pytest.raises(CurateError, match=r"valSet\.txt has the line"):
        open_at(lists)


def test_a_missing_list_says_what_is_expected(lists):
    (lists / "valSet.txt").unlink()
    with pytest.raises(CurateError, match=r"no valSet\.txt"):
        open_at(lists)


def test_sound_and_frames_are_those_of_the_event(download):
    data = open_at(download, frames=3, size=32)
    event = one(data, "-9_5_2i4igQ#2")  # from 2 to 5 s: tones of 400, 500 and 600 Hz, levels 60, 80 and 100
    sound = data.load(event, "audio").astype(float)
    spectrum = np.abs(np.fft.rfft(sound[: 3 * 16000]))
    loud = {round(f / 3) for f in np.flatnonzero(spectrum > spectrum.max() / 3)}
    assert {400, 500, 600} <= loud and all(390 <= f <= 610 for f in loud)
    assert (sound[: 7 * 16000] == sound[3 * 16000 :]).all()  # repeated to 10 s
    levels = data.load(event, "visual").mean(axis=(1, 2, 3))
    assert np.diff(levels) == pytest.approx([20, 20], abs=4) and 56 < levels[0] < 72
    whole = open_at(download, frames=3, size=32, crop="clip")
    assert np.diff(whole.load(one(whole, "-9_5_2i4igQ#2"), "visual").mean(axis=(1, 2, 3))).min() > 50


def test_an_event_of_no_length_has_a_status(download):
    data = open_at(download)
    for modality in data.modalities:
        with pytest.raises(MediaError) as caught:
            data.load(one(data, "VWi2ENBuTbw"), modality)
        assert caught.value.status == "empty_event"


def test_extracted_frames_and_sound_serve_where_there_is_no_video(lists, replica):
    replica.sound(lists / "Audios" / "-9_5_2i4igQ.wav", 0, 10)
    replica.pictures(lists / "Image-01-FPS" / "-9_5_2i4igQ", 0, 10)
    data = open_at(lists, frames=3, size=32)
    event = one(data, "-9_5_2i4igQ#2")
    assert event.inputs["visual"] == "Image-01-FPS/-9_5_2i4igQ#t=2,5"
    assert data.load(event, "visual").mean(axis=(1, 2, 3)) == pytest.approx([60, 80, 100], abs=3)
    assert data.load(event, "audio").any()


def test_leaks_are_listed_and_left_out_on_request(download, tmp_path):
    found = {(f.kind, f.sample_id) for f in checks.check(open_at(download))}
    assert {("leak", "0f_iTO5t3hU"), ("leak", "0f_iTO5t3hU#2"), ("leak", "-9_5_2i4igQ#2")} <= found
    assert ("label_conflict", "0f_iTO5t3hU#3") in found and ("leak", "0f_iTO5t3hU#3") not in found
    cache = prepare(open_at(download, size=16, drop_leaks=True), tmp_path / "cache")
    status = dict(zip(cache.sample_ids.tolist(), cache.summary()[0], strict=True))
    dropped = {i for i, s in status.items() if s == "dropped_leak"}
    assert dropped == {"0f_iTO5t3hU", "0f_iTO5t3hU#2", "-9_5_2i4igQ#2"} and len(status) == 16
    assert status["0f_iTO5t3hU#3"] == "ok" and status["_aaaaaaaaa5"] == "lfs_pointer"


@pytest.mark.long
def test_the_four_commands(download, four_commands, curate):
    remarks = four_commands("ave", download, True)
    assert "14 ok, 1 lfs_pointer, 1 missing" in remarks and "label_conflict" in remarks and "0f_iTO5t3hU" in remarks
    _, out, _ = curate("sql", "SELECT status, count(*) AS n FROM samples GROUP BY 1 ORDER BY 1", "--format", "jsonl")
    counts = {row["status"]: row["n"] for row in map(json.loads, out.splitlines())}
    assert counts == {"empty_event": 1, "lfs_pointer": 1, "missing": 1, "ok": 13}
    _, out, _ = curate("sql", "SELECT count(*) FROM samples WHERE gap IS NOT NULL", "--format", "csv")
    assert out.split()[-1] == "8"
    code, _, err = curate("score", "--dataset", "ave", "--root", download.parent, "--epochs", 1, *SMALL)
    assert code == 3 and "suspicious: 3 leak, 5 label_conflict" in err
    _, out, _ = curate("sql", "SELECT kind, count(*) AS n FROM findings GROUP BY 1 ORDER BY 1", "--format", "csv")
    assert out.split() == ["kind,n", "duplicate_content,5", "group_crosses,2", "label_conflict,5", "leak,3"]
