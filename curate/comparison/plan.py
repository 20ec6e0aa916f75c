"""What is compared: each row is a method with its settings, from `--method` or a table in TOML; and the controls.

A table is a file such as those in `tables/`:

    title = "..."                       # one line
    note = "..."                        # what to know about it
    columns = ["accuracy", "verdict"]   # from `COLUMNS`; the usual ones when left out
    set = ["optim.lr=0.002"]            # settings of every cell, scoring and training; a user's own settings win
    paper_columns = "rows"              # what the paper's columns are: its data sets, or this table's rows
    preset = { crema_d = ["data.frames=2"] }  # further settings of every cell on one data set

    [[row]]
    label = "without the weights"       # the method's name and settings when left out
    method = "adaptive"
    set = ["method.use_weights=false"]  # of its training; they win over everything
    score = ["optim.optimizer=adam"]    # of the scored run it starts from, and then of its training too
    paper = { ave = { accuracy = 70.40 } }  # by data set, as the paper prints it; see `Row`
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

from curate.config import LARGEST, Layer, parse_set
from curate.errors import CurateError, unknown_name

COLUMNS = (
    "kept",
    "accuracy",
    "joint",
    "continued",
    "verdict",
    "modalities",
    "macro_f1",
    "map",
    "time",
    "memory",
    "seconds",
    "gap",
    "epochs",
    "seeds",
    "remark",
)
"""What a comparison can show."""
USUAL = tuple(c for c in COLUMNS if c not in ("seconds", "kept"))
"""The columns that are printed where a table does not list any."""
JOINT, CONTINUED, APART = "joint", "warmup", "unimodal"
CONTROLS = (JOINT, CONTINUED, APART)
"""Without these anything looks like a gain: plain joint training, the warm-up continued, separate networks."""
IMPROVE = "improve"
"""The comparison of `curate improve`, whose baseline is the training with the labels as given."""
ALL = "all"
TUNED = ", tuned"
"""In the label of a row whose settings were chosen on validation."""
RATES = (3.0, 1 / 3, 10.0, 0.1)
"""The learning rates that tuning tries, as multiples of the run's."""
MOST_SEEDS = 1000
ROW_SECTIONS = ("model", "optim", "train", "method")
SCORE_SECTIONS = ("model", "optim", "score")
SHARED_SECTIONS = ("data", "model", "optim", "score", "train")
PAPER_COLUMNS = ("datasets", "rows")
KEYS = {
    "title": str,
    "note": str,
    "columns": list,
    "set": list,
    "preset": dict,
    "paper_columns": str,
    "row": list,
}
ROW_KEYS = {"label": str, "method": str, "set": list, "score": list, "paper": dict}


@dataclass(frozen=True)
class Row:
    """One line of a comparison: a method with its settings.

    Attributes:
        label: its name in the printed table.
        method: its name on the command line.
        settings: settings of its training.
        scoring: settings of the scored run it starts from, in addition to those of all rows.
        control: whether it is what others are compared with.
        twin: label of the control that belongs to this row alone, such as a random subset; '' for none.
        paper: {data set: {what: number}} as the paper prints it: `accuracy`, `macro_f1`, `map`, one modality's
            `audio` (accuracy) or `audio_map`, `kept` (share of the training data), all in percent; `seconds` of an
            epoch and `seconds_sd`. Empty for a row that the paper does not have.
    """

    label: str
    method: str
    settings: Layer = field(default_factory=dict)
    scoring: Layer = field(default_factory=dict)
    control: bool = False
    twin: str = ""
    paper: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """A comparison to be run.

    Attributes:
        name: under which it is stored.
        rows: in the order they are printed.
        title: of a table; '' otherwise.
        note: what to know about a table, a paragraph a line; '' otherwise.
        settings: settings of every cell; a user's own settings win.
        columns: the columns that are printed.
        presets: {data set: settings of every cell on it}, above `settings`; a user's own settings win.
        paper_columns: whether the columns of the paper's table are `datasets`, or the `rows` of this one.
    """

    name: str
    rows: tuple[Row, ...]
    title: str = ""
    note: str = ""
    settings: Layer = field(default_factory=dict)
    columns: tuple[str, ...] = USUAL
    presets: Mapping[str, Layer] = field(default_factory=dict)
    paper_columns: str = PAPER_COLUMNS[0]

    def is_ours(self, row: Row) -> bool:
        """Whether a row of a paper's table is not in the paper."""
        return not row.paper and any(other.paper for other in self.rows)


def table_names() -> list[str]:
    """Names of the tables, ascending: the papers' `adaptive/1`, ..., `iprm/trimodal`, and `usability/remedies`."""
    return sorted(p.name.removesuffix(".toml").replace("-", "/", 1) for p in _folder().iterdir() if p.name[0] != ".")


def read_table(name: str) -> Plan:
    """One of the papers' tables by its name, or a file of the same form by its path.

    Raises:
        CurateError: there is none, or it is not of that form.
    """
    if name in table_names():
        text = _folder().joinpath(name.replace("/", "-") + ".toml").read_text(encoding="utf-8")
        return _parse(name, name, text)
    path = Path(name)
    if path.suffix != ".toml":
        raise unknown_name("table", name, table_names())
    try:
        return _parse(path.stem, str(path), path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise CurateError(f"{path} is not text in UTF-8", "see https://toml.io") from None


def _folder() -> Any:
    return resources.files("curate.comparison").joinpath("tables")


def parse_methods(texts: Iterable[str], known: Sequence[str]) -> list[Row]:
    """Rows of `NAME` or `NAME:section.key=value,section.key=value`; `all` is every known method as it is.

    Raises:
        CurateError: an unknown method, a setting of a section that training does not have, or the same row twice.
    """
    rows: list[Row] = []
    for text in texts:
        name, _, changes = text.partition(":")
        if name == ALL and not changes:
            rows += [Row(n, n) for n in known]
            continue
        if name not in known:
            raise unknown_name("method", name, [*known, ALL])
        settings = _settings([c.strip() for c in changes.split(",") if c.strip()], ROW_SECTIONS, f"--method {text}")
        rows.append(Row(labelled(name, settings), name, settings))
    _check_labels(rows, "--method")
    return rows


def swept(rows: Sequence[Row], texts: Iterable[str]) -> list[Row]:
    """The rows, each followed by itself with every value of every sweep, one setting at a time.

    Args:
        texts: `section.key=value,value,...`, e.g. `method.alpha=0.1,0.5,1`.

    Raises:
        CurateError: a sweep has no values, a section that training does not have, or a row comes twice.
    """
    changes: list[Layer] = []
    for text in texts:
        name, _, values = text.partition("=")
        found = [v.strip() for v in values.split(",") if v.strip()]
        if not found:
            raise CurateError(f"--sweep {text} has no values", "e.g. --sweep method.alpha=0.1,0.5,1")
        changes += [_settings([f"{name.strip()}={value}"], ROW_SECTIONS, f"--sweep {text}") for value in found]
    out = []
    for row in rows:
        out.append(row)
        for change in changes:
            settings = merged(row.settings, change)
            out.append(replace(row, label=labelled(row.label, change), settings=settings, paper={}))
    _check_labels(out, "--sweep")
    return out


def candidates(tried: str, rate: float) -> list[Layer]:
    """The settings that tuning tries for a method, in their order: its main knob, then the learning rate.

    Args:
        tried: the knob with its values, such as `alpha=0.1,0.3`; '' for a method without one.
        rate: its learning rate as it is; `RATES` times that are tried.
    """
    knob, _, values = tried.partition("=")
    own = [parse_set([f"method.{knob}={value}"]) for value in values.split(",") if value]
    return [*own, *({"optim": {"lr": float(f"{rate * factor:.3g}")}} for factor in RATES)]


def tuned_row(row: Row, change: Layer) -> Row:
    """The row with the settings that were chosen for it; an empty change is its own settings again."""
    return replace(row, label=labelled(row.label + TUNED, change), settings=merged(row.settings, change), twin="")


def is_tuned(label: str) -> bool:
    """Whether a row has settings that were chosen on validation."""
    return TUNED in label


def without_choice(label: str) -> str:
    """The label of a tuned row without the settings that were chosen; another label as it is."""
    method, tuned, _ = label.partition(TUNED)
    return method + tuned


def swept_setting(label: str) -> tuple[str, str, float] | None:
    """(label of the row, setting, its value) of a row of a sweep with numbers; None for others."""
    found = re.fullmatch(r"(.+) \(([\w.]+)=([^,()]+)\)", label)
    try:
        return (found[1], found[2], float(found[3])) if found else None
    except ValueError:
        return None


def with_controls(plan: Plan, controls: Mapping[str, str], measure: bool = True) -> Plan:
    """The plan with the general controls in front; a row's own control, if it has one, follows it.

    Args:
        controls: {method: its `method.control` that makes a control of its own}, e.g. `random`; '' for none.
        measure: False leaves out controls that were not asked for; what is printed then lacks them.

    Raises:
        CurateError: a row has the label of a control.
    """
    plain = {row.method: row for row in plan.rows if not row.settings and not row.scoring}
    first = [plain.get(name, Row(name, name)) for name in CONTROLS if name in plain or measure]
    rows = [replace(row, control=True) for row in first]
    for row in plan.rows:
        if row in first:
            continue
        own = row.settings.get("method", {})
        kind = controls.get(row.method, "")
        if not kind or "control" in own:
            rows.append(replace(row, control="control" in own))
            continue
        settings = {**row.settings, "method": {**own, "control": kind}}
        wanted = (row.method, settings, row.scoring)
        asked = next((r for r in plan.rows if (r.method, r.settings, r.scoring) == wanted), None)
        twin = asked or Row(f"{row.label}, {kind}", *wanted, control=True)
        rows.append(replace(row, twin=twin.label if asked or measure else ""))
        if asked is None and measure:
            rows.append(twin)
    _check_labels(rows, plan.name)
    return replace(plan, rows=tuple(rows))


def parse_seeds(text: str) -> list[int]:
    """Seeds from text: `3` is 0, 1, 2; `0,7` is 0 and 7.

    Raises:
        CurateError: the text has neither form.
    """
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        seeds = []
    if "," not in text and seeds:
        seeds = list(range(min(seeds[0], MOST_SEEDS + 1)))
    if not seeds or min(seeds) < 0 or max(seeds) > LARGEST or len(seeds) > MOST_SEEDS or len(set(seeds)) < len(seeds):
        raise CurateError(
            f"--seeds is a number of seeds or a list of them, got {text!r}", "e.g. --seeds 3, --seeds 0,7"
        )
    return seeds


def _parse(name: str, where: str, text: str) -> Plan:
    try:
        content = tomllib.loads(text)
    except RecursionError:
        raise CurateError(f"{where} is nested too deeply", "see the tables of curate") from None
    except ValueError as error:  # not TOML, or a number of too many digits
        raise CurateError(f"{where} is not valid TOML: {error}", "see https://toml.io") from None
    _check(content, KEYS, where)
    rows = [_row(r, where) for r in content.get("row", [])]
    if not rows:
        raise CurateError(f"{where} has no row", 'write [[row]] and below it method = "adaptive"')
    _check_labels(rows, where)
    for column in content.get("columns", ()):
        if str(column) not in COLUMNS:
            raise unknown_name(f"column in {where}", str(column), COLUMNS)
    if (across := content.get("paper_columns", PAPER_COLUMNS[0])) not in PAPER_COLUMNS:
        raise unknown_name(f"paper_columns of {where}", across, PAPER_COLUMNS)
    presets = content.get("preset", {})
    _check(presets, dict.fromkeys(presets, list), f"preset of {where}")
    return Plan(
        name,
        tuple(rows),
        content.get("title", ""),
        content.get("note", "").strip(),
        _settings(content.get("set", []), SHARED_SECTIONS, where),
        tuple(content.get("columns", USUAL)),
        {dataset: _settings(own, SHARED_SECTIONS, where) for dataset, own in presets.items()},
        across,
    )


def _row(content: Any, where: str) -> Row:
    _check(content, ROW_KEYS, f"a row of {where}")
    if "method" not in content:
        raise CurateError(f"a row of {where} names no method", 'e.g. method = "adaptive"')
    settings = _settings(content.get("set", []), ROW_SECTIONS, where)
    scoring = _settings(content.get("score", []), SCORE_SECTIONS, where)
    for known in content.get("paper", {}).values():
        if not isinstance(known, dict) or not all(type(v) in (int, float) for v in known.values()):
            raise CurateError(
                f"paper of a row of {where} holds no numbers", "e.g. paper = { ave = { accuracy = 70.4 } }"
            )
    label = content.get("label") or labelled(content["method"], {**settings, **scoring})
    return Row(label, content["method"], settings, scoring, paper=content.get("paper", {}))


def _settings(assignments: Iterable[Any], sections: Sequence[str], where: str) -> Layer:
    layer = parse_set(map(str, assignments))
    for section in layer:
        if section not in sections:
            raise unknown_name(f"section in {where}", section, sections)
    return layer


def _check(content: Any, keys: Mapping[str, type], where: str) -> None:
    if not isinstance(content, dict):
        raise CurateError(f"{where} is not a table of keys", f"its keys: {', '.join(keys)}")
    for key, value in content.items():
        if key not in keys:
            raise unknown_name(f"key in {where}", key, keys)
        if not isinstance(value, keys[key]):
            raise CurateError(f"{key} in {where} is a {keys[key].__name__}, got {value!r}", "see the tables of curate")


def _check_labels(rows: Sequence[Row], where: str) -> None:
    labels = [row.label for row in rows]
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise CurateError(f"{where}: {twice[0]!r} occurs more than once", "leave one out, or give rows other labels")


def merged(settings: Layer, change: Layer) -> dict[str, dict[str, Any]]:
    """The settings, and on top of them a change."""
    return {k: {**settings.get(k, {}), **change.get(k, {})} for k in {**settings, **change}}


def labelled(method: str, settings: Layer) -> str:
    """`adaptive (gap=kl, train.epochs=20)`."""
    named = {f"{section}.{key}": v for section, values in settings.items() for key, v in values.items()}
    parts = [
        f"{name.removeprefix('method.')}={str(value).lower() if isinstance(value, bool) else value}"
        for name, value in named.items()
    ]
    return f"{method} ({', '.join(parts)})" if parts else method
