"""The known data sets: every `Dataset` class in this folder is found automatically, there is no list to edit."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

from curate.errors import unknown_name
from curate.types import data_kind

from .base import SPLITS, Dataset

__all__ = ["SPLITS", "Dataset", "find", "full_name", "names", "own_name"]


def names() -> tuple[str, ...]:
    """Names of all data sets, ascending."""
    return tuple(sorted(_found()))


def find(name: str) -> type[Dataset]:
    """The class of a data set, of `manifest.cars` that of `manifest`; dashes may stand for underscores.

    Raises:
        CurateError: no data set has this name; the hint gives the nearest one.
    """
    found = _found()
    name = data_kind(name).replace("-", "_")
    if name not in found:
        raise unknown_name("data set", name, found)
    return found[name]


def own_name(name: str) -> dict[str, dict[str, str]]:
    """The settings that a name stands for beside its kind, of `manifest.cars` `data.name=cars`; {} where it is none."""
    own = name.partition(".")[2]
    return {"data": {"name": own}} if own else {}


def full_name(name: str) -> str:
    """A typed name as it is stored: that of its kind and, after a dot, the data's own.

    Raises:
        CurateError: no data set has this name.
    """
    own = name.partition(".")[2]
    return f"{find(name).name}.{own}" if own else find(name).name


def _found() -> dict[str, type[Dataset]]:
    """{name: class} of every module here; modules import heavy packages only inside their functions."""
    modules = [importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__)]
    return {
        value.name: value
        for module in modules
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, Dataset)
        and value.__module__ == module.__name__
        and not inspect.isabstract(value)
    }
