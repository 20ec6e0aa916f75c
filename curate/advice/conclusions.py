"""What a scored table shows, in sentences.

The closing lines of `score`, `recommend` and the report all use them, so that numbers and wording are the same.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from curate.files.asking import literal
from curate.types import FUSED

from .evidence import DAMAGE, Evidence
from .held_out import HeldOut, differ

MAY_BE_HARD = 2.0
"""Denied labels may be those of hard samples, if their share is below so many times the share of the held-out samples
that the fusion gets wrong: then half of them or more could be."""
PAIR, CONFUSED = 20, 0.2
"""Two classes are named if at least so many of their labels, and more than this share, are denied as each other."""
MOSTLY = 2 / 3
"""A modality that is ahead on this share of the samples, and does not lead, has that explained."""
LEARNT = 0.6
"""A model has learnt little that gives the labels of less than this share of its training samples."""


def conclusions(e: Evidence) -> list[str]:
    """What was found, one sentence per line, each starting with its topic; the strongest signal first."""
    balance = f"balance: {e.posterior}" if e.posterior else ""
    return [text for text in (_learnt(e), _heart(e), _broken(e), _swapped(e), _labels(e), _lead(e), balance) if text]


def _learnt(e: Evidence) -> str:
    """That the model knows too few of its own training samples for what follows to mean much; '' if it knows most."""
    if e.learnt >= LEARNT:
        return ""
    cure = (
        "a longer warm-up (--epochs) or another learning rate (--set optim.lr=...) comes first"
        if e.has_model
        else "predictions of a model that was trained longer would tell more"
    )
    return (
        f"learnt: the fusion is right on only {e.learnt:.0%} of the samples that it was trained on: what follows may "
        f"describe the model and not the data; {cure}"
    )


def _heart(e: Evidence) -> str:
    """Where accuracy differs between training and held-out samples, and what to do about it; '' if it does not."""
    if e.was_by_heart:
        return (
            f"memory: right on training and on validation samples: {e.was_by_heart}; so every sample was scored by a "
            "model that had not seen it"
        )
    if not e.apart or e.held_out is None:
        return ""
    rates = ", ".join(f"{m} {e.accuracy[m]:.0%} and {e.held_out.accuracy[m]:.0%}" for m in e.apart)
    if not e.by_heart:
        return f"memory: right on training and on held-out samples: {rates}; so gaps of training samples flatter it"
    cure = (
        "score out of fold, the same command with --folds 5"
        if e.has_model
        else "predict every sample by a model that was not trained on it, and score that"
    )
    return (
        f"by heart: right on training and on held-out samples: {rates}; gaps of samples known by heart say little, and "
        f"wrong labels and swapped clips may be missed: {cure}"
    )


def _broken(e: Evidence) -> str:
    """What is broken, how sure that is, and what to do."""
    if not e.verdicts:
        return f"broken: not known, usability was not measured{'' if e.has_model else '; see --embeddings'}"
    shown = "; ".join(f"{m}: {verdict}" for m, verdict in e.verdicts.items())
    columns = (("broken",) if e.broken else ()) + e.kinds
    if not columns:
        return f"broken: {shown}"
    asked = " OR ".join(f"{column} <> ''" for column in columns)
    return f"broken: {shown}; look at them: {_asking(e, columns, asked)}"


def _asking(e: Evidence, columns: Sequence[str], condition: str, order: str = "") -> str:
    """The command that lists the samples of this run that fulfil a condition."""
    if e.shown == "not":  # a newer run of the data set is in `samples`
        name = shlex.quote(e.run_id)
        return f'`curate export --run {name} --where "{condition}" -o {shlex.quote(e.run_id + ".csv")}`'
    own = f"run_id = {literal(e.run_id)} AND ({condition})" if e.shown == "among" else condition
    by = f" ORDER BY {order}" if order else ""
    return f'`curate sql "SELECT {", ".join(("sample_id", "label_name", *columns))} FROM samples WHERE {own}{by}"`'


def _swapped(e: Evidence) -> str:
    """How many clips probably belong to other samples, and what to do; of which modalities that was not judged."""
    reasons = {why: [m for m in e.unread if e.unread[m] == why] for why in e.unread.values()}
    unread = "; ".join(f"not judged of {_named(names)}: {why}" for why, names in reasons.items())
    if not e.swapped:
        return f"swapped: {unread}" if unread else ""
    shown = ", ".join(f"{count} of {m} ({count / e.samples:.1%})" for m, count in e.swapped.items())
    where = _asking(e, ["contradicts"], "contradicts <> ''")
    return (
        f"swapped: {shown} probably belong to other samples: they show another class, and the rest of the sample its "
        f"label; look at them: {where}{'; ' + unread if unread else ''}"
    )


def _named(names: Sequence[str]) -> str:
    """`a`, `a and b`, or `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def _labels(e: Evidence) -> str:
    """How many labels are probably wrong, and what to do; '' if none is, or if that is not known."""
    if e.withheld:
        return f"labels: not judged: {unjudged(e)}{_pair(e)}; contradiction_{e.decider} ranks them"
    if e.denied is None and not e.has_model:
        return f"labels: not judged of so many samples; the same command with --set score.labels_up_to={e.samples}"
    if not e.denied:
        return _elsewhere(e) or _against(e)
    over = " over the warm-up" if e.has_model else ""
    group = "in a group apart, or of copies" if e.verdicts else "in a group apart"  # without features none is known
    text = (
        f"labels: {e.denied} probably wrong ({e.denied / e.samples:.1%}), since {said_by(e)} preferred another "
        f"class{over}, as it does {group}; "
    )
    if e.decider != FUSED:
        text += f"it is asked alone, being right more often than the fusion on {e.unseen}; "
    if e.denied / e.samples < MAY_BE_HARD * (1 - e.reads):
        text += f"or hard: {_subject(e)} is wrong on {1 - e.reads:.0%} of {e.unseen}; "
    elif e.by_heart:
        text += "and maybe more: what is known by heart is denied less; "
    if e.unread and DAMAGE not in e.unread.values():  # without looks too, what others prefer is no wrong label
        text += f"or swapped clips, which {_named(tuple(e.unread))} cannot tell from wrong labels; "
    return f"{text}look at them: {_asking(e, [], 'p_mislabelled > 0.5', 'p_mislabelled DESC')}"


def said_by(e: Evidence) -> str:
    """By what prediction labels are judged."""
    return "the fused prediction" if e.decider == FUSED else f"the prediction by {e.decider}"


def _subject(e: Evidence) -> str:
    return "the fusion" if e.decider == FUSED else e.decider


def _against(e: Evidence) -> str:
    """That labels are denied though none is claimed to be wrong; '' if none is."""
    if e.denied is None or not e.against:
        return ""
    return (
        f"labels: no group of wrong ones is told apart; the fused prediction denies {e.against} "
        f"({e.against / e.samples:.1%}), which may be hard, or broken{_pair(e)}; look at them: "
        f"{_asking(e, [], 'contradiction_fused > 0.5', 'contradiction_fused DESC')}"
    )


def _pair(e: Evidence) -> str:
    """That two classes are taken for each other; '' if it is few of their samples, at most a fifth."""
    if e.confused is None:
        return ""
    one, two, denied, samples = e.confused
    if denied < PAIR or denied <= CONFUSED * samples:
        return ""
    return f"; {denied} of the {samples} of {one} and {two} as each other: hard to tell apart, or labelled as the other"


def unjudged(e: Evidence) -> str:
    """Why it is not judged which labels are wrong, and what may help."""
    if not e.judges_labels:
        return f"{_subject(e)} is right on only {e.reads:.0%} of {e.unseen}, and denies many that are merely hard"
    if e.folds or not e.has_model:
        return f"{_subject(e)} denies more of them than can be wrong: many are hard, or it is too sure of itself"
    return (
        f"{_subject(e)} denies more of them than held-out samples leave room for: many of these are hard, or it is too "
        "sure of itself, or held-out samples are labelled better; the same command with --folds 5 may tell"
    )


def _elsewhere(e: Evidence) -> str:
    """That held-out labels are wrong where of the training samples none is claimed; '' if none there is known to be.

    A model that knows its training samples far better is too sure of others for that.
    """
    if e.denied is None or e.held_out is None or not e.held_out.wrong or e.apart:
        return ""
    cure = "" if e.folds or not e.has_model else "; scored out of fold (--folds 5) they may be found"
    return (
        f"labels: of held-out ones at least {e.held_out.wrong:.0%} are probably wrong, but among the samples that were "
        f"trained on none is told apart{_pair(e)}{cure}"
    )


def _lead(e: Evidence) -> str:
    """Which modality leads: first on samples that were not trained on, then sample by sample."""
    known = e.judged_by
    per_sample = ", ".join(f"{m} on {e.ahead[m]:.0%}" for m in e.modalities if m in e.ahead)
    if known is None:
        rates = ", ".join(f"{m} {e.accuracy[m]:.0%}" for m in (*e.modalities, FUSED) if m in e.accuracy)
        return f"lead: right on the scored samples, no other are known: {rates}; sample by sample ahead: {per_sample}"
    rates = ", ".join(f"{m} {known.accuracy[m]:.0%}" for m in (*e.modalities, FUSED) if m in known.accuracy)
    what = {"val": "validation samples", "test": "test samples", "out of fold": "samples, out of fold"}
    first = f"{e.leading} leads" if e.leading else "no modality clearly leads"
    text = f"lead: {first}, right on {known.samples} {what.get(known.split, 'scored samples')}: {rates}"
    if e.at_chance:
        text += f", {e.at_chance} hardly more often than by guessing ({1 / e.classes:.0%})"
    if e.by_heart:
        return text
    carried = ", ".join(f"{m} {e.carried[m]:.0%}" for m in e.modalities if m in e.carried)
    text += f"; sample by sample ahead{_otherwise(e, known)}: {per_sample}"
    return f"{text}; called imbalanced and carried by: {carried}"


def _otherwise(e: Evidence, known: HeldOut) -> str:
    """How one modality can be ahead on most samples and not lead; '' if the one ahead leads, or none is on most."""
    first = max(e.ahead, key=lambda m: e.ahead[m], default="")
    if not first or first == e.leading or e.ahead[first] < MOSTLY:
        return ""
    trained, right = e.accuracy.get(first, 0.0), known.accuracy.get(first, 1.0)
    if known is e.held_out and differ(trained, right, known.samples, least=0.0):
        return (
            f", by the probability of the label, in training, where {first} is right on {trained:.0%} and may know "
            "much by heart"
        )
    return ", by the probability of the label and not by how often it is right"
