"""Another mixture on what a scored run kept: no warm-up, no model, a scored run of its own. No torch."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence

from curate import config as settings
from curate.scores import gap
from curate.scores.scoring import MixtureConfig, fit_known, versions
from curate.scores.two_sided import FAMILY
from curate.store.table import Table
from curate.types import GapScores, Round, Run


def refit(table: Table, source: Run, layers: Sequence[settings.Layer]) -> Run:
    """Fit gaps, mixtures and posteriors anew, by other settings, from a scored run's predictions and dynamics.

    The new run has the rows of the old one (predictions, dynamics, epochs) and its checkpoint, so that everything goes
    on from it as from a run that was warmed up with these settings: its numbers are the same.

    Args:
        source: a finished scored run.
        layers: settings of section `score` in rising precedence, on top of the source's; the last is the user's own.

    Raises:
        CurateError: a setting is not of the mixture, or is of epochs that the source did not keep; nothing is stored.
    """
    names = [f.name for f in dataclasses.fields(MixtureConfig)]
    *files, typed = layers
    usual = [{"score": {k: v for k, v in f.get("score", {}).items() if k in names}} for f in (source.config, *files)]
    if usual[0]["score"].get("family") == FAMILY:
        del usual[0]["score"]["family"]  # so that an option of the paper's mixtures may choose another
    config = settings.resolve({"score": MixtureConfig}, *usual, typed)["score"]
    rounds = {number: _round(table, source, number, config) for number in table.rounds(source.run_id)}
    runs_folder = table.path.with_suffix(".runs")
    run_id = table.new_run_id(f"score-{source.dataset}", runs_folder)
    if (runs_folder / source.run_id).is_dir():
        shutil.copytree(runs_folder / source.run_id, runs_folder / run_id)
    run = dataclasses.replace(
        source,
        run_id=run_id,
        gap_kind=config.gap,
        family=config.family,
        config={**source.config, "score": {**source.config["score"], **dataclasses.asdict(config)}},
        versions=versions(),
        folder=str(runs_folder / run_id) if source.folder else "",
        note=f"refit of {source.run_id}",
    )
    table.start_run(run)
    try:
        table.copy_scores(source.run_id, run_id)
        for number, found in rounds.items():
            table.write_round(run_id, number, None, found.gaps, found.fits, found.p_balanced, config.gap, found.p_ahead)
    except BaseException:
        table.finish_run(run_id, "failed")
        raise
    table.finish_run(run_id, "done", source.checkpoint_sha256)
    return table.find_run(run_id)


def _round(table: Table, source: Run, number: int, config: MixtureConfig) -> Round:
    """A round of the source in the wanted form."""
    before, averaged = table.read_round(source.run_id, number).gaps, None
    if config.average == "warmup":
        epochs = table.read_dynamics(source.run_id)
        if source.method == "predictions":  # its rounds are its epochs, newest first
            epochs = (table.read_known(source.run_id, r) for r in table.rounds(source.run_id) if r >= number)
        averaged = gap.mean_gap(config.gap, epochs)
    gaps = GapScores(before.sample_ids, before.pairs, before.prob, before.kl)
    return fit_known(gaps, table.read_known(source.run_id, number), config, len(source.classes), averaged)
