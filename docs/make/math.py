"""Equations of the pages, from LaTeX to MathML, which every browser draws without scripts or a network."""

from __future__ import annotations

import html
import re

from latex2mathml.converter import convert

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.S)


def with_mathml(page: str) -> str:
    """A page's HTML with the equations that Markdown has marked as MathML."""
    return FORMULA.sub(_drawn, page)


def _drawn(match: re.Match[str]) -> str:
    tag, kind, latex = match.groups()
    text = convert(html.unescape(latex).strip(), display="block" if kind == "[" else "inline")
    return f'<{tag} class="formula">{text}</{tag}>'
