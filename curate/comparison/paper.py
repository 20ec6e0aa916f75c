"""A paper's table in its own rows and columns, each cell the paper's number and ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from curate.types import FUSED

from .plan import APART, Plan, Row
from .summary import against

if TYPE_CHECKING:
    from .summary import Difference, Line, Spread

METRICS = {"accuracy": "accuracy", "macro_f1": "macro F1", "map": "MAP"}
OTHER = {"kept": "data kept", "seconds": "s an epoch"}
SPREAD = "_sd"
NONE = "-"
EXPLAINED = (
    "The paper's number / ours / the difference in points, with the 95 % interval of our mean; "
    f"{NONE}: the paper prints none; (ours): a row that the paper does not have."
)
Wanted = tuple[str, str]
"""A data set and what is measured on it, by its key in `Row.paper`."""


def paper_table(plan: Plan, lines: Sequence[Line] = ()) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of the paper's table, in its layout; no rows if the plan is of no paper.

    Args:
        plan: as it was read, without added controls, so that its rows are in the paper's order.
        lines: ours; a data set without lines has the paper's numbers alone.
    """
    wanted, found = _wanted(plan), {(line.dataset, line.label): line for line in lines}
    if plan.paper_columns == "datasets":
        head = ["method", *(f"{dataset}, {named(key)}" for dataset, key in wanted)]
        rows = [[_label(plan, row), *(_cell(row, w, w[1], found) for w in wanted)] for row in plan.rows]
        return head, rows if wanted else []
    columns = [(row, place) for row in plan.rows for place in _places(row)]
    head = ["data set", "%", *(_label(plan, row, place) for row, place in columns)]
    return head, [[w[0], named(w[1]), *(_cell(r, w, _key(r, w, place), found) for r, place in columns)] for w in wanted]


def named(key: str) -> str:
    """A key of `Row.paper` in words: `macro F1`, `audio MAP`."""
    if key in OTHER:
        return OTHER[key]
    modality, metric = split_key(key)
    return METRICS[metric] if modality == FUSED else f"{modality} {METRICS[metric]}"


def split_key(key: str) -> tuple[str, str]:
    """(modality or "fused", metric) of a key of `Row.paper`."""
    if key in METRICS:
        return FUSED, key
    metric = next((m for m in METRICS if key.endswith(f"_{m}")), "")
    return (key.removesuffix(f"_{metric}"), metric) if metric else (key, "accuracy")


def printed(known: Mapping[str, float], key: str) -> str:
    """A number as the paper prints it, with its spread if it prints one; `NONE` if it prints none."""
    if key not in known:
        return NONE
    spread = known.get(key + SPREAD)
    return f"{known[key]:.2f}" + ("" if spread is None else f" ± {spread:.4f}")


def percent(found: Spread | None) -> str:
    """Mean and spread of shares, in percent; '' for none."""
    if found is None:
        return ""
    return f"{100 * found.mean:.1f}" + ("" if found.sd is None else f" ± {100 * found.sd:.1f}")


def _wanted(plan: Plan) -> list[Wanted]:
    """What the paper measures on each data set, in the order of its first row that has it."""
    keys: dict[str, dict[str, None]] = {}
    for row in plan.rows:
        for dataset, known in row.paper.items():
            own = [k for k in known if not k.endswith(SPREAD) and not (_apart(plan, row) and split_key(k)[0] != FUSED)]
            keys.setdefault(dataset, {}).update(dict.fromkeys(own))
    return [(dataset, key) for dataset, own in keys.items() for key in own]


def _apart(plan: Plan, row: Row) -> bool:
    """Whether a row's modalities are columns of their own."""
    return plan.paper_columns == "rows" and row.method == APART


def _places(row: Row) -> Iterable[int | None]:
    """None for a column of the row itself; for separate networks the place of each modality, from 0 on."""
    if row.method != APART:
        return [None]
    return range(max((len(_modalities(known)) for known in row.paper.values()), default=0))


def _modalities(known: Mapping[str, float]) -> list[str]:
    return list(dict.fromkeys(m for m, _ in map(split_key, known) if m != FUSED))


def _key(row: Row, wanted: Wanted, place: int | None) -> str:
    """The key of a cell; '' where the data set has no modality in that place."""
    dataset, metric = wanted
    if place is None:
        return metric
    modalities = _modalities(row.paper.get(dataset, {}))
    if place >= len(modalities):
        return ""
    return modalities[place] if metric == "accuracy" else f"{modalities[place]}_{metric}"


def _label(plan: Plan, row: Row, place: int | None = None) -> str:
    name = row.label if place is None else f"{row.label}, {('1st', '2nd', '3rd')[place]}"
    return f"{name} (ours)" if plan.is_ours(row) else name


def _cell(row: Row, wanted: Wanted, key: str, found: Mapping[tuple[str, str], Line]) -> str:
    dataset, _ = wanted
    known = printed(row.paper.get(dataset, {}), key)
    line = found.get((dataset, row.label))
    ours = "" if line is None or not key else measured(line, key)
    difference = None if line is None else ahead_of_paper(line, key, row.paper.get(dataset, {}))
    parts = [known, ours, "" if difference is None else difference.text]
    return " / ".join(part for part in parts if part)


def ahead_of_paper(line: Line, key: str, known: Mapping[str, float]) -> Difference | None:
    """Ours minus the paper's, as a share; None unless both are there and are percentages."""
    ours = None if key == "seconds" else line.kept if key == "kept" else line.values.get(split_key(key))
    return against(ours, known[key] / 100) if ours is not None and key in known else None


def measured(line: Line, key: str) -> str:
    """Ours of a key of `Row.paper`; '' for none."""
    if key == "seconds":
        return "" if line.seconds is None else f"{line.seconds.mean:.2f}"
    return percent(line.kept if key == "kept" else line.values.get(split_key(key)))
