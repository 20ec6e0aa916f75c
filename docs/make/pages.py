"""The pages that are made from the code when the site is built: by path below `docs`, their Markdown."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]


def generated() -> dict[str, str]:
    """Every generated page."""
    return {
        "project/changelog.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        "project/contributing.md": (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
    }
