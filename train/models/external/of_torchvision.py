"""Networks of torchvision: `torchvision:NAME`, of pictures or of clips."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models
from typing_extensions import override

from curate.errors import CurateError, first_line, unknown_name

from .description import Description
from .libraries import weights_in
from .stem import fit_file, fit_tensors

HEADS = ("fc", "classifier", "heads", "head")
OTHERS = ("inception_v3", "googlenet", "squeezenet1_0", "squeezenet1_1", "s3d")
"""Classifiers that do not end in one linear layer on pooled features."""


class OfClips(nn.Module):
    """A network of (B, C, F, H, W), for clips (B, F, C, H, W)."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    @override
    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.net(x.transpose(1, 2))
        return result


def describe(name: str) -> Description:
    """An encoder of torchvision with the default weights of its name.

    Raises:
        CurateError: there is no such classifier.
    """
    known = [n for n in models.list_models() if _kind(n) and n not in OTHERS]
    if name not in known:
        raise unknown_name("network of torchvision", name, known)
    published = models.get_model_weights(name).DEFAULT
    seen = published.transforms()
    crop = list(seen.crop_size)
    return Description(
        name=f"torchvision:{name}",
        source=name,
        reads="clip" if _kind(name) == "video" else "picture",
        size=(crop[0], crop[-1]),
        fixed=name.startswith(("vit_", "maxvit", "mvit", "swin3d")),
        frames=published.meta.get("min_temporal_size") if name.startswith("mvit") else None,
        mean=seen.mean,
        std=seen.std,
    )


def build(description: Description) -> nn.Module:
    """The network without its last linear layer, from random weights."""
    net: Any = models.get_model(description.source, weights=None)
    _behead(net)
    return OfClips(net) if description.reads == "clip" else net


def load(description: Description, weights: Path | None, channels: int) -> tuple[nn.Module, list[str]]:
    """The network with its weights, and what was done.

    Raises:
        CurateError: they cannot be had, or do not fit.
    """
    net = build(description)
    inner = net.net if isinstance(net, OfClips) else net
    if weights is not None:
        return net, fit_file(inner, weights_in(weights), description.name, HEADS, channels)
    published = models.get_model_weights(description.source).DEFAULT
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(published.url).name
    try:
        if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0") and not file.exists():
            raise OSError(f"{file} does not exist, and HF_HUB_OFFLINE is set")
        tensors = published.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise CurateError(
            f"the weights of {description.name} cannot be had: {first_line(error)}",
            "name a local file with model.weights=MODALITY=FILE, or start at random with model.weights=MODALITY=random",
        ) from None
    return net, fit_tensors(inner, tensors, f"torchvision's {published}", description.name, HEADS, channels)


def _kind(name: str) -> str:
    """`picture` or `video` of a classifier, '' of anything else."""
    module = models.get_model_builder(name).__module__
    if ".detection" in module or ".segmentation" in module or ".optical_flow" in module or ".quantization" in module:
        return ""
    return "video" if ".video" in module else "picture"


def _behead(net: nn.Module) -> None:
    """Replace the last linear layer by nothing."""
    head = next(name for name in HEADS if hasattr(net, name))
    last = [k for k, m in net.named_modules() if isinstance(m, nn.Linear) and (k == head or k.startswith(f"{head}."))][
        -1
    ]
    parent, _, leaf = last.rpartition(".")
    setattr(net.get_submodule(parent) if parent else net, leaf, nn.Identity())
