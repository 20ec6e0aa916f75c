"""Networks of a user's own: `module:FILE.py:FUNCTION`.

The function returns an nn.Module from a modality's input to features (B, D); it may take the input's spec. Weights are
as it returns them. `INPUT` in the same file may say what the module reads, with the names of `KEYS`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from curate.errors import CurateError, first_line, unknown_name
from curate.specs import InputSpec

from .description import Description
from .libraries import weights_in
from .stem import fit_file

KEYS = ("size", "channels", "mean", "std", "frames", "rate", "waveform")
"""Of `INPUT`: side in pixels, channels, normalisation, frames at once, Hz, and whether sound is read as a waveform."""


def describe(name: str) -> Description:
    """An encoder from a file, which is run.

    Raises:
        CurateError: there is no such file or function, or `INPUT` has unknown keys.
    """
    file, _, function = name.rpartition(":")
    path = Path(file).expanduser().resolve()
    if not file or not path.is_file():
        raise CurateError(
            f"module:{name}: there is no file {path}",
            "write module:FILE.py:FUNCTION, the function returns an nn.Module",
        )
    module = _run(path)
    if not callable(getattr(module, function, None)):
        own = [k for k, v in vars(module).items() if callable(v) and not k.startswith("_")]
        raise unknown_name(f"function in {path}:", function, own)
    wanted = dict(getattr(module, "INPUT", {}))
    if unknown := next((k for k in wanted if k not in KEYS), None):
        raise unknown_name(f"key of INPUT in {path}:", str(unknown), KEYS)
    size = wanted.get("size")
    pictures = "clip" if "frames" in wanted else "picture" if {"size", "mean", "std"} & wanted.keys() else "any"
    return Description(
        name=f"module:{name}",
        source=str(path),
        architecture={"function": function},
        reads="sound" if wanted.get("waveform") or "rate" in wanted else pictures,  # type: ignore[arg-type]
        size=(size, size) if isinstance(size, int) else size,
        fixed=size is not None,
        channels=wanted.get("channels", 3),
        mean=wanted.get("mean", ()),
        std=wanted.get("std", ()),
        frames=wanted.get("frames"),
        rate=wanted.get("rate"),
    )


def build(description: Description, spec: InputSpec) -> nn.Module:
    """What the function returns.

    Raises:
        CurateError: it fails, or returns something else.
    """
    path, function = Path(description.source), description.architecture["function"]
    if not path.is_file():
        raise CurateError(f"{description.name}: there is no file {path} any more", "its code makes the network")
    make = getattr(_run(path), function)
    try:
        net = make(spec) if inspect.signature(make).parameters else make()
    except Exception as error:  # a user's code may raise anything
        raise CurateError(
            f"{description.name} failed: {type(error).__name__}: {first_line(error)}", "call it in Python to see where"
        ) from error
    if not isinstance(net, nn.Module):
        raise CurateError(f"{description.name} returned {type(net).__name__}", "expected an nn.Module")
    return net


def load(description: Description, spec: InputSpec, weights: Path | None) -> tuple[nn.Module, list[str]]:
    """The module, with the weights of a file if one is given, and what was done."""
    net = build(description, spec)
    if weights is None:
        return net, [f"weights as {description.architecture['function']} returned them"]
    channels = getattr(spec, "channels", 1)
    return net, fit_file(net, weights_in(weights), description.name, (), channels)


def _run(path: Path) -> ModuleType:
    """The module of a file, run anew."""
    name = f"curate_module_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    found: Any = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(found)
    try:
        found.loader.exec_module(module)
    except Exception as error:  # a user's code may raise anything
        raise CurateError(
            f"{path} cannot be run: {type(error).__name__}: {first_line(error)}", "run it by itself"
        ) from error
    return module
