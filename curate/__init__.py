"""`curate`: find the samples of a multimodal training set that one modality carries alone, and query them with SQL.

The commands without the terminal:

    table = curate.open("curate.duckdb")
    table.samples()                          # the wide view as a DataFrame
    table.sql("SELECT * FROM by_class")      # the result of any SELECT as a DataFrame
    table.choose("clean", threshold=0.8)     # a stored selection, which prints as a table; see curate.table
    table.score("preds.csv")                 # scores saved predictions of any model
    curate.modality_gap(predictions)         # probability and KL gap of every pair
    curate.fit_mixture(gaps)                 # a mixture of two or three, see curate.scores.mixture.fit
    curate.column("*.parquet", "prob_gap")   # gaps for it that memory need not hold
    curate.p_balanced(fitted, gaps)          # the posterior of the balanced component
    curate.select(p_balanced, 0.8)           # the high-quality subset, a mask

What these take and give: `Predictions`, `GapScores`, `MixtureFit`, `Selection`, `Round` and `Run`. Every name is
imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.files.parquet import column
    from curate.scores.gap import modality_gap
    from curate.scores.mixture import fit as fit_mixture
    from curate.scores.posteriors import p_balanced
    from curate.scores.selection import select_above as select
    from curate.types import GapScores, MixtureFit, Predictions, Round, Run, Selection

    from .table import Table as open

__all__ = [
    "GapScores",
    "MixtureFit",
    "Predictions",
    "Round",
    "Run",
    "Selection",
    "column",
    "fit_mixture",
    "modality_gap",
    "open",
    "p_balanced",
    "select",
]

_WHERE = {
    "column": ("files.parquet", "column"),
    "modality_gap": ("scores.gap", "modality_gap"),
    "fit_mixture": ("scores.mixture", "fit"),
    "p_balanced": ("scores.posteriors", "p_balanced"),
    "select": ("scores.selection", "select_above"),
    "open": ("table", "Table"),
    **{name: ("types", name) for name in ("GapScores", "MixtureFit", "Predictions", "Round", "Run", "Selection")},
}


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _WHERE[name]
    return getattr(importlib.import_module(f".{module}", __name__), attribute)
