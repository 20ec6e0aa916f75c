"""A hook of the site's generator: the generated sections of the pages of methods, and equations as MathML."""

from __future__ import annotations

import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parents[2]))

from docs.make import math, method_pages


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Generated sections of a method's page, and of the list of methods."""
    folder, _, name = page.file.src_uri.removesuffix(".md").rpartition("/")
    if folder != "methods":
        return markdown
    return f"{markdown}\n{method_pages.shared()}" if name == "index" else method_pages.finished(name, markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Equations as MathML."""
    return math.with_mathml(html)
