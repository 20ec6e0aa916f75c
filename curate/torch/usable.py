"""The usability-weighted loss with the probabilities of a scored run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from typing_extensions import override

from curate.arguments import one_of
from curate.table import Table

from .losses import MODES, usable_loss
from .rows import Rows


class UsableLoss(nn.Module):
    """Each unimodal loss as far as the modality is usable on the sample, see `usable_loss`; the code of `usable`.

        loss = UsableLoss(curate.open("curate.duckdb"))
        for ids, labels, sound, frames in loader:
            audio, visual, fused = model(sound, frames)
            loss(ids, labels, {"audio": audio, "visual": visual}, fused).backward()

    If no broken group was found, it is `multimodal_cross_entropy`; `found` says whether one was.

    Args:
        table: as `curate.open` gives it.
        run: the scored run, with usability; the newest when left out.
        mode: `soften` moves the target of a broken modality to the uniform distribution; `skip` leaves it out.

    Raises:
        ValueError: the mode is not known.
    """

    p_broken: Tensor

    def __init__(self, table: Table, run: str | None = None, *, mode: Literal["soften", "skip"] = "soften") -> None:
        super().__init__()
        one_of("mode", mode, MODES)
        self.mode = mode
        self.register_buffer("p_broken", torch.empty(0, 0), persistent=False)
        self.refresh(table, run)

    def refresh(self, table: Table, run: str | None = None) -> None:
        """Take the probabilities of another scored run.

        Raises:
            CurateError: nothing is known of usability there.
        """
        scored = table.find_run(run, kind="score", status=None if run else "done")
        ids, known = table.store.usability.p_broken(scored.run_id)
        self.modalities, self.run_id, self.found = scored.modalities, scored.run_id, bool(known.any())
        self.p_broken = torch.from_numpy(known).float().to(self.p_broken.device)
        self._rows = Rows(self.run_id, ids, scored.modalities)

    @override
    def forward(self, sample_ids: Sequence[Any], labels: Tensor, logits: Mapping[str, Tensor], fused: Tensor) -> Tensor:
        """A scalar.

        Args:
            sample_ids: (B,) ids of scored samples.

        Raises:
            ValueError: there are more ids than labels, or fewer.
            CurateError: a sample was not assessed, or a modality of the run is missing.
        """
        ordered = self._rows.ordered(logits)
        broken = self.p_broken[self._rows.of(sample_ids, labels, self.p_broken.device)].to(fused.device)
        return usable_loss(ordered, fused, labels, broken, self.mode)
