"""Ids, labels and names as nobody should write them: files keep them, a terminal is shown escapes, nothing is lost."""

from __future__ import annotations

import csv
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from curate.render import UNSAFE, printable

ROOT = Path(__file__).parents[2]
NAMES = (
    "\x1b]0;owned\x07",
    "\x1b[31mred",
    "a\x07b",
    "\u202egnp.exe",
    "\u2066x\u2069",
    "two\nlines",
    "cr\rlf",
    "tab\there",
    "x" * 10_000,
    "'; DROP TABLE run; --",
    '<img src=x onerror="alert(1)">',
    "a,b;c|d",
    '"quoted"',
    "\U0001f600\u200d",
    "e\u0301",
    "-rf",
    "#comment",
    "=1+1",
    "\x9b31m",
    "a\u2028b",
)


@pytest.fixture
def named(workplace: Path) -> Path:
    """Predictions of samples with these ids, and of two classes with such names."""
    rng = np.random.default_rng(0)
    ids = [*NAMES, *(f"s{i}" for i in range(40))]
    classes = ["\x1b[1mcat", "dog\u202e"]
    labels = [classes[i % 2] for i in range(len(ids))]
    np.savez(
        workplace / "p.npz",
        sample_id=np.array(ids),
        label=np.array(labels),
        classes=np.array(classes),
        audio=3 * np.eye(2)[np.arange(len(ids)) % 2] + rng.normal(size=(len(ids), 2)),
        visual=rng.normal(size=(len(ids), 2)),
    )
    return workplace / "p.npz"


@pytest.mark.long
def test_files_keep_names_and_people_see_escapes(named: Path, curate: Callable, refused: Callable) -> None:
    assert curate("score", "--predictions", named).code == 0
    assert curate("select", "--top", "100", "--name", "\x1b[2Jall").code == 0
    for words in (
        ("sql", "SELECT sample_id, label_name FROM samples"),
        ("sql", "SELECT sample_id, label_name FROM samples", "--format", "markdown"),
        ("selections",),
        ("selections", "\x1b[2Jall"),
        ("select", "--top", "5", "--dry-run"),
    ):
        ended = curate(*words)
        assert ended.code == 0 and not UNSAFE.search((ended.out + ended.err).replace("\n", "")), words
    assert "\\x1b[2Jnone" in refused("selections", "\x1b[2Jnone")
    assert curate("selections", "\x1b[2Jall", "-o", "all.csv").code == 0
    with Path("all.csv").open(newline="", encoding="utf-8") as file:
        written = [row["sample_id"] for row in csv.DictReader(file)]
    assert set(NAMES) <= set(written)
    told = json.loads(curate("sql", "SELECT sample_id FROM samples", "--format", "json").out)
    assert set(NAMES) <= {row["sample_id"] for row in told}
    assert "hold a line break" in refused("selections", "\x1b[2Jall", "-o", "all.txt")
    assert not Path("all.txt").exists()
    page = Path(curate("report").out.strip()).read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert not UNSAFE.search(page.replace("\n", "").replace("\t", "")), "the page shows escapes, as a terminal does"


@pytest.mark.long
def test_csv_on_a_terminal_is_escaped_and_in_a_pipe_is_not(named: Path, curate: Callable) -> None:
    assert curate("score", "--predictions", named).code == 0
    words = [sys.executable, "-m", "curate.cli", "sql", "SELECT sample_id FROM samples", "--format", "csv"]
    ours, theirs = pty.openpty()
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, stdout=theirs, stderr=subprocess.DEVNULL, env=env) as process:
        os.close(theirs)
        seen = b""
        try:
            while part := os.read(ours, 65536):
                seen += part
        except OSError:  # the other end is closed
            pass
        process.wait()
    assert b"\x1b" not in seen and b"\x07" not in seen and "\\x1b[31mred" in seen.decode()
    piped = subprocess.run(words, capture_output=True, env=env, check=True).stdout
    assert b"\x1b[31mred" in piped


def test_an_escape_says_which_character_it_is() -> None:
    assert printable("a\x1bb\n\u202e\ud800é") == "a\\x1bb\\n\\u202e\\ud800é"
    assert printable("a\nb\tc\r", keep="\n\t") == "a\nb\tc\\r"
