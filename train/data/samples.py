"""Batches from the memory-mapped cache, and the transforms that turn them into network inputs.

Letters: B batch, F frames, T waveform samples, M modalities, P pairs of modalities.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
import torchaudio
from numpy.typing import NDArray
from scipy import signal
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler
from typing_extensions import override

from curate.datasets.cache import Cache
from curate.specs import GREY, IMAGENET, AudioSpec, ClipSpec, FeatureSpec, InputSpec, TextSpec, VisualSpec
from curate.train.models.energies import KaldiEnergies
from curate.types import Floats

from .augment import Augment, shifted
from .crops import Clips, random_boxes, resized_crops
from .plain import Tokens, Waveform

Split = Literal["fit", "val"]


@dataclass(frozen=True)
class Batch:
    """B samples.

    Attributes:
        sample_ids: (B,) strings.
        inputs: {modality: raw from the cache, or after the transform the network's input}.
        labels: (B,) class indices.
        p_balanced: (B, P) posterior of the balanced component from the table, or None.
        p_broken: (B, M) guarded probability that a modality is broken, from the table, or None.
    """

    sample_ids: NDArray[np.str_]
    inputs: dict[str, Tensor]
    labels: Tensor
    p_balanced: Tensor | None = None
    p_broken: Tensor | None = None

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory, from which copies to a GPU are faster."""
        return self._map(lambda t: t.pin_memory())

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        return self._map(lambda t: t.to(device, non_blocking=True))

    def _map(self, move: Any) -> Batch:
        weights, broken = (None if x is None else move(x) for x in (self.p_balanced, self.p_broken))
        return Batch(self.sample_ids, {m: move(x) for m, x in self.inputs.items()}, move(self.labels), weights, broken)


class Samples(Dataset[Any]):
    """Some rows of a cache, read a batch at a time.

    Args:
        cache: the memory-mapped arrays.
        sample_ids: (N,) the samples, in this order.
        labels: (N,) class indices.
        p_balanced: (N, P) posteriors in the same order, or None.
        p_broken: (N, M) in the same order, or None.
    """

    def __init__(
        self,
        cache: Cache,
        sample_ids: NDArray[np.str_],
        labels: NDArray[np.int64],
        p_balanced: Floats | None = None,
        p_broken: Floats | None = None,
    ) -> None:
        self.cache = cache
        self.sample_ids = sample_ids
        self.labels = labels
        self.p_balanced = p_balanced
        self.p_broken = p_broken
        self.rows = cache.rows(sample_ids)

    def __len__(self) -> int:
        return len(self.sample_ids)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        index = np.asarray(indices)
        rows = self.rows[index]
        return Batch(
            self.sample_ids[index],
            {m: torch.from_numpy(np.asarray(a[rows])) for m, a in self.cache.arrays.items()},
            torch.from_numpy(self.labels[index]),
            *(None if x is None else torch.from_numpy(x[index]).float() for x in (self.p_balanced, self.p_broken)),
        )

    def subset(self, keep: NDArray[np.bool_]) -> Samples:
        """The samples where an (N,) mask is True."""
        weights, broken = (None if x is None else x[keep] for x in (self.p_balanced, self.p_broken))
        return Samples(self.cache, self.sample_ids[keep], self.labels[keep], weights, broken)

    def weighted(self, p_balanced: Floats | None) -> Samples:
        """The same samples with these (N, P) posteriors."""
        return Samples(self.cache, self.sample_ids, self.labels, p_balanced, self.p_broken)

    def judged(self, p_broken: Floats | None) -> Samples:
        """The same samples with these (N, M) probabilities of being broken."""
        return Samples(self.cache, self.sample_ids, self.labels, self.p_balanced, p_broken)

    def relabelled(self, labels: NDArray[np.int64]) -> Samples:
        """The same samples with other labels, (N,) class indices."""
        return Samples(self.cache, self.sample_ids, labels, self.p_balanced, self.p_broken)


@dataclass(frozen=True)
class RunData:
    """The data that a training run may use: it has no test split.

    Attributes:
        fit: the samples trained on.
        val: the samples by which the epoch is chosen.
        specs: {modality: its stored form}.
        batch_size: samples per step.
        eval_batch_size: samples per forward in evaluation.
        seed: of shuffling and augmentation.
        workers: loader processes; 0 reads in this one.
        augment: the augmentation of training batches, besides the data set's own.
    """

    fit: Samples
    val: Samples
    specs: Mapping[str, InputSpec]
    batch_size: int
    eval_batch_size: int
    seed: int
    workers: int = 0
    augment: Augment = "dataset"

    def with_fit(self, samples: Samples) -> RunData:
        """The same data with other training samples."""
        return replace(self, fit=samples)

    def training_batches(self, epoch: int, order: Sequence[int] | None = None) -> Iterator[Batch]:
        """The batches of an epoch, the last one possibly smaller; shuffled, as a function of (seed, epoch) alone.

        Args:
            order: positions of the samples to read, in their order; None is all of them, shuffled.
        """
        generator = torch.Generator().manual_seed(mix_seed(self.seed, epoch))
        sampler = RandomSampler(self.fit, generator=generator) if order is None else order
        return iter(self._loader(self.fit, BatchSampler(sampler, self.batch_size, drop_last=False)))

    def ordered_batches(self, samples: Samples) -> Iterator[Batch]:
        """Every sample once, in order."""
        sampler = SequentialSampler(samples)
        return iter(self._loader(samples, BatchSampler(sampler, self.eval_batch_size, drop_last=False)))

    def _loader(self, samples: Samples, batches: BatchSampler) -> DataLoader[Any]:
        return DataLoader(
            samples,
            batch_sampler=batches,
            collate_fn=_as_it_is,
            num_workers=self.workers,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator().manual_seed(0),  # otherwise every pass draws from the global generator
        )


def _as_it_is(batch: Any) -> Any:
    """The batch as `Samples.__getitems__` made it."""
    return batch


def mix_seed(seed: int, *parts: int) -> int:
    """A seed for one use in a run (`parts`), unrelated to those of all other uses."""
    return int(np.random.SeedSequence([seed, *parts]).generate_state(1, np.uint64)[0] >> 1)


class Spectrogram(nn.Module):
    """Waveforms (B, T) int16 to log spectrograms (B, 1, bins, frames)."""

    def __init__(self, spec: AudioSpec) -> None:
        super().__init__()
        self.standardize = spec.standardize
        self.columns = spec.columns
        self.net: nn.Module
        if spec.features == "spectrogram":
            self.net = PowerDensity(spec)
        elif spec.n_mels is None:
            self.net = torchaudio.transforms.Spectrogram(spec.n_fft, hop_length=spec.hop, power=1.0)
        else:
            self.net = torchaudio.transforms.MelSpectrogram(
                spec.rate, spec.n_fft, hop_length=spec.hop, n_mels=spec.n_mels, power=2.0
            )

    @override
    def forward(self, waveforms: Tensor) -> Tensor:
        x = torch.log(self.net(waveforms.float() / 32767) + 1e-7)
        if self.standardize:
            x = (x - x.mean((1, 2), keepdim=True)) / (x.std((1, 2), keepdim=True) + 1e-6)
        return fit_columns(x, self.columns).unsqueeze(1)


def fit_columns(x: Tensor, columns: int | None) -> Tensor:
    """(B, bins, any) to (B, bins, columns), cut or filled with zeros at the end; None leaves it unchanged."""
    return x if columns is None else nn.functional.pad(x[..., :columns], (0, max(columns - x.shape[-1], 0)))


class PowerDensity(nn.Module):
    """Waveforms (B, T) to power spectral densities (B, bins, frames) in 1/Hz.

    As `scipy.signal.spectrogram` with its defaults, for a batch: each frame minus its mean, times a Tukey window with a
    tapered quarter. The spectrum is one-sided, so bins between 0 Hz and half the rate count twice.
    """

    window: Tensor
    weights: Tensor

    def __init__(self, spec: AudioSpec) -> None:
        super().__init__()
        self.size, self.hop = spec.n_fft, spec.hop
        window = signal.get_window(("tukey", 0.25), spec.n_fft)
        weights = np.full((spec.n_fft // 2 + 1, 1), 2.0)
        weights[0] = 1
        if spec.n_fft % 2 == 0:
            weights[-1] = 1
        self.register_buffer("window", torch.from_numpy(window).float(), persistent=False)
        scaled = torch.from_numpy(weights / (spec.rate * (window**2).sum())).float()
        self.register_buffer("weights", scaled, persistent=False)

    @override
    def forward(self, waveforms: Tensor) -> Tensor:
        frames = waveforms.unfold(-1, self.size, self.hop)
        frames = (frames - frames.mean(-1, keepdim=True)) * self.window
        result: Tensor = torch.fft.rfft(frames).abs().square().mT * self.weights
        return result


class FilterBank(KaldiEnergies):
    """Waveforms (B, T) int16 to Kaldi log mel energies (B, 1, bands, columns), normalised.

    As `torchaudio.compliance.kaldi.fbank` with hanning window, no dither and no energy, for a batch, on waveforms minus
    their mean, in [-1, 1]. Normalised by the mean and twice the standard deviation of AudioSet, as in public loaders of
    Kinetics-Sounds. Those loaders fill with zeros before they normalise, so absent columns become 0.44 and silence
    -1.11. Here absent columns are 0: those beyond the clip, and those whose samples are all fill. The loaders also use
    the order (time, band); here, as everywhere, frequency comes first.
    """

    MEAN, SPREAD = -4.503877, 2 * 5.141276

    def __init__(self, spec: AudioSpec) -> None:
        if spec.n_mels is None:
            raise ValueError("a filter bank needs n_mels")
        super().__init__(spec.rate, spec.n_fft, spec.n_mels)
        self.hop, self.columns = spec.hop, spec.columns

    @override
    def forward(self, waveforms: Tensor) -> Tensor:
        ends = trailing_zeros_from(waveforms)
        inside = torch.arange(waveforms.shape[1], device=waveforms.device) < ends[:, None]
        x = waveforms.float() / 32767
        mean = x.sum(1, keepdim=True) / ends[:, None].clamp(min=1)
        frames = torch.where(inside, x - mean, 0.0).unfold(1, self.size, self.hop)
        energies = self.log_energies(frames)
        begins = torch.arange(frames.shape[1], device=waveforms.device) * self.hop
        heard = (begins < ends[:, None])[:, None, :]
        x = torch.where(heard, (energies - self.MEAN) / self.SPREAD, 0.0)
        return fit_columns(x, self.columns).unsqueeze(1)


def trailing_zeros_from(waveforms: Tensor) -> Tensor:
    """(B,) the index at which the zeros at the end of each row of (B, T) begin."""
    places = torch.arange(1, waveforms.shape[1] + 1, device=waveforms.device)
    return ((waveforms != 0) * places).amax(1)


class Frames(nn.Module):
    """Frames (B, F, H, W, C) uint8 to normalised (B, F, C, H, W); in training, each clip is augmented at random."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, spec: VisualSpec) -> None:
        super().__init__()
        mean, deviation = IMAGENET if spec.channels == 3 else GREY
        self.register_buffer("mean", 255 * torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("deviation", 255 * torch.tensor(deviation)[:, None, None], persistent=False)
        self.size = spec.size
        self.augment = spec.augment == "crop_flip"

    @override
    def forward(self, frames: Tensor) -> Tensor:
        if self.training and self.augment:
            count, _, height, width, _ = frames.shape
            boxes, flipped = random_boxes(count, height, width), torch.rand(count) < 0.5
            x = resized_crops(frames, boxes, flipped, self.size)
        else:
            x = frames.movedim(-1, 2).to(torch.float32, memory_format=torch.contiguous_format)
        return x.sub_(self.mean).div_(self.deviation)


def transform_of(spec: InputSpec) -> nn.Module:
    """The transform from a modality's cached rows to its network input."""
    if isinstance(spec, AudioSpec) and spec.features == "waveform":
        return Waveform()
    if isinstance(spec, AudioSpec):
        return FilterBank(spec) if spec.features == "fbank" else Spectrogram(spec)
    if isinstance(spec, FeatureSpec):
        return nn.Identity()
    if isinstance(spec, TextSpec):
        return Tokens()
    if isinstance(spec, ClipSpec):
        return Clips(spec, *(IMAGENET if spec.channels == 3 else GREY))
    return Frames(spec)


class BatchTransform(nn.Module):
    """Raw batches to network inputs, on the device. Augments in training mode only.

    Args:
        specs: {modality: its stored form}.
        augment: `dataset` is the data set's own augmentation; `shift` adds the plain one, see `augment`.
    """

    def __init__(self, specs: Mapping[str, InputSpec], augment: Augment = "dataset") -> None:
        super().__init__()
        self.specs = dict(specs)
        self.augment = augment
        self.nets = nn.ModuleDict({m: transform_of(spec) for m, spec in specs.items()})
        self.has_clips = any(isinstance(net, Clips) for net in self.nets.values())

    @torch.no_grad()
    def forward(self, batch: Batch, seed: int = 0) -> Batch:
        """The batch with transformed inputs; the augmentation depends only on `seed`.

        All clips of a sample are cropped at the same random place in all its modalities.
        """
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            place = torch.rand(len(batch.labels), 3) if self.training and self.has_clips else None
            inputs = {
                m: net(batch.inputs[m], place) if isinstance(net, Clips) else net(batch.inputs[m])
                for m, net in self.nets.items()
            }
            if self.training and self.augment == "shift":
                inputs = {m: shifted(x, self.specs[m]) for m, x in inputs.items()}
            return replace(batch, inputs=inputs)


class DataView:
    """The data that a method may read between its steps: the run's training and validation samples, never a test split.

    Batches are network inputs on the device. Reading them does not use the global random numbers.
    """

    def __init__(self, data: RunData, device: torch.device) -> None:
        self._data = data
        self._device = device
        self._plain = BatchTransform(data.specs).to(device).eval()
        self._augmenting = BatchTransform(data.specs, data.augment).to(device).train()

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return -(-len(self._data.fit) // self._data.batch_size)

    def ordered(self, split: Split = "fit") -> Iterator[Batch]:
        """Every sample of a split once, in order, un-augmented."""
        samples = self._data.fit if split == "fit" else self._data.val
        for raw in self._data.ordered_batches(samples):
            yield self._plain(raw.to(self._device))

    def shuffled(self, *key: int) -> Iterator[Batch]:
        """The training samples in an order and augmentation that depend on `key`, for training a copy of the model."""
        seed = mix_seed(self._data.seed, 4, *key)
        for step, raw in enumerate(replace(self._data, seed=seed).training_batches(0)):
            yield self._augmenting(raw.to(self._device), mix_seed(seed, step))
