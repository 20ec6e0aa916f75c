"""The commands that need no model, for a notebook: DataFrames and small results that show themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.store.table import Table

from .types import Round, Run, Selection

if TYPE_CHECKING:
    import pandas as pd


class Notebook(Table):
    """A sample table with a method for each command that needs no model; `curate.open` gives one.

    What takes a `run` takes the newest finished scored run where it is None.
    """

    def sql(self, query: str, allow_files: bool = False) -> pd.DataFrame:
        """Read-only SQL, as `curate sql`."""
        return _frame(*self.query(query, allow_files))

    def run_frame(self) -> pd.DataFrame:
        """All runs, newest first, as `curate runs`; `runs()` gives them as objects."""
        return _frame(["run", "method", "dataset", "parent", "seed", "status", "test_accuracy"], self.run_list())

    def scored(self, run: str | None = None) -> Round:
        """Gaps, mixtures and posteriors of a run's round 0, samples ascending by id."""
        return self.read_round(self._scored(run).run_id)

    def selections(self) -> pd.DataFrame:
        """All selections, newest first, as `curate selections`."""
        columns = ["selection", "run", "dataset", "rule", "kept", "candidates", "created"]
        return _frame(columns, self.selection_list())

    def choose(
        self, name: str | None = None, *, run: str | None = None, replace: bool = False, **rule: Any
    ) -> Selection:
        """Select by a rule and store it, as `curate select`, e.g. `choose("clean", threshold=0.8, per_class=100)`.

        Raises:
            EmptySelectionError: nothing fulfils the rule; nothing is stored.
        """
        return self.select(self._scored(run).run_id, name=name, replace=replace, **rule)

    def compare(self, one: str, other: str) -> pd.DataFrame:
        """How far two selections agree, per class, as `curate selections ONE OTHER`."""
        return _frame(["class", one, other, "both", "jaccard"], self.compare_selections(one, other))

    def report(self, run: str | None = None, output: str | Path = "reports") -> Path:
        """Write the report's page, as `curate report`; where it is."""
        from curate.report import build

        return build(self, run, Path(output))

    def export(self, path: str | Path) -> int:
        """Write the view `samples` to a .csv or .parquet file, as `curate export`; how many rows."""
        return self.export_samples(Path(path))

    def score(self, *predictions: str | Path, dataset: str = "", only_missing: bool = False, **settings: Any) -> Run:
        """Score saved predictions, as `curate score --predictions`.

        Args:
            predictions: files, or `"MODALITY=FILE"`.
            settings: of section `score`, e.g. `family="student-t"`; with `only_missing` there are none.
        """
        from curate.predictions.score import score_missing_predictions, score_predictions

        files = [str(p) for p in predictions]
        if not only_missing:
            return score_predictions(self, files, [{"score": settings}], dataset)
        if settings:
            raise ValueError("only_missing scores as the newest run did; it takes no settings")
        return score_missing_predictions(self, files, dataset)[1]

    def _scored(self, run: str | None) -> Run:
        return self.find_run(run, kind="score", status=None if run else "done")


def _frame(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame.from_records([tuple(row) for row in rows], columns=list(columns))
