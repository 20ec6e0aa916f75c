"""Variables of a launcher that no launcher has set: a command runs alone."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

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
