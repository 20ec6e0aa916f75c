"""The tables against the papers: every printed number, typed a second time, column by column.

A column is what one paper prints below one head, from the top down; `-` where it prints none.
"""

from __future__ import annotations

import re

import pytest

from curate.comparison.layout import records
from curate.comparison.paper import paper_table, printed, split_key
from curate.comparison.plan import Plan, Row, read_table, with_controls
from curate.comparison.summary import ACCURACY, Cell, summarize
from curate.config import build
from curate.datasets import find
from curate.train.methods import catalog

BY_DATASET = {
    "adaptive/1": {
        "crema_d, accuracy": "67.47 69.89 68.95 68.55 72.45 70.16 79.70 75.13 75.10 80.65 79.84",
        "crema_d, macro F1": "67.80 70.41 69.39 68.99 72.57 70.67 79.94 76.00 75.91 80.82 80.24",
        "ave, accuracy": "64.68 - 65.67 63.43 63.18 - - 68.66 67.41 70.40 69.65",
        "ave, macro F1": "62.24 - 63.00 59.83 59.87 - - 64.89 63.46 66.70 66.51",
        "kinetics_sounds, accuracy": "65.54 68.60 68.88 65.62 67.50 66.50 71.35 70.84 69.00 72.42 72.26",
        "kinetics_sounds, macro F1": "64.52 68.64 68.10 65.36 66.66 66.49 71.23 69.84 68.11 71.36 71.21",
    },
    "adaptive/2": {
        "crema_d, accuracy": "80.65 76.88 79.30 78.63 77.42 79.44",
        "ave, accuracy": "70.40 63.93 68.66 68.66 67.16 68.91",
        "kinetics_sounds, accuracy": "72.02 71.24 71.55 72.42 71.12 70.10",
    },
    "adaptive/3": {
        "crema_d, accuracy": "80.65 79.91 78.76 75.67",
        "ave, accuracy": "70.40 70.19 67.91 66.67",
    },
    "adaptive/4": {
        "crema_d, accuracy": "80.65 79.91 78.63 78.63",
        "ave, accuracy": "70.40 68.91 69.15 68.91",
        "kinetics_sounds, accuracy": "71.98 72.42 70.81 72.26",
    },
    "adaptive/5": {
        "crema_d, data kept": "100.00 86.04 85.35 84.61 83.71 82.35 80.89",
        "crema_d, accuracy": "67.47 77.69 75.27 75.13 75.00 75.94 75.81",
        "ave, data kept": "100.00 75.21 74.00 72.37 69.87 63.71 49.55",
        "ave, accuracy": "64.48 66.42 66.92 66.42 67.16 67.16 67.16",
        "kinetics_sounds, data kept": "100.00 51.93 51.06 50.32 49.16 47.90 46.88",
        "kinetics_sounds, accuracy": "65.54 66.92 67.62 67.19 66.72 66.92 66.56",
    },
}
"""Columns are data sets, rows those of `LABELS`."""

LABELS = {
    "adaptive/1": "joint gblend ogm_ge pmr mmcosine agm mla dr opm_ogm adaptive adaptive",
    "adaptive/2": "adaptive adaptive adaptive adaptive adaptive adaptive",
    "adaptive/3": "adaptive adaptive adaptive adaptive",
    "adaptive/4": "adaptive adaptive adaptive adaptive",
    "adaptive/5": "warmup subset subset subset subset subset subset",
}
"""The methods of the rows that the papers have."""

FIVE = (
    "crema_d accuracy, crema_d MAP, kinetics_sounds accuracy, kinetics_sounds MAP, nvgesture accuracy, "
    "nvgesture macro F1, iemocap accuracy, iemocap macro F1, sarcasm accuracy, sarcasm macro F1"
)
BY_METHOD = {
    "iprm/naive": {
        "rows": FIVE,
        "each modality alone, 1st": "63.17 68.61 54.12 56.69 78.22 78.33 58.45 58.29 71.81 70.73",
        "each modality alone, 2nd": "45.83 58.79 55.62 58.37 78.63 78.65 30.71 11.75 81.36 80.56",
        "each modality alone, 3rd": "- - - - 81.54 81.83 70.55 69.93 - -",
        "concat": "63.61 68.41 64.55 71.30 82.37 82.70 75.97 75.88 82.86 82.40",
        "sum": "63.44 69.08 64.90 71.03 80.50 80.67 76.06 76.03 82.94 82.47",
        "weight": "66.53 71.34 65.33 71.10 78.42 79.39 69.29 68.91 82.65 82.19",
        "IPRM": "84.27 90.66 74.37 80.63 85.89 86.34 80.22 80.63 85.14 84.41",
    },
    "iprm/rebalancing": {
        "rows": FIVE,
        "OGR-GB": "64.65 73.92 67.22 72.74 82.99 83.05 70.10 69.90 82.86 82.15",
        "MSLR": "68.68 74.12 67.56 72.82 82.37 82.84 76.69 76.77 84.39 83.78",
        "OGM": "66.12 73.72 65.82 71.59 - - - - 83.60 82.93",
        "PMR": "66.59 70.58 66.75 72.74 - - - - 83.10 82.56",
        "AGM": "67.33 78.07 67.91 73.88 82.79 82.84 77.51 77.29 83.06 82.93",
        "MMPareto": "74.87 85.35 70.00 78.50 83.82 84.24 77.69 77.89 83.48 82.84",
        "ReconBoost": "75.57 81.40 68.55 76.62 83.86 84.34 76.87 77.08 84.37 83.17",
        "MLA": "79.43 85.72 70.04 79.45 83.40 83.72 79.31 79.73 84.26 83.48",
        "LFM": "83.62 90.06 72.53 78.97 84.36 84.68 78.41 78.51 84.97 84.57",
        "IPRM": "84.27 90.66 74.37 80.63 85.89 86.34 80.22 80.63 85.14 84.41",
    },
    "iprm/ablation": {
        "rows": "crema_d accuracy, kinetics_sounds accuracy, nvgesture accuracy, iemocap accuracy, sarcasm accuracy",
        "with L-Mixup (linear)": "75.53 71.94 84.85 75.79 84.52",
        "without EMA (alpha = 0)": "83.06 73.91 85.27 78.05 84.81",
        "one-pass": "83.47 73.64 84.44 77.60 84.10",
        "IPRM": "84.27 74.37 85.89 80.22 85.14",
    },
    "iprm/cost": {
        "rows": "crema_d accuracy, crema_d s an epoch",
        "concat": "63.61 55.08±0.2729",
        "MLA": "79.43 71.12±0.7025",
        "LFM": "83.62 60.14±0.0920",
        "IPRM": "84.27 57.03±0.2138",
    },
    "iprm/trimodal": {
        "rows": "nvgesture visual accuracy, nvgesture flow accuracy, nvgesture depth accuracy, nvgesture accuracy, "
        "iemocap audio accuracy, iemocap visual accuracy, iemocap text accuracy, iemocap accuracy",
        "Single-CLS": "78.84 79.25 82.78 85.89 58.27 32.07 71.91 78.95",
        "Tri-CLS": "77.80 81.12 82.16 85.89 54.20 30.80 71.91 80.22",
    },
}
"""Columns are methods, rows data sets and what is measured."""

PAPERS = [*BY_DATASET, *BY_METHOD]
NUMBER = re.compile(r"\d+\.\d+")


def columns(name: str) -> tuple[dict[str, list[str]], list[list[str]]]:
    """{head: its cells} of a table as the paper has it, without rows or columns of ours; and the rows."""
    head, rows = paper_table(read_table(name))
    rows = [row for row in rows if not row[0].endswith("(ours)")]
    found = {h: [row[i].replace(" ", "") for row in rows] for i, h in enumerate(head)}
    return {h: cells for h, cells in found.items() if not h.endswith("(ours)")}, rows


@pytest.mark.parametrize("name", BY_DATASET)
def test_every_number_of_the_adaptive_paper_stands_where_the_paper_has_it(name: str) -> None:
    found, rows = columns(name)
    methods = {row.label: row.method for row in read_table(name).rows}
    assert [methods[row[0]] for row in rows] == LABELS[name].split()
    found.pop("method")
    assert found == {head: cells.split() for head, cells in BY_DATASET[name].items()}


@pytest.mark.parametrize("name", BY_METHOD)
def test_every_number_of_iprm_stands_where_the_poster_has_it(name: str) -> None:
    found, rows = columns(name)
    typed = dict(BY_METHOD[name])
    assert [f"{row[0]} {row[1]}" for row in rows] == typed.pop("rows").split(", ")
    assert list(found)[2:] == list(typed)
    assert {h: found[h] for h in typed} == {head: cells.split() for head, cells in typed.items()}


def test_no_number_was_left_out_or_added() -> None:
    typed = [c for t in BY_DATASET.values() for c in t.values()]
    typed += [c for t in BY_METHOD.values() for head, c in t.items() if head != "rows"]
    stored = [v for n in PAPERS for row in read_table(n).rows for known in row.paper.values() for v in known.values()]
    assert len(stored) == sum(len(NUMBER.findall(c)) for c in typed)
    assert sorted(stored) == sorted(float(v) for c in typed for v in NUMBER.findall(c))


@pytest.mark.parametrize("name", PAPERS)
def test_where_the_paper_disagrees_with_itself_the_notes_say_so(name: str) -> None:
    """Numbers of one configuration that differ between tables are all named in each table that has one of them."""
    notes = read_table(name).note
    same = {
        "adaptive/1": ("72.42", "72.02", "71.98", "79.84", "78.63", "69.65", "69.15", "64.68", "64.48"),
        "adaptive/2": ("72.02", "72.42", "71.98"),
        "adaptive/4": ("71.98", "72.02", "72.42", "78.63", "79.84", "69.15", "69.65"),
        "adaptive/5": ("64.48", "64.68"),
    }
    assert all(number in notes for number in same.get(name, ()))


@pytest.mark.parametrize("name", PAPERS)
def test_rows_of_ours_are_marked_and_come_after_the_paper_s(name: str) -> None:
    plan = read_table(name)
    ours = [plan.is_ours(row) for row in plan.rows]
    assert ours == sorted(ours) and not all(ours)
    head, rows = paper_table(plan)
    marked = [row[0] for row in rows if row[0].endswith("(ours)")] + [h for h in head if h.endswith("(ours)")]
    assert marked == [f"{row.label} (ours)" for row in plan.rows if not row.paper]


def test_the_main_rows_have_the_paper_s_mixture_and_the_literal_gap() -> None:
    for name in BY_DATASET:
        plan = read_table(name)
        assert plan.settings["score"]["rule"] == "weight" and plan.settings["score"]["check"] == "none"
        for row in plan.rows:
            if row.paper:
                assert "score" not in row.scoring
            own = row.settings.get("method", {})
            if own.get("gap") == "kl":
                assert (own.get("kl_scale") == "literal") is bool(row.paper)
        assert any("score" in row.scoring for row in plan.rows if plan.is_ours(row)), "ours beside the paper's"


def test_iprm_s_presets_are_those_of_its_published_code() -> None:
    for name in BY_METHOD:
        presets = read_table(name).presets
        assert presets["crema_d"] == {"data": {"frames": 2, "audio": "stft257x1250"}}
        assert presets["nvgesture"] == {"optim": {"batch_size": 2}}
        assert "What cannot be had" in read_table(name).note


@pytest.mark.parametrize("name", BY_METHOD)
def test_presets_fit_the_data_sets_that_they_name(name: str) -> None:
    for dataset, layer in read_table(name).presets.items():
        options = build(find(dataset).Options, layer.get("data", {}), "data")
        assert all(getattr(options, key) == value for key, value in layer.get("data", {}).items())


def test_the_sound_of_the_preset_is_257_by_1250() -> None:
    from curate.datasets.presets import AUDIO

    assert AUDIO["stft257x1250"].picture == (257, 1250) and AUDIO["stft257x1250"].seconds == 20


def test_ours_stand_beside_the_paper_s_number() -> None:
    paper = {"toy": {"accuracy": 70.4, "audio": 31.25, "audio_map": 30.0, "seconds": 5.0, "seconds_sd": 0.25}}
    plan = Plan("x", (Row("a", "joint", paper=paper), Row("b", "iprm")))
    values = {("fused", "accuracy"): 0.5, ("audio", "map"): 0.25}
    cells = [
        Cell("x", "toy", label, "joint", False, "", 0, label, "", ("audio",), values, 3, 1.5) for label in ("a", "b")
    ]
    head, rows = paper_table(plan, summarize(cells))
    assert head == ["method", "toy, accuracy", "toy, audio accuracy", "toy, audio MAP", "toy, s an epoch"]
    assert rows == [
        ["a", "70.40 / 50.0 / -20.4", "31.25", "30.00 / 25.0 / -5.0", "5.00 ± 0.2500 / 1.50"],
        ["b (ours)", "- / 50.0", "-", "- / 25.0", "- / 1.50"],
    ]


def test_the_difference_to_the_paper_has_the_interval_of_our_mean() -> None:
    """Ours .50, .52, .54: mean .52, sd .02, t(.975, 2) = 4.3027, so half the interval is .049683."""
    plan = Plan("x", (Row("a", "joint", paper={"toy": {"accuracy": 50.0}}),))
    cells = [Cell("x", "toy", "a", "joint", False, "", i, f"r{i}", values={ACCURACY: 0.5 + i / 50}) for i in range(3)]
    lines = summarize(cells)
    assert paper_table(plan, lines)[1] == [["a", "50.00 / 52.0 ± 2.0 / +2.0 [-3.0, +7.0]"]]
    head, (row,) = records(lines, plan)
    found = dict(zip(head, row, strict=True))
    wanted = {"mean": 0.02, "low": 0.02 - 0.0496827, "high": 0.02 + 0.0496827}
    assert {k: found[f"minus_paper_accuracy_{k}"] for k in wanted} == pytest.approx(wanted, abs=1e-6)


def test_separate_networks_are_a_column_a_modality() -> None:
    paper = {"one": {"sound": 1.5, "sound_map": 2.5, "sight": 3.5}, "two": {"sight": 4.5, "accuracy": 5.5}}
    plan = Plan("x", (Row("alone", "unimodal", paper=paper), Row("all", "joint", paper={"one": {"accuracy": 9.0}})))
    plan = Plan(plan.name, plan.rows, paper_columns="rows")
    head, rows = paper_table(plan)
    assert head == ["data set", "%", "alone, 1st", "alone, 2nd", "all"]
    assert rows == [["one", "accuracy", "1.50", "3.50", "9.00"], ["two", "accuracy", "4.50", "-", "-"]]


def test_a_plan_of_no_paper_has_no_such_table() -> None:
    assert paper_table(Plan("x", (Row("a", "joint"),)))[1] == []


def test_keys_of_the_paper_s_numbers() -> None:
    assert [split_key(k) for k in ("map", "audio", "audio_macro_f1", "left_eye_map")] == [
        ("fused", "map"), ("audio", "accuracy"), ("audio", "macro_f1"), ("left_eye", "map"),
    ]  # fmt: skip
    assert printed({"map": 1}, "map") == "1.00" and printed({}, "map") == "-"


@pytest.mark.parametrize("name", PAPERS)
def test_controls_lose_none_of_the_paper_s_rows(name: str) -> None:
    """What is run has every row that is shown, under the same label."""
    plan = read_table(name)
    run = with_controls(plan, {e.name: e.control for e in catalog.entries()})
    assert {row.label for row in plan.rows} <= {row.label for row in run.rows}
