"""Commands that a message names work as they are typed: with the table that was named."""

from __future__ import annotations

import re
import shlex
from inspect import signature

import pytest

from curate.commands.messages import print_message, print_text
from curate.commands.typed import WITHOUT_TABLE, _Named, as_typed


@pytest.fixture
def named(monkeypatch, tmp_path):
    """The running command was given a table whose name has a space."""
    monkeypatch.setattr(_Named, "path", tmp_path / "my table.duckdb")
    return f"--db {shlex.quote(str(tmp_path / 'my table.duckdb'))}"


def test_commands_in_messages_name_the_table_of_the_running_command(named) -> None:
    asked = 'see `curate sql "SELECT 1 -- two"`, or run `curate score` first'
    assert as_typed(asked) == f'see `curate sql {named} "SELECT 1 -- two"`, or run `curate score {named}` first'
    for kept in (
        "`curate sql --db x 1`",
        "`curate score --help`",
        "`curate datasets`",
        "`pip install x`",
        "curate sql",
    ):
        assert as_typed(kept) == kept


def test_what_is_printed_on_either_stream_names_it(named, capsys) -> None:
    print_text("look: `curate sql 1`")
    print_message("hint: `curate runs`")
    assert capsys.readouterr() == (f"look: `curate sql {named} 1`\n", f"hint: `curate runs {named}`\n")


def test_the_commands_without_a_table_are_those() -> None:
    from curate.cli import app

    found = {
        c.name or c.callback.__name__ for c in app.registered_commands if "db" not in signature(c.callback).parameters
    }
    assert found == set(WITHOUT_TABLE)


def test_what_score_says_to_ask_answers_as_typed(curate, tmp_path) -> None:
    """A row without numbers is told of with a command, which lists it."""
    rows = "\n".join(f"s{i},{'xy'[i % 2]},{i % 7 - 3},1,{i % 5 - 2},2" for i in range(40))
    (tmp_path / "p.csv").write_text(f"sample_id,label,audio.x,audio.y,visual.x,visual.y\n{rows}\nbad,x,,,1,2\n")
    done = curate("score", "--predictions", tmp_path / "p.csv", "--db", tmp_path / "other.duckdb")
    (typed,) = re.findall(r"`curate (sql [^`]*)`", done.err)
    asked = curate(*shlex.split(typed))
    assert asked.code == 0 and "bad" in asked.out
    done = curate("sql", "SELECT 1", "--db", tmp_path / "none.duckdb")
    assert f"`curate score --db {tmp_path / 'none.duckdb'} --dataset NAME`" in done.err
