"""One forward of encoders in all processes, seen from the first, and its backward.

Letters: B batch, D features.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from typing_extensions import override

from curate.train.models.model import FusionModel

from .links import Links
from .others import Others
from .parts import Part, forward, modes, state, summed


class Whole:
    """One forward of encoders in all processes.

    Args:
        inputs: {m: (B, ...)}.
        counts: samples of each process.
        weights: {m: the encoder's parameters that may get a gradient}.
    """

    def __init__(
        self,
        others: Others,
        model: FusionModel,
        inputs: Mapping[str, Tensor],
        counts: Sequence[int],
        weights: Mapping[str, list[nn.Parameter]],
    ) -> None:
        self.others, self.model, self.inputs, self.counts, self.weights = others, model, inputs, list(counts), weights
        self.first = sum(map(bool, counts))
        others.forwards += 1
        self.number = others.forwards
        self.part: Part
        self.ends = list(accumulate(counts))

    def features(self) -> tuple[Tensor, ...]:
        """(B, D) of each modality; those of encoders that are trained can be differentiated."""
        every = [p for own in self.weights.values() for p in own]
        if not every:
            return self.forward()
        weakref.finalize(self, self.others.released.append, self.number).atexit = False
        result: tuple[Tensor, ...] = _Spread.apply(self, *every)  # type: ignore[no-untyped-call]
        return result

    def forward(self) -> tuple[Tensor, ...]:
        """Send the other processes their slices, run this one's, and collect the features."""
        others, model, grad = self.others, self.model, any(self.weights.values())
        encoders = {m: model.encoders.get_submodule(m) for m in self.inputs}
        flags = {m: modes(e) for m, e in encoders.items()}
        seed = others.next_seed() if any(any(f) for f in flags.values()) else None
        with others.order() as links:
            told = others.told(model)
            changed = {m: (_dtype(e), kinds) for m, e in encoders.items() if (kinds := others.changed(e, m))}
            links.tell(
                {
                    "what": "forward",
                    "number": self.number,
                    "released": [others.released.pop() for _ in range(len(others.released))],
                    "model": told,
                    "device": others.device or next(iter(self.inputs.values())).device.type,
                    "changed": changed,
                    "counts": self.counts,
                    "inputs": {m: [x.shape[1:], str(x.dtype).split(".")[1]] for m, x in self.inputs.items()},
                    "modes": flags,
                    "grad": grad,
                    "seed": seed,
                }
            )
            copy = others.copy_here(told) if model.config.sharded else None
            for m, (dtype, kinds) in changed.items():
                if copy is not None:
                    copy.take(m, dtype, kinds, encoders[m])
                    continue
                for kind in kinds:
                    links.copy(state(encoders[m])[kind])
            links.among(self.first)
            wait = links.sender([(self._slice(x, to), to) for x in self.inputs.values() for to in self._rest()])
            own = {m: self._slice(x, 0) for m, x in self.inputs.items()}
            if copy is None:
                self.part = forward(model, own, grad, seed, links, self.first)
            else:
                self.part = copy.forward(own, flags, grad, seed, self.first)
                copy.return_statistics(encoders if seed is not None else {})
            wait()
            return tuple(self._collected(links, features) for features in self.part.outputs.values())

    def _rest(self) -> range:
        return range(1, self.first)

    def _slice(self, x: Tensor, of: int) -> Tensor:
        return x[self.ends[of] - self.counts[of] : self.ends[of]]

    def _collected(self, links: Links, own: Tensor) -> Tensor:
        """This process's features and those of the others, (B, D)."""
        where = next(iter(self.inputs.values())).device
        result = own.new_empty((self.ends[-1], *own.shape[1:]), device=where)
        result[: len(own)] = own.detach()
        for of in self._rest():
            links.receive(self._slice(result, of), of)
        return result

    def backward(self, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Gradients of the features, None where there is none, to those of all weights."""
        given = {
            m: g
            for m, g in zip(self.inputs, gradients, strict=True)
            if g is not None and self.part.outputs[m].requires_grad
        }
        with self.others.order() as links:
            links.tell({"what": "backward", "number": self.number, "modalities": list(given), "first": self.first})
            wait = links.sender([(self._slice(g, to), to) for g in given.values() for to in self._rest()])
            own = {m: self._slice(g, 0).to(self.part.outputs[m].device) for m, g in given.items()}
            sums = iter(summed(links, self.part, own, self.first))
            wait()
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


def _dtype(encoder: nn.Module) -> str:
    """The type of an encoder's weights."""
    kind = next((p.dtype for p in encoder.parameters() if p.is_floating_point()), torch.float32)
    return str(kind).split(".")[1]
