"""The one place that knows of several processes: the encoders of one model run in all of them.

The first process runs the command as it does alone: data, augmentation, fusion, heads, losses, methods, optimizer,
checkpoints, the table and messages are only there. Where the model computes features (`FusionModel.encode`), a batch is
cut into contiguous slices, one a process; each encodes its own, and in the backward pass the gradients of the weights
are summed into the first process. So the same batches give the same weights as one process, up to rounding, whatever a
method does with features, gradients, prototypes or running statistics; it knows of no process. Of a scoring each sample
is encoded once, and the first process writes.

What one process would compute from the whole batch inside an encoder is batch norm alone; see `WholeBatchNorm`. Dropout
inside encoders has other random numbers than one process has, by process, of the same distribution.

What does not run in all processes is right too, but no faster: encoders that a method runs itself (`greedy`), those of
features computed beforehand, those that someone watches by a forward hook (usability), a batch of one sample.

Not here: sharded weights (each process has all weights of the encoders), and a reduction of gradients that overlaps the
backward pass, since the gradients of a method's several losses are asked for one by one.

Letters: B batch, D features.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from typing_extensions import override

from curate.errors import CurateError
from curate.render import Message
from curate.train.data.samples import mix_seed
from curate.train.methods.method import Method
from curate.train.models.encoders import body_of
from curate.train.models.features import StandardisedFeatures
from curate.train.models.model import FusionModel

from .launch import Launched
from .links import Disconnected, Links
from .parts import Part, description, forward, modes, state

State = list[tuple[int, ...]]


class Team:
    """The processes of one command, seen from the first; models use it as their `spread`.

    Args:
        launched: the other processes, started here; None if `torchrun` started them.

    Attributes:
        world: how many processes there are.
        forwards: how many there were in all of them.
        released: numbers of those whose backward cannot come any more.
    """

    def __init__(self, world: int, launched: Launched | None = None) -> None:
        self.world = world
        self.forwards = 0
        self.released: list[int] = []
        self._launched = launched
        self._links: Links | None = None
        self._broken = False
        self._built = ""
        self._sent: dict[str, tuple[Callable[[], nn.Module | None], State]] = {}
        self._stream = (0, 0)
        self._said: set[str] = set()

    def __deepcopy__(self, memo: object) -> Team:
        """A copy of a model runs in the same processes."""
        return self

    @property
    def links(self) -> Links:
        """The connections, made when they are first used."""
        if self._links is None:
            self._links = Links(0, self.world) if self._launched is None else self._launched.links()
        return self._links

    @property
    def shown(self) -> str:
        """A line for the user."""
        threads = torch.get_num_threads()
        return f"encoders run in {self.world} processes, {threads} thread{'s' if threads > 1 else ''} each"

    def close(self) -> None:
        """Let the other processes end."""
        try:
            # Those that torchrun started wait for an order, even if the command had none for them.
            if not self._broken and (self._links is not None or self._launched is None):
                self.links.tell({"what": "end"})
                self.links.close()
        except Disconnected:
            self._broken = True
        finally:
            if self._launched is not None:
                self._launched.close(wait=self._links is not None and not self._broken)
            self._broken = True

    def join(self, model: FusionModel, method: Method, device: torch.device, message: Message) -> None:
        """Let a model run in these processes; says, once, what does not.

        Raises:
            CurateError: it cannot run in several.
        """
        if model.config.compile:
            raise CurateError("model.compile=true is for one process", "leave --processes or model.compile out")
        if device.type == "cuda" and device.index:
            raise CurateError(f"each process has a card of its own, --device {device} names one", "leave --device out")
        model.spread = self
        if all(map(_light, model.encoders.children())):
            self._say(f"{', '.join(model.modalities)}: features have no encoders for several processes", message)
        elif not method.uses_encode:
            self._say(f"{method.name} runs the encoders itself, in one process: others do not make it faster", message)

    def _say(self, line: str, message: Message) -> None:
        if line not in self._said:
            self._said.add(line)
            message(line)

    def run(self, model: FusionModel, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{m: input} to the encoders' features {m: (B, D)}, as `FusionModel.run_encoders` has them.

        Raises:
            CurateError: another process has ended.
        """
        counts = split(min(map(len, inputs.values())), self.world)
        shared = {m: x for m, x in inputs.items() if counts[1:2] != [0] and _worth(model.encoders[m], x, sum(counts))}
        alone = model.run_encoders({m: x for m, x in inputs.items() if m not in shared})
        if not shared:
            return alone
        grad = torch.is_grad_enabled()
        weights = {m: model.encoder_parameters(m) if grad else [] for m in shared}
        whole = Whole(self, model, shared, counts, weights)
        features = alone | dict(zip(shared, whole.features(), strict=True))
        return {m: features[m] for m in inputs}

    @contextmanager
    def order(self) -> Iterator[Links]:
        """The connections for one exchange; after an exchange that was broken off there is no other.

        Raises:
            CurateError: another process has ended.
        """
        if self._broken:
            raise CurateError("the processes of this run are not together any more", "begin the command again")
        self._broken = True
        try:
            yield self.links
            self._broken = False
        except Disconnected as error:
            reason = self._links.failure() if self._links else ""
            if not reason and self._launched:
                reason = self._launched.ended()
            raise CurateError(
                f"one of the {self.world} processes ended before the others: {reason or error}",
                "finished epochs are kept; go on with --resume. If memory was short, use fewer processes, or a smaller "
                "optim.batch_size",
            ) from None

    def seed(self, value: int) -> None:
        """Let the random numbers of dropout depend on this, and on how many forwards there were since."""
        self._stream = (value, 0)

    def next_seed(self) -> int:
        """The seed of dropout for the next forward."""
        value, count = self._stream
        self._stream = (value, count + 1)
        return mix_seed(value, count)

    def told(self, model: FusionModel) -> str | None:
        """What other processes make the model's encoders from, if they have others."""
        text = description(model)
        if text == self._built:
            return None
        self._built, self._sent = text, {}
        return text

    def changed(self, encoder: nn.Module, modality: str) -> list[int]:
        """Which kinds of an encoder's `state` the other processes do not have as they are now; these are sent then."""
        now = [tuple(x for t in tensors for x in (t._version, t.data_ptr())) for tensors in state(encoder)]
        of, before = self._sent.get(modality, (lambda: None, now))
        self._sent[modality] = (weakref.ref(encoder), now)
        return [kind for kind, value in enumerate(now) if value and (of() is not encoder or before[kind] != value)]


class Whole:
    """One forward of encoders in all processes.

    Args:
        inputs: {m: (B, ...)}.
        counts: samples of each process.
        weights: {m: the encoder's parameters that may get a gradient}.
    """

    def __init__(
        self,
        team: Team,
        model: FusionModel,
        inputs: Mapping[str, Tensor],
        counts: Sequence[int],
        weights: Mapping[str, list[nn.Parameter]],
    ) -> None:
        self.team, self.model, self.inputs, self.counts, self.weights = team, model, inputs, list(counts), weights
        self.first = sum(map(bool, counts))
        team.forwards += 1
        self.number = team.forwards
        self.part: Part
        self.ends = list(accumulate(counts))

    def features(self) -> tuple[Tensor, ...]:
        """(B, D) of each modality; those of encoders that are trained can be differentiated."""
        every = [p for own in self.weights.values() for p in own]
        if not every:
            return self.forward()
        weakref.finalize(self, self.team.released.append, self.number).atexit = False
        result: tuple[Tensor, ...] = _Spread.apply(self, *every)  # type: ignore[no-untyped-call]
        return result

    def forward(self) -> tuple[Tensor, ...]:
        """Send the other processes their slices, run this one's, and collect the features."""
        team, model, grad = self.team, self.model, any(self.weights.values())
        encoders = {m: model.encoders.get_submodule(m) for m in self.inputs}
        flags = {m: modes(e) for m, e in encoders.items()}
        seed = team.next_seed() if any(any(f) for f in flags.values()) else None
        with team.order() as links:
            told = team.told(model)
            changed = {m: team.changed(e, m) for m, e in encoders.items()}
            links.tell(
                {
                    "what": "forward",
                    "number": self.number,
                    "released": [team.released.pop() for _ in range(len(team.released))],
                    "model": told,
                    "device": next(iter(self.inputs.values())).device.type,
                    "changed": {m: [_dtype(encoders[m]), kinds] for m, kinds in changed.items() if kinds},
                    "counts": self.counts,
                    "inputs": {m: [x.shape[1:], str(x.dtype).split(".")[1]] for m, x in self.inputs.items()},
                    "modes": flags,
                    "grad": grad,
                    "seed": seed,
                }
            )
            for m, kinds in changed.items():
                for kind in kinds:
                    links.copy(state(encoders[m])[kind])
            links.among(self.first)
            wait = links.sender([(self._slice(x, to), to) for x in self.inputs.values() for to in self._others()])
            own = {m: self._slice(x, 0) for m, x in self.inputs.items()}
            self.part = forward(model, own, grad, seed, links, self.first)
            wait()
            return tuple(self._collected(links, features) for features in self.part.outputs.values())

    def _others(self) -> range:
        return range(1, self.first)

    def _slice(self, x: Tensor, of: int) -> Tensor:
        return x[self.ends[of] - self.counts[of] : self.ends[of]]

    def _collected(self, links: Links, own: Tensor) -> Tensor:
        """This process's features and those of the others, (B, D)."""
        result = own.new_empty((self.ends[-1], *own.shape[1:]))
        result[: len(own)] = own.detach()
        for of in self._others():
            links.receive(self._slice(result, of), of)
        return result

    def backward(self, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Gradients of the features, None where there is none, to those of all weights."""
        given = {
            m: g
            for m, g in zip(self.inputs, gradients, strict=True)
            if g is not None and self.part.outputs[m].requires_grad
        }
        weights = [w for m in given for w in self.part.weights[m]]
        with self.team.order() as links:
            links.tell({"what": "backward", "number": self.number, "modalities": list(given), "first": self.first})
            wait = links.sender([(self._slice(g, to), to) for g in given.values() for to in self._others()])
            own = self.part.backward({m: self._slice(g, 0) for m, g in given.items()})
            wait()
            sums = iter(links.add(own, weights, self.first))
        return [next(sums) if m in given else None for m, own in self.weights.items() for _ in own]


class _Spread(torch.autograd.Function):
    """`Whole` as one operation whose inputs are the trained weights."""

    @staticmethod
    @override
    def forward(ctx: Any, whole: Whole, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.whole = whole
        features = whole.forward()
        fixed = [f for f, own in zip(features, whole.part.outputs.values(), strict=True) if not own.requires_grad]
        ctx.mark_non_differentiable(*fixed)
        return features

    @staticmethod
    @override
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        return None, *ctx.whole.backward(gradients)


def split(size: int, world: int) -> list[int]:
    """How many of `size` samples each process gets: as equally as can be, the first ones more."""
    each, more = divmod(size, world)
    return [each + (rank < more) for rank in range(world)]


def _worth(encoder: nn.Module, x: Tensor, size: int) -> bool:
    """Whether an encoder is run in all processes."""
    if _light(encoder) or x.requires_grad or len(x) != size:
        return False
    return not any(part._forward_hooks for part in encoder.modules())


def _light(encoder: nn.Module) -> bool:
    """Whether to send an encoder's input costs as much as to run it: on features, at most one hidden layer."""
    return isinstance(body_of(encoder), StandardisedFeatures)


def _dtype(encoder: nn.Module) -> str:
    """The type of an encoder's weights."""
    kind = next((p.dtype for p in encoder.parameters() if p.is_floating_point()), torch.float32)
    return str(kind).split(".")[1]
