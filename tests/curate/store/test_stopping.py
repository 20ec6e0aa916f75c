"""Ctrl-C at any moment of work in a thread: the work is stopped, its thread has ended, and then the interrupt comes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

import pytest

from curate.store import instance
from curate.store.stopping import stoppable

REAL = threading.Thread.start


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def before(thread: threading.Thread) -> None:
    ctrl_c()
    REAL(thread)


def after(thread: threading.Thread) -> None:
    REAL(thread)
    ctrl_c()


def twice(thread: threading.Thread) -> None:
    before(thread)
    ctrl_c()


@pytest.mark.parametrize("closing", [False, True])
def test_ctrl_c_while_a_file_is_opened_or_closed_leaves_it_closed(monkeypatch, scored_table, closing) -> None:
    """It is taken as Ctrl-C, not as an error of DuckDB, and the file can be opened by anybody afterwards."""
    real = instance.Attached._close if closing else instance.Attached._open

    def interrupted(*arguments) -> None:
        real(*arguments)
        ctrl_c()

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(instance.Attached, "_close" if closing else "_open", interrupted)
        with scored_table.db.open():
            assert closing
    with scored_table.db.open(write=True) as con:
        con.execute("SELECT 1")


@pytest.mark.parametrize("start", [before, after, twice])
def test_no_thread_is_left_whenever_ctrl_c_comes(monkeypatch: pytest.MonkeyPatch, start: Callable) -> None:
    usual, stopped, seen = signal.getsignal(signal.SIGINT), threading.Event(), []

    def work() -> None:
        seen.append(threading.current_thread())
        assert stopped.wait(60)

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(KeyboardInterrupt):
        stoppable(work, stopped.set)
    assert stopped.is_set() and not seen[0].is_alive() and signal.getsignal(signal.SIGINT) is usual


def test_results_and_errors_come_back_from_any_thread() -> None:
    outcomes: list[object] = []

    def ask() -> None:
        outcomes.append(stoppable(lambda: 7, lambda: None))
        with pytest.raises(ValueError, match="of the work"):
            stoppable(lambda: (_ for _ in ()).throw(ValueError("of the work")), lambda: None)
        outcomes.append("refused")

    ask()
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert outcomes == [7, "refused"] * 2
