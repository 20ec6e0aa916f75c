"""Half precision of the encoders: the context they run in, and the scale that keeps float16 gradients above zero."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from curate.errors import NonFiniteError

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
START, LARGEST = 2.0**16, 2.0**24
"""The first scale, and the largest."""
PATIENCE = 2000
"""Steps without an overflow after which the scale doubles."""


class Precision:
    """How encoders compute. Heads, losses, logits and stored weights are float32 in every case.

    Gradients of float16 below 6e-8 would be zero. So what flows into the encoders is multiplied by a scale, and each
    of their weights' gradients is divided by it, in float32: whatever a method does with losses and gradients, it
    never sees the scale. A step in which a gradient overflowed is left out, and the scale halved.

    Args:
        name: `fp32`, `bf16` or `fp16`.

    Attributes:
        scaled: whether gradients have a scale: with `fp16`.
        scale: of gradients inside the encoders.
        good: steps since it last changed.
    """

    def __init__(self, name: str = "fp32") -> None:
        self.name = name
        self.scaled = name == "fp16"
        self.scale = START if self.scaled else 1.0
        self.good = 0
        self._watched: set[int] = set()

    def __deepcopy__(self, memo: object) -> Precision:
        """The same scale for a copy of the model, whose weights are others."""
        copied = Precision(self.name)
        copied.scale, copied.good = self.scale, self.good
        return copied

    def autocast(self, device: torch.device, *modules: nn.Module) -> torch.autocast:
        """The context in which these modules run; their weights' gradients come without the scale from now on."""
        if self.scaled:
            for p in (p for module in modules for p in module.parameters()):
                if p.requires_grad and id(p) not in self._watched:
                    self._watched.add(id(p))
                    p.register_hook(lambda gradient: gradient / self.scale)
        return torch.autocast(device.type, dtype=DTYPES.get(self.name, torch.bfloat16), enabled=self.name in DTYPES)

    def leave(self, features: Tensor) -> Tensor:
        """Features (B, D) on their way from an encoder to fusion and heads, as float32 or wider."""
        wide = features.to(torch.promote_types(features.dtype, torch.float32))
        if self.scaled and wide.requires_grad:
            wide = wide.view_as(wide)  # the features themselves may have other uses
            wide.register_hook(lambda gradient: gradient * self.scale)
        return wide

    def after_step(self, overflow: bool) -> None:
        """Adapt the scale.

        Raises:
            NonFiniteError: gradients overflow without any scale.
        """
        if overflow and self.scale == 1:
            raise NonFiniteError(
                "gradients are not finite in float16, even without a scale", "use --precision bf16, or lower optim.lr"
            )
        self.good = 0 if overflow else self.good + 1
        if overflow:
            self.scale /= 2
        elif self.good == PATIENCE:
            self.good, self.scale = 0, min(self.scale * 2, LARGEST)
