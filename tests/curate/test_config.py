"""Layers of settings: types, precedence, and errors that name the nearest key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest

from curate.config import as_layer, build, dotted, parse_set, read_toml, resolve
from curate.errors import CurateError


@dataclass(frozen=True, kw_only=True)
class Optim:
    """A small schema with every kind of field there is."""

    lr: float = 0.002
    epochs: int = 30
    nesterov: bool = False
    name: str = "sgd"
    clip: float | None = 1.0
    schedule: Literal["constant", "cosine"] = "constant"


@dataclass(frozen=True, kw_only=True)
class Data:
    """Another section."""

    seed: int = 0


SCHEMAS = {"optim": Optim, "data": Data}


def set_one(assignment: str) -> Optim:
    """The section `optim` after one `--set`."""
    return resolve(SCHEMAS, parse_set([assignment]))["optim"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.b=1", 1),
        ("a.b=-1e-3", -0.001),
        ("a.b=true", True),
        ("a.b=cosine", "cosine"),
        ('a.b="1"', "1"),
        ("a.b=[1, 2]", [1, 2]),
        ("a.b = x", "x"),
        ("a.b=", ""),
        ("a.b=x=y", "x=y"),
        ("a.b=/data/a b", "/data/a b"),
    ],
)
def test_values_are_toml_and_bare_words_strings(text, value):
    parsed = parse_set([text])["a"]["b"]
    assert parsed == value and type(parsed) is type(value)


def test_two_values_of_a_setting_are_refused():
    assert parse_set(["a.b=1", "a.c=2", "a.b=1"]) == {"a": {"b": 1, "c": 2}}
    with pytest.raises(CurateError, match=r"a\.b is given two values: '1' and '3'"):
        parse_set(["a.b=1", "a.c=2", "a.b=3"])


@pytest.mark.parametrize(
    ("text", "told"), [("optim.lr", "section.key=value"), ("lr=1", "section.key"), ("=1", "section.key")]
)
def test_what_is_no_assignment_is_refused(text, told):
    with pytest.raises(CurateError, match=told) as error:
        parse_set([text])
    assert "--set" in error.value.hint


def test_dotted_groups_by_section():
    assert dotted({"optim.lr": 1, "data.seed": 2, "optim.name": "x"}) == {
        "optim": {"lr": 1, "name": "x"},
        "data": {"seed": 2},
    }


def test_later_layers_win_key_by_key_and_the_rest_keeps_its_default():
    configs = resolve(SCHEMAS, {"optim": {"lr": 0.1, "epochs": 5}}, {"optim": {"lr": 0.2}}, {})
    assert configs == {"optim": Optim(lr=0.2, epochs=5), "data": Data()}


def test_layers_are_left_as_they_were():
    first, second = {"optim": {"lr": 0.1}}, {"optim": {"lr": 0.2}}
    resolve(SCHEMAS, first, second)
    assert first == {"optim": {"lr": 0.1}}


def test_configurations_survive_the_way_through_a_layer():
    configs = {"optim": Optim(lr=0.5, clip=None, schedule="cosine"), "data": Data(seed=3)}
    assert resolve(SCHEMAS, as_layer(configs)) == configs


@pytest.mark.parametrize(
    ("assignment", "message", "nearest"),
    [
        ("optin.lr=1", "unknown section 'optin'", "'optim'"),
        ("optim.epoch=1", "unknown setting 'optim.epoch'", "'optim.epochs'"),
        ("optim.schedule=cosin", "unknown value of optim.schedule: 'cosin'", "'cosine'"),
    ],
)
def test_an_unknown_name_is_refused_and_the_nearest_one_offered(assignment, message, nearest):
    with pytest.raises(CurateError) as error:
        set_one(assignment)
    assert message in error.value.message and f"did you mean {nearest}?" in error.value.hint


def test_nothing_near_means_no_guess_but_all_that_is_known():
    with pytest.raises(CurateError) as error:
        set_one("zzz.lr=1")
    assert error.value.hint == "known: data, optim"


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("optim.lr=1", Optim(lr=1.0)),
        ("optim.epochs=7", Optim(epochs=7)),
        ("optim.nesterov=true", Optim(nesterov=True)),
        ("optim.name=adam", Optim(name="adam")),
        ("optim.name=7", Optim(name="7")),
        ("optim.clip=none", Optim(clip=None)),
        ("optim.clip=2", Optim(clip=2.0)),
        ("optim.schedule=cosine", Optim(schedule="cosine")),
    ],
)
def test_values_of_the_right_type(assignment, expected):
    found = set_one(assignment)
    assert found == expected
    assert all(type(getattr(found, n)) is type(getattr(expected, n)) for n in ("lr", "epochs", "clip", "name"))


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("optim.lr=fast", "a finite number"),
        ("optim.lr=true", "a finite number"),
        ("optim.epochs=2.5", "a whole number"),
        ("optim.epochs=true", "a whole number"),
        ("optim.nesterov=1", "true or false"),
        ("optim.nesterov=yes", "true or false"),
        ("optim.epochs=none", "a whole number"),
        ("optim.clip=soft", "a finite number or none"),
        ("optim.lr=nan", "a finite number"),
        ("optim.lr=[1]", "a finite number"),
    ],
)
def test_values_of_the_wrong_type_say_what_was_expected(assignment, expected):
    with pytest.raises(CurateError) as error:
        set_one(assignment)
    name = assignment.partition("=")[0]
    assert error.value.message.startswith(f"{name} is {expected}, got ") and f"--set {name}" in error.value.hint


def test_none_is_none_only_where_it_may_be():
    assert build(Optim, {"clip": None}, "optim").clip is None
    with pytest.raises(CurateError, match=r"optim\.lr is a finite number, got None"):
        build(Optim, {"lr": None}, "optim")


def test_toml_is_read_and_a_missing_file_is_empty(tmp_path):
    path = tmp_path / "curate.toml"
    assert read_toml(path) == {}
    path.write_text('db = "x.duckdb"\n[optim]\nlr = 0.1\n', encoding="utf-8")
    assert read_toml(path) == {"db": "x.duckdb", "optim": {"lr": 0.1}}


@pytest.mark.parametrize("content", [b"lr = ", b"[optim\n", b"a = 1\na = 2\n", b"\xff\xfe"])
def test_a_broken_toml_file_is_named(tmp_path, content):
    path = tmp_path / "curate.toml"
    path.write_bytes(content)
    with pytest.raises(CurateError, match=r"curate\.toml is not valid TOML"):
        read_toml(path)
