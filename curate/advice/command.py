"""The command that scored a run, reconstructed from what the table stores about it."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Mapping
from typing import Any

from curate import datasets
from curate.config import dotted, parse_set
from curate.errors import CurateError
from curate.predictions.score import PredictionsConfig
from curate.types import Run, data_kind

Usual = Mapping[str, Mapping[str, Any]]


def score_command(run: Run, usual: Usual) -> str:
    """`curate score` with every setting that is not the default; run again, it gives the same numbers.

    Weights given by --checkpoint and scores copied by --only-missing are not part of it: the run's note names them.

    Args:
        usual: {section: {key: default}} of settings beyond the mixture's and the data set's; a setting that is not in
            it is always written out.
    """
    seed = [] if "predictions" in run.config else ["--seed", str(run.seed)]
    known: dict[str, Mapping[str, Any]] = {k: usual.get(k, {}) for k in ("model", "optim", "score")}
    known["score"] = {**known["score"], **dataclasses.asdict(PredictionsConfig())}
    known = {k: {**known[k], **_own(run).get(k, {})} for k in known}
    sets = [text for section, values in known.items() for text in _differing(run, section, values)]
    return shlex.join(["curate", "score", *data_arguments(run), *seed, *sets])


def prepare_command(run: Run) -> str:
    """`curate prepare` of a run's data; '' where there are no media."""
    if "predictions" in run.config or data_kind(run.dataset) == "features":
        return ""
    return shlex.join(["curate", "prepare", *data_arguments(run)])


def data_arguments(run: Run) -> list[str]:
    """The command-line arguments that name a run's data, settings other than the data set's own included."""
    if saved := run.config.get("predictions"):
        media = [saved["media"]] if saved.get("media") else []
        given = {"predictions": saved["files"], "embeddings": saved.get("embeddings", ()), "media": media}
        files = [part for option, names in given.items() for name in names for part in (f"--{option}", name)]
        return [*files, "--dataset", run.dataset]
    root = ["--root", run.root] if run.root else []
    return ["--dataset", run.dataset, *root, *_differing(run, "data", _own(run).get("data", {}))]


def _own(run: Run) -> dict[str, dict[str, Any]]:
    """The default settings of a run's data set, by section; {} if the data set is not known here."""
    try:
        kind = datasets.find(run.dataset)
    except CurateError:
        return {}
    starts = {section: dict(values) for section, values in dotted(kind.defaults).items()}
    named = datasets.own_name(run.dataset).get("data", {})
    return {**starts, "data": {**dataclasses.asdict(kind.Options()), **starts.get("data", {}), **named}}


def _differing(run: Run, section: str, usual: Mapping[str, Any]) -> list[str]:
    """`--set section.key=value` for each value that is not the usual one."""
    found = run.config.get(section, {}).items()
    changed = [(k, v) for k, v in found if k not in usual or usual[k] != v]
    return [part for k, v in changed for part in ("--set", f"{section}.{k}={_typed(v)}")]


def _typed(value: Any) -> str:
    """A value in the form that `--set` reads; a text that is empty, or would be read as a number, is quoted."""
    if not isinstance(value, str):
        return "none" if value is None else json.dumps(value)
    plain = value and parse_set([f"data.x={value}"]) == {"data": {"x": value}}
    return value if plain else json.dumps(value, ensure_ascii=False)
