"""The samples in the report as a table that can be sorted, filtered and searched, and what each threshold keeps. Pure.

The page carries at most `MOST` samples, so its size is bounded; the tables in the folder `tables` are complete.

Letters: N samples, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from curate.render import printable
from curate.types import FUSED

from .usability import NONE, WITHHELD

MOST = 5000
"""Samples of which the page has a row; each takes about 100 bytes."""
FIRST = 25
"""Rows that are there without scripts, and on each side with them."""
STEPS = 101
"""Thresholds from 0 to 1 for which it is known what is kept."""
SHOWN = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Thresholds that are listed without scripts."""


def table(samples: pd.DataFrame, usability: pd.DataFrame, modalities: Sequence[str]) -> dict[str, Any]:
    """Rows for the page: claimed samples first, then by |gap|, ties by id.

    Args:
        samples: of `facts.scored_samples`.
        usability: of `usability.assessed`; may be empty.

    Returns:
        columns: names; rows: lists of texts and numbers rounded to three digits; total: N; classes and claims: what
        can be chosen to filter by.
    """
    frame = samples.assign(claim=WITHHELD)
    numbers = [f"p_{m}" for m in (*modalities, FUSED)] + ["gap", "p_balanced"]
    if len(usability):
        judged = [f"usability_{m}" for m in modalities]
        known = usability.set_index("sample_id")[[*judged, "claim"]].reindex(frame["sample_id"])
        frame = frame.assign(**{c: known[c].to_numpy() for c in known.columns})
        frame["claim"] = frame["claim"].fillna(WITHHELD)
        numbers += judged
    ranked = frame.assign(unclaimed=frame["claim"].isin((NONE, WITHHELD)), size=-frame["gap"].abs()).sort_values(
        ["unclaimed", "size", "sample_id"]
    )
    kept = ranked.head(MOST)
    names = ["sample_id", "label_name", "claim"]
    texts = [[printable(str(v)) for v in kept[c]] for c in names]
    values = [[None if pd.isna(v) else round(float(v), 3) for v in kept[c]] for c in numbers]
    return {
        "columns": ["sample", "class", "claimed broken", *(c.replace("_", " ") for c in numbers)],
        "rows": [list(row) for row in zip(*texts, *values, strict=True)],
        "total": len(frame),
        "classes": sorted(set(texts[1])),
        "claims": sorted(set(texts[2])),
    }


def thresholds(samples: pd.DataFrame) -> list[tuple[float, int, float, str, int]]:
    """What `select --threshold` would keep at each of `STEPS` thresholds.

    Returns:
        (threshold, kept, share of all in 0..1, the class of which the smallest share is kept, kept of it), ascending.
    """
    balanced, labels = samples["p_balanced"].to_numpy(), samples["label_name"].to_numpy(dtype=str)
    classes, index = np.unique(labels, return_inverse=True)
    sizes = np.bincount(index, minlength=len(classes))
    found = []
    for threshold in np.round(np.linspace(0, 1, STEPS), 2):
        kept = balanced >= threshold
        each = np.bincount(index[kept], minlength=len(classes))
        least = int(np.argmin(each / sizes)) if len(classes) else 0
        of_least = (printable(str(classes[least])), int(each[least])) if len(classes) else ("", 0)
        found.append((float(threshold), int(kept.sum()), float(kept.mean()) if len(kept) else 0.0, *of_least))
    return found
