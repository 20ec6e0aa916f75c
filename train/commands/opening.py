"""What the commands with a model share: opening a session, and finding the run to continue."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import typer

from curate.commands.messages import messages, print_message
from curate.commands.precedence import is_from
from curate.errors import CurateError, LostProcessError
from curate.render import progress

if TYPE_CHECKING:
    from curate.store.store import Store
    from curate.train.loop.processes import Team
    from curate.train.stages.session import Session
    from curate.types import Run

SPREAD = ("score", "train", "evaluate")
"""Commands whose encoders run in several processes."""
HOW = ("cache", "device", "precision", "workers", "processes", "engine")
"""Options that say how and where a command works, which a run does not keep."""
TEAM = "curate.team"
"""Key of a context's `meta`: the processes that `torchrun` started."""
TRIO = ("torch", "torchvision", "torchaudio")
"""The packages that the model side needs, from the extra `train`."""


@contextmanager
def opened(ctx: typer.Context, db: Path | None = None, cache: Path | None = None) -> Iterator[Session]:
    """Open a session of the model side from a command's options, with progress on standard error.

    Args:
        db, cache: for commands that have no such options.

    Raises:
        CurateError: a package that the model side needs is not installed.
    """
    if missing := [name for name in TRIO if find_spec(name) is None]:
        raise CurateError(
            f"this needs a model, and {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed",
            "pip install 'curate-mm[train]'",
        )
    from curate.datasets.cache import default_folder
    from curate.store.store import Store
    from curate.train.loop.engine import Runtime
    from curate.train.stages.session import Session
    from curate.train.stages.tracking import Tracking

    options = ctx.params
    folder = cache or options.get("cache") or default_folder()
    tracking = Tracking(options.get("track"))
    with _team(ctx) as team, progress(options["quiet"]) as advance:
        runtime = Runtime(
            device=options["device"],
            precision=options.get("precision", "fp32"),
            workers=options.get("workers", 0),
            engine=options.get("engine", "processes"),
            team=team,
        )
        store = Store(db or options["db"], writes=True)
        yield Session(store, folder, runtime, tracking, advance, messages(options["quiet"]))


@contextmanager
def _team(ctx: typer.Context) -> Iterator[Team | None]:
    """The processes that run encoders: those that `torchrun` started, or that are started here; None for this alone."""
    from curate.train.loop.launch import Launched
    from curate.train.loop.processes import Team

    count, team = ctx.params.get("processes", 1), ctx.meta.get(TEAM)
    if count > 1 and team is not None:
        raise CurateError(f"torchrun has started {team.world} processes", "leave --processes out")
    own = Team(count, Launched(count)) if count > 1 else None
    try:
        if (found := own or team) is not None:
            messages(ctx.params["quiet"])(found.shown)
        yield found
    finally:
        if own is not None:
            own.close()


def under_torchrun(ctx: typer.Context) -> None:
    """What each process does that `torchrun` has started: the first runs the command, the others serve it and end.

    The others of a command that runs no encoder end at once; without `torchrun` they say so, since the variables may be
    left over from another job. Variables that no `torchrun` has set, since one is missing
    or they contradict each other, mean nothing.
    """
    names = ("RANK", "WORLD_SIZE", "MASTER_PORT")
    if "MASTER_ADDR" not in os.environ or not all(os.environ.get(name, "").isdecimal() for name in names):
        return
    rank, world, port = (int(os.environ[name]) for name in names)
    if world < 2 or rank >= world or port >= 2**16:
        return
    if ctx.invoked_subcommand in SPREAD:
        from curate.train.loop.launch import follow
        from curate.train.loop.meeting import meet
        from curate.train.loop.processes import Team

        store = meet(rank, world, print_message)
        if rank:
            raise typer.Exit(follow(rank, world, store))
        ctx.meta[TEAM] = team = Team(world, store=store)
        ctx.call_on_close(team.close)
    elif rank:
        if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
            command = ctx.invoked_subcommand
            print_message(
                f"process {rank} of {world}, by RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, has no part in "
                f"`curate {command}`, which process 0 runs alone; unset them if this is one process"
            )
        raise typer.Exit(0)


@contextmanager
def resumable(ctx: typer.Context, store: Store, begun: Run | None = None) -> Iterator[None]:
    """On Ctrl-C, print what was kept and the command that goes on, and exit with 130.

    Args:
        begun: the run that is continued; None if a new one is to begin.

    Raises:
        LostProcessError: another process has ended; the hint has the command that goes on.
    """
    kind = str(ctx.command.name)
    before = {run.run_id for run in store.runs.all(kind=kind)} if store.path.exists() else set()
    before -= {begun.run_id} if begun else set()

    def going_on() -> tuple[str, str]:
        """The run that was begun and the command that goes on with it, '' if there is none."""
        runs = store.runs.all(kind=kind) if store.path.exists() else []
        mine = [run.run_id for run in runs if run.status != "done" and run.run_id not in before]
        if not mine:
            return "", ""
        team = "the same torchrun and " if TEAM in ctx.meta else ""
        return mine[0], f"{team}`curate {kind} --resume --run {quote(mine[0])}{_typed(ctx, *HOW)}`"

    try:
        yield
    except KeyboardInterrupt:
        name, command = going_on()
        if name:
            print_message(f"interrupted: {name} keeps every finished epoch; go on with {command}")
        else:
            print_message("interrupted: no run was begun; media decoded so far are kept for the next time")
        raise typer.Exit(130) from None
    except LostProcessError as error:
        name, command = going_on()
        if name:
            error.hint = f"{name} keeps every finished epoch; go on with {command}; with fewer if memory was short"
        raise


def _typed(ctx: typer.Context, *names: str) -> str:
    """Those of a command's options of these names that were typed, to be typed again."""
    typed = [name for name in names if is_from(ctx, "COMMANDLINE", name)]
    return "".join(f" --{name} {quote(str(ctx.params[name]))}" for name in typed)


@contextmanager
def repeatable(name: str) -> Iterator[None]:
    """On Ctrl-C, print how to go on, and exit with 130."""
    try:
        yield
    except KeyboardInterrupt:
        print_message(f"interrupted: {name} keeps its finished cells and epochs; the same command goes on from there")
        raise typer.Exit(130) from None


def unfinished(store: Store, kind: str, run: str | None, **where: str | None) -> Run:
    """The newest run of a kind that is not done; one that begins anew, see `begins_anew`, only by its name.

    Raises:
        CurateError: there is none.
    """
    from curate.store.runs import begins_anew

    if run is not None:
        store.runs.find(run)  # an unknown name has its own error
    for found in store.runs.all(kind=kind, run_id=run, **{k: v or None for k, v in where.items()}):
        if found.status != "done" and (run is not None or not begins_anew(found)):
            return found
    raise CurateError(f"no unfinished {kind} run to resume", "see `curate runs`")


def need_model(run: Run) -> None:
    """Refuse a run that was scored from saved predictions, since the command needs a model."""
    if run.method == "predictions":
        raise CurateError(
            f"{run.run_id} was scored from saved predictions: there is no model to go on with",
            "name a run of `curate score --dataset NAME` with --run, or `curate select -o ids.txt` and train elsewhere",
        )
