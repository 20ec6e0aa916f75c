"""The pictures of methods that tell samples apart, drawn with the functions that train."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure

from curate.torch.losses import negative_entropy, trimmed_loss
from curate.torch.valuation import copies
from curate.train.methods.bss import pace

from .drawing import AUDIO, FUSED, GREY, VISUAL, axes


def usable() -> Figure:
    """Targets of ten classes, label 3."""
    figure, found = axes(3, width=7.2, height=2.3, sharey=True)
    for ax, broken in zip(found, (0.0, 0.5, 1.0), strict=True):
        target = np.full(10, broken / 10)
        target[3] += 1 - broken
        ax.bar(range(10), target, color=VISUAL)
        ax.set(title=f"p(broken) = {broken:g}", xlabel="class", xticks=range(0, 10, 3))
    found[0].set_ylabel("target")
    return figure


def valuation() -> Figure:
    """n by phi, and the cases that there are with two modalities."""
    figure, (ax,) = axes()
    phi = torch.linspace(-0.75, 1.75, 501, dtype=torch.float64)
    ax.plot(phi, copies(phi), color=GREY)
    cases = torch.tensor([-0.5, 0.0, 0.5, 1.0, 1.5], dtype=torch.float64)
    ax.plot(cases, copies(cases), "o", color=VISUAL, label="two modalities")
    ax.set(xlabel="$\\varphi$, contribution of the modality", ylabel="repetitions with it alone", ylim=(-0.2, 3.8))
    ax.legend()
    return figure


def remix() -> Figure:
    """The modality of smaller KL, by the probability that each gives to one of two classes."""
    figure, (ax,) = axes()
    p = torch.linspace(0.005, 0.995, 199, dtype=torch.float64)
    said = negative_entropy(torch.stack([p.log(), (1 - p).log()], dim=1))
    mine = (said[None, :] < said[:, None]).double()  # audio on the horizontal axis says less
    ax.contourf(p, p, mine, levels=[-0.5, 0.5, 1.5], colors=[VISUAL, AUDIO], alpha=0.35)
    for x, y, text in ((0.5, 0.1, "audio"), (0.5, 0.9, "audio"), (0.1, 0.5, "visual"), (0.9, 0.5, "visual")):
        ax.text(x, y, text, ha="center", va="center")
    ax.set(xlabel="probability of a class by audio", ylabel="the same by visual")
    return figure


def bss() -> Figure:
    """The pace of a run of 60 epochs."""
    figure, (ax,) = axes()
    epochs = range(60)
    ax.step(epochs, [100 * pace(t, 60) for t in epochs], where="post", color=FUSED)
    ax.set(xlabel="epoch", ylabel="samples read, %", ylim=(0, 105))
    return figure


def trim() -> Figure:
    """A batch of 32 in order, six of them with a wrong label that the network denies."""
    draws, figure = torch.Generator().manual_seed(0), axes()
    (ax,) = figure[1]
    margins = 1.5 * torch.randn(32, generator=draws) + torch.where(torch.arange(32) < 6, -3.0, 3.0)
    losses = torch.nn.functional.softplus(-margins).requires_grad_()
    fused = torch.stack([torch.zeros(32), torch.expm1(losses).log()], dim=1)
    trimmed_loss({}, fused, torch.zeros(32, dtype=torch.long), share=0.2).backward()
    assert losses.grad is not None
    order = losses.detach().argsort()
    kept, found = losses.grad[order] > 0, losses.detach()[order]
    places = torch.arange(1, 33)
    ax.bar(places[kept], found[kept], color=AUDIO, label="kept")
    ax.bar(places[~kept], found[~kept], color=GREY, label="left out")
    ax.set(xlabel="samples of a batch, in order", ylabel="fused loss, nats")
    ax.legend()
    return figure[0]
