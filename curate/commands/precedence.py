"""Where a value comes from: the command line, then CURATE_* variables, then ./curate.toml, then defaults.

Options of a command are at the top of curate.toml, settings in the sections that `--set` has too, and those of a
method in [method.NAME]. A context is the object that the command line's parser passes to a command: values, and where
each comes from.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from curate.config import Layer, parse_set, read_toml
from curate.errors import CurateError, shorten, unknown_name

SECTIONS = ("data", "model", "optim", "score", "train", "method")
NEVER_DEFAULT = {"help", "set", "resume", "replace", "refit"}
"""Options that a file may not set: they must be given each time, or there are sections for them."""
READ_ELSEWHERE = ("CURATE_DEBUG",)
"""Variables of the environment that are no options."""
OF_TESTS = ("CURATE_TEST_", "CURATE_FUZZ", "CURATE_LONG")
"""What begins so is for the project's tests."""
MISSPELT = 0.9
"""A name that is as similar to a known one is a misspelt one."""
ABOUT_WARM_UP = (
    "root",
    "split_variant",
    "drop_leaks",
    "epochs",
    "folds",
    "features",
    "checkpoint",
    "resume",
    "run",
    "seed",
)
ABOUT_MODEL = (*ABOUT_WARM_UP, "device", "precision", "workers", "processes", "engine", "cache", "max_cache_gb")


def read_project(path: Path, methods: Callable[[], Sequence[str]]) -> Mapping[str, Any]:
    """The content of curate.toml, {} without one.

    Args:
        methods: returns the names of the methods; called only when the file has a section for a method.

    Raises:
        CurateError: it is not TOML, or has a section that nothing reads.
    """
    content = read_toml(path)
    for name, value in content.items():
        if isinstance(value, dict) and name not in SECTIONS:
            raise unknown_name(f"section in {path}", name, SECTIONS)
        if name in SECTIONS and not isinstance(value, dict):
            raise CurateError(f"{path}: {name} is a section", f"write [{name}], and its keys below it")
    for name, value in content.get("method", {}).items():
        if name not in methods() or not isinstance(value, dict):
            raise unknown_name(f"section in {path}", f"method.{name}", (f"method.{n}" for n in methods()))
    return content


def command_defaults(content: Mapping[str, Any], commands: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """{command: {parameter: value}} from the options at the top of curate.toml; each goes to the commands that have it.

    Raises:
        CurateError: no command has such an option.
    """
    parameters = {
        command: {
            max(p.opts, key=len).removeprefix("--"): p.name for p in parsed.params if p.param_type_name == "option"
        }
        for command, parsed in commands.items()
    }
    known = {option for own in parameters.values() for option in own} - NEVER_DEFAULT
    options = {k: v for k, v in content.items() if k not in SECTIONS}
    for name in options:
        if name not in known:
            raise unknown_name("option in curate.toml", name, known)
    return {command: {own[k]: v for k, v in options.items() if k in own} for command, own in parameters.items()}


def check_variables(commands: Mapping[str, Any], message: Callable[[str], None]) -> None:
    """Say which variables of the environment begin with CURATE_ but have no effect.

    Raises:
        CurateError: one is nearly the name of one that is read.
    """
    named = [p.envvar for parsed in commands.values() for p in parsed.params if isinstance(p.envvar, str)]
    known = {*named, *READ_ELSEWHERE}
    for name in sorted(os.environ):
        if not name.startswith("CURATE_") or name.startswith(OF_TESTS) or name in known:
            continue
        if get_close_matches(name, known, n=1, cutoff=MISSPELT):
            raise unknown_name("variable of the environment", name, known)
        message(f"{name} has no effect; settings go by CURATE_SET, e.g. CURATE_SET='score.gap=kl data.size=64'")


def project(context: Any) -> Mapping[str, Any]:
    """The content of curate.toml, read when the command line started."""
    return context.obj or {}


def is_from(context: Any, source: str, parameter: str) -> bool:
    """Whether a parameter's value comes from COMMANDLINE, ENVIRONMENT or DEFAULT_MAP, which is curate.toml."""
    found = context.get_parameter_source(parameter)
    return found is not None and found.name == source


def layers(
    context: Any,
    sections: Sequence[str],
    method_name: str | None = None,
    **options: Mapping[str, str],
) -> list[Layer]:
    """Settings in rising precedence: curate.toml, CURATE_SET, the command line.

    Sections of other commands are ignored in the file and in the variable; on the command line they are an error.

    Args:
        context: of the command, with a parameter `settings`; its `obj` is the content of curate.toml.
        sections: those the command has.
        method_name: the method whose section is used, where `method` is among the sections.
        options: {section: {key: parameter}} for the parameters that stand for a setting.

    Raises:
        CurateError: a section that the command lacks, or an option and --set that give a setting two values.
    """
    file = {k: v for k, v in project(context).items() if k in sections}
    if "method" in file:
        file["method"] = file["method"].get(method_name, {})
    variable = parse_set(os.environ.get("CURATE_SET", "").split(), sections)
    typed = typed_settings(context, sections)
    for section in {**variable, **typed}:
        if section not in SECTIONS:
            raise unknown_name("section", section, sections)
        if section in typed and section not in sections:
            raise CurateError(
                f"{context.command.name} has no setting {section}.{next(iter(typed[section]))}",
                f"its sections: {', '.join(sections)}; the others are of other commands",
            )

    for section, keys in options.items():
        for key, parameter in keys.items():
            if is_from(context, "COMMANDLINE", parameter):
                refuse_contradiction(context, parameter, context.params[parameter], typed, f"{section}.{key}")

    def given(source: str) -> Layer:
        return {
            section: {k: context.params[p] for k, p in keys.items() if is_from(context, source, p)}
            for section, keys in options.items()
            if section != "method" or source == "COMMANDLINE"
        }

    return [
        file,
        given("DEFAULT_MAP"),
        {k: v for k, v in variable.items() if k in sections},
        given("COMMANDLINE"),
        typed,
    ]


def refuse_contradiction(context: Any, parameter: str, value: Any, typed: Layer, setting: str) -> None:
    """Refuse --set of a setting with another value than the one that an option gives it."""
    section, _, key = setting.partition(".")
    other = typed.get(section, {}).get(key, value)
    if other != value:
        raise contradiction(_typed(context, parameter), f"--set {setting}={_shown(other)}")


def refuse_other_value(context: Any, parameter: str, value: Any, beside: str) -> None:
    """Refuse an option on the command line whose value is not the one that another option there stands for."""
    if is_from(context, "COMMANDLINE", parameter) and context.params[parameter] != value:
        raise contradiction(_typed(context, beside), _typed(context, parameter))


def contradiction(one: str, other: str) -> CurateError:
    """The error for two options that give a setting two values."""
    return CurateError(f"{one} and {other} contradict each other", "leave one of them out")


def typed_settings(context: Any, sections: Sequence[str]) -> Layer:
    """What `--set` says on the command line of a command that has these sections."""
    return parse_set(context.params["settings"] if is_from(context, "COMMANDLINE", "settings") else (), sections)


def _typed(context: Any, parameter: str) -> str:
    """An option as it was typed."""
    found = next(p for p in context.command.params if p.name == parameter)
    option = max(found.opts, key=len)
    return option if found.is_flag else f"{option} {_shown(context.params[parameter])}"


def _shown(value: Any) -> str:
    return shorten(str(value).lower() if isinstance(value, bool) else str(value)).strip("'\"")


def refuse_beside_predictions(context: Any) -> None:
    """Saved predictions need no model: refuse options about a model on the command line."""
    why = "--predictions scores what is in the file"
    _refuse_other(context, ABOUT_MODEL, why)
    _refuse_settings(context, (), why)


def refuse_beside_refit(context: Any) -> None:
    """A run's stored scores are fitted again: refuse options about another run or a model on the command line."""
    other = (*ABOUT_MODEL, "dataset", "predictions", "embeddings", "media")
    why = "--refit fits what the named run kept"
    _refuse_other(context, other, why)
    _refuse_settings(context, ("values",), why)


def refuse_beside_features(context: Any) -> None:
    """A folder of features is a data set of its own: refuse another data set or a run on the command line."""
    _refuse_other(
        context, ("dataset", "root", "resume", "run"), "--features DIR stands for --dataset features --root DIR"
    )


def refuse_beside_resume(context: Any, *parameters: str) -> None:
    """A resumed run continues with its own settings: refuse those given on the command line."""
    _refuse(
        context,
        parameters,
        "--resume goes on with the run's own settings, {option} cannot change them",
        "leave {option} out, or begin a new run without --resume",
    )


def refuse_beside_missing(context: Any, *parameters: str) -> None:
    """New samples are scored as the old ones were: refuse settings given on the command line."""
    _refuse(
        context,
        parameters,
        "--only-missing scores as the newest scored run did, {option} cannot change that",
        "leave {option} out, or score all of it again without --only-missing",
    )


def _refuse_settings(context: Any, more: Sequence[str], why: str) -> None:
    """Refuse settings about a model, and `more` of section `score`, in --set on the command line."""
    from curate.predictions.score import WARM_UP

    for section, values in typed_settings(context, ("score",)).items():
        for key in values:
            if key in (*WARM_UP, *more) if section == "score" else section in SECTIONS:
                option = f"--set {section}.{key}"
                raise CurateError(f"{why}, {option} has no part in it", f"leave {option} out")


def _refuse_other(context: Any, parameters: Sequence[str], why: str) -> None:
    _refuse(context, parameters, why + ", {option} has no part in it", "leave {option} out")


def _refuse(context: Any, parameters: Sequence[str], message: str, hint: str) -> None:
    """Refuse parameters that are given on the command line; both texts name the `{option}`."""
    for parameter in context.command.params:
        if parameter.name in parameters and is_from(context, "COMMANDLINE", parameter.name):
            option = max(parameter.opts, key=len)
            raise CurateError(message.format(option=option), hint.format(option=option))
