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
"""Files in a row that were not answered, after which no further one is tried."""


class Answers:
    """Counts the files on other machines that were not answered since the last one that was.

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
        if status != UNREACHABLE:
            self.lost.clear()
        elif str(path) not in self.lost:
            self.lost.append(str(path))
            if len(self.lost) >= IN_A_ROW:
                raise _error(self.lost, reason)

    def check(self, lost: Sequence[Sequence[str]]) -> None:
        """Check the files that were not answered in a row in each of several processes.

        Raises:
            UnansweredError: no process was answered, and together they are `IN_A_ROW`.
        """
        files = [name for own in lost for name in own]
        if all(lost) and len(set(files)) >= IN_A_ROW:
            raise _error(files, files[-1])


def _error(lost: Sequence[str], last: str) -> UnansweredError:
    places = ", ".join(sorted({place_of(name) for name in lost}))
    return UnansweredError(
        f"{places} does not answer: {len(set(lost))} files in a row could not be read, the last: {last}",
        "what is decoded is kept; once it answers, the same command goes on where it was. "
        "Leave out the rows of a place that is gone for good",
    )


def place_of(name: str) -> str:
    """The bucket or the server that has a file, `s3://bucket`."""
    protocol, _, rest = name.rpartition("::")[2].partition("://")
    return f"{protocol}://{rest.partition('/')[0]}"
