"""Stop where a file system has gone: trying one file after another, each for many seconds, would take hours."""

from __future__ import annotations

from collections.abc import Sequence

from curate.errors import UnansweredError

IN_A_ROW = 8
"""Files of one place in a row that were not answered, after which no further one is tried."""


class Unanswered:
    """Counts the files on other machines that were not answered since the last one of their place that was.

    Attributes:
        lost: these files, each once.
    """

    def __init__(self) -> None:
        self.lost: list[str] = []

    def answered(self, name: str) -> None:
        """Forget what its place did not answer before."""
        place = place_of(name)
        self.lost = [lost for lost in self.lost if place_of(lost) != place]

    def add(self, name: str, reason: str) -> None:
        """Count a file that was not answered.

        Args:
            name: the file, `s3://bucket/a.wav`.
            reason: a sentence.

        Raises:
            UnansweredError: it is the last of `IN_A_ROW`.
        """
        if name not in self.lost:
            self.lost.append(name)
            refuse(place_of(name), of_place(place_of(name), self.lost), reason)


def of_place(place: str, lost: Sequence[str]) -> list[str]:
    """Those of some files that a place has."""
    return [name for name in lost if place_of(name) == place]


def refuse(place: str, lost: Sequence[str], last: str) -> None:
    """Check that fewer files of a place than `IN_A_ROW` were not answered.

    Raises:
        UnansweredError: they are so many.
    """
    if (count := len(set(lost))) >= IN_A_ROW:
        raise UnansweredError(
            f"{place} does not answer: {count} files in a row could not be read, the last: {last}",
            "what is decoded is kept; once it answers, the same command goes on where it was. "
            "Leave out the rows of a place that is gone for good",
        )


def place_of(name: str) -> str:
    """The bucket or the server that has a file, `s3://bucket`."""
    protocol, _, rest = name.rpartition("::")[2].partition("://")
    return f"{protocol}://{rest.partition('/')[0]}"
