"""Which class a warm-up preferred to the label, and by how much. Not of the papers. Pure.

The margin of a modality on a sample is log p(label) - log p(its other class), each p the weighted mean over the
warm-up's epochs, see `heart`; the other class is the one that it finds most probable besides the label.

Letters: N samples, M modalities, K classes, E epochs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from curate.types import FUSED, Floats

LEAST = 1e-3
"""Lower bound of a probability before the logarithm."""


@dataclass(frozen=True)
class Preferences:
    """What modalities and the fusion found probable over a warm-up; the fusion is last.

    Attributes:
        own: (N, M + 1) mean probability of the label.
        other: (N, M + 1) the class that each finds most probable besides it.
        cross: (N, M + 1, M + 1) mean probability, by the one in the last axis, of the other class of the one before.
    """

    own: Floats
    other: NDArray[np.int64]
    cross: Floats

    def margin(self, by: int, of: int | None = None) -> Floats:
        """(N,) how much `by` prefers the label to the other class of `of`, or to its own; nats, negative = less."""
        other = self.cross[:, by if of is None else of, by]
        result: Floats = np.log(np.maximum(self.own[:, by], LEAST)) - np.log(np.maximum(other, LEAST))
        return result

    def led_by(self, m: int, said: Preferences) -> Preferences:
        """The same with a modality in the place of the fusion: labels are then judged by it, see `bounds.decider`.

        Args:
            said: of the same samples, with weights of epochs by what this modality does not know by heart; what the
                others know is weighed as before.
        """
        own, other, cross = self.own.copy(), self.other.copy(), self.cross.copy()
        own[:, -1], other[:, -1] = said.own[:, m], said.other[:, m]
        cross[:, -1], cross[:, :, -1] = said.cross[:, m], said.cross[:, :, m]
        cross[:, -1, -1] = said.cross[:, m, m]
        return Preferences(own, other, cross)

    def decided(self, labels: NDArray[np.int64]) -> tuple[Floats, NDArray[np.bool_], NDArray[np.int64]]:
        """(N,) how probable the class that the fusion gives is, whether it is another than the label, and that class.

        Args:
            labels: (N,).
        """
        own, cross = self.own[:, -1], self.cross[:, -1, -1]
        denied = cross > own
        return np.maximum(own, cross), denied, np.where(denied, self.other[:, -1], labels)

    def at_equal_frequency(self, labels: NDArray[np.int64]) -> Preferences:
        """The same, other classes being as probable as if they were as frequent as the label: times n_label / n_other.

        Args:
            labels: (N,). n of a class is the number of its samples plus 1.
        """
        counts = np.bincount(labels, minlength=int(self.other.max(initial=0)) + 1) + 1
        relative = counts[labels][:, None] / counts[self.other]
        return replace(self, cross=self.cross * relative[:, :, None])

    def at_equal_confidence(self, labels: NDArray[np.int64]) -> Preferences:
        """The same, other classes being as probable as if found as surely as the label: times t_label / t_other.

        Args:
            labels: (N,). t of a class, of each modality and the fusion, is the mean probability that it has on the
                samples with that label; 1 if there is none.
        """
        count = np.bincount(labels, minlength=int(self.other.max(initial=0)) + 1)
        found = np.column_stack([np.bincount(labels, own, len(count)) for own in self.own.T])
        surely = np.maximum(np.where(count[:, None] > 0, found / np.maximum(count, 1)[:, None], 1.0), LEAST)
        return replace(self, cross=self.cross * surely[labels][:, None] / surely[self.other])


def preferences(
    epochs: Iterable[Mapping[str, Floats]],
    names: Sequence[str],
    labels: NDArray[np.int64],
    weights: Mapping[str, Floats] | None = None,
) -> Preferences:
    """Preferences from the predictions of every epoch.

    Args:
        epochs: {modality or "fused": (N, K) probabilities} of each of E epochs.
        names: the modalities.
        labels: (N,).
        weights: {modality or "fused": (E,) weight of each epoch}, see `heart.epoch_weights`; None: all alike.
    """
    total, mass = {m: np.zeros(()) for m in (*names, FUSED)}, dict.fromkeys((*names, FUSED), 0.0)
    for number, probs in enumerate(epochs):
        for m in total:
            weight = 1.0 if weights is None else float(weights[m][number])
            total[m], mass[m] = total[m] + weight * probs[m], mass[m] + weight
    means, rows = [total[m] / mass[m] for m in total], np.arange(len(labels))
    others = []
    for mean in means:
        besides = mean.copy()
        besides[rows, labels] = -1.0
        others.append(besides.argmax(axis=1))
    return Preferences(
        np.stack([mean[rows, labels] for mean in means], axis=1),
        np.stack(others, axis=1),
        np.stack([np.stack([mean[rows, z] for mean in means], axis=1) for z in others], axis=1),
    )
