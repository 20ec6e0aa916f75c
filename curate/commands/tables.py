"""`curate sql`, `runs`, `merge`, `table`, `export` and `recommend`: what the table holds."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from curate.advice.describe import describe_verdicts
from curate.errors import CurateError, counted

from .messages import messages, print_message, print_portions, print_rows, print_text
from .options import DB, Db, Output, Quiet, RowsFile, RunName, places, written_place

if TYPE_CHECKING:
    from curate.render import Message
    from curate.types import Run

SHOWN = 3
"""So many runs that were renamed, or whose processes are gone, are named."""
LONGEST = 200
"""Most characters of a cell that `sql` prints in a table: one long id would make every row as wide."""


def sql(
    query: Annotated[str, typer.Argument(help="One SELECT; - reads standard input.")] = "-",
    allow_files: Annotated[bool, typer.Option("--allow-files", help="Let it read local files, e.g. 'x.csv'.")] = False,
    db: Db = DB,
    output: RowsFile = None,
    form: Output = "table",
    quiet: Quiet = False,
) -> None:
    """Read-only SQL on the table; views: samples, by_class, by_modality, failures, findings, history, results."""
    from curate.store.store import Store

    message = messages(quiet)
    if query == "-" and sys.stdin.isatty():
        message("reading SQL from the terminal; end with Ctrl-D")
    try:
        text = sys.stdin.read() if query == "-" else query
    except UnicodeDecodeError as error:
        raise CurateError(f"standard input is no text in UTF-8: {error}", "give one SELECT") from None
    store = Store(db)
    store.runs.record_killed()
    with store.stream(text, allow_files) as (columns, portions):
        print_portions(columns, portions, form, message, output, LONGEST)


def runs(
    name: Annotated[str | None, typer.Argument(help="One run in full; all are listed when left out.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Delete this run's rows and checkpoints.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    db: Db = DB,
    output: RowsFile = None,
    form: Output = "table",
    quiet: Quiet = False,
) -> None:
    """List what has been run, newest first, or one run in full."""
    from curate.store.killed import KILLED
    from curate.store.store import Store

    store = Store(db, writes=remove)
    if remove and name is None:
        raise CurateError("--remove needs the run's name", "e.g. curate runs adaptive-demo-1 --remove")
    store.runs.record_killed()
    if name is None:
        columns = ["run", "method", "dataset", "parent", "seed", "status", "test accuracy"]
        print_rows(columns, store.runs.overview(), form, output)
        _name_killed(store.runs.all(status=KILLED), messages(quiet))
        return
    run = store.runs.find(name)
    if remove:
        if not yes and not (sys.stdin.isatty() and typer.confirm(f"delete {name}, its rows and its checkpoints?")):
            raise CurateError(f"{name} was not removed", "answer y, or give --yes")
        from curate.files.lock import claimed

        folder = store.path.with_suffix(".runs") / name
        with claimed(folder):
            store.remove_run(name)
            shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # other runs have files in it
            folder.parent.rmdir()
        if not quiet:
            print_message(f"removed {name}")
        return
    rows: list[Sequence[Any]] = [
        [k, getattr(run, k)]
        for k in ("status", "parent", "note", "seed", "data_id", "root", "folder", "checkpoint_sha256")
    ]
    rows += [[f"{s}.{k}", v] for s, values in run.config.items() for k, v in values.items()]
    rows += [[f"version of {k}", v] for k, v in run.versions.items()]
    rows += store.rounds.mixture_rows(name)
    rows += [[f"usability of {m}", verdict] for m, verdict in describe_verdicts(store.usability.verdicts(name)).items()]
    print_rows(["what", "value"], rows, form, output)
    _name_killed([run] if run.status == KILLED else [], messages(quiet))


def _name_killed(found: Sequence[Run], message: Message) -> None:
    """Say of runs whose processes are gone what that means, and what to do about them."""
    from curate.store.runs import going_on

    for run in found[:SHOWN]:
        message(f"{run.run_id}: its process is gone: it was killed, or the machine stopped; {going_on(run)}")
    if len(found) > SHOWN:
        message(f"the processes of {len(found) - SHOWN} more are gone, too")


def merge(
    tables: Annotated[list[Path], typer.Argument(callback=places, help="Tables of other machines or people.")],
    weights: Annotated[bool, typer.Option("--weights/--no-weights", help="Copy the runs' checkpoints too.")] = True,
    db: Db = DB,
    quiet: Quiet = False,
) -> None:
    """Take over the runs, selections, marks and comparisons of other tables; what is here stays as it is."""
    from curate.files.remote import local
    from curate.store.merging import merge as take_over
    from curate.store.store import Store

    message = messages(quiet)
    for path in tables:
        with local(path) as near:  # a table in a bucket has no checkpoints beside its copy
            done = take_over(Store(db, writes=True), near, weights)
        for old, new in list(done.renamed.items())[:SHOWN]:
            message(f"{old} of {path} is called {new} here")
        if len(done.renamed) > SHOWN:
            message(f"{len(done.renamed) - SHOWN} more have other names here, since theirs were taken: `curate runs`")
        for name, why in done.left.items():
            message(f"{name} of {path} was left there: {why}")
        message(
            f"{path}: runs taken over: {len(done.runs)}, here already: {len(done.known)}; selections: "
            f"{len(done.selections)}; marks: {done.marks}; cells of comparisons: {done.cells}"
        )


def table(
    rows: Annotated[
        Literal["beside", "inside"] | None,
        typer.Option(help="Keep the rows of samples in Parquet files beside the table, or inside it again."),
    ] = None,
    db: Db = DB,
    output: RowsFile = None,
    form: Output = "table",
    quiet: Quiet = False,
) -> None:
    """Say how large the table is and where its rows are; move them to Parquet files beside it, or back."""
    from curate.store.store import Store

    store = Store(db, writes=rows is not None)
    if rows is not None:
        messages(quiet)(f"moving the rows of samples of {db}: {rows}")
        store.keep_rows(rows == "beside")
    print_rows(["what", "value"], store.size(), form, output)


def export(
    target: Annotated[Path | None, typer.Argument(callback=written_place, help="The same as --output.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", callback=written_place, help="The file; for hf and webdataset a folder."),
    ] = None,
    to: Annotated[
        Literal["csv", "parquet", "jsonl", "hf", "cleanlab", "fiftyone", "spotlight", "webdataset"] | None,
        typer.Option(help="Who reads it; left out, as the file's name ends."),
    ] = None,
    selection: Annotated[str | None, typer.Option(help="Only the samples of a stored selection.")] = None,
    where: Annotated[str | None, typer.Option(help="Only those with a condition on `samples`.")] = None,
    run: RunName = None,
    db: Db = DB,
    quiet: Quiet = False,
) -> None:
    """Write the samples with scores, marks, selections, media and class probabilities, for yourself or another tool."""
    from curate.exports.formats import export as write
    from curate.exports.rows import Wanted
    from curate.store.store import Store

    path = output or target
    if path is None or (output and target):
        raise typer.BadParameter("one file is needed, e.g. curate export -o samples.parquet")
    done, message = write(Store(db), path, to, Wanted(run, selection, where)), messages(quiet)
    for note in done.notes:
        message(note)
    message(f"wrote {counted(done.rows, 'row')} to {path}" + (f"; open it: {done.opened}" if done.opened else ""))


def recommend(run: RunName = None, db: Db = DB, quiet: Quiet = False) -> None:
    """Say, from the table alone, what was found, which methods are worth trying first and why, and how to check."""
    from curate.advice.evidence import read_evidence
    from curate.advice.recommend import recommend as advise
    from curate.store.store import Store

    print_text("\n".join(advise(read_evidence(Store(db), run))))


COMMANDS = (recommend, runs, merge, table, sql, export)
