"""What is generated on a method's page: the command, settings, what was measured, departures, the paper."""

from __future__ import annotations

import re
from pathlib import Path

from curate.train.methods import catalog

from .settings import settings
from .text import table

ROOT = Path(__file__).parents[2]
STUDIES = ROOT / "reports/studies"
STUDY, LATER = ((STUDIES / f"{name}.md").read_text(encoding="utf-8") for name in ("comparison", "lead"))
COLUMNS = ("method", "accuracy, %", "minus joint", "minus warm-up continued", "verdict")
LINK = "[The study](../studies/{}.md)"


def finished(name: str, page: str) -> str:
    """A method's page with its generated sections."""
    entry = next(e for e in catalog.entries() if e.name == name)
    own = settings(catalog.find(name).Config, "method")
    parts = [page.rstrip(), _run(entry, [s.key for s in own]), "## Settings\n"]
    head = ["setting", "default", "values", "what it does"]
    parts.append(table(head, [s.row for s in own], "settings") if own else "It has none of its own.\n")
    parts.append(
        "The settings of sections `model`, `optim` and `train` apply too, see [settings](../reference/settings.md).\n"
    )
    parts += ["## Measured\n", measured(name), "## Where it differs from the published code\n"]
    departures = [f"- **{what}**: {text}" for what, text in entry.departures.items()]
    parts.append("\n".join(departures) + "\n" if departures else "No departure is listed.\n")
    parts.append("[What all methods share](index.md#what-differs-for-every-method) applies too.\n")
    parts += ["## Paper\n", f"{entry.paper}.\n"]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _run(entry: catalog.Entry, keys: list[str]) -> str:
    """The commands that train it, and that compare it."""
    begins = {
        "warm": "It starts at the warm weights of the newest scored run; `--from scratch` starts at random ones.",
        "scratch": "It starts at random weights, with more epochs; `--from warm` starts at the warm ones.",
    }
    lines = [f"curate train --method {entry.name}", f"curate compare --method {entry.name} --seeds 3"]
    if entry.control:
        lines.insert(1, f"curate train --method {entry.name} --set method.control={entry.control}")
    block = "\n".join(lines)
    return (
        "## Run it\n\n<!-- not run: it needs a scored run; tests/train/methods runs every method -->\n"
        f"```sh\n{block}\n```\n\n{begins[entry.start]}"
    )


def measured(name: str) -> str:
    """Its rows of the first table of the comparison, or of a later study on the same data."""
    study, own = "comparison", _rows_of(name, STUDY)
    if not own:
        study, own = "lead", _rows_of(name, LATER)
    if not own and (others := _studies_of(name)):
        return f"{', '.join(map(LINK.format, others))} has its rows, by other columns than those of the comparison.\n"
    if not own:
        return f"No study has a row of this method; `curate compare --method {name} --seeds 3` measures it.\n"
    lines = [COLUMNS, ["---"] * len(COLUMNS), *([row[c] for c in COLUMNS] for row in own)]
    shown = "".join(f"| {' | '.join(line)} |\n" for line in lines)  # scrolls: numbers need their heads
    return (
        "Real recordings paired with real digits, damage planted, three seeds; in brackets 95 % intervals of the "
        f"differences, in points. {LINK.format(study)} has the protocol and its limits.\n\n{shown}"
    )


def _studies_of(name: str) -> list[str]:
    """The studies that name the method as one."""
    return [p.stem for p in sorted(STUDIES.glob("*.md")) if f"method `{name}`" in p.read_text(encoding="utf-8")]


def _rows_of(name: str, text: str) -> list[dict[str, str]]:
    return [row for row in study_rows(text) if re.match(rf"{name}\b(?!,? *\w*_)", row["method"])]


def study_rows(text: str) -> list[dict[str, str]]:
    """The rows of a study's table of test accuracies, by column."""
    found = re.search(r"## Test accuracy, .*?\n\n(.*?)\n\n", text, re.S)
    assert found, "the study has no table of test accuracies"
    head, _, *lines = found[1].splitlines()
    return [dict(zip(_cells(head), _cells(line), strict=True)) for line in lines]


def _cells(line: str) -> list[str]:
    return [c.strip().replace("\\|", "|") for c in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def shared() -> str:
    """What differs from the published codes for every method."""
    found = [(what, text) for name, what, text in catalog.departures() if name == catalog.ALL]
    return "## What differs for every method\n\n" + "\n".join(f"- **{what}**: {text}" for what, text in found) + "\n"
