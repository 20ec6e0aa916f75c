"""The tutorials: their blocks are sound, and all of them run, in a fast setting, on data that are built in."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from docs.make import tutorials

PICTURES = tutorials.PAGES / "pictures"
LARGEST = 300_000  # bytes of a picture
NAMES = tutorials.names()


def text(name: str) -> str:
    return (tutorials.PAGES / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_the_blocks_of_a_tutorial_are_sound(name: str) -> None:
    """Programs compile, shells parse, an output follows what prints it, and each picture is there and drawn."""
    drawn = Path(tutorials.__file__).with_name("tutorial_pictures.py").read_text(encoding="utf-8")
    steps = tutorials.steps(text(name))
    assert any(s.is_run for s in steps) and any(s.language == "picture" for s in steps)
    printed = False
    for step in steps:
        if step.language == "python":
            compile(step.text, name, "exec")
        elif step.language == "sh":
            parsed = subprocess.run(["bash", "-n"], input=step.text, capture_output=True, text=True, check=False)
            assert parsed.returncode == 0, parsed.stderr
        elif step.language == "picture":
            assert f"def {step.text}(" in drawn and f"(pictures/{step.text}.png)" in text(name)
            assert (PICTURES / f"{step.text}.png").stat().st_size < LARGEST
        assert printed or "output" not in step.marks, step.text
        printed = step.is_run
    assert not [s for s in steps if "output" in s.marks and not s.text.strip()]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_replaced_for_a_fast_run_is_in_the_page(name: str) -> None:
    blocks = "".join(s.text for s in tutorials.steps(text(name)))
    for old in re.findall(r"^<!-- fast: (.*?) => .*? -->$", text(name), re.M):
        assert old in blocks


def test_output_takes_the_place_of_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are written, commands run in order in one folder, another exit code is an error that shows the output."""
    page = (
        "<!-- fast: 3 => 7 -->\n<!-- file: a.py -->\n```python\nprint(3)\n```\n\n```sh\npython a.py\necho 1/2\n"
        "echo decoding: 1/2 items\n```\n\n<!-- output -->\n```text\nold\n```\nend\n"
    )
    monkeypatch.setattr(tutorials, "PAGES", tmp_path)
    (tmp_path / "one.md").write_text(page, encoding="utf-8")
    assert tutorials.run("one", tmp_path) == page.replace("old\n", "3\n1/2\n")
    assert "```text\n7\n1/2\n```" in tutorials.run("one", tmp_path, fast=True)
    (tmp_path / "one.md").write_text("```sh\necho said; exit 4\n```\n", encoding="utf-8")
    with pytest.raises(RuntimeError, match="ended with 4:\nsaid"):
        tutorials.run("one", tmp_path)
    (tmp_path / "one.md").write_text("<!-- exit: 4 -->\n```sh\nexit 4\n```\n", encoding="utf-8")
    tutorials.run("one", tmp_path)


@pytest.mark.long
@pytest.mark.model
@pytest.mark.parametrize("begun", [n for n in NAMES if not tutorials.continued(n)])
def test_a_tutorial_and_those_that_continue_it_run(begun: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if begun == "lightning":
        pytest.importorskip("lightning")
    monkeypatch.delenv("FSDD", raising=False)
    looked_at = begun != "find"  # whose pictures need a browser, and minutes
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    folder = tmp_path / "work"
    folder.mkdir()
    for name in [begun, *(n for n in NAMES if tutorials.continued(n) == begun)]:
        page = tutorials.run(name, folder, fast=True, pictures=pictures if looked_at else None)
        wanted = {f"{s.text}.png" for s in tutorials.steps(page) if s.language == "picture"}
        assert not looked_at or wanted <= {p.name for p in pictures.iterdir()}
