"""`curate methods` and `curate report`: both read the methods and their settings from the sources."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from curate.commands.messages import messages, print_rows, print_text
from curate.commands.options import DB, Cache, Db, Output, Quiet, RowsFile, RunName, written_place
from curate.errors import unknown_name
from curate.render import readable_type


def methods(
    name: Annotated[str | None, typer.Argument(help="A method; all are listed when left out.")] = None,
    differences: Annotated[
        bool, typer.Option("--departures", help="Where the methods differ from the published code, and why.")
    ] = False,
    output: RowsFile = None,
    form: Output = "table",
    quiet: Quiet = False,
) -> None:
    """List the methods; of one, its paper, where it starts, what `--set` can change."""
    from curate.train.methods import catalog

    entries, message = {e.name: e for e in catalog.entries()}, messages(quiet)
    if differences:
        if name is not None and name not in entries:
            raise unknown_name("method", name, entries)
        rows = [list(row) for row in catalog.departures() if name is None or row[0] in (name, catalog.ALL)]
        print_rows(["method", "what", "the published code, here, and why"], rows, form, output)
        return
    if name is None:
        print_rows(["name", "start", "what"], [[e.name, e.start, e.summary] for e in entries.values()], form, output)
        message("paper and settings of one: curate methods NAME; differences from the published code: --departures")
        return
    if name not in entries:
        raise unknown_name("method", name, entries)
    entry = entries[name]
    message(f"{name}: {entry.summary}\n{entry.paper}; starts from {entry.start} weights")
    knobs = [(f"method.{k}", readable_type(kind), default, what) for k, (kind, default, what) in entry.knobs.items()]
    print_rows(["setting", "type", "default", "what"], knobs, form, output)
    if entry.tried:
        message(f"tried by `compare --tune`: method.{entry.tried}, and other learning rates")
    if entry.departures:
        message(f"where it differs from the published code: curate methods {name} --departures")


def report(
    run: RunName = None,
    output: Annotated[Path, typer.Option("--output", "-o", callback=written_place, help="Folder for reports.")] = Path(
        "reports"
    ),
    db: Db = DB,
    cache: Cache = None,
    quiet: Quiet = False,
) -> None:
    """Write one self-contained HTML page and its figures."""
    from curate.datasets.cache import default_folder
    from curate.report import build
    from curate.store.store import Store
    from curate.train.methods import catalog

    print_text(str(build(Store(db), run, output, cache or default_folder(), usual=catalog.usual_settings())))


COMMANDS = (report, methods)
