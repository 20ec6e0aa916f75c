"""A data set that grew: find the samples without a score, and score them while the others keep theirs.

The fitted mixture is applied to the new samples and not fitted again: no existing posterior changes. A grown run
contains all samples, those of the old run too; it does not need the old run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray

from curate.config import build
from curate.errors import CurateError, counted
from curate.render import Message
from curate.scores import gap
from curate.scores.scoring import MixtureConfig, prepared, under
from curate.store.items import Items
from curate.store.store import Store
from curate.types import Predictions, Run, pair_name


def missing(store: Store, scored: Run, labels: Mapping[str, str]) -> NDArray[np.str_]:
    """The ids, ascending, that a run has not scored.

    Args:
        labels: {sample_id: class name} of all that are to have a score.

    Raises:
        CurateError: a scored sample has another label now, so its score is no longer valid.
    """
    known = store.rounds.labels(scored.run_id)
    refuse_relabelled(scored, sorted(i for i, label in labels.items() if known.get(i, label) != label))
    return np.array(sorted(labels.keys() - known.keys()), dtype=np.str_)


def refuse_relabelled(scored: Run, changed: Sequence[str]) -> None:
    """Check that no scored sample has another label now.

    Raises:
        CurateError: some have; their scores are no longer valid.
    """
    if changed:
        shown = ", ".join(changed[:8]) + (", ..." if len(changed) > 8 else "")
        raise CurateError(
            f"{counted(len(changed), 'sample has', 'samples have')} "
            f"another label than when {scored.run_id} scored them: {shown}",
            "score all of them again, without --only-missing",
        )


def tell_changed(scored: Run, count: int, message: Message) -> None:
    """Say that scored samples are in another split or group now, or have another status, where nothing is new."""
    if count:
        message(
            f"note: {counted(count, 'sample is', 'samples are')} in another split or group than when {scored.run_id} "
            "scored them, or usable no longer or only now; to store that, score all of them, without --only-missing"
        )


def refuse_unlike(scored: Run, classes: Sequence[str], modalities: Sequence[str]) -> None:
    """Check that new samples can have scores under the mixture of a run: before any work.

    Raises:
        CurateError: classes or modalities differ, or the mixture was fitted to averages over epochs.
    """
    pairs = (("classes", classes, scored.classes), ("modalities", modalities, scored.modalities))
    for what, now, before in pairs:
        if tuple(now) != tuple(before):
            raise CurateError(
                f"the {what} are {', '.join(now)}, {scored.run_id} has {', '.join(before)}",
                "score all of them again, without --only-missing",
            )
    if mixture_of(scored).average == "warmup":
        raise CurateError(
            f"the gaps of {scored.run_id} are averaged over its warm-up, which the new samples were not in",
            f"score all of them again, or fit the last epoch first: `curate score --refit {scored.run_id} "
            "--set score.average=last`",
        )


def write_grown(
    store: Store,
    scored: Run,
    grown: Run,
    kept: NDArray[np.str_] | None,
    predictions: Predictions,
    others: Sequence[Predictions] = (),
    items: Items | None = None,
) -> None:
    """Round 0 of a grown run: new predictions under the mixture of the scored run, and the kept samples' rows.

    Args:
        kept: samples that were scored and still belong to the data; None if all do, which is cheaper: the rows of the
            scored run then belong to the grown run too, and none is copied.
        predictions: of the samples that were not scored.
        others: of samples that were not scored and lack a modality, by the modalities that they have.
        items: those that are new in the data set, if they are not in the table yet.

    Raises:
        CurateError: classes or modalities differ, or the mixture was fitted to averages over epochs.
    """
    refuse_unlike(scored, grown.classes, grown.modalities)
    config = mixture_of(scored)
    seen = replace(predictions, in_sample=np.zeros(len(predictions.labels), dtype=np.bool_))
    predicted = gap.known(seen)
    gaps = prepared(gap.both_gaps(predicted), predicted, config, None)
    fits = store.rounds.fits(scored.run_id)
    found = under(tuple(fits[pair_name(pair)] for pair in gaps.pairs), gaps, config)
    known = (scored.run_id, kept)
    results = (gaps, found.fits, found.p_balanced, config.gap, found.p_ahead)
    store.rounds.write(grown.run_id, 0, seen, *results, known, others, items)


def mixture_of(scored: Run) -> MixtureConfig:
    """The settings that a run's mixtures were fitted with."""
    names = [f.name for f in fields(MixtureConfig)]
    return build(MixtureConfig, {k: v for k, v in scored.config["score"].items() if k in names}, "score")


def note(count: int, scored: Run) -> str:
    """The note of a grown run."""
    return f"{counted(count, 'new sample')} by {scored.run_id}"
