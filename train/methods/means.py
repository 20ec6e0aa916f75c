"""What a method decided at each step, averaged over an epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor


class Means:
    """Means over an epoch of what a method decided at each step, for the table."""

    def __init__(self) -> None:
        self.totals: dict[tuple[str, str], Tensor] = {}
        self.steps = 0

    def add(self, **decided: Mapping[str, Tensor]) -> None:
        """One step's {modality: scalar} by metric."""
        self.steps += 1
        for metric, values in decided.items():
            for m, value in values.items():
                self.totals[m, metric] = self.totals.get((m, metric), 0) + value.detach()

    def rows(self) -> Sequence[tuple[str, str, float]]:
        """(modality, metric, mean over the steps)."""
        return [(m, metric, float(total / self.steps)) for (m, metric), total in self.totals.items()]
