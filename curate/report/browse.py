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

from .facts import largest
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
    unclaimed, size = frame["claim"].isin((NONE, WITHHELD)).to_numpy(), frame["gap"].abs().to_numpy()
    claimed, others = np.flatnonzero(~unclaimed), np.flatnonzero(unclaimed)
    top = [claimed[largest(size[claimed], MOST)], others[largest(size[others], max(MOST - len(claimed), 0))]]
    some = np.sort(np.concatenate(top))
    ranked = frame.iloc[some].assign(unclaimed=unclaimed[some], size=-size[some])
    ranked = ranked.sort_values(["unclaimed", "size", "sample_id"])
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
    index, classes = pd.factorize(samples["label_name"], sort=True)
    steps = np.round(np.linspace(0, 1, STEPS), 2)
    passed = np.searchsorted(steps, samples["p_balanced"].to_numpy(), side="right")  # so many thresholds keep it
    counts = np.bincount(index * (STEPS + 1) + passed, minlength=len(classes) * (STEPS + 1)).reshape(-1, STEPS + 1)
    at_least = counts[:, ::-1].cumsum(axis=1)[:, ::-1]  # of each class, those that so many keep, or more
    sizes = at_least[:, 0]
    found = []
    for place, threshold in enumerate(steps.tolist(), start=1):
        each = at_least[:, place]
        least = int(np.argmin(each / sizes)) if len(classes) else 0
        of_least = (printable(str(classes[least])), int(each[least])) if len(classes) else ("", 0)
        kept = int(each.sum())
        found.append((threshold, kept, kept / len(samples) if len(samples) else 0.0, *of_least))
    return found
