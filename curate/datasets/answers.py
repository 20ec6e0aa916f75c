"""Stop where a file system has gone: trying one file after another, each for many seconds, would take hours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from curate.errors import UnansweredError
from curate.files.remote import Remote

from .base import Dataset

UNREACHABLE = "unreachable"
"""The status of a medium whose file system did not answer."""
IN_A_ROW = 8
"""Files of one place in a row that were not answered, after which no further one is tried."""


class Answers:
    """Counts the files on other machines that were not answered since the last one of their place that was.

    Attributes:
        lost: these files, each once.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.lost: list[str] = []
        self._dataset = dataset

    def add_all(self, outcomes: Mapping[int, Mapping[str, tuple[str, str, Any]]]) -> None:
        """Count the media of {row: {modality: (status, reason, facts)}}; raises as `add`."""
        for row, own in outcomes.items():
            for modality, (status, reason, _) in own.items():
                self.add(row, modality, status, reason)

    def add(self, row: int, modality: str, status: str, reason: str) -> None:
        """Count one medium of the data set, given its outcome.

        Raises:
            UnansweredError: it is the last of `IN_A_ROW`.
        """
        path = self._dataset.media(self._dataset.samples[row]).get(modality, (None, None))[0]
        if not isinstance(path, Remote) or status == "missing":  # which may be known from a list of the folder
            return
        place = place_of(str(path))
        if status != UNREACHABLE:
            self.lost = [name for name in self.lost if place_of(name) != place]
        elif str(path) not in self.lost:
            self.lost.append(str(path))
            _refuse(place, _of(place, self.lost), reason)

    def check(self, lost: Sequence[Sequence[str]]) -> None:
        """Check the files that were not answered in a row in each of several processes.

        Raises:
            UnansweredError: each process waits for the same place, which did not answer for `IN_A_ROW` of their files.
        """
        for place in sorted({place_of(name) for own in lost for name in own}):
            waiting = [_of(place, own) for own in lost]
            if all(waiting):
                _refuse(place, [name for own in waiting for name in own], waiting[-1][-1])


def _of(place: str, lost: Sequence[str]) -> list[str]:
    return [name for name in lost if place_of(name) == place]


def _refuse(place: str, lost: Sequence[str], last: str) -> None:
    """Check that fewer files of a place than `IN_A_ROW` were not answered."""
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
