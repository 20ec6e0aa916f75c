"""Values of a scored run by sample id, for losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from curate.errors import CurateError, counted


def texts(sample_ids: Any) -> list[str]:
    """Ids as the table has them: texts, of whole numbers their digits."""
    return [str(i) for i in listed(sample_ids)]


def listed(values: Any) -> list[Any]:
    """Ids or labels, of a tensor, an array or a list of whatever, as Python values."""
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    return values.tolist() if isinstance(values, np.ndarray) else [_plain(v) for v in values]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor | np.generic) else value


class Rows:
    """The rows of samples in the arrays of a run.

    Args:
        run_id: for errors.
        sample_ids: (N,) ids of the run.
        modalities: of the run, in declared order.
    """

    def __init__(self, run_id: str, sample_ids: NDArray[np.str_], modalities: Sequence[str]) -> None:
        self.run_id, self.modalities = run_id, tuple(modalities)
        self._row = {str(i): row for row, i in enumerate(sample_ids)}

    def of(self, sample_ids: Sequence[Any], labels: Tensor, device: torch.device) -> Tensor:
        """(B,) row numbers.

        Args:
            sample_ids: (B,) of the batch.
            labels: (B,) of the same samples.

        Raises:
            ValueError: there are more ids than labels, or fewer.
            CurateError: a sample is not among those of the run.
        """
        if len(sample_ids) != len(labels):
            raise ValueError(
                f"{counted(len(sample_ids), 'sample id')} and {counted(len(labels), 'label')}: give those of one batch"
            )
        ids = texts(sample_ids)
        if missing := [i for i in ids if i not in self._row]:
            raise CurateError(
                f"{len(missing)} of {counted(len(ids), 'sample')} {'is' if len(missing) == 1 else 'are'} "
                f"not scored in {self.run_id}: {', '.join(missing[:3])}",
                "train on the samples that were scored, as `samples.sample_id` has them",
            )
        return torch.tensor([self._row[i] for i in ids], device=device)

    def ordered(self, logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The logits of the run's modalities, in their order.

        Raises:
            CurateError: a modality is missing.
        """
        if absent := [m for m in self.modalities if m not in logits]:
            raise CurateError(
                f"{self.run_id} was scored by {', '.join(self.modalities)}, no logits of {', '.join(absent)} are given",
                "give the logits of all of them",
            )
        return {m: logits[m] for m in self.modalities}
