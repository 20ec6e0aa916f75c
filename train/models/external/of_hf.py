"""Models of Hugging Face transformers: `hf:OWNER/NAME`, `hf:FOLDER`, or a part of one, `...#vision_model`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor, nn
from typing_extensions import override

from curate.errors import CurateError, first_line, unknown_name
from curate.specs import IMAGENET

from ..energies import KaldiEnergies
from ..tensors import listed, read_weights
from ..texts import masked_mean
from .description import Description, Reads
from .libraries import folder_of, library, read_pretrained, silent, weights_in, without_pooler

READS: dict[str, Reads] = {
    "pixel_values": "picture",
    "input_values": "sound",
    "input_features": "sound",
    "input_ids": "text",
}
PARTS: dict[str, Reads] = {"vision_model": "picture", "audio_model": "sound", "text_model": "text"}
RAW, BANK = "Wav2Vec2FeatureExtractor", "ASTFeatureExtractor"
SHIFT = 0.01
"""Seconds between the columns of the filter banks that have a `max_length`."""


class Pooled(nn.Module):
    """A model's features (B, D): its pooled output, else its first token if that stands for all, else their mean.

    A trained layer behind the last hidden state (`pooler`) is left out: few weights on the hub have it.
    """

    def __init__(self, net: nn.Module, given: str) -> None:
        super().__init__()
        self.net = without_pooler(net)
        self.given = given
        self.first = any(k.endswith(("cls_token", "class_embedding")) for k, _ in net.named_parameters())

    @override
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is not None:
            hidden: Tensor = self.net(input_ids=x, attention_mask=mask.long()).last_hidden_state
            return masked_mean(hidden, mask)
        found = self.net(**{self.given: x})
        pooled: Tensor | None = getattr(found, "pooler_output", None)
        if pooled is not None:
            return pooled.flatten(1)
        hidden = found.last_hidden_state
        if hidden.ndim == 4:
            return hidden.mean((-2, -1))
        return hidden[:, 0] if self.first else hidden.mean(1)


class FilterBank(KaldiEnergies):
    """What `ASTFeatureExtractor` makes of waveforms, for a batch and on its device: (B, T) to (B, columns, bands).

    Columns beyond the sound are filled with zeros before the normalisation, as there.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        rate = int(values["sampling_rate"])
        super().__init__(rate, int(rate * 0.025), values["num_mel_bins"])
        self.hop, self.columns = int(rate * SHIFT), int(values["max_length"])
        normalize = values.get("do_normalize", True)
        self.mean = float(values["mean"]) if normalize else 0.0
        self.spread = 2 * float(values["std"]) if normalize else 1.0

    @override
    def forward(self, waves: Tensor) -> Tensor:
        energies = self.log_energies(waves.float().unfold(1, self.size, self.hop)).mT[:, : self.columns]
        filled = nn.functional.pad(energies, (0, 0, 0, self.columns - energies.shape[1]))
        return (filled - self.mean) / self.spread


class Extract:
    """The library's own preparation of waveforms, on the CPU."""

    def __init__(self, extractor: Any, given: str) -> None:
        self.extractor, self.given = extractor, given

    def __call__(self, waves: Tensor) -> Tensor:
        """(B, T) at the extractor's rate to the model's input."""
        rows = list(waves.float().cpu().numpy())
        found = self.extractor(rows, sampling_rate=self.extractor.sampling_rate, return_tensors="pt")
        result: Tensor = found[self.given].to(waves.device)
        return result


def describe(name: str) -> Description:
    """A model of a local folder, of the hub's cache, or of the hub; reads its configurations and no weights.

    Raises:
        CurateError: transformers is not installed, or there is no such model, or it has no encoder that could be used.
    """
    transformers = library("transformers", f"hf:{name}")
    plain, _, part = name.partition("#")
    source = str(folder_of(plain, "hf") or plain)
    config = _read(transformers.AutoConfig, source)
    given, reads = _input_of(transformers, config, name, part)
    facts: dict[str, Any] = {}
    own = getattr(config, part.replace("_model", "_config"), config) if part else config
    if reads == "picture":
        facts = _pictures(transformers, source, own)
    elif reads == "text":
        facts = _texts(transformers, source, own)
    architecture: dict[str, Any] = {
        "config": json.loads(config.to_json_string(use_diff=False)),
        "part": part,
        "given": given,
    }
    if reads == "sound":
        extractor = _read(transformers.AutoFeatureExtractor, source)
        architecture["extractor"] = json.loads(extractor.to_json_string())
        columns = getattr(extractor, "max_length", None)
        facts = {
            "rate": int(extractor.sampling_rate),
            "seconds": getattr(extractor, "chunk_length", None) or (columns and columns * SHIFT),
        }
    if reads == "picture" and facts["frames"]:
        reads = "clip"
    return Description(name=f"hf:{name}", source=source, architecture=architecture, reads=reads, **facts)


def build(description: Description) -> nn.Module:
    """The network from random weights; no file is read."""
    transformers = library("transformers", description.name)
    with silent(transformers):
        return _pooled(transformers.AutoModel.from_config(_config(transformers, description)).float(), description)


def extraction(description: Description) -> tuple[Callable[[Tensor], Tensor] | None, bool]:
    """How waveforms are prepared: as the library does, or not at all; and whether they are standardised."""
    transformers, given = library("transformers", description.name), description.architecture["given"]
    values = dict(description.architecture["extractor"])
    kind = values.get("feature_extractor_type", "")
    if kind == RAW:
        return None, bool(values.get("do_normalize", True))
    if kind == BANK:
        return FilterBank(values), False
    return Extract(getattr(transformers, kind).from_dict(values), given), False


def load(description: Description, weights: Path | None) -> tuple[nn.Module, list[str]]:
    """The network with its weights, and what was done.

    Args:
        weights: a folder or a file; None for the description's own.

    Raises:
        CurateError: they cannot be had, or do not fit.
    """
    transformers = library("transformers", description.name)
    config = _config(transformers, description)
    if weights is None:
        net, left = read_pretrained(transformers, description.source, config=config)
        shown = description.source
    else:
        shown = str(weights_in(weights))
        read_weights(Path(shown))  # an unreadable file has its own error
        with TemporaryDirectory() as folder:
            config.save_pretrained(folder)
            name = "model.safetensors" if shown.endswith(".safetensors") else "pytorch_model.bin"
            (Path(folder) / name).symlink_to(Path(shown).resolve())
            net, left = read_pretrained(transformers, folder, shown, config=config)
    done = _pooled(net, description)
    count = len(done.state_dict())
    return done, [f"{count} tensors of {shown}", *([f"left over: {listed(left)}"] if left else [])]


def _pooled(net: Any, description: Description) -> Pooled:
    part = description.architecture["part"]
    if part:
        net = net.get_submodule(part)
    elif getattr(net.config, "is_encoder_decoder", False):
        net = net.get_encoder()
    return Pooled(net, description.architecture["given"])


def _config(transformers: Any, description: Description) -> Any:
    """The model's configuration, without what depends on random numbers that a resumed run could not repeat."""
    config = transformers.AutoConfig.for_model(**description.architecture["config"])
    for name, value in (("apply_spec_augment", False), ("layerdrop", 0.0), ("encoder_layerdrop", 0.0)):
        if hasattr(config, name):
            setattr(config, name, value)
    return config


def _read(kind: Any, source: str) -> Any:
    """A configuration of a model, of its pictures, its sound or its texts.

    Raises:
        CurateError: it cannot be had.
    """
    transformers = library("transformers", f"hf:{source}")
    try:
        with silent(transformers):
            return kind.from_pretrained(source, trust_remote_code=False)
    except Exception as error:  # of the library, the hub, or the file
        what = kind.__name__.removeprefix("Auto").lower()
        if Path(source).is_dir():
            raise CurateError(
                f"hf:{source} holds no {what}: {first_line(error)}", "expected a folder as save_pretrained writes it"
            ) from None
        near = unknown_name("model", source, (name for name in _cached() if name != source))
        raise CurateError(
            f"no {what} of hf:{source} can be had: {first_line(error)}",
            f"give a local folder, hf:FOLDER, or a name in the hub's cache; {near.hint}",
        ) from None


def _cached() -> list[str]:
    """The models in the hub's cache."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return [p.name.removeprefix("models--").replace("--", "/") for p in Path(HF_HUB_CACHE).glob("models--*")]


def _input_of(transformers: Any, config: Any, name: str, part: str) -> tuple[str, Reads]:
    """The name of a model's input, and what it is."""
    parts = [p for p in PARTS if hasattr(config, p.replace("_model", "_config"))]
    if part:
        if part not in parts:
            raise unknown_name(f"part of hf:{name.partition('#')[0]}:", part, parts)
        given = {"picture": "pixel_values", "sound": "input_features", "text": "input_ids"}[PARTS[part]]
        return given, PARTS[part]
    if len(parts) > 1:
        raise CurateError(f"hf:{name} reads several modalities", f"name one of its parts: hf:{name}#{parts[0]}")
    try:
        kind = transformers.MODEL_MAPPING[type(config)]
    except KeyError:
        raise CurateError(f"hf:{name} is a {config.model_type}, which is no encoder", "name another model") from None
    given = (kind[0] if isinstance(kind, tuple) else kind).main_input_name
    if given not in READS:
        raise CurateError(f"hf:{name} reads {given}", f"expected a model that reads {', '.join(READS)}")
    return given, READS[given]


def _pictures(transformers: Any, source: str, config: Any) -> dict[str, Any]:
    """Size, normalisation and frames of a model of pictures or clips."""
    size = getattr(config, "image_size", None)
    notes: tuple[str, ...] = ()
    fixed = size is not None
    mean: tuple[float, ...] = tuple(IMAGENET[0])
    std: tuple[float, ...] = tuple(IMAGENET[1])
    try:
        seen = _read(transformers.AutoImageProcessor, source)
    except CurateError:
        notes = ("it has no image processor: normalised as for ImageNet",)
    else:
        if getattr(seen, "do_flip_channel_order", False):
            raise CurateError(
                f"hf:{source} reads blue first", "name another model, or make it with module:FILE.py:FUNCTION"
            )
        size = size or _size(seen.crop_size if getattr(seen, "do_center_crop", False) else seen.size)
        mean, std = (seen.image_mean, seen.image_std) if seen.do_normalize else ((0.0,) * 3, (1.0,) * 3)
        factor = 255 * seen.rescale_factor if getattr(seen, "do_rescale", True) else 255.0
        mean, std = (tuple(float(x) / factor for x in values) for values in (mean, std))
    return {
        "size": (size, size) if isinstance(size, int) else size,
        "fixed": fixed,
        "channels": getattr(config, "num_channels", 3),
        "mean": mean,
        "std": std,
        "frames": getattr(config, "num_frames", None),
        "notes": notes,
    }


def _size(values: Any) -> tuple[int, int] | None:
    """(height, width) of an image processor's size, which has several forms."""
    known = dict(values) if values else {}
    side = known.get("shortest_edge") or known.get("longest_edge")
    height, width = known.get("height", side), known.get("width", side)
    return (int(height), int(width)) if height and width else None


def _texts(transformers: Any, source: str, config: Any) -> dict[str, Any]:
    """Tokenizer and limits of a model of texts."""
    most = _read(transformers.AutoTokenizer, source).model_max_length
    folder = source
    if not Path(source).is_dir():
        found = transformers.utils.cached_file(source, "tokenizer_config.json")
        folder = str(Path(found).parent)
    return {
        "tokenizer": folder,
        "tokens": min(getattr(config, "max_position_embeddings", None) or most, most),
        "vocabulary": config.vocab_size,
    }
