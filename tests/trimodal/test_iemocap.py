from __future__ import annotations

import shutil
from collections import Counter

import numpy as np
import pytest

from curate.datasets import find
from curate.datasets.cache import prepare
from curate.datasets.iemocap import half, read_list, read_release
from curate.errors import CurateError

Iemocap = find("iemocap")
SMALL = {"seconds": 0.5, "size": 16, "tokens": 8}
ROWS = [
    "Ses03M_script02_1_M002.mp4 [split|sign] Yeah.  I know. [split|sign] Happy",
    "Ses01F_impro05a_F000.mp4 [split|sign] [LAUGHTER] [split|sign] Happy",
    "Ses02M_script01_1b_M001.mp4 [split|sign] What? [split|sign] Angry",
]


def make(root, **options):
    return Iemocap(root, Iemocap.Options(**{**SMALL, **options}))


def write_lists(root, writers, extra=()):
    """A train list of 36 rows and a test list, for clips of the replica."""
    labels = {"ang": "Angry", "hap": "Happy", "exc": "Happy", "neu": "Neutral", "sad": "Sad"}
    spoken = read_release(root / "IEMOCAP_full_release")
    rows = [
        f"{n}.mp4 [split|sign] {u.text} [split|sign] {labels[u.label]}"
        for n, u in sorted(spoken.items())
        if u.label in labels
    ]
    writers["text"](root / "my_train_iemo.txt", "\n".join(rows[::2]) + "\n")
    writers["text"](root / "my_test_iemo.txt", "\n".join([*rows[1::2], *extra]) + "\n")


def test_sessions_are_split_and_excitement_is_happiness(iemocap):
    data = make(iemocap)
    assert data.classes == ("Angry", "Happy", "Neutral", "Sad") and data.modalities == ("audio", "visual", "text")
    # 10 dialogues of 14 utterances, 2 of each of 7 emotions; fru and xxx are of no class.
    assert Counter(s.label for s in data.samples) == {"Angry": 20, "Happy": 40, "Neutral": 20, "Sad": 20}
    assert Counter(s.split for s in data.samples) == {"train": 60, "val": 20, "test": 20}
    assert {s.group[:5] for s in data.samples if s.split == "test"} == {"Ses05"}
    assert {s.group[:5] for s in data.samples if s.split == "val"} == {"Ses04"}
    assert data.notes == ("40 utterances have none of the 4 classes: 20 fru, 20 xxx",)
    six = make(iemocap, labels=6)
    assert Counter(s.label for s in six.samples) == dict.fromkeys(six.classes, 20) and len(six.classes) == 6


def test_ids_with_letters_name_dialogue_speaker_and_files(iemocap):
    sample = next(s for s in make(iemocap).samples if s.sample_id == "Ses01F_impro05a_M003")
    assert sample.group == "Ses01M" and sample.extra == {"dialog": "Ses01F_impro05a", "emotion": "hap"}
    assert sample.inputs == {
        "audio": "IEMOCAP_full_release/Session1/sentences/wav/Ses01F_impro05a/Ses01F_impro05a_M003.wav",
        "visual": "IEMOCAP_full_release/Session1/dialog/avi/DivX/Ses01F_impro05a.avi#t=1.5,2",
        "text": "[LAUGHTER]",
    }


def test_sound_picture_and_words_are_those_of_the_utterance(iemocap, tmp_path):
    data = make(iemocap)
    cache = prepare(data, tmp_path)
    assert cache.usable.all(), cache.summary()
    for sample in data.samples[:14]:
        row = cache.rows([sample.sample_id])[0]
        turn = int(sample.sample_id[-3:])
        level = cache.arrays["visual"][row].mean()
        # Who wears the markers sits left, on 200; the other half is 20 plus 10 for every second turn.
        assert level == pytest.approx(
            200 if sample.sample_id[5] == sample.sample_id[-4] else 20 + 10 * (turn // 2), abs=6
        )
    laughing = next(s for s in data.samples if s.inputs["text"] == "[LAUGHTER]")
    assert np.count_nonzero(cache.arrays["text"][cache.rows([laughing.sample_id])[0]]) == 1


@pytest.mark.parametrize(
    ("left", "marked", "speaker", "side"),
    [
        ("marked", "F", "F", "left"),
        ("marked", "M", "F", "right"),
        ("unmarked", "M", "F", "left"),
        ("unmarked", "M", "M", "right"),
        ("F", "M", "F", "left"),
        ("M", "M", "F", "right"),
        (None, "F", "M", "all"),
    ],
)
def test_the_speaker_s_half(left, marked, speaker, side):
    assert half({"marked": marked, "speaker": speaker}, left) == side


def test_val_is_drawn_as_whole_dialogues_where_no_session_is_held_out(iemocap):
    data = make(iemocap, val_session=None, val_fraction=0.2)
    where: dict[str, set[str]] = {}
    for s in data.samples:
        where.setdefault(str(s.extra["dialog"]), set()).add(s.split)
    assert all(len(splits) == 1 for splits in where.values())
    assert {"train", "val", "test"} == set().union(*where.values())


def test_the_public_list_is_read_and_its_missing_part_drawn(iemocap, tmp_path, writers):
    root = shutil.copytree(iemocap, tmp_path / "ie", ignore=shutil.ignore_patterns("*.wav", "*.avi"))
    write_lists(root, writers)
    data = make(root, split_variant="mla", val_fraction=0.2)
    assert Counter(s.split for s in data.samples) == {"train": 40, "val": 10, "test": 50}
    assert make(root, split_variant="mla", val_fraction=0.2).samples == data.samples
    writers["text"](root / "my_dev_iemo.txt", ROWS[0] + "\n")
    given = make(root, split_variant="mla")
    assert Counter(s.split for s in given.samples) == {"train": 50, "val": 1, "test": 50}


def test_cut_media_come_before_the_dialogues(iemocap, tmp_path, writers):
    root = shutil.copytree(iemocap, tmp_path / "ie", ignore=shutil.ignore_patterns("*.wav", "*.avi"))
    write_lists(root, writers, extra=[ROWS[0]])
    name = "Ses01F_impro05a_F000"
    writers["avi"](root / "subvideo" / f"{name}.mp4", np.full((6, 32, 32, 3), 90, np.uint8))
    writers["wav"](root / "subaudio" / f"{name}.wav", 300)
    faces = root / "faces/Ses01F_impro05a_M001"
    faces.mkdir(parents=True)
    from PIL import Image

    for i, level in ((10, 250), (9, 120), (1, 40)):
        Image.fromarray(np.full((8, 8, 3), level, np.uint8)).save(faces / f"{i}.jpg")
    for shadow in ("._1.jpg", "._9.jpg"):
        (faces / shadow).write_bytes(b"\x00\x05\x16\x07")
    data = make(root, split_variant="mla")
    found = {s.sample_id: s.inputs for s in data.samples}
    assert found[name]["visual"] == f"subvideo/{name}.mp4" and found[name]["audio"] == f"subaudio/{name}.wav"
    assert found["Ses01F_impro05a_M001"]["visual"] == "faces/Ses01F_impro05a_M001"
    assert found["Ses03M_script02_1_M002"]["visual"] == "subvideo/Ses03M_script02_1_M002.mp4", "no times are known"
    cache = prepare(data, tmp_path / "cache")
    level = {n: cache.arrays["visual"][cache.rows([n])[0]].mean() for n in (name, "Ses01F_impro05a_M001")}
    assert level == {name: pytest.approx(90, abs=4), "Ses01F_impro05a_M001": pytest.approx(120, abs=4)}
    assert Counter(cache.status["audio"]) == {"ok": 1, "missing": len(data.samples) - 1}


def test_a_list_has_three_fields_and_keeps_markers_and_double_spaces(tmp_path, writers):
    writers["text"](tmp_path / "a.txt", "\n".join(ROWS) + "\n")
    classes = ("Angry", "Happy", "Neutral", "Sad")
    assert read_list(tmp_path / "a.txt", classes)[:2] == [
        ("Ses03M_script02_1_M002", "Yeah.  I know.", "Happy"),
        ("Ses01F_impro05a_F000", "[LAUGHTER]", "Happy"),
    ]
    for bad in (
        "Ses01F_impro05a_F001.mp4 [split|sign] Happy",
        ROWS[0],
        ROWS[1].replace("Happy", "happy"),
        "x.mp4 [split|sign] a [split|sign] Sad",
    ):
        writers["text"](tmp_path / "a.txt", "\n".join([*ROWS, bad]))
        with pytest.raises(CurateError, match="line 4"):
            read_list(tmp_path / "a.txt", classes)


@pytest.mark.parametrize(
    "options",
    [
        {"modalities": "audio"},
        {"modalities": "audio,audio"},
        {"modalities": "audio,words"},
        {"test_session": 6},
        {"test_session": 4},
        {"tokens": 0},
        {"val_fraction": 1.0},
        {"split_variant": "mla"},
        {"split_variant": "mla", "labels": 6},
    ],
)
def test_impossible_settings_are_refused(iemocap, options):
    with pytest.raises(CurateError) as caught:
        make(iemocap, **options)
    assert caught.value.hint


def test_a_folder_without_labels_is_refused(tmp_path):
    with pytest.raises(CurateError, match="EmoEvaluation"):
        make(tmp_path)
