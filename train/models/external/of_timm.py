"""Networks of timm: `timm:NAME`, `timm:NAME.TAG`, or `timm:FOLDER` as its `save_for_hf` writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import nn

from curate.errors import CurateError, first_line, unknown_name

from .description import Description
from .libraries import folder_of, library, weights_in
from .stem import fit_file, fit_tensors


def describe(name: str) -> Description:
    """An encoder of timm; reads its list of networks, or a folder's `config.json`, and no weights.

    Raises:
        CurateError: timm is not installed, or there is no such network or folder.
    """
    timm = library("timm", f"timm:{name}")
    if folder := folder_of(name, "timm"):
        return _of_folder(timm, name, folder)
    bare, _, tag = name.partition(".")
    if not timm.is_model(bare):
        raise unknown_name("network of timm", name, timm.list_models())
    known = [m for m in timm.list_pretrained(f"{bare}*") if m.partition(".")[0] == bare]
    if tag and name not in known:
        raise unknown_name("weights of timm", name, known)
    found = timm.get_pretrained_cfg(name)
    return _description(name, f"{bare}.{found.tag}" if found.tag else bare, bare, {}, found.to_dict())


def build(description: Description) -> nn.Module:
    """The network without classifier, from random weights: (B, C, H, W) to (B, D)."""
    timm = library("timm", description.name)
    a = description.architecture
    net: nn.Module = timm.create_model(a["network"], pretrained=False, **{**a["arguments"], "num_classes": 0})
    return net


def load(description: Description, weights: Path | None, channels: int) -> tuple[nn.Module, list[str]]:
    """The network with its weights, and what was done.

    Args:
        weights: a file, or a folder with one; None for the description's own.

    Raises:
        CurateError: they cannot be had, or do not fit.
    """
    net, a = build(description), description.architecture
    here = weights or (Path(description.source) if a["folder"] else None)
    heads = [f"{h}." for h in a["heads"]]
    if here is not None:
        return net, fit_file(net, weights_in(here), description.name, heads, channels)
    timm = library("timm", description.name)
    try:
        whole = timm.create_model(description.source, pretrained=True)
    except Exception as error:  # of the network, the hub, or the file
        raise CurateError(
            f"the weights of {description.name} cannot be had: {first_line(error)}",
            "name a local file with model.weights=MODALITY=FILE, or start at random with model.weights=MODALITY=random",
        ) from None
    source = f"timm's weights {description.source}"
    return net, fit_tensors(net, whole.state_dict(), source, description.name, heads, channels)


def _of_folder(timm: Any, name: str, folder: Path) -> Description:
    try:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        network, arguments, cfg = content["architecture"], content.get("model_args") or {}, content["pretrained_cfg"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CurateError(
            f"timm:{folder} holds no network of timm: {first_line(error)}",
            "expected config.json and model.safetensors, as timm's save_for_hf writes them",
        ) from None
    if not timm.is_model(network):
        raise unknown_name(f"network of timm in {folder}:", network, timm.list_models())
    arguments = {k: v for k, v in arguments.items() if k != "num_classes"}
    return _description(name, str(folder), network, arguments, cfg, folder=True)


def _description(
    name: str, source: str, network: str, arguments: dict[str, Any], cfg: dict[str, Any], folder: bool = False
) -> Description:
    head = cfg.get("classifier") or ()
    channels, height, width = cfg.get("input_size") or (3, 224, 224)
    if "img_size" in arguments:
        height, width = [arguments["img_size"]] * 2 if isinstance(arguments["img_size"], int) else arguments["img_size"]
    heads = [head] if isinstance(head, str) else list(head)
    return Description(
        name=f"timm:{name}",
        source=source,
        architecture={"network": network, "arguments": arguments, "heads": heads, "folder": folder},
        reads="picture",
        size=(height, width),
        fixed=bool(cfg.get("fixed_input_size")),
        channels=arguments.get("in_chans", channels),
        mean=cfg.get("mean", ()),
        std=cfg.get("std", ()),
    )
