"""What the machine has."""

from __future__ import annotations

import os


def memory() -> int | None:
    """Bytes of memory of this machine, whatever is free of it; None where the system does not say."""
    if not hasattr(os, "sysconf"):  # Windows
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
