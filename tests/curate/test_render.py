"""Rows to text and back."""

from __future__ import annotations

import csv
import io
import json
from datetime import date
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.render import duration, readable_hint, readable_type, render

# A lone carriage return is left out: Python 3.11 writes it without quotes and then cannot read it back.
TEXT = st.text(st.characters(exclude_characters="\r\0", exclude_categories=("Cs",)), max_size=12)
CELL = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXT)
ROWS = st.lists(st.tuples(CELL, CELL, TEXT), max_size=5)


@given(ROWS)
def test_json_reads_back_equal(rows):
    assert json.loads(render(["a", "b", "c"], rows, "json")) == [dict(zip("abc", r, strict=True)) for r in rows]


def test_json_turns_what_it_does_not_know_to_text_and_keeps_lists():
    assert json.loads(render(["d", "l"], [[date(2026, 1, 2), ["x", "y"]]], "json")) == [
        {"d": "2026-01-02", "l": ["x", "y"]}
    ]


@given(st.lists(st.tuples(TEXT, TEXT), max_size=5))
def test_csv_reads_back_equal(rows):
    text = render(["first", "second"], rows, "csv")
    assert list(csv.reader(io.StringIO(text, newline=""))) == [["first", "second"], *map(list, rows)]


@given(ROWS)
def test_json_lines_hold_a_row_each_and_say_what_json_says(rows):
    lines = render(["a", "a", "c"], rows, "jsonl").split("\n") if rows else []
    assert [json.loads(line) for line in lines] == json.loads(render(["a", "a", "c"], rows, "json"))


@given(st.lists(st.tuples(TEXT, TEXT), max_size=5))
def test_tsv_reads_back_equal(rows):
    text = render(["first", "second"], rows, "tsv")
    read = csv.reader(io.StringIO(text, newline=""), delimiter="\t")
    assert list(read) == [["first", "second"], *map(list, rows)]


def test_csv_quotes_what_must_be_quoted_and_nothing_else():
    rows = [['say "hi"', 1], ["two\nlines", 0.1], ["a,b", None]]
    assert render(["x", "y"], rows, "csv") == 'x,y\n"say ""hi""",1\n"two\nlines",0.1\n"a,b",'


def test_csv_keeps_every_digit():
    value = 0.1 + 0.2
    assert float(render(["x"], [[value]], "csv").splitlines()[1]) == value


def test_markdown_escapes_pipes_and_joins_lines_in_cells_and_names():
    text = render(["a || b", "n"], [["x|y", 1], ["two\nlines", None]], "markdown")
    assert text.splitlines() == [r"| a \|\| b | n |", "| --- | --- |", r"| x\|y | 1 |", "| two lines |  |"]


@pytest.mark.parametrize("form", ["csv", "markdown", "table"])
def test_no_rows_leave_the_names(form):
    assert "name" in render(["name"], [], form).splitlines()[0]


def test_no_rows_are_an_empty_json_list():
    assert json.loads(render(["name"], [], "json")) == []


@pytest.mark.parametrize("form", ["table", "csv", "json", "markdown"])
def test_markup_is_printed_as_it_stands(form):
    nasty = "[red]x[/red] [link=y] :smile: \\[bold]"
    text = render(["[b]name[/b]"], [[nasty]], form)
    assert "[b]name[/b]" in text
    assert nasty in (json.loads(text)[0].values() if form == "json" else text)
    assert "\x1b" not in text


@pytest.mark.parametrize("length", [50, 5_000, 50_000])
def test_a_table_never_folds_without_a_width(length):
    rows = [["x" * length, "word " * (length // 5)], ["y", "z"]]
    lines = render(["a", "b"], rows).splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("x" * length) and lines[2].endswith("word")


def test_a_table_folds_between_words():
    words = [f"word{i}" for i in range(20)]
    lines = render(["a", "b"], [[" ".join(words), "tail"]], width=40).splitlines()
    assert max(map(len, lines)) <= 40 and len(lines) > 3
    assert [w for w in " ".join(lines).split() if w.startswith("word")] == words


@pytest.mark.parametrize("width", [40, 80])
def test_what_is_too_wide_for_a_table_stands_upright_and_no_word_is_cut(width):
    columns = [f"column_{i}" for i in range(35)]
    rows = [["s1", "x" * 100, None, *range(31), '{"codec": "png", "size": [16, 16]}'], ["s2", "y", 0.5, *range(32)]]
    lines = render(columns, rows, width=width).splitlines()
    cells = [line.split(None, 1) for line in lines if line.startswith("column_")]
    assert [cell[0] for cell in cells] == columns * 2
    assert cells[0][1] == "s1" and cells[1][1] == "x" * 100 and cells[2] == ["column_2"] and cells[37][1] == "0.5"
    assert sum(line.strip("\u2500 ") in ("row 1", "row 2") for line in lines) == 2
    assert all(len(line) <= width for line in lines if "x" * 100 not in line)


def test_a_table_of_no_rows_shows_its_names_whatever_the_width():
    assert "column_34" in render([f"column_{i}" for i in range(35)], [], width=40)


def test_a_table_ends_no_line_in_blanks_and_has_no_final_newline():
    text = render(["a", "b"], [["x", None], ["longer", "y"]])
    assert all(line == line.rstrip() for line in text.split("\n")) and not text.endswith("\n")


def test_numbers_stand_right_and_words_left():
    lines = render(["n", "w"], [[5, "a"], [1234, "bcd"]]).splitlines()
    assert lines[2].index("5") == lines[3].index("4") and lines[2].index("a") == lines[3].index("b")


def test_cells_for_people_are_short():
    text = render(["f", "none", "list", "bool"], [[0.123456789, None, ["a", "b"], True]])
    assert text.splitlines()[-1].split() == ["0.1235", "a,", "b", "True"]


def test_json_keeps_columns_of_one_name_apart_and_has_no_nan():
    text = render(["a", "a"], [[float("nan"), 2]], "json")
    assert list(json.loads(text, parse_constant=pytest.fail)[0].values()) == [None, 2]


def test_types_are_shown_as_what_one_types():
    named = Literal["a", "b"]
    assert readable_hint(named) == readable_type("Literal['a', 'b']") == "a | b"
    assert readable_hint(named | None) == readable_type("Literal['a', 'b'] | None") == "a | b | none"
    assert readable_hint(int | None) == readable_type("int | None") == "int | none"
    assert readable_hint(Literal[4, 6]) == "4 | 6" and readable_hint(float) == "float"


def test_durations_have_the_unit_of_their_size() -> None:
    shown = [duration(s) for s in (0.4, 45, 119.4, 150, 7199, 12_600)]
    assert shown == ["0 s", "45 s", "119 s", "2 min", "120 min", "3.5 h"]
