"""What saved predictions say of labels and, with features of the samples, of usability.

Embeddings are deep features. Look-alikes among them are similar in content, and also in how well they were memorised:
usability from them only ranks samples; nothing is claimed. Recorded statistics of a model's first layers, with those of
validation samples, show whether a group of samples is broken, as in the project's own training. Which labels are wrong
is judged without any.

Letters: N samples, M modalities, E epochs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from curate.scores import labels
from curate.scores.bounds import decider, read_at_least, wrong_among
from curate.scores.gap import log_margin, true_class_probability
from curate.scores.guard import Labels
from curate.scores.heart import epoch_weights
from curate.scores.labels import Denied, contradicted, vouched
from curate.scores.metrics import accuracy
from curate.scores.preferences import Preferences, preferences
from curate.scores.sureness import softened, temperature
from curate.scores.usability import Evidence, Usability, assess, contradiction
from curate.types import FUSED, Floats, Predictions

from .embeddings import Recorded


def judge(
    epochs: Sequence[Predictions],
    features: Recorded,
    validated: Mapping[str, Floats] | None = None,
    unseen: Predictions | None = None,
) -> tuple[Usability, Floats, Denied]:
    """Usability; the (N, M + 1) contradiction of the labels, the last by the fused prediction; and what is denied.

    All are computed from means over all epochs: samples that were learnt late, or never, then differ from the others.
    A single epoch of a model that has memorised its training samples carries little information. Without held-out
    samples nothing is claimed of usability.

    Args:
        epochs: predictions of the same N samples in each of E epochs.
        features: of the same.
        validated: {modality or "fused": (E,) share of held-out samples that it is right on}: what is denied then comes
            from weighted means, see `heart.epoch_weights`; None or {}: not known.
        unseen: predictions of held-out samples, which show how many labels can be wrong; None: those of the samples
            themselves show it, as they do if these are out of fold.
    """
    found = assess(epochs[0].sample_ids, _evidence(epochs, features), len(epochs[0].classes))
    return found, contradictions(epochs), _denied(epochs, validated, unseen, found, list(features.training.values()))


def judge_labels(
    epochs: Sequence[Predictions],
    validated: Mapping[str, Floats] | None = None,
    unseen: Predictions | None = None,
) -> tuple[Floats, Floats]:
    """The same without features: (N, M + 1) contradiction of the labels, and (N,) probability that a label is wrong.

    Whether a clip is swapped is not judged: damage may be read as another class, which only its look tells. But a label
    that one modality denies and the others prefer is not called wrong in either case.
    """
    return contradictions(epochs), _denied(epochs, validated, unseen).p_mislabelled


def contradictions(epochs: Sequence[Predictions]) -> Floats:
    """(N, M + 1) `usability.contradiction` of the labels over the epochs, the last by the fused prediction."""
    given = epochs[0].labels
    names = (*epochs[0].modalities, FUSED)
    return np.stack(
        [contradiction(np.mean([log_margin(p.probs[m], given) for p in epochs], axis=0)) for m in names], axis=1
    )


def _evidence(epochs: Sequence[Predictions], features: Recorded) -> dict[str, Evidence]:
    """{modality: what its usability is judged by}."""
    held, nothing, given = features.held, np.empty(0), epochs[0].labels
    known_labels = None if held is None else Labels(given, held.labels, epochs[0].classes)
    evidence = {}
    for modality, values in features.training.items():
        p_true = np.mean([true_class_probability(p.probs[modality], given) for p in epochs], axis=0)
        known = nothing if held is None else true_class_probability(held.probs[modality], held.labels)
        seen = features.validation.get(modality, nothing)
        evidence[modality] = Evidence(
            p_true, values, known, seen, held is None, known_labels, unlooked=features.unlooked
        )
    return evidence


def _denied(
    epochs: Sequence[Predictions],
    validated: Mapping[str, Floats] | None,
    unseen: Predictions | None,
    found: Usability | None = None,
    looks: Sequence[Floats] = (),
) -> Denied:
    """Which labels are wrong and which clips are swapped; without usability and looks, damage may be taken for the
    latter.

    A model that is too sure of itself on held-out samples, or on these without any, is made less so. But where no label
    is judged by its predictions as they are, as it is where too much is denied, none is.
    """
    known, held = (validated, found, looks), epochs[0] if unseen is None else unseen
    judged = _as_given(epochs, unseen, *known)
    sure = {m: temperature(p, held.labels) for m, p in held.probs.items()}
    if max(sure.values()) == 1 or np.isnan(judged.p_mislabelled).all():
        return judged
    return _as_given([_softened(p, sure) for p in epochs], None if unseen is None else _softened(unseen, sure), *known)


def _as_given(
    epochs: Sequence[Predictions],
    unseen: Predictions | None,
    validated: Mapping[str, Floats] | None,
    found: Usability | None,
    looks: Sequence[Floats],
) -> Denied:
    """The same, by probabilities as they are given."""
    given, names = epochs[0].labels, epochs[0].modalities
    by = FUSED if unseen is None else decider(unseen)
    preferred = _preferred(epochs, validated, unseen, FUSED)
    if by != FUSED:
        preferred = preferred.led_by(names.index(by), _preferred(epochs, validated, unseen, by))
    p_broken = np.zeros((len(given), len(names))) if found is None else found.p_broken
    looked = () if found is None else tuple(found.looks.values())
    if unseen is None:
        wrong = labels.own_bounds(preferred, given, p_broken, looks=looked)
        right_on = 1 - float(preferred.decided(given)[1].mean())
    else:
        wrong, right_on = wrong_among(unseen, by), accuracy(unseen.probs[by], unseen.labels)
    return labels.judge(
        preferred,
        given,
        p_broken,
        read_at_least(right_on, wrong.least),
        vouches=vouched(looks, given) if looks else None,
        wrong=wrong,
        looks=looked,
        copies=contradicted(looks, given) if looks else None,
    )


def _preferred(
    epochs: Sequence[Predictions], validated: Mapping[str, Floats] | None, unseen: Predictions | None, by: str
) -> Preferences:
    """What was preferred, with epochs weighted by what `by` does not know by heart, where that is known."""
    given, weights = epochs[0].labels, None
    if validated and unseen is not None:
        right = np.array([accuracy(p.probs[by], given) for p in epochs])
        weights = epoch_weights(right, validated, len(unseen.labels), by)
    return preferences((p.probs for p in epochs), epochs[0].modalities, given, weights)


def _softened(predictions: Predictions, sure: Mapping[str, float]) -> Predictions:
    """Predictions of which each modality and the fusion has a temperature of its own."""
    return replace(predictions, probs={m: softened(p, sure[m]) for m, p in predictions.probs.items()})
