"""Score saved predictions of any model in the same way as our own: gaps, mixtures, posteriors. No torch."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate import config as settings
from curate.blocks import among, blocks, release, take
from curate.errors import CurateError
from curate.files.remote import located
from curate.files.shards import shards_of
from curate.render import Message, no_message
from curate.scores import gap
from curate.scores.bounds import decider, wrong_among
from curate.scores.scoring import MixtureConfig, fit_round, versions
from curate.store.items import Items
from curate.store.store import Store
from curate.store.working import recorded
from curate.types import FUSED, Known, Round, Run

from .align import Saved, align
from .embeddings import Recorded, read_embeddings, recorded_features
from .files import read_all
from .growth import note, refuse_relabelled, refuse_unlike, tell_changed, write_grown
from .judging import judge, judge_labels
from .media import read_sources
from .part import group_names, shown
from .understood import understood
from .values import Values

METHOD = "predictions"
WARM_UP = ("epochs", "folds", "dynamics", "batch_size")
"""Settings of `score` with a model, which a configuration file may contain and which are then ignored here."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictionsConfig(MixtureConfig):
    """How saved predictions are read, and the settings of `MixtureConfig`.

    Attributes:
        values: `logits` (log-probabilities are logits too), `probabilities`, `proportions` (each row is divided by its
            sum), or `auto`, by what the rows of a modality add to, see `values.which_kind`.
        labels_up_to: of more samples it is not judged which labels are wrong, unless they have features; 0 = never.
    """

    values: Values = "auto"
    labels_up_to: int = 100_000


@dataclasses.dataclass(frozen=True)
class Understood:
    """Files of predictions, read and checked; nothing is computed yet.

    Attributes:
        dataset: its name.
        sources: the files.
        config: the resolved settings.
        saved: the predictions.
        line: one line on how they were read.
    """

    dataset: str
    sources: tuple[str, ...]
    config: PredictionsConfig
    saved: Saved
    line: str


def understand(
    sources: Sequence[str], layers: Sequence[settings.Layer], name: str = "", order: Sequence[str] = ()
) -> Understood:
    """Read and check saved predictions; the arguments and errors are those of `score_predictions`.

    Args:
        order: of the modalities, as in `align`.
    """
    *files, typed = layers
    for key in WARM_UP:
        if key in typed.get("score", {}):
            raise CurateError(
                f"saved predictions are scored without a warm-up, score.{key} has no part in it", f"leave {key} out"
            )
    usual = [{s: {k: v for k, v in values.items() if k not in WARM_UP} for s, values in f.items()} for f in files]
    config = settings.resolve({"score": PredictionsConfig}, *usual, typed)["score"]
    dataset = _dataset_name(name or Path(sources[0]).stem.rpartition("=")[2], bool(name))
    saved = align(read_all(sources), config.values, order)
    names = ", ".join(Path(source).name for source in sources[:3]) + (", ..." if len(sources) > 3 else "")
    return Understood(dataset, tuple(sources), config, saved, understood(saved, names))


def fit_newest(sources: Sequence[str], given: Mapping[str, Any]) -> Round:
    """Gaps, mixtures and posteriors of the newest epoch, which `score_predictions` stores as round 0; without a table.

    Args:
        given: settings of section `score`.

    Raises:
        CurateError: a file cannot be read, or the predictions are not valid.
    """
    read = understand(sources, [{"score": dict(given)}])
    return _fit(read, 0, _averaged(read))


def _averaged(read: Understood) -> list[Known]:
    """What the mean gaps of `average=warmup` are made of, newest first; [] where none are wanted."""
    if read.config.average != "warmup":
        return []
    if len(read.saved.rounds) < 2:
        raise CurateError(
            "score.average=warmup needs the predictions of several epochs, the files have one",
            "add a column `epoch`, or leave it out",
        )
    return [gap.known(p) for p in read.saved.rounds]


def _fit(read: Understood, number: int, averaged: Sequence[Known]) -> Round:
    """Gaps, mixtures and posteriors of one round; a mean gap is over its epoch and those before it."""
    config = read.config
    mean = gap.mean_gap(config.gap, averaged[number:]) if averaged else None
    return fit_round(read.saved.rounds[number], config, mean)


def score_predictions(
    store: Store,
    sources: Sequence[str],
    layers: Sequence[settings.Layer],
    name: str = "",
    embeddings: Sequence[str] = (),
    message: Message = no_message,
    media: Path | None = None,
) -> Run:
    """Score saved predictions: gaps, mixtures and posteriors of the training samples, as a finished run.

    Round 0 is the newest epoch, which the view `samples` shows; round r is the r-th epoch before it. With
    `average=warmup` the mixture of a round is fitted to the mean gap of its epoch and of those before it.

    Args:
        sources: files, each `FILE` or `MODALITY=FILE`.
        layers: settings of section `score` in rising precedence; the last one is the user's own.
        name: of the data set; '' takes that of the first file.
        embeddings: files with the embeddings of every modality, for usability; without them, and without features in
            a recorded folder, it stays unknown.
        message: called with one line on how the files were read, before anything is computed.
        media: a table that names the media of the samples, to look at; nothing is computed from them.

    Raises:
        CurateError: a file cannot be read, or the predictions are not valid; nothing is stored then.
    """
    read = understand(sources, layers, name)
    for line in (read.line, *read.saved.notes):
        message(line)
    known = _averaged(read)
    alike, line = _features(read, embeddings)
    if line:
        message(line)
    saved, sources_of = _placed(read.saved, media, message)
    read = dataclasses.replace(read, saved=saved)
    given = {"embeddings": list(embeddings)} if embeddings else {"usability": line}
    run = _planned(store, read, given | ({"media": str(media.absolute())} if media else {}))
    items = dataclasses.replace(_items(saved), sources=sources_of)
    with recorded(store, run) as run:
        for number, predictions in enumerate(saved.rounds):
            found = _fit(read, number, known)
            store.rounds.write(
                run.run_id,
                number,
                predictions,
                found.gaps,
                found.fits,
                found.p_balanced,
                read.config.gap,
                found.p_ahead,
                others=saved.others if number == 0 else (),
                items=items if number == 0 else None,
            )
        _write_held_out(store, run, saved)
        _write_judged(store, run, saved, alike, read.config.labels_up_to)
        store.runs.finish(run.run_id, "done")
    return store.runs.find(run.run_id)


def _placed(saved: Saved, media: Path | None, message: Message) -> tuple[Saved, list[dict[str, dict[str, Any]]] | None]:
    """The predictions with the groups that a table of media names too, and where the media are; None without a table.

    Raises:
        CurateError: the table cannot be read, names none of the samples, or a sample is in another group there.
    """
    if media is None:
        return saved, None
    sources, named, line = read_sources(media, saved.sample_ids.tolist())
    message(line)
    groups = group_names(np.array(named, dtype=np.str_))
    if groups is not None and saved.groups is not None:
        differ = (groups != saved.groups) & (groups != "") & (saved.groups != "")
        if differ.any():
            raise CurateError(
                f"media: {media.name} and the predictions disagree on the group of {shown(saved.sample_ids[differ])}",
                "a sample has one group: correct it in one of the files, or leave the column out of one",
            )
        groups = np.where(saved.groups == "", groups, saved.groups)
    return (saved if groups is None else dataclasses.replace(saved, groups=groups)), sources


def _features(read: Understood, embeddings: Sequence[str]) -> tuple[Recorded | None, str]:
    """The features of the newest epoch's samples, of the given files or of a recorded folder, and a line on them."""
    newest = read.saved.rounds[0]
    if embeddings:
        return Recorded(read_embeddings(embeddings, read.saved.modalities, newest.sample_ids)), ""
    folders = [Path(source) for source in read.sources if Path(source).is_dir() and shards_of(Path(source))]
    if len(folders) != 1:
        return None, ""
    return recorded_features(folders[0], newest, read.saved.held_out.get("val"))


def _described(read: Understood) -> dict[str, Any]:
    """What the run says of its files and of how they were read."""
    return {
        "files": list(read.sources),
        "epochs": list(read.saved.epochs),
        "values": [f"{m}: {kind}" for m, kind in read.saved.kinds.items()],
        "understood": read.line,
        "fused": "given" if FUSED in read.saved.kinds else "normalised product of the modalities",
        **({"not_read": list(read.saved.notes)} if read.saved.notes else {}),
    }


def _planned(store: Store, read: Understood, note: Mapping[str, Any]) -> Run:
    """The run that scores the predictions, not yet started; `note` is on what usability and media come from."""
    dataset, config, saved = read.dataset, read.config, read.saved
    return Run(
        run_id=store.runs.new_id(f"score-{dataset}", store.path.with_suffix(".runs")),
        kind="score",
        method=METHOD,
        dataset=dataset,
        data_id=f"{dataset}-{_digest(saved)}",
        root=None,
        parent=None,
        seed=0,
        modalities=saved.modalities,
        classes=saved.classes,
        gap_kind=config.gap,
        family=config.family,
        config={
            "score": dataclasses.asdict(config),
            "predictions": {**_described(read), **{name: value for name, value in note.items() if value}},
        },
        versions=versions(),
        folder="",
    )


def score_missing_predictions(
    store: Store, sources: Sequence[str], name: str = "", message: Message = no_message
) -> tuple[Run, Run]:
    """Score the rows of saved predictions whose ids have no score yet; the others keep theirs, see `growth`.

    The files may contain the new samples alone or all of them. If there are several epochs, the newest counts.

    Args:
        name: of the data set; '' takes that of the first file.
        message: called with one line on how the files were read, before anything is computed.

    Returns:
        The existing scored run, and the grown one; twice the existing one if nothing is missing.

    Raises:
        CurateError: no such data set was scored, its classes, modalities or labels differ, or the files are not valid;
            nothing is stored then.
    """
    dataset = _dataset_name(name or Path(sources[0]).stem.rpartition("=")[2], bool(name))
    names = sorted({run.dataset for run in store.runs.all(kind="score", method=METHOD, status="done")})
    if names and dataset not in names:
        raise CurateError(
            f"no saved predictions of {dataset} were scored in {store.path}",
            f"name the data set: --dataset {names[0]}" + (f", or {', '.join(names[1:4])}" if len(names) > 1 else ""),
        )
    scored = store.runs.find(kind="score", method=METHOD, dataset=dataset, status="done")
    message(f"compared with {scored.run_id}, the newest scored run of {dataset}")
    values = scored.config["score"]["values"]
    read = understand(sources, [{"score": {"values": values}}], name, scored.modalities)
    saved = read.saved
    for line in (read.line, *saved.notes):
        message(line)
    refuse_unlike(scored, saved.classes, saved.modalities)
    newest = saved.rounds[0]
    media = scored.config["predictions"].get("media")
    saved, sources_of = _placed(saved, located(media) if media and located(media).exists() else None, message)
    before = store.samples.groups(scored.data_id, saved.sample_ids)
    known = before if saved.groups is None else np.where(saved.groups == "", before, saved.groups)
    saved = dataclasses.replace(saved, groups=group_names(known))
    items = dataclasses.replace(_items(saved), sources=sources_of)
    seen = store.samples.compared(scored.run_id, items)
    wanted = among(saved.sample_ids, newest.sample_ids)
    refuse_relabelled(scored, saved.sample_ids[wanted & seen.relabelled].tolist())
    new = take(saved.sample_ids, wanted & ~seen.scored)
    if not len(new):
        tell_changed(scored, int(seen.changed.sum()), message)
        return scored, scored
    run = _grown(store, scored, read, note(len(new), scored))
    others = [o.subset(~among(o.sample_ids, take(saved.sample_ids, seen.predicted))) for o in saved.others]
    said = np.concatenate([new, *(o.sample_ids for o in others)])
    kept: NDArray[np.str_] | None = None
    fresh: Items | None = items.subset(~seen.known)
    if seen.changed.any() or among(take(saved.sample_ids, seen.known), said).any():  # rows of the scored run do not fit
        store.samples.write_columns(run.data_id, items)
        kept, fresh = _still_scored(store, scored, saved), None
    store.samples.copy(scored.data_id, run.data_id)
    with recorded(store, run) as run:
        write_grown(store, scored, run, kept, newest.subset(among(newest.sample_ids, new)), others, fresh)
        store.runs.finish(run.run_id, "done")
    return scored, store.runs.find(run.run_id)


def _still_scored(store: Store, scored: Run, saved: Saved) -> NDArray[np.str_]:
    """Ids of the samples that a run has predictions of, without those that no longer belong to training."""
    gone = take(saved.sample_ids, (saved.splits != "train") | (saved.status == "no_label"))
    known = store.rounds.predicted_ids(scored.run_id)
    return take(known, ~among(known, gone))


def _grown(store: Store, scored: Run, read: Understood, said: str) -> Run:
    """The run that has the samples of a scored run and those of some files, not yet started."""
    saved, digest = read.saved, hashlib.sha256(f"{scored.data_id} {_digest(read.saved)}".encode()).hexdigest()[:10]
    files = {**scored.config["predictions"], **_described(read)}
    return dataclasses.replace(
        scored,
        run_id=store.runs.new_id(f"score-{read.dataset}", store.path.with_suffix(".runs")),
        data_id=f"{read.dataset}-{digest}",
        modalities=saved.modalities,
        classes=saved.classes,
        config={**scored.config, "predictions": files},
        versions=versions(),
        note=said,
    )


def _write_held_out(store: Store, run: Run, saved: Saved) -> None:
    """Store the accuracy of each modality on validation samples or, where there are none, on test samples.

    And how many of their labels are wrong at least, see `bounds.wrong_bounds`.
    """
    for split in ("val", "test"):
        if split in saved.held_out:
            held = saved.held_out[split]
            right = {m: float((p.argmax(axis=1) == held.labels).mean()) for m, p in held.probs.items()}
            values = [(split, m, "accuracy", value) for m, value in right.items()]
            by = decider(held) if split == "val" else FUSED
            store.epochs.write(run.run_id, 1, [*values, (split, by, "wrong_labels", wrong_among(held, by).least)])
            return


def _write_judged(store: Store, run: Run, saved: Saved, alike: Recorded | None, most: int) -> None:
    """Store what is known of usability and labels; without features of labels alone, of no more than `most` samples."""
    held_out, newest = (saved.validated, saved.held_out.get("val")), saved.rounds[0]
    if alike is not None:
        store.usability.write(run.run_id, *judge(saved.rounds, alike, *held_out))
    elif len(newest.labels) <= most:
        found = judge_labels(saved.rounds, *held_out)
        store.usability.write_labels(run.run_id, newest.sample_ids, run.modalities, *found)


def _dataset_name(text: str, given: bool) -> str:
    """The name of a data set: a given one is checked, else it is made from a file's name."""
    made = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    if given and made != text:
        raise CurateError(f"{text!r} cannot be the name of a data set", f"e.g. --dataset {made or 'mine'}")
    return made or METHOD


def _items(saved: Saved) -> Items:
    """Every item of every split."""
    facts = (saved.sample_ids, saved.splits, saved.labels, saved.classes, saved.status, saved.reason)
    return Items(*facts, groups=saved.groups)


def _digest(saved: Saved) -> str:
    """Ten hexadecimal digits of a digest of ids, labels, splits, groups, classes and modalities: of each as JSON."""
    digest = hashlib.sha256(json.dumps([saved.modalities, saved.classes]).encode())
    columns = (saved.sample_ids, saved.labels, saved.splits)
    for column in columns if saved.groups is None else (*columns, saved.groups):
        between = "["
        for block in blocks(len(column), 16):  # short ones: what is made of them stays in the cache
            digest.update((between + json.dumps(column[block].tolist())[1:-1]).encode())
            between = ", "
            release(column)
        digest.update(b"]")
    return digest.hexdigest()[:10]
