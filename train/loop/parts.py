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

from .links import Links


@dataclasses.dataclass
class Part:
    """A process's part of a forward.

    Attributes:
        outputs: {m: (B, D)} features of its samples.
        weights: {m: the encoder's trained parameters}, through which `outputs` can be differentiated.
    """

    outputs: dict[str, Tensor]
    weights: dict[str, list[Tensor]]

    def backward(self, gradients: Mapping[str, Tensor]) -> list[Tensor | None]:
        """Gradients of the outputs to those of the weights of these modalities; it can be called again."""
        weights = [w for m in gradients for w in self.weights[m]]
        outputs = [self.outputs[m] for m in gradients]
        return list(
            torch.autograd.grad(outputs, weights, list(gradients.values()), retain_graph=True, allow_unused=True)
        )


def forward(
    model: FusionModel, inputs: Mapping[str, Tensor], grad: bool, seed: int | None, links: Links, first: int
) -> Part:
    """Run the encoders on this process's samples.

    Parameters are replaced by aliases that share their memory: hooks of the parameters are for the sum over all
    processes, so they must not see this process's part.

    Args:
        model: whose encoders.
        inputs: {m: (B, ...)}.
        grad: whether a backward may follow.
        seed: of dropout, mixed with this process's number; None where nothing is in training mode. The random numbers
            of everything else are not touched.
        links: to the other processes, for batch norm.
        first: how many processes have a part.
    """
    part = Part({}, {})
    whole = model.config.sync_norm and first > 1 and seed is not None
    norms: AbstractContextManager[Any] = (
        WholeBatchNorm(lambda values: links.gather(values, first)) if whole else nullcontext()
    )
    own = None if seed is None else mix_seed(seed, links.rank)
    with _seeded(own, next(iter(inputs.values())).device), torch.set_grad_enabled(grad), norms:
        for m, x in inputs.items():
            trained = [(name, p) for name, p in model.encoders[m].named_parameters() if grad and p.requires_grad]
            aliases = {name: p.detach().requires_grad_() for name, p in trained}
            part.weights[m] = list(aliases.values())
            part.outputs[m] = functional_call(model.encoders[m], aliases, (x,))
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


class Server:
    """What a process that is not the first does: the part of each batch that it is told to.

    Attributes:
        parts: {number of a forward: its part}, of those whose backward may come.
    """

    def __init__(self, links: Links) -> None:
        self.links = links
        self.model: FusionModel
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
            cuda = order["device"] == "cuda"
            self.device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu")
            self.model = built(order["model"]).to(self.device)
        for m, (dtype, kinds) in order["changed"].items():
            encoder = self.model.encoders[m].to(getattr(torch, dtype))
            for kind in kinds:
                self.links.copy(state(encoder)[kind])
        counts, own = order["counts"], order["counts"][self.links.rank]
        self.links.among(sum(map(bool, counts)))
        if not own:
            return
        inputs = {m: self._received([own, *shape], dtype) for m, (shape, dtype) in order["inputs"].items()}
        for m, flags in order["modes"].items():
            every = list(self.model.encoders[m].modules())
            for module, training in zip(every, flags if len(flags) > 1 else flags * len(every), strict=True):
                module.training = training
        with self.model.precision.autocast(self.device):
            part = forward(self.model, inputs, order["grad"], order["seed"], self.links, sum(map(bool, counts)))
        for features in part.outputs.values():
            self.links.send(features.detach(), 0)
        if order["grad"]:
            self.parts[order["number"]] = part

    def _received(self, shape: Sequence[int], dtype: str) -> Tensor:
        return self.links.receive(torch.empty(shape, dtype=getattr(torch, dtype), device=self.device), 0)

    def _backward(self, order: Mapping[str, Any]) -> None:
        part = self.parts.get(order["number"])
        if part is None:
            return
        given = {m: self.links.receive(torch.empty_like(part.outputs[m]), 0) for m in order["modalities"]}
        weights = [w for m in given for w in part.weights[m]]
        self.links.add(part.backward(given), weights, order["first"])
