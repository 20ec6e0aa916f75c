"""A file that was asked for appears whole or not at all, and no other file is touched."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from curate.errors import CurateError
from curate.files.remote import located
from curate.files.writing import check_output, replacing, write_csv


def files(folder) -> dict[str, str]:
    """{path below a folder: content} of every file in it."""
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_a_file_appears_under_its_name_alone(tmp_path, caplog):
    with replacing(tmp_path / "a.csv") as fresh:
        fresh.write_text("new")
        fresh.with_name("tmp_a.csv").write_text("what a writer leaves beside it")
        assert fresh.name == "a.csv" and "a.csv" not in files(tmp_path)
    assert files(tmp_path) == {"a.csv": "new"} and [p.name for p in tmp_path.iterdir()] == ["a.csv"]
    assert not caplog.records


def test_an_earlier_file_is_replaced_with_a_word(tmp_path, caplog):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with replacing(path) as fresh:
        fresh.write_text("new")
        assert path.read_text() == "old"
    assert files(tmp_path) == {"a.csv": "new"}
    assert [r.getMessage() for r in caplog.records] == [f"replaced {path}"]


@pytest.mark.parametrize("error", [CurateError("no"), ValueError("no"), KeyboardInterrupt()])
def test_what_fails_leaves_the_earlier_file_and_nothing_else(tmp_path, caplog, error):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(type(error)), replacing(path) as fresh:
        fresh.write_text("half")
        raise error
    assert files(tmp_path) == {"a.csv": "old"} and len(list(tmp_path.iterdir())) == 1
    assert not caplog.records


def test_a_place_where_no_file_can_be_is_the_user_s_error(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    for path in (tmp_path / "folder.csv", tmp_path / "none" / "a.csv"):
        with pytest.raises(CurateError, match=r"cannot write .*\.csv: ") as told, replacing(path) as fresh:
            fresh.write_text("new")
        assert str(path) in told.value.message and told.value.hint
    assert [p.name for p in tmp_path.iterdir()] == ["folder.csv"] and not files(tmp_path)


def test_a_place_is_checked_before_there_is_anything_to_write(tmp_path, monkeypatch):
    check_output(tmp_path / "a.csv", (".csv",))
    check_output(located("memory://nowhere/a.csv"), (".csv",))
    (tmp_path / "folder.csv").mkdir()
    for path, message in (
        (tmp_path / "a.foo", r"cannot write '\.foo'"),
        (tmp_path / "a", "without suffix"),
        (tmp_path / "folder.csv", "it is a folder"),
        (tmp_path / "none" / "a.csv", "does not exist"),
        (located("memory://nowhere/a.foo"), r"cannot write '\.foo'"),
        (located("https://nowhere.invalid/a.csv"), "are read, not written"),
    ):
        with pytest.raises(CurateError, match=message):
            check_output(path, (".csv",))
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(CurateError, match="is not allowed"):
        check_output(tmp_path / "a.csv")


def test_a_missing_folder_is_said_to_be_missing(tmp_path):
    with pytest.raises(CurateError, match="does not exist"), replacing(tmp_path / "none" / "a.csv"):
        pass


def test_every_value_comes_back(tmp_path) -> None:
    frame = pd.DataFrame(
        {
            "text": ["a,b", 'he said "no"', "two\nlines", "ü"],
            "late": [None, np.nan, None, "audio"],
            "none": pd.Series([np.nan] * 4, dtype=object),
            "number": [1 / 3, -0.0, 1e-300, np.nan],
            "whole": [1, -2, 3, 2**53],
            "right": [True, False, True, False],
        }
    )
    write_csv(tmp_path / "f.csv", frame)
    read = pd.read_csv(tmp_path / "f.csv")
    pd.testing.assert_frame_equal(read, frame.assign(late=[np.nan] * 3 + ["audio"], none=np.nan), check_exact=True)
    assert (tmp_path / "f.csv").read_text(encoding="utf-8").splitlines()[-1] == "ü,audio,,,9007199254740992,false"


def test_an_empty_frame_has_its_header(tmp_path) -> None:
    write_csv(tmp_path / "f.csv", pd.DataFrame({"a": np.empty(0), "b": np.empty(0, dtype=object)}))
    assert (tmp_path / "f.csv").read_text(encoding="utf-8").split() == ["a,b"]


def test_what_cannot_be_written_is_an_error_of_its_user(tmp_path) -> None:
    with pytest.raises(CurateError, match="cannot write"), replacing(tmp_path / "f.csv"):
        write_csv(tmp_path / "nowhere" / "f.csv", pd.DataFrame({"a": [1]}))
