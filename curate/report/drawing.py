"""Common parts of the report's figures: size, colours for light and dark pages, conversion to SVG and PNG."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 4.6  # inches
DPI = 200  # of PNG files, twice the pixels of the page
FONT = 8.5  # points
INK, MUTED, BALANCED, IMBALANCED = "#23272b", "#8b9299", "#0072b2", "#d55e00"
GREEN, PURPLE, SKY, YELLOW = "#009e73", "#b0609b", "#3d9fd6", "#b8860b"
PALETTE = (
    (INK, "ink"),
    (MUTED, "muted"),
    (BALANCED, "blue"),
    (IMBALANCED, "orange"),
    (GREEN, "green"),
    (PURPLE, "purple"),
    (SKY, "sky"),
    (YELLOW, "yellow"),
)
STYLES = (
    (INK, "-", "o"),
    (BALANCED, "-", "s"),
    (IMBALANCED, "-", "^"),
    (GREEN, "--", "D"),
    (PURPLE, "--", "v"),
    (SKY, "-.", "P"),
    (YELLOW, "-.", "X"),
    (MUTED, ":", "*"),
)


@dataclass(frozen=True)
class Drawing:
    """A figure and the numbers it shows."""

    figure: Figure
    data: pd.DataFrame


def lay_out(figure: Figure) -> None:
    """Place the parts of a figure now, once for all files that it is saved to."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def svg(figure: Figure) -> str:
    """A figure as SVG text, transparent, letters as outlines; without date or program name."""
    out = io.BytesIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(out, format="svg", metadata=nothing, transparent=True)
    return out.getvalue().decode("utf-8")


def on_white(text: str) -> str:
    """The text of `svg` with a white background, for a separate file."""
    return re.sub(r"(<svg\b[^>]*>)", r'\1<rect width="100%" height="100%" fill="white"/>', text, count=1)


def png(figure: Figure) -> bytes:
    """A figure as PNG on a white background."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=DPI, metadata={"Software": None})
    return out.getvalue()


def inline_svg(text: str, name: str) -> str:
    """The text of `svg` for the page: colours as CSS variables, ids that differ from those of other figures."""
    text = text[text.index("<svg") :]
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    for color, variable in PALETTE:
        text = text.replace(color, f"var(--{variable})")
    text = re.sub(r'(<svg\b[^>]*?) height="[^"]*"', r"\1", text, count=1)
    return re.sub(r'(<svg\b[^>]*?) width="[^"]*"', r'\1 aria-hidden="true"', text, count=1)


def canvas(height: float) -> Figure:
    """An empty figure of the page's width.

    Args:
        height: inches.
    """
    return Figure(figsize=(WIDTH, height), layout="constrained")


def figure_axes(height: float) -> tuple[Figure, Axes]:
    """A figure with one pair of plain axes."""
    figure = canvas(height)
    axes = figure.subplots()
    plain(axes)
    return figure, axes


def plain(axes: Axes) -> None:
    """Remove the box of the axes, and set the colours of the palette and the font size."""
    axes.patch.set_alpha(0)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(MUTED)
    axes.tick_params(colors=INK, labelsize=FONT, length=3, color=MUTED)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(INK)
        label.set_fontsize(FONT)


def legend(figure: Figure, columns: int) -> None:
    """Add a legend below a figure, if something in it has a label."""
    if any(axes.get_legend_handles_labels()[0] for axes in figure.axes):
        figure.legend(
            loc="outside lower center", ncols=columns, fontsize=FONT, frameon=False, labelcolor=INK, handlelength=2.6
        )
