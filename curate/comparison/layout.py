"""A comparison as text: Markdown, CSV, LaTeX; the same cells for the terminal and the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import CurateError
from curate.render import render
from curate.types import FUSED

from .plan import USUAL

if TYPE_CHECKING:
    from .plan import Plan
    from .summary import Difference, Line, Spread

NOTES = (
    "Test split, measured once a run at the epoch that validation chose. Percent, mean ± standard deviation over "
    "seeds; differences in points of fused accuracy, paired by seed, with the 95 % interval of Student's t "
    "(their standard deviation taken as 0.5 points at least, a floor that was chosen, not measured).",
    "The verdict is against the warm-up continued for as many epochs. Each is judged at 95 % on its own: of twenty "
    "methods that change nothing, about one would be called better or worse.",
)
SUFFIXES = (".md", ".csv", ".tex", ".html")
METRICS = {"accuracy": "accuracy", "macro_f1": "macro F1", "map": "mAP"}
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


def to_markdown(title: str, lines: Sequence[Line], plan: Plan | None = None) -> str:
    """A heading, the table, and how to read it."""
    return "\n".join([f"## {title}", "", render(*cells(lines, plan), "markdown"), "", *notes(plan), ""])


def to_csv(lines: Sequence[Line]) -> str:
    """Full numbers, shares in 0..1, an empty field where there is none; every column, whichever a plan shows."""
    return render(*records(lines), "csv") + "\n"


def to_latex(title: str, lines: Sequence[Line], plan: Plan | None = None) -> str:
    """A `tabular` between rules, with its caption; needs the package booktabs."""
    head, rows = cells(lines, plan)
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


def notes(plan: Plan | None = None) -> list[str]:
    """How to read the table, a sentence or two each."""
    own = [plan.note] if plan is not None and plan.note else []
    return [*own, *NOTES]


def records(lines: Sequence[Line]) -> tuple[list[str], list[list[Any]]]:
    """The numbers of a comparison: column names, and one row for each line."""
    keys = list(dict.fromkeys(key for line in lines for key in line.values))
    names = [f"{m}_{k}_{s}" for m, k in keys for s in ("mean", "sd")]
    head = ["dataset", "label", "method", "control", "seeds", *names]
    head += [f"{what}_{end}" for what in ("minus_joint", "minus_warmup") for end in ("mean", "low", "high")]
    head += ["time_relative_to_joint", "seconds_per_epoch", "mean_abs_gap", "epochs", "verdict", "remark"]
    rows: list[list[Any]] = []
    for line in lines:
        row: list[Any] = [line.dataset, line.label, line.method, line.control, " ".join(map(str, line.seeds))]
        row += [v for key in keys for v in _pair(line.values.get(key))]
        for d in (line.joint, line.continued):
            row += [None, None, None] if d is None else [d.mean, d.low, d.high]
        row += [s.mean if s else None for s in (line.time, line.seconds, line.gap)]
        rows.append([*row, line.epochs, line.verdict, line.remark])
    return head, rows


def check_outputs(paths: Sequence[Path]) -> None:
    """Check that the files can be written before anything is run.

    Raises:
        CurateError: a file has a suffix that is not in `SUFFIXES`, or its folder does not exist.
    """
    for path in paths:
        if path.suffix not in SUFFIXES:
            ending = path.suffix or "a file without suffix"
            raise CurateError(f"cannot write {ending!r}", f"name a file ending in {', '.join(SUFFIXES)}")
        if not path.parent.is_dir():
            raise CurateError(f"the folder of {path} does not exist", "make it first")


Value = Callable[["Line"], str]


def _column(name: str, lines: Sequence[Line]) -> list[tuple[str, Value]]:
    """(head, function from a line to its text) of the columns that a name stands for."""
    modalities = list(dict.fromkeys(m for line in lines for m in line.modalities))
    single: dict[str, tuple[str, Value]] = {
        "accuracy": ("accuracy, %", lambda line: _percent(line.values.get((FUSED, "accuracy")))),
        "macro_f1": ("macro F1, %", lambda line: _percent(line.values.get((FUSED, "macro_f1")))),
        "map": ("mAP, %", lambda line: _percent(line.values.get((FUSED, "map")))),
        "joint": ("minus joint", lambda line: _points(line.joint)),
        "continued": ("minus warm-up continued", lambda line: _points(line.continued)),
        "verdict": ("verdict", lambda line: line.verdict),
        "time": ("time, joint = 1", lambda line: _number(line.time)),
        "seconds": ("s an epoch", lambda line: _number(line.seconds)),
        "gap": ("mean |gap|", lambda line: _number(line.gap)),
        "epochs": ("epochs", lambda line: "" if line.epochs is None else str(line.epochs)),
        "seeds": ("seeds", lambda line: str(len(line.seeds))),
        "remark": ("remark", lambda line: line.remark),
    }
    if name != "modalities":
        return [single[name]]
    return [(f"{m}, %", _of(m)) for m in modalities]


def _of(modality: str) -> Value:
    return lambda line: _percent(line.values.get((modality, "accuracy")))


def _paper_column(plan: Plan, lines: Sequence[Line]) -> list[tuple[str, Value]]:
    """The paper's numbers, where the paper reports this data set."""
    paper: Mapping[str, Any] = {row.label: row.paper for row in plan.rows}
    datasets = {dataset for known in paper.values() for dataset in known}

    def text(line: Line) -> str:
        if line.label not in paper or line.dataset not in datasets:
            return ""
        known = paper[line.label].get(line.dataset)
        return "not known here" if not known else ", ".join(_named(k, v) for k, v in known.items())

    return [("the paper, %", text)] if datasets & {line.dataset for line in lines} else []


def _named(key: str, value: float) -> str:
    return f"{value:.2f}" if key == "accuracy" else f"{METRICS.get(key, key)} {value:.2f}"


def _pair(found: Spread | None) -> tuple[float | None, float | None]:
    return (None, None) if found is None else (found.mean, found.sd)


def _percent(found: Spread | None) -> str:
    if found is None:
        return ""
    return f"{100 * found.mean:.1f}" + ("" if found.sd is None else f" ± {100 * found.sd:.1f}")


def _points(found: Difference | None) -> str:
    return "" if found is None else found.text


def _number(found: Spread | None) -> str:
    return "" if found is None else f"{found.mean:.2f}"
