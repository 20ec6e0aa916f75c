"""The page of settings, from the dataclasses that hold them: key, default, type or choices, range, and what it does.

Ranges are those that the code checks: every configuration is made once while its checks are listened to.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
import unittest.mock as mock
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, get_type_hints

from curate import config as checks
from curate.datasets import find, names
from curate.datasets.audiovisual import AudioVisual
from curate.datasets.base import Dataset
from curate.datasets.manifest import Manifest
from curate.datasets.recordings import Recordings
from curate.predictions.score import PredictionsConfig
from curate.render import readable_hint
from curate.specs import AudioSpec, ClipSpec, FlowSpec, TextSpec, VisualSpec
from curate.train.methods import catalog, knobs
from curate.train.methods.optim import OptimConfig
from curate.train.models.model import ModelConfig
from curate.train.stages.settings import ScoreConfig, TrainConfig

from .text import attributes, code, sentence, table

HEAD = """\
# Settings

Every setting has the form `section.key`. Set it on the command line with `--set section.key=value`, which can be
repeated; in the environment `CURATE_SET` takes several, with spaces between. In `./curate.toml` each section is a
table. The command line overrides the environment, the environment overrides the file, and the file overrides the
defaults. A data set may have defaults of its own. An unknown key is an error that names the nearest one, and so are two
values of one key in one place.

The default is followed by the unit; a number without one is a factor, a share or a count. This page is made from the
code. A range is the one that the code checks; a value outside it is refused.
"""
SPECS = (AudioSpec, VisualSpec, ClipSpec, FlowSpec, TextSpec)
SHARED = {
    "score": (ScoreConfig, "Warm-up, mixture and posteriors. Settings of `curate score`."),
    "train": (TrainConfig, "What every method shares. Settings of `curate train`."),
    "optim": (OptimConfig, "Optimisation, of the warm-up and of every method."),
    "model": (ModelConfig, "Encoders, fusion and heads."),
}
"""{section: its configuration, and what it is}."""
KINDS = {"int": "a whole number", "float": "a number", "str": "a text", "bool": "`true` or `false`"}
UNITS = {
    "s": "seconds max_seconds length_slack",
    "Hz": "rate",
    "GB": "max_memory",
    "pixels": "size crop max_pixels flow_limit",
    "frames": "frames",
    "samples": "n_fft hop batch_size train_samples",
    "bands": "n_mels",
    "columns": "columns",
    "channels": "channels max_channels",
    "tokens": "tokens",
    "features": "dim text_width",
    "layers": "text_layers",
    "batches": "accumulate",
    "rounds": "rounds",
    "folds": "folds",
    "epochs": "epochs epochs_per_round super_epoch every until warmup step_size first_epoch last_epoch "
    "ogm_first_epoch ogm_last_epoch opm_first_epoch",
}
"""{unit: the keys of numbers that are in it}; other numbers have none."""
GROUPS = {
    "every data set": Dataset,
    "data sets of media files": Recordings,
    "data sets of audio-visual clips": AudioVisual,
}


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting, as the page shows it."""

    key: str
    kind: str
    default: str
    within: str
    what: str

    @property
    def row(self) -> list[str]:
        """Its line of the table."""
        key = self.key.partition(".")[2]
        number = re.search("int|float", self.kind)
        units = [u for u, keys in UNITS.items() if key in keys.split() and number]
        values = " or ".join(KINDS.get(part, code(part)) for part in self.kind.split(" | "))
        values = ", ".join(filter(None, [values, self.within]))
        return [code(self.key), " ".join([code(self.default), *units]), values, self.what]


def page() -> str:
    """Its Markdown."""
    parts = [HEAD]
    for section, (kind, what) in SHARED.items():
        found = settings(kind, section)
        if section == "score":
            found += [s for s in settings(PredictionsConfig, section) if s.key not in {f.key for f in found}]
        parts += [f"## {section}\n", f"{what}\n", _table(found)]
    parts += ["## data\n", "How a data set is read and decoded.\n"]
    seen: set[str] = set()
    for title, kind in GROUPS.items():
        own = [s for s in settings(kind.Options, "data") if s.key not in seen]
        seen |= {s.key for s in own}
        parts += [f"### data: {title}\n", _table(own)]
    parts += [_data_set(name) for name in ("manifest", *(n for n in names() if n != "manifest"))]
    parts += ["## method\n", "Each method has its own. `curate methods NAME` prints them.\n"]
    for entry in catalog.entries():
        found = settings(getattr(catalog.find(entry.name), "Config", None), "method")
        parts += [f"### method: {entry.name}\n", f"{sentence(entry.summary)} {sentence(entry.paper)}\n", _table(found)]
    return "\n".join(parts)


def settings(kind: type | None, section: str) -> list[Setting]:
    """The settings of a configuration, in the order in which it declares them."""
    if kind is None or not dataclasses.is_dataclass(kind):
        return []
    hints, what = get_type_hints(kind), _descriptions(kind)
    allowed = ranges(kind)
    return [
        Setting(
            f"{section}.{f.name}",
            readable_hint(hints[f.name]),
            _shown(f.default),
            allowed.get(f.name, ""),
            what.get(f.name, ""),
        )
        for f in dataclasses.fields(kind)
    ]


def ranges(kind: type) -> dict[str, str]:
    """{key: the range that is checked when a configuration is made}, in words."""
    found: dict[str, str] = {}

    def within(made: Any, section: str, limits: Mapping[str, tuple[float, float]]) -> None:
        for name, (least, most) in limits.items():
            found[name] = _limits(least, most)

    def rules(made: Any, given: Mapping[str, bool]) -> None:
        for rule in given:
            for name in re.findall(r"[a-z_]\w+", rule):
                found.setdefault(name, code(rule))

    with ExitStack() as stack:
        for name, module in _checking():
            stack.enter_context(mock.patch.object(module, name, within if name == "check_within" else rules))
        kind()
    return {name: text for name, text in found.items() if name in {f.name for f in dataclasses.fields(kind)}}


def _checking() -> list[tuple[str, Any]]:
    """(name of the check, module that uses it), of the modules that are loaded by now."""
    known = {"check_within": checks.check_within, "check_ranges": knobs.check_ranges}
    own = [m for name, m in list(sys.modules.items()) if name.startswith("curate")]
    return [(name, m) for m in own for name, check in known.items() if vars(m).get(name) is check]


def _limits(least: float, most: float) -> str:
    """`0 to 1`; a bound that only keeps numbers finite is left out."""
    low = "above 0" if 0 < least < 1e-9 else f"{least:g}"
    if most >= 1e6:
        return low if low == "above 0" else f"{low} or more"
    high = "below 1" if 1 - 1e-9 < most < 1 else f"{most:g}"
    return f"{low}, {high}" if high == "below 1" or low == "above 0" else f"{low} to {high}"


def _descriptions(kind: type) -> dict[str, str]:
    """{key: what it does}, from the docstrings of the class, of those above it, and of how media are stored."""
    found: dict[str, str] = {}
    for source in (*kind.__mro__, Recordings.Options, Manifest.Options, *SPECS):
        if source.__doc__ and dataclasses.is_dataclass(source):
            own = attributes(inspect.cleandoc(source.__doc__))
            found |= {name: text for name, text in own.items() if name not in found}
    return found


def _data_set(name: str) -> str:
    kind = find(name)
    base = next(k for k in (AudioVisual, Recordings, Dataset) if issubclass(kind, k))
    usual = {s.key: s for s in settings(base.Options, "data")}
    own = [s for s in settings(kind.Options, "data") if usual.get(s.key) != s]
    group = next(title for title, k in GROUPS.items() if k is base)
    text = f"### data: {name}\n\n{sentence(kind.summary)} It also has the settings of {group}.\n"
    usual_settings = ", ".join(code(f"{k}={v}") for k, v in kind.defaults.items())
    text += f"\nDefaults of other sections with this data set: {usual_settings}.\n" if usual_settings else ""
    return f"{text}\n{_table(own)}"


def _table(found: list[Setting]) -> str:
    head = ["setting", "default", "values", "what it does"]
    return table(head, [s.row for s in found], "settings") if found else "No settings.\n"


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else "''" if value == "" else str(value)
