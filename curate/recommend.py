"""Which methods are worth trying first on a scored data set: three lines, each with the evidence it rests on.

The table's own comparisons come first. Where there is none, the studies in `reports/studies` speak, and are named; they
are of one data set, so nothing of them is promised for another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .comparison.plan import CONTINUED, CONTROLS, JOINT
from .comparison.summary import BETTER, EVEN, UNJUDGED, WORSE, Line, summarize
from .mixture import MEMORISED, TAIL
from .types import FUSED

if TYPE_CHECKING:
    from .table import Table

STUDY = "reports/studies/comparison.md (digits, three seeds)"
SMALL_GAP = 0.1  # mean |gap| below which the gaps say little
FEW_SAMPLES = 0.05  # of the samples: a tail that counts
NEAR_CHANCE = 1.5  # times the accuracy of guessing
NO_FIT = ("one_component", "degenerate", "too_few")
SQL = (
    "SELECT avg(abs(gap)) AS size, avg((gap > ?)::INTEGER) AS first, avg((gap < -?)::INTEGER) AS second, "
    "avg((p_imbalanced > 0.5)::INTEGER) AS imbalanced, count(*) AS samples FROM ("
    "SELECT g.sample_id, arg_max(g.prob_gap, abs(g.prob_gap)) AS gap, max(p.p_imbalanced) AS p_imbalanced "
    "FROM gap g JOIN posterior p USING (run_id, round, sample_id, pair) WHERE g.run_id = ? AND g.round = 0 GROUP BY 1)"
)
KNOWN = (
    "SELECT modality, avg(correct::INTEGER) AS accuracy FROM prediction WHERE run_id = ? AND round = 0 "
    "GROUP BY 1 ORDER BY 1"
)


@dataclass(frozen=True)
class Evidence:
    """What a scored table says of a data set.

    Attributes:
        dataset, run_id: of the scored run.
        modalities: in declared order.
        classes: how many.
        samples: how many were scored.
        size: mean |probability gap|, 0..1.
        tails: shares of samples with a gap above 0.3 and below -0.3: carried by the first, by the second modality.
        imbalanced: share with p_imbalanced above 0.5; moves with the number of epochs, so a description only.
        accuracy: {modality or "fused": accuracy on the training samples}.
        outcomes: of the fits, one a pair.
        broken: modalities of which a group of samples was found to be broken.
        has_model: False for a run of saved predictions.
        compared: lines of this data set's comparisons.
    """

    dataset: str
    run_id: str
    modalities: tuple[str, ...]
    classes: int
    samples: int
    size: float
    tails: tuple[float, float]
    imbalanced: float
    accuracy: Mapping[str, float]
    outcomes: tuple[str, ...]
    broken: tuple[str, ...] = ()
    has_model: bool = True
    compared: Sequence[Line] = field(default_factory=tuple)


def read_evidence(table: Table, run_id: str | None = None) -> Evidence:
    """The evidence of a scored run, the newest finished one when none is named; with every comparison of its data set.

    Raises:
        CurateError: there is no such run.
    """
    run = table.find_run(run_id, kind="score", status=None if run_id else "done")
    found = table.frame(SQL, [TAIL, TAIL, run.run_id]).iloc[0]
    known = table.frame(KNOWN, [run.run_id])
    lines = {
        line.label: line  # of those of one name the newest
        for name in table.comparison_names(run.dataset)
        for line in summarize([c for c in table.comparison(name) if c.dataset == run.dataset])
    }
    return Evidence(
        dataset=run.dataset,
        run_id=run.run_id,
        modalities=run.modalities,
        classes=len(run.classes),
        samples=int(found["samples"]),
        size=float(found["size"]),
        tails=(float(found["first"]), float(found["second"])),
        imbalanced=float(found["imbalanced"]),
        accuracy=dict(zip(known["modality"], known["accuracy"].astype(float), strict=True)),
        outcomes=tuple(f.outcome for f in table.read_round(run.run_id).fits),
        broken=tuple(modality for modality, _, found, *_ in table.verdicts(run.run_id) if found),
        has_model=run.method != "predictions",
        compared=tuple(lines.values()),
    )


def recommend(evidence: Evidence) -> list[str]:
    """Three lines: what the table says, what to try first and why, and what that is to be measured against."""
    return [f"found: {_found(evidence)}", f"try: {_try(evidence)}", f"check: {_check(evidence)}"]


def _found(e: Evidence) -> str:
    """How many, which way, how strong, and how far that can be trusted."""
    rights = ", ".join(f"{m} {e.accuracy[m]:.0%}" for m in (*e.modalities, FUSED) if m in e.accuracy)
    first, second = e.tails
    text = f"{e.dataset}, {e.samples} samples of {e.run_id}; right on training samples: {rights}; "
    if set(e.outcomes) <= set(NO_FIT):
        text += f"the fit ({', '.join(sorted(set(e.outcomes)))}) shows no imbalanced group"
    elif len(e.modalities) == 2:
        text += f"{first:.0%} carried by {e.modalities[0]}, {second:.0%} by {e.modalities[1]} (|gap| above {TAIL:g})"
    else:
        text += f"{first + second:.0%} with a pair's |gap| above {TAIL:g}"
    text += f", mean |gap| {e.size:.2f}, {e.imbalanced:.0%} called imbalanced"
    if e.broken:
        text += f"; a broken group of {' and of '.join(e.broken)}"
    if _memorised(e):
        return text + "; the training samples are known by heart, which hides imbalance"
    if e.size < SMALL_GAP:
        return text + "; gaps this small say little"
    if min(first, second) > FEW_SAMPLES and len(e.modalities) == 2:
        return text + "; both ways, so the signed fit of two sees one tail only: trust the sign, then |gap|"
    return text


def _try(e: Evidence) -> str:
    judged = [line for line in e.compared if line.continued is not None and not line.control]
    if lines := [line for line in judged if line.verdict == BETTER]:
        best = max(lines, key=lambda line: line.continued.mean if line.continued else 0.0)
        return f"{best.label}, ahead of the warm-up continued here: {_seen(best)}{_others(len(lines))}"
    if judged and all(line.verdict in (EVEN, WORSE) for line in judged):
        lost = [line.label for line in judged if line.verdict == WORSE]
        worse = f", and worse were {', '.join(lost)}" if lost else ""
        return (
            f"{CONTINUED}, the warm-up loss continued: of {len(judged)} compared here none was better beyond the "
            f"spread of the seeds{worse}"
        )
    if weak := _ignorant(e):
        return (
            f"look at the {weak} data before any method: it is right on {e.accuracy[weak]:.0%} of the training "
            f"samples, guessing on {1 / e.classes:.0%}; no loss repairs what is not there"
        )
    if _memorised(e):
        return "score again with fewer epochs (score --epochs), then ask again; methods that read posteriors come later"
    if set(e.outcomes) <= set(NO_FIT) or e.size < SMALL_GAP:
        return (
            f"{CONTINUED} beside {JOINT}; methods that read posteriors (adaptive, subset) have next to nothing to read"
        )
    if e.broken:
        return (
            f"usable beside {CONTINUED}: where damage was planted it was 4.1 points ahead of continuing in {STUDY}; "
            "20 methods of papers were not shown to be"
        )
    return (
        f"{CONTINUED} first: unimodal losses were the one large gain over {JOINT} in {STUDY}, +4.3 points fused and "
        "+17 for the weak modality; adaptive (+0.5), iprm (+0.7) and 18 others were not shown to be better than that"
    )


def _check(e: Evidence) -> str:
    if not e.has_model:
        return (
            "these are saved predictions: score with a model first (`curate score --dataset NAME`), then "
            "`curate compare --dataset NAME --method all`"
        )
    command = f"`curate compare --dataset {e.dataset} --method NAME --seeds 3`"
    missing = [c for c in CONTROLS if not any(x.control and x.method == c and x.seeds for x in e.compared)]
    if e.compared and missing:
        return f"{', '.join(missing)} are missing here, and anything looks like a gain without: {command} measures them"
    if any(line.verdict == UNJUDGED for line in e.compared):
        return f"one seed says nothing of a difference: {command}, and believe an interval that leaves zero out"
    if not e.compared:
        return (
            f"{command} puts a method beside its controls; a subset was no better than all samples, nor than a random "
            f"one of its size, in {STUDY}"
        )
    lost = [line.label for line in e.compared if line.own is not None and line.own[1].verdict != BETTER]
    told = f"{', '.join(lost)}: not ahead of the same at random; " if lost else ""
    return f"{told}more seeds narrow an interval: {command}; `curate compare --show` has what was measured"


def _seen(line: Line) -> str:
    found = line.continued
    assert found is not None
    return f"{found.text} points, {len(found.by_seed)} seeds"


def _others(count: int) -> str:
    return f"; {count - 1} more were ahead too" if count > 1 else ""


def _memorised(e: Evidence) -> bool:
    return all(e.accuracy.get(m, 0.0) > MEMORISED for m in e.modalities)


def _ignorant(e: Evidence) -> str:
    """The modality that knows hardly more than guessing, while another knows much more; '' if there is none."""
    weak = min(e.modalities, key=lambda m: e.accuracy.get(m, 1.0))
    strong = max(e.accuracy.get(m, 0.0) for m in e.modalities)
    bound = NEAR_CHANCE / e.classes
    return weak if e.accuracy.get(weak, 1.0) < bound <= strong / 2 else ""
