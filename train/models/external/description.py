"""What is known of an encoder by name before its weights are read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from curate.specs import AudioSpec, ClipSpec, FeatureSpec, InputSpec, TextSpec, VisualSpec

Reads = Literal["picture", "clip", "sound", "text", "any"]


@dataclass(frozen=True, kw_only=True)
class Description:
    """An encoder by name: what it reads, and what its network is made from. It is kept with the run and checkpoints.

    With it a checkpoint is loaded without the weights that the encoder started from, and without a network connection.

    Attributes:
        name: as the user wrote it, `timm:resnet50`.
        source: where weights come from unless the user names others: a folder, a file, or a name in the library.
        architecture: what the network is built from; JSON-like.
        reads: `picture` each frame by itself, or a spectrogram; `clip` all frames at once; `sound` a waveform; `text`
            token ids; `any` whatever the modality has.
        size: (height, width) that the network gets, pixels; None for that of the stored item.
        fixed: whether it can read no other size.
        channels: those of its weights; a stem for others is made from them.
        mean, std: its normalisation, a number a channel, of values in [0, 1]; () for none.
        frames: that it reads at once; None for any number.
        rate: samples per second, Hz.
        seconds: longest sound that it reads, s; None for any.
        tokenizer: folder of its tokenizer.
        tokens: most tokens that it reads at once; None for any number.
        vocabulary: number of its tokens.
        notes: what a user should know about it, beside this.
    """

    name: str
    source: str
    architecture: Mapping[str, Any] = field(default_factory=dict)
    reads: Reads
    size: tuple[int, int] | None = None
    fixed: bool = False
    channels: int = 3
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    frames: int | None = None
    rate: int | None = None
    seconds: float | None = None
    tokenizer: str | None = None
    tokens: int | None = None
    vocabulary: int | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("size", "mean", "std", "notes"):  # JSON has lists
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, tuple(value))

    def as_json(self) -> dict[str, Any]:
        """The description as plain values; `Description(**values)` is its inverse."""
        return dataclasses.asdict(self)

    def can_read(self, spec: InputSpec) -> bool:
        """Whether it reads a modality; a spectrogram is a picture."""
        kinds: dict[Reads, tuple[type, ...]] = {
            "picture": (AudioSpec, VisualSpec, ClipSpec),
            "clip": (VisualSpec, ClipSpec),
            "sound": (AudioSpec,),
            "text": (TextSpec,),
            "any": (AudioSpec, VisualSpec, ClipSpec, TextSpec, FeatureSpec),
        }
        return isinstance(spec, kinds[self.reads])

    def settled(self, spec: InputSpec, given: frozenset[str] = frozenset()) -> Description:
        """The description for a modality: a network that reads any size gets that of spectrograms and clips.

        Args:
            spec: the modality's input.
            given: names of the data settings that the user gave; with `size` among them, pictures too keep theirs.
        """
        keeps = not isinstance(spec, VisualSpec) or "size" in given
        return dataclasses.replace(self, size=None) if keeps and not self.fixed else self


def wishes(described: Mapping[str, Description], specs: Mapping[str, InputSpec]) -> dict[str, Any]:
    """{setting of the data: value} by which media are stored as the encoders read them, the largest where they differ.

    Args:
        described: {modality: its encoder}.
        specs: {modality: its input} without these settings.
    """
    found: dict[str, Any] = {}
    for m, d in described.items():
        spec = specs[m]
        own: dict[str, Any] = {}
        if isinstance(spec, VisualSpec):
            own = {"size": d.size and max(d.size), "channels": d.channels if d.mean else None, "frames": d.frames}
        elif isinstance(spec, AudioSpec) and d.reads == "sound":
            own = {"rate": d.rate, "seconds": d.seconds if d.seconds and d.seconds < spec.seconds else None}
        elif isinstance(spec, TextSpec) and d.reads == "text":
            own = {"tokenizer": d.tokenizer, "tokens": d.tokens if d.tokens and d.tokens < spec.tokens else None}
        for name, value in own.items():
            if value is not None:
                found[name] = value if name not in found or isinstance(value, str) else max(found[name], value)
    return found


def network_specs(specs: Mapping[str, InputSpec], described: Mapping[str, Description]) -> dict[str, InputSpec]:
    """{modality: its input} as the networks get it: the waveform itself for an encoder that reads sound."""
    return {
        m: dataclasses.replace(spec, features="waveform")
        if isinstance(spec, AudioSpec) and m in described and described[m].reads == "sound"
        else spec
        for m, spec in specs.items()
    }
