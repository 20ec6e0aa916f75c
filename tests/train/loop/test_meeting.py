"""Processes that something else started meet, or say whom they waited for."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest

from curate.errors import CurateError
from curate.train.loop.meeting import meet

SHORT = timedelta(seconds=0.2)


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """A port of this machine that nobody listens to, in the variables of launchers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(port))
    monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)
    return port


def test_all_processes_have_one_store(port: int) -> None:
    said: list[str] = []
    with ThreadPoolExecutor(3) as pool:
        stores = list(pool.map(partial(meet, world=3, message=said.append), range(3)))
    stores[2].set("from", "process 2")
    assert [store.get("from") for store in stores] == [b"process 2"] * 3
    assert len(said) == 3


def test_the_first_process_alone_says_how_many_came_and_where(port: int) -> None:
    said: list[str] = []
    with pytest.raises(CurateError, match=f"of 2 processes, 1 came to 127.0.0.1:{port}") as error:
        meet(0, 2, said.append, SHORT)
    assert "WORLD_SIZE" in error.value.hint
    assert f"waiting up to 0.00333 min for the others at 127.0.0.1:{port}" in said[0]


def test_another_process_says_that_there_is_no_first_one(port: int) -> None:
    said: list[str] = []
    with pytest.raises(CurateError, match=f"process 1 of 2 found no process 0 at 127.0.0.1:{port}"):
        meet(1, 2, said.append, SHORT)
    assert "for process 0" in said[0]


def test_a_port_that_is_taken_is_an_error(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)), pytest.raises(CurateError, match="process 0 of 2 cannot meet"):
        meet(0, 2, print, SHORT)
