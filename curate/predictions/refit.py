"""Fit another mixture to the stored scores of a scored run, as a new scored run: no warm-up, no model, no torch."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence

from curate import config as settings
from curate.files.lock import FILE, OWNER
from curate.scores import gap
from curate.scores.scoring import MixtureConfig, fit_known, versions
from curate.scores.two_sided import FAMILY
from curate.store.runs import REFIT
from curate.store.store import Store
from curate.store.working import recorded
from curate.types import GapScores, Round, Run


def refit(store: Store, source: Run, layers: Sequence[settings.Layer]) -> Run:
    """Compute gaps, mixtures and posteriors again, with other settings, from a scored run's predictions and dynamics.

    The new run has the rows of the old one (predictions, dynamics, epochs) and its checkpoint. It can be continued like
    a run that was warmed up with these settings; its numbers are the same.

    Args:
        source: a finished scored run.
        layers: settings of section `score` in rising precedence, on top of the source's; the last is the user's own.

    Raises:
        CurateError: a setting is not one of the mixture, or needs epochs that the source did not store; nothing is
            stored then.
    """
    names = [f.name for f in dataclasses.fields(MixtureConfig)]
    *files, typed = layers
    usual = [{"score": {k: v for k, v in f.get("score", {}).items() if k in names}} for f in (source.config, *files)]
    if usual[0]["score"].get("family") == FAMILY:
        del usual[0]["score"]["family"]  # an option of the paper's mixtures may choose another
    config = settings.resolve({"score": MixtureConfig}, *usual, typed)["score"]
    rounds = {number: _round(store, source, number, config) for number in store.rounds.numbers(source.run_id)}
    runs_folder = store.path.with_suffix(".runs")
    run_id = store.runs.new_id(f"score-{source.dataset}", runs_folder)
    run = dataclasses.replace(
        source,
        run_id=run_id,
        gap_kind=config.gap,
        family=config.family,
        config={**source.config, "score": {**source.config["score"], **dataclasses.asdict(config)}},
        versions=versions(),
        folder=str(runs_folder / run_id) if source.folder else "",
        note=f"{REFIT}{source.run_id}",
    )
    with recorded(store, run) as run:
        if (runs_folder / source.run_id).is_dir():
            left = shutil.ignore_patterns(FILE, OWNER)
            shutil.copytree(runs_folder / source.run_id, runs_folder / run.run_id, ignore=left, dirs_exist_ok=True)
        store.copy_scores(source.run_id, run.run_id)
        for number, found in rounds.items():
            posteriors = (found.p_balanced, config.gap, found.p_ahead)
            store.rounds.write(run.run_id, number, None, found.gaps, found.fits, *posteriors)
        store.runs.finish(run.run_id, "done", source.checkpoint_sha256)
    return store.runs.find(run.run_id)


def _round(store: Store, source: Run, number: int, config: MixtureConfig) -> Round:
    """A round of the source with gaps, mixtures and posteriors by the new settings."""
    before, averaged = store.rounds.read(source.run_id, number).gaps, None
    if config.average == "warmup":
        epochs = store.dynamics.read(source.run_id)
        if source.method == "predictions":  # its rounds are its epochs, newest first
            epochs = (store.rounds.known(source.run_id, r) for r in store.rounds.numbers(source.run_id) if r >= number)
        averaged = gap.mean_gap(config.gap, epochs)
    gaps = GapScores(before.sample_ids, before.pairs, before.prob, before.kl)
    return fit_known(gaps, store.rounds.known(source.run_id, number), config, len(source.classes), averaged)
