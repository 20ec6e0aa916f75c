"""The pages of the Python API: which objects they show. Their text comes from the docstrings."""

from __future__ import annotations

TORCH = """\
# PyTorch API

`curate.torch` is for a training loop of your own. It needs torch 2.4 or newer, and no other part of the extra `train`.
See [Your own training loop](../howto/own-loop.md) for how the parts work together.
"""
HEAD = """\
# Python API

`curate.open` returns a [`Table`](#curate.table.Table) with a method for each command that needs no model. The functions
below it work on arrays and on the types at the end of this page, all of which are names of `curate`:
`from curate import Predictions`. For a training loop, see the [PyTorch API](torch.md).

Settings are arguments: `curate.toml` and the variable `CURATE_SET`, which commands read, have no part in a call.

A user's mistake raises `curate.errors.CurateError`, with a message and a hint. A wrong argument raises `ValueError`.
"""
FUNCTIONS = {
    "curate.modality_gap": "curate.scores.gap.modality_gap",
    "curate.fit_mixture": "curate.scores.mixture.fit",
    "curate.column": "curate.files.parquet.column",
    "curate.p_balanced": "curate.scores.posteriors.p_balanced",
    "curate.select": "curate.scores.selection.select_above",
}
"""{public name: where it is defined}."""
TYPES = ("Predictions", "GapScores", "MixtureFit", "Selection", "Round", "Run")
CALLBACKS = {"curate.lightning.RecorderCallback": "Lightning", "curate.transformers.RecorderCallback": "Transformers"}


def pages() -> dict[str, str]:
    """{path: Markdown}."""
    table = '## curate.open\n\nA table, opened or made: `table = curate.open("curate.duckdb")`.\n\n'
    parts = [HEAD, table + _shown("curate.table.Table")]
    parts += [f"## {name}\n\n{_shown(where)}" for name, where in FUNCTIONS.items()]
    names = ", ".join(f"`curate.{name}`" for name in TYPES)
    parts += [f"## What they take and give\n\n{names}.\n", *(_shown(f"curate.types.{name}") for name in TYPES)]
    parts += [
        "## Errors\n",
        *(_shown(f"curate.errors.{n}") for n in ("CurateError", "LockedError", "EmptySelectionError")),
    ]
    import curate.torch

    public = [getattr(curate.torch, name) for name in curate.torch.__all__]
    torch = [TORCH, *(_shown(f"{o.__module__}.{o.__name__}", 2) for o in public)]
    torch += [f"## Callback for {title}\n\n{_shown(where)}" for where, title in CALLBACKS.items()]
    return {"reference/python.md": "\n".join(parts), "reference/torch.md": "\n".join(torch)}


def _shown(where: str, level: int = 3) -> str:
    return f"::: {where}\n    options:\n      heading_level: {level}\n"
