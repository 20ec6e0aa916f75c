"""Runs the tutorials, and writes what their commands print, and their pictures, into the pages.

python -m docs.make.tutorials [NAME ...]

A tutorial is a page of `docs/tutorials`. Its blocks have the comments of `docs/make/blocks.py`, and a page these:

    continues: TUTORIAL   this one goes on in the folder of another
    picture: NAME         here a function of `tutorial_pictures` draws `pictures/NAME.png`
    fast: TEXT => TEXT    what a test replaces in all blocks, to be done in seconds

Blocks of `sh` are run, in order and in one folder. `$FSDD` may name the Free Spoken Digit Dataset; without it
the tutorials use data that are built in.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import replace
from pathlib import Path

from .blocks import Block, blocks

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs/tutorials"
PICTURE = re.compile(r"^<!-- picture: (\w+) -->$", re.M)
WIDTH = 84
PLACE = "picture"
PROGRESS = re.compile(r"^[\w-]+(?: \w+)?: \d+/\d+.*\n?", re.M)


def names() -> list[str]:
    """The tutorials, those that others continue first."""
    pages = [p.stem for p in sorted(PAGES.glob("*.md")) if p.stem != "index"]
    return sorted(pages, key=lambda name: (bool(continued(name)), name))


def steps(page: str) -> list[Block]:
    """The blocks of a page in order, and its pictures: of the language `picture`, their names as text."""
    pictures = [Block(PLACE, m[1], 0, m.start(), m.end()) for m in PICTURE.finditer(page)]
    return sorted([*blocks(page), *pictures], key=lambda step: step.start)


def continued(name: str) -> str:
    """The tutorial that one goes on with; '' if it begins by itself."""
    found = re.search(r"^<!-- continues: (\w+) -->$", (PAGES / f"{name}.md").read_text(encoding="utf-8"), re.M)
    return found[1] if found else ""


def run(name: str, folder: Path, fast: bool = False, pictures: Path | None = None) -> str:
    """Run a tutorial in a folder, which holds what the tutorial that it continues has left.

    Args:
        name: of the page.
        folder: where it runs.
        fast: replace what the page says for tests.
        pictures: where they are drawn; None draws none.

    Returns:
        The page, with what the commands have printed.

    Raises:
        RuntimeError: a block ended with another exit code than it should; the message has what it printed.
    """
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    swaps = re.findall(r"^<!-- fast: (.*?) => (.*?) -->$", page, re.M) if fast else []
    printed, edits = "", []
    for step in steps(page):
        for old, new in swaps:
            step = replace(step, text=step.text.replace(old, new))
        if "file" in step.marks:
            (folder / step.marks["file"]).write_text(step.text, encoding="utf-8")
        elif step.is_run:
            printed = _run(step, folder)
        elif "output" in step.marks:
            edits.append((step.start, step.end, printed))
        elif step.language == PLACE and pictures is not None:
            from docs.make import tutorial_pictures

            getattr(tutorial_pictures, step.text)(folder, pictures / f"{step.text}.png")
    for start, end, text in reversed(edits):
        page = page[:start] + text + page[end:]
    return page


def _run(step: Block, folder: Path) -> str:
    """What a block prints, messages first to last, without progress and the paths of this machine."""
    ended = subprocess.run(
        ["bash", "-e", "-c", step.text],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    text = PROGRESS.sub("", ended.stdout)
    for path, shown in ((folder / ".home/cache", "~/.cache/curate"), (folder, ".")):
        text = text.replace(str(path), shown)
    if ended.returncode != int(step.marks.get("exit", 0)):
        raise RuntimeError(f"{step.text}\nended with {ended.returncode}:\n{ended.stdout}")
    return "".join(_wrapped(line) for line in text.splitlines())


def _wrapped(line: str) -> str:
    """A line of a message on several, as a terminal shows it; rows of tables stay."""
    message = len(line) > WIDTH and not re.search(r"\S  +\S|──", line)
    indent = re.match(" *", line)[0]
    lines = textwrap.wrap(line, WIDTH, subsequent_indent=f"{indent}  ", break_on_hyphens=False) if message else [line]
    return "".join(f"{part.rstrip()}\n" for part in lines)


def environment(folder: Path) -> dict[str, str]:
    """Of the commands: `curate`, `python` and `torchrun` are those of this checkout."""
    tools = folder / ".home/bin"
    tools.mkdir(parents=True, exist_ok=True)
    for name, words in (("curate", f"{ROOT}/cli.py"), ("python", ""), ("torchrun", "-m torch.distributed.run")):
        (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n', encoding="utf-8")
        (tools / name).chmod(0o755)
    own = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    own |= {"CURATE_CACHE": str(folder / ".home/cache"), "CURATE_DB": "curate.duckdb", "TQDM_DISABLE": "1"}
    return {**os.environ, **own}


def main(chosen: list[str]) -> None:
    """Run tutorials, all or some with those they continue, and rewrite their pages and pictures."""
    folders: dict[str, Path] = {}
    wanted = {*chosen, *(continued(name) for name in chosen)} or set(names())
    with tempfile.TemporaryDirectory() as temporary:
        for name in (n for n in names() if n in wanted):
            begun = continued(name)
            folders[name] = folders[begun] if begun else Path(temporary, name)
            folders[name].mkdir(exist_ok=True)
            (PAGES / "pictures").mkdir(exist_ok=True)
            page = run(name, folders[name], pictures=PAGES / "pictures")
            (PAGES / f"{name}.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
