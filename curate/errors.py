"""Errors shown to users: each states what was expected, what was found, and what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

MOST_NAMES, LONGEST, SHORT = 20, 200, 60
IN_JSON = re.compile(r'"exception_message": *("(?:[^"\\]|\\.)*")')
"""The words of DuckDB's errors of files that it writes in several threads."""
PYDANTIC = re.compile(r"^(?:Value|Assertion) error, ")
"""What pydantic writes before the words of those who use it."""
OPTION = re.compile(r"`[^`]*`|--set [a-z_]+\.([a-z_]+)=(\w+)|--([a-z]+(?:-[a-z]+)*)(?: ([0-9.]*[0-9]))?")
"""A command, which is left as it is, a setting with its value, or an option, with its value where that is a number."""
COMMANDS_ALONE = ("predictions", "embeddings", "media", "folds", "refit", "checkpoint", "features")
"""Options of commands that no function takes."""
SWITCHES = ("replace", "allow-files", "only-missing", "whole-groups")


class CurateError(Exception):
    """A user's error, printed as one line and one hint, without a traceback.

    Python shows the hint below the message, in a traceback, with arguments in place of options.

    Attributes:
        message: what was expected and what was found.
        hint: what to do about it, as the command line says it.
        exit_code: the exit status of the command line.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(f"hint: {in_python(hint)}")


class LockedError(CurateError):
    """Another process has the sample table open for writing, or works on this run."""

    exit_code = 4


class NoTableError(CurateError):
    """There is no sample table in the place where one was to be opened."""


class EmptySelectionError(CurateError):
    """A rule kept no sample."""

    exit_code = 5


class NonFiniteError(CurateError):
    """A loss became NaN or infinite; the message names the samples of the batch."""


class LostProcessError(CurateError):
    """One of the processes of a command ended before the others."""


class UnansweredError(CurateError):
    """Several files in a row could not be reached on the machine that has them."""


class MediaError(Exception):
    """One modality of one sample cannot be used: it is recorded with its sample and never ends a run.

    Attributes:
        status: `missing`, `unreachable`, `unreadable`, `lfs_pointer`, `empty`, `undecodable`, `decoder_crashed`,
            `no_audio`, `no_video`, `silent`, `too_short`, `too_long`, `too_large`, `too_many_channels`, `truncated`,
            `out_of_range`, `empty_event`, `not_finite`, `no_label` or `dropped_leak`.
        reason: one sentence for the table.
    """

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason


def in_python(hint: str) -> str:
    """A hint with arguments in place of options: `per_class=100` for `--per-class 100`; commands in backticks stay."""
    return OPTION.sub(_argument, hint)


def _argument(found: re.Match[str]) -> str:
    key, value, name, number = found.groups()
    if key:
        return f"{key}={value if value.isdigit() else repr(value)}"
    if name is None or name in COMMANDS_ALONE:
        return found[0]
    if name == "db":
        return "curate.open(PATH)"
    if name in SWITCHES:
        return f"{name.replace('-', '_')}=True"
    return name.replace("-", "_") + (f"={number}" if number else "")


def counted(count: int, one: str, several: str = "") -> str:
    """A number and what is counted, in the form that the number asks for: `1 row`, `2 rows`; `several` is `one` + s."""
    return f"{count} {one if count == 1 else several or f'{one}s'}"


def first_line(error: BaseException) -> str:
    """What another library says, on one line: its first, with the next where that ends in a colon.

    Of pydantic's errors, whose first line only counts, each setting and what is wrong with it; of DuckDB's that have
    their words in JSON, these.
    """
    faults = getattr(error, "errors", None)
    if callable(faults):
        named = [(".".join(map(str, f["loc"])), PYDANTIC.sub("", f["msg"])) for f in faults()]
        return "; ".join(f"{where}: {what}" if where else what for where, what in named)
    if found := IN_JSON.search(str(error)):
        return str(json.loads(found[1]))
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]


def shorten(value: Any) -> str:
    """The `repr` of a value, its middle left out where it is long; a number or text of numpy as one of Python."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()
    try:
        text = repr(value)
    except ValueError:  # a whole number of more digits than Python writes
        return "a number of thousands of digits"
    return text if len(text) <= SHORT else f"{text[: SHORT // 2]}...{text[-SHORT // 4 :]}"


def unknown_name(what: str, name: str, known: Iterable[str]) -> CurateError:
    """An error for a name that is not among `known`; the hint gives the nearest one."""
    names = sorted(known)
    nearest = get_close_matches(name[:LONGEST], names, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    shown = ", ".join(names[:MOST_NAMES]) + (f", ... ({len(names)} in all)" if len(names) > MOST_NAMES else "")
    return CurateError(f"unknown {what} {shorten(name)}", f"{hint}known: {shown or 'none'}")
