"""The pictures of the explanations: from made-up gaps, and from the tables of the stored studies.

python -m docs.make.explanation_pictures
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from curate.comparison.plan import is_tuned
from curate.scores import mixture, two_sided
from curate.scores.gap import signed_gap
from curate.scores.posteriors import density, p_balanced
from curate.scores.usability import Reference, look_alikes
from curate.types import Known

from .drawing import AUDIO, FUSED, GREY, STYLE, THIRD, VISUAL, axes, save
from .method_pages import STUDY, study_rows

FOLDER = Path(__file__).parents[1] / "explanations/pictures"
STUDIES = Path(__file__).parents[2] / "reports/studies"
GRID = np.linspace(-1, 1, 401)
WORLDS = ("hard", "clean", "one-sided")


def _known(first: np.ndarray, second: np.ndarray) -> Known:
    """Probabilities of the true class of two modalities."""
    p = np.stack([first, second], axis=1)
    ids = np.array([str(i) for i in range(len(p))])
    return Known(ids, ("audio", "visual"), p, np.zeros_like(p), p > 0.5, False)


def gap_kinds() -> Figure:
    """Label-based gaps where pictures give the true class 0.5."""
    p = np.linspace(0.001, 0.999, 400)
    of = _known(p, np.full(400, 0.5))
    figure, (ax,) = axes()
    for kind, color in (("prob", AUDIO), ("log_prob", VISUAL), ("log_odds", THIRD)):
        ax.plot(p, signed_gap(kind, of)[:, 0], color=color, label=kind)
    ax.axhline(0, color=GREY, lw=1)
    ax.set(xlabel="$p_a$, while $p_v$ = 0.5", ylabel="gap", ylim=(-4, 4))
    ax.legend()
    return figure


def gap_quadrants() -> Figure:
    """Four samples."""
    cases = ((0.9, 0.85, "all"), (0.9, 0.1, "audio only"), (0.1, 0.8, "visual only"), (0.08, 0.1, "none"))
    figure, found = axes(4, width=7.2, height=2.1, sharey=True)
    for ax, (a, v, name) in zip(found, cases, strict=True):
        ax.bar(["$p_a$", "$p_v$"], [a, v], color=[AUDIO, VISUAL], width=0.6)
        ax.set(title=f"gap {a - v:+.2f}\n{name}", ylim=(0, 1))
    found[0].set_ylabel("p(true class)")
    return figure


def mixture_null() -> Figure:
    """One skewed population, and the paper's two components."""
    rng = np.random.default_rng(0)
    gaps = rng.beta(2.2, 3.4, 3000) * 1.6 - 0.5
    fitted = mixture.fit(gaps, "gaussian")
    figure, (ax,) = axes(height=3)
    ax.hist(gaps, bins=70, range=(-1, 1), density=True, color="#d7dbdf", label="gaps of one population")
    whole = density(fitted, GRID)
    for k, color in enumerate((AUDIO, VISUAL)[: len(whole)]):
        ax.plot(GRID, whole[k], color=color, label=f"component {k + 1}: weight {fitted.weights[k]:.2f}")
    ax.set(xlabel="gap", ylabel="density")
    ax.legend()
    return figure


def mixture_forms() -> Figure:
    """Posteriors of two signed Gaussians and of the default, on the same gaps."""
    rng = np.random.default_rng(1)
    gaps = np.clip(np.concatenate([rng.normal(0.02, 0.3, 1500), rng.normal(0.55, 0.1, 500)]), -1, 1)
    figure, (ax,) = axes(height=3)
    ax.hist(gaps, bins=60, range=(-1, 1), density=True, color="#d7dbdf", label="gaps")
    ax.plot(GRID, p_balanced(mixture.fit(gaps, "gaussian"), GRID), color=VISUAL, label="two signed Gaussians")
    ax.plot(GRID, p_balanced(two_sided.fit(gaps), GRID), color=AUDIO, label="two-sided, the default")
    ax.set(xlabel="gap", ylabel="p_balanced; density", ylim=(0, 1.75))
    ax.legend(loc="upper left", ncols=2)
    return figure


def usability_pooling() -> Figure:
    """Made-up recognition of 1500 samples, a quarter of them broken and of another look."""
    rng = np.random.default_rng(0)
    broken = rng.random(1500) < 0.25
    appearance = rng.normal(size=(1500, 6)) + 2.5 * broken[:, None]
    single = np.where(broken, rng.beta(1.0, 3.0, 1500), rng.beta(1.6, 1.1, 1500))
    alike = look_alikes(appearance)
    pooled = Reference(alike, single, 0.1, 1.0).recognition(appearance, np.arange(1500))
    figure, found = axes(2, width=7, height=2.5, sharex=True)
    for ax, values, title in zip(found, (single, pooled), ("single samples", "pooled over look-alikes"), strict=True):
        for mask, label, color in ((~broken, "intact", AUDIO), (broken, "broken", VISUAL)):
            ax.hist(values[mask], bins=np.linspace(0, 1, 41), color=color, alpha=0.6, label=label)
        ax.set(title=title, xlabel="recognition", yticks=[])
    found[0].legend()
    return figure


def _rows(study: str, heading: str) -> list[list[str]]:
    """The first table below a heading of a study, without its head."""
    text = (STUDIES / f"{study}.md").read_text(encoding="utf-8")
    body = text.partition(f"### {heading}\n")[2].strip().split("\n\n")[0].splitlines()
    return [[c.strip() for c in re.split(r"(?<!\\)\|", line.strip("|"))] for line in body[2:]]


def _number(cell: str) -> float:
    return float(re.match(r"[-+]?[\d.]+", cell)[0])


def _bars(groups: list[str], series: dict[str, list[float]], ylabel: str, least: float = 0.4) -> Figure:
    """Grouped bars."""
    figure, (ax,) = axes(width=7, height=2.8)
    places = np.arange(len(groups))
    width = 0.8 / len(series)
    for k, ((label, values), color) in enumerate(zip(series.items(), (GREY, VISUAL, AUDIO), strict=False)):
        ax.bar(places + (k - (len(series) - 1) / 2) * width, values, width * 0.92, label=label, color=color)
    ax.axhline(0.5, color=FUSED, lw=1, ls=":")
    ax.set(xticks=places, xticklabels=groups, ylabel=ylabel, ylim=(least, 1.02))
    figure.legend(loc="outside upper center", ncols=len(series))
    return figure


def usability_study() -> Figure:
    """The posterior, the gap and usability on planted damage."""
    posterior = {
        (r[0], r[1]): _number(r[2]) for r in _rows("detectors", "The mixture's posterior (AUROC, planted damage)")
    }
    size = {(r[0], r[1]): _number(r[2]) for r in _rows("detectors", "The size of the gap (AUROC)")}
    usable = {(r[0], r[1]): _number(r[2]) for r in _rows("detectors", "Usability")}
    keys = [k for k in posterior if k[0] in WORLDS]
    return _bars(
        [f"{w},\n{r}" for w, r in keys],
        {
            "posterior of the mixture": [posterior[k] for k in keys],
            "size of the gap": [size[k] for k in keys],
            "usability": [usable[k] for k in keys],
        },
        "AUROC",
    )


def memorised_folds() -> Figure:
    """|gap| in sample and out of fold."""
    rows = _rows("detectors", "In sample or out of fold, two folds (AUROC)")
    inside, outside = [_number(r[4]) for r in rows], [_number(r[5]) for r in rows]
    series = {"in sample": inside, "out of fold": outside}
    return _bars([f"{r[0]},\n{r[1]}" for r in rows], series, "AUROC of |gap|")


def _forest(rows: list[tuple[str, float, float, float, str]], xlabel: str) -> Figure:
    """Differences with intervals, best first."""
    rows = sorted(rows, key=lambda r: r[1])
    figure, (ax,) = axes(width=6.4, height=0.25 * len(rows) + 0.8)
    for y, (_, mean, low, high, color) in enumerate(rows):
        ax.plot([low, high], [y, y], color=color, lw=2)
        ax.plot([mean], [y], "o", color=color, ms=5)
    ax.axvline(0, color=FUSED, lw=1)
    ax.set(yticks=range(len(rows)), yticklabels=[r[0] for r in rows], xlabel=xlabel, ylim=(-0.7, len(rows) - 0.3))
    return figure


def _interval(cell: str) -> tuple[float, float, float]:
    mean, low, high = map(float, re.findall(r"[-+]?\d+\.\d+", cell))
    return mean, low, high


def studies_methods() -> Figure:
    """Every row of the comparison with its method's own settings, but the control itself."""
    rows = []
    for row in study_rows(STUDY):
        if row["minus warm-up continued"] and not is_tuned(row["method"]):
            color = {"better": AUDIO, "worse": VISUAL}.get(row["verdict"], FUSED)
            rows.append((row["method"], *_interval(row["minus warm-up continued"]), color))
    return _forest(rows, "points of test accuracy, minus the warm-up loss continued")


def studies_remedies() -> Figure:
    """The remedies in both regimes."""
    text = (STUDIES / "remedies.md").read_text(encoding="utf-8")
    shown = ("usable", "usable, shuffled", "warmup, averaged weights", "warmup, augmentation", "usable, augmentation")
    rows = []
    for regime, color in (("slow", AUDIO), ("fast", VISUAL)):
        table = text.partition(f"## Test accuracy, {regime},")[2]
        for row in study_rows(f"## Test accuracy, comparison{table}"):
            if row["method"] in shown:
                rows.append((f"{row['method']}, {regime}", *_interval(row["minus warm-up continued"]), color))
    return _forest(rows, "points of test accuracy, minus the warm-up loss continued")


def balance_ways() -> Figure:
    """Two ways to a gap of zero."""
    figure, (ax,) = axes(width=4.4, height=3.4)
    ax.plot([0, 1], [0, 1], color=GREY, ls="--")
    ax.text(0.62, 0.66, "gap 0", color=GREY, rotation=42, ha="center")
    ways = (((0.9, 0.88), "the weaker one learns", AUDIO), ((0.33, 0.3), "the stronger one unlearns", VISUAL))
    for end, label, color in ways:
        ax.annotate("", end, (0.9, 0.3), arrowprops={"arrowstyle": "->", "color": color, "lw": 2})
        ax.plot([], [], color=color, label=label)
    ax.plot([0.9], [0.3], "o", color=FUSED)
    ax.text(0.9, 0.24, "gap 0.6", ha="center", va="top")
    ax.set(xlabel="$p_a$", ylabel="$p_v$", xlim=(0, 1.05), ylim=(0, 1.05))
    figure.legend(loc="outside upper center")
    return figure


def limits_kinds() -> Figure:
    """Usability's ranking, by kind of damage."""
    usable = {(r[0], r[1]): _number(r[2]) for r in _rows("detectors", "Usability")}
    other = {(r[0], r[1]): _number(r[4]) for r in _rows("detectors", "Usability in the hard world, otherwise")}
    swapped = {(r[0], r[1]): _number(r[2]) for r in _rows("detectors", "Contradicting the label")}
    kinds = {
        "both sides,\nplanted": usable["hard", "fast"],
        "300 samples,\nout of fold": other["300 samples out of fold", "fast"],
        "features\nalone": other["features", "fast"],
        "300 samples,\nin sample": other["300 samples", "fast"],
        "tied to\none class": usable["one class", "fast"],
        "swapped pairs\n(contradiction)": swapped["swapped", "fast"],
    }
    figure, (ax,) = axes(width=7, height=2.8)
    colors = [VISUAL if "swapped" in k else AUDIO for k in kinds]
    ax.bar(list(kinds), list(kinds.values()), color=colors, width=0.6)
    ax.axhline(0.5, color=FUSED, lw=1, ls=":")
    ax.set(ylabel="AUROC", ylim=(0.4, 1.02))
    return figure


PICTURES: tuple[Callable[[], Figure], ...] = (
    gap_kinds,
    gap_quadrants,
    mixture_null,
    mixture_forms,
    usability_pooling,
    usability_study,
    memorised_folds,
    studies_methods,
    studies_remedies,
    balance_ways,
    limits_kinds,
)


def main() -> None:
    """Draw all."""
    FOLDER.mkdir(exist_ok=True)
    for draw in PICTURES:
        with mpl.rc_context(STYLE):
            save(draw(), FOLDER / f"{draw.__name__}.svg")


if __name__ == "__main__":
    main()
