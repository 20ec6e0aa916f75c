"""The lines of a stored comparison, with the share of the training data that each row was trained on."""

from __future__ import annotations

from dataclasses import replace

from curate.comparison.summary import Line, spread, summarize
from curate.store.store import Store


def measured(store: Store, name: str) -> list[Line]:
    """The lines of a comparison.

    Raises:
        CurateError: there is none of that name.
    """
    return [replace(line, kept=spread(_shares(store, line))) for line in summarize(store.comparisons.find(name))]


def _shares(store: Store, line: Line) -> list[float]:
    """Share of the samples, 0..1, with `p_balanced` of at least the row's threshold, seed by seed; 1 without one."""
    found = []
    for run in (store.runs.find(run_id) for run_id in line.run_ids):
        own = run.config.get("method", {})
        if own.get("selection"):
            continue  # a list of samples of one's own
        threshold = own.get("threshold") if run.kind == "train" else None
        if threshold is None:
            found.append(1.0)
        else:
            found.append(float((store.rounds.read(str(run.parent)).balanced >= threshold).mean()))
    return found
