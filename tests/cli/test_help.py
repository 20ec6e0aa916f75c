"""What `--help` says; and the number of options, which grows by decision only."""

from __future__ import annotations

import runpy

import pytest
import typer.main
from typer.testing import CliRunner

from curate import cli

COMMANDS = typer.main.get_command(cli.app).commands
OPTIONS = {
    "datasets": 8,
    "prepare": 11,
    "score": 32,
    "select": 15,
    "selections": 6,
    "train": 19,
    "compare": 22,
    "recommend": 3,
    "improve": 15,
    "selfcheck": 18,
    "evaluate": 13,
    "methods": 4,
    "runs": 6,
    "merge": 3,
    "table": 5,
    "sql": 5,
    "report": 5,
    "view": 7,
    "export": 7,
    "demo": 4,
    "doctor": 2,
}
"""Without --help. Before you raise a number: would `--set section.key=value` do?"""


def test_number_of_options_is_frozen() -> None:
    counted = {
        name: sum(p.param_type_name == "option" and p.name != "help" for p in command.params)
        for name, command in COMMANDS.items()
    }
    assert counted == OPTIONS


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_every_option_and_argument(name: str) -> None:
    ended = CliRunner(env={"COLUMNS": "300"}).invoke(cli.app, [name, "--help"])
    assert ended.exit_code == 0
    assert COMMANDS[name].help.split("\n")[0] in ended.output
    for parameter in COMMANDS[name].params:
        assert parameter.help, parameter.name
        assert parameter.help in ended.output
        assert all(option in ended.output for option in parameter.opts)


def test_without_a_command_there_are_first_steps_on_one_screen() -> None:
    """Each command that they name exists, and its options too."""
    ended = CliRunner().invoke(cli.app, [])
    lines = ended.output.splitlines()
    assert ended.exit_code == 2 and len(lines) <= 24 and max(map(len, lines)) <= 80
    named = [line.split() for line in lines if line.startswith("    curate ")]
    assert named[0] == ["curate", "demo"] and named[1][1:4] == ["score", "--dataset", "manifest"]
    for _, name, *rest in named:
        known = {option for p in COMMANDS[name].params for option in p.opts}
        assert {word for word in rest if word.startswith("--")} <= known


def test_help_of_the_whole_lists_commands_and_exit_codes() -> None:
    ended = CliRunner(env={"COLUMNS": "200"}).invoke(cli.app, ["--help"])
    assert ended.exit_code == 0
    assert all(f" {name} " in ended.output for name in COMMANDS)
    assert "5 empty selection, 130 interrupted" in ended.output


def test_version() -> None:
    ended = CliRunner().invoke(cli.app, ["--version"])
    assert ended.exit_code == 0
    assert ended.output.startswith("curate ") and ended.output.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["scor"],
        ["score", "--epochs", "many"],
        ["score", "--epochs", "0"],
        ["sql", "--format", "xml"],
        ["export"],
        ["runs", "--nope"],
    ],
)
def test_wrong_usage_exits_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(cli.app, arguments).exit_code == 2


def test_the_package_runs_as_a_module(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["curate", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("curate", run_name="__main__")
    assert ended.value.code == 0 and capsys.readouterr().out.startswith("curate ")
