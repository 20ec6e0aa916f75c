"""The adaptive loss with the posteriors of a scored run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from curate.scores.gap import loss_kind
from curate.scores.scoring import centres_of
from curate.table import Table

from .losses import adaptive_loss, gap_scale, modality_gaps
from .rows import Rows


class AdaptiveLoss(nn.Module):
    """The adaptive loss with the posteriors of a scored run, see `adaptive_loss`.

        loss = AdaptiveLoss(curate.open("curate.duckdb"))
        for epoch in range(10):
            for ids, labels, sound, frames in loader:
                audio, visual, fused = model(sound, frames)
                loss(ids, labels, {"audio": audio, "visual": visual}, fused, epoch).backward()

    Args:
        table: as `curate.open` gives it.
        run: the scored run; the newest when left out.
        alpha: weight of the fused cross-entropy.
        beta: of the squared gap.
        gamma: of the squared distance of the gap to the balanced location.
        decay: base of lambda = decay^epoch.
        unimodal: whether sum_m CE(l_m) is part of it.
    """

    w0: Tensor

    def __init__(
        self,
        table: Table,
        run: str | None = None,
        *,
        alpha: float = 1.0,
        beta: float = 1.0,
        gamma: float = 1.0,
        decay: float = 0.96,
        unimodal: bool = True,
    ) -> None:
        super().__init__()
        self.alpha, self.beta, self.gamma, self.decay, self.unimodal = alpha, beta, gamma, decay, unimodal
        self.register_buffer("w0", torch.empty(0, 0), persistent=False)
        self.refresh(table, run)

    def refresh(self, table: Table, run: str | None = None) -> None:
        """Take the posteriors of another scored run, e.g. of `Recorder.score` after an epoch of one's own."""
        scored = table.find_run(run, kind="score", status=None if run else "done")
        found, kind = table.scored(scored.run_id), scored.gap_kind or "prob"
        self.modalities, self.kind = scored.modalities, loss_kind(kind)
        self.centres = centres_of(found, kind) or tuple(float(f.locs[f.balanced]) for f in found.fits)
        self.run_id = scored.run_id
        self.w0 = torch.from_numpy(found.p_balanced).float().to(self.w0.device)
        self._rows = Rows(self.run_id, found.sample_ids, scored.modalities)

    @override
    def forward(
        self, sample_ids: Sequence[Any], labels: Tensor, logits: Mapping[str, Tensor], fused: Tensor, epoch: int = 0
    ) -> Tensor:
        """A scalar.

        Args:
            sample_ids: (B,) ids of scored samples.
            epoch: counted from 0.

        Raises:
            ValueError: there are more ids than labels, or fewer.
            CurateError: a sample was not scored, or a modality of the run is missing.
        """
        ordered = self._rows.ordered(logits)
        rows = self._rows.of(sample_ids, labels, self.w0.device)
        return adaptive_loss(
            modality_gaps(ordered, labels, self.kind),
            ordered,
            fused,
            labels,
            self.w0[rows].to(fused.device),
            self.centres,
            annealing=self.decay**epoch,
            alpha=self.alpha,
            beta=self.beta,
            gamma=self.gamma,
            scale=gap_scale(self.kind, fused.shape[1]),
            unimodal=self.unimodal,
        )
