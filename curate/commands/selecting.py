"""`curate select` and `curate selections`: samples named by a rule."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace as changed
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from curate.errors import CurateError, counted
from curate.files.asking import condition

from .messages import messages, percent, print_message, print_rows, print_selection
from .options import DB, Db, File, Output, Quiet, RunName

if TYPE_CHECKING:
    from curate.scores.selection import Rule
    from curate.store.store import Store as Stored
    from curate.types import Selection

CLAIMS = (
    ("p_mislabelled", "coalesce(p_mislabelled, 0) <= 0.5", "have a probably wrong label"),
    ("contradicts", "coalesce(contradicts, '') = ''", "have a clip that probably belongs to another sample"),
)
"""What may be claimed of kept samples: the column, the condition that leaves them out, and in words."""


def select(
    threshold: Annotated[float | None, typer.Option(help="Keep p_balanced (or --by) >= this, 0..1.")] = None,
    where: Annotated[str | None, typer.Option(help="A condition on the columns of `samples`.")] = None,
    per_class: Annotated[int | None, typer.Option(help="Of those, this many of each class, highest first.")] = None,
    top: Annotated[int | None, typer.Option(help="Of those, this many, of highest p_balanced (or --by).")] = None,
    fraction: Annotated[float | None, typer.Option(help="The same as a share of all candidates, 0..1.")] = None,
    whole_groups: Annotated[bool, typer.Option("--whole-groups", help="Drop groups that lost a member.")] = False,
    by: Annotated[
        Literal["p_balanced", "usability", "gap"],
        typer.Option(help="What counts: p_balanced, usability of the least usable modality, or 1 - |gap|."),
    ] = "p_balanced",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what thresholds would keep; store nothing.")] = False,
    name: Annotated[str | None, typer.Option(help="Name of the selection.")] = None,
    output: File = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a selection of that name.")] = False,
    run: RunName = None,
    db: Db = DB,
    form: Output = "table",
    quiet: Quiet = False,
) -> None:
    """Name the training samples that a rule keeps, and say what that does to class balance.

    Without a rule it takes the one that the evidence supports: not broken, or else --threshold 0.8.
    The parts of a rule act in the order listed here, each on what the ones before left; ties are broken by id.
    """
    from curate.scores.selection import Rule
    from curate.store.store import Store

    rule: dict[str, Any] = {
        "threshold": threshold,
        "where": where,
        "per_class": per_class,
        "top": top,
        "fraction": fraction,
        "whole_groups": whole_groups,
        "by": by,
    }
    if dry_run and (name or output or replace):
        raise CurateError("--dry-run stores nothing", "leave --name, --output and --replace out")
    store, message = Store(db, writes=not dry_run), messages(quiet)
    scored = store.runs.find(run, kind="score", status=None if run else "done")
    if scored.folds:
        message(f"{scored.run_id} was scored out of fold, in {scored.folds} folds")
    if dry_run:
        rows = [(t, k, percent(s, form), *least) for t, k, s, *least in store.selections.preview(scored.run_id, **rule)]
        print_rows(["threshold", "kept", "share", "smallest class", "of it"], rows, form)
        return
    rule, why = store.selections.completed(scored.run_id, rule)
    if why:
        of = f" --run {shlex.quote(run)}" if run else ""
        message(f"{why}; the same: `curate select {Rule(**rule).options}{of}`")
    chosen = store.selections.make(scored.run_id, name=name, replace=replace, **rule)
    written = _written(store, chosen.name, output) if output else 0
    if not quiet:
        print_selection(chosen, form, message, ranked=where is None)
        _tell_claims(store, chosen, Rule(**rule), name)
    if output:
        message(f"wrote {counted(written, 'row')} to {output}")


def _tell_claims(store: Stored, chosen: Selection, rule: Rule, name: str | None) -> None:
    """Print of how many kept samples something is claimed (`CLAIMS`), and what to do; not of what was asked for.

    The command leaves them out; it was tried, and is not given where it keeps nothing.
    """
    run, asked = f" --run {chosen.run_id}", rule.where or ""
    for count, (column, none, what) in zip(store.selections.claimed(chosen.name), CLAIMS, strict=True):
        if not count or column in asked:
            continue
        told = f"{count} of the kept {what}"
        if column == "p_mislabelled":
            told += f": `curate improve{run}` says what they may be instead"
        own = condition(asked) if "--" in asked else f"({asked})"
        without = changed(rule, where=f"{none} AND {own}" if asked else none)
        left = int(without.keep(store.selections.candidates(chosen.run_id, without.where, without.by)).sum())
        named = f" --name {shlex.quote(name)} --replace" if name else ""
        print_message(
            f"{told}; `curate select {without.options}{named}{run}` keeps {left}, without them" if left else told
        )


def _written(store: Stored, name: str, output: Path) -> int:
    """Write a selection that was just stored to a file; the number of rows."""
    try:
        return store.selections.export(name, output)
    except CurateError as error:
        raise CurateError(
            f"{error.message}; the selection is stored",
            f"{error.hint}; `curate selections {shlex.quote(name)} -o FILE` writes it, once there is a place",
        ) from None


def selections(
    names: Annotated[list[str] | None, typer.Argument(help="One in full, or two to compare; left out, all.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Delete the named one; its samples stay.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: File = None,
    db: Db = DB,
    form: Output = "table",
    quiet: Quiet = False,
) -> None:
    """List the stored selections; tell one in full, or write it to a file; compare two, or remove one."""
    from curate.store.store import Store

    store, named, message = Store(db, writes=remove), names or [], messages(quiet)
    if output and (len(named) != 1 or remove):
        raise CurateError("--output writes one selection", "e.g. curate selections clean -o clean.txt")
    if len(named) > 2 or (remove and len(named) != 1):
        raise CurateError(
            f"{len(named)} selections are named",
            "name one to be told or removed, two to be compared, none for the list",
        )
    if remove:
        store.selections.run_of(named[0])  # an unknown name has its own error
        if not yes and not (sys.stdin.isatty() and typer.confirm(f"delete the selection {named[0]}?", err=True)):
            raise CurateError(f"{named[0]} was not removed", "answer y, or give --yes")
        store.selections.remove(named[0])
        message(f"removed {named[0]}")
    elif not named:
        columns = ["selection", "run", "data set", "rule", "kept", "of", "made (UTC)"]
        print_rows(columns, store.selections.overview(), form)
    elif len(named) == 1:
        found = store.selections.describe(named[0])
        written = store.selections.export(found.name, output) if output else 0
        message(f"{found.rule}, of {found.run_id}")
        print_selection(found, form, message)
        if output:
            message(f"wrote {counted(written, 'row')} to {output}")
    else:
        print_rows(["class", *named, "both", "Jaccard"], store.selections.compare(*named), form)


COMMANDS = (select, selections)
