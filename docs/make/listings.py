"""The pages of methods and of data sets, from the catalog and from the data sets' classes."""

from __future__ import annotations

import re

from curate.datasets import find, names
from curate.train.methods import catalog

from .text import code, sentence, table

METHODS = """\
# Methods at a glance

`curate train --method NAME` runs one, `curate compare --method NAME` measures it beside its controls, and
`curate methods NAME` prints its settings. A method that starts `warm` begins at the scored run's checkpoint; one that
starts from `scratch` begins at random weights and trains for the warm-up's epochs too. `--from` overrides this. The
settings are those of [Settings](settings.md#method), written `--set method.KEY=VALUE`.

This page is made from the code. [Methods](../methods/index.md) has the equations.
"""
DEPARTURES = """\
## Where they differ from the published code

`curate methods --departures` prints the same.
"""
SETS = """\
# Data sets

`curate datasets` prints this list, `curate datasets NAME` the layout and settings of one, and
`curate datasets NAME --root FOLDER` what was found there. [The papers' data sets](../howto/paper-data-sets.md) says
where to get them.
"""


def methods() -> str:
    """The page of methods."""
    rows = [
        [
            f"[{code(e.name)}](settings.md#method-{_anchor(e.name)})",
            sentence(e.summary),
            sentence(e.paper),
            code(e.start),
            ", ".join(code(k) for k in e.knobs),
        ]
        for e in catalog.entries()
    ]
    found = [[code(name), what, sentence(text)] for name, what, text in catalog.departures()]
    parts = [METHODS, table(["method", "what it is", "from", "starts", "settings"], rows), DEPARTURES]
    return "\n".join([*parts, table(["method", "what", "the published code, here, and why"], found)])


def data_sets() -> str:
    """The page of data sets."""
    rows = [
        [f"[{code(n)}](settings.md#data-{_anchor(n)})", sentence(find(n).summary), sentence(find(n).layout)]
        for n in names()
    ]
    return f"{SETS}\n" + table(["name", "what it is", "expected under `--root`"], rows)


def _anchor(name: str) -> str:
    """The anchor of a heading `method: name`, after its first word."""
    return re.sub(r"[^\w-]", "", name)
