"""The command line: assembles the commands of `curate.commands` and `curate.train.commands`; the one error handler.

A command parses its options, makes one call, and prints. Heavy imports are inside the bodies.
"""

# ruff: noqa: E402

from __future__ import annotations

import signal
import sys

STARTED = __name__ == "__main__" or sys.argv[0].endswith("/curate")
if STARTED and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends at once until `main` handles it

import io
import os
import threading
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import curate.commands
import curate.train.commands
from curate.commands import precedence
from curate.commands.messages import print_message
from curate.commands.query import QueryCommand
from curate.errors import CurateError
from curate.train.commands.opening import under_torchrun

FIRST = (
    "demo",
    "datasets",
    "prepare",
    "score",
    "select",
    "selections",
    "train",
    "evaluate",
    "compare",
    "recommend",
    "improve",
    "selfcheck",
    "report",
    "view",
    "sql",
    "runs",
    "merge",
    "table",
    "methods",
    "export",
    "doctor",
)
"""The order of `curate --help`; commands not named here follow."""

FIRST_STEPS = """\
curate finds the samples of a multimodal training set that one modality carries
alone or that are broken on one side, and trains with that knowledge.

See it on the built-in data, in about two minutes:
    curate demo

Your own data: a CSV with a row a sample and a column for each modality
    curate score --dataset manifest --root clips.csv
or predictions of your own model
    curate score --predictions predictions.csv

Then
    curate recommend                    what was found, and what to do about it
    curate report                       the same as a page, with the samples
    curate select                       keep the samples that the scores support
    curate train --method adaptive      train with what is known of each sample
    curate sql "SELECT * FROM samples"  ask anything
"""
"""Printed where no command is given."""
NOT_BEGUN = "interrupted: nothing was begun"


class Commands(TyperGroup):
    """All commands; a Ctrl-C that a command has no words for ends with these."""

    def make_context(self, *args: Any, **options: Any) -> Any:
        """What is read before the command that was typed begins, settings among it."""
        try:
            return super().make_context(*args, **options)
        except KeyboardInterrupt:
            print_message(NOT_BEGUN)
            raise typer.Exit(130) from None

    def invoke(self, ctx: Any) -> object:
        """Run the command that was typed."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print_message("interrupted: what was stored before is as it was")
            raise typer.Exit(130) from None


AGAIN = 0.05
"""Seconds after which an interrupt that was dropped comes again."""

app = typer.Typer(
    name="curate",
    cls=Commands,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    help="Find the samples of a multimodal training set that one modality carries alone, query them with SQL, and "
    "train with that knowledge.",
    epilog="Exit codes: 0 done, 1 error, 2 usage, 3 done but some samples failed, 4 table locked or run in use, "
    "5 empty selection, 130 interrupted.",
)


def main() -> None:
    """Run the command line; the one place where errors are printed."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, interrupt)
    try:
        sys.unraisablehook = repeat_interrupt
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # prints names outside the terminal's encoding
        # Waiting threads sleep: where others compute too, spinning ones slow a training down several times.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        " ".join(sys.argv).encode()  # a name that is not valid text cannot be stored
        command()()
    except KeyboardInterrupt:  # while the commands were made
        print_message(NOT_BEGUN)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (CurateError, OSError, UnicodeError, MemoryError) as error:
        if os.environ.get("CURATE_DEBUG") == "1":
            raise
        shown = as_user_error(error)
        print_message("error: " + " ".join(shown.message.split()))
        print_message("hint: " + " ".join((shown.hint or "CURATE_DEBUG=1 shows where").split()))
        sys.exit(shown.exit_code)


def interrupt(_: int, frame: FrameType | None) -> None:
    """Do at SIGTERM what Ctrl-C would do now."""
    usual = signal.getsignal(signal.SIGINT)
    if callable(usual):
        usual(signal.SIGINT, frame)


def repeat_interrupt(lost: sys.UnraisableHookArgs) -> None:
    """Let a Ctrl-C come again that fell into the end of an object, where Python drops every error."""
    if lost.exc_type is KeyboardInterrupt:
        threading.Timer(AGAIN, os.kill, (os.getpid(), signal.SIGINT)).start()
    else:
        sys.__unraisablehook__(lost)


@cache
def command() -> Callable[[], object]:
    """All commands with their options, which takes longer to make than most commands take."""
    return typer.main.get_command(app)


def as_user_error(error: Exception) -> CurateError:
    """Any handled error as a `CurateError`: one line and a hint."""
    if isinstance(error, CurateError):
        return error
    if isinstance(error, UnicodeError):
        return CurateError(f"a name or an argument is no text in UTF-8: {error}", "write it in UTF-8")
    if isinstance(error, MemoryError):
        return CurateError(f"there is not enough memory: {error}", "give it less at once, or a machine with more")
    said = getattr(error, "strerror", None) or str(error)
    where = getattr(error, "filename", None)
    told = f"{where}: {said}" if where else said
    return CurateError(told, "check the path, who may read and write there, and the space left on the disk")


def version(wanted: bool) -> None:
    """Print the version and exit."""
    if wanted:
        from importlib.metadata import version as installed

        typer.echo(f"curate {installed('curate-mm')}")
        raise typer.Exit


@app.callback()
def start(
    ctx: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", callback=version, is_eager=True, help="Version.")] = False,
) -> None:
    """Options left out come from CURATE_* variables, then from ./curate.toml."""
    if ctx.invoked_subcommand is None:
        typer.echo(f"{FIRST_STEPS}\nAll commands: `curate --help`; of one: `curate score --help`.")
        raise typer.Exit(2)

    under_torchrun(ctx)

    def methods() -> Sequence[str]:
        from curate.train.methods import catalog

        return catalog.names()

    commands = getattr(ctx.command, "commands", {})
    if ctx.invoked_subcommand != "doctor":
        precedence.check_variables(commands, print_message)
    ctx.obj = precedence.read_project(Path("curate.toml"), methods)
    ctx.default_map = precedence.command_defaults(ctx.obj, commands)


def add_commands() -> None:
    """Add every command of every module in the two packages; there is no list to edit."""
    found = {}
    for package in (curate.commands, curate.train.commands):
        for info in iter_modules(package.__path__):
            for command in getattr(import_module(f"{package.__name__}.{info.name}"), "COMMANDS", ()):
                found[command.__name__] = command
    for name in sorted(found, key=lambda n: (FIRST.index(n) if n in FIRST else len(FIRST), n)):
        app.command(name, cls=QueryCommand if name == "sql" else None)(found[name])


add_commands()

if __name__ == "__main__":
    main()
