"""One process's part of a batch: its encoders' forward, kept for the backward, and what the other processes do.

The first process has the model that is trained. Each of the others has encoders of its own, with the same weights, and
serves: it waits for an order, and does its part. It knows of no loss, method, optimizer, table or data set.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from curate import specs
from curate.train.data.samples import mix_seed
from curate.train.models.external.description import Description
from curate.train.models.model import FusionModel, ModelConfig
from curate.train.models.norms import WholeBatchNorm

from . import divided
from .links import Links

WEIGHTS, STATISTICS = 0, 1
"""The kinds of `state`."""


@dataclasses.dataclass
class Part:
    """A process's part of a forward.

    Attributes:
        outputs: {m: (B, D)} features of its samples.
        weights: {m: the encoder's trained parameters}, through which `outputs` can be differentiated.
        divided: whether this process has only its rows of each weight, see `divided`.
    """

    outputs: dict[str, Tensor]
    weights: dict[str, list[Tensor]]
    divided: bool = False

    def backward(self, gradients: Mapping[str, Tensor]) -> list[Tensor | None]:
        """Gradients of the outputs to those of the weights of these modalities; it can be called again.

        They are of this process's samples; those of divided weights are of all samples, and of this process's rows.
        """
        weights = [w for m in gradients for w in self.weights[m]]
        outputs = [self.outputs[m] for m in gradients]
        if self.divided:
            return divided.backward(outputs, list(gradients.values()), weights)
        return list(
            torch.autograd.grad(outputs, weights, list(gradients.values()), retain_graph=True, allow_unused=True)
        )


def forward(
    model: FusionModel, inputs: Mapping[str, Tensor], grad: bool, seed: int | None, links: Links, first: int
) -> Part:
    """Run the encoders on this process's samples.

    Parameters are replaced by aliases that share their memory: hooks of the parameters are for the sum over all
    processes, so they must not see this process's part. Divided ones are not those that a method sees.

    Args:
        model: whose encoders.
        inputs: {m: (B, ...)}.
        grad: whether a backward may follow.
        seed: of dropout, mixed with this process's number; None where nothing is in training mode. The random numbers
            of everything else are not touched.
        links: to the other processes, for batch norm.
        first: how many processes have a part.
    """
    part = Part({}, {}, model.config.sharded and links.world > 1)
    whole = model.config.sync_norm and first > 1 and seed is not None
    norms: AbstractContextManager[Any] = (
        WholeBatchNorm(lambda values: links.gather(values, first)) if whole else nullcontext()
    )
    own = None if seed is None else mix_seed(seed, links.rank)
    with _seeded(own, next(iter(inputs.values())).device), torch.set_grad_enabled(grad), norms:
        for m, x in inputs.items():
            encoder = model.encoders[m]
            trained = [(name, p) for name, p in encoder.named_parameters() if grad and p.requires_grad]
            if part.divided:
                part.weights[m] = [p for _, p in trained]
                part.outputs[m] = encoder(x)
                continue
            aliases = {name: p.detach().requires_grad_() for name, p in trained}
            part.weights[m] = list(aliases.values())
            part.outputs[m] = functional_call(encoder, aliases, (x,))
    return part


@contextmanager
def _seeded(seed: int | None, device: torch.device) -> Iterator[None]:
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def state(encoder: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """What makes two encoders of the same architecture equal: their weights, and other tensors such as statistics."""
    found = [t for t in encoder.state_dict(keep_vars=True).values() if isinstance(t, Tensor)]
    return [t for t in found if isinstance(t, nn.Parameter)], [t for t in found if not isinstance(t, nn.Parameter)]


def description(model: FusionModel) -> str:
    """What another process makes the same encoders from, as JSON."""
    return json.dumps(
        {
            "specs": {m: [type(s).__name__, dataclasses.asdict(s)] for m, s in model.specs.items()},
            "classes": model.classes,
            "config": dataclasses.asdict(model.config),
            "precision": model.precision.name,
            "described": {m: d.as_json() for m, d in model.described.items()},
        }
    )


def built(text: str) -> FusionModel:
    """The model of a `description`, with weights of its own."""
    found = json.loads(text)
    inputs = {
        m: getattr(specs, kind)(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
        for m, (kind, values) in found["specs"].items()
    }
    described = {m: Description(**values) for m, values in found["described"].items()}
    return FusionModel(inputs, found["classes"], ModelConfig(**found["config"]), found["precision"], described)


def modes(encoder: nn.Module) -> list[bool]:
    """Whether each part of an encoder is in training mode; one value if all are the same."""
    found = [part.training for part in encoder.modules()]
    return found if len(set(found)) > 1 else found[:1]


class Copy:
    """Encoders with the weights of those that are trained: of a process that is not the first, or divided ones.

    Attributes:
        model: whose encoders; there is one once `build` was called.
        device: where they run.
    """

    def __init__(self, links: Links) -> None:
        self.links = links
        self.model: FusionModel
        self.device = torch.device("cpu")

    def build(self, text: str, device: str) -> None:
        """Make encoders from a `description`, on this type of device: of several the one with this process's number."""
        cuda = device == "cuda"
        self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if cuda else torch.device("cpu")
        with torch.random.fork_rng(devices=[]):  # its random weights are replaced
            self.model = built(text)
        if not self.model.config.sharded:
            self.model.to(self.device)

    def take(self, m: str, dtype: str, kinds: Sequence[int], given: nn.Module | None = None) -> None:
        """Take these kinds of an encoder's `state` from the first process.

        Args:
            dtype: of its weights.
            given: the encoder that has them, in the first process itself.
        """
        encoder = self.model.encoders[m].to(getattr(torch, dtype))
        if self.model.config.sharded:
            divided.divide(self.links, encoder, self.device)
        for kind in kinds:
            own, whole = state(encoder)[kind], None if given is None else state(given)[kind]
            if not self.model.config.sharded:
                self.links.copy(own)
            elif kind == WEIGHTS:
                divided.hand_out(self.links, own, whole)
            else:
                values = [torch.empty_like(t, device="cpu") for t in own] if whole is None else whole
                self.links.copy(values)
                overwrite(own, values)

    def forward(
        self, inputs: Mapping[str, Tensor], modes: Mapping[str, list[bool]], grad: bool, seed: int | None, first: int
    ) -> Part:
        """As `forward`, on this process's device, with the parts of each encoder in these `modes`."""
        for m, flags in modes.items():
            every = list(self.model.encoders[m].modules())
            for module, training in zip(every, flags if len(flags) > 1 else flags * len(every), strict=True):
                module.training = training
        with self.model.precision.autocast(self.device):
            moved = {m: x.to(self.device) for m, x in inputs.items()}
            return forward(self.model, moved, grad, seed, self.links, first)

    def return_statistics(self, given: Mapping[str, nn.Module]) -> None:
        """Give these encoders of the first process what the copy's have besides weights: running statistics."""
        for m, encoder in given.items():
            overwrite(state(encoder)[STATISTICS], state(self.model.encoders[m])[STATISTICS])


@torch.no_grad()
def overwrite(tensors: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Copy values into tensors, across devices."""
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)


class Server:
    """What a process that is not the first does: the part of each batch that it is told to.

    Attributes:
        parts: {number of a forward: its part}, of those whose backward may come.
        device: where inputs and features travel: the memory of the machine if weights are divided.
    """

    def __init__(self, links: Links) -> None:
        self.links = links
        self.copy = Copy(links)
        self.parts: dict[int, Part] = {}
        self.device = torch.device("cpu")

    def serve(self) -> None:
        """Do what is ordered until the end is."""
        while (order := self.links.hear())["what"] != "end":
            {"forward": self._forward, "backward": self._backward}[order["what"]](order)

    def _forward(self, order: Mapping[str, Any]) -> None:
        for number in order["released"]:
            self.parts.pop(number, None)
        if order["model"] is not None:
            self.copy.build(order["model"], order["device"])
            self.device = torch.device("cpu") if self.copy.model.config.sharded else self.copy.device
        for m, (dtype, kinds) in order["changed"].items():
            self.copy.take(m, dtype, kinds)
        counts, own = order["counts"], order["counts"][self.links.rank]
        self.links.among(sum(map(bool, counts)))
        if not own:
            return
        inputs = {m: self._received([own, *shape], dtype) for m, (shape, dtype) in order["inputs"].items()}
        part = self.copy.forward(inputs, order["modes"], order["grad"], order["seed"], sum(map(bool, counts)))
        for features in part.outputs.values():
            self.links.send(features.detach().to(self.device), 0)
        if order["grad"]:
            self.parts[order["number"]] = part

    def _received(self, shape: Sequence[int], dtype: str) -> Tensor:
        return self.links.receive(torch.empty(shape, dtype=getattr(torch, dtype), device=self.device), 0)

    def _backward(self, order: Mapping[str, Any]) -> None:
        part = self.parts.get(order["number"])
        if part is None:
            return
        given = {
            m: self.links.receive(torch.empty_like(part.outputs[m], device=self.device), 0).to(self.copy.device)
            for m in order["modalities"]
        }
        summed(self.links, part, given, order["first"])


def summed(links: Links, part: Part, gradients: Mapping[str, Tensor], first: int) -> list[Tensor | None]:
    """In the first process: gradients of all processes' features to those of the weights of these modalities."""
    own, weights = part.backward(gradients), [w for m in gradients for w in part.weights[m]]
    return divided.collect(links, own, weights) if part.divided else links.add(own, weights, first)
