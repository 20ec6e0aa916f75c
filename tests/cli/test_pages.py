"""The code blocks of README and site, run in the order in which a page has them, each page in a folder of its own.

`docs/make/blocks.py` has what a comment above a block may say.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("markdown", reason="the site's generator is not installed")

from docs.make.blocks import Block, blocks

ROOT = Path(__file__).parents[2]
SPEECH = Path(os.environ.get("CURATE_TEST_DATA", ROOT.parent / "shared/data")) / "free-spoken-digit-dataset"
OWN = ("tutorials", "project", "studies", "make")
"""Folders of `docs` whose blocks other tests run."""
QUICK = ("docs/howto/predictions.md", "docs/howto/select.md", "docs/howto/sql.md")
"""Pages that are run by default; the others are among the long tests."""
SMALL = """
[data]
rate = 8000
seconds = 0.5
n_fft = 256
hop = 128
n_mels = 16
size = 16
frames = 1
channels = 1
augment = "none"
[optim]
batch_size = 8
[score]
epochs = 2
[train]
epochs = 4
"""
FEW = "[score]\nepochs = 1\n[train]\nepochs = 4\n"
LOOP = """
import torch
model = lambda sound, frames: (sound, frames, sound + frames)
loader = [(["a", "b"], torch.tensor([0, 1]), torch.randn(2, 2), torch.randn(2, 2)) for _ in range(1)]
my_ids = __import__("curate").open("curate.duckdb").samples()["sample_id"].tolist() if TABLE else []
my_dataset = my_ids
"""


def texts() -> dict[str, str]:
    """{name: Markdown} of the pages whose blocks are run here."""

    written = {p.relative_to(ROOT).as_posix(): p for p in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]}
    found = {name: path.read_text(encoding="utf-8") for name, path in written.items()}
    return {n: t for n, t in found.items() if not n.startswith(tuple(f"docs/{folder}/" for folder in OWN))}


def pages() -> list[Any]:
    """A parameter a page."""
    found = []
    for name, text in texts().items():
        if any(b.is_run for b in blocks(text)):
            marks = [] if name in QUICK else [pytest.mark.long, pytest.mark.model]
            found.append(pytest.param(text, id=name, marks=marks))
    return found


class Page:
    """Runs the blocks of one page."""

    def __init__(self, place: Path, curate: Callable, make_clips: Callable, patch: pytest.MonkeyPatch) -> None:
        self.place, self.curate, self.make_clips, self.patch = place, curate, make_clips, patch
        self.names: dict[str, Any] = {"__name__": "page"}
        self.printed, self.count = "", 0

    def run(self, block: Block) -> None:
        """Do what a block and its comment say."""
        if folder := block.marks.get("folder"):
            self._enter(folder)
        if name := block.marks.get("file"):
            Path(name).write_text(block.text, encoding="utf-8")
        elif "output" in block.marks:
            self._compare(block.text)
        elif block.is_run:
            getattr(self, f"_{block.language}")(block)

    def _enter(self, name: str) -> None:
        """A new folder with the files that its name stands for."""
        self.count += 1
        folder = self.place / f"{name}{self.count}"
        folder.mkdir()
        os.chdir(folder)
        if name in ("predictions", "scored"):
            write_predictions(Path("preds.csv"))
        if name == "scored":
            assert self.curate("score", "--predictions", "preds.csv").code == 0
        if name == "clips":
            self.make_clips(Path())
            Path("curate.toml").write_text(SMALL)
        if name == "speech":
            self._speech(folder)

    def _speech(self, folder: Path) -> None:
        """A tenth of the recordings, each test picture with one of them, and few epochs."""
        if not SPEECH.is_dir():
            pytest.skip(f"the Free Spoken Digit Dataset is not at {SPEECH}; set CURATE_TEST_DATA")
        from curate.datasets import avdigits

        (folder / "speech/recordings").mkdir(parents=True)
        for path in sorted((SPEECH / "recordings").glob("*.wav")):
            if int(path.stem.split("_")[2]) in (0, 5, 6, 10, 11, 12):
                (folder / "speech/recordings" / path.name).symlink_to(path)
        (folder / "curate.toml").write_text(FEW)
        self.patch.setattr(avdigits, "TEST_DRAWS", 1)
        self.patch.setenv("FSDD", str(folder / "speech"))

    def _sh(self, block: Block) -> None:
        self.printed = ""
        for line in block.commands():
            first, *words = shlex.split(os.path.expandvars(line), comments=True)
            assert first == "curate", line
            ended = self.curate(*words)
            assert ended.code == 0, (line, ended.err)
            self.printed += ended.out

    def _python(self, block: Block) -> None:
        if "setup" in block.marks:
            exec(LOOP.replace("TABLE", str(Path("curate.duckdb").exists())), self.names)
        exec(compile(block.text, f"line {block.line}", "exec"), self.names)

    def _sql(self, block: Block) -> None:
        for statement in filter(str.strip, block.text.split(";\n")):
            ended = self.curate("sql", statement.strip().rstrip(";"))
            assert ended.code == 0, (statement, ended.err)

    def _compare(self, text: str) -> None:
        """The lines of the page are printed, in this order; `...` stands for any lines, or for the rest of one."""
        printed = list(map(shape, self.printed.splitlines()))
        for line in filter(str.strip, text.splitlines()):
            begins, whole = shape(line.removesuffix("...")), not line.endswith("...")
            fits = [p == begins or (not whole and p.startswith(begins)) for p in printed]
            assert any(fits), (line, self.printed)
            printed = printed[fits.index(True) + 1 :]


def shape(line: str) -> str:
    """A line without its numbers, and with one space where there are several."""
    return re.sub(r"\s+|─+", " ", re.sub(r"[\d.]+", "#", line)).strip()


def write_predictions(path: Path, count: int = 90) -> None:
    """Made-up predictions: audio knows every class, visual not every fourth."""
    classes, rng = ("bark", "horn", "siren"), np.random.default_rng(0)
    rows = [["sample_id", "label", "split", *(f"{m}.{c}" for m in ("audio", "visual") for c in classes)]]
    for i in range(count):
        known = np.eye(3)[i % 3]
        logits = np.concatenate([3 * known, (3 if i % 4 else 0) * known]) + 0.5 * rng.standard_normal(6)
        rows.append([f"clip{i:04}", classes[i % 3], "train" if i % 6 else "val", *(f"{x:.4f}" for x in logits)])
    path.write_text("\n".join(map(",".join, rows)) + "\n")


@pytest.fixture
def page(
    workplace: Path, curate: Callable, write_small_clips: Callable, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Page]:
    """What runs a page, in a folder of its own."""
    with contextlib.chdir(workplace):
        yield Page(workplace, curate, write_small_clips, monkeypatch)


@pytest.mark.parametrize("text", pages())
def test_the_blocks_of_a_page_run_as_they_stand(text: str, page: Page) -> None:
    for block in blocks(text):
        page.run(block)
