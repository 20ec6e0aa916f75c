"""The pictures of methods that are told by boxes: encoders, fusion and losses."""

from __future__ import annotations

from matplotlib.figure import Figure

from .drawing import AUDIO, FUSED, VISUAL, arrow, axes, box


def joint() -> Figure:
    """Two encoders, one fusion, one loss."""
    return _diagram("fusion", ["CE of the fusion"])


def warmup() -> Figure:
    """A loss for the fusion and for each modality."""
    return _diagram("fusion", ["CE of audio", "CE of the fusion", "CE of visual"])


def unimodal() -> Figure:
    """Two networks that meet after training."""
    return _diagram("", ["CE of audio", "CE of visual"])


def sum() -> Figure:
    """Linear layers, added up."""
    return _diagram("+", ["CE of the sum"], heads=True)


def pdmp() -> Figure:
    """Gradients on their way back, each encoder's with its coefficient."""
    figure, (ax,) = axes(width=5.6, height=2.2)
    ax.set(xlim=(0, 10), ylim=(0, 4))
    ax.axis("off")
    for text, y, color in (("audio, best alone", 3.3, AUDIO), ("visual", 0.7, VISUAL)):
        box(ax, 1.5, y, text, color)
        arrow(ax, (5.4, 2 + (y - 2) / 4), (3.1 if y > 2 else 2.2, y), color)
    ax.text(4.6, 3.2, r"gradient $\times\,\gamma_p \geq 1$", ha="left", va="center", color=AUDIO)
    ax.text(4.6, 0.8, r"gradient $\times\,\gamma_r \leq 1$", ha="left", va="center", color=VISUAL)
    box(ax, 6.1, 2, "fusion", FUSED)
    box(ax, 8.6, 2, "CE of the fusion", FUSED)
    arrow(ax, (7.1, 2), (6.8, 2), FUSED)
    return figure


def _diagram(fusion: str, losses: list[str], heads: bool = False) -> Figure:
    """Encoders on the left, losses on the right."""
    figure, (ax,) = axes(width=5.6, height=2.2)
    ax.set(xlim=(0, 10), ylim=(0, 4))
    ax.axis("off")
    ends = {text: 3.3 - 2.6 * i / max(len(losses) - 1, 1) if len(losses) > 1 else 2 for i, text in enumerate(losses)}
    for name, y, color in (("audio", 3.3, AUDIO), ("visual", 0.7, VISUAL)):
        start = (3.6, y) if heads else (1.9, y)
        box(ax, 1, y, name, color)
        if heads:
            box(ax, 3, y, "W f + b", color)
            arrow(ax, (1.75, y), (2.25, y), color)
        if fusion:
            arrow(ax, start, (4.9, 2 + (y - 2) / 4), color)
        if f"CE of {name}" in ends:
            arrow(ax, start, (7.1, ends[f"CE of {name}"]), color)
    if fusion:
        box(ax, 5.6, 2, fusion, FUSED)
    for text, y in ends.items():
        box(ax, 8.4, y, text, {"CE of audio": AUDIO, "CE of visual": VISUAL}.get(text, FUSED))
        if fusion and abs(y - 2) < 0.1:
            arrow(ax, (6.3, 2), (7.0, 2), FUSED)
    return figure
