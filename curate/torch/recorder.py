"""Predictions of a training loop of one's own, kept epoch by epoch and scored without another pass."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from curate.arguments import described, need, one_of
from curate.errors import CurateError, counted, shorten
from curate.files.here import recording_here
from curate.files.shards import newest_epochs, read_shards, recorded_classes, shard_name, write_shard
from curate.predictions.recorded import other_samples
from curate.predictions.score import fit_newest
from curate.store.names import MODALITY, name_hint
from curate.table import Table
from curate.types import FUSED, Round, Run

from .processes import place, wait_for_all
from .rows import listed, texts

LOG = logging.getLogger(__name__)
Values = Tensor | NDArray[Any] | Sequence[Sequence[float]]
Split = Literal["train", "val", "test"]
ROWS = 100_000
"""Rows that are kept in memory before they go to a file."""
FEATURE_BYTES = 1 << 26
"""Bytes of features that are kept in memory before they go to a file."""


class Recorder:
    """Records what a model predicts for each sample, by modality, in Parquet files that any tool reads.

        recorder = Recorder("recorded", classes=["bark", "horn"])
        for epoch in range(10):
            with recorder.epoch(split="train"):
                for ids, labels, inputs in loader:
                    outputs = model(**inputs)
                    ...
                    recorder.add(ids, labels, {"audio": outputs.audio, "visual": outputs.visual}, fused=outputs.fused)
        run = recorder.score("curate.duckdb")

    Works alike in one process and in several (`torch.distributed`, or the variables RANK and WORLD_SIZE): each writes
    files of its own. What is recorded of an epoch appears at its end; a killed run leaves complete epochs, and
    another recorder of the folder goes on after them.

    Args:
        folder: where the files go, on this machine; made if need be. It belongs to one run: clear it before a training
            from the start.
        classes: class names, in the order of the logits.
        values: what is given to `add`: `logits`, or `probabilities` that add up to one.
        features: what is given to `add` as features. `deep`, those of the last layers, rank samples by usability;
            `early`, statistics of the first layers (see `channel_statistics`), recorded of validation samples too, can
            show that a group of samples is broken, as in the project's own training.
        rows: how many are kept in memory before they go to a file; features of at most 64 MiB are.

    Raises:
        CurateError: class names repeat, are fewer than two, or not those that the folder was recorded with; the folder
            is on another machine.
        ValueError: `values` or `features` is not known, `rows` is no whole number above 0, or `classes` no list.
    """

    def __init__(
        self,
        folder: str | Path,
        classes: Sequence[str],
        *,
        values: Literal["logits", "probabilities"] = "logits",
        features: Literal["deep", "early"] = "deep",
        rows: int = ROWS,
    ) -> None:
        one_of("values", values, ("logits", "probabilities"))
        one_of("features", features, ("deep", "early"))
        need("rows", rows, int)
        if isinstance(classes, str) or not isinstance(classes, Iterable):
            raise ValueError(f"classes is a list of class names, got {described(classes)}")
        if rows < 1:
            raise ValueError(f"rows is 1 or more, got {rows}")
        self.folder, self.classes, self.rows = recording_here(folder), tuple(map(str, classes)), rows
        self.values, self.features = values, features
        if len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            raise CurateError(
                f"a recorder takes two or more class names, each once, got {list(self.classes)}",
                "give them in the order of the logits",
            )
        self.process, self.processes = place()
        self._position = {name: i for i, name in enumerate(self.classes)}
        self._modalities: tuple[str, ...] = ()
        self._numbers = newest_epochs(self.folder)
        if self._numbers:
            self._check_classes()
            there = ", ".join(f"{number} of {split}" for split, number in self._numbers.items())
            LOG.warning("%s holds epochs up to %s: it goes on after them; clear it for another run", folder, there)
        self._open: _Epoch | None = None
        self._compared = False

    def _check_classes(self) -> None:
        there = recorded_classes(self.folder)
        if there != self.classes:
            raise CurateError(
                f"{self.folder} was recorded with the classes {shorten(list(there))}, given are "
                f"{shorten(list(self.classes))}",
                "give the same in the same order; for another run clear the folder, or name a new one",
            )

    @contextmanager
    def epoch(self, split: Split = "train", number: int | None = None, moving: bool = False) -> Iterator[None]:
        """An epoch of a split: what is added inside appears in the folder at its end, or not at all.

        Args:
            split: of the samples that are added; `train` is what is scored, `val` judges what was memorised.
            number: of the epoch, 1 or more; left out, one more than the last of this split in the folder. One that is
                there already is replaced.
            moving: whether the weights change meanwhile, as in a training step. A sample that a padding sampler gave to
                two processes then has two predictions, and the first process's count; without it that is an error.

        Raises:
            CurateError: another epoch is open, nothing was added, the split is not known, or a number is below 1.
        """
        if self._open is not None:
            raise CurateError("an epoch is recorded already", "end it before the next begins")
        _check_split(split)
        number = self._numbers.get(split, 0) + 1 if number is None else int(number)
        if number < 1:
            raise CurateError(f"epochs are counted from 1, got {number}", "leave number out, or add 1 to yours")
        self._open = _Epoch(self.folder, split, number, self.process, self.processes, self.rows, moving)
        self.folder.mkdir(parents=True, exist_ok=True)  # without a complete epoch it is a recording too
        self._open.clear()  # what a killed run left
        try:
            yield
            self._open.close()
            self._numbers[split] = max(number, self._numbers.get(split, 0))
            if split == "train" and self.processes == 1 and not self._compared:
                self._compared = number > 1  # said once, long before `score` refuses it
                if said := other_samples(self.folder, number):
                    LOG.warning("%s", said)
        finally:
            self._open.clear()
            self._open = None

    def add(
        self,
        sample_ids: Sequence[Any] | NDArray[Any] | Tensor,
        labels: Sequence[Any] | NDArray[Any] | Tensor,
        logits: Mapping[str, Values],
        fused: Values | None = None,
        features: Mapping[str, Values] | None = None,
    ) -> None:
        """Record a batch of B samples.

        Args:
            sample_ids: (B,) strings or whole numbers; the only join, so the same in every epoch.
            labels: (B,) class indices, or class names.
            logits: {modality: (B, K)}, on any device and of any precision.
            fused: (B, K) of the fusion; the normalised product of the modalities where it is left out.
            features: {modality: (B, D)} of every modality, kept in float32; from those of the newest epoch `score`
                computes usability. Leave them out, or give them with every batch of an epoch.

        Raises:
            CurateError: no epoch is open; lengths, classes, labels or modalities do not fit; a number is not finite.
                Nothing of the batch is recorded then.
        """
        if self._open is None:
            raise CurateError("no epoch is open", "call add inside `with recorder.epoch():`")
        ids = np.array(texts(sample_ids), dtype=np.str_)
        given = {**logits, **({} if fused is None else {FUSED: fused})}
        self._check_modalities(tuple(given))
        found = {m: self._log_probabilities(m, x, ids) for m, x in given.items()}
        names = self._names(labels, ids)
        columns = {f"{m}.{c}": x[:, k] for m, x in found.items() for k, c in enumerate(self.classes)}
        vectors = {f"{self.features}:{m}": self._vectors(m, x, ids) for m, x in (features or {}).items()}
        if features and set(features) != {m for m in self._modalities if m != FUSED}:
            raise CurateError(
                f"features of {', '.join(features)}, logits of {', '.join(m for m in self._modalities if m != FUSED)}",
                "give features of every modality, or of none",
            )
        self._open.add({"sample_id": ids, "label": names}, columns, vectors)

    def read(self) -> dict[str, NDArray[Any]]:
        """What the folder holds, of all processes: columns by name, ascending by epoch and id."""
        return read_shards(self.folder)[0]

    def missing(self, sample_ids: Sequence[Any], split: Split = "train") -> list[str]:
        """Ids that the newest complete epoch of a split lacks, in the order given.

        Raises:
            CurateError: the split is not known.
        """
        _check_split(split)
        columns = self.read()
        of_split = columns["split"] == split
        newest = columns["epoch"][of_split].max(initial=0)
        there = set(columns["sample_id"][of_split & (columns["epoch"] == newest)].tolist())
        return [i for i in texts(sample_ids) if i not in there]

    def scored(self, **settings: Any) -> Round:
        """Gaps, mixtures and posteriors of the newest complete epoch, as `score` would store them; without a table.

        With `torch.distributed` call it in every process: it waits until all have ended their epoch.

        Args:
            settings: of section `score`, e.g. `family="student-t"`.
        """
        wait_for_all()
        return fit_newest([str(self.folder)], settings)

    def score(self, table: str | Path = "curate.duckdb", dataset: str = "", **settings: Any) -> Run:
        """Score what was recorded, as `curate score --predictions FOLDER`; call it in one process.

        Usability comes from the newest epoch's features, if all training samples have some; what it comes from, or why
        it is unknown, is in the run's `config["predictions"]["usability"]`.

        Args:
            table: the sample table, made if need be.
            dataset: its name in the table; made from the name of the folder when left out. In the table newer data hide
                older ones of the same name.
            settings: of section `score`, e.g. `family="student-t"`.
        """
        return Table(table).score(self.folder, dataset=dataset, **settings)

    def _check_modalities(self, names: tuple[str, ...]) -> None:
        if not self._modalities:
            for name in names:
                if not MODALITY.fullmatch(name):
                    raise CurateError(f"{name!r} cannot name a modality", name_hint(name))
            if len([n for n in names if n != FUSED]) < 2:
                raise CurateError(
                    f"a gap is between modalities, got {', '.join(names) or 'none'}", "give logits of two or more"
                )
            self._modalities = names
        if set(names) != set(self._modalities):
            raise CurateError(
                f"this batch has {', '.join(names)}, earlier ones have {', '.join(self._modalities)}",
                "record the same modalities throughout; a new folder takes others",
            )

    def _log_probabilities(self, modality: str, values: Values, ids: NDArray[np.str_]) -> NDArray[np.float32]:
        """(B, K) natural logarithms, at least those of the smallest positive number."""
        x = torch.as_tensor(values).detach().to("cpu", torch.float64)
        if x.shape != (len(ids), len(self.classes)):
            raise CurateError(
                f"{modality} is {tuple(x.shape)}, expected {(len(ids), len(self.classes))}: ids and classes",
                "give a row for each sample id and a column for each class",
            )
        finite = torch.isfinite(x).all(dim=1)
        if not finite.all():
            bad = ids[~finite.numpy()]
            raise CurateError(
                f"{modality} is not finite for {counted(len(bad), 'sample')}: {', '.join(bad[:3])}",
                "the model has diverged",
            )
        sums = x.sum(dim=1)
        is_probability = bool(((x >= 0) & (x <= 1)).all() and (sums - 1).abs().max() < 1e-3) if len(x) else False
        if self.values == "logits":
            if is_probability:
                raise CurateError(
                    f"{modality} holds probabilities, logits are expected",
                    'give what stands before the softmax, or Recorder(..., values="probabilities")',
                )
            x = x.log_softmax(dim=1)
        else:
            if len(x) and not is_probability:
                raise CurateError(f"the rows of {modality} do not add up to one", "give probabilities, or logits")
            x = (x / sums[:, None]).clamp(min=torch.finfo(torch.float32).tiny).log()
        result: NDArray[np.float32] = x.float().numpy()
        return result

    def _vectors(self, modality: str, values: Values, ids: NDArray[np.str_]) -> NDArray[np.float32]:
        """(B, D) features."""
        x = torch.as_tensor(values).detach().to("cpu", torch.float32)
        if x.ndim != 2 or len(x) != len(ids) or not x.shape[1]:
            raise CurateError(
                f"features of {modality} are {tuple(x.shape)}, expected ({len(ids)}, D)",
                "give a row of D numbers for each sample id; of maps e.g. `channel_statistics`",
            )
        if not torch.isfinite(x).all():
            bad = ids[~torch.isfinite(x).all(dim=1).numpy()]
            raise CurateError(
                f"features of {modality} are not finite for {', '.join(bad[:3])}", "the model has diverged"
            )
        result: NDArray[np.float32] = x.numpy().copy()
        return result

    def _names(self, labels: Sequence[Any] | NDArray[Any] | Tensor, ids: NDArray[np.str_]) -> NDArray[np.str_]:
        """(B,) class names."""
        given = listed(labels)
        if len(given) != len(ids):
            raise CurateError(
                f"{counted(len(given), 'label')} for {counted(len(ids), 'sample id')}", "give one label a sample"
            )
        names = []
        for sample_id, label in zip(ids, given, strict=True):
            index = self._position.get(label, -1) if isinstance(label, str) else label
            if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(self.classes):
                raise CurateError(
                    f"sample {sample_id}: label {label!r} is none of the {len(self.classes)} classes",
                    f"class names, or indices 0 to {len(self.classes) - 1}: {', '.join(self.classes[:5])}",
                )
            names.append(self.classes[index])
        return np.array(names, dtype=np.str_)


class _Epoch:
    """Files of an epoch on their way: they lie in a hidden folder until it is complete."""

    def __init__(
        self, folder: Path, split: str, number: int, process: int, processes: int, rows: int, moving: bool
    ) -> None:
        self.folder, self.split, self.number, self.moving = folder, split, number, moving
        self.process, self.processes, self.rows = process, processes, rows
        self.hidden = folder / f".epoch-{number}-{split}-{process}"
        self.texts: list[dict[str, NDArray[np.str_]]] = []
        self.columns: list[dict[str, NDArray[np.float32]]] = []
        self.vectors: list[dict[str, NDArray[np.float32]]] = []
        self.sizes: dict[str, int] | None = None
        self.waiting = self.parts = 0

    def add(
        self,
        texts: dict[str, NDArray[np.str_]],
        columns: dict[str, NDArray[np.float32]],
        vectors: dict[str, NDArray[np.float32]],
    ) -> None:
        """Keep the rows of a batch, and write them once they are many.

        Raises:
            CurateError: features are of another size than those before them, or only some batches have any.
        """
        sizes = {name: x.shape[1] for name, x in vectors.items()}
        if self.sizes is not None and sizes != self.sizes:
            raise CurateError(
                f"this batch has the features {sizes or 'none'}, earlier ones of the epoch {self.sizes or 'none'}",
                "give the same features with every batch of an epoch",
            )
        self.sizes = sizes
        self.texts.append(texts)
        self.columns.append({name: values.copy() for name, values in columns.items()})
        self.vectors.append(vectors)
        self.waiting += len(texts["sample_id"])
        if self.waiting >= self.rows or self.waiting * sum(sizes.values()) * 4 >= FEATURE_BYTES:
            self._write()

    def _write(self) -> None:
        joined: dict[str, NDArray[Any]] = {k: np.concatenate([t[k] for t in self.texts]) for k in self.texts[0]}
        joined["split"] = np.full(self.waiting, self.split)
        joined["epoch"] = np.full(self.waiting, self.number, dtype=np.int32)
        joined |= {k: np.concatenate([c[k] for c in self.columns]) for k in self.columns[0]}
        vectors = {k: np.concatenate([v[k] for v in self.vectors]) for k in self.vectors[0]}
        self.hidden.mkdir(parents=True, exist_ok=True)
        name = shard_name(self.number, self.split, self.process, self.processes, self.parts)
        write_shard(self.hidden / name, joined, vectors, self.moving)
        self.parts, self.waiting = self.parts + 1, 0
        for kept in (self.texts, self.columns, self.vectors):
            kept.clear()

    def close(self) -> None:
        """Let the files appear, in place of an earlier recording of this epoch.

        Raises:
            CurateError: nothing was added.
        """
        if self.waiting:
            self._write()
        if not self.parts:
            raise CurateError(f"nothing was added to epoch {self.number} of {self.split}", "call recorder.add in it")
        prefix = shard_name(self.number, self.split, self.process, self.processes, 0).rpartition("-")[0]
        for old in self.folder.glob(f"{prefix}-*.parquet"):
            old.unlink()
        for path in sorted(self.hidden.iterdir(), reverse=True):
            path.replace(self.folder / path.name)

    def clear(self) -> None:
        """Remove what has not appeared."""
        shutil.rmtree(self.hidden, ignore_errors=True)


def _check_split(split: object) -> None:
    if split not in ("train", "val", "test"):
        raise CurateError(f"a split is train, val or test, got {described(split)}", 'e.g. recorder.epoch(split="val")')
