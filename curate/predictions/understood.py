"""One line on how saved predictions were read, before anything is computed."""

from __future__ import annotations

from collections import Counter

import numpy as np

from curate.blocks import by_row
from curate.datasets.base import SPLITS
from curate.datasets.rows import listed, similar
from curate.errors import counted

from .align import Saved


def understood(saved: Saved, name: str) -> str:
    """Ids, splits, classes, the kind of the numbers and its evidence, accuracy of each modality, what is left out."""
    parts = [
        f"{name}{f' ({saved.form})' if saved.form else ''}: {counted(len(saved.sample_ids), 'id')}, {_splits(saved)}",
        _classes(saved),
        *(f"{m}: {reading.kind} ({reading.why}){_right(saved, m)}" for m, reading in saved.readings.items()),
    ]
    if len(saved.epochs) > 1:
        parts.insert(1, f"{len(saved.epochs)} epochs, the newest {saved.epochs[0]}")
    wrong = saved.status != "ok"
    bad = Counter(zip(saved.status[wrong].tolist(), saved.reason[wrong].tolist(), strict=True))
    parts += [f"{count} {status} ({reason})" for (status, reason), count in sorted(bad.items())]
    return "; ".join(parts)


def _splits(saved: Saved) -> str:
    counts = {split: int((saved.splits == split).sum()) for split in SPLITS}
    shown = ", ".join(f"{count} {split}" for split, count in counts.items() if count)
    return f"{shown}, {len(saved.rounds[0].sample_ids)} to score"


def _classes(saved: Saved) -> str:
    seen = set(np.unique(saved.labels[(saved.splits == "train")]).tolist())
    absent = [name for k, name in enumerate(saved.classes) if k not in seen]
    shown = counted(len(saved.classes), "class", "classes")
    shown += f", in no training sample {listed(absent)}" if absent else ""
    alike = similar(saved.classes)
    return shown + (f", differing in case or spaces alone {listed(alike)}" if alike else "")


def _right(saved: Saved, modality: str) -> str:
    """Accuracy on the scored samples; if hardly above that of always predicting the commonest class, also its share."""
    newest = saved.rounds[0]
    found = by_row(lambda own, y: own.argmax(axis=1) == y, newest.probs[modality], newest.labels)
    right = float(found.mean())
    chance = float(np.bincount(newest.labels).max() / len(newest.labels))
    return f", right on {right:.0%}" + (f", the commonest class being {chance:.0%}" if right <= chance + 0.02 else "")
