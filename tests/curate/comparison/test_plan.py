"""What is compared: rows from the command line and from tables, their controls, and the papers' tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.comparison.plan import (
    COLUMNS,
    CONTROLS,
    Plan,
    Row,
    parse_methods,
    parse_seeds,
    read_table,
    swept,
    swept_setting,
    table_names,
    with_controls,
)
from curate.config import build
from curate.errors import CurateError
from curate.train.methods import catalog

KNOWN = ["adaptive", "iprm", "joint", "subset", "unimodal", "warmup"]
OWN = {name: "random" if name == "subset" else "" for name in KNOWN}
PAPERS = [f"adaptive/{i}" for i in range(1, 6)] + [
    f"iprm/{n}" for n in ("ablation", "cost", "naive", "rebalancing", "trimodal")
]
TABLES = [*PAPERS, "usability/remedies"]


def test_a_method_with_settings_is_a_row_of_its_own() -> None:
    rows = parse_methods(
        ["iprm", "adaptive:method.gap=kl, train.epochs=20", "adaptive:method.use_weights=false"], KNOWN
    )
    assert [r.label for r in rows] == ["iprm", "adaptive (gap=kl, train.epochs=20)", "adaptive (use_weights=false)"]
    assert rows[1].settings == {"method": {"gap": "kl"}, "train": {"epochs": 20}}
    assert rows[2].settings == {"method": {"use_weights": False}}


def test_all_is_every_known_method() -> None:
    assert [r.method for r in parse_methods(["all"], KNOWN)] == KNOWN


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["iprn"], "unknown method 'iprn'"),
        (["iprm", "iprm"], "'iprm' occurs more than once"),
        (["iprm", "all"], "'iprm' occurs more than once"),
        (["iprm:score.epochs=3"], "unknown section in --method iprm:score.epochs=3 'score'"),
        (["iprm:alpha=3"], "a setting is section.key"),
        (["all:method.alpha=3"], "unknown method 'all'"),
    ],
)
def test_a_wrong_row_is_refused(texts: list[str], message: str) -> None:
    with pytest.raises(CurateError, match=message.replace("(", r"\(")) as error:
        parse_methods(texts, KNOWN)
    assert error.value.hint


@pytest.mark.parametrize(("text", "seeds"), [("3", [0, 1, 2]), ("1", [0]), ("0,7", [0, 7]), ("7,", None)])
def test_seeds(text: str, seeds: list[int] | None) -> None:
    if seeds is None:
        with pytest.raises(CurateError, match="--seeds"):
            parse_seeds(text)
    else:
        assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["0", "-1", "a", "", "1,1", "0,-1", "1.5"])
def test_what_is_no_list_of_seeds_is_refused(text: str) -> None:
    with pytest.raises(CurateError, match="--seeds is a number of seeds or a list"):
        parse_seeds(text)


def test_controls_are_added_once_and_in_front() -> None:
    plan = with_controls(Plan("x", tuple(parse_methods(["iprm", "warmup", "joint:optim.lr=0.1"], KNOWN))), OWN)
    labels = ["joint", "warmup", "unimodal", "iprm", "joint (optim.lr=0.1)"]
    assert [r.label for r in plan.rows] == labels
    assert [r.label for r in plan.rows if r.control] == labels[:3]


def test_a_row_cannot_take_the_name_of_a_control() -> None:
    row = Row("joint", "joint", {"optim": {"lr": 0.1}})
    with pytest.raises(CurateError, match="'joint' occurs more than once"):
        with_controls(Plan("x", (row,)), OWN)


def test_a_subset_has_a_random_one_of_its_own_with_the_same_settings() -> None:
    plan = with_controls(Plan("x", tuple(parse_methods(["subset:method.threshold=0.8"], KNOWN))), OWN)
    subset, twin = plan.rows[-2:]
    assert subset.twin == twin.label and twin.control and not subset.control
    assert twin.settings == {"method": {"threshold": 0.8, "control": "random"}}
    asked = parse_methods(["subset", "subset:method.control=random"], KNOWN)
    rows = with_controls(Plan("x", tuple(asked)), OWN).rows
    assert len(rows) == len(CONTROLS) + 2 and rows[-2].twin == rows[-1].label and rows[-1].control


def test_every_method_has_the_control_that_its_settings_know() -> None:
    own = {e.name: e.control for e in catalog.entries() if e.control}
    assert own == {"subset": "random", "trim": "random", "usable": "shuffled"}
    rows = with_controls(Plan("x", (Row("usable", "usable"),)), own).rows
    assert rows[-1].settings == {"method": {"control": "shuffled"}} and rows[-2].twin == rows[-1].label


def test_controls_that_nobody_wants_are_not_added() -> None:
    rows = with_controls(Plan("x", (Row("iprm", "iprm"), Row("subset", "subset"))), OWN, measure=False).rows
    assert [(r.label, r.twin) for r in rows] == [("iprm", ""), ("subset", "")]


def test_a_table_of_one_s_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'title = "Mine"\nset = ["optim.lr=0.1"]\ncolumns = ["accuracy", "verdict"]\n'
        '[[row]]\nmethod = "adaptive"\nset = ["method.gap=kl"]\nscore = ["optim.optimizer=adam"]\n'
        '[[row]]\nlabel = "plain"\nmethod = "adaptive"\npaper = { ave = { accuracy = 70.4 } }\n'
    )
    plan = read_table(str(path))
    assert (plan.name, plan.title, plan.settings) == ("mine", "Mine", {"optim": {"lr": 0.1}})
    first, second = plan.rows
    assert first.label == "adaptive (gap=kl, optim.optimizer=adam)"
    assert (first.settings, first.scoring) == ({"method": {"gap": "kl"}}, {"optim": {"optimizer": "adam"}})
    assert second.label == "plain" and second.paper == {"ave": {"accuracy": 70.4}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no row"),
        ("= 3", "is not valid TOML"),
        ("rows = 3", "unknown key in .* 'rows'"),
        ("row = 3", "row in .* is a list"),
        ("row = [3]", "is not a table of keys"),
        ("[[row]]\nset = []", "names no method"),
        ("[[row]]\nmethod = 'a'\nset = ['data.x=1']", "unknown section"),
        ("set = ['method.x=1']\n[[row]]\nmethod = 'a'", "unknown section"),
        ("columns = ['acuracy']\n[[row]]\nmethod = 'a'", "unknown column .* 'acuracy'"),
        ("[[row]]\nmethod = 'a'\n[[row]]\nmethod = 'a'", "'a' occurs more than once"),
    ],
)
def test_a_table_of_another_form_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(CurateError, match=message) as error:
        read_table(str(path))
    assert error.value.hint


def test_an_unknown_table_names_the_nearest() -> None:
    with pytest.raises(CurateError, match="unknown table 'adaptive/6'") as error:
        read_table("adaptive/6")
    assert "adaptive/" in error.value.hint


def test_the_tables_are_there() -> None:
    assert table_names() == TABLES
    for name in TABLES:
        plan = read_table(name)
        assert plan.name == name and plan.title and set(plan.columns) <= set(COLUMNS)


@pytest.mark.model
@pytest.mark.parametrize("name", TABLES)
def test_every_row_of_a_table_fits_the_settings_of_what_is_installed(name: str) -> None:
    from curate.train.loop.engine import OptimConfig
    from curate.train.models.model import ModelConfig
    from curate.train.stages.settings import ScoreConfig, TrainConfig

    schemas = {"model": ModelConfig, "optim": OptimConfig, "score": ScoreConfig, "train": TrainConfig}
    plan = read_table(name)
    installed = catalog.names()
    for row in plan.rows:
        for layer in (plan.settings, row.settings, row.scoring):
            for section, values in layer.items():
                if section != "method":
                    build(schemas[section], values, section)
                elif row.method in installed:
                    build(catalog.find(row.method).Config, values, section)
    assert any(row.method in installed for row in plan.rows)


def test_a_preset_and_the_paper_s_columns(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    row = "[[row]]\nmethod = 'adaptive'\n"
    path.write_text("paper_columns = 'rows'\n[preset]\nave = ['data.frames=2']\n" + row)
    plan = read_table(str(path))
    assert (plan.presets, plan.paper_columns) == ({"ave": {"data": {"frames": 2}}}, "rows")
    for wrong in ("paper_columns = 'lines'\n", "[preset]\nave = 3\n", "[preset]\nave = ['method.x=3']\n"):
        path.write_text(wrong + row)
        with pytest.raises(CurateError) as error:
            read_table(str(path))
        assert error.value.hint


def test_a_sweep_changes_one_setting_at_a_time() -> None:
    rows = swept(parse_methods(["iprm:train.epochs=3"], KNOWN), ["method.alpha=0.1,2", "optim.lr=0.5"])
    first = "iprm (train.epochs=3)"
    assert [r.label for r in rows] == [first, f"{first} (alpha=0.1)", f"{first} (alpha=2)", f"{first} (optim.lr=0.5)"]
    assert rows[1].settings == {"train": {"epochs": 3}, "method": {"alpha": 0.1}}
    assert rows[3].settings == {"train": {"epochs": 3}, "optim": {"lr": 0.5}}
    assert [swept_setting(r.label) for r in rows[:3]] == [
        ("iprm", "train.epochs", 3),
        (first, "alpha", 0.1),
        (first, "alpha", 2),
    ]
    assert swept_setting("adaptive (gap=kl)") is None and swept_setting("iprm") is None


@pytest.mark.parametrize("text", ["method.alpha", "method.alpha=", "score.epochs=1,2", "alpha=1", "method.alpha=1,1"])
def test_a_sweep_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(CurateError):
        swept(parse_methods(["iprm"], KNOWN), [text])


def test_a_control_that_starts_from_another_scored_run_is_not_a_row_s_own() -> None:
    """Two subsets, of which only the first has its control in the table; the second gets one of its own."""
    adam = {"optim": {"optimizer": "adam"}}
    control = Row("by chance", "subset", {"method": {"control": "random"}})
    plan = Plan("mine", (Row("subset", "subset"), control, Row("of adam", "subset", scoring=adam)))
    rows = {row.label: row for row in with_controls(plan, {"subset": "random"}).rows}
    assert rows["subset"].twin == "by chance"
    own = rows[rows["of adam"].twin]
    assert (own.label, own.settings, own.scoring) == ("of adam, random", control.settings, adam)
