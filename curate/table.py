"""The sample table for notebooks and scripts: what its commands do without a model, with DataFrames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.arguments import FILE, NONE, described, made, need
from curate.errors import CurateError, unknown_name
from curate.files.here import table_here
from curate.files.remote import located
from curate.store.store import Store
from curate.types import Round, Run, Selection

if TYPE_CHECKING:
    import pandas as pd

    from curate.view.serving import View


class Table:
    """A sample table, with what the commands do on it without a model; `curate.open` returns one.

    If `run` is None, methods use the newest finished scored run.

    Attributes:
        store: the content of the file: `store.runs`, `store.rounds`, `store.selections` and others.

    Args:
        path: the DuckDB file, of this machine; made by the first write.

    Raises:
        CurateError: it names another machine.
    """

    def __init__(self, path: str | Path) -> None:
        need("path", path, *FILE)
        self.store = Store(table_here(path))

    def __repr__(self) -> str:
        return f"Table({str(self.path)!r})"

    @property
    def path(self) -> Path:
        """The file."""
        return self.store.path

    def samples(self) -> pd.DataFrame:
        """The view `samples`, ascending by data set and id."""
        return self.store.samples_frame()

    def sql(self, query: str, allow_files: bool = False) -> pd.DataFrame:
        """Read-only SQL, as `curate sql`.

        Args:
            query: one statement.
            allow_files: let it read local files, e.g. `FROM 'notes.csv'`.

        Raises:
            CurateError: it is not one statement, or DuckDB raises an error.
        """
        return _frame(*self.query(query, allow_files))

    def query(self, query: str, allow_files: bool = False) -> tuple[list[str], list[tuple[Any, ...]]]:
        """As `sql`, but returns column names and tuples, without pandas."""
        need("query", query, str)
        need("allow_files", allow_files, bool)
        return self.store.query(query, allow_files)

    def runs(self, **where: str | int | None) -> list[Run]:
        """Runs, newest first, whose columns equal the given values, e.g. `kind="score"`.

        Args:
            where: `run_id`, `kind`, `method`, `dataset`, `data_id`, `root`, `parent`, `gap_kind`, `family`, `folder`,
                `status`, `note` and `checkpoint_sha256`, texts; `seed`, a whole number. None is any.

        Raises:
            CurateError: there is no such column.
        """
        return self.store.runs.all(**where)

    def find_run(self, run: str | None = None, **where: str | int | None) -> Run:
        """The run of that name, or the newest that fits.

        Args:
            where: as for `runs`.

        Raises:
            CurateError: there is none; the hint gives the nearest name. Or there is no such column.
        """
        return self.store.runs.find(run, **where)

    def run_frame(self) -> pd.DataFrame:
        """All runs, newest first, as `curate runs`."""
        return _frame(
            ["run", "method", "dataset", "parent", "seed", "status", "test_accuracy"], self.store.runs.overview()
        )

    def scored(self, run: str | None = None) -> Round:
        """Gaps, mixtures and posteriors of a run's round 0, samples ascending by id."""
        return self.store.rounds.read(self._scored(run).run_id)

    def selections(self) -> pd.DataFrame:
        """All selections, newest first, as `curate selections`."""
        columns = ["selection", "run", "dataset", "rule", "kept", "candidates", "created"]
        return _frame(columns, self.store.selections.overview())

    def selection(self, name: str) -> Selection:
        """A stored selection with its class balance.

        Raises:
            CurateError: no selection has that name.
        """
        need("name", name, str)
        return self.store.selections.describe(name)

    def choose(
        self, name: str | None = None, *, run: str | None = None, replace: bool = False, **rule: Any
    ) -> Selection:
        """Select by a rule and store it, as `curate select`, e.g. `choose("clean", threshold=0.8, per_class=100)`.

        Args:
            name: of the selection; made from run and rule when left out.
            run: the scored run.
            replace: replace an earlier selection of that name.
            rule: `threshold`, `where`, `per_class`, `top`, `fraction`, `whole_groups`, `by`: the options of
                `curate select`. Without one, the rule that the evidence supports, which `rule` of the result says.

        Raises:
            EmptySelectionError: nothing fulfils the rule; nothing is stored.
            CurateError: the rule has no such part, or the name is taken.
        """
        need("name", name, str, NONE)
        need("replace", replace, bool)
        run_id = self._scored(run).run_id
        wanted, _ = self.store.selections.completed(run_id, rule)
        return self.store.selections.make(run_id, name=name, replace=replace, **wanted)

    def compare(self, one: str, other: str) -> pd.DataFrame:
        """How far two selections agree, per class, as `curate selections ONE OTHER`."""
        need("one", one, str)
        need("other", other, str)
        return _frame(["class", one, other, "both", "jaccard"], self.store.selections.compare(one, other))

    def report(self, run: str | None = None, output: str | Path = "reports") -> Path:
        """Write the report's page, as `curate report`; returns its path.

        Args:
            output: the folder of all reports, of this machine or a URL.
        """
        from curate.report import build

        need("run", run, str, NONE)
        need("output", output, *FILE)
        return build(self.store, run, located(output))

    def view(self, run: str | None = None, port: int = 0) -> View:
        """Serve the interactive page, as `curate view`, in a process of its own; a notebook shows a link to it."""
        from curate.view.serving import View

        need("run", run, str, NONE)
        need("port", port, int)
        if not 0 <= port <= 65535:
            raise ValueError(f"port is from 0, a free one, to 65535, got {port}")
        return View(self.store, run, port)

    def export(self, path: str | Path, to: str | None = None, **wanted: str) -> int:
        """Write samples to a file or folder, as `curate export`; returns the number of rows.

        Args:
            path: of this machine, or a URL.
            to: who reads it: a name of `curate export --to`; None = as the name ends.
            wanted: `run`, `selection`, `where`, to leave samples out.

        Raises:
            CurateError: the path does not fit, or there is no such target, run, selection or column.
        """
        from curate.exports.formats import TARGETS, export
        from curate.exports.rows import Wanted

        need("path", path, *FILE)
        need("to", to, str, NONE)
        if to is not None and to not in TARGETS:
            raise unknown_name("target", to, TARGETS)
        return export(self.store, located(path), to, made(Wanted, "argument of export", wanted)).rows

    def score(self, *predictions: str | Path, dataset: str = "", only_missing: bool = False, **settings: Any) -> Run:
        """Score saved predictions, as `curate score --predictions`.

        Settings are arguments alone: `curate.toml` and `CURATE_SET`, which the command reads, have no part in it.

        Args:
            predictions: one or more files, or `"MODALITY=FILE"`.
            dataset: its name in the table; made from the name of the first file when left out.
            only_missing: score the samples alone that the newest run lacks.
            settings: of section `score`, e.g. `family="student-t"`; with `only_missing` there are none.

        Raises:
            CurateError: there is no file, one cannot be read, the predictions are not valid, or no such setting.
        """
        from curate.predictions.score import score_missing_predictions, score_predictions

        if not predictions:
            raise CurateError("score takes one or more files of predictions, got none", 'e.g. table.score("preds.csv")')
        for given in predictions:
            if not isinstance(given, FILE) or not str(given):
                raise CurateError(
                    f"predictions are the name of a file, got {described(given)}",
                    'save them first, e.g. frame.to_csv("preds.csv", index=False); give several names one by one',
                )
        need("dataset", dataset, str)
        need("only_missing", only_missing, bool)
        files, store = [str(p) for p in predictions], Store(self.path, writes=True)
        if not only_missing:
            return score_predictions(store, files, [{"score": settings}], dataset)
        if settings:
            raise ValueError("only_missing scores as the newest run did; it takes no settings")
        return score_missing_predictions(store, files, dataset)[1]

    def _scored(self, run: str | None) -> Run:
        return self.store.runs.find(run, kind="score", status=None if run else "done")


def _frame(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame.from_records([tuple(row) for row in rows], columns=list(columns))
