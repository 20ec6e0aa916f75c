"""What all pictures of the site share: size, colours, and files that are the same each time they are written."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from curate.report.drawing import BALANCED, GREEN, IMBALANCED, INK, MUTED, PURPLE

AUDIO, VISUAL, FUSED, GREY, THIRD = BALANCED, IMBALANCED, INK, MUTED, GREEN
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "curate",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "sans-serif"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e7ea",
    "legend.frameon": False,
    "lines.linewidth": 2,
}

__all__ = ["AUDIO", "FUSED", "GREY", "PURPLE", "STYLE", "THIRD", "VISUAL", "arrow", "axes", "box", "save"]


def axes(count: int = 1, width: float = 5.6, height: float = 2.7, **options: object) -> tuple[Figure, list[Axes]]:
    """A figure and its axes side by side."""
    figure = Figure(figsize=(width, height), layout="constrained")
    found = figure.subplots(1, count, squeeze=False, **options)
    return figure, list(found[0])


def save(figure: Figure, path: Path) -> None:
    """As SVG on white, without a date; as PNG if the path ends so."""
    with mpl.rc_context(STYLE):
        kind = path.suffix.lstrip(".")
        nothing = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
        figure.savefig(path, format=kind, dpi=130, facecolor="white", metadata=nothing)


def box(ax: Axes, x: float, y: float, text: str, color: str = GREY) -> None:
    """A labelled box around a point, for diagrams."""
    ax.text(
        x, y, text, ha="center", va="center", bbox={"boxstyle": "round,pad=0.45", "fc": "white", "ec": color, "lw": 1.6}
    )


def arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], color: str = GREY) -> None:
    """An arrow between two points of a diagram."""
    ax.annotate(
        "",
        end,
        start,
        arrowprops={"arrowstyle": "->", "color": color, "lw": 1.6, "shrinkA": 2, "shrinkB": 2},
    )
