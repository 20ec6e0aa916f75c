"""Names of columns as people write them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence


def composed(text: str) -> str:
    """A name in Unicode's composed form, in which names are compared."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def known_name(name: str, known: Sequence[str]) -> str:
    """A column's name, composed; the known name that it means, whatever its case and spaces."""
    name = composed(name.strip().strip("\ufeff\u200b").strip())
    plain = re.sub(r"[\s-]+", "_", name.lower())
    return plain if plain in known else name
