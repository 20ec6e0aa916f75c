"""Tensors of a local file, loaded as data only."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from curate.errors import CurateError

HINT = "expected the state_dict of the same network, .pt, .pth, .bin or .safetensors"


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a file by name; those under `state_dict` if the file has such a key.

    Raises:
        CurateError: it is missing, cannot be read as data only, or contains something else.
    """
    if not path.is_file():
        raise CurateError(f"no weights at {path}", "give a local file, model.weights=MODALITY=FILE")
    if path.suffix == ".safetensors":
        return {k.removeprefix("module."): v for k, v in _safetensors(path).items()}
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise CurateError(f"{path} cannot be loaded as weights: {first}", HINT) from None
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise CurateError(f"{path} holds no state_dict", HINT)
    return {str(k).removeprefix("module."): v for k, v in content.items()}


def _safetensors(path: Path) -> Mapping[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise CurateError(f"{path} needs the package safetensors", "pip install 'curate-mm[text]'") from None
    try:
        result: Mapping[str, Tensor] = load_file(path)
        return result
    except SafetensorError as error:
        raise CurateError(f"{path} cannot be loaded as weights: {error}", HINT) from None


def differences(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """A phrase for each tensor that is missing, left over, or of another shape."""
    wrong = [f"{k} is missing" for k in wanted if k not in given]
    wrong += [f"{k} is left over" for k in given if k not in wanted]
    return wrong + [
        f"{k} is {tuple(given[k].shape)}, expected {tuple(v.shape)}"
        for k, v in wanted.items()
        if k in given and given[k].shape != v.shape
    ]


def listed(names: list[str], most: int = 3) -> str:
    """The first of some names, and how many there are."""
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")
