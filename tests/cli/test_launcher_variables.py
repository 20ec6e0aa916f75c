"""Variables of a launcher that no launcher has set: a command runs alone."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import typer

from curate.train.commands.opening import under_torchrun

WHOLE = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29555"}


@pytest.mark.parametrize(
    "changed",
    [{"MASTER_PORT": None}, {"MASTER_PORT": "abc"}, {"MASTER_ADDR": None}, {"RANK": "5"}, {"WORLD_SIZE": "1"}],
)
def test_variables_that_are_not_whole_mean_nothing(changed, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**WHOLE, **changed}.items():
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    ctx = SimpleNamespace(invoked_subcommand="train", meta={}, call_on_close=lambda close: None)
    under_torchrun(ctx)
    assert not ctx.meta


@pytest.mark.parametrize(("agent", "told"), [(None, True), ("True", False)], ids=["left over", "torchrun"])
def test_a_process_without_a_part_in_a_command_says_so_unless_torchrun_has_started_it(
    agent: str | None, told: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**WHOLE, "RANK": "1", "TORCHELASTIC_USE_AGENT_STORE": agent}.items():
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    with pytest.raises(typer.Exit) as end:
        under_torchrun(SimpleNamespace(invoked_subcommand="report", meta={}))
    said = capsys.readouterr().err
    assert end.value.exit_code == 0
    assert ("process 1 of 2" in said and "`curate report`" in said and "unset" in said) if told else not said
