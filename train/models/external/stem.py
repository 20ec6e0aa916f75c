"""The first convolution of a picture network, and the checks of tensors from a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from curate.errors import CurateError

from ..tensors import HINT, differences, listed, read_weights


def stem_of(net: nn.Module) -> tuple[str, nn.Module] | None:
    """The first convolution over pictures or clips and its name; None if there is none."""
    return next(((k, m) for k, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Conv3d)), None)


@torch.no_grad()
def adapt_stem(net: nn.Module, channels: int) -> str:
    """Let a network read another number of channels; returns what was done, '' for nothing.

    One channel gets the sum of the weights, which is what the network computes for a grey picture in all channels. Any
    other number repeats them, times the quotient of the numbers, so that the activations keep their scale.

    Raises:
        CurateError: the network does not begin with a convolution.
    """
    found = stem_of(net)
    if found is None:
        raise CurateError(f"it has no convolution that could read {channels} channels", "use --set data.channels=3")
    stem = found[1]
    assert isinstance(stem, nn.Conv2d | nn.Conv3d)
    weight, before = stem.weight, stem.in_channels
    if before == channels:
        return ""
    if stem.groups != 1:
        raise CurateError(
            f"its first convolution is grouped, and cannot read {channels} channels", "use --set data.channels=3"
        )
    if channels == 1:
        fresh, what = weight.sum(dim=1, keepdim=True), "the sum of the weights"
    else:
        repeated = torch.cat([weight] * -(-channels // before), dim=1)
        fresh, what = repeated[:, :channels] * (before / channels), f"the weights repeated, times {before}/{channels}"
    stem.weight, stem.in_channels = nn.Parameter(fresh.contiguous()), channels
    for part in net.modules():  # Hugging Face's embeddings check it
        if getattr(part, "num_channels", None) == before:
            part.num_channels = channels  # type: ignore[assignment]
    return f"its stem for {before} channels reads {channels}: {what}"


def fit_file(net: nn.Module, path: Path, name: str, heads: Iterable[str], channels: int) -> list[str]:
    """Overwrite a network's weights by those of a file; returns what was done.

    Args:
        net: the network, with the stem it was published with.
        heads: prefixes of tensors that may be left over: those of a classifier.
        channels: if the file's stem reads so many, the network's will too.

    Raises:
        CurateError: the file is missing or no state_dict, or does not fit.
    """
    return fit_tensors(net, read_weights(path), str(path), name, heads, channels)


def fit_tensors(
    net: nn.Module, found: Mapping[str, Tensor], source: str, name: str, heads: Iterable[str], channels: int
) -> list[str]:
    """`fit_file` for tensors that have been read from `source`."""
    wanted, prefixes = net.state_dict(), tuple(heads)
    given = {k: v for k, v in found.items() if k in wanted or not (prefixes and k.startswith(prefixes))}
    stem = stem_of(net)
    if stem and f"{stem[0]}.weight" in given and given[f"{stem[0]}.weight"].shape[1] == channels:
        adapt_stem(net, channels)
        wanted = net.state_dict()
    if wrong := differences(wanted, given):
        fitting = sum(k in wanted and wanted[k].shape == v.shape for k, v in given.items())
        raise CurateError(
            f"{source} does not fit {name}: of {len(wanted)} tensors expected, {fitting} are among the {len(given)} "
            f"found; {wrong[0]}",
            HINT,
        )
    net.load_state_dict(given)
    left = sorted(found.keys() - given.keys())
    return [f"{len(given)} tensors of {source}", *([f"left over: {listed(left)}"] if left else [])]
