"""Kinetics-Sounds without lists: what of a folder of classes is used, and what the notes say of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.datasets.kinetics_sounds import KineticsSounds
from curate.errors import CurateError


def clip(number: int) -> str:
    return f"abcdefgh_{number:02}_{number:06}_{number + 10:06}.mp4"


@pytest.fixture
def folders(tmp_path) -> Path:
    """Twelve clips of two classes in train, two in val and test each; files are empty, none is decoded."""
    for split, first, last in (("train", 0, 12), ("val", 12, 14), ("test", 14, 16)):
        for i in range(first, last):
            put(tmp_path / split / ("bowling", "tap dancing")[i % 2] / clip(i))
    return tmp_path


def put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def opened(root: Path, **options) -> KineticsSounds:
    return KineticsSounds(root, KineticsSounds.Options(**options))


def test_folders_of_a_class_in_another_case_are_of_that_class(folders):
    put(folders / "train" / "Tap Dancing" / clip(20))
    data = opened(folders)
    assert {s.label for s in data.samples} == {"bowling", "tap_dancing"} and len(data.samples) == 17
    assert data.notes == ("no lists were found: splits and classes are those of the folders",)


def test_folders_of_no_class_are_counted(folders):
    for i, name in enumerate(("abseiling", "zumba", "zumba", "air drumming", "bee keeping")):
        put(folders / "test" / name / clip(30 + i))
    data = opened(folders)
    assert len(data.samples) == 16
    told = "5 videos in 4 folders of no known class, not used: abseiling (1), air drumming (1), bee keeping (1), ..."
    assert told in data.notes


def test_a_clip_in_several_splits_is_used_once_and_told(folders):
    put(folders / "test" / "bowling" / clip(0))
    put(folders / "val" / "bowling" / "abcdefgh_02_2.mp4")
    data = opened(folders)
    assert len(data.samples) == 16 and {s.split for s in data.samples if s.group in ("abcdefgh_00", "abcdefgh_02")} == {
        "train"
    }
    note = next(note for note in data.notes if "also elsewhere" in note)
    assert note.startswith("2 videos") and f"test/bowling/{clip(0)} (used: train/bowling/{clip(0)})" in note


def test_videos_of_other_names_and_places_are_counted(folders):
    put(folders / "train" / "bowling" / "holiday.mp4")
    put(folders / "videos" / clip(40))
    notes = " / ".join(opened(folders).notes)
    assert "1 videos whose name" in notes and "train/bowling/holiday.mp4" in notes
    assert "1 videos in no folder" in notes and f"videos/{clip(40)}" in notes


def test_lists_that_are_there_but_not_read_are_told(folders):
    (folders / "my_test.txt").write_text("abcdefgh_14_14,10,2\n")
    note = opened(folders).notes[0]
    assert note.startswith("my_test.txt found, which is not read: my_train.txt with my_test.txt")
    assert opened(folders, split_variant="folders").notes[0].startswith("split_variant=folders: ")
    (folders / "my_train.txt").write_text("".join(f"abcdefgh_{i:02}_{i},10,{2 + i % 2}\n" for i in range(12)))
    assert {s.split for s in opened(folders).samples} == {"train", "val", "test"} and opened(folders).notes == ()


def test_neither_lists_nor_videos_names_the_list_that_is_there(tmp_path):
    (tmp_path / "my_test.txt").write_text("abcdefgh_14_14,10,2\n")
    with pytest.raises(CurateError, match=r"not enough for a split: my_test\.txt"):
        opened(tmp_path)
