"""What people decided about samples: a row a decision; of those that were not taken back the newest counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

from curate.errors import CurateError, unknown_name

from .connection import Connection

MARKS = ("keep", "drop", "fix_label", "unsure")
BROKEN = "broken:"
LONGEST_NOTE = 10_000
Drawn = Literal["uncertain", "claimed", "unclaimed"]


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One decision.

    Attributes:
        mark_id: unique; the same decision sent again is stored once.
        sample_id: the sample.
        mark: one of `MARKS`, or `broken:<modality>`; None for a note alone.
        note: the person's words; '' removes an earlier note, None leaves it.
        new_label: the class it should be, with `fix_label`.
        drawn: how a review chose the sample; None if the person did.
    """

    mark_id: str
    sample_id: str
    mark: str | None = None
    note: str | None = None
    new_label: str | None = None
    drawn: Drawn | None = None

    def check(self, modalities: Sequence[str], classes: Sequence[str]) -> None:
        """Check that it can be stored.

        Raises:
            CurateError: an unknown mark, modality or class, an empty decision, or a note that is too long.
        """
        known = (*MARKS, *(f"{BROKEN}{m}" for m in modalities))
        if self.mark is not None and self.mark not in known:
            raise CurateError(f"unknown mark {self.mark[:60]!r}", f"known: {', '.join(known)}")
        if self.new_label is not None and self.new_label not in classes:
            raise unknown_name("class", self.new_label, classes)
        if self.mark is None and self.note is None:
            raise CurateError("a decision has a mark or a note", f"known marks: {', '.join(known)}")
        if not self.mark_id or len(self.mark_id) > 100:
            raise CurateError("a decision needs an id of 1 to 100 characters", "any unique text")
        if len(self.note or "") > LONGEST_NOTE:
            raise CurateError(f"the note has {len(self.note or '')} characters", f"write {LONGEST_NOTE} at most")


@dataclass(frozen=True)
class Marks:
    """The decisions of people, by data set and sample: they do not belong to a run."""

    TABLES: ClassVar[tuple[str, ...]] = ("mark",)

    db: Connection

    def write(self, dataset: str, marks: Sequence[Mark], author: str, patience: float | None = None) -> None:
        """Store decisions; when it returns they are committed. Those whose `mark_id` is there already are skipped.

        Args:
            patience: how long to wait for another process, s.
        """
        now = datetime.now(UTC).replace(tzinfo=None)
        with self.db.open(write=True, patience=patience) as con:
            for m in marks:
                con.execute(
                    "INSERT INTO mark SELECT coalesce((SELECT max(number) FROM mark), 0) + 1, ?, ?, ?, ?, ?, ?, ?, ?, "
                    "?, NULL WHERE NOT EXISTS (SELECT 1 FROM mark WHERE mark_id = ?)",
                    [m.mark_id, dataset, m.sample_id, m.mark, m.note, m.new_label, author, now, m.drawn, m.mark_id],
                )

    def withdraw(self, mark_id: str, patience: float | None = None) -> bool:
        """Take a decision back; the one before it counts again. Returns whether there is such a decision."""
        now = datetime.now(UTC).replace(tzinfo=None)
        with self.db.open(write=True, patience=patience) as con:
            sql = "UPDATE mark SET withdrawn = coalesce(withdrawn, ?) WHERE mark_id = ? RETURNING 1"
            return con.execute(sql, [now, mark_id]).fetchone() is not None

    def all(self, dataset: str) -> list[tuple[Any, ...]]:
        """(number, mark_id, sample_id, mark, note, new_label, author, made, drawn) of what counts, oldest first."""
        with self.db.open() as con:
            return con.execute(
                "SELECT number, mark_id, sample_id, mark, note, new_label, author, made, drawn FROM mark "
                "WHERE dataset = ? AND withdrawn IS NULL ORDER BY number",
                [dataset],
            ).fetchall()
