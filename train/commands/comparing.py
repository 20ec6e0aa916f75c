"""`curate compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.commands import precedence
from curate.commands.messages import messages, print_comparison, print_rows
from curate.commands.options import (
    DB,
    Cache,
    Db,
    Output,
    Precision,
    Quiet,
    Root,
    Settings,
    Track,
    Workers,
    written_places,
)
from curate.config import Layer
from curate.errors import CurateError
from curate.files.remote import located
from curate.files.writing import check_output

from .opening import opened, repeatable

if TYPE_CHECKING:
    from curate.comparison.plan import Plan
    from curate.store.store import Store


MOST_TRIALS = 6
"""As many as every method has: two values of its knob, and four learning rates."""


def compare(
    ctx: typer.Context,
    method: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[:SECTION.KEY=VALUE,...]", help="A method with its settings, or all; repeatable."),
    ] = None,
    table_name: Annotated[
        str | None, typer.Option("--table", help="A paper's table, a .toml file like one, or list.")
    ] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(metavar="SECTION.KEY=VALUE,...", help="Each row again with every value; repeatable."),
    ] = None,
    tune: Annotated[
        int, typer.Option(min=0, max=MOST_TRIALS, help="Each row again, with the best of so many other settings.")
    ] = 0,
    dataset: Annotated[str, typer.Option(help="Data set name, see `curate datasets`.")] = "",
    root: Root = None,
    run: Annotated[
        str | None, typer.Option(metavar="RUN", help="A scored run, in place of --dataset: its data and settings.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="How many, from 0 on; or a list such as 0,7.")] = "3",
    redraw: Annotated[bool, typer.Option("--redraw", help="Each seed redraws the data too: data.seed.")] = False,
    controls: Annotated[bool, typer.Option("--controls/--no-controls", help="Measure the controls too.")] = True,
    show_only: Annotated[bool, typer.Option("--show", help="Print what is in the table; run nothing.")] = False,
    name: Annotated[str | None, typer.Option(help="Name of the comparison; the table's, or `compare`.")] = None,
    output: Annotated[
        list[Path] | None,
        typer.Option("--output", "-o", callback=written_places, help=".md, .csv, .tex or .html; repeatable."),
    ] = None,
    db: Db = DB,
    settings: Settings = None,
    device: Annotated[
        str, typer.Option(envvar="CURATE_DEVICE", help="auto (all cards), or devices such as cuda:0,cuda:1.")
    ] = "auto",
    precision: Precision = "fp32",
    track: Track = None,
    workers: Workers = None,
    cache: Cache = None,
    quiet: Quiet = False,
    form: Output = "table",
) -> None:
    """Train several methods with several seeds under one protocol; mean, spread and paired differences.

    Finished cells are taken from the table, so the same command goes on after an interruption.
    """
    from curate.comparison import plan as plans
    from curate.comparison.layout import SUFFIXES
    from curate.store.store import Store

    if table_name == "list":
        print_rows(["table", "what"], [[n, plans.read_table(n).title] for n in plans.table_names()], form)
        return
    for path in output or []:
        check_output(path, SUFFIXES)
    store = Store(db, writes=not show_only)
    shown = plans.read_table(table_name) if table_name else None
    if show_only:
        stored = name or (shown.name if shown else None) or store.comparisons.newest()
        shown = shown or (plans.read_table(stored) if stored in plans.table_names() else None)
    else:
        plan = _plan(shown, method or [], name, controls, sweep or [])
        stored, drawn = plan.name, plans.parse_seeds(seeds)
        from curate.datasets import full_name

        own: Layer = {}
        layers = precedence.layers(ctx, plans.SHARED_SECTIONS)
        if run is not None:
            dataset, root, own = _of_run(ctx, store, run)
        elif not dataset:
            raise CurateError("compare needs --dataset NAME, or --run RUN", "see `curate datasets` and `curate runs`")
        dataset = full_name(dataset)  # before torch is loaded
        _refuse_contradictions(ctx, layers[-1], sweep or [])
        of_method = precedence.project(ctx).get("method", {})
        with opened(ctx) as session, repeatable(stored):
            from curate.train.stages.compare import Protocol, check_rows
            from curate.train.stages.compare import compare as run_cells
            from curate.train.stages.tune import tuned

            if not table_name:
                check_rows(plan)
            protocol, devices = Protocol(dataset, root, layers, of_method, redraw, own), session.runtime.devices()
            if tune:
                plan = tuned(session, plan, protocol, drawn, tune, devices)
            run_cells(session, plan, protocol, drawn, devices)
    failed = print_comparison(store, stored, shown, form, quiet)
    for path in output or []:
        from curate.report.comparison import write_comparison

        write_comparison(store, stored, shown, path)
        messages(quiet)(f"wrote {path}")
    raise typer.Exit(3 if failed and not show_only else 0)


def _of_run(ctx: typer.Context, store: Store, name: str) -> tuple[str, Path | None, Layer]:
    """Data set, root and settings of a scored run; with its seed it is a cell of the comparison as it is.

    Raises:
        CurateError: there is no such run, it has no model, or other options name data or settings too.
    """
    for option, parameter in (("--dataset", "dataset"), ("--root", "root"), ("--table", "table_name")):
        if precedence.is_from(ctx, "COMMANDLINE", parameter):
            raise precedence.contradiction(f"--run {name}", f"{option} {ctx.params[parameter]}")
    found = store.runs.find(name, kind="score")
    if found.method == "predictions":
        raise CurateError(f"{name} scored saved predictions, and has no model to train", "name a run with a warm-up")
    from curate.train.stages.compare import SCORED

    return found.dataset, located(found.root) if found.root else None, {s: found.config[s] for s in SCORED}


def _refuse_contradictions(ctx: typer.Context, typed: Layer, sweeps: Sequence[str]) -> None:
    """Refuse --set of what --redraw or --sweep sets for each seed or row."""
    if ctx.params["redraw"] and "seed" in typed.get("data", {}):
        raise precedence.contradiction("--redraw", f"--set data.seed={typed['data']['seed']}")
    for name in (text.partition("=")[0].strip() for text in sweeps):
        section, _, key = name.partition(".")
        if key in typed.get(section, {}):
            raise precedence.contradiction(f"--sweep {name}", f"--set {name}={typed[section][key]}")


def _plan(
    plan: Plan | None, texts: Sequence[str], name: str | None, controls: bool, sweeps: Sequence[str] = ()
) -> Plan:
    """The plan that --method or --table asks for, with its controls.

    Raises:
        CurateError: both are given, or neither.
    """
    from dataclasses import replace

    from curate.comparison.plan import Plan, parse_methods, swept, with_controls
    from curate.train.methods import catalog

    if bool(texts) == (plan is not None):
        raise CurateError(
            "compare needs either --method or --table",
            "e.g. --method iprm --method adaptive, --method all, --table list",
        )
    plan = plan or Plan("compare", tuple(parse_methods(texts, catalog.names())))
    plan = replace(plan, name=name or plan.name, rows=tuple(swept(plan.rows, sweeps)))
    return with_controls(plan, {e.name: e.control for e in catalog.entries()}, controls)


COMMANDS = (compare,)
