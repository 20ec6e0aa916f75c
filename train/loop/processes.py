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
features computed beforehand, those that someone watches by a forward hook (usability), a batch of one sample, or of
fewer than processes if weights are divided.

Each process has all weights of the encoders, or with `model.sharded` its part of them, see `divided`.

Not here: a reduction of gradients that overlaps the backward pass, since the gradients of a method's several losses are
asked for one by one.

Letters: B batch, D features.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from curate.errors import CurateError, counted
from curate.render import Message
from curate.train.methods.method import Method
from curate.train.models.encoders import body_of
from curate.train.models.features import StandardisedFeatures
from curate.train.models.model import FusionModel

from .launch import Launched
from .meeting import Store
from .others import Others
from .whole import Whole


class Team(Others):
    """The processes of one command, seen from the first; models use it as their `spread`."""

    def __init__(self, world: int, launched: Launched | None = None, store: Store | None = None) -> None:
        super().__init__(world, launched, store)
        self._said: set[str] = set()

    def __deepcopy__(self, memo: object) -> Team:
        """A copy of a model runs in the same processes."""
        return self

    @property
    def shown(self) -> str:
        """A line for the user."""
        threads = torch.get_num_threads()
        return f"encoders run in {self.world} processes, {counted(threads, 'thread')} each"

    def join(self, model: FusionModel, method: Method, device: torch.device, message: Message) -> None:
        """Let a model run in these processes; says, once, what does not.

        Raises:
            CurateError: it cannot run in several.
        """
        if model.config.compile:
            raise CurateError("model.compile=true is for one process", "leave --processes or model.compile out")
        if device.type == "cuda" and device.index:
            raise CurateError(f"each process has a card of its own, --device {device} names one", "leave --device out")
        model.spread, self.device = self, device.type if model.config.sharded else ""
        if all(map(_light, model.encoders.children())):
            self._say(f"{', '.join(model.modalities)}: features have no encoders for several processes", message)
        elif not method.uses_encode:
            self._say(f"{method.name} runs the encoders itself, in one process: others do not make it faster", message)
        elif model.config.sharded:
            _check_divisible(model)
            line = f"each process has 1/{self.world} of the encoders' weights; the first keeps all in memory"
            self._say(line, message)

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
        least = self.world if model.config.sharded else 2  # divided encoders run in all processes, or in none
        several = sum(counts) >= least
        shared = {m: x for m, x in inputs.items() if several and _worth(model.encoders[m], x, sum(counts))}
        alone = model.run_encoders({m: x for m, x in inputs.items() if m not in shared})
        if not shared:
            return alone
        grad = torch.is_grad_enabled()
        weights = {m: model.encoder_parameters(m) if grad else [] for m in shared}
        whole = Whole(self, model, shared, counts, weights)
        features = alone | dict(zip(shared, whole.features(), strict=True))
        return {m: features[m] for m in inputs}


def split(size: int, world: int) -> list[int]:
    """How many of `size` samples each process gets: as equally as can be, the first ones more."""
    each, more = divmod(size, world)
    return [each + (rank < more) for rank in range(world)]


def _check_divisible(model: FusionModel) -> None:
    for m, encoder in model.encoders.items():
        single = [name for name, p in encoder.named_parameters() if not p.ndim]
        if single and not _light(encoder):
            raise CurateError(
                f"model.sharded: {single[0]} of the encoder of {m} is a single number, which cannot be divided",
                "leave model.sharded out, or choose another encoder",
            )


def _worth(encoder: nn.Module, x: Tensor, size: int) -> bool:
    """Whether an encoder is run in all processes."""
    if _light(encoder) or x.requires_grad or len(x) != size:
        return False
    return not any(part._forward_hooks for part in encoder.modules())


def _light(encoder: nn.Module) -> bool:
    """Whether to send an encoder's input costs as much as to run it: on features, at most one hidden layer."""
    return isinstance(body_of(encoder), StandardisedFeatures)
