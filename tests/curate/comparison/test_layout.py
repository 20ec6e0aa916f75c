"""The printed forms read back equal what they were made from."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import pytest

from curate.comparison.layout import (
    OF_TUNED,
    aside,
    cells,
    escape_latex,
    notes,
    records,
    to_csv,
    to_latex,
    to_markdown,
)
from curate.comparison.plan import Plan, Row
from curate.comparison.summary import Cell, Line, Spread, summarize

NASTY = r"a_b & 50% | $x^2 {y} ~ \z #1 <±>"


def measured(label: str, method: str, control: bool, *accuracies: float, dataset: str = "toy") -> list[Cell]:
    return [
        Cell("c", dataset, label, method, control, "", seed, f"{label}-{seed}", "", ("audio", "visual"),
             {("fused", "accuracy"): a, ("fused", "macro_f1"): a / 3, ("fused", "map"): a / 7,
              ("audio", "accuracy"): a / 2, ("visual", "accuracy"): a / 4}, 10, 1.5, 0.25)
        for seed, a in enumerate(accuracies)
    ]  # fmt: skip


def missing(label: str) -> Cell:
    return Cell("c", "toy", label, label, False, "", 0, None, "method 'x' is unknown")


@pytest.fixture
def lines() -> list[Line]:
    return summarize(
        [
            *measured("joint", "joint", True, 0.5, 0.6),
            *measured("warmup", "warmup", True, 0.61, 0.7),
            *measured(NASTY, "iprm", False, 0.65, 0.751),
            missing("gone"),
        ]
    )


def test_csv_holds_the_numbers_themselves(lines) -> None:
    head, rows = records(lines)
    back = list(csv.DictReader(io.StringIO(to_csv(lines))))
    assert [list(r) for r in back] == [head] * 4
    for row, record in zip(rows, back, strict=True):
        for name, value in zip(head, row, strict=True):
            text = record[name]
            if isinstance(value, float):
                assert float(text) == value, name
            else:
                assert text == ("" if value is None else str(value))
    assert back[2]["label"] == NASTY and back[3]["fused_accuracy_mean"] == ""
    assert float(back[2]["minus_warmup_mean"]) == pytest.approx((0.04 + 0.051) / 2)


def test_markdown_reads_back_equal(lines) -> None:
    text = to_markdown("Title", lines)
    assert text.startswith("## Title\n\n| method |")
    table = [line for line in text.splitlines() if line.startswith("| ")]
    back = [[c.strip().replace("\\|", "|") for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table]
    head, rows = cells(lines)
    assert back[0] == head and back[2:] == rows


def test_latex_reads_back_equal(lines) -> None:
    text = to_latex(NASTY, lines)
    head, rows = cells(lines)
    body = [line for line in text.splitlines() if line.endswith(r" \\")]
    undo = {escape_latex(c): c for c in "&%$#_{}\\~^±<>|"}
    pattern = re.compile("|".join(re.escape(k) for k in sorted(undo, key=len, reverse=True)))

    def plain(cell: str) -> str:
        return pattern.sub(lambda m: undo[m[0]], cell)

    back = [[plain(c) for c in re.split(r" & ", line.removesuffix(r" \\"))] for line in body]
    assert back == [head, *rows]
    columns = re.search(r"\\begin\{tabular\}\{(l+r+)\}", text)
    assert columns and len(columns[1]) == len(head)


def test_latex_escapes_every_character_that_means_something() -> None:
    assert escape_latex("&%$#_{}") == r"\&\%\$\#\_\{\}"
    assert escape_latex("\\~^") == r"\textbackslash{}\textasciitilde{}\textasciicircum{}"
    assert escape_latex("plain 1 ± 2") == r"plain 1 $\pm$ 2"


def test_cells_by_hand(lines) -> None:
    plan = Plan("x", (), columns=("accuracy", "continued", "verdict", "modalities", "time", "remark"))
    head, rows = cells(lines, plan)
    assert head == [
        "method", "accuracy, %", "minus warm-up continued", "verdict", "audio, %", "visual, %", "time, joint = 1",
        "remark",
    ]  # fmt: skip
    assert rows[1] == ["warmup", "65.5 ± 6.4", "", "reference", "32.8 ± 3.2", "16.4 ± 1.6", "1.00", ""]
    assert rows[3] == ["gone", "", "", "missing", "", "", "", "method 'x' is unknown"]


def test_the_other_columns_by_hand(lines) -> None:
    """Of 0.61 and 0.7 a third and a seventh; ahead of joint training 0.11 and 0.1, +- 12.706 * 0.00707 / sqrt(2)."""
    plan = Plan("x", (), columns=("macro_f1", "map", "joint", "seconds", "gap", "epochs"))
    head, rows = cells(lines, plan)
    assert head[1:] == ["macro F1, %", "mAP, %", "minus joint", "s an epoch", "mean |gap|", "epochs"]
    assert rows[1][1:] == ["21.8 ± 2.1", "9.4 ± 0.9", "+10.5 [+4.1, +16.9]", "1.50", "0.25", "10"]
    assert rows[3][1:] == [""] * 6


def test_how_tuned_rows_are_read_is_told_where_there_is_one(lines) -> None:
    assert OF_TUNED not in notes(lines)
    assert OF_TUNED in notes(summarize(measured("iprm, tuned", "iprm", False, 0.65)))


def test_remarks_can_stand_apart(lines) -> None:
    head, rows, remarks = aside(*cells(lines, Plan("x", (), columns=("remark", "seeds"))))
    assert head == ["method", "seeds"] and rows[3] == ["gone", "0"]
    assert remarks == ["", "", "", "method 'x' is unknown"]
    assert aside(["method"], [["a"]]) == (["method"], [["a"]], [""])


def test_memory_has_a_column_where_it_was_counted(lines) -> None:
    plan = Plan("x", (), columns=("memory", "seeds"))
    assert cells(lines, plan)[0] == ["method", "seeds"]
    counted = [replace(line, memory=Spread(1.25, None, 1)) if i else line for i, line in enumerate(lines)]
    head, rows = cells(counted, plan)
    assert head == ["method", "memory, joint = 1", "seeds"] and [r[1] for r in rows[:2]] == ["", "1.25"]


def test_data_sets_have_a_column_only_where_there_are_several() -> None:
    here, there = measured("joint", "joint", True, 0.5), measured("joint", "joint", True, 0.6, dataset="other")
    assert "data set" not in cells(summarize(here))[0]
    head, rows = cells(summarize([*here, *there]))
    assert head[1] == "data set" and [r[1] for r in rows] == ["toy", "other"]


def test_the_paper_s_numbers_stand_beside_ours_on_its_data_sets_only(lines) -> None:
    paper = {"toy": {"accuracy": 70.4, "map": 80.25, "visual": 31.25}}
    plan = Plan("x", (Row("joint", "joint", paper=paper), Row("warmup", "warmup")), columns=("accuracy",))
    head, rows = cells(lines, plan)
    assert head == ["method", "accuracy, %", "the paper, %"]
    assert [r[2] for r in rows] == ["70.40, MAP 80.25, visual accuracy 31.25", "ours", "ours", "ours"]
    elsewhere = Plan("x", (Row("joint", "joint", paper={"ave": {"accuracy": 70.4}}),), columns=("accuracy",))
    assert cells(lines, elsewhere)[0] == ["method", "accuracy, %"]
