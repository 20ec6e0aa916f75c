"""The model: one encoder per modality, one fusion, and the heads that a method attaches.

Letters: B batch, K classes, D features.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import override

from curate.config import check_within
from curate.errors import CurateError, unknown_name
from curate.specs import InputSpec, TextSpec
from curate.torch.names import check_names

from .encoders import body_of, make_encoders, pairs, size_of
from .external.description import Description
from .external.names import RANDOM, start
from .external.nets import External
from .features import StandardisedFeatures
from .fusion import FUSIONS
from .precision import Precision
from .tensors import listed
from .texts import Pretrained, TextTransformer
from .weights import load_encoder

HEADS = 4  # of attention in the text encoder


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Architecture.

    Attributes:
        encoder: `auto` by input size; `resnet18` or `small_cnn`, pooled over frames; `r3d_18`, `mc3_18`,
            `r2plus1d_18` or `small_3d`, which convolve over time; of features `linear` or `mlp`; those of other
            libraries, `timm:NAME`, `hf:OWNER/NAME`, `torchvision:NAME`, or one of your own, `module:FILE.py:FUNCTION`;
            or `modality=name` pairs, comma separated.
        fusion: `concat` (unimodal logits = split head), `sum` or `weight`.
        dim: features of every modality; if an encoder's own number differs, a linear layer follows. None keeps it.
        weights: local files or folders to start encoders from, `modality=PATH` pairs, comma separated; `random` in
            place of a path, or for all, starts encoders of other libraries from random weights.
        freeze: encoders that are not trained, comma separated, or `all`; their batch norms keep their statistics.
        lr_scale: factors of the learning rate, `modality=factor` pairs, comma separated; heads keep the rate itself.
        text: folder of a Hugging Face model, for texts from its tokeniser; '' is a Transformer from scratch.
        text_width: width of that Transformer.
        text_layers: number of its layers.
        channels_last: keep the kernels of convolutions with the channels as the last axis, which is faster on GPUs with
            `--precision bf16` or `fp16`.
        compile: compile the encoders; the first steps take longer. Needs a C++ compiler.
        sync_norm: with several processes, batch norm normalises by the statistics of the whole batch, as one process
            does; false takes those of each process's own samples, which is faster and trains another model.
        sharded: with several processes, each has a part of the encoders' weights on its device, and the first one all
            of them in the memory of the machine: for encoders that are too large for a card.
    """

    encoder: str = "auto"
    fusion: Literal["concat", "sum", "weight"] = "concat"
    dim: int | None = None
    weights: str = ""
    freeze: str = ""
    lr_scale: str = ""
    text: str = ""
    text_width: int = 128
    text_layers: int = 2
    channels_last: bool = False
    compile: bool = False
    sync_norm: bool = True
    sharded: bool = False

    def __post_init__(self) -> None:
        ranges = {"dim": (1, 1 << 16), "text_layers": (1, 100), "text_width": (HEADS, 1 << 14)}
        check_within(self, "model", ranges)
        if self.text_width % HEADS:
            raise CurateError(f"out of range: model.text_width={self.text_width}", f"a multiple of {HEADS}")

    def text_encoder(self, spec: TextSpec, dim: int) -> nn.Module:
        """The encoder of a text, with `dim` features."""
        if self.text:
            return Pretrained(Path(self.text).expanduser(), spec, dim)
        return TextTransformer(spec, dim, self.text_width, self.text_layers, HEADS)


@dataclass
class Outputs:
    """The result of one forward.

    Attributes:
        features: {m: (B, D)}.
        logits: {m: (B, K)} unimodal logits.
        fused: (B, K).
        mixed: {(first, second): (B, K)} logits of mixed pairs, if a method has them.
    """

    features: dict[str, Tensor]
    logits: dict[str, Tensor]
    fused: Tensor
    mixed: dict[tuple[str, str], Tensor] = field(default_factory=dict)


class Spread(Protocol):
    """Runs a model's encoders in several processes."""

    def run(self, model: FusionModel, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What `FusionModel.run_encoders` returns, in the context that it is called in."""
        ...

    def seed(self, value: int) -> None:
        """Begin the random numbers inside encoders; those of everything else are not touched by encoders."""
        ...


class FusionModel(nn.Module):
    """Encoders, fusion, and heads attached by a method in `extra`.

    Args:
        specs: {modality: its input}, in declared order.
        classes: class names.
        config: architecture.
        precision: `fp32`, or `bf16` or `fp16` for the encoders; see `Precision`.
        described: {modality: its encoder by name} where a run or a checkpoint has kept it; nothing is then looked up.

    Attributes:
        spread: runs the encoders in several processes; None runs them in this one.

    Raises:
        CurateError: a part of a network cannot have the name of a modality, or the encoders as in `make_encoders`.
    """

    def __init__(
        self,
        specs: Mapping[str, InputSpec],
        classes: Sequence[str],
        config: ModelConfig,
        precision: str = "fp32",
        described: Mapping[str, Description] | None = None,
    ) -> None:
        super().__init__()
        check_names(specs)
        self.modalities = tuple(specs)
        self.classes = tuple(classes)
        self.config = config
        self.precision = Precision(precision)
        self.specs = dict(specs)
        self.factors = factors(config.lr_scale, self.modalities)
        encoders = make_encoders(specs, config.encoder, config.dim, config.text_encoder, described)
        self.dims = {m: size_of(e) for m, e in encoders.items()}
        self.encoders = nn.ModuleDict(encoders)
        if config.channels_last:
            _channels_last(self.encoders)
        if config.compile:
            _compile(self.encoders)
        self.fusion = FUSIONS[config.fusion](self.dims, len(classes))
        self.extra = nn.ModuleDict()
        self.spread: Spread | None = None
        self.frozen = chosen(config.freeze, self.modalities)
        for m in self.frozen:
            freeze(body_of(encoders[m]))

    @property
    def described(self) -> dict[str, Description]:
        """{modality: its encoder by name}, of those that have one."""
        found = {m: body_of(e) for m, e in self.encoders.items()}
        return {m: e.description for m, e in found.items() if isinstance(e, External)}

    def observe(self, arrays: Mapping[str, NDArray[Any]], rows: NDArray[np.int64]) -> None:
        """Set the mean and deviation of encoders that standardise their inputs, only from the samples trained on.

        Args:
            arrays: {m: (N, ...)} from a cache.
            rows: the training samples among the N.
        """
        for m, encoder in self.encoders.items():
            for part in encoder.modules():
                if isinstance(part, StandardisedFeatures):
                    part.observe(arrays[m], rows)

    def load_weights(self) -> dict[str, list[str]]:
        """Start encoders by name, and those of `ModelConfig.weights`; returns {modality: what was done}.

        Raises:
            CurateError: an unknown modality, or weights that cannot be had or do not fit.
        """
        weights, done = self.config.weights, {}
        given = dict.fromkeys(self.modalities, RANDOM) if weights == RANDOM else {}
        given = given or pairs(weights, "model.weights", self.modalities)
        for m, encoder in self.encoders.items():
            own, path = body_of(encoder), given.get(m, "")
            if isinstance(own, External):
                done[m] = start(own, self.specs[m], path)
            elif path and path != RANDOM:
                done[m] = [load_encoder(encoder, Path(path).expanduser())]
            elif isinstance(encoder, Pretrained):
                done[m] = [f"weights of {self.config.text}; left over: {listed(encoder.left_over) or 'none'}"]
            elif any(True for _ in own.parameters()):
                done[m] = ["random weights" + (", as model.weights says" if path else "")]
        return done

    def encode(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{m: input} to features {m: (B, D)}, fp32, of the modalities that are given."""
        given = {m: inputs[m] for m in self.modalities if m in inputs}
        with self.autocast(inputs):
            features = self.run_encoders(given) if self.spread is None else self.spread.run(self, given)
        return {m: self.precision.leave(f) for m, f in features.items()}

    def run_encoders(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{m: input} to what each encoder computes from it in this process, (B, D)."""
        return {m: self.encoders[m](x) for m, x in inputs.items()}

    def autocast(self, inputs: Mapping[str, Tensor], *beside: nn.Module) -> torch.autocast:
        """The context in which the encoders run, and other modules between their layers; see `Precision`."""
        return self.precision.autocast(next(iter(inputs.values())).device, self.encoders, *beside)

    @override
    def forward(self, inputs: Mapping[str, Tensor]) -> Outputs:
        features = self.encode(inputs)
        logits, fused = self.fusion(features)
        return Outputs(features, logits, fused)

    def with_own_heads(self, inputs: Mapping[str, Tensor]) -> Outputs:
        """A forward whose unimodal logits are those of the own heads, and whose fused ones are the fusion's."""
        features = self.encode(inputs)
        return Outputs(features, self.own_logits(features), self.fusion(features)[1])

    def encoder_parameters(self, modality: str) -> list[nn.Parameter]:
        """The parameters of one modality's encoder that are trained, found by module, not by name."""
        return [p for p in self.encoders[modality].parameters() if p.requires_grad]

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """Parameters with a learning rate of their own, and all others last, for an optimizer of rate `lr`."""
        bodies = {m: list(body_of(self.encoders.get_submodule(m)).parameters()) for m in self.factors}
        taken = {id(p) for parameters in bodies.values() for p in parameters}
        own = [{"params": parameters, "lr": lr * self.factors[m]} for m, parameters in bodies.items() if parameters]
        return [*own, {"params": [p for p in self.parameters() if id(p) not in taken]}]

    def modality_parameters(self, modality: str) -> list[nn.Parameter]:
        """The parameters that only one modality uses: its encoder's, and its head's if the fusion has one."""
        return [*self.encoder_parameters(modality), *self.fusion.own_parameters(modality)]

    def add_own_heads(self, warm: bool) -> None:
        """Add a linear head for every modality to `extra`; `warm` ones compute the fusion's unimodal logits."""
        heads = {
            m: self.fusion.unimodal_head(m) if warm else nn.Linear(d, len(self.classes)) for m, d in self.dims.items()
        }
        self.extra["own"] = nn.ModuleDict(heads)

    def own_logits(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Features {m: (B, D)} to the logits {m: (B, K)} of the own heads."""
        return {m: self.extra["own"].get_submodule(m)(f) for m, f in features.items()}


def _channels_last(encoders: nn.Module) -> None:
    """Store the kernels of convolutions with the channels last; a convolution keeps to the order of its kernel."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for p in encoders.parameters():
        if p.ndim in formats:
            p.data = p.data.contiguous(memory_format=formats[p.ndim])


def _compile(encoders: nn.Module) -> None:
    """Compile each encoder when it first runs.

    Raises:
        CurateError: there is no C++ compiler.
    """
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise CurateError(
            f"model.compile=true needs a C++ compiler, {compiler} was not found",
            "install it, or leave model.compile out",
        )
    for encoder in encoders.children():
        encoder.compile()


def chosen(text: str, modalities: Sequence[str]) -> tuple[str, ...]:
    """The modalities that `model.freeze` names.

    Raises:
        CurateError: one is unknown.
    """
    named = [m.strip() for m in text.split(",") if m.strip()]
    if named == ["all"]:
        return tuple(modalities)
    if wrong := next((m for m in named if m not in modalities), None):
        raise unknown_name("modality in model.freeze:", wrong, ("all", *modalities))
    return tuple(named)


def factors(text: str, modalities: Sequence[str]) -> dict[str, float]:
    """{modality: factor of its learning rate} of `model.lr_scale`.

    Raises:
        CurateError: it is no list of pairs, a modality is unknown, or a factor is not above 0.
    """
    found = {}
    for m, value in pairs(text, "model.lr_scale", modalities).items():
        try:
            found[m] = float(value)
        except ValueError:
            found[m] = 0.0
        if not 0 < found[m] < math.inf:
            raise CurateError(f"model.lr_scale: {m}={value} is no factor above 0", f"e.g. model.lr_scale={m}=0.1")
    return found


def freeze(net: nn.Module) -> None:
    """Let a network keep its weights and the statistics of its batch norms, whatever mode it is set to."""
    net.requires_grad_(False)
    for part in net.modules():
        part.register_forward_pre_hook(_evaluating)


def _evaluating(part: nn.Module, _: object) -> None:
    part.training = False
