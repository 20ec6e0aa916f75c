"""Names of modalities as names of parts of a network."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from curate.errors import CurateError


def check_names(modalities: Iterable[str]) -> None:
    """Check that parts of a network can have the names of these modalities.

    Raises:
        CurateError: one is the name of an attribute that every `ModuleDict` has, such as `values` or `type`.
    """
    attributes = set(dir(nn.ModuleDict()))
    if wrong := [m for m in modalities if m in attributes]:
        raise CurateError(
            f"a modality of a network cannot have the name {wrong[0]!r}: PyTorch's modules have an attribute of it",
            f"give the modality another name, e.g. {wrong[0]}_1",
        )
