"""The tests themselves: what they are told by variables of the environment reaches them, and nothing else does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
READ = re.compile(r'environ\.get\("(CURATE_\w+)"|"(CURATE_\w+)" (?:not )?in os\.environ')
SET = re.compile(r"\b(CURATE_\w+)=")


def test_a_variable_that_a_test_reads_reaches_it() -> None:
    read = {a or b for path in HERE.rglob("*.py") for a, b in READ.findall(path.read_text(encoding="utf-8"))}
    told = read | set(SET.findall((HERE.parent / "Makefile").read_text(encoding="utf-8")))
    assert {"CURATE_TEST_DATA", "CURATE_LONG_TESTS", "CURATE_FUZZ"} <= told
    code = "import conftest, os; print(*sorted(n for n in os.environ if n.startswith('CURATE_')))"
    variables = os.environ | dict.fromkeys(told, "1") | {"CURATE_SET": "a.b=1", "PYTHONPATH": str(HERE)}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.split() == sorted(told)
