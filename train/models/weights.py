"""Weights of an encoder from a local file, loaded as data only."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from curate.errors import CurateError, counted

from .encoders import Projected
from .tensors import differences, listed, read_weights

CLASSIFIER = "fc."  # of torchvision's networks; ours have no classes of their own
HINT = "expected the state_dict of the same network and number of channels, .pt, .pth or .safetensors"


def load_encoder(encoder: nn.Module, path: Path) -> str:
    """Overwrite the weights of an encoder; a final classifier in the file is left out. Returns what was done.

    Raises:
        CurateError: the file is missing or no state_dict, or a tensor is missing, left over or of another shape.
    """
    own = encoder.encoder if isinstance(encoder, Projected) else encoder
    net = own if hasattr(own, "head") or not hasattr(own, "net") else own.get_submodule("net")
    found = read_weights(path)
    given = {k: v for k, v in found.items() if not k.startswith(CLASSIFIER)}
    if wrong := differences(net.state_dict(), given):
        raise CurateError(
            f"{path} does not fit: {wrong[0]}; {counted(len(wrong), 'tensor differs', 'tensors differ')}", HINT
        )
    net.load_state_dict(given)
    left = sorted(found.keys() - given.keys())
    return f"{len(given)} tensors of {path}" + (f"; left over: {listed(left)}" if left else "")
