"""How each sample's gap changed over the warm-up: samples that stay imbalanced differ from those that were so once.

Letters: N samples.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

GAPS = (
    "SELECT g.sample_id, g.pair, g.epochs, g.mean_gap, g.sd_gap, g.share_first_ahead, g.share_second_ahead, "
    "d.forgotten, g.planted FROM gap_dynamics g JOIN dynamics d USING (run_id, sample_id) "
    "WHERE g.run_id = ? AND d.modality = 'fused' ORDER BY g.pair, g.sample_id"
)
STAYS = 0.5
"""A modality that is ahead in at least this share of the epochs counts as staying ahead."""
KINDS = ("stays with {}", "at times", "never")


def classify(gaps: pd.DataFrame, pair: tuple[str, str]) -> pd.Series:
    """(N,) kind of each sample: one modality was ahead in half of the epochs or more, in fewer, or never."""
    first, second = gaps["share_first_ahead"].to_numpy(), gaps["share_second_ahead"].to_numpy()
    stays, at_times, never = KINDS
    kinds = np.where(np.maximum(first, second) > 0, at_times, never).astype(object)
    kinds[second >= STAYS] = stays.format(pair[1])
    kinds[(first >= STAYS) & (first >= second)] = stays.format(pair[0])
    return pd.Series(kinds, index=gaps.index)


def kinds_of(pair: tuple[str, str]) -> tuple[str, ...]:
    """The kinds in the order in which they are listed."""
    stays, *others = KINDS
    return (*(stays.format(m) for m in pair), *others)


def summary(gaps: pd.DataFrame, pair: tuple[str, str]) -> pd.DataFrame:
    """One row per kind: samples, their share, mean gap, its spread over the epochs, and the share the fusion forgot.

    If it is known what was degraded on purpose, `planted` is the share of samples with exactly one degraded modality.
    """
    known = gaps["planted"].notna().all()
    frame = pd.DataFrame(
        {
            "kind": classify(gaps, pair),
            "mean_gap": gaps["mean_gap"],
            "sd_gap": gaps["sd_gap"],
            "forgotten": (gaps["forgotten"] > 0).astype(float),
            "planted": gaps["planted"].map(lambda p: float(bool(p) and "+" not in p)) if known else np.nan,
        }
    )
    out = frame.groupby("kind").mean().reindex(kinds_of(pair))
    out.insert(0, "samples", frame.groupby("kind").size().reindex(kinds_of(pair), fill_value=0))
    out.insert(1, "share", out["samples"] / max(len(frame), 1))
    return out.reset_index()
