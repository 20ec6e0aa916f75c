"""What a sample looks or sounds like at the lowest level: statistics of an encoder's first two stages.

Deeper layers encode what a sample *is* and have memorised it: samples that are close there are alike in how well they
were memorised, which shows nothing about whether a modality is broken.

Letters: N samples, B batch, C channels, D appearance statistics.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor, nn

from curate.datasets.decoded import SIDE, coarse
from curate.scores.guard import DEEP
from curate.scores.references import BANK, main_axes
from curate.scores.vectors import vector_looks
from curate.scores.wordings import wordings
from curate.specs import UNKNOWN
from curate.torch.heads import channel_statistics
from curate.train.data.samples import RunData, Samples
from curate.train.loop.engine import Trainer
from curate.types import Floats

TOPICS = 24
"""Main axes of texts: of a few dozen of them, a classifier reads as much from so many as from their words."""
CHUNK = 512
"""Samples read at once."""
IDS = np.int32
"""Kind of the ids of texts, which nothing else has."""
COARSE = SIDE**2
"""Main axes of features, as many as there are numbers of coarse content."""


def early_layers(encoder: nn.Module) -> tuple[nn.Module, ...]:
    """The layers that end the first two stages of an encoder of pictures or clips; () of any other encoder."""
    return getattr(encoder, "early", ())


def is_deep(encoder: nn.Module) -> bool:
    """Whether an encoder gives only its final features, as those of texts and of features computed beforehand do."""
    return not early_layers(encoder)


@torch.no_grad()
def appearance(trainer: Trainer, data: RunData, samples: Samples) -> dict[str, Floats]:
    """{modality: (N, D)} in eval mode and un-augmented: spatial mean and standard deviation of each channel.

    The statistics are averaged over frames. For an encoder without early layers they are its features, see `is_deep`.
    """
    model = trainer.evaluated
    model.eval()
    trainer.transform.eval()
    parts: dict[str, list[Tensor]] = {m: [] for m in model.modalities}
    for raw in data.ordered_batches(samples):
        batch = trainer.transform(raw.to(trainer.device))
        for m in model.modalities:
            encoder = model.encoders.get_submodule(m)
            with _watched(early_layers(encoder)) as seen:
                features = model.encode({m: batch.inputs[m]})[m]
            found = torch.cat([channel_statistics(x, len(features)) for x in seen], dim=1) if seen else features
            parts[m].append(found.double().cpu())
    return {m: torch.cat(p).numpy().astype(np.float64) for m, p in parts.items()}


def patterns(samples: Samples, modality: str) -> Floats | None:
    """(N, <= 64) coarse content of pictures or sounds, see `decoded.coarse`, of texts by their words, see `topics`, and
    of features computed beforehand their places on the main axes; None of other modalities.

    What an encoder that was trained makes of them would not do: it tells the class of what it knows by heart.
    """
    array, rows = samples.cache.arrays[modality], samples.rows
    parts = _parts(rows)
    if array.dtype == IDS:
        return topics(array, rows)
    if array.dtype.kind != "f":  # features alone are kept as they are
        known = [part for part in (coarse(array[own]) for own in parts) if part is not None]
        return np.concatenate(known) if known else None
    centre, spread, axes = main_axes(np.asarray(array[_few(rows)], dtype=np.float64), COARSE)
    return np.concatenate([(array[own] - centre) / spread @ axes for own in parts])


def topics(array: NDArray[np.int32], rows: NDArray[np.int64]) -> Floats | None:
    """(N, <= 24) main axes of how often texts have each known word, weighted by how few of them have it; None if no
    word is known."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.pipeline import make_pipeline

    few = _few(rows)
    known = max((int(array[own].max()) for own in _parts(few)), default=0) - UNKNOWN
    if known < 1:
        return None

    def counted(own: NDArray[np.int64]) -> csr_array:
        """(n, V) how often each word that any of the few has is in a text."""
        words = array[own].astype(np.int64) - UNKNOWN - 1
        at, place = np.nonzero((words >= 0) & (words < known))
        return csr_array((np.ones(len(at)), (at, words[at, place])), shape=(len(own), known))

    axes = TruncatedSVD(min(TOPICS, len(few), known), random_state=0)
    reader = make_pipeline(TfidfTransformer(sublinear_tf=True), axes).fit(counted(few))
    return np.concatenate([reader.transform(counted(own)) for own in _parts(rows)])


def looks(seen: Samples, unseen: Samples, modality: str) -> tuple[Floats, Floats] | str:
    """(N, S) and (H, S) how the vectors of training and of other samples look, see `curate.scores.vectors`, or their
    texts, see `curate.scores.wordings`.

    Of other media, of vectors of a few numbers, and of texts of a few words, why there is none, in words.
    """
    array, few = seen.cache.arrays[modality], _few(seen.rows)
    if array.dtype == IDS:
        texts = wordings(array[few])
        if isinstance(texts, str):
            return texts
        first = [texts.of(array[own], np.isin(own, few)) for own in _parts(seen.rows)]
        return np.concatenate(first), np.concatenate([texts.of(array[own]) for own in _parts(unseen.rows)])
    if array.dtype.kind != "f":  # features alone are kept as they are
        return DEEP
    found = vector_looks(array[few])
    if isinstance(found, str):
        return found
    of, members = found
    bank = few[members]
    first = [of.of(array[own], np.isin(own, bank)) for own in _parts(seen.rows)]
    return np.concatenate(first), np.concatenate([of.of(array[own]) for own in _parts(unseen.rows)])


def _parts(rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Rows in parts that are read at once."""
    return [rows[i : i + CHUNK] for i in range(0, len(rows), CHUNK)]


def _few(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Some of the rows, ascending, from which it is learnt how features vary."""
    return np.sort(np.random.default_rng(0).permutation(rows)[:BANK])


@contextmanager
def _watched(layers: tuple[nn.Module, ...]) -> Iterator[list[Tensor]]:
    """The outputs of the layers during one forward, in order."""
    seen: list[Tensor] = []
    hooks = [layer.register_forward_hook(lambda _, __, output: seen.append(output)) for layer in layers]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
