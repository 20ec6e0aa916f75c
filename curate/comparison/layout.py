"""A comparison as text: Markdown, CSV, LaTeX; the same cells for the terminal and the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from curate.render import render
from curate.types import FUSED

from .paper import EXPLAINED, SPREAD, ahead_of_paper, named, paper_table, percent, printed
from .plan import USUAL, is_tuned

if TYPE_CHECKING:
    from .plan import Plan, Row
    from .summary import Difference, Line, Spread

NOTES = (
    "Test split, measured once a run at the epoch that validation chose. Percent, mean ± standard deviation over "
    "seeds; differences in points of fused accuracy, paired by seed, with the 95 % interval of Student's t "
    "(their standard deviation taken as 0.5 points at least, a floor that was chosen, not measured).",
    "The verdict is against the warm-up continued for as many epochs. Each is judged at 95 % on its own: of twenty "
    "methods that change nothing, about one would be called better or worse.",
)
OF_TUNED = (
    "A tuned row has the settings with the best validation accuracy on the first seed, among its own and as many "
    "others as every row was given; it is compared with the tuned controls."
)
REMARK = "remark"
SUFFIXES = (".md", ".csv", ".tex", ".html")
LATEX = {
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}


def cells(lines: Sequence[Line], plan: Plan | None = None) -> tuple[list[str], list[list[str]]]:
    """Column heads and rows as text, for people.

    Args:
        plan: its columns are shown; on the data sets of its paper, the paper's numbers are shown beside ours.
    """
    parts = [_column(c, lines) for c in (plan.columns if plan else USUAL)]
    shown = [(head, value) for part in parts for head, value in part]
    if len({line.dataset for line in lines}) > 1:
        shown.insert(0, ("data set", lambda line: line.dataset))
    if plan is not None:
        shown += _paper_column(plan, lines)
    return ["method", *(h for h, _ in shown)], [[line.label, *(value(line) for _, value in shown)] for line in lines]


def aside(head: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]], list[str]]:
    """Heads and rows without the column of remarks, which is long and would be far to the right; and the remark of each
    row, '' where it has none."""
    at = head.index(REMARK) if REMARK in head else len(head)
    keep = [i for i in range(len(head)) if i != at]
    remarks = ["".join(row[at : at + 1]) for row in rows]
    return [head[i] for i in keep], [[row[i] for i in keep] for row in rows], remarks


def to_markdown(title: str, lines: Sequence[Line], plan: Plan | None = None) -> str:
    """A heading, the table, the same in the paper's layout if it is one of a paper, and how to read them."""
    parts = [f"## {title}", "", render(*cells(lines, plan), "markdown"), ""]
    if found := in_paper(lines, plan):
        parts += ["### In the paper's layout", "", render(*found, "markdown"), "", EXPLAINED, ""]
    return "\n".join([*parts, *notes(lines, plan), ""])


def in_paper(lines: Sequence[Line], plan: Plan | None) -> tuple[list[str], list[list[str]]] | None:
    """Heads and rows of a paper's table as the paper has it; None if the plan is of no paper."""
    found = None if plan is None else paper_table(plan, lines)
    return found if found and found[1] else None


def to_csv(lines: Sequence[Line], plan: Plan | None = None) -> str:
    """Full numbers, shares in 0..1, an empty field where there is none; every column, whichever a plan shows.

    The paper's numbers are as it prints them, in percent.
    """
    return render(*records(lines, plan), "csv") + "\n"


def to_latex(title: str, lines: Sequence[Line], plan: Plan | None = None) -> str:
    """A `tabular` between rules, with its caption, and the paper's layout in a second; needs the package booktabs."""
    found = in_paper(lines, plan)
    return _tabular(title, *cells(lines, plan)) + (_tabular(f"{title}. {EXPLAINED}", *found) if found else "")


def _tabular(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    body = [" & ".join(map(escape_latex, row)) + r" \\" for row in rows]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{escape_latex(title)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
            r"\toprule",
            " & ".join(map(escape_latex, head)) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def escape_latex(text: str) -> str:
    """The text with LaTeX's special characters escaped."""
    return "".join(LATEX.get(c, c) for c in text)


def notes(lines: Sequence[Line], plan: Plan | None = None) -> list[str]:
    """How to read the table, a sentence or two each."""
    own = plan.note.splitlines() if plan is not None else []
    return [*own, *NOTES, *([OF_TUNED] if any(is_tuned(line.label) for line in lines) else [])]


def records(lines: Sequence[Line], plan: Plan | None = None) -> tuple[list[str], list[list[Any]]]:
    """The numbers of a comparison: column names, and one row for each line; the paper's, if any, last."""
    paper = _paper(plan)
    printed_keys = list(dict.fromkeys(k for line in lines for k in paper.get((line.label, line.dataset), {})))
    keys = list(dict.fromkeys(key for line in lines for key in line.values))
    names = [f"{m}_{k}_{s}" for m, k in keys for s in ("mean", "sd")]
    head = ["dataset", "label", "method", "control", "seeds", *names]
    head += [f"{what}_{end}" for what in ("minus_joint", "minus_warmup") for end in ("mean", "low", "high")]
    head += ["time_relative_to_joint", "memory_relative_to_joint", "seconds_per_epoch", "mean_abs_gap", "kept"]
    head += ["epochs", "verdict", "remark", *(f"paper_{k}" for k in printed_keys)]
    head += [f"minus_paper_{k}_{end}" for k in printed_keys for end in ("mean", "low", "high")]
    rows: list[list[Any]] = []
    for line in lines:
        row: list[Any] = [line.dataset, line.label, line.method, line.control, " ".join(map(str, line.seeds))]
        row += [v for key in keys for v in _pair(line.values.get(key))]
        for d in (line.joint, line.continued):
            row += [None, None, None] if d is None else [d.mean, d.low, d.high]
        row += [s.mean if s else None for s in (line.time, line.memory, line.seconds, line.gap, line.kept)]
        known = paper.get((line.label, line.dataset), {})
        row += [line.epochs, line.verdict, line.remark, *(known.get(k) for k in printed_keys)]
        for d in (ahead_of_paper(line, k, known) for k in printed_keys):
            row += [None, None, None] if d is None else [d.mean, d.low, d.high]
        rows.append(row)
    return head, rows


Value = Callable[["Line"], str]


def _column(name: str, lines: Sequence[Line]) -> list[tuple[str, Value]]:
    """(head, function from a line to its text) of the columns that a name stands for."""
    modalities = list(dict.fromkeys(m for line in lines for m in line.modalities))
    single: dict[str, tuple[str, Value]] = {
        "kept": ("data kept, %", lambda line: percent(line.kept)),
        "accuracy": ("accuracy, %", lambda line: percent(line.values.get((FUSED, "accuracy")))),
        "macro_f1": ("macro F1, %", lambda line: percent(line.values.get((FUSED, "macro_f1")))),
        "map": ("mAP, %", lambda line: percent(line.values.get((FUSED, "map")))),
        "joint": ("minus joint", lambda line: _points(line.joint)),
        "continued": ("minus warm-up continued", lambda line: _points(line.continued)),
        "verdict": ("verdict", lambda line: line.verdict),
        "time": ("time, joint = 1", lambda line: _number(line.time)),
        "memory": ("memory, joint = 1", lambda line: _number(line.memory)),
        "seconds": ("s an epoch", lambda line: _number(line.seconds)),
        "gap": ("mean |gap|", lambda line: _number(line.gap)),
        "epochs": ("epochs", lambda line: "" if line.epochs is None else str(line.epochs)),
        "seeds": ("seeds", lambda line: str(len(line.seeds))),
        "remark": (REMARK, lambda line: line.remark),
    }
    if name in ("joint", "time", "memory") and all(getattr(line, name) is None for line in lines):
        return []  # without joint training; memory also of runs from before it was counted, or of compiled encoders
    if name != "modalities":
        return [single[name]]
    return [(f"{m}, %", _of(m)) for m in modalities]


def _of(modality: str) -> Value:
    return lambda line: percent(line.values.get((modality, "accuracy")))


def _paper(plan: Plan | None) -> dict[tuple[str, str], Mapping[str, float]]:
    """{(label, data set): the paper's numbers}."""
    return {(row.label, d): known for row in (plan.rows if plan else ()) for d, known in row.paper.items()}


def _paper_column(plan: Plan, lines: Sequence[Line]) -> list[tuple[str, Value]]:
    """The paper's numbers, where the paper reports this data set."""
    paper, rows = _paper(plan), {row.label: row for row in plan.rows}
    datasets = {dataset for _, dataset in paper}

    def text(line: Line) -> str:
        row: Row | None = rows.get(line.label)
        if line.dataset not in datasets:
            return ""
        if row is None or plan.is_ours(row):
            return "ours"
        known = paper.get((line.label, line.dataset))
        return "none printed" if not known else ", ".join(_named(k, known) for k in known if not k.endswith(SPREAD))

    return [("the paper, %", text)] if datasets & {line.dataset for line in lines} else []


def _named(key: str, known: Mapping[str, float]) -> str:
    number = printed(known, key)
    return number if key == "accuracy" else f"{named(key)} {number}"


def _pair(found: Spread | None) -> tuple[float | None, float | None]:
    return (None, None) if found is None else (found.mean, found.sd)


def _points(found: Difference | None) -> str:
    return "" if found is None else found.text


def _number(found: Spread | None) -> str:
    return "" if found is None else f"{found.mean:.2f}"
