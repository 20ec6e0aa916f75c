"""Which labels a training would change, by what people decided and by what the scored table shows."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from curate.scores.relabel import at_random, corrected
from curate.scores.two_groups import CLAIMED

from .conclusions import unjudged
from .evidence import read_evidence

if TYPE_CHECKING:
    from curate.store.relabelled import Known
    from curate.store.store import Store
    from curate.types import Run

LabelChoice = Literal["given", "marked", "corrected", "random"]
FIX = "fix_label"
SHOWN = 5
"""Pairs of classes that are named."""


@dataclass(frozen=True)
class Corrections:
    """Labels of training samples that a training changes.

    Attributes:
        sample_ids, given, used, why: of the changed samples, ascending by id: the class in the data, the class that is
            trained with, and why, see `curate.scores.relabel`.
        samples: how many training samples there are.
        withheld: why what the fused prediction denies is left as it is; '' if it is not.
    """

    sample_ids: tuple[str, ...]
    given: tuple[str, ...]
    used: tuple[str, ...]
    why: tuple[str, ...]
    samples: int
    withheld: str = ""

    @property
    def digest(self) -> str:
        """Equal for equal changes."""
        rows = "\n".join(f"{i}\t{label}" for i, label in zip(self.sample_ids, self.used, strict=True))
        return hashlib.sha256(rows.encode()).hexdigest()[:16]

    def describe(self) -> str:
        """How many labels are changed, why, and from which class to which most often."""
        count = len(self.sample_ids)
        if not count:
            return "no label is changed" + (f": {self.withheld}" if self.withheld else "")
        reasons = ", ".join(f"{n} {why}" for why, n in Counter(self.why).most_common())
        pairs = Counter(zip(self.given, self.used, strict=True)).most_common(SHOWN)
        often = ", ".join(f"{given} to {used} ({n})" for (given, used), n in pairs)
        changed = f"{count} of {self.samples} labels {'is' if count == 1 else 'are'} changed"
        text = f"{changed} ({count / self.samples:.1%}; {reasons}), most often {often}"
        return text + (f"; not by prediction: {self.withheld}" if self.withheld else "")


def find_corrections(store: Store, run: Run, how: LabelChoice, seed: int) -> Corrections:
    """The labels that a training from a scored run changes.

    Args:
        how: `given` changes none; `marked` those that people marked `fix_label` with a class; `corrected` these, those
            marked without a class, and those that are probably wrong, see `curate.scores.labels`, where the fused
            prediction may be asked;
            `random` as many as `corrected`, of other samples of the same classes.
        seed: of the random ones.
    """
    known = store.relabelled.known(run)
    if how == "given":
        return _named(known, known.labels, np.full(len(known.labels), "", dtype=object), run.classes, "")
    denied, withheld = np.zeros(len(known.labels), dtype=np.bool_), ""
    other = np.full(len(known.labels), -1, dtype=np.int64)
    if how != "marked":
        withheld, other = _withheld(store, run, known), known.other
        if not withheld:
            denied = known.p_mislabelled > CLAIMED
    used, why = corrected(known.labels, other, denied, _decided(known, run.classes))
    if how == "random":
        used, why = at_random(known.labels, used, seed)
    return _named(known, used, why, run.classes, withheld)


def _withheld(store: Store, run: Run, known: Known) -> str:
    """Why what the fused prediction denies says nothing here; '' if it does."""
    if not known.assessed.any():
        return "nothing is known of them without the warm-up's epochs (score.dynamics)"
    if not np.isnan(known.p_mislabelled).all():
        return ""
    return unjudged(read_evidence(store, run.run_id))


def _decided(known: Known, classes: Sequence[str]) -> dict[int, int | None]:
    """{row: class that a person gave, or None: the label is wrong}; any other decision leaves the label as it is.

    A class that the data set does not have counts as not given.
    """
    found: dict[int, int | None] = {}
    for row, (mark, label) in enumerate(zip(known.marks, known.mark_labels, strict=True)):
        if mark == FIX:
            found[row] = classes.index(label) if label in classes else None
        elif mark is not None:
            found[row] = int(known.labels[row])
    return found


def _named(
    known: Known, used: NDArray[np.int64], why: NDArray[np.object_], classes: Sequence[str], withheld: str
) -> Corrections:
    rows = np.flatnonzero(used != known.labels).tolist()
    return Corrections(
        tuple(str(known.sample_ids[r]) for r in rows),
        tuple(classes[known.labels[r]] for r in rows),
        tuple(classes[used[r]] for r in rows),
        tuple(str(why[r]) for r in rows),
        len(known.labels),
        withheld,
    )
