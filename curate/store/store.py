"""The sample table, through which scoring, training and all other parts exchange data."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import CurateError

from . import beside
from .comparisons import Comparisons
from .connection import Connection, Portions
from .dynamics import Dynamics
from .epochs import Epochs
from .items import leave, rehome, share
from .marks import Marks
from .relabelled import Relabelled
from .rounds import Rounds
from .rows import copy_rows, delete
from .runs import Runs
from .samples import Samples
from .selections import Selections
from .usability import Assessments

if TYPE_CHECKING:
    import pandas as pd

ALL_SAMPLES = "SELECT * FROM samples ORDER BY dataset, sample_id"
OF_RUN = (Rounds, Dynamics, Epochs, Assessments, Relabelled)
"""What has rows of a run in tables of its own."""


class Store:
    """One DuckDB file of our schema: one attribute for each kind of data in it, all with the same connection object.

    Args:
        path: the file; made by the first write.
        writes: see `Connection`.
    """

    def __init__(self, path: str | Path, writes: bool = False) -> None:
        self.db = Connection(path, writes)
        self.runs = Runs(self.db)
        self.samples = Samples(self.db)
        self.epochs = Epochs(self.db)
        self.rounds = Rounds(self.db)
        self.dynamics = Dynamics(self.db)
        self.usability = Assessments(self.db)
        self.selections = Selections(self.db)
        self.marks = Marks(self.db)
        self.relabelled = Relabelled(self.db)
        self.comparisons = Comparisons(self.db)

    @property
    def path(self) -> Path:
        """The file."""
        return self.db.path

    def together(self) -> AbstractContextManager[None]:
        """Read in one go, see `Connection.together`."""
        return self.db.together()

    def copy_scores(self, source: str, target: str) -> None:
        """Copy predictions, dynamics, epochs and usability from the run `source` to the run `target`."""
        with self.db.open(write=True) as con:
            share(con, "run_id = ?", [source], run_id=target)
            for table in (*Dynamics.TABLES, "epoch", *Assessments.TABLES):
                copy_rows(con, table, source, target)

    def remove_run(self, run_id: str) -> None:
        """Delete every row of a run; the caller must delete its checkpoints.

        The items of saved predictions, which nobody prepares, go with the last run of them. If much of the file is free
        then, it is made smaller.

        Raises:
            CurateError: there is no such run, or runs or selections were made from it; the message names them.
        """
        run = self.runs.find(run_id)
        needed_by = {r.run_id: f"runs {r.run_id} --remove" for r in self.runs.all(parent=run_id)}
        for name in self.selections.of_run(run_id):
            needed_by[f"selection {name}"] = f"selections {shlex.quote(name)} --remove"
        if needed_by:
            raise CurateError(
                f"{run_id} is what {', '.join(sorted(needed_by))} came from",
                f"remove these first: {', '.join(f'`curate {needed_by[n]}`' for n in sorted(needed_by))}",
            )
        others = [r.run_id for r in self.runs.all(data_id=run.data_id) if r.run_id != run_id]
        with self.db.open(write=True) as con:
            for part in (*OF_RUN, Runs):
                for table in part.TABLES:
                    delete(con, table, {"run_id": run_id})
            rehome(con, run)
            leave(con, "run_id = ?", [run_id])
            self.comparisons.lose_run(con, run_id)
            if run.method == "predictions" and not others:
                for table in Samples.TABLES:
                    delete(con, table, {"data_id": run.data_id})
                leave(con, "run_id IS NULL AND data_id = ?", [run.data_id])
        self.db.shrink()

    def keep_rows(self, outside: bool) -> None:
        """Keep the rows of samples in Parquet files beside the table from now on, or in it again; all of them move.

        Raises:
            CurateError: DuckDB cannot read files in the folder of the table, by its name.
        """
        with self.db.open(write=True) as con:
            beside.want(con, outside, self.path)

    def size(self) -> list[tuple[str, int | str]]:
        """(what, how much) of the table itself: where its rows are, and how many bytes they take."""
        with self.db.open() as con:
            counts = {
                name: con.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0] for name in ("run", *beside.KEYS)
            }
            files = [self.path.resolve().parent / name for name in beside.files(con)]
            outside = beside.is_wanted(con)
        return [
            ("rows of samples", "in Parquet files beside it" if outside else "in the table"),
            ("bytes of the table", self.path.stat().st_size),
            ("files beside it", len(files)),
            ("bytes of these", sum(file.stat().st_size for file in files)),
            *((f"rows of {name}", count) for name, count in counts.items()),
        ]

    def query(self, sql: str, allow_files: bool = False) -> tuple[list[str], list[tuple[Any, ...]]]:
        """A user's SQL, see `Connection.query`."""
        return self.db.query(sql, allow_files)

    def stream(self, sql: str, allow_files: bool = False, rows: int = 10_000) -> AbstractContextManager[Portions]:
        """A user's SQL in portions of so many rows, see `Connection.stream`."""
        return self.db.stream(sql, allow_files, rows)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Our own SQL as tuples, see `Connection.rows`."""
        return self.db.rows(sql, parameters)

    def frame(self, sql: str, parameters: Sequence[Any] = ()) -> pd.DataFrame:
        """Our own SQL as a DataFrame, see `Connection.frame`."""
        return self.db.frame(sql, parameters)

    def samples_frame(self) -> pd.DataFrame:
        """The view `samples` as a DataFrame, ascending by data set and id."""
        return self.db.frame(ALL_SAMPLES)
