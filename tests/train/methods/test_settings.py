"""Settings of every section, with values that nobody means: each is taken, or refused by its name."""

from __future__ import annotations

import dataclasses
import importlib

import pytest

from curate.config import build, parse_set
from curate.datasets import find, names
from curate.errors import CurateError
from curate.predictions.score import PredictionsConfig
from curate.train.methods import catalog
from curate.train.methods.optim import OptimConfig
from curate.train.models.model import ModelConfig
from curate.train.stages.settings import ScoreConfig, TrainConfig

ABSURD = (
    "-1",
    "0",
    "1e20",
    "-1e308",
    "1e308",
    "100000000000000000000",
    "-9223372036854775809",
    "1" * 5000,
    "nan",
    "inf",
    "-inf",
    "true",
    "none",
    "",
    "[]",
    "[" * 2000,
    "{a=1}",
    "1\nx=2",
    "\x1b[31m",
    "\u202e\u0000",
    "x" * 10_000,
    "'; DROP TABLE run; --",
    "2026-01-01",
    "0x10",
)


def sections() -> list[tuple[str, str, type]]:
    """(section, whose, dataclass) of every group of settings."""
    fixed = {"score": (ScoreConfig, PredictionsConfig), "train": (TrainConfig,), "optim": (OptimConfig,)}
    found = [(s, c.__name__, c) for s, own in (*fixed.items(), ("model", (ModelConfig,))) for c in own]
    found += [("data", name, find(name).Options) for name in names()]
    for entry in catalog.entries():
        module = importlib.import_module(f"curate.train.methods.{entry.name}")
        kinds = [k for k in vars(module).values() if isinstance(k, type) and getattr(k, "name", "") == entry.name]
        found.append(("method", entry.name, kinds[0].Config))
    return found


@pytest.mark.parametrize(("section", "whose", "schema"), sections(), ids=lambda part: part if type(part) is str else "")
def test_an_absurd_value_is_taken_or_refused_by_name(section: str, whose: str, schema: type) -> None:
    for field in dataclasses.fields(schema):
        for text in ABSURD:
            values = parse_set([f"{section}.{field.name}={text}"])[section]
            try:
                made = build(schema, values, section)
            except CurateError as refused:
                assert f"{field.name}" in refused.message and len(refused.message) < 500, refused.message
                assert refused.hint
                continue
            value = getattr(made, field.name)
            if type(value) in (int, float):
                assert abs(value) < 2**31 or type(value) is float
                assert value == value


@pytest.mark.parametrize(
    ("setting", "refused"),
    [
        ("data.seed=-1", True),
        ("data.seed=0", False),
        ("data.seed=2147483647", False),
        ("data.seed=2147483648", True),
        ("optim.batch_size=100000000000000000000", True),
        ("optim.batch_size=1048576", False),
        ("optim.momentum=1", True),
        ("optim.lr=0", True),
        ("method.decay=1e308", True),
        ("method.rounds=0", True),
    ],
)
def test_ranges_end_where_they_say(setting: str, refused: bool) -> None:
    from curate.train.methods.adaptive import Adaptive

    layer = parse_set([setting])
    (section,) = layer
    schema = {"data": find("demo").Options, "optim": OptimConfig, "method": Adaptive.Config}[section]
    if refused:
        with pytest.raises(CurateError, match=setting.partition("=")[0].partition(".")[2]):
            build(schema, layer[section], section)
    else:
        assert build(schema, layer[section], section)
