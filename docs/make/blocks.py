"""The code blocks of the pages, and what is to be done with each.

An HTML comment above a block says it, one line each:

    not run: REASON     it is not run, and why; its commands, options and settings must exist all the same
    file: NAME          its text is the content of this file
    output              it is what the block above it prints; digits may differ
    setup: WHAT         it is run after definitions of the test's own
    folder: NAME        from here on blocks are run in another folder: empty, predictions, scored, clips, speech
    exit: CODE          it ends with this exit code

A block of `sh`, `python`, `sql`, `toml` or `csv` without a comment is run; see `tests/cli/test_pages.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.M | re.S)
COMMENT = re.compile(r"<!-- (not run|file|output|setup|folder|exit)(?:: (.*?))? -->")
RUN = ("sh", "python", "sql")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        language: the word after the fence.
        text: its lines.
        line: where it begins, counted from 1.
        start, end: where its text lies in the page.
        marks: {what its comment says: the rest of the comment}.
    """

    language: str
    text: str
    line: int
    start: int
    end: int
    marks: dict[str, str] = field(default_factory=dict)

    @property
    def is_run(self) -> bool:
        """Whether a test runs it."""
        return self.language in RUN and not {"not run", "file", "output"} & self.marks.keys()

    @property
    def is_known(self) -> bool:
        """Whether it is run, or says why not, or is a file or an output."""
        return self.is_run or bool(self.marks.get("not run") or self.marks.get("file") or "output" in self.marks)

    def commands(self) -> list[str]:
        """The command lines of a block of `sh`, continued lines joined."""
        joined = re.sub(r"\\\n\s*", "", self.text)
        return [line.strip() for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def blocks(page: str) -> list[Block]:
    """The blocks of a page in order."""
    found = []
    for match in FENCE.finditer(page):
        above = page[: match.start()].splitlines()
        marks = {}
        while above and (said := COMMENT.fullmatch(above[-1].strip())):
            marks[said[1]] = said[2] or ""
            above.pop()
        line = page[: match.start()].count("\n") + 1
        found.append(Block(match[1], match[2], line, match.start(2), match.end(2), marks))
    return found
