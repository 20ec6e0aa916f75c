"""The hook of the site's generator: the order of pages, and the pages that are made from the code.

A section is a folder with an `index.md`. Its pages stand in the order in which the index links to them. The sections
stand in the order of `SECTIONS`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parents[2]))

from docs.make.pages import generated

SECTIONS = {
    "tutorials": "Tutorials",
    "howto": "How-to",
    "reference": "Reference",
    "methods": "Methods",
    "explanations": "Explanations",
    "studies": "Studies",
}
"""The title of each folder, in the order of the site."""
FIRST = ({"Home": "index.md"}, {"Start": "start.md"})
LAST = (
    {"Troubleshooting": "troubleshooting.md"},
    {"Peers": "peers.md"},
    {"Project": ["project/changelog.md", "project/contributing.md"]},
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages, and orders all."""
    for path, text in generated().items():
        files.append(File.generated(config, path, content=text))
    config.nav = [*FIRST, *({title: _pages(folder, files)} for folder, title in SECTIONS.items()), *LAST]
    return files


def _pages(folder: str, files: Files) -> list[str]:
    """A section's pages: its index, those that the index links to, then the others by name."""
    there = sorted(f.src_uri for f in files.documentation_pages() if f.src_uri.startswith(f"{folder}/"))
    index = f"{folder}/index.md"
    linked = re.findall(r"\]\(([\w./-]+\.md)", files.get_file_from_path(index).content_string)
    order = {f"{folder}/{name}": place for place, name in reversed(list(enumerate(linked)))}
    return [index, *sorted((p for p in there if p != index), key=lambda p: (order.get(p, len(order)), p))]
