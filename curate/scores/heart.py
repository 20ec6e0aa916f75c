"""How much an epoch tells of the samples that it was trained on, which in the end are known by heart. Pure.

Letters: E epochs.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from curate.types import FUSED, Floats

LEAST = 1e-9
"""Weight of an epoch at least: a sample that only such epochs have has a mean."""


def epoch_weights(right: Floats, held_out: Mapping[str, Floats], count: int, by: str = FUSED) -> dict[str, Floats]:
    """{modality or "fused": (E,) weight of each epoch's predictions of training samples, in (0, 1]}.

    A wrong label that is known by heart is no longer denied. So an epoch counts for what the fusion does not know by
    heart, r, and for what the modality has learnt, a: its weight is (r a^2)^2, with r = (1 - right + 1/n) / (1 -
    held_out + 1/n), the errors of the fusion on training samples over those on n held-out ones, at most 1, and a the
    modality's accuracy on held-out samples over its highest. The outer square keeps many epochs that are known by heart
    from outweighing the few before; none counts less than `LEAST`. Predictions out of fold have r near 1 throughout.

    Args:
        right: (E,) share of the training samples that the fusion is right on, or the one by whom labels are judged.
        held_out: {modality or "fused": (E,) share of the held-out samples that it is right on}.
        count: n, above 0.
        by: whose r that is: a modality may not know by heart what the fusion does, see `bounds.decider`.
    """
    unseen = np.minimum((1 - right + 1 / count) / (1 - held_out[by] + 1 / count), 1)
    return {m: np.maximum((unseen * _of_highest(values) ** 2) ** 2, LEAST) for m, values in held_out.items()}


def _of_highest(values: Floats) -> Floats:
    """(E,) parts of the highest; 1 throughout where all are 0."""
    highest = float(values.max(initial=0.0))
    parts: Floats = values / highest if highest > 0 else np.ones_like(values)
    return parts
