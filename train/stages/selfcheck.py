"""What would be found on a data set: faults are planted in a copy of it, and that copy is scored as the data would be.

Everything is in a folder of its own, which is removed; nothing is written to the sample table.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from curate import config
from curate.advice.conclusions import LEARNT
from curate.advice.evidence import read_evidence
from curate.datasets import find as find_dataset
from curate.datasets.base import Dataset
from curate.datasets.cache import prepare as decode
from curate.datasets.worlds import DecodedSamples, Fault, Planted, possible
from curate.datasets.worlds.damages import HARMLESS
from curate.errors import CurateError, counted
from curate.render import duration, no_message
from curate.scores.planted import Found, found
from curate.scores.two_groups import CLAIMED
from curate.store.store import Store
from curate.train.loop.estimate import estimate
from curate.types import Run

from .folds import USUAL, is_cheap
from .score import plan_score, score
from .session import Session
from .settings import ScoreConfig, Settings, left_open, long_enough
from .setup import prepare

EPOCHS = 15
"""Of a short warm-up; fewer if the data set's own is shorter. Of few samples more, as in `score`: half as many."""
MOST = {"train": 2000, "val": 500}
"""Samples that faults are planted in, at most."""
TOGETHER = 2
"""Kinds of fault that a modality has in one training."""
LEFT_OUT = ("wrong_clip_of_class", "ambiguous", "shift")
"""Kinds without a sign to find them by: a clip of the right class, classes that look alike, a moved sound."""
LABELS = "wrong_label"


@dataclass(frozen=True)
class Check:
    """What is planted, and how it is looked for.

    Attributes:
        share: of the training samples with each kind of fault, in (0, 1).
        kinds: () = all that the modalities can have.
        most: {split: greatest number of samples}.
    """

    share: float = 0.05
    kinds: tuple[str, ...] = ()
    most: Mapping[str, int] = field(default_factory=lambda: dict(MOST))

    def __post_init__(self) -> None:
        if not 0 < self.share <= 0.1:
            raise CurateError(
                f"--share {self.share}: give a share above 0 and up to 0.1", "more disturbs what is found"
            )


def selfcheck(
    session: Session,
    name: str,
    root: Path | None,
    given: Sequence[config.Layer],
    seed: int,
    check: Check,
) -> list[Found]:
    """Plant faults, score, and measure what is found: by modality and kind, damage first, labels last.

    Two kinds of fault in each modality and the wrong labels are planted in one copy, in different samples; each copy
    is scored by a training of its own. Settings are those of `score`, but for `EPOCHS`; as there, a copy whose samples
    are memorised is scored out of fold where that is cheap, and it is said. So is a copy of which little was learnt.

    Raises:
        CurateError: a kind does not apply, or the data are too few.
    """
    kind = find_dataset(name)
    own = int(config.dotted(kind.defaults).get("score", {}).get("epochs", ScoreConfig().epochs))
    layers = [{"score": {"epochs": min(own, EPOCHS)}}, *given]
    session.cache_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="selfcheck-", dir=session.cache_folder) as folder:
        place = Path(folder)
        inner = replace(session, store=Store(place / "table.duckdb"), cache_folder=place / "cache", message=no_message)
        run, dataset = plan_score(replace(session, store=inner.store), name, root, layers, seed)
        base = _decoded(session, dataset, check, seed)
        if left_open(kind, given, "score.epochs", "optim.lr", "optim.optimizer"):
            layers = [{"score": {"epochs": _short(run, base)}}, *given]
        rounds = planned(base, check)
        _announce(session, inner, name, root, layers, seed, [Planted(base, f, seed, apart=True) for f in rounds])
        results: list[Found] = []
        by_heart: list[str] = []
        learnt: list[float] = []
        for faults in rounds:
            world = Planted(base, faults, seed, apart=True)
            run = score(inner, name, root, layers, seed, change=_instead(world))
            if run.by_heart:
                by_heart.append(run.by_heart)
            learnt.append(read_evidence(inner.store, run.run_id).learnt)
            results += _measured(inner.store, run.run_id, world, seed)
    if min(learnt) < LEARNT:
        session.message(
            f"warning: the fusion is right on only {min(learnt):.0%} of the samples that it was trained on: what is "
            "found describes the short warm-up and not the data; a longer one by --epochs"
        )
    if by_heart:
        session.message(
            f"{len(by_heart)} of {len(rounds)} copies were memorised (right on training and on validation samples: "
            f"{by_heart[0]}) and scored out of fold; --set score.folds=0 leaves that out"
        )
    order = {m: i for i, m in enumerate((*dataset.modalities, ""))}
    return sorted(results, key=lambda r: (order[r.modality], r.harmless))


def _short(run: Run, base: Dataset) -> int:
    """Epochs of a short warm-up: half of those that `score` takes of so many training samples, but `EPOCHS` at least.

    Args:
        run: of `plan_score`, for the size of its batches.
    """
    count = sum(s.split == "train" for s in base.samples)
    optim = Settings.of(run).optim
    usual = long_enough(ScoreConfig().epochs, count, optim.batch_size * optim.accumulate)
    return max(EPOCHS, -(-usual // 2))


def _decoded(session: Session, dataset: Dataset, check: Check, seed: int) -> DecodedSamples:
    """The samples that faults are planted in; media are decoded into the usual cache, if they are not there."""
    workers = session.runtime.decoders(dataset.decodes)
    cache = decode(
        dataset, session.cache_folder, workers, lambda done, total: session.progress("decoding", done, total, "items")
    )
    base = DecodedSamples(dataset, cache, check.most, seed)
    count = sum(s.split == "train" for s in base.samples)
    if round(check.share * count) < 1:
        raise CurateError(
            f"{check.share:.0%} of {count} training samples is less than one", "raise --share, or bring more samples"
        )
    return base


def planned(dataset: Dataset, check: Check) -> list[list[Fault]]:
    """The faults of each copy: in each modality `TOGETHER` kinds at most, those that are alike apart.

    Raises:
        CurateError: a kind that was asked for applies to no modality.
    """
    wanted = {m: [k for k in possible(dataset, m) if k not in LEFT_OUT] for m in dataset.modalities}
    if check.kinds:
        known = sorted({LABELS, *(k for own in wanted.values() for k in own)})
        if unknown := [k for k in check.kinds if k not in known]:
            raise CurateError(f"{unknown[0]!r} is no kind of fault that these data can have", f"{', '.join(known)}")
        wanted = {m: [k for k in own if k in check.kinds] for m, own in wanted.items()}
    labels = not check.kinds or LABELS in check.kinds
    count = max([-(-len(own) // TOGETHER) for own in wanted.values()] + [int(labels)])
    copies: list[list[Fault]] = [[] for _ in range(count)]
    for modality, own in wanted.items():
        for i, fault in enumerate(own):
            copies[i % count].append(Fault(kind=fault, modality=modality, share=check.share))
    if labels:
        copies[-1].append(Fault(kind=LABELS, share=check.share))
    return copies


def _instead(world: Dataset) -> Callable[[Dataset], Dataset]:
    """A change of any data set to this one."""
    return lambda _: world


def _announce(
    session: Session,
    inner: Session,
    name: str,
    root: Path | None,
    layers: Sequence[config.Layer],
    seed: int,
    worlds: Sequence[Planted],
) -> None:
    """Say beforehand what it costs, by a trial step on the first copy."""
    run, dataset = plan_score(inner, name, root, layers, seed, change=_instead(worlds[0]))
    job, warmup = prepare(inner, run, dataset, fresh=True), Settings.of(run).score
    trained, predicted = len(job.data.fit), len(job.data.fit) + len(job.data.val)
    epochs = warmup.epochs * warmup.warmups * len(worlds)
    seconds = estimate(job.trainer, job.data).seconds(trained, predicted) * epochs
    may = warmup.folds is None and is_cheap(job.trainer, job.data.fit, job.data, warmup.epochs)
    more = f", up to {USUAL} times that if they are memorised" if may else ""
    planted = sorted({f.name for w in worlds for f in w.faults})
    many = f"{len(worlds)} trainings" if len(worlds) > 1 else "one training"
    session.message(
        f"selfcheck: {len(planted)} kinds of fault in copies of {trained} training samples, {many} of "
        f"{counted(warmup.epochs, 'epoch')}: about {duration(seconds)} of training{more}, and on top of it what it "
        f"takes to read and to judge each copy; at most {TOGETHER} kinds in each modality at once, in different "
        "samples, and the wrong labels with the last; nothing goes into the table"
    )


def _measured(store: Store, run_id: str, world: Planted, seed: int) -> Iterator[Found]:
    """What became of the faults of one copy: what the view `samples` says of them."""
    table = store.frame("SELECT * FROM samples WHERE run_id = ? AND imbalance IS NOT NULL ORDER BY sample_id", [run_id])
    if table.empty:
        raise CurateError(
            "nothing is known of usability without the warm-up's epochs", "leave score.dynamics=false out"
        )
    truth = {s.sample_id: str(s.extra.get("fault", "")) for s in world.samples}
    own = np.array([truth[i] for i in table["sample_id"]], dtype=object)
    for fault in world.faults:
        if fault.kind == LABELS:
            values, claimed = table["contradiction_fused"], table["p_mislabelled"].astype(float) > CLAIMED
        elif fault.kind == "wrong_clip":
            values, claimed = table[f"contradiction_{fault.modality}"], _names(table["contradicts"], fault.modality)
        else:
            values, claimed = 1 - table[f"usability_{fault.modality}"], _names(table["broken"], fault.modality)
        result = found(
            fault.kind,
            fault.modality,
            values.to_numpy(dtype=np.float64),
            claimed.to_numpy(dtype=np.bool_),
            own == fault.name,
            own == "",
            harmless=fault.kind in HARMLESS,
            seed=seed,
        )
        if result is not None:
            yield result


def _names(column: pd.Series, modality: str) -> pd.Series:
    """Whether texts such as `audio+visual` name a modality; unknown ones name none."""
    return column.fillna("").str.split("+").map(lambda names: modality in names)
