"""Lists of the papers' data sets as other programs write them: byte order marks, quotes, headers, blanks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from curate.datasets import find
from curate.datasets.crema_d import CremaD
from curate.datasets.iemocap import read_list as read_iemocap
from curate.datasets.iemocap import read_release
from curate.datasets.kinetics_sounds import CLASSES, KineticsSounds
from curate.datasets.nvgesture import read_list as read_nvgesture
from curate.datasets.sarcasm import read_literals, read_table
from curate.errors import CurateError

BOM = b"\xef\xbb\xbf"
Iemocap = find("iemocap")

# --- byte order marks ------------------------------------------------------------------------------------------------

GESTURE = "path:./Video_data/class_01/subject3_r0 depth:sk_depth:146:226 color:sk_color:146:226 label:1\n"
SPOKEN = "Ses01F_impro01_F000.mp4 [split|sign] Yes. [split|sign] Happy\n"
READERS = {
    "sarcasm": (lambda path: list(read_literals(path)), "['840006160660983809', 'a text', 1]\n"),
    "sarcasm_table": (lambda path: list(read_table(path)), 'ImageID\tString\tLabel\n1.jpg\ta "text\t1\n'),
    "nvgesture": (read_nvgesture, GESTURE),
    "iemocap": (lambda path: read_iemocap(path, ("Happy", "Sad")), SPOKEN),
}


@pytest.mark.parametrize("name", READERS)
def test_a_byte_order_mark_is_no_part_of_the_first_line(name, tmp_path):
    read, text = READERS[name]
    (tmp_path / "plain").write_text(text)
    (tmp_path / "marked").write_bytes(BOM + text.replace("\n", "\r\n").encode())
    found = read(tmp_path / "plain")
    assert len(found) == 1 and read(tmp_path / "marked") == found


@pytest.mark.parametrize("name", READERS)
def test_a_list_that_is_no_text_is_refused(name, tmp_path):
    (tmp_path / "list").write_bytes(b"\xff\xfe\x00a\x80")
    with pytest.raises(CurateError, match="list cannot be read"):
        READERS[name][0](tmp_path / "list")


# --- quotes and headers ----------------------------------------------------------------------------------------------

STEMS = [f"{actor}_DFA_{emotion}_XX" for actor in range(1001, 1013) for emotion in ("ANG", "SAD")]
HEADERS = ("", "name,label\n", "filename,label\n", '"Filename","Label"\n', "file_name, emotion\n")


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("form", ["{},{}\n", '"{}","{}"\n', '"{}.flv", "{}"\n'])
def test_crema_d_lists_may_have_quotes_and_a_header(header, form, tmp_path):
    for name, stems in (("train", STEMS[:20]), ("test", STEMS[20:])):
        rows = "".join(form.format(stem, stem[9:12]) for stem in stems)
        (tmp_path / f"{name}.csv").write_text(header + rows)
    data = CremaD(tmp_path, CremaD.Options())
    assert {s.sample_id: s.label for s in data.samples} == {stem: stem[9:12] for stem in STEMS}
    assert {s.sample_id for s in data.samples if s.split == "test"} == {*STEMS[20:]}


def test_a_header_is_skipped_above_a_list_alone(tmp_path):
    (tmp_path / "train.csv").write_text(f"{STEMS[0]},ANG\nname,label\n")
    (tmp_path / "test.csv").write_text(f"{STEMS[1]},SAD\n")
    with pytest.raises(CurateError, match="has the line 'name,label'"):
        CremaD(tmp_path, CremaD.Options())
    (tmp_path / "train.csv").write_text("name,label\n")
    with pytest.raises(CurateError, match="a header and no lines"):
        CremaD(tmp_path, CremaD.Options())


def test_a_list_of_all_clips_that_has_another_header_is_refused(tmp_path):
    (tmp_path / "SentenceFilenames.csv").write_text(f"Stimulus_Number,File\n1,{STEMS[0]}\n")
    with pytest.raises(CurateError, match=r"SentenceFilenames\.csv has no column 'Filename'"):
        CremaD(tmp_path, CremaD.Options())


def test_a_time_of_an_event_that_is_no_number_is_refused(tmp_path):
    ave = find("ave")
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}Set.txt").write_text("Category&VideoID&Quality&StartTime&EndTime\nBus&x&good&0&1\u2070\n")
    with pytest.raises(CurateError, match="has the line 'Bus&x&good&0&1"):
        ave(tmp_path, ave.Options())


@pytest.mark.parametrize("form", ["{},10,{}\n", '"{}",10,"{}"\n', '"{}","10",{}\n'])
@pytest.mark.parametrize("header", ["", "filename,seconds,label\n", '"id","length","class"\n'])
def test_kinetics_sounds_lists_may_have_quotes_and_a_header(header, form, tmp_path):
    clips = [f"abcdefgh_{i:02}_{i}" for i in range(24)]
    for name, own in (("train", clips[:20]), ("test", clips[20:])):
        rows = "".join(form.format(clip, int(clip[-2:].strip("_")) % 2) for clip in own)
        (tmp_path / f"my_{name}.txt").write_text(header + rows)
    data = KineticsSounds(tmp_path, KineticsSounds.Options())
    assert Counter(s.split for s in data.samples)["test"] == 4 and len(data.samples) == 24
    assert {s.sample_id: s.label for s in data.samples} == {c: CLASSES[int(c[-2:].strip("_")) % 2] for c in clips}


# --- IEMOCAP ---------------------------------------------------------------------------------------------------------


def release(root: Path, sessions=(1, 2, 3, 4, 5), lines=()) -> Path:
    """Labels and words of two dialogues a session; `lines` are more labels in the first one."""
    for session in sessions:
        for number in (1, 2):
            dialog = f"Ses0{session}F_impro{number:02}"
            labels, words = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]"], []
            for turn, label in enumerate(("ang", "hap", "neu", "sad")):
                labels.append(f"[{turn}.0 - {turn}.5]\t{dialog}_F{turn:03}\t{label}\t[2.5, 2.5, 2.5]")
                words.append(f"{dialog}_F{turn:03} [{turn}.0-{turn}.5]: word{turn}")
            labels += lines if (session, number) == (sessions[0], 1) else []
            for folder, text in (("EmoEvaluation", labels), ("transcriptions", words)):
                path = root / f"Session{session}" / "dialog" / folder / f"{dialog}.txt"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("\n".join(text) + "\n")
    return root


def iemocap(root: Path, **options):
    return Iemocap(root, Iemocap.Options(**options))


@pytest.mark.parametrize(
    "line",
    [
        "[3.0 - 4.0]\tSes01F_impro01_M000\tang \t[2.5, 2.5, 2.5]",
        "[3.0 - 4.0]\tSes01F_impro01_M000 \tang\t[2.5, 2.5, 2.5]",
        "[3.0-4.0]\tSes01F_impro01_M000\tang\t[2.5, 2.5, 2.5]",
        " [ 3 - 4.0 ]  Ses01F_impro01_M000 ang",
    ],
)
def test_blanks_in_a_line_of_labels_mean_nothing(line, tmp_path):
    release(tmp_path, lines=[line])
    turn = read_release(tmp_path)["Ses01F_impro01_M000"]
    assert (turn.start, turn.end, turn.label) == (3.0, 4.0, "ang")
    data = iemocap(tmp_path)
    assert data.notes == () and len(data.samples) == 41


def test_blanks_in_a_transcription_mean_nothing(tmp_path):
    path = release(tmp_path) / "Session1/dialog/transcriptions/Ses01F_impro01.txt"
    path.write_bytes(BOM + path.read_bytes().replace(b" [", b"  [ ").replace(b"-", b" - ").replace(b"]:", b"] : "))
    assert [read_release(tmp_path)[f"Ses01F_impro01_F{i:03}"].text for i in range(4)] == [f"word{i}" for i in range(4)]


def test_labels_that_are_not_understood_are_counted(tmp_path):
    wrong = ["[3.0 to 4.0]\tSes01F_impro01_M000\tang\t[1, 1, 1]", "[3.0 - 4.1.2]\tSes01F_impro01_M001\tang\t[1]"]
    data = iemocap(release(tmp_path, lines=[*wrong, "C-E2:\tAnger;\t()", ""]))
    assert len(data.samples) == 40 and len(data.notes) == 1
    assert data.notes[0].startswith("2 lines of labels are not understood") and "Ses01F_impro01.txt" in data.notes[0]
    assert "[3.0 to 4.0]" in data.notes[0]


@pytest.mark.parametrize(
    ("absent", "told", "counts"),
    [
        (5, "there are no test samples", {"train": 24, "val": 8}),
        (4, "val is drawn from train", {}),
        (2, "session 2 has no utterance of the 4 classes", {"train": 16, "val": 8, "test": 8}),
    ],
)
def test_a_session_that_is_not_there_is_told(absent, told, counts, tmp_path):
    data = iemocap(release(tmp_path, [s for s in range(1, 6) if s != absent]))
    assert [told in note and note.startswith(f"session {absent} ") for note in data.notes] == [True]
    found = Counter(s.split for s in data.samples)
    assert found == counts if counts else found.keys() == {"train", "val", "test"}
