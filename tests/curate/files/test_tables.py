"""One table in many dialects is one table; what is none is refused with file, line, column and cure."""

from __future__ import annotations

import csv
import io
import json
import shlex
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import CurateError
from curate.files.tables import TableFile, open_table

KNOWN, NEEDED = ("sample_id", "label", "split", "group", "audio"), ("sample_id", "label")
CELL = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp"), exclude_characters="\ufeff\u200b#"),
    min_size=1,
    max_size=8,
).filter(lambda cell: cell == cell.strip())
NUMBER = st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: float(f"{x:.6g}"))


def opened(path: Path) -> TableFile:
    return open_table(path, KNOWN, NEEDED, "a header and rows")


def refused(path: Path, texts=NEEDED, numbers=()) -> CurateError:
    with pytest.raises(CurateError) as error:
        opened(path).read(texts, numbers)
    assert str(path) in error.value.message and error.value.hint
    return error.value


@given(
    rows=st.lists(st.tuples(CELL, CELL, st.none() | NUMBER), min_size=1, max_size=6),
    separator=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]),
    newline=st.sampled_from(["\n", "\r\n"]),
    header=st.sampled_from(["sample_id label n", "Sample_ID LABEL n", "SAMPLE ID|Label|n", " sample-id |label |n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    above=st.sampled_from(["", "sep", "# made by hand", "\n"]),
    missing=st.sampled_from(["", "NA", "nan", "NULL", "?"]),
    comma=st.booleans(),
    wide=st.booleans(),
)
def test_every_dialect_is_the_same_table(
    tmp_path_factory, rows, separator, encoding, newline, header, quoting, above, missing, comma, wide
):
    """Ids, labels and numbers come back whatever separator, encoding, header, quotes and decimal mark there are."""
    comma = comma and separator != ","
    text = io.StringIO()
    text.write({"sep": f"sep={separator}{newline}"}.get(above, above and above + newline))
    out = csv.writer(text, delimiter=separator, quoting=quoting, lineterminator=newline)
    out.writerow([*(header.split("|") if "|" in header else header.split()), *([""] * wide)])
    for sample_id, label, n in rows:
        written = missing if n is None else repr(n).replace(".", "," if comma else ".")
        out.writerow([sample_id, f" {label} ", written, *([""] * wide)])
        text.write(newline)  # an empty line
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    found = opened(path).read(["sample_id", "label"], ["n"])
    assert found.texts["sample_id"] == [r[0] for r in rows] and found.texts["label"] == [r[1] for r in rows]
    np.testing.assert_array_equal(found.numbers[:, 0], [np.nan if r[2] is None else r[2] for r in rows])


@settings(max_examples=5)
@given(st.lists(st.tuples(CELL, CELL, st.none() | NUMBER), min_size=1, max_size=6))
def test_parquet_is_the_same_table(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("t") / "t.parquet"
    with duckdb.connect() as con:
        con.execute('CREATE TABLE t (Sample_ID VARCHAR, label VARCHAR, n DOUBLE, "N""2" STRUCT(a INT, b INT))')
        con.executemany("INSERT INTO t VALUES (?, ?, ?, NULL)", rows)
        con.execute(f"COPY t TO '{path}' (FORMAT parquet)")
    table = opened(path)
    assert table.names == ("sample_id", "label", "n", 'N"2')
    found = table.read(["sample_id", "label"], ["n"])
    assert found.texts["sample_id"] == [r[0] for r in rows]
    np.testing.assert_array_equal(found.numbers[:, 0], [np.nan if r[2] is None else r[2] for r in rows])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("sample_id,label,label\na,x,y\n", "the header names 'label' more than once"),
        ("sample_id,Label,label\na,x,y\n", "the header names 'label' more than once"),
        ("sample_id,label,note,note\na,x,y,z\n", "the header names 'note' more than once"),
        ("sample_id,label,label.1\na,x,y\n", "'label.1' is a copy of 'label'"),
        ("id,class\na,x\n", "no column 'sample_id', 'label'; found: id, class"),
        ("sample_id,label\na,x,y\n", "line 2 of"),
        ('sample_id,label\na,"x\nb,y\n', "cannot be read"),
        ('sample_id,label\na,"x"y\n', "cannot be read"),
        ("sample_id,label\na,x\n# b,y\n#\n", "line 4 of"),
        (b"sample_id,label\na,x\nb,\xe9\n", "line 3 of"),
        (b"\xff\xfes\x00a", "cannot be read as UTF-16"),
        (b"\xff\xfes\x00a\x00", "no column 'sample_id'"),
        (b"PK\x03\x04\x00\x00", "no table of text"),
        (b"\x00" * 100, "no table of text"),
        (b"", "has no rows"),
        ("sample_id,label,n\na,x,1\nb,y,1_0%\n", "line 3, column 'n': '1_0%' is no number"),
        ("sample_id,label,n\na,x,1\nb,y,1.000.000\n", "line 3, column 'n': '1.000.000' is no number"),
        ("sample_id;label;n\na;x;1,5\nb;y;1.5\nc;y;1,5\n", "line 2, column 'n': '1,5' is no number"),
    ],
)
def test_what_is_no_such_table_is_refused(tmp_path, content, told):
    path = tmp_path / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CurateError) as error:
        table = opened(path)
        table.read(["sample_id", "label"], [n for n in table.names if n == "n"])
    assert told in error.value.message and str(path) in error.value.message and error.value.hint


def test_hints_name_the_cause(tmp_path):
    path = tmp_path / "t.csv"
    for content, hint in (
        (b"sample_id,label\nb,\xe9\n", "Windows-1252"),
        (b"id,label\na,x\n", "is it 'id'?"),
        (b"PK\x03\x04", "Excel"),
        (b"sample_id,label\na,x,y\n", 'put a value with a comma in it between "quotes"'),
        (b"sample_id;label\na;x;y\n", "a semicolon"),
    ):
        path.write_bytes(content)
        assert hint in refused(path).hint


@pytest.mark.parametrize("lines", [True, False])
def test_json_is_refused_with_a_command_that_writes_a_table(tmp_path, lines):
    rows = [{"sample_id": i, "label": i.upper()} for i in "ab"]
    path = tmp_path / ("t.jsonl" if lines else "t.json")
    path.write_text("\n".join(map(json.dumps, rows)) if lines else json.dumps(rows, indent=1))
    told = refused(path)
    assert "is JSON, not a CSV or Parquet file" in told.message and "a header and rows" in told.hint
    program = shlex.split(told.hint.partition("python -c ")[2])[0]
    exec(program)
    assert opened(tmp_path / "t.csv").read(NEEDED).texts == {"sample_id": ["a", "b"], "label": ["A", "B"]}


def test_a_folder_and_a_broken_parquet_file_are_refused(tmp_path):
    assert "is a folder" in refused(tmp_path).message
    (tmp_path / "t.parquet").write_bytes(b"PAR1 no")
    assert "cannot be read" in refused(tmp_path / "t.parquet").message


def test_lines_are_those_of_the_file(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('sep=,\n# note\nsample_id,label\na,"two\nlines"\n\nb,x\n')
    assert opened(path).read(["sample_id"]).lines.tolist() == [5, 7]


@given(st.binary(max_size=200), st.sampled_from([b"", b"sample_id,label\n", b"\xff\xfe", b"sample_id;label\na;"]))
def test_any_bytes_are_a_table_or_refused(tmp_path_factory, content, start):
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_bytes(start + content)
    try:
        table = opened(path)
        table.read(["sample_id"], ["label"])
    except CurateError as error:
        assert str(path) in error.message and error.hint


def test_every_column_that_has_another_name_is_named_at_once(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("Filename,Class,audio\na,x,y\n")
    with pytest.raises(CurateError, match="no column 'sample_id', 'label'") as error:
        open_table(path, ("sample_id", "label", "audio"), ("sample_id", "label"), "a table")
    assert error.value.hint == "is it 'Filename'? rename it to sample_id; is it 'Class'? rename it to label"
