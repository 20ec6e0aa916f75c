"""Which methods are worth trying first on a scored data set: three parts, each with its evidence.

The table's own comparisons come first. Where there is none, the studies in `reports/studies` are used, and named. They
are of one data set, so their results may not hold for another.
"""

from __future__ import annotations

from curate.comparison.plan import CONTINUED, CONTROLS, JOINT
from curate.comparison.summary import BETTER, EVEN, UNJUDGED, WORSE, Line
from curate.errors import counted
from curate.types import FUSED

from .conclusions import conclusions
from .evidence import Evidence

STUDY = "reports/studies/comparison.md (digits, three seeds)"
AHEAD = {"usable": 3.7, "adaptive": -0.1, "iprm": 0.6}
"""Points of fused accuracy that a method was ahead of the warm-up continued in that study, where damage was planted."""
OF_PAPERS = 23
"""Methods in it that come from papers; none was shown to be ahead."""
UNIMODAL, UNIMODAL_WEAK = 5.3, 17
"""Points that the warm-up continued was ahead of joint training in it: fused, and of the weak modality."""
IMPROVED = "reports/studies/improve.md (digits, seven seeds)"
LEFT_OUT, REPLACED = 1.1, 0.8
"""Points that `trim` and corrected labels were ahead of the warm-up continued in it, a fifth of the labels wrong and
nothing broken, over seven seeds."""
SEEDS, MORE, MOST = 3, 2, 3
"""Seeds of a first comparison, how many are added to one, and how many of its methods go on."""
MANY_WRONG = 0.05
"""Share of the labels from which on they are what to see to first."""
SMALL_GAP = 0.1
"""Mean |gap| below which the gaps carry little information."""
NO_FIT = ("one_component", "degenerate", "too_few")
"""Outcomes of a fit in which nothing is called imbalanced."""


def recommend(evidence: Evidence) -> list[str]:
    """Three parts: what the table shows, a line each; what to try first and why; and what to compare that with."""
    return [f"found: {_found(evidence)}", f"try: {_try(evidence)}", f"check: {_check(evidence)}"]


def _found(e: Evidence) -> str:
    """The conclusions that `score` prints too, each in a line below the first."""
    small = ["gaps this small say little"] if e.size < SMALL_GAP else []
    return "\n  ".join((f"{e.dataset}, {counted(e.samples, 'sample')} of {e.run_id}", *conclusions(e), *small))


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
    if weak := e.at_chance:
        return (
            f"look at the {weak} data before any method: it is hardly right more often than guessing; no loss repairs "
            "what is not there"
        )
    if _many_wrong(e) and not e.has_model:
        return f"the labels first: {_wrong(e)}; or leave them out: {_left_out(e)}"
    if _many_wrong(e) and not e.tested:
        return f"the labels first: look at those that are probably wrong, or leave them out: {_left_out(e)}"
    if _many_wrong(e):
        return (
            f"`curate improve --run {e.run_id}`: where a fifth of the labels were wrong and nothing was broken, "
            f"leaving them out was {LEFT_OUT} points ahead of continuing, correcting them {REPLACED}, in {IMPROVED}"
        )
    if e.by_heart:
        return (
            f"{CONTINUED} with averaged weights (optim.ema=0.99) and, of media, augmentation (train.augment=shift): "
            "the training samples are known by heart, so their scores tell a method little"
        )
    if e.broken:
        return (
            f"usable beside {CONTINUED}: where damage was planted it was {AHEAD['usable']} points ahead of continuing "
            f"in {STUDY}; {OF_PAPERS} methods of papers were not shown to be"
        )
    if _nothing_to_read(e):
        return (
            f"{CONTINUED} (a loss for each modality and the fusion) beside {JOINT} (that of the fusion alone); methods "
            "that read posteriors (adaptive, subset) have next to nothing to read"
        )
    return (
        f"{CONTINUED} first, with a loss for each modality beside that of the fusion: these were the one large gain "
        f"over {JOINT}, that of the fusion alone, in {STUDY}, {UNIMODAL:+.1f} points fused and "
        f"{UNIMODAL_WEAK:+d} for the weak modality; adaptive ({AHEAD['adaptive']:+.1f}), iprm "
        f"({AHEAD['iprm']:+.1f}) and {OF_PAPERS - 2} others were not shown to be better than that"
    )


def _check(e: Evidence) -> str:
    if not e.has_model:
        few = f"; of the labels {_wrong(e)}" if e.denied and not _many_wrong(e) else ""
        return (
            "these are saved predictions, so the training is yours: `curate select -o kept.csv` writes what to keep; "
            "train on it, on as many samples at random, and on all; curate.torch has losses, samplers and callbacks"
            f"{few}"
        )
    if not e.tested:
        return (
            "methods are compared on a test split, and these data have no sample in it: put some there, score again; "
            "`curate recommend` then has the command"
        )
    command = f"`curate compare --run {e.run_id} {_asked(e)}`"
    missing = [c for c in CONTROLS if not any(x.control and x.method == c and x.seeds for x in e.compared)]
    if e.compared and missing:
        return f"{', '.join(missing)} are missing here, and anything looks like a gain without: {command} measures them"
    if any(line.verdict == UNJUDGED for line in e.compared):
        return f"one seed says nothing of a difference: {command}, and believe an interval that leaves zero out"
    if not e.compared:
        return (
            f"{command} puts {_tried(e)} beside its controls; a subset was no better than all samples, nor than a "
            f"random one of its size, in {STUDY}{_goal(e)}"
        )
    lost = [line.label for line in e.compared if line.own is not None and line.own[1].verdict != BETTER]
    random = f"{', '.join(lost)}: not ahead of the same at random; " if lost else ""
    return f"{random}more seeds narrow an interval: {command}; `curate compare --show` has what was measured"


def _asked(e: Evidence) -> str:
    """The options of a comparison that measures more than is known: seeds beyond those of the best methods so far."""
    tried = sorted(
        (x for x in e.compared if not x.control and x.seeds), key=lambda x: -x.values[FUSED, "accuracy"].mean
    )
    methods = list(dict.fromkeys(line.method for line in tried))[:MOST] or [_tried(e)]
    done = max((len(line.seeds) for line in tried), default=0)
    return f"{' '.join(f'--method {m}' for m in methods)} --seeds {SEEDS if done < SEEDS else done + MORE}"


def _goal(e: Evidence) -> str:
    """How to ask the data whether the modality that leads should; '' if none does."""
    if not e.leading:
        return ""
    return f"; `--method pdmp` asks whether balance is the goal at all: it lets {e.leading} lead even more"


def _tried(e: Evidence) -> str:
    """The method to put beside its controls, what is to be tried first among them."""
    if _many_wrong(e):
        return "trim"
    if e.by_heart:
        return f"{CONTINUED}:optim.ema=0.99"
    return "usable" if e.broken else CONTINUED if _nothing_to_read(e) else "adaptive"


def _nothing_to_read(e: Evidence) -> bool:
    """Whether the gaps tell a method that reads posteriors hardly anything."""
    return set(e.outcomes) <= set(NO_FIT) or e.size < SMALL_GAP


def _many_wrong(e: Evidence) -> bool:
    return e.denied is not None and e.denied >= MANY_WRONG * e.samples


def _wrong(e: Evidence) -> str:
    """How many labels are claimed wrong of saved predictions, and how to get the classes to give instead."""
    return (
        f"{e.denied} {'is' if e.denied == 1 else 'are'} "
        f"probably wrong ({(e.denied or 0) / e.samples:.1%}), and `curate improve --run {e.run_id} -o "
        "labels.csv` writes which class to give"
    )


def _left_out(e: Evidence) -> str:
    """The command that keeps the samples whose label is not claimed wrong."""
    return f'`curate select --where "coalesce(p_mislabelled, 0) <= 0.5" --run {e.run_id} -o kept.csv`'


def _seen(line: Line) -> str:
    found = line.continued
    assert found is not None
    return f"{found.text} points, {counted(len(found.by_seed), 'seed')}"


def _others(count: int) -> str:
    return f"; {count - 1} more were ahead too" if count > 1 else ""
