"""Work of DuckDB that Ctrl-C ends at once, without leaving a thread behind."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")


def stoppable(work: Callable[[], T], stop: Callable[[], object]) -> T:
    """The result of `work`, which runs in a thread, or its error.

    Args:
        stop: makes `work` end soon; called until it has ended, from the first Ctrl-C on.

    Raises:
        KeyboardInterrupt: it was stopped; its thread has ended.
    """
    outcome: dict[str, Any] = {}

    def call() -> None:
        try:
            outcome["value"] = work()
        except BaseException as error:
            outcome["error"] = error

    with ctrl_c_put_off() as pressed:
        thread = threading.Thread(target=call, daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(0.05)
            if pressed:
                stop()
    if "error" in outcome:
        raise outcome["error"]
    result: T = outcome["value"]
    return result


@contextmanager
def ctrl_c_put_off() -> Iterator[list[FrameType | None]]:
    """Notes each Ctrl-C, and lets it take its usual way at the end.

    As an exception it would come at any moment, also within `Thread.start`, and leave a thread alone with DuckDB; a
    process that ends then is aborted.
    """
    pressed: list[FrameType | None] = []
    usual = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(usual):
        yield pressed
        return
    signal.signal(signal.SIGINT, lambda _, frame: pressed.append(frame))
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, usual)
    if pressed:
        usual(signal.SIGINT, pressed[-1])
