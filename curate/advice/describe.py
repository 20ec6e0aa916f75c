"""A round's mixtures and the verdicts on usability as lines of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from curate.types import Round, Run

FAR = 100
"""A separation from here on is not told exactly: groups of hardly any spread have one of thousands."""


def describe_round(run: Run, found: Round) -> list[str]:
    """The mixtures of a scored run in numbers: the gaps they were fitted to, their components and their warnings.

    The two-sided mixture is fitted to all pairs together, so it is described once. That one bell is as good is left to
    `conclusions`, which says so in its line on balance.
    """
    from curate.scores.gap import describe  # late: it needs numpy, which other commands do not
    from curate.scores.two_sided import FAMILY, ONE_BELL

    if all(fitted.family == FAMILY for fitted in found.fits):
        fitted = found.fits[0]
        (peak, tails), (narrow, wide) = fitted.weights, fitted.scales
        said = {ONE_BELL} if fitted.outcome == "one_bell" else set()
        return [
            f"  mixture: a balanced peak at 0, weight {peak:.3f}, scale {narrow:.3f}; two tails, weight {tails:.3f}, "
            f"scale {wide:.3f} ({fitted.outcome})",
            *(f"  warning: {note}" for note in fitted.warnings if note not in said),
        ]
    lines = []
    for j, (pair, fitted) in enumerate(zip(found.gaps.pairs, found.fits, strict=True)):
        scores, p = found.gaps, found.p_balanced[:, j]
        seen, kind = scores.seen(run.gap_kind or "prob")[:, j], run.gap_kind or "prob"
        signed = seen if scores.input == "signed" else scores.prob[:, j]
        lines.append(
            f"  mixture of the {describe(kind, scores.input, scores.average, pair)}: {fitted.family} ({fitted.outcome})"
        )
        roles = [fitted.role(k, pair) for k in range(len(fitted.weights))]
        width = max(11, *map(len, roles))
        for k, role in enumerate(roles):
            lines.append(
                f"  {role:<{width}} weight {fitted.weights[k]:.3f}  location {fitted.locs[k]:+.3f}  "
                f"scale {fitted.scales[k]:.3f}"
            )
        lines.append(f"  p_balanced < 0.5 on {(p < 0.5).mean():.1%}; {pair[0]} ahead on {(signed > 0).mean():.1%}")
        if found.p_ahead is not None and len(roles) == 3:
            shares = (found.p_ahead[:, j] > 0.5).mean(axis=0)
            lines.append(
                "  " + "; ".join(f"{m} ahead with p > 0.5 on {s:.1%}" for m, s in zip(pair, shares, strict=True))
            )
        lines += [f"  warning: {note}" for note in fitted.warnings]
    return lines


def describe_verdicts(verdicts: Sequence[tuple[str, str, bool, float, float | None]]) -> dict[str, str]:
    """{modality: whether it has a broken group, and the evidence for that}, from `store.usability.verdicts`."""
    shown = {}
    for modality, verdict, found, separation, ratio in verdicts:
        shown[modality] = verdict
        if ratio is not None:
            which = "it keeps" if found else "the lowest group keeps"
            shown[modality] += f" ({which} {max(ratio, 0):.0%} of the held-out recognition of the rest"
            shown[modality] += f", separation {separation:.1f})" if separation < FAR else f", separation over {FAR})"
    return shown
