"""Maps of features: t-SNE of what an encoder makes of the samples, by class and by imbalance.

Letters: N samples, D features.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray

from curate.files.writing import write_whole
from curate.types import Floats

from . import drawing
from .drawing import FONT, INK, MUTED, WIDTH, Drawing, plain

PERPLEXITY, FEWEST = 30.0, 4
MOST_NAMED = 20
"""With more classes the colours repeat, and no legend tells them apart."""


def feature_map(features: NDArray[np.floating], seed: int) -> Floats:
    """(N, 2) places of t-SNE: samples that are close in the features are close; other distances mean nothing.

    Of fewer than `FEWEST` samples, and of samples that are all alike, every place is (0, 0).

    Args:
        features: (N, D), standardised here.
        seed: of the optimisation, which starts from the two principal components.
    """
    from sklearn.manifold import TSNE

    count, scale = len(features), features.std(axis=0)
    if count < FEWEST or not scale.any():
        return np.zeros((count, 2))
    standard = (features - features.mean(axis=0)) / np.where(scale > 0, scale, 1)
    perplexity = min(PERPLEXITY, (count - 1) / 3)
    found: Floats = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(standard)
    return found


def feature_maps(
    sample_ids: NDArray[np.str_], places: Floats, classes: NDArray[np.str_], imbalance: Floats, modality: str
) -> Drawing:
    """Two panels of one map: coloured by class, and by the posterior of being imbalanced.

    Args:
        sample_ids: (N,).
        places: (N, 2).
        classes: (N,) names.
        imbalance: (N,) p_imbalanced, 0..1; NaN where it is not known, drawn in grey.
        modality: whose features they are, for the title.
    """
    figure = Figure(figsize=(2 * WIDTH, WIDTH), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    names, colours = np.unique(classes), colormaps["tab20"]
    for i, name in enumerate(names):
        own = classes == name
        left.scatter(*places[own].T, s=6, color=colours(i % MOST_NAMED), linewidths=0, label=str(name))
    known = np.isfinite(imbalance)
    right.scatter(*places[~known].T, s=6, color=MUTED, linewidths=0)
    shown = right.scatter(*places[known].T, s=6, c=imbalance[known], vmin=0, vmax=1, cmap="viridis", linewidths=0)
    for axes, title in ((left, f"{modality}: class"), (right, f"{modality}: p_imbalanced, grey = not scored")):
        plain(axes)
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, loc="left", fontsize=FONT, color=INK)
    figure.colorbar(shown, ax=right).ax.tick_params(labelsize=FONT)
    if len(names) <= MOST_NAMED:
        figure.legend(loc="outside lower center", ncols=8, fontsize=FONT, frameon=False, labelcolor=INK)
    columns = {"sample_id": sample_ids, "x": places[:, 0], "y": places[:, 1], "class": classes}
    return Drawing(figure, pd.DataFrame({**columns, "p_imbalanced": imbalance}))


def write_drawing(drawn: Drawing, stem: Path) -> list[Path]:
    """Write a figure as `<stem>.svg` and `.png` and its numbers as `.csv`; each completely or not at all."""
    drawing.lay_out(drawn.figure)
    svg = drawing.on_white(drawing.svg(drawn.figure)).encode("utf-8")
    paths = []
    for ending, content in ((".svg", svg), (".png", drawing.png(drawn.figure)), (".csv", drawn.data)):
        paths.append(stem.with_name(stem.name + ending))
        write_whole(paths[-1], content)
    return paths
