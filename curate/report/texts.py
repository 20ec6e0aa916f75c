"""The numbers of the report as text."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from curate.comparison.summary import Difference, Spread
from curate.render import printable
from curate.types import Run

from . import results
from .facts import Facts

MEANINGS = (
    (
        "two tails",
        "Some samples are carried by the first modality and others by the second. A mixture of two has room "
        "for one of these groups only.",
    ),
    (
        "no balanced peak",
        "The component called balanced is so wide that it holds clearly unequal samples too: "
        "p_balanced near 1 does not mean that both modalities know the sample.",
    ),
    (
        "concentric",
        "Components sit at about the same place and differ in width only: the split says small or "
        "large gap, not which modality carries the sample.",
    ),
    ("no component is near zero", "Even the component called balanced leans to one modality."),
    (
        "small gaps",
        "Most samples have hardly any gap. Either nothing was learnt yet, or the network knows its training "
        "samples by heart; both hide imbalance.",
    ),
    (
        "the rules",
        "Reasonable definitions of 'balanced' pick different components here: p_balanced hangs on that choice.",
    ),
    (
        "crossed tails",
        "One tail is so wide that it reaches over to the other side: at the largest gaps its posterior points the "
        "wrong way.",
    ),
    ("two populations", "The gaps do not support both tails and a middle; two components stand for them."),
    ("the gaps do not fall", "Three components found no group on either side of a middle; two stand for the gaps."),
    (
        "one bell",
        "Nothing in the shape of the gaps tells a balanced group from an imbalanced one: the threshold is a choice.",
    ),
    (
        "hardly a sample is balanced",
        "One modality is ahead nearly everywhere. What is selected is the least imbalanced part, not a balanced one.",
    ),
    ("the likelihood", "The fitted numbers are not final; more iterations would move them."),
    ("only", "There are too few samples for a fit."),
    ("the gaps are constant", "All samples have the same gap, so there is nothing to tell apart."),
    ("a second component", "The gaps look like one population: no sample is called imbalanced."),
    ("one population", "The gaps look like one population: no sample is called imbalanced."),
    (
        "memorised",
        "Networks that know their training samples by heart show small gaps even where a modality is useless.",
    ),
)


def headline(facts: Facts) -> list[tuple[str, str]]:
    """The key figures: (number, meaning)."""
    s, modalities = facts.samples, facts.run.modalities
    right = s[[f"right_{m}" for m in modalities]].to_numpy(dtype=bool)
    both = "both" if len(modalities) == 2 else "all"
    return [
        (f"{len(s):,}", "training samples scored"),
        (in_percent((s["p_balanced"] < 0.5).mean()), "called imbalanced: p_balanced below 0.5"),
        *((in_percent((s["dominant"] == m).mean()), f"{m} ahead") for m in modalities),
        (in_percent(right.all(axis=1).mean()), f"{both} modalities right on their own"),
        (
            in_percent((~right).all(axis=1).mean()),
            "no modality right on its own: a gap near zero says nothing good here",
        ),
    ]


def explain(warning: str) -> str:
    """What a warning of a fit means for the reader; '' if it is not known here."""
    return next((meaning for start, meaning in MEANINGS if warning.startswith(start)), "")


def in_percent(share: float) -> str:
    """A share in 0..1; with one decimal near its ends."""
    return f"{share:.1%}" if 0 < share < 0.1 or 0.9 < share < 1 else f"{share:.0%}"


def displayable(value: Any) -> Any:
    """A text of a page with its control and direction marks written as escapes, as on a terminal; else the value."""
    return type(value)(printable(value, keep="\n\t")) if isinstance(value, str) else value


def template(name: str) -> Template:
    """One of the folder `templates`; its filters are `percent`, `spread` and `points`."""
    environment = Environment(
        loader=PackageLoader("curate.report"),
        autoescape=True,
        finalize=displayable,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": in_percent, "spread": spread_text, "points": points_text}
    return environment.get_template(name)


def with_code(text: str) -> Markup:
    """A sentence as HTML; text between backticks becomes code."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))


def slug(names: Sequence[str]) -> str:
    """Names as part of a file name and of an element's id."""
    return "-".join("".join(c if (c.isalnum() and c.isascii()) or c in "_-" else "_" for c in name) for name in names)


def spread_text(spread: Spread | None) -> str:
    """A share as percent, with its spread over runs."""
    if spread is None:
        return "–"
    sd = "" if spread.sd is None else f" ± {100 * spread.sd:.1f}"
    return f"{100 * spread.mean:.1f}{sd}"


def points_text(found: Difference | None) -> str:
    """A difference in points, with its interval over seeds."""
    return "–" if found is None else found.text


def flat_row(row: results.Row, columns: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """A method's results as one row of a file."""
    out: dict[str, Any] = {
        "method": row.method,
        "note": row.note,
        "settings": row.settings,
        "runs": len(row.run_ids),
        "epochs": row.epochs,
    }
    for modality, metric in columns:
        spread = (row.values or {}).get((modality, metric))
        out[f"{metric}_{modality}"] = spread.mean if spread else None
        out[f"{metric}_{modality}_sd"] = spread.sd if spread else None
    found = row.difference
    ends = (found.mean, found.low, found.high) if found else (None, None, None)
    for name, share in zip(("", "_low", "_high"), ends, strict=True):
        out[f"difference_points{name}"] = None if share is None else 100 * share
    return out


def settings_of(run: Run) -> list[tuple[str, str]]:
    """(section.key, value) of the configuration, ascending, without the architectures of encoders by name."""
    return sorted(
        (f"{section}.{key}", json.dumps(value, default=str))
        for section, values in run.config.items()
        for key, value in values.items()
        if section != "encoders"
    )
