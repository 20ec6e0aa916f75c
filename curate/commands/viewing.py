"""`curate view`: the table as an interactive page of this machine."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer

from curate.errors import counted

from .messages import messages, print_text
from .options import DB, Cache, Db, Quiet, RunName


def view(
    db: Db = DB,
    run: RunName = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
    author: Annotated[str, typer.Option(help="Who marks; left out, the user of this machine.")] = "",
    cache: Cache = None,
    quiet: Quiet = False,
) -> None:
    """Look at the samples of a scored run, listen, filter, mark and save selections, in a page of this machine.

    The address holds a token that opens the page once, in one browser. Ctrl-C ends the server.
    """
    from curate.store.store import Store
    from curate.view.serving import serve

    message = messages(quiet)

    def ready(address: str, samples: int) -> None:
        message(f"{counted(samples, 'sample')} of {run or 'the newest scored run'} in {db}; Ctrl-C ends it")
        print_text(address)
        if browser:
            import webbrowser

            webbrowser.open(address)

    with suppress(KeyboardInterrupt):
        serve(Store(db), run, ready, port, author, cache)
    message("the page has ended; what was marked is in the table")


COMMANDS = (view,)
