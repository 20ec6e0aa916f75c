"""A damaged sample table is told in one line, whatever bits were changed; in a process of its own, which it may end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TRIES = int(os.environ.get("CURATE_FUZZ", "40"))
CODE = """
import random, sys
from pathlib import Path
from curate.errors import CurateError
from curate.store.store import Store

content, path, told = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]), 0
for seed in range(int(sys.argv[3])):
    chance, damaged = random.Random(seed), bytearray(content)
    at = chance.randrange(len(damaged))
    match chance.randrange(4):
        case 0: del damaged[at:]
        case 1: damaged[at : at + 4096] = bytes(min(4096, len(damaged) - at))
        case 2: damaged[at : at + 64] = chance.randbytes(64)
        case 3: damaged[at % 12_288] ^= 1 << chance.randrange(8)  # the headers
    path.write_bytes(damaged)
    for ask in (
        lambda: Store(path).runs.all(),
        lambda: Store(path).query("SELECT * FROM samples"),
        lambda: Store(path).selections.make("score-toy-1", top=3, replace=True, name="x"),
    ):
        try:
            ask()
        except CurateError as refused:
            assert refused.hint and len(refused.message) < 2000, refused.message
            told += 1
print(told)
"""


@pytest.mark.long
def test_every_damage_is_an_answer_or_one_line(scored_file: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-c", CODE, str(scored_file), str(tmp_path / "t.duckdb"), str(TRIES)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > TRIES / 4  # most of it was seen
