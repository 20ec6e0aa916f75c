"""Draw the picture of README and home page from a scored run of the built-in data.

curate score --dataset demo && python -m docs.make.picture curate.duckdb docs/assets/found.png
"""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from PIL import Image

import curate
from curate.datasets import find
from curate.files.writing import replacing

matplotlib.use("Agg")
KINDS = {
    "": ("usable in both", "#8a94a6", "o"),
    "visual": ("picture broken", "#c2410c", "^"),
    "audio": ("sound broken", "#1d4ed8", "s"),
}
"""{what is broken: its words, colour and marker}."""


def main(table: str, output: str) -> None:
    """The scatter of both probabilities, and the two most imbalanced samples whose picture is broken."""
    frame = curate.open(table).samples()
    frame = frame[frame["p_visual"].notna() & frame["p_audio"].notna()]
    figure = plt.figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.15))
    _scatter(left.subplots(), frame)
    shown = frame[frame["broken"] == "visual"].sort_values(["imbalance", "gap"], ascending=False).head(2)
    axes = right.subplots(2, 2, width_ratios=(1, 2.2), squeeze=False)
    digits = find("demo")(None, find("demo").Options())
    samples = {s.sample_id: s for s in digits.samples}
    for pair, (_, row) in zip(axes, shown.iterrows(), strict=True):
        media = {m: digits.load(samples[row["sample_id"]], m) for m in digits.modalities}
        _sample(pair, row, media, digits.specs["audio"].rate)
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    with replacing(Path(output)) as fresh:
        Image.open(drawn).convert("RGB").quantize(64).save(fresh, format="PNG", optimize=True)


def _scatter(axis: Axes, frame: Any) -> None:
    for kind, (words, colour, marker) in KINDS.items():
        own = frame[frame["broken"].fillna("") == kind]
        label = f"{words} ({len(own)})"
        if len(own):
            axis.scatter(own["p_audio"], own["p_visual"], 14, colour, marker=marker, alpha=0.6, label=label, lw=0)
    axis.plot([0, 1], [0, 1], color="#cbd5e1", lw=1, zorder=0)
    axis.set(xlabel="p(true class) by sound, 0 to 1", ylabel="p(true class) by picture, 0 to 1", aspect="equal")
    axis.set_title("each point is a training sample", fontsize=10)
    axis.legend(loc="lower left", fontsize=8)


def _sample(pair: Any, row: Any, media: dict[str, Any], rate: int) -> None:
    image, sound = pair
    image.imshow(media["visual"][0].squeeze(), cmap="gray", vmin=0, vmax=255)
    image.set_axis_off()
    sound.specgram(media["audio"] / 32768, NFFT=256, noverlap=192, Fs=rate, cmap="magma", vmin=-140)
    sound.set(xlabel="s", ylabel="Hz")
    sound.tick_params(labelsize=7)
    sound.set_title(
        f"{row['sample_id']}, digit {row['label_name']}: the picture is broken\n"
        f"p by sound {row['p_audio']:.2f}, by picture {row['p_visual']:.2f}",
        fontsize=9,
        loc="left",
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
