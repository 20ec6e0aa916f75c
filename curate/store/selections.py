"""Selections in the sample table: made by a rule, stored under a name, compared, removed, exported."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace as changed
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import numpy as np

from curate.arguments import made
from curate.blocks import among, are_ascending, release, take
from curate.errors import CurateError, EmptySelectionError, unknown_name
from curate.files.asking import condition
from curate.scores.selection import By, Candidates, Rule, class_balance, relaxed
from curate.types import Selection

from .arrays import columns
from .connection import SAFE, Connection, query_text
from .instance import inserting, statements
from .rows import insert, ranges
from .statements import sql_error
from .views import query_of

PREVIEWED = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
ALL_CLASSES = "(all)"
RANKED: dict[By, str] = {
    "p_balanced": "list_min(i.p_balanced)",
    "gap": "1 - abs(i.prob_gap[i.widest])",
    "usability": "u.least",
}
"""What candidates are ranked by; the last is joined."""
TEXTS = ("sample_id", "label_name", "group_id")


@dataclass(frozen=True)
class Selections:
    """Named sets of the training samples of a scored run."""

    TABLES: ClassVar[tuple[str, ...]] = ("selection", "selection_member")

    db: Connection

    def candidates(self, run_id: str, where: str | None = None, by: By = "p_balanced") -> Candidates:
        """The scored training samples of a run, ascending by id.

        Args:
            where: a condition on the columns of `samples`, as typed by a user.
            by: their quality, see `selection.Rule`; with several pairs of modalities the smallest p_balanced and the
                largest gap are used.

        Raises:
            CurateError: the condition is not valid SQL, or the quality of some samples is not known.
        """
        if where is not None and not where.strip():
            raise CurateError(
                "the condition is empty, and would keep everything", "give a condition, or leave --where out"
            )
        if where is not None:
            try:
                typed = statements(f"SELECT sample_id FROM samples WHERE {condition(where)}")
            except duckdb.Error as error:
                raise sql_error(error) from None
            if len(typed) != 1:
                raise CurateError("expected one condition", "e.g. --where \"gap > 0.5 AND label_name = 'bark'\"")
        with self.db.open(settings=SAFE if where else {}) as con:
            fulfils = "true"
            if where:
                of_run = f"WITH samples AS ({query_of(con, run_id)}) SELECT sample_id FROM samples"
                fulfils = f"sample_id IN ({of_run} WHERE {condition(where)})"
            try:
                joined = query_text("least_usability") if by == "usability" else ""
                query = query_text("candidates").replace("/* quality */", RANKED[by]).replace("/* joined */", joined)
                found = columns(con, query.replace("/* fulfils */", fulfils), {"run": run_id}, TEXTS)
            except duckdb.Error as error:
                raise sql_error(error) from None
        if not are_ascending(found["sample_id"]):  # rows are usually written in that order, and sorting is slow
            order = np.argsort(found["sample_id"])
            found = {name: take(values, order) for name, values in found.items()}
        ids, quality = found["sample_id"], found["quality"]
        if unknown := int(np.isnan(quality).sum()):
            raise CurateError(
                f"usability is not known of {unknown} of the {len(ids)} samples of {run_id}",
                "leave --by usability out, or score all again: predictions with --embeddings, else without "
                "score.dynamics=false",
            )
        return Candidates(ids, found["label_name"], found["group_id"], np.clip(quality, 0, 1), found["fulfils"] == 1)

    def make(self, run_id: str, *, name: str | None = None, replace: bool = False, **rule: Any) -> Selection:
        """Name the training samples of a scored run that fulfil a rule, and store them.

        Args:
            name: of the selection; made from run and rule when left out.
            replace: replace an earlier selection of that name.
            rule: the fields of `selection.Rule`, e.g. `threshold=0.8, per_class=100`.

        Raises:
            EmptySelectionError: no sample fulfils the rule; nothing is stored.
            CurateError: the name is empty, or taken; or the rule has no such part.
        """
        if name is not None and not name.strip():
            raise CurateError(
                "the name of the selection is empty", "give one, or leave it out: it is then made of the rule"
            )
        wanted = made(Rule, "part of a rule", rule)
        seen = self.candidates(run_id, wanted.where, wanted.by)
        kept = wanted.keep(seen)
        if not kept.any():
            raise EmptySelectionError(f"no sample fulfils {wanted}", self._alternative(run_id, wanted, seen))
        selection = Selection(
            name or f"{run_id}: {wanted}",
            run_id,
            str(wanted),
            take(seen.sample_ids, kept),
            len(kept),
            class_balance(seen.label_names, kept),
        )
        self.write(selection, replace)
        return selection

    def _alternative(self, run_id: str, wanted: Rule, seen: Candidates) -> str:
        """A hint with a command that keeps some samples; the command was tried."""
        found = relaxed(wanted, seen)
        if found is None:
            return f"{run_id} has no scored training sample; nothing was stored"
        rule, kept = found
        where = "" if self.db.path == Path("curate.duckdb") else f" --db {shlex.quote(str(self.db.path))}"
        options = rule.options or "--threshold 0"
        return f"`curate select {options} --run {run_id}{where}` keeps {kept}; nothing was stored"

    def suggest(self, run_id: str) -> tuple[dict[str, Any], str]:
        """The rule that the evidence supports if none is given, and why.

        Samples claimed to be broken are left out; if there are none, or that is not known, p_balanced decides.
        """
        with self.db.open() as con:
            claimed = con.execute(query_text("claimed_broken"), {"run": run_id}).fetchone()
        broken, judged = claimed or (0, 0)
        if broken:
            intact = {"where": "broken IS NULL OR broken = ''"}
            return intact, "a broken group was found: what is claimed to be broken is left out"
        why = "no broken group was found" if judged else "usability was not judged"
        return {"threshold": 0.8}, f"{why}: p_balanced decides, a scale of |gap|"

    def completed(self, run_id: str, rule: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """A rule that says what to keep, and why that; '' if it says so itself.

        Args:
            rule: as for `make`; if it has no part but `whole_groups` and `by`, it gets the one that `suggest` gives, or
                with another `by`, a threshold of 0.8.
        """
        if any(v is not None for k, v in rule.items() if k not in ("whole_groups", "by")):
            return dict(rule), ""
        suggested, why = {"threshold": 0.8}, "no rule given"
        if rule.get("by", "p_balanced") == "p_balanced":
            suggested, why = self.suggest(run_id)
        return {**rule, **suggested}, why

    def claimed(self, name: str) -> tuple[int, int]:
        """How many samples of a stored selection have a label that is claimed to be wrong, p_mislabelled above 0.5, and
        how many a clip that is claimed to be of another sample, p_swapped above 0.5."""
        with self.db.open() as con:
            found = con.execute(query_text("kept_claimed"), {"name": name}).fetchone()
        wrong, swapped = found or (0, 0)
        return wrong, swapped

    def preview(self, run_id: str, **rule: Any) -> list[tuple[float, int, float, str, int]]:
        """What a rule would keep with other thresholds; nothing is stored.

        Args:
            rule: as for `make`; its own threshold, or 0 if it has none, is a row too.

        Returns:
            (threshold, kept, share of all candidates, smallest class, number kept of it), ascending by threshold. The
            smallest class is the one with the fewest kept samples, among equals the first by name.
        """
        wanted = made(Rule, "part of a rule", rule)
        seen = self.candidates(run_id, wanted.where, wanted.by)
        rows = []
        for threshold in sorted({*PREVIEWED, wanted.threshold or 0.0}):
            kept = changed(wanted, threshold=threshold).keep(seen)
            balance = class_balance(seen.label_names, kept)
            smallest = min(balance, key=lambda c: balance[c][0])
            rows.append((threshold, int(kept.sum()), float(kept.mean()), smallest, balance[smallest][0]))
        return rows

    def write(self, selection: Selection, replace: bool = False) -> None:
        """Store a selection under its name.

        Raises:
            EmptySelectionError: it keeps nothing; an earlier one of that name stays.
            CurateError: the name is taken by another rule and `replace` is false.
        """
        given = selection.sample_ids
        ids = given if are_ascending(given) else np.unique(given)
        if not len(ids):
            raise EmptySelectionError(f"no sample fulfils {selection.rule}", "lower the threshold; nothing was stored")
        with self.db.open(write=True) as con:
            known = con.execute("SELECT run_id, rule FROM selection WHERE name = ?", [selection.name]).fetchone()
            if known and known != (selection.run_id, selection.rule) and not replace:
                raise CurateError(
                    f"selection {str(selection.name)!r} exists ({known[1]}, of {known[0]})",
                    "choose another name, or replace that one (--replace)",
                )
            con.execute("DELETE FROM selection_member WHERE name = ?", [selection.name])
            con.execute(
                "INSERT OR REPLACE INTO selection VALUES (?, ?, ?, ?, ?, ?)",
                [
                    selection.name,
                    selection.run_id,
                    selection.rule,
                    selection.candidates,
                    len(ids),
                    datetime.now(UTC).replace(tzinfo=None),
                ],
            )
            with inserting(con):
                for rows in ranges(len(ids)):
                    insert(con, "selection_member", {"sample_id": ids[rows]}, {"name": selection.name})
                    release(ids)

    def find(self, name: str) -> Selection:
        """A stored selection.

        Raises:
            CurateError: no selection has that name.
        """
        with self.db.open() as con:
            run_id, rule, candidates = _head(con, name)
            members = "SELECT sample_id FROM selection_member WHERE name = ? ORDER BY 1"
            ids = columns(con, members, [name], ("sample_id",))["sample_id"]
        return Selection(name, run_id, rule, ids, candidates)

    def run_of(self, name: str) -> str:
        """The scored run that a stored selection is of; its samples are not read.

        Raises:
            CurateError: no selection has that name.
        """
        with self.db.open() as con:
            return _head(con, name)[0]

    def describe(self, name: str) -> Selection:
        """A stored selection with its class balance, as returned by `make`."""
        found = self.find(name)
        seen = self.candidates(found.run_id)
        return changed(found, kept=class_balance(seen.label_names, among(seen.sample_ids, found.sample_ids)))

    def overview(self) -> list[tuple[Any, ...]]:
        """(name, run_id, dataset, rule, kept, candidates, created in UTC) of every selection, newest first."""
        with self.db.open() as con:
            return con.execute(query_text("selection_overview")).fetchall()

    def compare(self, one: str, other: str) -> list[tuple[str, int, int, int, float]]:
        """How far two selections of one data set agree.

        Returns:
            (class, kept by the one, by the other, by both, Jaccard index) of all classes together, then of each class
            in either selection, ascending by name. The Jaccard index is |both| / |either|, 0 = disjoint to 1 = equal.

        Raises:
            CurateError: a name is unknown, or they are of different data sets, where equal ids are different samples.
        """
        runs = [self.run_of(name) for name in (one, other)]
        with self.db.open() as con:
            sets = con.execute(query_text("data_sets_of_runs"), {"one": runs[0], "other": runs[1]}).fetchall()
            if len(sets) > 1:
                raise CurateError(
                    f"{str(one)!r} and {str(other)!r} are of different data sets, {sets[0][0]} and {sets[1][0]}",
                    "compare selections of one data set; see `curate selections`",
                )
            return con.execute(
                query_text("compared_selections"), {"one": one, "other": other, "all": ALL_CLASSES}
            ).fetchall()

    def remove(self, name: str) -> None:
        """Delete a selection; its samples and their scores stay.

        Raises:
            CurateError: no selection has that name.
        """
        self.run_of(name)
        with self.db.open(write=True) as con:
            con.execute("DELETE FROM selection_member WHERE name = ?", [name])
            con.execute("DELETE FROM selection WHERE name = ?", [name])

    def export(self, name: str, path: Path) -> int:
        """Write a selection's samples, ascending by id; returns their number."""
        return self.db.copy_to(query_text("selection_members"), {"name": name}, path)

    def of_run(self, run_id: str) -> list[str]:
        """Names of the selections made from a run, ascending."""
        with self.db.open() as con:
            rows = con.execute("SELECT name FROM selection WHERE run_id = ? ORDER BY 1", [run_id]).fetchall()
        return [n for (n,) in rows]


def _head(con: duckdb.DuckDBPyConnection, name: str) -> tuple[str, str, int]:
    """(run, rule, candidates) of a selection."""
    row = con.execute("SELECT run_id, rule, candidates FROM selection WHERE name = ?", [name]).fetchone()
    if row is None:
        known = [n for (n,) in con.execute("SELECT name FROM selection").fetchall()]
        raise unknown_name("selection", name, known)
    run_id, rule, candidates = row
    return run_id, rule, candidates
