"""A comparison as a self-contained page. Its text is in `templates/comparison.html`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from curate.advice.kept import measured
from curate.comparison.layout import aside, cells, in_paper, notes, to_csv, to_latex, to_markdown
from curate.comparison.paper import EXPLAINED
from curate.comparison.plan import CONTINUED, CONTROLS, IMPROVE, Plan, is_tuned, swept_setting
from curate.comparison.ranks import mean_ranks
from curate.comparison.summary import (
    ACCURACY,
    BETTER,
    EVEN,
    REFERENCE,
    UNJUDGED,
    WORSE,
    Line,
    missing_controls,
)
from curate.files.writing import replacing
from curate.store.store import Store
from curate.types import pair_name

from . import drawing, panels
from .texts import template

BINS = 40


def write_comparison(store: Store, name: str, plan: Plan | None, path: Path) -> None:
    """Write a stored comparison as Markdown, CSV, LaTeX or a page, by the suffix; completely or not at all.

    Raises:
        CurateError: there is none of that name.
    """
    title = plan.title if plan and plan.title else name
    lines = measured(store, name)
    if path.suffix == ".html":
        text = comparison_page(store, name, plan)
    elif path.suffix == ".csv":
        text = to_csv(lines, plan)
    else:
        text = {".md": to_markdown, ".tex": to_latex}[path.suffix](title, lines, plan)
    with replacing(path) as fresh:
        fresh.write_text(text, encoding="utf-8")


def comparison_page(store: Store, name: str, plan: Plan | None = None) -> str:
    """The HTML of a stored comparison: table, accuracy against time, validation curves, movement of the gaps.

    Raises:
        CurateError: there is none of that name.
    """
    lines = measured(store, name)
    return template("comparison.html").render(
        title=plan.title if plan and plan.title else name,
        name=name,
        notes=notes(lines, plan),
        paper=in_paper(lines, plan),
        explained=EXPLAINED,
        ranks=_ranks(store, name),
        parts=[_part(store, name, plan, d, lines) for d in dict.fromkeys(line.dataset for line in lines)],
    )


def judged(lines: Sequence[Line]) -> list[tuple[str, list[str]]]:
    """(verdict against the warm-up continued, labels of the rows with that verdict), controls left out."""
    what = {
        BETTER: "better than the warm-up continued",
        EVEN: "no difference to the warm-up continued beyond the spread of the seeds",
        WORSE: "worse than the warm-up continued",
        UNJUDGED: "one seed, so not judged",
    }
    found = {v: [line.label for line in lines if not line.control and line.verdict == v] for v in what}
    return [(what[v], labels) for v, labels in found.items() if labels]


def _part(store: Store, name: str, plan: Plan | None, dataset: str, every: Sequence[Line]) -> dict[str, Any]:
    """One data set: its rows and figures."""
    lines = [line for line in every if line.dataset == dataset]
    head, rows, remarks = aside(*cells(lines, plan))
    return {
        "dataset": dataset,
        "head": head,
        "rows": list(zip(rows, lines, remarks, strict=True)),
        "reference": REFERENCE,
        "seeds": sorted({s for line in lines for s in line.seeds}),
        "judged": judged(lines),
        "missing": [m for _, m in missing_controls(lines, () if name == IMPROVE else CONTROLS)],
        "time": _time(lines, dataset),
        "curves": _curves(store, name, dataset, lines),
        "sensitivity": _sensitivity(lines, dataset),
        "gaps": _gaps(store, name, dataset),
    }


def _ranks(store: Store, name: str) -> dict[str, Any] | None:
    """The figure of mean ranks over all data sets and seeds, and what is said below it."""
    ranks = mean_ranks(store.comparisons.find(name))
    if ranks is None:
        return None
    found = _figure("ranks", panels.rank_lines(ranks), "Mean rank of each row, with bars that join equal ones")
    return {**found, "of": ranks, "tuned": is_tuned(ranks.labels[0])}


def _figure(name: str, drawn: drawing.Drawing, title: str) -> dict[str, Any]:
    svg = drawing.inline_svg(drawing.svg(drawn.figure), name)
    return {"name": name, "title": title, "svg": Markup(svg)}


def _time(lines: Sequence[Line], dataset: str) -> dict[str, Any] | None:
    points = [
        panels.Point(i, x.label, x.time.mean, x.values[ACCURACY].mean, x.values[ACCURACY].sd or 0, x.control)
        for i, x in enumerate(lines, 1)
        if x.time and ACCURACY in x.values
    ]
    if not points:
        return None
    return _figure(f"time-{dataset}", panels.accuracy_against_time(points), "Accuracy against time, a mark a row")


def _curves(store: Store, name: str, dataset: str, lines: Sequence[Line]) -> dict[str, Any] | None:
    found: dict[str, dict[int, list[tuple[int, float]]]] = {}
    for of, label, seed, epoch, value in store.comparisons.curves(name):
        if of == dataset:
            found.setdefault(label, {}).setdefault(seed, []).append((epoch, value))
    if not found:
        return None
    columns = {label: [np.array(c, dtype=float).T for c in seeds.values()] for label, seeds in found.items()}
    drawing = panels.validation_curves({k: [(e, v) for e, v in c] for k, c in columns.items()}, _behind(lines))
    return _figure(f"curves-{dataset}", drawing, "Validation accuracy over epochs")


def _sensitivity(lines: Sequence[Line], dataset: str) -> dict[str, Any] | None:
    """Accuracy over the values of each setting that was swept, where a sweep has two values or more."""
    known = {line.label: line.values[ACCURACY] for line in lines if ACCURACY in line.values}
    found: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for label, accuracy in known.items():
        if setting := swept_setting(label):
            row, name, value = setting
            found.setdefault((row, name), []).append((value, accuracy.mean, accuracy.sd or 0))
    swept = {f"{row}: {name}": (row, np.array(sorted(v)).T) for (row, name), v in found.items() if len(v) > 1}
    if not swept:
        return None
    references = {title: known[row].mean for title, (row, _) in swept.items() if row in known}
    drawn = panels.sensitivity({title: (x, y, sd) for title, (_, (x, y, sd)) in swept.items()}, references)
    return _figure(f"sensitivity-{dataset}", drawn, "Test accuracy over the values of a setting")


def _behind(lines: Sequence[Line]) -> str:
    return next((line.label for line in lines if line.control and line.method == CONTINUED), "")


def _gaps(store: Store, name: str, dataset: str) -> list[dict[str, Any]]:
    """For each pair of modalities, a figure of the gaps before and after."""
    counts: dict[str, dict[str, np.ndarray]] = {}
    for of, label, pair, position, samples in store.comparisons.gaps(name, BINS):
        if of == dataset:
            counts.setdefault(pair, {}).setdefault(label, np.zeros(BINS))[position] = samples
    out = []
    for pair, found in counts.items():
        first, second = pair.split("|")
        before = found.pop("", np.zeros(BINS))
        if found:
            drawing = panels.gap_panels(before, found, (first, second))
            name_ = f"gaps-{dataset}-{first}-{second}"
            out.append(_figure(name_, drawing, f"Gaps of {pair_name((first, second))} before and after"))
    return out
