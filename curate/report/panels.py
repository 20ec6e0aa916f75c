"""Figures of a comparison: a small panel for each method, its control drawn behind it. Pure, as `figures`.

Letters: E epochs, G bins of the gap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from curate.comparison.ranks import Ranks
from curate.types import Floats

from .drawing import BALANCED, FONT, IMBALANCED, INK, MUTED, WIDTH, Drawing, canvas, figure_axes, legend, plain

COLUMNS = 4
PANEL = 1.35  # inches
WIDE = 20
"""Ratio of largest to smallest value from which an axis is logarithmic."""


@dataclass(frozen=True)
class Point:
    """A method as a point of time and accuracy.

    Attributes:
        number: of its row in the table, written beside its mark.
        label: its name.
        time: per epoch, joint training = 1.
        accuracy, sd: fused test accuracy in 0..1, and its standard deviation over seeds (0 for one seed).
        control: drawn as a square.
    """

    number: int
    label: str
    time: float
    accuracy: float
    sd: float
    control: bool


def accuracy_against_time(points: Sequence[Point]) -> Drawing:
    """Test accuracy against time per epoch: up and to the left is better."""
    figure = canvas(3.6)
    axes = figure.subplots()
    plain(axes)
    for control, color, marker, what in (
        (False, BALANCED, "o", "method"),
        (True, IMBALANCED, "s", "control"),
    ):
        mine = [p for p in points if p.control == control]
        if mine:
            x, y, sd = ([getattr(p, k) for p in mine] for k in ("time", "accuracy", "sd"))
            axes.errorbar(
                x,
                100 * np.array(y),
                100 * np.array(sd),
                fmt=marker,
                color=color,
                markersize=4,
                elinewidth=0.8,
                label=f"{what}, ± standard deviation over seeds",
            )
    for p in points:
        axes.annotate(
            str(p.number), (p.time, 100 * p.accuracy), (4, 3), textcoords="offset points", fontsize=FONT, color=INK
        )
    axes.grid(axis="y", color=MUTED, alpha=0.25, linewidth=0.6)
    axes.set_xlabel("time of an epoch, joint training = 1")
    axes.set_ylabel("test accuracy, %")
    legend(figure, 1)
    return Drawing(figure, pd.DataFrame([vars(p) for p in points]))


def validation_curves(curves: Mapping[str, Sequence[tuple[Floats, Floats]]], behind: str) -> Drawing:
    """Fused validation accuracy over epochs, one panel per method and one line per seed.

    Args:
        curves: {label: one ((E,) epochs, (E,) values in 0..1) per seed}.
        behind: the label whose lines are drawn in grey behind every other; not drawn if it is not in `curves`.
    """
    figure, panels = _grid(list(curves))
    for lines, axes in zip(curves.values(), panels, strict=True):
        for epochs, values in curves.get(behind, ()):
            axes.plot(epochs, 100 * values, color=MUTED, linewidth=0.8, linestyle="--", **_alone(epochs))
        for epochs, values in lines:
            axes.plot(epochs, 100 * values, color=BALANCED, linewidth=1.1, **_alone(epochs))
        axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    figure.supxlabel("epoch, counted from the start of warm-up", fontsize=FONT, color=INK)
    figure.supylabel("validation accuracy, %", fontsize=FONT, color=INK)
    panels[0].plot([], [], color=BALANCED, label="the method, a line a seed")
    panels[0].plot([], [], color=MUTED, linestyle="--", label=f"{behind}, to compare")
    _legend_above(figure)
    rows = [
        pd.DataFrame({"label": label, "line": i, "epoch": epochs, "value": values})
        for label, lines in curves.items()
        for i, (epochs, values) in enumerate(lines)
    ]
    return Drawing(figure, pd.concat(rows, ignore_index=True))


def _alone(epochs: Floats) -> dict[str, Any]:
    """What makes a line of one epoch visible: a dot."""
    return {"marker": "o", "markersize": 3} if len(epochs) == 1 else {}


def sensitivity(values: Mapping[str, tuple[Floats, Floats, Floats]], references: Mapping[str, float]) -> Drawing:
    """Test accuracy against the value of one setting, one panel per method and setting.

    Args:
        values: {title of the panel: ((V,) values ascending, (V,) accuracies in 0..1, (V,) standard deviations)}.
        references: {title: accuracy of the same method without the change}, a dashed line.
    """
    figure, panels = _grid(list(values), share_x=False)
    for (title, (x, accuracy, sd)), axes in zip(values.items(), panels, strict=True):
        axes.errorbar(
            x, 100 * accuracy, 100 * sd, fmt="o-", color=BALANCED, markersize=3, linewidth=1.1, elinewidth=0.8
        )
        if title in references:
            axes.axhline(100 * references[title], color=MUTED, linewidth=0.8, linestyle="--")
        if len(x) > 2 and x[0] > 0 and x[-1] / x[0] >= WIDE:
            axes.set_xscale("log")
    figure.supxlabel("value of the setting", fontsize=FONT, color=INK)
    figure.supylabel("test accuracy, %", fontsize=FONT, color=INK)
    panels[0].plot([], [], color=BALANCED, marker="o", markersize=3, label="mean ± standard deviation over seeds")
    panels[0].plot([], [], color=MUTED, linestyle="--", label="the method as it was")
    _legend_above(figure)
    rows = [
        pd.DataFrame({"row": title, "value": x, "accuracy": accuracy, "sd": sd, "reference": references.get(title)})
        for title, (x, accuracy, sd) in values.items()
    ]
    return Drawing(figure, pd.concat(rows, ignore_index=True))


def rank_lines(ranks: Ranks) -> Drawing:
    """Mean ranks, the best row above; a bar joins rows that do not differ by the critical difference."""
    k, groups = len(ranks.labels), ranks.groups()
    figure, axes = figure_axes(0.9 + 0.17 * k)
    axes.plot(ranks.values, range(k), "o", color=BALANCED, markersize=4)
    for i, (first, last) in enumerate(groups):
        x = ranks.values[-1] + 0.03 * k * (i + 1)
        axes.plot([x, x], [first - 0.3, last + 0.3], color=INK, linewidth=1.6, solid_capstyle="butt")
    axes.set_yticks(range(k), [_short(label, 44) for label in ranks.labels])
    axes.set_ylim(k - 0.4, -0.6)
    axes.set_xlabel("mean rank, 1 = most accurate")
    joined = ["; ".join(str(g) for g, (a, b) in enumerate(groups, 1) if a <= i <= b) for i in range(k)]
    return Drawing(figure, pd.DataFrame({"row": ranks.labels, "mean rank": ranks.values, "bars": joined}))


def gap_panels(before: Floats, after: Mapping[str, Floats], pair: tuple[str, str]) -> Drawing:
    """Histograms of the training samples' gaps before and after, one panel per method.

    Args:
        before: (G,) samples per bin of the gap from -1 to 1, in the scored runs.
        after: {label: the same after its last epoch}.
        pair: names of first and second modality.
    """
    figure, panels = _grid(list(after))
    edges = np.linspace(-1, 1, len(before) + 1)
    start = before / max(before.sum(), 1)
    for counts, axes in zip(after.values(), panels, strict=True):
        axes.stairs(start, edges, fill=True, color=MUTED, alpha=0.45)
        axes.stairs(counts / max(counts.sum(), 1), edges, color=BALANCED, linewidth=1.3)
        axes.axvline(0, color=INK, linewidth=0.6, linestyle=":")
        axes.set_xlim(-1, 1)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    first, second = pair
    text = f"←  {second} carries the sample        gap        {first} carries the sample  →"
    figure.supxlabel(text, fontsize=FONT, color=INK)
    panels[0].stairs([], [0], fill=True, color=MUTED, alpha=0.45, label="after the warm-up")
    panels[0].plot([], [], color=BALANCED, label="after the last epoch")
    _legend_above(figure)
    low = {"gap_from": edges[:-1], "gap_to": edges[1:]}
    named = {"after the warm-up": before, **after}
    rows = [pd.DataFrame({"label": label, **low, "samples": counts}) for label, counts in named.items()]
    return Drawing(figure, pd.concat(rows, ignore_index=True))


def _grid(titles: Sequence[str], share_x: bool = True) -> tuple[Figure, list[Axes]]:
    """One panel per title, all with the same scale, in a figure of twice the usual width."""
    rows = -(-len(titles) // COLUMNS)
    figure = Figure(figsize=(2 * WIDTH, 0.8 + PANEL * rows), layout="constrained")
    panels = list(np.atleast_1d(figure.subplots(rows, COLUMNS, sharex=share_x, sharey=True)).flat)
    for axes in panels[len(titles) :]:
        axes.set_axis_off()
    for axes, title in zip(panels, titles, strict=False):
        plain(axes)
        axes.set_title(_short(title), loc="left", fontsize=FONT, color=INK)
    for axes in panels[max(len(titles) - COLUMNS, 0) : len(titles)]:  # the lowest of each column, not of the last row
        axes.tick_params(labelbottom=True)
    return figure, panels[: len(titles)]


def _legend_above(figure: Figure) -> None:
    """A legend above the panels, because the label of their common axis is below them."""
    figure.legend(loc="outside upper left", ncols=2, fontsize=FONT, frameon=False, labelcolor=INK, handlelength=2.6)


def _short(text: str, longest: int = 34) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
