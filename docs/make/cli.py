"""The page of the command line, from the Typer application: every command, argument, option, variable and default."""

from __future__ import annotations

from typing import Any

from typer.main import get_command

from curate import cli

from .text import code, sentence, table

HEAD = """\
# Command line

`curate COMMAND --help` prints the same. This page is made from the commands themselves.

Options left out come from the environment variable in the table, then from `./curate.toml`, then from the defaults, see
[Settings](settings.md). Results go to standard output; progress and remarks go to standard error. `curate` alone prints
first steps; `curate --version` prints the version; `curate --install-completion` sets up the completion of your shell.
`--db` (or `CURATE_DB`) names the table. Commands use the newest run that fits, unless `--run` names one. How commands
end: [Exit codes](exit-codes.md).
"""


def page() -> str:
    """Its Markdown."""
    group = get_command(cli.app)
    return "\n".join([HEAD, *(_command(name, command) for name, command in group.commands.items())])


def _command(name: str, command: Any) -> str:
    shown = [p for p in command.params if p.name != "help" and not getattr(p, "hidden", False)]
    arguments = [p for p in shown if p.param_type_name == "argument"]
    options = [p for p in shown if p.param_type_name == "option"]
    words = [_metavar(p) for p in arguments]
    parts = [f"## curate {name}\n", sentence(command.help) + "\n"]
    parts.append(
        f"<!-- not run: a pattern of words -->\n```text\ncurate {' '.join([name, *words, '[OPTIONS]'])}\n```\n"
    )
    if arguments:
        parts.append(table(["argument", "what it is"], [[code(_metavar(p)), p.help] for p in arguments]))
    rows = [[_names(p), p.help, _default(p), code(p.envvar or "")] for p in options]
    parts.append(table(["option", "what it does", "default", "variable"], rows, "options"))
    return "\n".join(parts)


def _metavar(argument: Any) -> str:
    name = (argument.metavar or argument.name).upper().strip("[]")
    name += "..." if argument.nargs != 1 else ""
    return name if argument.required else f"[{name}]"


def _names(option: Any) -> str:
    """`--top, -t N`, or `--yes / --no`."""
    names = ", ".join(code(name) for name in option.opts)
    if getattr(option, "is_flag", False):
        return names + "".join(f" / {code(name)}" for name in option.secondary_opts)
    return f"{names} {code(option.metavar)}" if option.metavar else names


def _default(option: Any) -> str:
    if option.required:
        return "required"
    value = option.default() if callable(option.default) else option.default
    return "" if value is None or value is False or value in ([], (), "") else code(value)
