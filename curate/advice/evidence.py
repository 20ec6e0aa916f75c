"""What a scored table shows about a data set: which modality leads, which is memorised, which is broken.

`conclusions` puts it into sentences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import TYPE_CHECKING, Any

from curate.comparison.summary import Line, summarize
from curate.store.views import SCORED
from curate.types import FUSED

from .held_out import ERRORS, HeldOut, differ, read_held_out

if TYPE_CHECKING:
    from curate.store.store import Store
    from curate.types import Round, Run

TAIL = 0.3
"""|gap| above which one modality predicts a sample clearly better."""
KNOWN_WELL = 0.8
"""If the two differ, the training samples count as memorised from this accuracy on them upwards."""
FEWEST = 20
"""Of fewer samples it is not told which modality leads."""
NEAR_CHANCE = 1.5
"""A modality whose accuracy is below this many times that of guessing counts as hardly better than guessing."""
TESTED = "SELECT 1 FROM sample WHERE data_id = ? AND split = 'test' LIMIT 1"
KEPT = 0.8
"""The threshold of p_balanced that the sentences mention; `curate select` falls back to it."""
GAPS = (
    "SELECT count(*), coalesce(avg(size), 0), coalesce(avg((p_imbalanced > 0.5)::INTEGER), 0) FROM ("
    "SELECT g.sample_id, max(abs(g.prob_gap)) AS size, max(p.p_imbalanced) AS p_imbalanced "
    "FROM gap g JOIN posterior p USING (run_id, round, sample_id, pair) WHERE g.run_id = ? AND g.round = 0 GROUP BY 1)"
)
LEADS = (
    "WITH said AS (SELECT sample_id, modality, p_true, max(p_true) OVER (PARTITION BY sample_id) AS best, "
    "min(p_true) OVER (PARTITION BY sample_id) AS least FROM prediction "
    "WHERE run_id = ? AND round = 0 AND modality <> 'fused'), "
    "judged AS (SELECT sample_id, max(p_imbalanced) AS p_imbalanced FROM posterior WHERE run_id = ? AND round = 0 "
    "GROUP BY 1) SELECT modality, avg((p_true = best AND best > least)::INTEGER) AS ahead, "
    "avg((p_true = best AND best > least AND p_imbalanced > 0.5)::INTEGER) AS carried "
    "FROM said JOIN judged USING (sample_id) GROUP BY 1"
)
ONE_PAIR = (  # GAPS and LEADS of two modalities, without grouping by sample
    "SELECT count(*), coalesce(avg(abs(gap)), 0), coalesce(avg((p > 0.5)::INTEGER), 0), avg((gap > 0)::INTEGER), "
    "avg((gap > 0 AND p > 0.5)::INTEGER), avg((gap < 0)::INTEGER), avg((gap < 0 AND p > 0.5)::INTEGER) FROM "
    "(SELECT sample_id, prob_gap AS gap FROM gap WHERE run_id = $run AND round = 0) JOIN "
    "(SELECT sample_id, p_imbalanced AS p FROM posterior WHERE run_id = $run AND round = 0) USING (sample_id)"
)
KNOWN = (
    "SELECT modality, avg(correct::INTEGER), bool_or(in_sample), count(*) FROM prediction "
    "WHERE run_id = $run AND round = 0{} GROUP BY 1 ORDER BY 1"
)
WITH_A_GAP = " AND sample_id IN (SELECT sample_id FROM gap WHERE run_id = $run AND round = 0)"
"""A sample that lacks a modality has no gap."""
CLAIMED = (
    "SELECT modality, avg((p_broken > 0.5)::INTEGER), count(*) FILTER (p_swapped > 0.5), "
    "count(p_swapped) = 0, count(p_broken) = 0, bool_or(rare), bool_or(weak), bool_or(shortcut) "
    "FROM usability WHERE run_id = ? GROUP BY 1"
)
DENIED = (
    "SELECT CASE WHEN count(p) > 0 THEN count(*) FILTER (p > 0.5) END, count(p) = 0 AND count(denied) > 0, "
    "count(*) FILTER (denied > 0.5) FROM ("
    "SELECT any_value(p_mislabelled) AS p, any_value(contradiction_fused) AS denied "
    "FROM usability WHERE run_id = ? GROUP BY sample_id)"
)


KINDS = ("rare", "weak", "shortcut")
"""What a sample may be besides broken, in the order of `CLAIMED`."""
DAMAGE = "damage may be read as another class, and nothing can be called broken there"
EITHER = "the label is preferred there too rarely, or by no other, or what is denied there has other reasons"
"""Why it was not judged which clips are swapped: where nothing may be claimed, and where a run does not say why."""


@dataclass(frozen=True)
class Evidence:
    """What a scored table shows about a data set.

    Attributes:
        dataset, run_id: of the scored run.
        modalities: in declared order.
        classes: how many.
        samples: how many were scored.
        size: mean |probability gap|, 0..1, of each sample's widest pair.
        imbalanced: share with p_imbalanced above 0.5; it changes with the number of epochs, so it only describes.
        accuracy: {modality or "fused": accuracy on the scored samples}.
        outcomes: outcome of each fit, one per pair.
        ahead: {modality: share of samples whose true class it gives the largest probability}.
        carried: {modality: share of samples that are called imbalanced and in which it is ahead}.
        held_out: how often each modality is right on samples that were not trained on; None where there are none.
        folds: number of folds in which the scored samples were held out; 0 if they were not.
        was_by_heart: why `score` decided to score out of fold by itself; '' if it did not.
        in_sample: whether the model that scored them had been trained on them; None where that is unknown.
        broken: {modality: share of samples claimed to be broken}, of modalities with a broken group.
        swapped: {modality: how many of its clips probably belong to other samples}, of modalities with any.
        unread: {modality: why it was not judged which of its clips are swapped, see `curate.scores.labels.Denied`}.
        kinds: of `KINDS` those that any sample is, by any modality.
        verdicts: {modality: what is claimed about it, in words}; {} where usability is not known.
        denied: how many labels are probably wrong, see `curate.scores.labels`; None where that was not judged.
        withheld: the warm-up's epochs are known, and labels were not judged.
        against: of how many labels the fused prediction prefers another class, contradiction_fused above 0.5.
        confused: the two classes that most of these are about, how many, and of how many samples; None = none.
        posterior: how p_balanced was made, and how far to trust it, in words.
        has_model: False for a run of saved predictions.
        tested: whether there are test samples, by which methods are compared.
        shown: how the view `samples` shows this run, which has the newest scored one of each data set: "alone", "among"
            those of other data sets, or "not".
        compared: lines of this data set's comparisons.
    """

    dataset: str
    run_id: str
    modalities: tuple[str, ...]
    classes: int
    samples: int
    size: float
    imbalanced: float
    accuracy: Mapping[str, float]
    outcomes: tuple[str, ...]
    ahead: Mapping[str, float] = field(default_factory=dict)
    carried: Mapping[str, float] = field(default_factory=dict)
    held_out: HeldOut | None = None
    folds: int = 0
    was_by_heart: str = ""
    in_sample: bool | None = True
    broken: Mapping[str, float] = field(default_factory=dict)
    swapped: Mapping[str, int] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()
    verdicts: Mapping[str, str] = field(default_factory=dict)
    denied: int | None = None
    withheld: bool = False
    against: int = 0
    confused: tuple[str, str, int, int] | None = None
    posterior: str = ""
    has_model: bool = True
    tested: bool = True
    shown: str = "alone"
    compared: Sequence[Line] = ()

    @property
    def judged_by(self) -> HeldOut | None:
        """Accuracies that dominance is judged by, on samples not trained on; None where there are none."""
        if self.folds or self.in_sample is False:
            return HeldOut("out of fold" if self.folds else "scored", self.samples, self.accuracy)
        return self.held_out

    @property
    def decider(self) -> str:
        """By whom labels are judged: "fused" or a modality."""
        return self.held_out.decider if self.held_out else FUSED

    @property
    def reads(self) -> float:
        """Share of the samples not trained on whose class the decider reads; 1 where that is not known."""
        from curate.scores.bounds import read_at_least  # late: it needs numpy

        if self.judged_by is None:
            return 1.0
        return read_at_least(
            self.judged_by.accuracy.get(self.decider, 1.0), self.held_out.wrong if self.held_out else 0.0
        )

    @property
    def unseen(self) -> str:
        """What `reads` is a share of, in words."""
        right = " and whose label is right" if self.held_out and self.held_out.wrong else ""
        return f"the samples that it was not trained on{right}"

    @property
    def judges_labels(self) -> bool:
        """Whether the decider may be asked which labels are wrong."""
        from curate.scores.labels import READS  # late: it needs numpy

        return self.reads >= READS

    @property
    def learnt(self) -> float:
        """Share of the samples that the model was trained on whose label it gives, but for those that are probably
        wrong, at most 1; 1 where none was trained on, or that is not known."""
        if self.folds or not self.in_sample or FUSED not in self.accuracy:
            return 1.0
        wrong = (self.denied or 0) / max(self.samples, 1)
        return min(1.0, self.accuracy[FUSED] / max(1 - wrong, 1 / max(self.samples, 1)))

    @property
    def apart(self) -> tuple[str, ...]:
        """Modalities whose accuracy on the samples they were trained on clearly exceeds that on held-out ones."""
        if self.folds or self.in_sample is False or self.held_out is None:
            return ()
        return tuple(
            m
            for m in self.modalities
            if differ(self.accuracy.get(m, 0.0), self.held_out.accuracy.get(m, 1.0), self.held_out.samples)
        )

    @property
    def by_heart(self) -> tuple[str, ...]:
        """The modalities of `apart` that are right on nearly all of the samples they were trained on."""
        return tuple(m for m in self.apart if self.accuracy[m] >= KNOWN_WELL)

    @property
    def at_chance(self) -> str:
        """The modality that is hardly better than guessing while another is much better; '' if there is none."""
        right = (self.judged_by or HeldOut("", self.samples, self.accuracy)).accuracy
        weak = min(self.modalities, key=lambda m: right.get(m, 1.0))
        strong = max(right.get(m, 0.0) for m in self.modalities)
        bound = NEAR_CHANCE / self.classes
        return weak if right.get(weak, 1.0) < bound <= strong / 2 else ""

    @property
    def leading(self) -> str:
        """The modality that is right most often, clearly more often than each other one; '' if none is, or of too few
        samples."""
        known = self.judged_by
        if known is None or known.samples < FEWEST:
            return ""
        first, *rest = sorted(self.modalities, key=lambda m: -known.accuracy.get(m, 0.0))
        best, error = known.accuracy.get(first, 0.0), 0.0
        for other in rest:
            p = known.accuracy.get(other, 0.0)
            error = sqrt((best * (1 - best) + p * (1 - p)) / known.samples)
            if best - p <= max(ERRORS * error, 1 / known.samples):
                return ""
        return first


def read_evidence(store: Store, run_id: str | None = None, found: Round | None = None) -> Evidence:
    """The evidence of a scored run and every comparison of its data set; without a name, of the newest finished run.

    Args:
        found: its round 0, where that was read already.

    Raises:
        CurateError: there is no such run.
    """
    with store.together():
        return _read_evidence(store, store.runs.find(run_id, kind="score", status=None if run_id else "done"), found)


def _read_evidence(store: Store, run: Run, found: Round | None) -> Evidence:
    from .describe import describe_verdicts

    samples, size, imbalanced, leads = _gaps(store, run)
    known = store.db.named_rows(KNOWN.format(""), {"run": run.run_id})
    if any(count != samples for *_, count in known):
        known = store.db.named_rows(KNOWN.format(WITH_A_GAP), {"run": run.run_id})
    claimed = {m: row for m, *row in store.rows(CLAIMED, [run.run_id])}  # see the query
    trained = {seen for _, _, seen, _ in known} - {None}
    denied, withheld, against = store.rows(DENIED, [run.run_id])[0]
    scored, verdicts = found or store.rounds.read(run.run_id), store.usability.verdicts(run.run_id)
    lines = {
        line.label: line  # of several lines with one label the newest is kept
        for name in store.comparisons.names(run.dataset)
        for line in summarize([c for c in store.comparisons.find(name) if c.dataset == run.dataset])
    }
    return Evidence(
        dataset=run.dataset,
        run_id=run.run_id,
        modalities=run.modalities,
        classes=len(run.classes),
        samples=samples,
        size=size,
        imbalanced=imbalanced,
        accuracy={m: right for m, right, *_ in known},
        outcomes=tuple(f.outcome for f in scored.fits),
        ahead={m: ahead for m, ahead, _ in leads},
        carried={m: carried for m, _, carried in leads},
        held_out=read_held_out(store, run),
        folds=run.folds,
        was_by_heart=run.by_heart,
        in_sample=any(trained) if trained else None,
        broken={m: claimed[m][0] for m, _, found, *_ in verdicts if found and m in claimed},
        swapped={m: claimed[m][1] for m in run.modalities if m in claimed and claimed[m][1]},
        unread=_unread(store, run, claimed) if withheld or denied is not None else {},
        kinds=tuple(kind for i, kind in enumerate(KINDS, -len(KINDS)) if any(row[i] for row in claimed.values())),
        verdicts=describe_verdicts(verdicts),
        denied=denied,
        withheld=bool(withheld),
        against=against,
        confused=store.usability.confused(run) if against and not denied else None,
        posterior=describe_posterior(run, scored),
        has_model=run.method != "predictions",
        tested=bool(store.rows(TESTED, [run.data_id])),
        shown=_shown(store, run),
        compared=tuple(lines.values()),
    )


def _shown(store: Store, run: Run) -> str:
    newest = {run_id for _, _, run_id, _ in store.rows(SCORED)}
    return "not" if run.run_id not in newest else "alone" if len(newest) == 1 else "among"


def _unread(store: Store, run: Run, claimed: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """{modality: why it was not judged which of its clips are swapped}, of those rows of `CLAIMED` where it was not."""
    said = dict(store.rows("SELECT modality, swaps_unjudged FROM guard WHERE run_id = ?", [run.run_id]))
    known = {m: claimed[m] for m in run.modalities if m in claimed}
    return {
        m: DAMAGE if nothing_broken else said.get(m) or EITHER
        for m, (_, _, unread, nothing_broken, *_) in known.items()
        if unread
    }


def _gaps(store: Store, run: Run) -> tuple[int, float, float, list[tuple[str, float, float]]]:
    """Number of samples, mean |gap|, share imbalanced; and (modality, share ahead, share carried) of each."""
    if len(run.modalities) > 2:
        ((samples, size, imbalanced),) = store.rows(GAPS, [run.run_id])
        return samples, size, imbalanced, store.rows(LEADS, [run.run_id, run.run_id])
    ((samples, size, imbalanced, *shares),) = store.db.named_rows(ONE_PAIR, {"run": run.run_id})
    return samples, size, imbalanced, [(m, *shares[2 * i : 2 * i + 2]) for i, m in enumerate(run.modalities) if samples]


def describe_posterior(run: Run, scored: Round) -> str:
    """How p_balanced was computed, what p_balanced >= 0.8 means and keeps, and how far to trust it."""
    from curate.scores import two_sided
    from curate.scores.gap import describe, gap_scale

    kind, gaps, first = run.gap_kind or "prob", scored.gaps, scored.fits[0]
    share = float((scored.balanced >= KEPT).mean()) if len(scored.balanced) else 0.0
    of = describe(kind, gaps.input, gaps.average, gaps.pairs[0] if len(gaps.pairs) == 1 else None)
    text = f"{first.family} mixture of the {of}"
    if first.family != two_sided.FAMILY:
        outcomes = ", ".join(dict.fromkeys(f.outcome for f in scored.fits))
        text += f", the paper's form ({outcomes}); p_balanced >= {KEPT} on {share:.1%} of the samples"
        return f"{text}; it need not fall with |gap|, look at the warnings before you use it"
    unit = "" if gap_scale(kind, len(run.classes)) == 1 else " nats"
    widest = two_sided.reach(first, KEPT)
    text += f"; a |gap| up to {widest:.2f}{unit} has p_balanced >= {KEPT}, {share:.1%} of the samples"
    trust = {
        "ok": "it ranks as |gap| does: how unequally the modalities know a sample, not whether one is broken",
        "one_bell": "one bell explains these gaps as well, so there is no line between two groups: a scale of |gap|",
        "none_balanced": "hardly any is balanced, so it says which are the least imbalanced",
        "memorised": "the samples are known by heart, which hides imbalance",
    }
    return f"{text}; {trust.get(first.outcome, 'too little to fit, so the usual scale of |gap|')}"
