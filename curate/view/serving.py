"""Starting the server: in this process for the command, in one of its own for a notebook."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from getpass import getuser
from html import escape
from pathlib import Path
from types import TracebackType
from typing import Any

from curate.errors import CurateError
from curate.store.store import Store

EXTRA = "pip install 'curate-mm[view]'"


def serve(
    store: Store,
    run_id: str | None,
    ready: Callable[[str, int], None],
    port: int = 0,
    author: str = "",
    cache_folder: Path | None = None,
    until: Callable[[], object] | None = None,
) -> None:
    """Serve the page of one run on 127.0.0.1 until Ctrl-C.

    Args:
        store: the sample table.
        run_id: a scored run; None = the newest finished one.
        ready: called with the address and the number of samples when requests are answered.
        port: 0 = a free one.
        author: who marks; '' = the user of this machine.
        cache_folder: where decoded media are looked for; None = the default.
        until: called in a thread; the server ends when it returns.

    Raises:
        CurateError: the extra `view` is not installed, the port is taken, or there is no such run.
    """
    try:
        import uvicorn

        from .access import Access
        from .server import application
        from .session import Page
    except ImportError as error:
        raise CurateError(f"the page needs {error.name}, which is not installed", EXTRA) from None
    run = store.runs.find(run_id, kind="score", status=None if run_id else "done")
    listening = _listening(port)
    page = Page(store, run, author or _user(), cache_folder)
    try:
        access = Access(listening.getsockname()[1])
        config = uvicorn.Config(
            application(page, access),
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        if until is not None:
            threading.Thread(target=_ended, args=(until, server), daemon=True).start()
        ready(access.address, page.snapshot.total)
        server.run(sockets=[listening])
    finally:
        page.snapshot.close()
        listening.close()


def _ended(until: Callable[[], object], server: Any) -> None:
    until()
    server.should_exit = True


def _listening(port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind(("127.0.0.1", port))
        found.listen(128)
    except OSError as error:
        found.close()
        raise CurateError(f"port {port} cannot be used: {error.strerror}", "choose another --port, or none") from None
    return found


def _user() -> str:
    try:
        return getuser()
    except (OSError, KeyError):
        return "unknown"


class View:
    """A page that is served by a process of its own: a notebook goes on, and opens the table as it likes.

    The process ends with `stop`, at the end of a `with`, or with this process.

    Attributes:
        address: what to open, once.
    """

    def __init__(self, store: Store, run_id: str | None = None, port: int = 0) -> None:
        settings = json.dumps([os.path.abspath(store.path), run_id, port])
        code = "from curate.view.serving import child; child()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, settings], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        # DuckDB may write lines of its own while it works.
        line = next((text for text in self._process.stdout if text.startswith("{")), "{}")
        answer = json.loads(line)
        self.address: str = answer.get("address", "")
        if not self.address:
            self.stop()
            raise CurateError(answer.get("message", "the page did not start"), answer.get("hint", "see above"))

    def __repr__(self) -> str:
        return f"<the page at {self.address}>"

    @property
    def process_id(self) -> int:
        """Of the server's process."""
        return self._process.pid

    def stop(self) -> None:
        """End the server."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> View:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _repr_html_(self) -> str:
        return f'<a href="{escape(self.address)}" target="_blank" rel="noreferrer">open the page</a> (once)'


def child() -> None:
    """The process of a `View`: it writes its address to standard output, and ends with its standard input."""
    path, run_id, port = json.loads(sys.argv[1])

    def write(answer: dict[str, str]) -> None:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()

    try:
        serve(Store(path), run_id, lambda address, _: write({"address": address}), port, until=sys.stdin.read)
    except CurateError as error:
        write({"message": error.message, "hint": error.hint})
    except KeyboardInterrupt:
        pass
