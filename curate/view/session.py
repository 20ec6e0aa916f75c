"""What one served page answers from: a snapshot of a run, its media, and the decisions of the person."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np

from curate.errors import CurateError, LockedError
from curate.scores.gap import describe
from curate.scores.posteriors import density, p_balanced
from curate.store.connection import query_text
from curate.store.marks import MARKS, Mark
from curate.store.snapshot import Snapshot, seen_column
from curate.store.store import Store
from curate.types import Run, Selection

from .alike import Alike
from .media import Media
from .questions import NOTHING, SORT, STEPS, Answers, Question, described, parse
from .review import Review

PATIENCE = 2.0
"""How long a decision waits for another process to close the table, s; the page keeps it and tries again."""
CURVE = 401
"""Points of a drawn curve."""


class Gone(CurateError):
    """The table was moved or removed while the page was open."""


class Page:
    """What the routes answer from.

    Args:
        store: the sample table.
        run: a scored run.
        author: who marks.
        cache_folder: where decoded media are looked for; None = the default.
    """

    def __init__(self, store: Store, run: Run, author: str, cache_folder: Path | None = None) -> None:
        self.store, self.run, self.author = store, run, author
        self.fits = store.rounds.fits(run.run_id)
        self.snapshot = Snapshot(store, run)
        seen = [seen_column(pair) for pair in self.fits]
        self.answers = Answers(self.snapshot, seen[0] if seen else "")
        self.review = Review(self.snapshot)
        self.media = Media(self.snapshot, cache_folder)
        self.look_alikes = Alike(self.snapshot, self.media)
        self.usual = self._usual()
        self.answers.summary(self.question([]))  # counted before the first visit, and kept
        self._table = threading.Lock()  # DuckDB opens a file once in a process, for reading or for writing
        self._decisions: dict[str, list[tuple[Any, ...]]] = {}
        self._stamp = 0
        self.refresh()

    def _usual(self) -> tuple[str, str]:
        """The axes of the scatter: probabilities of the first two modalities, or the first columns of numbers."""
        known = self.snapshot.numeric()
        named = [c for c in (f"p_{m}" for m in self.run.modalities) if c in known]
        x, y = ([*named, *known, "gap"])[:2]
        return x, y

    @contextmanager
    def table(self) -> Iterator[Store]:
        """The sample table, for one brief use.

        Raises:
            Gone: it is not there any more, or another one that does not hold the run.
        """
        with self._table:
            if not self.store.path.exists():
                raise Gone(f"{self.store.path} is not there any more", "put it back; decisions wait in the page")
            yield self.store

    def refresh(self) -> None:
        """Read the decisions again where the table has changed; skipped while another process has it locked."""
        try:
            stamp = self.store.path.stat().st_mtime_ns
            if stamp == self._stamp:
                return
            with self.table() as store:
                rows = store.marks.all(self.run.dataset)
        except (OSError, LockedError, Gone):
            return
        found = defaultdict(list)
        for row in rows:
            found[row[2]].append(row)
        for sample_id in {*found, *self._decisions}:
            if found.get(sample_id) != self._decisions.get(sample_id):
                self.snapshot.set_mark(sample_id, **_counted(found.get(sample_id, ())))
        self._decisions, self._stamp = dict(found), stamp

    def about(self) -> dict[str, Any]:
        """What does not change while the page is open."""
        run = self.run
        return {
            "run": run.run_id,
            "dataset": run.dataset,
            "table": str(self.store.path),
            "author": self.author,
            "modalities": run.modalities,
            "classes": run.classes,
            "columns": self.snapshot.columns,
            "numeric": self.snapshot.numeric(),
            "groups": self.answers.groups,
            "total": self.snapshot.total,
            "usual": self.usual,
            "nothing": NOTHING,
            "sort": SORT,
            "steps": STEPS,
            "marks": [*MARKS, *(f"broken:{m}" for m in run.modalities)],
            "claims": list(self.review.kinds),
            **self.media.modalities(),
            "curve": self.curve(),
        }

    def curve(self) -> dict[str, Any] | None:
        """The mixture of the first pair over the range of what it was fitted to; None without one."""
        if not self.fits or not self.answers.seen:
            return None
        pair, fit = next(iter(self.fits.items()))
        grid = np.linspace(*self.answers.limits(self.answers.seen), CURVE)
        first, second = pair.split("|")
        score = self.run.config.get("score", {})
        what = describe(self.run.gap_kind or "prob", score.get("input", "signed"), score.get("average", "last"))
        return {
            "column": self.answers.seen,
            "what": what,
            "x": grid.tolist(),
            "parts": [
                {"name": fit.role(k, (first, second)), "y": row.tolist()}
                for k, row in enumerate(np.nan_to_num(density(fit, grid)))
            ],
            "p_balanced": p_balanced(fit, grid).tolist(),
            "first": first,
            "second": second,
        }

    def sample(self, sample_id: str) -> dict[str, Any]:
        """One sample in full: its columns, media, history and decisions; and as `other` the class that the one
        by whom labels are judged found most probable besides the label over the warm-up, '' where that is not known."""
        values = self.answers.sample(sample_id)
        out: dict[str, Any] = {"values": values, "history": [], "history_missing": "", "other": ""}
        out["media"] = self.media.describe(sample_id)
        out["findings"] = self.snapshot.ask("SELECT kind, detail FROM findings WHERE sample_id = ?", [sample_id])
        try:
            with self.table() as store:
                asked = {"run": self.run.run_id, "sample": sample_id}
                out["history"] = store.db.named_rows(query_text("sample_history"), asked)
                if found := store.db.named_rows(query_text("other_class"), asked):
                    out["other"] = self.run.classes[found[0][0]]
        except CurateError as error:
            out["history_missing"] = f"history is not shown: {error.message}"
        out["decisions"] = [_shown(row) for row in reversed(self._decisions.get(sample_id, ()))]
        return out

    def alike(self, sample_id: str) -> dict[str, Any]:
        """The samples that look or sound most like one, see `Alike.of`; each with what a thumbnail says of it."""
        found = self.look_alikes.of(sample_id, self.answers.sample(sample_id)["split"])
        for one in found["found"]:
            ids, p = one.pop("ids"), f"p_{one['modality']}"
            p = f'"{p}"' if p in self.snapshot.columns else "NULL"
            rows = self.snapshot.ask(
                f"SELECT sample_id, label_name, {p} FROM samples WHERE list_contains(?, sample_id)", [ids]
            )
            names = ("sample_id", "label_name", "p")
            known = {row[0]: dict(zip(names, row, strict=True)) for row in rows}
            one["samples"] = [known[i] for i in ids if i in known]
        return found

    def decide(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Store decisions; the answer is given after they are committed."""
        given = body.get("marks")
        if not isinstance(given, list):
            raise CurateError("expected a list of decisions", "reload the page")
        marks = [_mark(one) for one in given]
        for mark in marks:
            mark.check(self.run.modalities, self.run.classes)
            self.answers.sample(mark.sample_id)  # an unknown one is an error
        with self.table() as store:
            store.runs.find(self.run.run_id)
            store.marks.write(self.run.dataset, marks, self.author, PATIENCE)
        self.refresh()
        return {"saved": [m.mark_id for m in marks]}

    def take_back(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Take a decision back."""
        with self.table() as store:
            found = store.marks.withdraw(str(body.get("mark_id", "")), PATIENCE)
        self.refresh()
        return {"withdrawn": found}

    def select(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Store the scored training samples that a question asks for as a named selection."""
        name = str(body.get("name", "")).strip()
        if not name:
            raise CurateError("a selection needs a name", "e.g. clean")
        question = self.question(parse_qsl(str(body.get("question", "")), keep_blank_values=True))
        ids, shown, candidates = self.answers.chosen_ids(question)
        chosen = Selection(name, self.run.run_id, described(question), np.array(ids, dtype=np.str_), candidates)
        with self.table() as store:
            store.selections.write(chosen, bool(body.get("replace")))
        with suppress(CurateError):  # it is stored, whether or not the page can be asked for it
            self.snapshot.set_selection(name, ids)
        return {"name": name, "kept": len(ids), "shown": shown, "candidates": candidates}

    def question(self, pairs: list[tuple[str, str]]) -> Question:
        """The state in an address, checked."""
        question = parse(pairs, self.snapshot, self.usual)
        if question.where:
            self.snapshot.check(question.where)
        return question


def _mark(one: Any) -> Mark:
    """A decision from the page; every value is text or absent."""
    names = ("mark_id", "sample_id", "mark", "note", "new_label", "drawn")
    if not isinstance(one, Mapping) or any(not isinstance(one.get(n), str | None) for n in names):
        raise CurateError("a decision is an object of texts", "reload the page")
    drawn = one.get("drawn")
    if drawn not in ("uncertain", "claimed", "unclaimed", None):
        raise CurateError("unknown way of drawing a sample", "reload the page")
    return Mark(
        mark_id=one.get("mark_id") or "",
        sample_id=one.get("sample_id") or "",
        mark=one.get("mark"),
        note=one.get("note"),
        new_label=one.get("new_label"),
        drawn=drawn,
    )


def _counted(rows: Any) -> dict[str, str | None]:
    """The decisions that count of one sample, as the columns of the snapshot."""
    out: dict[str, str | None] = dict.fromkeys(("mark", "mark_label", "mark_note", "mark_drawn"))
    for _, _, _, mark, note, label, _, _, drawn in rows:
        if mark is not None:
            out |= {"mark": mark, "mark_label": label, "mark_drawn": drawn}
        if note is not None:
            out["mark_note"] = note or None
    return out


def _shown(row: tuple[Any, ...]) -> dict[str, Any]:
    names = ("number", "mark_id", "sample_id", "mark", "note", "new_label", "author", "made", "drawn")
    return dict(zip(names, row, strict=True))
