"""Names of columns, without regard to case, spaces and Unicode form; names of files, ordered by their numbers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path


def composed(text: str) -> str:
    """A name in Unicode's composed form (NFC), in which names are compared."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def known_name(name: str, known: Sequence[str]) -> str:
    """The known name that a column's name equals apart from case and spaces; else the name itself, composed."""
    name = composed(name.strip().strip("\ufeff\u200b").strip())
    plain = re.sub(r"[\s-]+", "_", name.lower())
    return plain if plain in known else name


def by_number(path: Path) -> list[tuple[int, str]]:
    """A key that sorts files by the numbers in their names: `epoch_10` after `epoch_9`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name) if part]
