"""Usability in the report: what is claimed about each modality, the evidence, and samples that show it. Pure.

Letters: N assessed samples, M modalities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from curate.scores.guard import Guard
from curate.scores.metrics import auroc, degraded_alone, degraded_in_part, direction_auroc
from curate.scores.two_groups import CLAIMED
from curate.scores.usability import some_not_all
from curate.types import modality_pairs

ROWS = (
    "SELECT u.sample_id, s.label_name, s.planted, u.modality, u.usability, u.p_broken, u.contradiction, "
    "u.contradiction_fused, u.p_mislabelled, u.p_swapped "
    "FROM usability u JOIN run r USING (run_id) JOIN sample s ON s.data_id = r.data_id AND s.sample_id = u.sample_id "
    "WHERE u.run_id = ? ORDER BY u.sample_id, u.modality"
)
VALUES = ("usability", "p_broken", "contradiction", "p_swapped")
NONE, WITHHELD = "none", "not judged"
PARTLY = ("is exactly one modality degraded?", "are some modalities degraded and some not?")
"""The question that `degraded_in_part` answers, for two modalities and for more."""


def assessed(rows: pd.DataFrame, modalities: Sequence[str]) -> pd.DataFrame:
    """One row per assessed sample, ascending by id.

    Returns:
        Columns sample_id, label_name, planted, contradiction_fused and p_mislabelled (NaN = unknown), usability_<m>,
        p_broken_<m> (NaN = withheld), contradiction_<m> and p_swapped_<m> (NaN = unknown) of each modality, imbalance,
        intact (the most usable modality, the first among equals), claim (see `claims_of`), and contradiction: the
        largest of the modalities that are not claimed to be broken.
    """
    kept = ["sample_id", "label_name", "planted", "contradiction_fused", "p_mislabelled"]
    first = rows.drop_duplicates("sample_id")[kept].reset_index(drop=True)
    wide = rows.pivot(index="sample_id", columns="modality", values=list(VALUES)).reindex(first["sample_id"])
    out = first.assign(**{f"{v}_{m}": wide[v, m].to_numpy(dtype=float) for v in VALUES for m in modalities})
    usable = out[[f"usability_{m}" for m in modalities]].to_numpy()
    complete = ~(out[[f"p_broken_{m}" for m in modalities]].to_numpy() > CLAIMED)
    denies = np.where(complete, out[[f"contradiction_{m}" for m in modalities]].to_numpy(), 0.0)
    return out.assign(
        imbalance=some_not_all(usable),
        intact=np.array(modalities, dtype=object)[usable.argmax(axis=1)],
        claim=claims_of(out, modalities),
        contradiction=denies.max(axis=1),
    )


def claims_of(frame: pd.DataFrame, modalities: Sequence[str]) -> pd.Series:
    """(N,) which of some modalities are claimed to be broken: their names, `none`, or `not judged` if all claims are
    withheld."""
    p = frame[[f"p_broken_{m}" for m in modalities]].to_numpy()
    named = [" and ".join(m for m, broken in zip(modalities, row, strict=True) if broken) for row in p > CLAIMED]
    empty = np.where(np.isnan(p).all(axis=1), WITHHELD, NONE)
    return pd.Series([name or other for name, other in zip(named, empty, strict=True)], index=frame.index, dtype=object)


def claims_about(pair: tuple[str, str]) -> tuple[str, str, str, str]:
    """The possible claims about two modalities, in the order in which they are listed."""
    return (*pair, " and ".join(pair), NONE)


def verdicts(frame: pd.DataFrame, guards: Mapping[str, Guard]) -> list[dict[str, Any]]:
    """One row per modality: the guard's verdict and its evidence, and how many samples are claimed to be broken.

    If it is known what was degraded on purpose, `precision` is the share of claimed samples that are degraded, `recall`
    the share of degraded samples that are claimed, and `auroc` how well 1 - usability ranks them; None where undefined
    or unknown.
    """
    known = frame["planted"].notna().all()
    out = []
    for m, guard in guards.items():
        claimed = (frame[f"p_broken_{m}"] > CLAIMED).to_numpy()
        truth = frame["planted"].fillna("").map(lambda p, m=m: m in p.split("+")).to_numpy(dtype=bool)
        hits = int((claimed & truth).sum())
        out.append(
            {
                "modality": m,
                "guard": guard,
                "claimed": int(claimed.sum()),
                "precision": hits / claimed.sum() if known and claimed.any() else None,
                "recall": hits / truth.sum() if known and truth.any() and not guard.withheld else None,
                "auroc": auroc(1 - frame[f"usability_{m}"].to_numpy(), truth) if known else None,
            }
        )
    return out


def summary(frame: pd.DataFrame, modalities: Sequence[str]) -> pd.DataFrame:
    """One row per claim, most frequent first: samples, their share, mean imbalance.

    `planted` is the share of samples with some modalities degraded and some not, NaN where that is unknown.
    """
    known = frame["planted"].notna().all()
    partly = degraded_in_part(frame["planted"], len(modalities)).astype(float) if known else np.nan
    columns = {"claim": frame["claim"], "samples": 1, "share": 1 / max(len(frame), 1)}
    rules = {"samples": "sum", "share": "sum", "imbalance": "mean", "planted": "mean"}
    table = pd.DataFrame({**columns, "imbalance": frame["imbalance"], "planted": partly})
    return table.groupby("claim").agg(rules).sort_values("samples", ascending=False, kind="stable").reset_index()


def checked(frame: pd.DataFrame, modalities: Sequence[str]) -> list[tuple[str, float | None, str]]:
    """How well usability finds what was degraded on purpose: (score, AUROC or None, question).

    [] if it is unknown what was, or if nothing was, or all.
    """
    if not len(frame) or frame["planted"].isna().any():
        return []
    alone = degraded_alone(frame["planted"])
    partly, question = degraded_in_part(frame["planted"], len(modalities)), PARTLY[len(modalities) > 2]
    rows = [("imbalance", auroc(frame["imbalance"].to_numpy(), partly), question)]
    for a, b in modality_pairs(tuple(modalities)):
        difference = (frame[f"usability_{a}"] - frame[f"usability_{b}"]).to_numpy()
        shown = direction_auroc(difference, alone, (a, b))
        rows.append(("difference of usability", shown, f"of those, is it {b} and not {a}?"))
    return rows if any(value is not None for _, value, _ in rows) else []


def extremes(frame: pd.DataFrame, modalities: Sequence[str], count: int) -> dict[str, pd.DataFrame]:
    """{intact modality: its samples of largest imbalance, largest first}, `count` divided equally, ties by id."""
    ranked = frame.sort_values(["imbalance", "sample_id"], ascending=[False, True])
    ranked = ranked[ranked["imbalance"] > 0]
    return {m: ranked[ranked["intact"] == m].head(max(1, count // len(modalities))) for m in modalities}


def contradicting(frame: pd.DataFrame, count: int) -> pd.DataFrame:
    """Samples whose label contradicts a modality that is not broken (contradiction above 1/2), largest first, ties by
    id.
    """
    ranked = frame.sort_values(["contradiction", "sample_id"], ascending=[False, True])
    return ranked[ranked["contradiction"] > 0.5].head(count)


def probably_wrong(frame: pd.DataFrame, count: int) -> tuple[pd.DataFrame, int]:
    """Samples whose label is probably wrong, and how many there are in all.

    Returns:
        The `count` of largest p_mislabelled, of those above 1/2, ties by id; and the number of all of them.
    """
    return _claimed(frame, "p_mislabelled", count)


def swapped(frame: pd.DataFrame, modality: str, count: int) -> tuple[pd.DataFrame, int]:
    """As `probably_wrong`, of samples whose clip of a modality probably belongs to another sample."""
    return _claimed(frame, f"p_swapped_{modality}", count)


def _claimed(frame: pd.DataFrame, column: str, count: int) -> tuple[pd.DataFrame, int]:
    found = frame[frame[column].astype(float) > CLAIMED]
    return found.sort_values([column, "sample_id"], ascending=[False, True]).head(count), len(found)
