"""Encoders by name: `timm:NAME`, `hf:OWNER/NAME`, `torchvision:NAME`, `module:FILE.py:FUNCTION`.

`timm:` and `hf:` also take a local folder. A name is described first, from configurations alone, so that the data can
be stored as the encoder reads them; its network is then made, and started from weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from curate.errors import CurateError, first_line, unknown_name
from curate.specs import AudioSpec, ClipSpec, FeatureSpec, InputSpec, TextSpec, VisualSpec

from . import of_file, of_hf, of_timm, of_torchvision
from .description import Description
from .nets import External, Pictures, Sound, Texts
from .stem import adapt_stem

DESCRIBE = {
    "timm": of_timm.describe,
    "hf": of_hf.describe,
    "torchvision": of_torchvision.describe,
    "module": of_file.describe,
}
RANDOM = "random"
"""The value of `model.weights` that asks for random weights."""


def is_external(name: str) -> bool:
    """Whether an encoder's name has the prefix of a source.

    Raises:
        CurateError: its prefix is unknown.
    """
    prefix, colon, rest = name.partition(":")
    if colon and (prefix not in DESCRIBE or not rest):
        raise unknown_name("source of encoders in model.encoder:", name, (f"{p}:NAME" for p in DESCRIBE))
    return bool(colon)


def describe(name: str) -> Description:
    """What is known of an encoder before its weights are read.

    Raises:
        CurateError: there is none of this name, or its library is not installed.
    """
    prefix, _, rest = name.partition(":")
    return DESCRIBE[prefix](rest)


def split_choice(choice: str) -> dict[str, str]:
    """{modality, or '' for all: name} of the encoders in `model.encoder` that have a prefix.

    Raises:
        CurateError: a prefix is unknown.
    """
    if "=" not in choice.partition(":")[0]:
        return {"": choice} if is_external(choice) else {}
    named = [part.partition("=") for part in choice.split(",")]
    return {m.strip(): name.strip() for m, _, name in named if is_external(name.strip())}


def assign(
    choice: str, specs: Mapping[str, InputSpec], known: Mapping[str, Description] | None = None
) -> dict[str, Description]:
    """{modality: its encoder by name}; modalities that `model.encoder` gives one of ours, or none, are left out.

    Args:
        choice: `model.encoder`; one name is for every modality that it can read.
        specs: {modality: its input}.
        known: {name: its description}, for names that are described already.

    Raises:
        CurateError: an unknown name or modality, or an encoder that cannot read its modality.
    """
    names = split_choice(choice)
    found = {name: (known or {}).get(name) or describe(name) for name in names.values()}
    if "" in names:
        only = found[names[""]]
        fits = {m: only for m, spec in specs.items() if only.can_read(spec)}
        if not fits:
            raise CurateError(f"model.encoder={only.name} cannot read {', '.join(specs)}", _hint(only))
        return fits
    for m, name in names.items():
        if m not in specs:
            raise unknown_name("modality in model.encoder:", m, specs)
        if not found[name].can_read(specs[m]):
            raise CurateError(f"model.encoder: {name} cannot read {m}", _hint(found[name]))
    return {m: found[name] for m, name in names.items()}


def plain_choice(choice: str) -> str:
    """What `model.encoder` says of our own encoders."""
    names = split_choice(choice)
    if not names:
        return choice
    rest = (
        [part for part in choice.split(",") if part.partition("=")[0].strip() not in names] if "" not in names else []
    )
    return ",".join(rest) or "auto"


def make(description: Description, spec: InputSpec) -> External:
    """The encoder of a modality from random weights, tried once: it reads no weights and needs no network connection.

    Raises:
        CurateError: it does not fit the modality's input.
    """
    encoder = _wrapped(_built(description, spec), description, spec)
    _adapt(encoder.net, description, spec)
    encoder.eval()
    try:
        with torch.no_grad():
            found = encoder(_nothing(spec))
    except Exception as error:  # of a network that was not made for such an input
        raise CurateError(
            f"model.encoder: {description.name} cannot read an input of shape {tuple(_nothing(spec).shape[1:])}: "
            f"{first_line(error)}",
            f"{_hint(description)}; a deep network may need larger ones",
        ) from error
    if not isinstance(found, torch.Tensor) or found.ndim != 2 or len(found) != 1:
        shown = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
        raise CurateError(f"model.encoder: {description.name} gives {shown}", "expected features (batch, features)")
    encoder.dim = found.shape[1]
    return encoder.train()


def start(encoder: External, spec: InputSpec, weights: str) -> list[str]:
    """Start an encoder from weights, and say what was done.

    Args:
        weights: a local file or folder, `random`, or '' for those of its name.

    Raises:
        CurateError: they cannot be had, or do not fit.
    """
    description = encoder.description
    if weights == RANDOM:
        return ["random weights, as model.weights says"]
    prefix, path = description.name.partition(":")[0], Path(weights).expanduser() if weights else None
    if prefix == "module":
        net, lines = of_file.load(description, spec, path)
    elif prefix == "hf":
        net, lines = of_hf.load(description, path)
    else:
        source = of_timm if prefix == "timm" else of_torchvision
        net, lines = source.load(description, path, _channels(spec))
    if done := _adapt(net, description, spec):
        lines.append(done)
    encoder.net.load_state_dict(net.state_dict())
    return lines


def reading(description: Description, spec: InputSpec) -> list[str]:
    """What an encoder does to a modality's input, for a user."""
    lines = list(description.notes)
    size = tuple(spec.picture) if isinstance(spec, AudioSpec) else _sides(spec)
    if description.size is not None and size is not None and description.reads != "sound" and size != description.size:
        lines.append(f"its input of {size[0]}x{size[1]} is resized to {description.size[0]}x{description.size[1]}")
    if isinstance(spec, AudioSpec) and description.reads == "sound":
        rate = description.rate or spec.rate
        lines.append(
            f"reads the waveform at {rate} Hz" + (f", resampled from {spec.rate} Hz" if rate != spec.rate else "")
        )
        if description.seconds and spec.seconds > description.seconds + 0.05:
            lines.append(f"reads only the first {description.seconds:g} s of {spec.seconds:g} s")
    return lines


def _built(description: Description, spec: InputSpec) -> nn.Module:
    prefix = description.name.partition(":")[0]
    if prefix == "module":
        return of_file.build(description, spec)
    build = {"timm": of_timm.build, "hf": of_hf.build, "torchvision": of_torchvision.build}[prefix]
    return build(description)


def _wrapped(net: nn.Module, description: Description, spec: InputSpec) -> External:
    if isinstance(spec, AudioSpec) and description.reads == "sound":
        external = "extractor" in description.architecture
        extract, standardize = of_hf.extraction(description) if external else (None, False)
        return Sound(net, description, spec, extract, standardize)
    if isinstance(spec, TextSpec) and description.reads == "text":
        _check_tokens(description, spec)
        return Texts(net, description)
    if description.reads == "any":
        return External(net, description)
    if description.frames not in (None, frames := _frames(spec)):
        raise CurateError(
            f"model.encoder: {description.name} reads {description.frames} frames at once, there are {frames}",
            f"--set data.frames={description.frames}",
        )
    return Pictures(net, description, spec)


def _adapt(net: nn.Module, description: Description, spec: InputSpec) -> str:
    """Let a network of pictures read the channels of a modality."""
    if description.reads not in ("picture", "clip") or description.channels == _channels(spec):
        return ""
    try:
        return adapt_stem(net, _channels(spec))
    except CurateError as error:
        raise CurateError(f"model.encoder: {description.name}: {error.message}", error.hint) from None


def _channels(spec: InputSpec) -> int:
    return spec.channels if isinstance(spec, VisualSpec | ClipSpec) else 1


def _frames(spec: InputSpec) -> int:
    return spec.window if isinstance(spec, ClipSpec) else spec.frames if isinstance(spec, VisualSpec) else 1


def _sides(spec: InputSpec) -> tuple[int, int] | None:
    side = spec.crop if isinstance(spec, ClipSpec) else spec.size if isinstance(spec, VisualSpec) else None
    return None if side is None else (side, side)


def _nothing(spec: InputSpec) -> torch.Tensor:
    """One network input without content."""
    if isinstance(spec, AudioSpec):
        return torch.zeros(1, *spec.shape) if spec.features == "waveform" else torch.zeros(1, 1, *spec.picture)
    if isinstance(spec, TextSpec):
        return torch.ones(1, spec.tokens, dtype=torch.long)
    if isinstance(spec, FeatureSpec):
        return torch.zeros(1, spec.dim)
    side = _sides(spec)
    assert side is not None
    return torch.zeros(1, _frames(spec), _channels(spec), *side)


def _check_tokens(description: Description, spec: TextSpec) -> None:
    """Check that a text's tokens are those of the model."""
    hint = f"score with --set data.tokenizer={description.tokenizer}"
    if not spec.tokenizer.startswith("huggingface-"):
        raise CurateError(f"{description.name} needs its own tokens, these are {spec.tokenizer}", hint)
    most, words = description.tokens or spec.tokens, description.vocabulary or spec.vocabulary
    if spec.vocabulary - 1 > words or spec.tokens > most:
        raise CurateError(
            f"{description.name} reads {words} tokens, {most} at once; the data has {spec.vocabulary - 1}, "
            f"{spec.tokens} at once",
            f"{hint} and data.tokens of at most {most}",
        )


def _hint(description: Description) -> str:
    what = {
        "picture": "pictures, frames and spectrograms",
        "clip": "clips, or frames of a video",
        "sound": "sound",
        "text": "texts",
        "any": "any modality",
    }
    return f"it reads {what[description.reads]}"
