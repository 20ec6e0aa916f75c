"""In which epochs of a run a method acts: the published share of the published epochs, or epochs that are set."""

from __future__ import annotations

from dataclasses import dataclass

NEVER = 1 << 30
"""An epoch that no run reaches."""


@dataclass(frozen=True)
class Window:
    """The epochs in which a method acts in its published runs, counted from 0.

    Attributes:
        first: the first of them.
        stop: the one after the last; None is the end of the run.
        epochs: of a published run.
    """

    first: int
    stop: int | None
    epochs: int

    def of(self, epochs: int, first: int | None, last: int | None = None) -> range:
        """The epochs of a run in which a method acts.

        With no end of its own, an end is the published share of the run's epochs, rounded to the nearest epoch, halves
        up; between two such ends lies at least one epoch.

        Args:
            epochs: of the run; 0 when unknown, which takes the published epochs as they stand.
            first: the first epoch, counted from 0; None is the published share.
            last: the last epoch, included; None is the published share.
        """
        begin = self._share(self.first, epochs) if first is None else first
        if last is not None:
            return range(begin, last + 1)
        if self.stop is None:
            return range(begin, NEVER)
        stop = self._share(self.stop, epochs)
        return range(begin, max(stop, begin + 1) if first is None else stop)

    def _share(self, epoch: int, epochs: int) -> int:
        return (2 * epoch * epochs + self.epochs) // (2 * self.epochs) if epochs else epoch


def window_rules(first: int | None, last: int | None = None, names: str = "first_epoch, last_epoch") -> dict[str, bool]:
    """What must hold of set ends, for `check_ranges`."""
    one, _, other = names.partition(", ")
    rules = {f"{one} >= 0": first is None or first >= 0}
    if other:
        rules |= {f"{other} >= 0": last is None or last >= 0}
        rules |= {f"{other} >= {one}": first is None or last is None or last >= first}
    return rules
