"""A round of a run on its way into `item`."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import numpy as np
from numpy.typing import NDArray

from curate.blocks import release
from curate.types import FUSED, Predictions

from .arrays import placed
from .block import Block, put
from .instance import inserting
from .items import FACTS, PREDICTED, Items, begin, complete, leave, of_data, of_round, restate, share
from .rows import ranges


class Writing:
    """A round of a run on its way into the table, in the place of the one that was there.

    Attributes:
        modalities: the order of the lists, fusion last.
        width: about so many numbers of four bytes a sample has.

    Args:
        said: predictions; [] if those that are there stay.
        pairs: names of the pairs.
        items: the items of the data set, if they are written too.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        run_id: str,
        number: int,
        said: Sequence[Predictions],
        pairs: Sequence[str],
        items: Items | None = None,
    ) -> None:
        self._con, self._key = con, (run_id, number)
        row = con.execute("SELECT data_id, kind FROM run WHERE run_id = ?", [run_id]).fetchall()
        self._data_id, kind = row[0] if row else (None, "")
        shown = number == 0 and kind == "score" and self._data_id is not None
        self._data = of_data(con, self._data_id) if shown and items is None else []
        self._items, self._left = items, None if items is None else np.ones(len(items.sample_ids), dtype=np.bool_)
        self._before = [] if said else of_round(con, *self._key)
        if said:
            leave(con, "run_id = ? AND round = ?", list(self._key))
        self.modalities = list(dict.fromkeys(m for given in said for m in (*given.modalities, FUSED)))
        if self._before:
            head = "SELECT modalities FROM part WHERE run_id = ? AND round = ? ORDER BY number LIMIT 1"
            self.modalities = con.execute(head, list(self._key)).fetchall()[0][0]
        self.modalities.sort(key=lambda m: m == FUSED)
        self._names = said[0].classes if said else ()
        self.width = len(self.modalities) * (len(self._names) + 8)
        self._grown = False
        self._number = begin(con, self._data_id, run_id, number, self.modalities, pairs)
        self._pairs = list(pairs)

    def put(self, block: Block, predictions: Predictions | None, rows: slice) -> None:
        """Add samples with what was said of them: these rows of predictions, or what is there."""
        if predictions is not None:
            block.predicted(predictions, rows, self.modalities, self._key[1] == 0)
            release(predictions.sample_ids, *predictions.probs.values())
        if self._items is not None and self._left is not None:
            places = _places(self._items.sample_ids, block.sample_ids)
            self._left[places] = False
            block.facts(self._items, places)
            release(*self._items.texts)
        put(self._con, self._number, block, self._names, self._data, self._before)

    def take_over(self, source: str, sample_ids: NDArray[np.str_] | None) -> None:
        """Let samples of the same round of another run belong to this one too.

        Args:
            sample_ids: whose rows are copied; None = all, and nothing is copied.
        """
        self._grown = True
        con, (run_id, number) = self._con, self._key
        lists = con.execute(
            "SELECT DISTINCT modalities, pairs FROM part WHERE run_id = ? AND round = ?", [source, number]
        ).fetchall()
        if lists != [(self.modalities, self._pairs)]:
            raise ValueError(f"the modalities of {source} are others, or in another order")
        if sample_ids is None:
            of_source = "run_id = ? AND round = ?"
            share(con, of_source, [source, number], data_id=self._data_id, run_id=run_id)
            return
        with inserting(con), placed(con, sample_ids):
            for rows in ranges(len(sample_ids), self.width):
                con.execute(
                    f"INSERT INTO item_here SELECT * REPLACE ({self._number} AS part) FROM item "
                    "WHERE part IN (SELECT number FROM part WHERE run_id = ? AND round = ?) AND p_true IS NOT NULL "
                    "AND sample_id IN (SELECT sample_id FROM temp.placed WHERE place BETWEEN ? AND ?)",
                    [source, number, rows.start, rows.stop - 1],
                )

    def end(self) -> None:
        """Complete the round, and delete what it replaces."""
        con, (run_id, number) = self._con, self._key
        if self._before:
            kept, names = ", ".join(map(str, self._before)), ", ".join(FACTS + PREDICTED)
            con.execute(
                f"INSERT INTO item_here (part, sample_id, {names}) SELECT {self._number}, sample_id, {names} FROM item "
                f"WHERE part IN ({kept}) AND sample_id NOT IN (SELECT sample_id FROM item WHERE part = {self._number})"
            )
            leave(con, f"run_id = ? AND round = ? AND number IN ({kept})", [run_id, number])
        if self._items is not None and self._left is not None:
            rest = np.flatnonzero(self._left)
            for rows in ranges(len(rest)):
                block = Block(self._items.sample_ids[rest[rows]].astype(object))
                block.facts(self._items, rest[rows])
                put(con, self._number, block, self._names)
            if not self._grown:
                leave(con, "run_id IS NULL AND data_id = ?", [self._data_id])
            share(con, "number = ?", [self._number], run_id=None, round=None)
        elif self._data:
            if self._grown:
                restate(con, run_id, self._number, str(self._data_id))
            complete(con, run_id, str(self._data_id))


def _places(ids: NDArray[np.str_], wanted: NDArray[np.object_]) -> NDArray[np.int64]:
    """The places of some ids among (N,) ascending ones.

    Raises:
        ValueError: one is not among them.
    """
    first = int(np.searchsorted(ids, wanted[0]))
    places = np.arange(first, first + len(wanted))
    if places[-1] >= len(ids) or not (ids[places] == wanted).all():
        places = np.minimum(np.searchsorted(ids, wanted.astype(np.str_)), len(ids) - 1)
        if not (ids[places] == wanted).all():
            raise ValueError("a predicted sample is not among the items")
    return places
