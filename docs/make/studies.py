"""The studies of `reports/studies` and the scripts of `examples`, as pages of the site."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
STUDIES = ROOT / "reports/studies"
EXAMPLES = {
    "plain_pytorch": "Plain PyTorch",
    "two_processes": "Two processes",
    "lightning_loop": "Lightning",
    "hugging_face": "Hugging Face Trainer",
}
HEAD = """\
# Whole scripts

Each records, scores and trains on with the table's weights. They need the
[Free Spoken Digit Dataset](https://github.com/Jakobovski/free-spoken-digit-dataset), and lie in `examples/`.
"""
INDEX = """\
# Studies

Each study is a script and the tables it printed, in `reports/studies/`. They measure on real recordings with planted
and known damage, several seeds, and beside plain baselines.

| study | what it measured |
|---|---|
"""


def pages() -> dict[str, str]:
    """{path: Markdown}."""
    found = {f"studies/{p.name}": _study(p) for p in sorted(STUDIES.glob("*.md"))}
    rows = [
        f"| [{text.splitlines()[0].lstrip('# ')}]({Path(path).name}) | `{path[8:-3]}` |" for path, text in found.items()
    ]
    return found | {"studies/index.md": INDEX + "\n".join(rows) + "\n", "howto/examples.md": _examples()}


def _study(path: Path) -> str:
    """Links to other studies stay; links to scripts become their names."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"^(```\w*\n.*?^```$)", r"<!-- not run: what the study printed -->\n\1", text, flags=re.M | re.S)
    return re.sub(r"\[([^\]]+)\]\((?!https?:)(?![\w-]+\.md)[^)]*\)", r"\1", text)


def _examples() -> str:
    parts = [HEAD]
    for name, title in EXAMPLES.items():
        script = (ROOT / f"examples/{name}.py").read_text(encoding="utf-8")
        parts += [f"## {title}\n", f"<!-- not run: tests/test_examples.py runs it -->\n```python\n{script}```\n"]
    return "\n".join(parts)
