"""The pages: links, code blocks, commands, settings and messages that they name; and the site as it is built."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("markdown", reason="the site's generator is not installed")

from markdown.extensions.toc import slugify, unique
from typer.main import get_command

from curate import cli, errors
from docs.make import messages
from docs.make.blocks import blocks
from docs.make.pages import generated

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
COMMANDS = get_command(cli.app).commands
REFERENCE = ("cli.md", "settings.md", "table.md", "methods.md", "data-sets.md", "python.md", "torch.md", "messages.md")


@cache
def pages() -> dict[str, str]:
    """{path below docs: Markdown} of every page of the site."""
    written = {p.relative_to(DOCS).as_posix(): p.read_text(encoding="utf-8") for p in DOCS.rglob("*.md")}
    return written | generated()


@cache
def anchors(page: str) -> frozenset[str]:
    """The anchors of a page: its headings, and the objects that its docstrings are of."""
    text = re.sub(r"^```.*?^```$", "", pages()[page], flags=re.M | re.S)
    seen: set[str] = set()
    for title in re.findall(r"^#+ (.*)$", text, re.M):
        plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", title)
        unique(slugify(plain, "-"), seen)
    return frozenset(seen | set(re.findall(r"^::: (\S+)", text, re.M)))


def prose(page: str) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", pages()[page], flags=re.M | re.S)


def test_links_lead_to_pages_and_headings_that_exist() -> None:
    wrong = []
    for page in pages():
        for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
            if re.match(r"https?:|mailto:", target):
                continue
            path, _, anchor = target.partition("#")
            there = (DOCS / page).parent.joinpath(path).resolve().relative_to(DOCS).as_posix() if path else page
            known = there in pages() or (DOCS / there).is_file()
            if not known or (anchor and there in pages() and anchor not in anchors(there)):
                wrong.append(f"{page}: {target}")
    assert not wrong


def test_every_page_is_linked_from_the_index_of_its_section() -> None:
    for page in pages():
        folder, _, name = page.rpartition("/")
        index = f"{folder}/index.md"
        if index in pages() and name != "index.md":
            assert f"({name}" in pages()[index], page


def test_every_block_is_run_or_says_why_not() -> None:
    unknown = [f"{page}:{b.line}" for page in pages() for b in blocks(pages()[page]) if not b.is_known]
    assert not unknown
    fences = {page: len(re.findall(r"^\s*```", text, re.M)) for page, text in pages().items()}
    assert not [page for page, count in fences.items() if count != 2 * len(blocks(pages()[page]))]


def typed() -> list[tuple[str, list[str]]]:
    """Every `curate ...` of a block, run or not, and of a sentence, as words."""
    found = []
    for page, text in pages().items():
        lines = [line for b in blocks(text) if b.language == "sh" for line in b.commands()]
        if not page.startswith(("project/", "studies/")):
            lines += re.findall(
                r"(?<!`)`(curate [a-z]+[^`\n…]*)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
            )
        found += [(page, line) for line in lines if line.startswith("curate ")]
    return [(page, shlex.split(line.partition(" < ")[0], comments=True)[1:]) for page, line in found]


def test_commands_and_options_exist() -> None:
    wrong = []
    for page, words in typed():
        command = COMMANDS.get(words[0])
        known = {name for p in command.params for name in p.opts} | {"--help"} if command else set()
        if (not command and words[0] != "COMMAND") or {w for w in words if re.match(r"--?[a-z]", w)} - known:
            wrong.append(f"{page}: {' '.join(words)}")
    assert not wrong


def test_settings_exist_and_say_what_they_are() -> None:
    reference = pages()["reference/settings.md"]
    rows = re.findall(r"^\| `((?:data|model|optim|score|train|method)\.\w+)` \|(.*)\|$", reference, re.M)
    known = {key for key, _ in rows} | {"data.KEY", "method.KEY"}
    without = [key for key, rest in rows if not rest.rpartition(" | ")[2].strip(" |")]
    assert not without
    named = {
        (page, key)
        for page in pages()
        if not page.startswith(("project/", "studies/", "reference/messages"))
        for key in re.findall(r"\b((?:data|model|optim|score|train|method)\.[a-z_]+)=", pages()[page])
    }
    assert not {(page, key) for page, key in named if key not in known}


@pytest.mark.parametrize("name", ["ScoreConfig", "OptimConfig"])
def test_ranges_are_those_that_are_checked(name: str) -> None:
    """A value just outside a range of the page is refused, and its ends are not."""
    from curate.train.methods.optim import OptimConfig
    from curate.train.stages.settings import ScoreConfig
    from docs.make import settings

    kind = {"ScoreConfig": ScoreConfig, "OptimConfig": OptimConfig}[name]
    shown = settings.ranges(kind)
    assert shown["batch_size"] == "1 or more"
    kind(batch_size=1)
    with pytest.raises(errors.CurateError):
        kind(batch_size=0)


def test_quoted_messages_are_those_of_the_code() -> None:
    known = {message for _, message, _ in messages.messages()}
    text = pages()["troubleshooting.md"]
    quoted = [
        m
        for line in text.splitlines()
        if line.startswith("| `")
        for m in re.findall(r"`([^`]+)`", line.split(" | ")[0])
    ]
    quoted += re.findall(r"^`([^`]+…[^`]*)`", text, re.M)
    told = [m for m in quoted if "…" in m]
    assert len(told) > 30
    assert not [m for m in told if m not in known]


def test_every_status_has_a_cure() -> None:
    section = pages()["troubleshooting.md"].partition("## Samples that cannot be used")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", section, re.M)
    assert {name for row in rows for name in re.findall(r"\w+", row)} - {"status"} == messages.statuses()


@pytest.mark.parametrize(("place", "column"), [("schema.sql", "sample"), ("samples.sql", "failures")])
def test_every_status_stands_at_its_column(place: str, column: str) -> None:
    text = (ROOT / "curate/store" / place).read_text(encoding="utf-8")
    said = re.findall(rf"COMMENT ON COLUMN {column}\.status IS '(?:[^':]*: )?([^']*)'", text)
    assert len(said) == 1 and set(re.findall(r"\w+", said[0])) - {"or"} == messages.statuses()


def test_exit_codes_are_those_of_the_code() -> None:
    listed = set(map(int, re.findall(r"^\| (\d+) \|", pages()["reference/exit-codes.md"], re.M)))
    assert listed == set(map(int, re.findall(r"(\d+) [a-z]", cli.app.info.epilog or "")))
    assert {errors.CurateError.exit_code, errors.LockedError.exit_code, errors.EmptySelectionError.exit_code} <= listed


def test_the_reference_shows_every_command_view_and_public_name() -> None:
    import curate
    import curate.torch

    assert all(f"reference/{name}" in pages() for name in REFERENCE)
    assert all(f"## curate {name}\n" in pages()["reference/cli.md"] for name in COMMANDS)
    for name, command in COMMANDS.items():
        own = pages()["reference/cli.md"].partition(f"## curate {name}\n")[2].partition("\n## ")[0]
        assert all(
            f"`{option}`" in own for p in command.params if p.name != "help" for option in p.opts if option[0] == "-"
        )
    views = re.findall(r"VIEW (\w+) AS", "".join(p.read_text() for p in (ROOT / "curate/store").glob("*.sql")))
    assert all(f"### {view}\n" in pages()["reference/table.md"] for view in views)
    for view in ("samples", "by_class", "by_modality", "failures", "findings"):
        own = pages()["reference/table.md"].partition(f"### {view}\n")[2].partition("\n### ")[0]
        assert len(own.splitlines()) > 6 and not re.search(r"\|  \|$", own, re.M), "a column without a comment"
    assert all(f"curate.{name}" in pages()["reference/python.md"] for name in curate.__all__)
    assert all(f".{name}\n" in pages()["reference/torch.md"] for name in curate.torch.__all__)


def test_every_extra_is_listed() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    cells = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", pages()["howto/install.md"], re.M)
    assert {name for cell in cells for name in re.findall(r"\w+", cell)} == set(extras)


def test_each_of_the_requests_of_users_has_its_place() -> None:
    rows = re.findall(r"^\| (\d+) \|.*\]\(.*\|$", pages()["peers.md"], re.M)
    assert list(map(int, rows)) == list(range(1, 16))


class Outside(HTMLParser):
    """What a page loads: the addresses of scripts, styles, pictures and frames."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "img", "iframe", "source", "video", "audio"):
            self.loaded.append(given.get("src") or "")
        elif tag == "link" and given.get("rel") not in ("canonical", "next", "prev", "alternate"):
            self.loaded.append(given.get("href") or "")


@pytest.mark.long
def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # of the generator's future, not of the pages
    ended = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert ended.returncode == 0 and "WARNING" not in ended.stderr, ended.stderr[-3000:]
    built = sorted((tmp_path / "site").rglob("*.html"))
    assert len(built) > 40
    for path in built:
        parser = Outside()
        parser.feed(path.read_text(encoding="utf-8"))
        assert not [a for a in parser.loaded if re.match(r"(https?:)?//", a)], path
    styles = "".join(p.read_text(encoding="utf-8") for p in (tmp_path / "site").rglob("*.css"))
    assert not re.findall(r"url\(['\"]?(?:https?:)?//", styles)
