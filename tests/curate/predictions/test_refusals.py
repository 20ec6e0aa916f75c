"""What is refused, at which file, and who is named first."""

from __future__ import annotations

import numpy as np
import pytest

from curate.errors import CurateError
from curate.predictions.align import align
from curate.predictions.files import read_all

HEADER = "sample_id,label,a.x,a.y,b.x,b.y"


@pytest.fixture
def refused(tmp_path):
    """Aligns files of the given texts, {name: text}, and returns the refusal, message and hint."""

    def run(*sources, **texts):
        for name, text in texts.items():
            stem, _, suffix = name.rpartition("_")
            (tmp_path / f"{stem}.{suffix}").write_text(text, encoding="utf-8")
        given = [s.replace("@", f"{tmp_path}/") for s in sources] or [f"{tmp_path}/f.csv"]
        with pytest.raises(CurateError) as found:
            align(read_all(given))
        assert found.value.hint
        return found.value.message

    return run


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has no rows"),
        (HEADER + "\n", "holds no predictions"),
        ("id,label,a.x,a.y\n1,x,1,2\n", "no column 'sample_id'; found: id, label"),
        ("sample_id,label,p\n1,x,1\n", "no modality"),
        ("sample_id,label,a.x,a.y\n1,x,1,2\n", "two modalities are needed, found a"),
        ("sample_id,label,a.x,b.x\n1,x,1,2\n", "the only class is 'x'"),
        ("sample_id,label,a.x,a.y,b.x\n1,x,1,2,3\n", "b lacks the class 'y'"),
        (f"{HEADER.replace('b.y', 'b.Y')}\n1,x,1,2,3,4\n", "a lacks the class 'Y'; b lacks the class 'y'"),
        ("sample_id,label,a.x,a.y,fused.x,fused.y\n1,x,1,2,3,4\n", "two modalities are needed, found a"),
        (HEADER + ",a.X\n1,x,1,2,3,4,5\n", "b lacks the class 'X'"),
        (HEADER + ",a.x\n1,x,1,2,3,4,5\n", "the header names 'a.x' more than once"),
        (HEADER + ",A.x\n1,x,1,2,3,4,5\n", "'a.x' and 'A.x' are one class"),
        (HEADER + ",a.x.1,b.x.1\n1,x,1,2,3,4,1,3\n", "'a.x.1', 'b.x.1' is a copy of another column"),
        (HEADER + ",label.1\n1,x,1,2,3,4,y\n", "'label.1' is a copy of 'label'"),
        ("sample_id,label,A b.x,A b.y,b.x,b.y\n1,x,1,2,3,4\n", "'a b' cannot be the name of a modality"),
        ("sample_id,label,balanced.x,balanced.y,b.x,b.y\n1,x,1,2,3,4\n", "'balanced' cannot be the name"),
        (HEADER + "\n1,x,1,2,3\n", "has 5 cells, its header 6"),
        (HEADER + "\n1,x,1,2,3,4\n,x,1,2,3,4\n", "1 row has no sample_id"),
        (HEADER + "\n1,z,1,2,3,4\n2,x,1,2,3,4\n", "label 'z' of '1' is not among the classes 'x', 'y'"),
        (HEADER + "\n1,x,1,2,3,4\n2,x,1,2,3,4\n1,y,1,2,3,4\n", "repeated sample_id '1'"),
        (HEADER + "\n1,x,1,2,3,4\n2,x,1,nan,3,4\n", "a is missing, NaN or infinite, or no number, for '2'"),
        (HEADER + "\n1,x,1,2,,4\n2,x,1,2,3,4\n", "b is missing, NaN or infinite, or no number, for '1'"),
        (HEADER + "\n1,x,1,2,3,many\n", "line 2, column 'b.y': 'many' is no number"),
        (HEADER + "\n1,x,1,2,3,1e999\n", "b is missing, NaN or infinite, or no number, for '1'"),
        (
            HEADER + "\n1,x,.5,.6,3,4\n",
            "a lie in 0..1 as probabilities do, but do not add to one, as sigmoids do not: '1'",
        ),
        (HEADER + ",split\n1,x,1,2,3,4,evil\n", "unknown splits 'evil'"),
        (HEADER + ",split\n1,x,1,2,3,4,test\n", "no sample of split train"),
        (HEADER + ",epoch\n1,x,1,2,3,4,1.5\n", "1 epoch is no whole number"),
        (HEADER + ",epoch\n1,x,1,2,3,4,1\n2,x,1,2,3,4,1\n1,x,1,2,3,4,2\n", "epoch 2 lacks '2'"),
        (HEADER + ",epoch\n1,x,1,2,3,4,1\n1,y,1,2,3,4,2\n", "disagree on the label of '1'"),
        (HEADER + ",epoch\n1,x,1,2,3,4,2\n1,x,1,2,3,4,2\n", "epoch 2: repeated sample_id '1'"),
    ],
)
def test_a_bad_table_is_refused(refused, text, told):
    assert told in refused(f_csv=text)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("balanced", "p_balanced is the column of something else"),
        ("mislabelled", "p_mislabelled is the column of something else"),
        ("broken_b", "p_broken_b is the column of something else"),
        ("1st", "begin it with a letter"),
        ("_first", "begin it with a letter"),
        ("a b", "use lower-case letters, digits and _"),
    ],
)
def test_it_is_said_what_is_wrong_with_the_name_of_a_modality(tmp_path, name, hint):
    path = tmp_path / "f.csv"
    path.write_text(f"sample_id,label,{name}.x,{name}.y,b.x,b.y\n1,x,1,2,3,4\n")
    with pytest.raises(CurateError, match=f"'{name}' cannot be the name") as told:
        read_all([str(path)])
    assert hint in told.value.hint


@pytest.mark.parametrize(
    ("columns", "hint"),
    [
        ("a_y,a_x,b_x,b_y", "a_x is to be called a.x"),
        ("speaker_id,speaker_name,a:x,a:y,b:y,b:x", "a:x is to be called a.x"),
        ("speaker_id,speaker_name,a_x,b_x", "expected one row a sample"),
    ],
)
def test_another_sign_in_place_of_the_dot_is_named(tmp_path, columns, hint):
    """Two modalities have the same classes; a speaker's id and name are none."""
    path = tmp_path / "f.csv"
    path.write_text(f"sample_id,label,{columns}\n1,x{',1' * len(columns.split(','))}\n")
    with pytest.raises(CurateError, match="no modality") as told:
        read_all([str(path)])
    assert hint in told.value.hint


def test_offenders_are_counted_and_the_first_three_named(refused):
    rows = "".join(f"{i},x,1,nan,3,4\n" for i in range(5))
    assert refused(f_csv=f"{HEADER}\n{rows}").endswith("for '0', '1', '2', ... (5 in all)")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("", "is empty"),
        ("{", "line 1 of"),
        ("[1]", "is no object"),
        ('{"sample_id": 1, "label": "x"}', "no modality in its first line"),
        ('{"sample_id": 1, "a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 2}}', "lacks 'label'"),
        ('{"sample_id": 1, "label": "x", "a": [1, 2], "b": [1, 2]}', "a is a list, and no class is named"),
        (
            '{"sample_id": 1, "label": 2, "classes": ["x", "y"], "a": [1, 2], "b": [1, 2]}',
            "labels '2' are not the classes 'x', 'y', nor positions among 2",
        ),
        ('{"sample_id": 1, "label": 0, "classes": ["x", "x"], "a": [1, 2], "b": [1, 2]}', "classes occur twice: 'x'"),
        ('{"sample_id": 1, "label": "x", "a": {"x": "1", "y": 2}, "b": {"x": 1, "y": 2}}', "holds what is no number"),
        ('{"sample_id": 1, "label": "x", "a": {"x": 1, "y": NaN}, "b": {"x": 1, "y": 2}}', "a is missing, NaN"),
        ('{"sample_id": 1, "label": "x", "a": {"x": 1, "y": null}, "b": {"x": 1, "y": 2}}', "a is missing, NaN"),
        ('{"sample_id": "\\ud800", "label": "x", "a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 2}}', "not valid Unicode"),
        ('{"guid": 1, "logits_epoch_0": [1, 2], "gold": "x"}', "gold is 'x'"),
        ('{"guid": 1, "logits_epoch_0": [1, 2], "gold": 2}', "labels '2' are not the classes '0', '1'"),
        ('{"guid": 1, "logits_epoch_0": [1, 2], "gold": 1}', "which modality is it?"),
    ],
)
def test_a_bad_line_is_refused(refused, line, told):
    assert told in refused("@f.jsonl", f_jsonl=line)


def test_a_later_line_must_be_like_the_first(refused):
    first = '{"sample_id": 1, "label": "x", "a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 2}}\n'
    for later in ('"a": {"x": 1}', '"a": {"x": 1, "z": 2}', '"a": [1, 2]', '"a": {"x": [1], "y": [1, 2]}'):
        line = '{"sample_id": 2, "label": "x", "b": {"x": 1, "y": 2}, %s}' % later  # noqa: UP031
        assert "line 2 of" in refused("@f.jsonl", f_jsonl=first + line)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"classes": None}, "no array 'classes'"),
        ({"a": np.zeros((2, 3))}, "a is (2, 3), expected (2, 2)"),
        ({"label": np.array([0, 2])}, "labels '2' are not the classes 'x', 'y', nor positions"),
        ({"a": np.array([["1", "2"]] * 2)}, "not numbers"),
        ({"label": np.array(["x"])}, "label is (1,), expected (2,)"),
    ],
)
def test_bad_arrays_are_refused(refused, tmp_path, change, told):
    good = {"sample_id": ["p", "q"], "label": [0, 1], "classes": ["x", "y"], "a": np.ones((2, 2)), "b": np.ones((2, 2))}
    np.savez(tmp_path / "f.npz", **{k: v for k, v in {**good, **change}.items() if v is not None})
    assert told in refused("@f.npz")


def test_a_single_array_under_the_name_of_an_npz_is_refused(refused, tmp_path):
    with (tmp_path / "f.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    assert "holds a single array" in refused("@f.npz")


@pytest.mark.parametrize("suffix", ["parquet", "npz"])
def test_what_is_no_such_file_is_refused(refused, suffix):
    assert "cannot be read" in refused(f"@f.{suffix}", **{f"f_{suffix}": "nonsense"})


def test_missing_files_unknown_formats_and_empty_folders_are_refused(refused, tmp_path):
    for name in ("@none.csv", "@none"):
        assert "no file or folder of predictions at" in refused(name)
    assert "cannot read predictions from '.xlsx'" in refused("@f.xlsx", f_xlsx="")
    assert "no .jsonl file in the folder" in refused(f"audio={tmp_path}")
    assert f"no complete epoch in {tmp_path}" in refused(str(tmp_path))


def test_files_that_do_not_match_are_refused(refused):
    a, c = "sample_id,label,a.x,a.y\n", "sample_id,label,b.x,b.y\n"
    both = {"f_csv": a + "1,x,1,2\n2,y,1,2\n"}
    assert "g.csv, epoch 0 lacks '2'" in refused("@f.csv", "@g.csv", **both, g_csv=c + "1,x,1,2\n")
    assert "g.csv, epoch 0 has '3' besides" in refused(
        "@f.csv", "@g.csv", **both, g_csv=c + "1,x,1,2\n2,y,1,2\n3,x,0,0\n"
    )
    assert "disagree on the label of '2'" in refused("@f.csv", "@g.csv", **both, g_csv=c + "1,x,1,2\n2,x,1,2\n")
    assert "a is given twice for epoch 0" in refused("@f.csv", "@g.csv", **both, g_csv=both["f_csv"])
    assert "g.csv names no epoch" in refused(
        "@f.csv", "@g.csv", f_csv="sample_id,label,epoch,a.x,a.y\n1,x,0,1,2\n", g_csv=c + "1,x,1,2\n"
    )
    assert "epoch 1 lacks b" in refused(
        "@f.csv",
        "@g.csv",
        f_csv="sample_id,label,epoch,a.x,a.y\n1,x,0,1,2\n1,x,1,1,2\n",
        g_csv="sample_id,label,epoch,b.x,b.y\n1,x,0,1,2\n",
    )


def test_a_named_file_holds_one_modality(refused):
    assert "holds a, b, and is to be audio" in refused("audio=@f.csv", f_csv=HEADER + "\n1,x,1,2,3,4\n")
