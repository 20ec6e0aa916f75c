"""Names of modalities, from which columns of the sample table get theirs: `p_audio`, `p_broken_audio`."""

from __future__ import annotations

import re

WORD = re.compile(r"[a-z][a-z0-9_]*")
TAKEN = r"(?:balanced|imbalanced|mislabelled)\Z|(?:ahead|broken|swapped)_"
"""What p_<name> is not the probability of a modality for: `p_balanced`, or `p_broken_audio` of a modality `audio`."""
MODALITY = re.compile(f"(?!{TAKEN}){WORD.pattern}")
"""Valid names of modalities."""


def name_hint(name: str) -> str:
    """What to do about a name that a modality cannot have."""
    if WORD.fullmatch(name):
        return f"choose another name: p_{name} is the column of something else, or may be"
    if WORD.fullmatch(f"a{name}"):
        return "begin it with a letter"
    return "use lower-case letters, digits and _, first a letter"
