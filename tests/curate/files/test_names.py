"""Names of files in the order of the numbers in them."""

from __future__ import annotations

from pathlib import Path

from curate.files.names import by_number


def test_files_are_ordered_by_the_numbers_in_their_names():
    """A superscript is a digit of no number: such a name had been an error."""
    ordered = ["a2.png", "a10.png", "a010b.png", "a\u00b2.png", "x1\u00b22.png", "x3.png", "2.png", "10.png"]
    assert [p.name for p in sorted(map(Path, reversed(ordered)), key=by_number)] == ordered
