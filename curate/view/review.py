"""Which samples to look at next, and how right the claims were on those that were looked at.

A claim says that a modality is broken, that one contradicts the label or, where neither is known, that one modality
carries the sample (p_imbalanced > 0.5). Uncertain claims teach most about the limit; claims at random show how many are
right, and other samples at random how many were missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from curate.store.snapshot import Snapshot

LEVEL = 0.95
BATCH = 8
ANSWERED = "(mark IS NOT NULL AND mark NOT IN ('unsure', 'drop'))"


class Review:
    """Samples to look at, and what the answers so far say about the claims."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        columns = snapshot.columns
        assessed = snapshot.ask(
            "SELECT count(broken), count(contradicts), count(gap), count(*) FILTER (p_mislabelled > 0.5) FROM samples"
        )[0]
        self.kinds: dict[str, tuple[str, str]] = {}
        """{claim: (condition that it is made, condition that a person agreed)}."""
        near = []
        if assessed[0]:
            self.kinds["broken"] = (
                "coalesce(broken, '') <> ''",
                "starts_with(mark, 'broken:') AND list_contains(string_split(broken, '+'), mark[8:])",
            )
            near += [f"abs({c} - 0.5)" for c in columns if c.startswith("p_broken_")]
        if assessed[1]:
            self.kinds["contradicts the label"] = (
                "coalesce(contradicts, '') <> ''",
                "(mark = 'fix_label' OR "
                "starts_with(mark, 'broken:') AND list_contains(string_split(contradicts, '+'), mark[8:]))",
            )
            near += [f"abs({c} - 0.5)" for c in columns if c.startswith("p_swapped_")]
        if assessed[3]:
            self.kinds["label is wrong"] = ("p_mislabelled > 0.5", "mark = 'fix_label'")
            near.append("abs(p_mislabelled - 0.5)")
        if not self.kinds and assessed[2]:
            self.kinds["imbalanced"] = ("p_imbalanced > 0.5", "starts_with(mark, 'broken:')")
            near = ["abs(p_imbalanced - 0.5)"]
        self.claimed = " OR ".join(f"({made})" for made, _ in self.kinds.values()) or "false"
        self.others = f"NOT coalesce({self.claimed}, false) AND gap IS NOT NULL"
        self.near = f"least({', '.join(near)})" if near else "0"

    def queue(self) -> list[tuple[str, str]]:
        """(id, `uncertain`, `claimed` or `unclaimed`) of the next samples without a mark, in turn."""
        random = {
            drawn: self._unmarked(which, "hash(sample_id)")
            for drawn, which in (("claimed", self.claimed), ("unclaimed", self.others))
        }
        near = [i for i in self._unmarked(self.claimed, self.near, 2 * BATCH) if i not in random["claimed"]]
        drawn = {"uncertain": near[:BATCH], **random}
        return [(ids[k], name) for k in range(BATCH) for name, ids in drawn.items() if k < len(ids)]

    def _unmarked(self, which: str, order: str, most: int = BATCH) -> list[str]:
        """The first samples without a mark that fulfil a condition."""
        sql = f"SELECT sample_id FROM samples WHERE ({which}) AND mark IS NULL ORDER BY {order}, 1 LIMIT {most}"
        return [i for (i,) in self.snapshot.ask(sql)]

    def report(self) -> dict[str, Any]:
        """What the answers say: how many claims of each kind are right, and how many were missed, with intervals.

        Samples are drawn at random in the order of a hash: all answers up to the last one drawn count as random,
        whatever they were given for. Marks `drop` and `unsure` answer nothing.
        """
        missed = "(starts_with(mark, 'broken:') OR mark = 'fix_label')"
        rows = [self._counts(name, made, agreed, "claimed") for name, (made, agreed) in self.kinds.items()]
        return {"claims": rows, "missed": self._counts("unclaimed", self.others, missed, "unclaimed"), "level": LEVEL}

    def _counts(self, name: str, which: str, agreed: str, drawn: str) -> dict[str, Any]:
        right = f"{ANSWERED} AND {agreed}"
        random = f"hash(sample_id) <= (SELECT max(hash(sample_id)) FROM samples WHERE mark_drawn = '{drawn}')"
        counts = ", ".join(
            f"count(*) FILTER ({part})"
            for part in ("true", ANSWERED, right, f"{ANSWERED} AND {random}", f"{right} AND {random}")
        )
        return _row(name, self.snapshot.ask(f"SELECT {counts} FROM samples WHERE {which}")[0])


def _row(name: str, counts: Sequence[int]) -> dict[str, Any]:
    claims, seen, right, random, random_right = counts
    return {
        "name": name,
        "claims": claims,
        "seen": seen,
        "right": right,
        "interval": wilson(right, seen),
        "random": random,
        "random_right": random_right,
        "random_interval": wilson(random_right, random),
    }


def wilson(right: int, seen: int) -> tuple[float, float] | None:
    """Wilson's interval of a share at the level 0.95, both in [0, 1]; None if nothing was seen."""
    if not seen:
        return None
    from scipy.stats import binomtest

    found = binomtest(right, seen).proportion_ci(LEVEL, method="wilson")
    return float(found.low), float(found.high)
