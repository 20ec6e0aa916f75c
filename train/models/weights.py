"""Weights of an encoder from a local file, loaded as data only."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from curate.errors import CurateError

from .encoders import Projected

CLASSIFIER = "fc."  # of torchvision's networks; ours have no classes of their own
HINT = "expected the state_dict of the same torchvision network and number of channels, .pt, .pth or .safetensors"


def load_encoder(encoder: nn.Module, path: Path) -> None:
    """Overwrite the weights of an encoder; a final classifier in the file is left out.

    Raises:
        CurateError: the file is missing or no state_dict, or a tensor is missing, left over or of another shape.
    """
    own = encoder.encoder if isinstance(encoder, Projected) else encoder
    net = own if hasattr(own, "head") else own.get_submodule("net")
    given = {k.removeprefix("module."): v for k, v in read_weights(path).items()}
    given = {k: v for k, v in given.items() if not k.startswith(CLASSIFIER)}
    wanted = net.state_dict()
    wrong = [f"{k} is missing" for k in wanted if k not in given]
    wrong += [f"{k} is left over" for k in given if k not in wanted]
    wrong += [
        f"{k} is {tuple(given[k].shape)}, expected {tuple(v.shape)}"
        for k, v in wanted.items()
        if k in given and given[k].shape != v.shape
    ]
    if wrong:
        raise CurateError(f"{path} does not fit: {wrong[0]}; {len(wrong)} tensors differ", HINT)
    net.load_state_dict(given)


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a file by name; those under `state_dict` if the file has such a key.

    Raises:
        CurateError: it is missing, cannot be read as data only, or contains something else.
    """
    if not path.is_file():
        raise CurateError(f"no weights at {path}", "give a local file, model.weights=MODALITY=FILE")
    if path.suffix == ".safetensors":
        return _safetensors(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise CurateError(f"{path} cannot be loaded as weights: {first}", HINT) from None
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise CurateError(f"{path} holds no state_dict", HINT)
    return content


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
