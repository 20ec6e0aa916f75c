"""What the page asks: its state, as it is in the address, to one condition, and the answers for each of its views.

Only what is drawn leaves the server: counts of bins and classes, a few thousand points, a page of samples.

Letters: B bins of an axis.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from math import isfinite
from typing import Any

from curate.errors import CurateError, unknown_name
from curate.files.asking import condition, quoted
from curate.store.snapshot import Snapshot

BINS, BARS, STEPS = 60, 80, 200
"""Bins of an axis of the scatter, of the histogram, and of the scale of p_balanced."""
MOST_POINTS, MOST_GROUPS, MOST_CORNERS, MOST_ROWS = 2500, 40, 64, 200
SORT = "p_balanced"
"""The usual order: the least balanced samples first, those without a score last."""
NOTHING = "∅"
"""Stands for NULL among the values of a column."""
GROUPED = ("label_name", "status", "quadrant", "broken", "contradicts", "rare", "weak", "shortcut", "mark", "split")
"""Columns that bars are drawn of, where they say anything."""


@dataclass(frozen=True)
class Question:
    """Which samples are shown.

    Attributes:
        ranges: {column of numbers: (least, largest)}, both included.
        values: {column: its values}, `NOTHING` for NULL.
        lasso: two columns of numbers and the corners of a polygon in them; None without one.
        text: part of the id, in any case.
        where: a condition typed by the user.
        sort, descending: the order of rows; ties by id.
        x, y: columns of the scatter.
        view: what the scatter shows, (least x, largest x, least y, largest y); None for all of it. It narrows nothing.
    """

    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    values: dict[str, list[str]] = field(default_factory=dict)
    lasso: tuple[str, str, tuple[tuple[float, float], ...]] | None = None
    text: str = ""
    where: str = ""
    sort: str = SORT
    descending: bool = False
    x: str = ""
    y: str = ""
    view: tuple[float, float, float, float] | None = None


def parse(pairs: Iterable[tuple[str, str]], snapshot: Snapshot, usual: tuple[str, str]) -> Question:
    """The state in an address, `(name, value)` in order, checked against the columns that there are.

    Args:
        usual: columns of the scatter if it does not name them.

    Raises:
        CurateError: a column does not exist or holds no numbers, or a value cannot be read.
    """
    numeric, found = snapshot.numeric(), dict(pairs_of(pairs))
    ranges, values = {}, {}
    for name, given in found.items():
        kind, _, column = name.partition(".")
        if kind == "r" and column:
            low, high = _numbers(given[-1], name, 2)
            ranges[_known(column, numeric)] = (min(low, high), max(low, high))
        elif kind == "in" and column:
            values[_known(column, snapshot.columns)] = given

    def last(name: str, other: str = "") -> str:
        return found.get(name, [other])[-1]

    view = _numbers(last("view"), "view", 4) if last("view") else None
    return Question(
        ranges,
        values,
        _lasso(last("lasso"), numeric),
        last("q"),
        last("where").strip(),
        _known(last("sort", SORT), snapshot.columns),
        last("desc") == "1",
        _known(last("x", usual[0]), numeric),
        _known(last("y", usual[1]), numeric),
        (view[0], view[1], view[2], view[3]) if view else None,
    )


def pairs_of(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """{name: its values, in order}."""
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def _known(column: str, columns: Iterable[str]) -> str:
    known = list(columns)
    if column not in known:
        raise unknown_name("column", column, known)
    return column


def _numbers(text: str, name: str, count: int) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(isfinite(n) for n in numbers):
        raise CurateError(f"{name}={text[:60]} is not {count} numbers", f"e.g. {name}={','.join('01' * (count // 2))}")
    return numbers


def _lasso(text: str, numeric: Sequence[str]) -> tuple[str, str, tuple[tuple[float, float], ...]] | None:
    """`x:y:0,0,1,0,1,1` to columns and corners."""
    if not text:
        return None
    x, y, numbers = ([*text.split(":"), "", ""])[:3]
    count = numbers.count(",") + 1
    if count % 2 or not 6 <= count <= 2 * MOST_CORNERS:
        raise CurateError("a lasso has 3 to 64 corners", "draw it again")
    flat = _numbers(numbers, "lasso", count)
    return _known(x, numeric), _known(y, numeric), tuple(zip(flat[::2], flat[1::2], strict=True))


def clause(question: Question) -> tuple[str, list[Any]]:
    """The condition of a question and the values of its `?`, in order; `true` if nothing is asked."""
    parts: list[str] = []
    given: list[Any] = []
    for column, (low, high) in question.ranges.items():
        parts.append(f'"{column}" BETWEEN ? AND ?')
        given += [low, high]
    for column, values in question.values.items():
        named = [v for v in values if v != NOTHING]
        either = [f'"{column}"::VARCHAR IN ({", ".join("?" * len(named))})'] if named else []
        either += [f'"{column}" IS NULL'] if NOTHING in values else []
        parts.append(f"({' OR '.join(either)})")
        given += named
    if question.text:
        parts.append("contains(lower(sample_id), lower(?))")
        given.append(question.text)
    if question.lasso:
        sql, numbers = _inside(*question.lasso)
        parts.append(sql)
        given += numbers
    if question.where:
        parts.append(condition(question.where))
    return " AND ".join(parts) or "true", given


def _inside(x: str, y: str, corners: Sequence[tuple[float, float]]) -> tuple[str, list[float]]:
    """Whether a point is in a polygon: a ray from it crosses the sides an odd number of times."""
    xs, ys = zip(*corners, strict=True)
    box, sides = f'"{x}" BETWEEN ? AND ? AND "{y}" BETWEEN ? AND ?', []
    given: list[float] = [min(xs), max(xs), min(ys), max(ys)]
    for (x0, y0), (x1, y1) in pairwise([*corners, corners[0]]):
        if y0 != y1:
            low, high = min(y0, y1), max(y0, y1)
            sides.append(f'("{y}" >= ? AND "{y}" < ? AND "{x}" < ? + ("{y}" - ?) * ?)::TINYINT')
            given += [low, high, x0, y0, (x1 - x0) / (y1 - y0)]
    return f"(CASE WHEN {box} THEN ({' + '.join(sides) or '0'}) % 2 = 1 ELSE false END)", given


@dataclass(frozen=True)
class Axis:
    """A column in equal bins.

    Attributes:
        column: of numbers.
        low, high: its range.
        bins: how many.
    """

    column: str
    low: float
    high: float
    bins: int

    @property
    def sql(self) -> str:
        """The bin of each sample, counted from 0; NULL outside."""
        width = (self.high - self.low) / self.bins
        place = f'floor(("{self.column}" - {self.low!r}) / {width!r})'
        held = f'"{self.column}" BETWEEN {self.low!r} AND {self.high!r}'
        return f"CASE WHEN {held} THEN least({place}, {self.bins - 1})::INTEGER END"


class Answers:
    """The answers to questions about one snapshot."""

    def __init__(self, snapshot: Snapshot, seen: str) -> None:
        self.snapshot, self.seen = snapshot, seen
        self._shown = ", ".join(map(quoted, snapshot.columns))
        self.limits = lru_cache(maxsize=64)(self._limits)
        self.totals = lru_cache(maxsize=16)(self._totals)
        self.groups = self._groups()

    def _limits(self, column: str) -> tuple[float, float]:
        """The range of a column, widened where it is a single value; 0 to 1 for probabilities."""
        low, high = self.snapshot.ask(f'SELECT min("{column}")::DOUBLE, max("{column}")::DOUBLE FROM samples')[0]
        if low is None:
            return 0.0, 1.0
        if low >= 0 and high <= 1:
            return 0.0, 1.0
        if low >= -1 and high <= 1:
            return -1.0, 1.0
        return (low, high) if high > low else (low - 0.5, high + 0.5)

    def _groups(self) -> list[str]:
        """The columns of `GROUPED` with more than one value; marks always."""
        known = [c for c in GROUPED if c in self.snapshot.columns]
        counts = ", ".join(f"approx_count_distinct(coalesce(\"{c}\", ''))" for c in known)
        found = self.snapshot.ask(f"SELECT {counts} FROM samples")[0]
        return [c for c, n in zip(known, found, strict=True) if n > 1 or c in ("label_name", "status", "mark")]

    def summary(self, question: Question) -> dict[str, Any]:
        """Counts for every view, of all samples and of those asked for; single points where they are few."""
        wanted, given = clause(question)
        x, y = self._axes(question)
        hist = Axis(self.seen, *self.limits(self.seen), BARS) if self.seen else None
        every = self.totals(x, y, hist, self.snapshot.changes)
        own = every if wanted == "true" else self._counts(x, y, hist, wanted, given)
        found = {name: [(k, n, own[name].get(k, 0)) for k, n in counts.items()] for name, counts in every.items()}
        out: dict[str, Any] = {"total": found[""][0][1], "count": found[""][0][2], "points": None}
        cells = [(k // BINS, k % BINS, n, c) for k, n, c in found["xy"] if k is not None]
        out["scatter"] = {"x": [x.low, x.high], "y": [y.low, y.high], "bins": BINS, "cells": cells}
        if sum(c for *_, c in cells) <= MOST_POINTS:
            out["points"] = self._points(x, y, wanted, given)
        out["kept"] = sorted(r for r in found["kept"] if r[0] is not None)
        if hist:
            cells_of_hist = sorted(r for r in found["hist"] if r[0] is not None)
            out["hist"] = {"low": hist.low, "high": hist.high, "bins": BARS, "cells": cells_of_hist}
        out["bars"] = {c: _bars(found[f"g_{c}"], question.values.get(c, ())) for c in self.groups}
        return out

    def _totals(self, x: Axis, y: Axis, hist: Axis | None, _changes: int) -> dict[str, dict[Any, int]]:
        """Counts of all samples, kept until a mark changes."""
        return self._counts(x, y, hist, "true", [])

    def _counts(
        self, x: Axis, y: Axis, hist: Axis | None, wanted: str, given: Sequence[Any]
    ) -> dict[str, dict[Any, int]]:
        """{view: {bin or value: samples}} of the samples that fulfil a condition, in one pass; '' has their number."""
        keys = {"xy": f"({x.sql}) * {BINS} + ({y.sql})", "kept": f"floor(p_balanced * {STEPS} + 1e-9)::INTEGER"}
        if hist:
            keys["hist"] = hist.sql
        keys |= {f"g_{c}": f"coalesce(\"{c}\"::VARCHAR, '{NOTHING}')" for c in self.groups}
        made = ", ".join(f"{sql} AS {name}" for name, sql in keys.items())
        sets = ", ".join(f"({name})" for name in keys)
        which = ", ".join(f"GROUPING({name})" for name in keys)
        rows = self.snapshot.ask(
            f"SELECT {', '.join(keys)}, {which}, count(*) FROM (SELECT {made} FROM samples WHERE {wanted}) "
            f"GROUP BY GROUPING SETS ((), {sets})",
            given,
        )
        names, size = list(keys), len(keys)
        found: dict[str, dict[Any, int]] = {name: {} for name in ("", *names)}
        for row in rows:
            place = row.index(0, size, 2 * size) - size if 0 in row[size : 2 * size] else None
            if place is None:
                found[""][None] = row[-1]
            else:
                found[names[place]][row[place]] = row[-1]
        return found

    def _axes(self, question: Question) -> tuple[Axis, Axis]:
        limits = [*self.limits(question.x), *self.limits(question.y)]
        if question.view:
            limits = list(question.view)
        if not (limits[1] > limits[0] and limits[3] > limits[2]):
            raise CurateError("view has no width", "e.g. view=0,1,0,1")
        return Axis(question.x, limits[0], limits[1], BINS), Axis(question.y, limits[2], limits[3], BINS)

    def _points(self, x: Axis, y: Axis, wanted: str, given: list[Any]) -> list[tuple[Any, ...]]:
        """(id, x, y, class, mark, what is broken, what is swapped, whether the label is claimed to be wrong) of the
        samples asked for that lie within the axes."""
        made = {"broken": "broken", "contradicts": "contradicts", "p_mislabelled": "p_mislabelled > 0.5"}
        claims = ", ".join(sql if column in self.snapshot.columns else "NULL" for column, sql in made.items())
        return self.snapshot.ask(
            f'SELECT sample_id, "{x.column}", "{y.column}", label_name, mark, {claims} FROM samples WHERE {wanted} '
            f'AND "{x.column}" BETWEEN ? AND ? AND "{y.column}" BETWEEN ? AND ? LIMIT {MOST_POINTS}',
            [*given, x.low, x.high, y.low, y.high],
        )

    def page(self, question: Question, start: int, rows: int, after: str = "") -> dict[str, Any]:
        """Some of the samples asked for, in order: columns, a row each, and how many come before them.

        Args:
            after: id of a sample after which they begin, whether it is asked for or not; `start` counts without it.
        """
        wanted, given = clause(question)
        start = self._place(question, after, start) if after else start
        order = f'"{question.sort}" {"DESC" if question.descending else "ASC"} NULLS LAST, sample_id'
        # Only the chosen rows are read in full: sorting whole rows of a large table takes seconds.
        found = self.snapshot.ask(
            f"SELECT {self._shown} FROM samples WHERE rowid IN (SELECT rowid FROM samples WHERE {wanted} "
            f"ORDER BY {order} LIMIT ? OFFSET ?) ORDER BY {order}",
            [*given, min(max(rows, 1), MOST_ROWS), max(start, 0)],
        )
        return {"columns": list(self.snapshot.columns), "rows": found, "start": max(start, 0)}

    def _place(self, question: Question, after: str, start: int) -> int:
        """How many of the samples asked for come no later than one, in their order; `start` where it is not known."""
        wanted, given = clause(question)
        own = f'SELECT sample_id AS i, "{question.sort}" AS k FROM samples'
        earlier = f"one.k {'>' if question.descending else '<'} last.k OR (last.k IS NULL AND one.k IS NOT NULL)"
        ((known, place),) = self.snapshot.ask(
            f"WITH last AS ({own} WHERE sample_id = ?), one AS ({own} WHERE {wanted}) "
            "SELECT (SELECT count(*) FROM last), (SELECT count(*) FROM one, last "
            f"WHERE {earlier} OR (one.k IS NOT DISTINCT FROM last.k AND one.i <= last.i))",
            [after, *given],
        )
        return place if known else start

    def sample(self, sample_id: str) -> dict[str, Any]:
        """The columns of one sample.

        Raises:
            CurateError: there is none of that id.
        """
        rows = self.snapshot.ask(f"SELECT {self._shown} FROM samples WHERE sample_id = ?", [sample_id])
        if not rows:
            raise CurateError(
                f"no sample {sample_id[:60]!r} in {self.snapshot.run.run_id}", "search for part of its id"
            )
        return dict(zip(self.snapshot.columns, rows[0], strict=True))

    def chosen_ids(self, question: Question) -> tuple[list[str], int, int]:
        """Ids of the scored training samples asked for; how many samples are asked for, and are scored, in all."""
        wanted, given = clause(question)
        scored = "(gap IS NOT NULL AND split = 'train')"
        ids = self.snapshot.ask(f"SELECT sample_id FROM samples WHERE {wanted} AND {scored} ORDER BY 1", given)
        ((shown,),) = self.snapshot.ask(f"SELECT count(*) FROM samples WHERE {wanted}", given)
        ((candidates,),) = self.snapshot.ask(f"SELECT count(*) FROM samples WHERE {scored}")
        return [i for (i,) in ids], shown, candidates


def _bars(rows: Iterable[tuple[Any, int, int]], chosen: Sequence[str]) -> dict[str, Any]:
    """The largest groups, those that are asked for among them, and how many others there are."""
    ranked = sorted(rows, key=lambda r: (r[0] not in chosen, -r[1], r[0]))
    shown = sorted(ranked[:MOST_GROUPS], key=lambda r: (-r[1], r[0]))
    return {"rows": shown, "others": max(0, len(ranked) - MOST_GROUPS)}


def described(question: Question) -> str:
    """A question in words, for the rule of a stored selection."""
    parts = [f"{column} {low:g} to {high:g}" for column, (low, high) in question.ranges.items()]
    parts += [f"{column} = {' or '.join(values)}" for column, values in question.values.items()]
    if question.text:
        parts.append(f"id contains {question.text}")
    if question.lasso:
        x, y, corners = question.lasso
        parts.append(f"in a lasso in {x} and {y}: {' '.join(f'{a:.3g},{b:.3g}' for a, b in corners)}")
    if question.where:
        parts.append(question.where)
    return f"view: {'; '.join(parts) or 'all'}"
