"""The report's figures: functions from arrays to drawings. Pure; matplotlib's objects only, no window, no global state.

All figures have the same width; their text then has the same size on the page. Colours come from a fixed palette that
`inline_svg` turns into CSS variables, for light and dark pages. No information is given by colour alone.

Letters: N samples, G grid points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from curate.scores.mixture import TAIL
from curate.scores.posteriors import density, p_ahead, p_balanced
from curate.types import Floats, MixtureFit

from .drawing import (
    BALANCED,
    FONT,
    GREEN,
    IMBALANCED,
    INK,
    MUTED,
    SKY,
    STYLES,
    Drawing,
    canvas,
    figure_axes,
    legend,
    plain,
)

BINS = 60
MAX_ROUNDS = 8
MAX_POINTS = 2000

POINTS = ((IMBALANCED, "^"), (GREEN, "v"), (SKY, "s"), (MUTED, "o"))


@dataclass(frozen=True)
class Curve:
    """One line over epochs.

    Attributes:
        label: its name in the legend; curves with the same label share a style and one entry.
        epochs: (E,) counted from 1.
        values: (E,) what is drawn.
        run_id: the run it belongs to, for the data file.
        origin: the (epoch, value) from which it continues, drawn but not part of the data; or None.
    """

    label: str
    epochs: Floats
    values: Floats
    run_id: str = ""
    origin: tuple[float, float] | None = None


@dataclass(frozen=True)
class Form:
    """How a gap was changed before a mixture was fitted to it, see `curate.scores.scoring.MixtureConfig`.

    Attributes:
        input, average: as there.
        scale: tails begin at `TAIL` times this scale, see `curate.scores.gap.gap_scale`; None: the limit of the axis.
    """

    input: str = "signed"
    average: str = "last"
    scale: float | None = None

    def span(self, limit: float) -> tuple[float, float]:
        """(lowest, highest) gap on an axis."""
        return (0.0 if self.input == "absolute" else -limit), limit


PLAIN = Form()


def gap_histogram(
    gaps: Floats, fit: MixtureFit, kind: str, pair: tuple[str, str], limit: float = 1.0, form: Form = PLAIN
) -> Drawing:
    """Histogram of (N,) gaps with the weighted component densities and the share of either tail.

    Args:
        gaps: first minus second modality, in [-limit, limit], or changed as `form` describes.
        fit: the mixture fitted to them.
        kind: of the gap, see `curate.scores.gap.KINDS`.
        pair: names of first and second modality.
        limit: largest |gap| on the axis; for `prob` and `kl` the largest possible one, 1 and log K.
        form: how the gaps were changed.
    """
    figure, axes = figure_axes(3.3)
    heights, edges = np.histogram(gaps, BINS, form.span(limit), density=bool(len(gaps)))
    grid = _grid(limit, form)
    parts = density(fit, grid)
    axes.stairs(heights, edges, fill=True, color=MUTED, alpha=0.45)
    for k, part in enumerate(parts):
        _component(axes, grid, part, k == fit.balanced, component_label(fit, k, pair))
    if len(parts) > 1:
        what = "sum of both" if len(parts) == 2 else "sum of all"
        axes.plot(grid, parts.sum(axis=0), color=INK, linewidth=0.9, linestyle=":", label=what)
    # The bars determine the height: a component of tiny spread would make everything else flat.
    axes.set_ylim(0, 1.3 * max(heights.max(initial=0), 1e-9))
    _mark_tails(axes, gaps, limit, form)
    _gap_axis(axes, kind, pair, limit, form)
    axes.set_ylabel("density of samples")
    legend(figure, 1)
    centres = (edges[:-1] + edges[1:]) / 2
    columns = {"gap_from": edges[:-1], "gap_to": edges[1:], "density": heights}
    columns |= {f"component_{k}": part for k, part in enumerate(density(fit, centres))}
    return Drawing(figure, pd.DataFrame(columns))


def posterior_curve(
    gaps: Floats, fit: MixtureFit, kind: str, pair: tuple[str, str], limit: float = 1.0, form: Form = PLAIN
) -> Drawing:
    """p_balanced over all possible gaps, over a histogram of the (N,) gaps; arguments as in `gap_histogram`.

    For a mixture of three, also the posterior of each direction.
    """
    figure, axes = figure_axes(3.3)
    heights, edges = np.histogram(gaps, BINS, form.span(limit))
    grid = _grid(limit, form)
    curve = p_balanced(fit, grid)
    axes.stairs(
        heights / max(heights.max(initial=0), 1),
        edges,
        fill=True,
        color=MUTED,
        alpha=0.35,
        label="samples with this gap (relative)",
    )
    axes.fill_between(
        grid,
        0,
        1,
        where=curve < 0.5,
        color=IMBALANCED,
        alpha=0.12,
        linewidth=0,
        label="called imbalanced: p_balanced < 0.5",
    )
    axes.axhline(0.5, color=MUTED, linewidth=0.8, linestyle="--")
    axes.plot(grid, curve, color=BALANCED, linewidth=1.8, label="p_balanced, 1 = surely balanced")
    columns = {"gap": grid, "p_balanced": curve}
    if len(fit.weights) == 3:
        ahead = dict(zip(pair, p_ahead(fit, grid).T, strict=True))
        for (m, values), dash in zip(ahead.items(), ("--", "-."), strict=True):
            axes.plot(grid, values, color=IMBALANCED, linewidth=1.3, linestyle=dash, label=f"{m} ahead")
            columns[f"p_ahead_{m}"] = values
    axes.set_ylim(0, 1.05)
    _gap_axis(axes, kind, pair, limit, form)
    axes.set_ylabel("p_balanced (0 to 1)" if len(fit.weights) < 3 else "posterior (0 to 1)")
    legend(figure, 1)
    return Drawing(figure, pd.DataFrame(columns))


def imbalanced_ranges(fit: MixtureFit, limit: float = 1.0, form: Form = PLAIN) -> list[tuple[float, float]]:
    """Intervals of the gap, within its axis, in which p_balanced < 0.5, ascending."""
    grid = _grid(limit, form)
    inside = np.concatenate([[False], p_balanced(fit, grid) < 0.5, [False]])
    turns = np.flatnonzero(inside[1:] != inside[:-1])
    return [(float(grid[a]), float(grid[b - 1])) for a, b in zip(turns[::2], turns[1::2], strict=True)]


def mixture_rounds(
    fits: Mapping[int, MixtureFit], kind: str, pair: tuple[str, str], limit: float = 1.0, form: Form = PLAIN
) -> Drawing:
    """The components of every round, one row per round; at most `MAX_ROUNDS`, evenly chosen, with first and last."""
    chosen = np.unique(np.linspace(0, len(fits) - 1, min(len(fits), MAX_ROUNDS)).round().astype(int))
    shown = {r: fits[r] for i, r in enumerate(sorted(fits)) if i in chosen}
    figure = canvas(1.1 + 0.62 * len(shown))
    rows = np.atleast_1d(figure.subplots(len(shown), 1, sharex=True))
    grid, tables = _grid(limit, form), []
    for axes, (number, fit) in zip(rows, shown.items(), strict=True):
        parts = density(fit, grid)
        for k, part in enumerate(parts):
            _component(axes, grid, part, k == fit.balanced, "")
            tables.append(
                pd.DataFrame(
                    {"round": number, "component": k, "balanced": k == fit.balanced, "gap": grid, "density": part}
                )
            )
        plain(axes)
        axes.spines["left"].set_visible(False)
        axes.set_yticks([])
        axes.set_ylim(bottom=0)
        axes.set_ylabel(f"round {number}", rotation=0, ha="right", va="center", fontsize=FONT, color=INK)
    _gap_axis(rows[-1], kind, pair, limit, form)
    others = "the tails" if any(len(fit.weights) == 3 for fit in shown.values()) else "the other component"
    rows[0].plot([], [], color=BALANCED, label="balanced component")
    rows[0].plot([], [], color=IMBALANCED, linestyle="--", label=others)
    legend(figure, 2)
    return Drawing(figure, pd.concat(tables, ignore_index=True))


def gap_dynamics(gaps: pd.DataFrame, kinds: pd.Series, order: Sequence[str], pair: tuple[str, str]) -> Drawing:
    """Mean against spread of the gap of each sample over the warm-up's epochs, one point per sample.

    Args:
        gaps: N rows with mean_gap (-1 to 1), sd_gap (0 to 1) and forgotten (times the fusion went from right to wrong).
        kinds: (N,) kind of each sample; each has a colour and a marker, which is open for forgotten samples.
        order: the kinds in the order of the legend.
        pair: names of first and second modality.
    """
    figure, axes = figure_axes(3.6)
    shown = gaps.iloc[np.unique(np.linspace(0, len(gaps) - 1, min(len(gaps), MAX_POINTS)).round().astype(int))]
    for kind, (colour, marker) in zip(order, POINTS, strict=True):
        for forgotten in (False, True):
            part = shown[(kinds[shown.index] == kind) & ((shown["forgotten"] > 0) == forgotten)]
            axes.scatter(
                part["mean_gap"],
                part["sd_gap"],
                s=9,
                marker=marker,
                facecolors="none" if forgotten else colour,
                edgecolors=colour,
                linewidths=0.6,
                label=None if forgotten else kind,
            )
    axes.scatter([], [], s=9, marker="o", facecolors="none", edgecolors=INK, label="open: forgotten by the fusion")
    axes.set_ylim(bottom=0)
    _gap_axis(axes, "prob", pair, 1.0, Form(average="warmup"))
    axes.set_ylabel("spread over epochs (0 to 1)")
    legend(figure, 1)
    columns = ["sample_id", "mean_gap", "sd_gap", "forgotten"]
    return Drawing(figure, gaps[columns].assign(kind=kinds))


def usability_scatter(frame: pd.DataFrame, claims: pd.Series, order: Sequence[str], pair: tuple[str, str]) -> Drawing:
    """Usability of the first against that of the second modality, one point per sample.

    Args:
        frame: N rows with sample_id and usability_<modality> of both, in [0, 1].
        claims: (N,) what is claimed to be broken; each has a colour and a marker, no claim has those of the last in
            `order`.
        order: claims in the order of the legend.
        pair: names of first and second modality.
    """
    figure, axes = figure_axes(3.9)
    first, second = (f"usability_{m}" for m in pair)
    shown = frame.iloc[np.unique(np.linspace(0, len(frame) - 1, min(len(frame), MAX_POINTS)).round().astype(int))]
    said = claims[shown.index].where(claims[shown.index].isin(order[:-1]), order[-1])
    for claim, (colour, marker) in reversed(list(zip(order, POINTS, strict=True))):  # claims are drawn last, on top
        part = shown[said == claim]
        axes.scatter(part[first], part[second], s=11, marker=marker, color=colour, linewidths=0, label=claim)
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel(f"usability of {pair[0]} (0 = none, 1 = full)")
    axes.set_ylabel(f"usability of {pair[1]} (0 to 1)")
    handles, labels = axes.get_legend_handles_labels()
    legend = figure.legend(
        handles[::-1],
        labels[::-1],
        title="claimed to be broken",
        loc="outside lower center",
        ncols=2,
        fontsize=FONT,
        title_fontsize=FONT,
        frameon=False,
        labelcolor=INK,
        handlelength=1.2,
    )
    legend.get_title().set_color(INK)
    return Drawing(figure, frame[["sample_id", first, second]].assign(claim=claims))


def curves(lines: Sequence[Curve], title: str, ylabel: str, labels: Sequence[str], percent: bool = True) -> Drawing:
    """Values over epochs.

    Args:
        lines: what to draw.
        title: how this figure differs from those beside it.
        ylabel: name of the values, with their unit.
        labels: all labels in the order of styles; a label then looks the same in every figure.
        percent: values are shares in 0..1 and shown in percent.
    """
    figure, axes = figure_axes(3.1)
    factor = 100 if percent else 1
    seen: set[str] = set()
    for line in lines:
        color, dash, marker = STYLES[labels.index(line.label) % len(STYLES)]
        if line.origin is not None and len(line.epochs):
            axes.plot(
                [line.origin[0], line.epochs[0]],
                [factor * line.origin[1], factor * line.values[0]],
                color=color,
                linestyle=dash,
                linewidth=1.0,
                alpha=0.6,
            )
        axes.plot(
            line.epochs,
            factor * line.values,
            color=color,
            linestyle=dash,
            linewidth=1.5,
            marker=marker,
            markersize=3.5,
            markevery=max(1, len(line.epochs) // 6),
            label=None if line.label in seen else line.label,
        )
        seen.add(line.label)
    plain(axes)
    axes.grid(axis="y", color=MUTED, alpha=0.25, linewidth=0.6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch, counted from the start of warm-up")
    axes.set_ylabel(ylabel)
    axes.set_title(title, loc="left", fontsize=FONT + 1, color=INK)
    legend(figure, 2)
    tables = [pd.DataFrame({"label": c.label, "run_id": c.run_id, "epoch": c.epochs, "value": c.values}) for c in lines]
    return Drawing(figure, pd.concat(tables, ignore_index=True))


def component_label(fit: MixtureFit, k: int, pair: tuple[str, str]) -> str:
    """A component in words: its role, weight, centre and spread."""
    role = fit.role(k, pair)
    nu = "" if np.isinf(fit.dofs[k]) else f", ν {fit.dofs[k]:.3g}"
    return f"{role}: {fit.weights[k]:.0%}, centre {fit.locs[k]:+.2f}, spread {fit.scales[k]:.2f}{nu}"


def _grid(limit: float, form: Form) -> Floats:
    return np.linspace(*form.span(limit), 801)


def _component(axes: Axes, grid: Floats, values: Floats, balanced: bool, label: str) -> None:
    """One weighted density: the balanced one solid and filled, the other dashed."""
    color = BALANCED if balanced else IMBALANCED
    if balanced:
        axes.fill_between(grid, 0, values, color=color, alpha=0.14, linewidth=0)
    axes.plot(grid, values, color=color, linewidth=1.7, linestyle="-" if balanced else "--", label=label or None)


def _mark_tails(axes: Axes, gaps: Floats, limit: float, form: Form) -> None:
    """Draw dotted lines where tails begin, and the share of samples beyond each; absolute gaps have one tail."""
    cut = TAIL * (form.scale or limit)
    total = max(len(gaps), 1)
    shares = [(-1, (gaps < -cut).sum() / total), (1, (gaps > cut).sum() / total)]
    for sign, share in shares[form.input == "absolute" :]:
        axes.axvline(sign * cut, color=MUTED, linewidth=0.8, linestyle=":")
        side = "below" if sign < 0 else "above"
        axes.text(
            sign * limit * 0.97,
            0.97,
            f"{share:.0%} {side} {sign * cut:+.2g}",
            color=INK,
            fontsize=FONT,
            transform=axes.get_xaxis_transform(),
            va="top",
            ha="left" if sign < 0 else "right",
        )


def _gap_axis(axes: Axes, kind: str, pair: tuple[str, str], limit: float, form: Form) -> None:
    first, second = pair
    what = {
        "prob": f"p({first}) − p({second}) of the true class",
        "kl": f"KL({first} ‖ uniform) − KL({second} ‖ uniform), nats",
        "log_prob": f"log p({first}) − log p({second}) of the true class, nats",
        "log_odds": f"log odds({first}) − log odds({second}) of the true class, nats",
    }[kind]
    what = f"gap = {what}" if form.input == "signed" else f"|gap|, gap = {what}"
    what += ", mean over the warm-up" if form.average == "warmup" else ""
    sides = f"←  {second} carries the sample        {first} carries the sample  →"
    if form.input == "absolute":
        sides = "both know the sample alike        one of them carries it  →"
    axes.set_xlim(*form.span(limit))
    axes.set_xlabel(f"{sides}\n{what}")
