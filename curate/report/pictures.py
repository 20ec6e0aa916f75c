"""The report's pictures without its page, for those who look at a run elsewhere."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.io import wavfile

from curate.store.store import Store

from . import drawing, media, usability
from .facts import most_imbalanced, read
from .html import Page
from .media import Medium
from .texts import displayable

COLUMNS = 6
CELL = 1.5  # inches


def pictures(store: Store, run_id: str, cache_folder: Path | None = None, count: int = 12) -> dict[str, bytes]:
    """{name: PNG} of every figure of a run's report, and `gallery`, the samples at the extremes.

    Args:
        count: samples of the gallery, of each direction at most half as many.

    Raises:
        CurateError: there is no such run, or it was never scored.
    """
    facts = read(store, run_id)
    page = Page(facts, cache_folder, count, {})
    page.render()
    found = {Path(name).stem: content for name, content in page.files.items() if name.endswith(".png")}
    modalities = facts.run.modalities
    chosen = (
        usability.extremes(facts.usability, modalities, count)
        if len(facts.usability)
        else most_imbalanced(facts.samples, modalities, count)
    )
    rows = pd.concat(chosen.values(), ignore_index=True).drop_duplicates("sample_id").head(count)
    shown, _ = media.load(facts.run, rows["sample_id"].tolist(), cache_folder)
    if shown:
        found["gallery"] = drawing.png(gallery(shown, modalities))
    return found


def gallery(shown: Mapping[str, Sequence[Medium]], modalities: Sequence[str]) -> Figure:
    """A sheet of samples: a column each, pictures as they are, sounds as spectrograms, texts as text."""
    samples = list(shown.items())
    bands, wide = -(-len(samples) // COLUMNS), min(COLUMNS, len(samples))
    figure = Figure(figsize=(CELL * wide, CELL * bands * len(modalities)), layout="constrained")
    axes = figure.subplots(bands * len(modalities), wide, squeeze=False)
    for cell in axes.flat:
        cell.set_axis_off()
    for number, (sample_id, given) in enumerate(samples):
        band, column = divmod(number, COLUMNS)
        for medium in given:
            row = band * len(modalities) + list(modalities).index(medium.modality)
            _draw(axes[row, column], medium)
        axes[band * len(modalities), column].set_title(_short(displayable(sample_id)), fontsize=6)
    return figure


def _draw(axes: Axes, medium: Medium) -> None:
    if medium.kind == "text":
        axes.text(0, 1, _short(displayable(medium.uri), 80), fontsize=6, va="top", wrap=True, parse_math=False)
        return
    content = io.BytesIO(base64.b64decode(medium.uri.partition(",")[2]))
    if medium.kind == "audio":
        rate, samples = wavfile.read(content)
        with np.errstate(divide="ignore"):  # silence is minus infinity decibels
            axes.specgram(samples, NFFT=256, noverlap=128, Fs=rate)
    else:
        axes.imshow(matplotlib.image.imread(content, format="png"), cmap="gray")


def _short(text: str, most: int = 24) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
