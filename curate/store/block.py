"""What a block of samples becomes in `item`: column arrays, and the SQL that makes lists of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from curate.blocks import by_row
from curate.scores.gap import entropy, true_class_probability
from curate.types import Floats, GapScores, Predictions

from .items import FACTS, PREDICTED, Items

OF_PART = "(SELECT sample_id, {names} FROM item WHERE part IN ({numbers}))"


@dataclass
class Block:
    """Some samples on their way into a part.

    Attributes:
        sample_ids: (n,) as objects.
        arrays: {name: (n,) values}.
        values: {column of `item`: SQL over the arrays}.
    """

    sample_ids: NDArray[np.object_]
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)

    def lists(self, column: str, elements: Sequence[NDArray[Any] | None], kind: str = "DOUBLE") -> None:
        """A column of lists, whose elements are these arrays; None = NULL."""
        names = [f"{column}{j}" for j in range(len(elements))]
        self.arrays |= {n: np.ascontiguousarray(e) for n, e in zip(names, elements, strict=True) if e is not None}
        listed = ", ".join(f"NULL::{kind}" if e is None else n for n, e in zip(names, elements, strict=True))
        self.values[column] = f"[{listed}]"

    def predicted(self, given: Predictions, rows: slice, modalities: Sequence[str], probs: bool) -> None:
        """What each of some modalities says of the samples; NULL of those that say nothing.

        Args:
            probs: whether to store the probability of every class too.
        """
        labels, matrices = given.labels[rows], [_rows(given, m, rows) for m in modalities]
        there = [p is not None for p in matrices]
        best = [None if p is None else p.argmax(axis=1) for p in matrices]
        own = list(zip(matrices, best, strict=True))
        self.lists("p_true", [None if p is None else np.clip(true_class_probability(p, labels), 0, 1) for p, _ in own])
        self.lists("p_max", [None if p is None else np.clip(p.max(axis=1), 0, 1) for p, _ in own])
        self.lists("entropy", [None if p is None else by_row(entropy, p) for p, _ in own])
        self.lists("correct", [None if k is None else k == labels for k in best], "BOOLEAN")
        self.arrays |= {f"class{j}": k + 1 for j, k in enumerate(best) if k is not None}
        self.values["predicted"] = (
            f"[{', '.join(f'list_extract($names, class{j})' if t else 'NULL' for j, t in enumerate(there))}]"
        )
        for name, more in (("fold", given.fold), ("in_sample", given.in_sample)):
            if more is not None:
                self.arrays[name], self.values[name] = np.ascontiguousarray(more[rows]), name
        if probs:
            listed = []
            for j, p in enumerate(matrices):
                names = [f"v{j}_{k}" for k in range(len(given.classes))]
                if p is not None:
                    self.arrays |= dict(zip(names, np.array(p.T, dtype=np.float32, order="C"), strict=True))
                listed += names if p is not None else ["NULL::FLOAT"] * len(names)
            self.values["probs"] = f"[{', '.join(listed)}]"

    def facts(self, items: Items, rows: slice | NDArray[np.int64]) -> None:
        """What is known of the samples."""
        own = items.columns(rows)
        self.arrays |= own
        self.values |= {name: name for name in own}

    def fitted(
        self, gaps: GapScores, p_balanced: Floats, p_ahead: Floats | None, three: Sequence[bool], rows: slice
    ) -> None:
        """Gaps and posteriors of the samples, of every pair.

        Args:
            three: for each pair, whether its mixture has three components.
        """
        prob = gaps.prob[rows]
        self.lists("prob_gap", list(prob.T))
        self.lists("kl_gap", list(gaps.kl[rows].T))
        self.arrays["widest"], self.values["widest"] = np.abs(prob).argmax(axis=1) + 1, "widest"
        self.lists("p_balanced", list(p_balanced[rows].T))
        if gaps.fitted is not None:
            self.lists("fitted", list(gaps.fitted[rows].T))
        if p_ahead is not None:
            for side, name in enumerate(("p_first", "p_second")):
                own = [p_ahead[rows, j, side] if known else None for j, known in enumerate(three)]
                self.lists(name, own)


def _rows(given: Predictions, modality: str, rows: slice) -> Floats | None:
    return np.asarray(given.probs[modality][rows]) if modality in given.probs else None


def put(
    con: duckdb.DuckDBPyConnection,
    number: int,
    block: Block,
    names: Sequence[str],
    data: Sequence[int] = (),
    before: Sequence[int] = (),
) -> None:
    """Add the samples of a block to a part.

    Args:
        names: of the classes.
        data: parts that say what is known of the samples.
        before: parts that say what was predicted of them.
    """
    incoming = {"sample_id": block.sample_ids, **block.arrays}  # noqa: F841  DuckDB finds it by name
    columns, joins = {**block.values}, ""
    for alias, wanted, numbers in (("s", FACTS, data), ("o", PREDICTED, before)):
        if numbers:
            columns |= {c: f"{alias}.{c}" for c in wanted}
            joins += f" LEFT JOIN {_of_parts(wanted, numbers)} {alias} ON {alias}.sample_id = incoming.sample_id"
    con.execute(
        f"INSERT INTO item_here (part, sample_id, {', '.join(columns)}) "
        f"SELECT {number}, incoming.sample_id, {', '.join(columns.values())} FROM incoming{joins}",
        {"names": list(names)} if "predicted" in block.values else None,
    )


def _of_parts(names: Sequence[str], numbers: Sequence[int]) -> str:
    return OF_PART.format(names=", ".join(names), numbers=", ".join(map(str, numbers)))
