"""The pictures of the pages of methods, drawn with the functions that train.

python -m docs.make.method_pictures
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.stats import beta

from curate.scores.posteriors import p_balanced
from curate.scores.two_sided import fit
from curate.torch.agm import modulation
from curate.torch.balance import damping, drop_probabilities
from curate.torch.iprm import probe
from curate.train.methods.dr import retreat
from curate.train.methods.gblend import blend
from curate.train.methods.greedy import Greedy
from curate.train.methods.inforeg import regulation
from curate.train.methods.lfm import Lfm
from curate.train.methods.mla import shrink
from curate.train.methods.mmpareto import MMPareto, integrate
from curate.train.methods.mslr import ratio
from curate.train.methods.ogm import Ogm
from curate.train.methods.opm import Opm
from curate.train.methods.pmr import coefficients
from curate.train.methods.reconboost import ReconBoost, boosting_loss

from . import method_diagrams, sample_pictures
from .drawing import AUDIO, FUSED, GREY, STYLE, THIRD, VISUAL, arrow, axes, save

FOLDER = Path(__file__).parents[1] / "methods/pictures"
RATIO = np.linspace(0.3, 3, 271)


def weight() -> Figure:
    """Shares of one element, where both modalities have three features and the others are 0."""
    x = torch.linspace(-3, 3, 121)
    rows = torch.stack([x, torch.zeros_like(x), torch.zeros_like(x)], dim=1)
    a = rows.softmax(dim=1)[:, 0]
    share = a / (a + 1 / 3)
    figure, (ax,) = axes()
    ax.plot(x, share, color=AUDIO, label="audio")
    ax.plot(x, 1 - share, color=VISUAL, label="visual, all features 0")
    ax.set(xlabel="one feature of audio, its others 0", ylabel="share in that element", ylim=(0, 1))
    ax.legend()
    return figure


def _usual() -> tuple[np.ndarray, np.ndarray, float]:
    """Gaps, their `p_balanced` by the default mixture with its usual parameters, and mu_0."""
    gaps, fitted = np.linspace(-1, 1, 401), fit(np.zeros(3))
    return gaps, p_balanced(fitted, gaps), float(fitted.locs[fitted.balanced])


def adaptive() -> Figure:
    """Posterior weights, and the two gap terms of Eq. 11."""
    gaps, w0, centre = _usual()
    figure, (left, right) = axes(2, width=7)
    left.plot(gaps, w0, color=AUDIO, label="$w_0$, of the fused loss")
    left.plot(gaps, 1 - w0, color=VISUAL, label="$w_1$, of the pull to $\\mu_0$")
    left.set(xlabel="gap g", ylabel="weight", ylim=(0, 1.35))
    right.plot(gaps, gaps**2, color=FUSED, label="$g^2$")
    right.plot(gaps, (1 - w0) * (gaps - centre) ** 2, color=VISUAL, label="$w_1 (g - \\mu_0)^2$")
    right.set(xlabel="gap g", ylabel="term of the loss", ylim=(0, 1.35))
    for ax in (left, right):
        ax.legend(loc="upper center")
    return figure


def subset() -> Figure:
    """Which gaps a threshold keeps."""
    gaps, w0, _ = _usual()
    figure, (ax,) = axes()
    ax.plot(gaps, w0, color=FUSED)
    ax.fill_between(gaps, 0, w0, where=w0 >= 0.8, color=AUDIO, alpha=0.3, label="kept")
    ax.axhline(0.8, color=VISUAL, ls="--", label="threshold 0.8")
    ax.set(xlabel="gap, audio minus visual", ylabel="p_balanced", ylim=(0, 1.05))
    ax.legend(loc="upper right")
    return figure


def iprm() -> Figure:
    """The probe's share of modality 1, two classes, modality 2 at 0.6."""
    sure = np.linspace(0.5, 0.99, 80)
    figure, (ax,) = axes()
    second = torch.tensor([[0.6, 0.4]]).log()
    for mixed, label, color in ((0.5, "mixed prediction flat: 0.5", GREY), (0.8, "mixed prediction 0.8", AUDIO)):
        target = torch.tensor([[mixed, 1 - mixed]]).log()
        share = [float(probe(torch.tensor([[p, 1 - p]]).log(), second, target)[0]) for p in sure]
        ax.plot(sure, share, color=color, label=label)
    ax.set(xlabel="p(true class) of modality 1", ylabel="$\\omega_1$", ylim=(0, 1.05))
    ax.legend()
    return figure


def gblend() -> Figure:
    """The weight of one of three branches by its overfitting."""
    grown = np.linspace(0.01, 1.2, 120)
    gained = {"audio": 0.4, "visual": 0.4, "fused": 0.4}
    weights = [blend(gained, {"audio": g, "visual": 0.4, "fused": 0.4})["audio"] for g in grown]
    figure, (ax,) = axes()
    ax.plot(grown, weights, color=AUDIO)
    ax.axhline(1 / 3, color=GREY, ls="--", label="equal weights")
    ax.set(xlabel="$\\Delta O$ of audio; that of visual and fused is 0.4", ylabel="weight of audio", ylim=(0, 1.05))
    ax.legend()
    return figure


def mslr() -> Figure:
    """An accuracy that rises and stalls, and the factor."""
    accuracy = [0.2, 0.25, 0.31, 0.38, 0.46, 0.54, 0.6, 0.64, 0.66, 0.67, 0.67, 0.66, 0.67, 0.67, 0.67]
    factor = [ratio(accuracy[: t + 1], 5) for t in range(len(accuracy))]
    figure, (left, right) = axes(2, width=6.6, height=2.5)
    left.plot(accuracy, color=AUDIO, marker="o", ms=3)
    left.set(xlabel="epoch", ylabel="validation accuracy", ylim=(0, 0.8))
    right.plot(factor, color=VISUAL, marker="o", ms=3)
    right.axhline(1, color=GREY, ls="--")
    right.set(xlabel="epoch", ylabel="factor $r$ of the learning rate", ylim=(0, 2))
    return figure


def _factors(alpha: float) -> np.ndarray:
    return np.array([float(damping({"m": torch.tensor(r)}, alpha)["m"]) for r in RATIO])


def ogm() -> Figure:
    """k by rho, for the strengths that the paper has."""
    figure, (ax,) = axes()
    for alpha, color in ((Ogm.Config().alpha, AUDIO), (0.1, VISUAL)):
        ax.plot(RATIO, _factors(alpha), color=color, label=f"$\\alpha$ = {alpha:g}")
    ax.set(xlabel="$\\rho$, how far the modality is ahead", ylabel="factor k of its gradient", ylim=(0, 1.1))
    ax.legend()
    return figure


def ogm_ge() -> Figure:
    """The elements of one gradient tensor."""
    torch.manual_seed(0)
    gradient = torch.randn(20000) * 0.1
    damped = gradient * float(damping({"m": torch.tensor(1.2)}, 0.8)["m"])
    noisy = damped + torch.randn_like(gradient) * gradient.std()
    figure, (ax,) = axes()
    for x, label, color in ((gradient, "before", GREY), (damped, "damped", AUDIO), (noisy, "with noise", VISUAL)):
        ax.hist(x.numpy(), bins=np.linspace(-0.5, 0.5, 81), histtype="step", color=color, label=label, lw=1.8)
    ax.set(xlabel="element of the gradient", ylabel="elements", yticks=[])
    ax.legend()
    return figure


def agm() -> Figure:
    """k by the strength now, the running means being equal."""
    u = np.linspace(0.1, 2, 100)
    running = {"audio": torch.tensor(1.0), "visual": torch.tensor(1.0)}
    figure, (ax,) = axes()
    for alpha, color in ((1.0, AUDIO), (2.5, VISUAL)):
        k = [
            float(modulation({"audio": torch.tensor(x), "visual": torch.tensor(1.0)}, running, alpha)["audio"])
            for x in u
        ]
        ax.plot(u, k, color=color, label=f"$\\alpha$ = {alpha:g}")
    ax.axhline(1, color=GREY, ls="--")
    ax.set(xlabel="u of audio now (low = strong); that of visual is 1", ylabel="factor k of audio", ylim=(0, 4))
    ax.legend()
    return figure


def _drops() -> np.ndarray:
    c = Opm.Config()
    return np.array([float(drop_probabilities({"m": torch.tensor(r)}, c.q_base, c.growth)["m"]) for r in RATIO])


def opm() -> Figure:
    """q by rho with the default settings."""
    figure, (ax,) = axes()
    ax.plot(RATIO, _drops(), color=VISUAL)
    ax.set(xlabel="$\\rho$, how far the modality is ahead", ylabel="probability of dropping it", ylim=(0, 1))
    return figure


def inforeg() -> Figure:
    """beta by the difference of summed probabilities."""
    figure, (ax,) = axes()
    ahead = torch.linspace(-3, 3, 301, dtype=torch.float64)
    labels = torch.zeros(4, dtype=torch.long)
    betas = []
    for d in ahead.tolist():
        p = torch.full((4,), 0.5 + d / 8, dtype=torch.float64).clamp(1e-9, 1 - 1e-9)
        audio, visual = (torch.stack([q.log(), (1 - q).log()], dim=1) for q in (p, 1 - p))
        betas.append(float(regulation({"audio": audio, "visual": visual}, labels, 0.95)["audio"]))
    ax.plot(ahead, betas, color=AUDIO)
    ax.set(xlabel="$S_m - S_{other}$", ylabel="$\\beta_m$", ylim=(-0.1, 2.8))
    return figure


def aug() -> Figure:
    """The weight of the residual by what is known already."""
    figure, (ax,) = axes()
    known = np.linspace(0, 1, 101)
    for residual, colour in ((0.5, AUDIO), (0.2, VISUAL)):
        ax.plot(known, 1 - residual * known, color=colour, label=f"r = {residual:g}" + " (default)" * (residual == 0.5))
    ax.set(xlabel="$\\mathrm{softmax}(o)_y$ of the layers before", ylabel="weight of CE(a, y)", ylim=(0, 1.05))
    ax.legend(loc="lower left")
    return figure


def opm_ogm() -> Figure:
    """Both parts."""
    figure, (ax,) = axes()
    ax.plot(RATIO, _factors(0.8), color=AUDIO, label="factor k of its gradient")
    ax.plot(RATIO, _drops(), color=VISUAL, label="probability q of dropping it")
    ax.set(xlabel="$\\rho$, how far the modality is ahead", ylim=(0, 1.1))
    ax.legend()
    return figure


def greedy() -> Figure:
    """Made-up speeds: the first modality comes to rely on the gates, and its gate is frozen."""
    c = Greedy.Config()
    difference, frozen, value = [], [], -0.004
    for _ in range(40):
        if frozen and frozen[-1] and len(frozen) % (c.window + 1):
            frozen.append(True)
            value -= 0.004
        else:
            frozen.append(value > c.epsilon)
            value += 0.003
        difference.append(value)
    figure, (ax,) = axes()
    ax.plot(difference, color=FUSED)
    ax.fill_between(
        range(40), -0.02, 0.03, where=frozen, color=AUDIO, alpha=0.2, step="post", label="gate of modality 1 frozen"
    )
    ax.axhline(c.epsilon, color=VISUAL, ls="--", label=f"$\\epsilon$ = {c.epsilon:g}")
    ax.set(xlabel="step", ylabel="d, difference of speeds", ylim=(-0.02, 0.03))
    ax.legend(loc="lower right")
    return figure


def mixup() -> Figure:
    """Densities of Beta(alpha, alpha)."""
    share = np.linspace(0.005, 0.995, 200)
    figure, (ax,) = axes()
    for alpha, color in ((1.0, AUDIO), (0.4, VISUAL), (0.2, THIRD)):
        ax.plot(share, beta.pdf(share, alpha, alpha), color=color, label=f"$\\alpha$ = {alpha:g}")
    ax.set(xlabel="share $\\lambda$ of the sample, $1 - \\lambda$ of its partner", ylabel="density", ylim=(0, 4))
    ax.legend(loc="upper center")
    return figure


def mmcosine() -> Figure:
    """A logit by the length of the features, angle fixed."""
    length = np.linspace(0, 10, 50)
    figure, (ax,) = axes()
    ax.plot(length, 1.5 * length * np.cos(0.5), color=GREY, label="linear, weight of length 1.5")
    ax.plot(length, np.full(50, 10 * np.cos(0.5)), color=AUDIO, label="cosine, scale 10")
    ax.set(xlabel="length of the features, at an angle of 0.5 to the class", ylabel="logit", ylim=(0, 14))
    ax.legend(loc="lower right")
    return figure


def pmr() -> Figure:
    """b by the ratio of the scores, two modalities."""
    ratios = np.linspace(1, 3, 200)
    clip = [float(coefficients(torch.tensor([1.0, 1.0 / r]))[0][1]) for r in ratios]
    figure, (ax,) = axes()
    ax.plot(ratios, np.where(ratios > 1, 1.0, 0.0), color=AUDIO, label="switch (default)")
    ax.plot(ratios, clip, color=VISUAL, ls="--", label="clip")
    ax.set(
        xlabel="score of the faster / score of the slower modality", ylabel="coefficient b of the slower", ylim=(0, 1.2)
    )
    ax.legend(loc="lower right")
    return figure


def mla() -> Figure:
    """What one update leaves along the mean feature."""
    length = np.linspace(0, 1, 100)
    figure, (ax,) = axes()
    for a, color in ((0.1, AUDIO), (0.01, VISUAL)):
        left = []
        for x in length:
            r = torch.tensor([x, 0.0], dtype=torch.float64)
            left.append(float(shrink(torch.eye(2, dtype=torch.float64), r, a)[0, 0]))
        ax.plot(length, left, color=color, label=f"a = {a:g}")
    ax.set(xlabel="length of the mean feature r", ylabel="share of the gradient left", ylim=(0, 1.05))
    ax.legend()
    return figure


def dr() -> Figure:
    """a by the difference of purities."""
    difference = np.linspace(0, 1, 100)
    figure, (ax,) = axes()
    for strength, color in ((3.0, AUDIO), (1.0, VISUAL)):
        ax.plot(
            difference, [retreat(d, 0.0, strength) for d in difference], color=color, label=f"strength {strength:g}"
        )
    ax.set(xlabel="purity of training minus validation features", ylabel="share of the initial weights", ylim=(0, 1.05))
    ax.legend(loc="lower right")
    return figure


def mmpareto() -> Figure:
    """Two gradients in conflict."""
    g, u = torch.tensor([1.0, 0.0]), torch.tensor([-0.5, 0.5])
    (taken,), _ = integrate([g.clone()], [u], MMPareto.Config().gamma)
    figure, (ax,) = axes(width=4.6, height=2.9)
    for v, label, color in (
        (g, "g, multimodal", AUDIO),
        (u, "u, unimodal", VISUAL),
        (g + u, "g + u", GREY),
        (taken, "taken", THIRD),
    ):
        arrow(ax, (0, 0), (float(v[0]), float(v[1])), color)
        ax.text(float(v[0]) + 0.04, float(v[1]) + 0.04, label, color=color)
    ax.set(xlim=(-0.8, 1.5), ylim=(-0.2, 1.25), aspect="equal")
    return figure


def reconboost() -> Figure:
    """The weight of a sample in the first phase."""
    c, known = ReconBoost.Config(), np.linspace(0.02, 0.98, 97)
    plain = boosting_loss(torch.zeros(1, 2), torch.zeros(1, 2), torch.tensor([0]), 1.0, 0.0)
    weight = []
    for p in known:
        others = torch.tensor([[p, 1 - p]]).log()
        loss = boosting_loss(torch.zeros(1, 2), others, torch.tensor([0]), c.first, c.second)
        weight.append(float(loss / plain))
    figure, (ax,) = axes()
    ax.plot(known, weight, color=AUDIO)
    ax.set(
        xlabel="J[y], what the others give the true class", ylabel="weight $w_1 - w_2 J[y]$", ylim=(0, c.first + 0.3)
    )
    return figure


def lfm() -> Figure:
    """The two weights over a run."""
    c, share = Lfm.Config(), np.linspace(0, 1, 50)
    a = c.begin + (c.end - c.begin) * share
    figure, (ax,) = axes()
    ax.plot(share, a, color=AUDIO, label="cross-entropy, a")
    ax.plot(share, 1 - a, color=VISUAL, label="alignment, 1 - a")
    ax.set(xlabel="part of the run", ylabel="weight", ylim=(0, 1))
    ax.legend(loc="center right")
    return figure


def pictures() -> dict[str, Callable[[], Figure]]:
    """{method: what draws its picture}."""
    from curate.train.methods import catalog

    drawn = {**vars(method_diagrams), **vars(sample_pictures), **globals()}
    return {name: drawn[name] for name in catalog.names()}


def main() -> None:
    """Draw all."""
    FOLDER.mkdir(exist_ok=True)
    for name, draw in pictures().items():
        with mpl.rc_context(STYLE):
            save(draw(), FOLDER / f"{name}.svg")


if __name__ == "__main__":
    main()
