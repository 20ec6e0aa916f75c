"""Frames as CSV: every value comes back, and what is missing is an empty cell."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from curate.errors import CurateError
from curate.files.writing import replacing, write_csv


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
