"""CREMA-D: the published lists and votes in full, and a replica of the download with its traps."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
from collections import Counter

import numpy as np
import pytest

from curate.datasets import checks
from curate.datasets.cache import prepare
from curate.datasets.crema_d import CLASSES, CremaD
from curate.errors import CurateError, MediaError

LONG = {"ANG": "Anger", "DIS": "Disgust", "FEA": "Fear", "HAP": "Happy", "NEU": "Neutral", "SAD": "Sad"}
STEMS = [f"{actor}_IEO_{emotion}" for actor in (1001, 1002, 1003, 1004) for emotion in ("ANG_HI", "HAP_LO", "NEU_XX")]
STEMS += [
    "1006_TIE_HAP_XX",
    "1006_TIE_NEU_XX",
    "1076_MTI_SAD_XX",
    "1064_TIE_SAD_XX",
    "1003_IWW_FEA_XX",
    "1005_DFA_DIS_XX",
]


def open_at(root, **options) -> CremaD:
    return CremaD(root, CremaD.Options(**options))


def one(data: CremaD, stem: str):
    return next(s for s in data.samples if s.sample_id == stem)


def splits_of(data: CremaD) -> dict[str, set[str]]:
    return {split: {s.sample_id for s in data.samples if s.split == split} for split in ("train", "val", "test")}


# --- the published lists ---------------------------------------------------------------------------------------


def test_the_published_lists(real_lists):
    folder = real_lists("crema_d")
    lists = {v: open_at(folder, split_variant=v) for v in ("ogm", "pmr", "dr", "mla", "agm")}
    sizes = {v: tuple(map(len, splits_of(d).values())) for v, d in lists.items()}
    assert {v: (train + val, test) for v, (train, val, test) in sizes.items() if v in ("ogm", "pmr", "mla")} == {
        "ogm": (6698, 744),
        "pmr": (6698, 744),
        "mla": (6698, 744),
    }
    assert sizes["dr"] == (5954, 744, 744) and sizes["agm"] == (6028, 745, 669)
    assert lists["ogm"].samples == lists["pmr"].samples == open_at(folder).samples
    ogm, mla, dr = (splits_of(lists[v]) for v in ("ogm", "mla", "dr"))
    assert len(ogm["test"] & mla["test"]) == 71 and ogm["test"] == dr["test"]
    for data in lists.values():
        assert len({s.sample_id for s in data.samples}) == 7442
        assert all(s.label == s.sample_id.split("_")[2] for s in data.samples)
    counts = Counter(s.label for s in lists["ogm"].samples if s.split == "test")
    assert [counts[c] for c in CLASSES] == [114, 123, 140, 133, 129, 105]
    counts = Counter(s.label for s in lists["ogm"].samples if s.split != "test")
    assert [counts[c] for c in CLASSES] == [973, 1148, 1131, 1138, 1142, 1166]
    crossing = [f for f in checks.check(lists["ogm"]) if f.kind == "group_crosses"]
    assert len(crossing) == 91


def test_a_list_with_a_header_is_the_list_without(real_lists, tmp_path):
    folder = real_lists("crema_d")
    shutil.copy(folder / "dr_train.csv", tmp_path / "train.csv")
    shutil.copy(folder / "dr_test.csv", tmp_path / "test.csv")
    with_header, without = open_at(tmp_path), open_at(folder)
    assert [(s.sample_id, s.label, s.split) for s in with_header.samples] == [
        (s.sample_id, s.label, s.split) for s in without.samples
    ]


def test_without_lists_no_actor_is_in_two_splits(real_lists, tmp_path):
    shutil.copy(real_lists("crema_d") / "SentenceFilenames.csv", tmp_path)
    data = open_at(tmp_path)
    assert len(data.samples) == 7442 and "by actor" in data.notes[0]
    actors = {split: {i[:4] for i in ids} for split, ids in splits_of(data).items()}
    assert not actors["train"] & actors["test"] and not actors["train"] & actors["val"]
    assert not actors["val"] & actors["test"] and len(set().union(*actors.values())) == 91
    assert [round(len(ids) / 7442, 1) for ids in splits_of(data).values()] == [0.8, 0.1, 0.1]
    assert open_at(tmp_path).samples == data.samples != open_at(tmp_path, seed=1).samples


def test_the_drawn_val_part_is_in_proportion(real_lists):
    data = open_at(real_lists("crema_d"), split_variant="ogm")
    counts = Counter((s.split, s.label) for s in data.samples)
    for label in CLASSES:
        train, val = counts["train", label], counts["val", label]
        assert abs(val - (train + val) / 10) <= 1
    by_actor = open_at(real_lists("crema_d"), split_variant="ogm", val_by_actor=True)
    actors = {split: {i[:4] for i in ids} for split, ids in splits_of(by_actor).items()}
    assert actors["val"] and not actors["val"] & actors["train"]


def test_the_votes_of_people(real_lists, tmp_path):
    folder = real_lists("crema_d")
    (tmp_path / "processedResults").mkdir()
    with gzip.open(folder / "tabulatedVotes.csv.gz") as packed:
        (tmp_path / "processedResults" / "tabulatedVotes.csv").write_bytes(packed.read())
    data = open_at(tmp_path, splits=str(folder))
    votes = {s.sample_id: s.extra for s in data.samples}
    shares = [np.mean([v[f"human_{c}"] for v in votes.values()]) for c in ("voice", "face", "av")]
    assert shares == pytest.approx([0.397, 0.572, 0.629], abs=0.001)
    gaps = [v["human_voice"] - v["human_face"] for v in votes.values()]
    assert (np.mean(gaps), np.std(gaps)) == pytest.approx((-0.175, 0.374), abs=0.001)
    with (folder / "human_votes_wide.csv").open() as file:
        for row in csv.DictReader(file):
            counts = votes[row.pop("clip")]
            assert all(counts[f"{k[:-1]}{ {c[0]: c for c in CLASSES}[k[-1]] }"] == float(v) for k, v in row.items())


# --- the replica -----------------------------------------------------------------------------------------------


def wrong_name(root) -> None:
    """What an old clone calls one clip."""
    for folder, ending in (("AudioWAV", "wav"), ("VideoFlash", "flv")):
        path = root / folder / f"1005_DFA_DIS_XX.{ending}"
        path.rename(path.with_name(f"1005_DFA_DIS_X.{ending}"))


@pytest.fixture(scope="module")
def clips(tmp_path_factory, replica):
    """WAV and FLV of every clip, written once; copy, never change."""
    root = tmp_path_factory.mktemp("clips")
    for index, stem in enumerate(STEMS):
        replica.sound(root / "AudioWAV" / f"{stem}.wav", index, 2)
        replica.video(root / "VideoFlash" / f"{stem}.flv", index, 2)
    wav = root / "AudioWAV"
    shutil.copy(wav / "1006_TIE_HAP_XX.wav", wav / "1006_TIE_NEU_XX.wav")  # the same bytes under two labels
    replica.media.audio(wav / "1076_MTI_SAD_XX.wav", np.zeros(2 * replica.media.rate, np.float32))  # no sound
    replica.sound(wav / "1003_IWW_FEA_XX.wav", 99, 1)  # its video lasts 2 s
    (root / "VideoFlash" / "1064_TIE_SAD_XX.flv").write_bytes(replica.pointer(1))
    (root / "VideoFlash" / "1001_IEO_HAP_LO.flv").unlink()
    (wav / "1002_IEO_NEU_XX.wav").write_bytes(b"")
    wrong_name(root)
    return root


@pytest.fixture
def download(clips, tmp_path):
    """The clips, without any list."""
    return shutil.copytree(clips, tmp_path / "CREMA-D")


def write_ogm(root, test=("1001_IEO_ANG_HI", "1006_TIE_NEU_XX", "1004_IEO_NEU_XX")) -> None:
    """Lists as OGM-GE publishes them: CRLF, no header."""
    rows = {"train": [s for s in STEMS if s not in test], "test": test}
    for split, stems in rows.items():
        (root / f"{split}.csv").write_text("".join(f"{s},{s.split('_')[2]}\r\n" for s in stems), newline="")


def test_lists_in_every_spelling_say_the_same(download):
    write_ogm(download)
    expected = [(s.sample_id, s.label, s.split) for s in open_at(download).samples]
    for bom, header, end, final in ((b"\xef\xbb\xbf", "", "\n", True), (b"", "name,label\r\n", "\r\n", False)):
        for name in ("train.csv", "test.csv"):
            lines = (download / name).read_text(encoding="utf-8-sig").removeprefix("name,label\n").split()
            text = header + end.join(lines) + (end if final else "")
            (download / name).write_bytes(bom + text.encode())
        assert [(s.sample_id, s.label, s.split) for s in open_at(download).samples] == expected
    for split in ("train", "test"):
        lines = (download / f"{split}.csv").read_text().split()[1:]
        pairs = [line.split(",") for line in lines]
        (download / f"my_{split}_cre.txt").write_text("".join(f"{s}.flv {LONG[c]}\n" for s, c in pairs))
    assert [(s.sample_id, s.label, s.split) for s in open_at(download, split_variant="mla").samples] == expected


def test_files_of_an_old_clone_and_files_in_no_list(download, replica):
    write_ogm(download)
    replica.sound(download / "AudioWAV" / "1091_WSI_SAD_XX.wav", 7, 1)
    replica.sound(download / "AudioWAV" / "readme.wav", 8, 1)
    data = open_at(download)
    assert one(data, "1005_DFA_DIS_XX").inputs["audio"] == "AudioWAV/1005_DFA_DIS_X.wav"
    assert data.notes == ("1 clip is in no list and not used, e.g. 1091_WSI_SAD_XX",)
    assert len(data.samples) == len(STEMS)
    assert open_at(download.parent).samples[0].inputs["audio"].startswith("CREMA-D/AudioWAV/")


def test_a_clip_in_two_lists_is_refused(download):
    write_ogm(download)
    (download / "my_train.csv").write_text((download / "train.csv").read_text())
    (download / "val.csv").write_text("1002_IEO_HAP_LO,HAP\n")
    with pytest.raises(CurateError, match="listed more than once"):
        open_at(download, split_variant="dr")


@pytest.mark.parametrize("line", ["1001_IEO_ANG_HI", "1001_IEO_ANG_HI,JOY", "clip,ANG"])
def test_a_line_that_does_not_fit_is_named(download, line):
    write_ogm(download)
    (download / "train.csv").write_text(f"1002_IEO_HAP_LO,HAP\n{line}\n")
    with pytest.raises(CurateError, match="has the line"):
        open_at(download)


def test_a_variant_without_its_lists_says_where_they_belong(download):
    with pytest.raises(CurateError, match="split_variant=mla") as caught:
        open_at(download, split_variant="mla")
    assert "data.splits" in caught.value.hint


def test_every_broken_clip_has_its_status(download, tmp_path):
    write_ogm(download)
    cache = prepare(open_at(download, size=16), tmp_path / "cache")
    status = {i: s for i, s in zip(cache.sample_ids.tolist(), cache.summary()[0], strict=True) if s != "ok"}
    assert status == {
        "1076_MTI_SAD_XX": "silent",
        "1064_TIE_SAD_XX": "lfs_pointer",
        "1001_IEO_HAP_LO": "missing",
        "1002_IEO_NEU_XX": "empty",
    }
    assert "no sound" in one(open_at(download), "1076_MTI_SAD_XX").extra["known_issue"]


def test_lengths_are_compared_on_request(download, replica):
    write_ogm(download)
    replica.video(download / "VideoFlash" / "1004_IEO_ANG_HI.flv", 3, 1, sound=False)
    usual, data = open_at(download, size=16), open_at(download, size=16, length_slack=0.5)
    for clip, shorter in (("1003_IWW_FEA_XX", "audio"), ("1004_IEO_ANG_HI", "visual")):
        assert usual.load(one(usual, clip), shorter).any()
    with pytest.raises(MediaError, match="audio lasts 1"):
        data.load(one(data, "1003_IWW_FEA_XX"), "audio")
    with pytest.raises(MediaError, match="visual lasts 1"):
        data.load(one(data, "1004_IEO_ANG_HI"), "visual")
    assert data.load(one(data, "1004_IEO_ANG_HI"), "audio").any()


def test_the_same_bytes_under_two_labels_are_found(download):
    write_ogm(download)
    found = {(f.kind, f.sample_id): f.detail for f in checks.check(open_at(download)) if f.kind != "group_crosses"}
    assert found == {
        ("leak", "1006_TIE_HAP_XX"): "audio of 1006_TIE_NEU_XX (test, NEU)",
        ("label_conflict", "1006_TIE_HAP_XX"): "audio of 1006_TIE_NEU_XX (test, NEU)",
        (
            "label_conflict",
            "1006_TIE_NEU_XX",
        ): f"audio of 1006_TIE_HAP_XX ({one(open_at(download), '1006_TIE_HAP_XX').split}, HAP)",
        ("duplicate_content", "1006_TIE_HAP_XX"): "audio of 1006_TIE_NEU_XX (test, NEU)",
        (
            "duplicate_content",
            "1006_TIE_NEU_XX",
        ): f"audio of 1006_TIE_HAP_XX ({one(open_at(download), '1006_TIE_HAP_XX').split}, HAP)",
    }


def test_extracted_frames_serve_where_there_is_no_flv(download, replica):
    write_ogm(download)
    shutil.rmtree(download / "VideoFlash")
    replica.pictures(download / "Image-01-FPS" / "1001_IEO_ANG_HI", 0, 3)
    data = open_at(download, frames=3, size=16)
    clip = one(data, "1001_IEO_ANG_HI")
    assert clip.inputs["visual"] == "Image-01-FPS/1001_IEO_ANG_HI"
    assert np.diff(data.load(clip, "visual").mean(axis=(1, 2, 3))) == pytest.approx([20, 20], abs=3)


@pytest.mark.slow
def test_a_split_of_our_own_is_told(download, curate, tiny):
    where = ("--dataset", "crema_d", "--root", download, *tiny("data", "model", "optim"))
    code, _, err = curate("score", *where, "--epochs", 1)
    assert code == 3 and "note: no split lists were found" in err
    assert "note: no split lists were found" in curate("prepare", *where[:8])[2]


@pytest.mark.long
@pytest.mark.slow
def test_the_four_commands(download, four_commands, curate):
    write_ogm(download)
    remarks = four_commands("crema-d", download, True, "data.val_fraction=0.3")
    assert "group_crosses" in remarks and "1006_TIE_HAP_XX" in remarks
    _, out, _ = curate("sql", "SELECT status, count(*) AS n FROM failures GROUP BY 1 ORDER BY 1", "--format", "jsonl")
    counts = {row["status"]: row["n"] for row in map(json.loads, out.splitlines())}
    assert counts == dict.fromkeys(("empty", "lfs_pointer", "missing", "silent"), 1)
    _, out, _ = curate("sql", "SELECT extra->>'known_issue' FROM samples WHERE sample_id = '1064_TIE_SAD_XX'")
    assert "no duration" in out
