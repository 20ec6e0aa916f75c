"""The pages that are made from the code when the site is built: by path below `docs`, their Markdown."""

from __future__ import annotations

import re
from pathlib import Path

from . import cli, columns, listings, messages, python, settings, studies

ROOT = Path(__file__).parents[2]


def generated() -> dict[str, str]:
    """Every generated page."""
    return {
        "reference/cli.md": cli.page(),
        "reference/settings.md": settings.page(),
        "reference/table.md": columns.page(),
        "reference/methods.md": listings.methods(),
        "reference/data-sets.md": listings.data_sets(),
        "reference/messages.md": messages.page(),
        **python.pages(),
        **studies.pages(),
        "project/changelog.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        "project/contributing.md": _contributing(),
    }


def _contributing() -> str:
    """CONTRIBUTING.md, whose code blocks are run by tests of their own; links lead out of it into the site."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    text = re.sub(r"\]\(docs/([^)]+)\)", r"](../\1)", text)
    return re.sub(r"^```python", "<!-- not run: tests/test_extending.py runs it -->\n```python", text, flags=re.M)
