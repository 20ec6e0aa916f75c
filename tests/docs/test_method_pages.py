"""Each method has a page; what is generated on it is what the code and the study say; pictures are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from curate.advice import recommend
from curate.comparison.plan import CONTROLS
from curate.train.methods import catalog

ROOT = Path(__file__).parents[2]
METHODS, EXPLANATIONS = ROOT / "docs/methods", ROOT / "docs/explanations"
FORMULA = re.compile(r"\$\$(.+?)\$\$|(?<![\\$\w])\$([^$\n]+?)\$(?![\w$])", re.S)


def page(name: str) -> str:
    return (METHODS / f"{name}.md").read_text(encoding="utf-8")


def prose(path: Path) -> str:
    """A page without blocks and code."""
    return re.sub(r"^```.*?^```$|`[^`\n]*`", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)


def test_every_method_has_a_page_with_equation_and_picture_and_every_page_a_method() -> None:
    assert {p.stem for p in METHODS.glob("*.md")} - {"index"} == set(catalog.names())
    assert {p.stem for p in (METHODS / "pictures").glob("*.svg")} == set(catalog.names())
    for name in catalog.names():
        text = page(name)
        assert "$$" in text and f"(pictures/{name}.svg)" in text and "\n## When to use it\n" in text


def test_numbers_of_equations_are_those_of_the_docstrings() -> None:
    """Those that the class or its paper names are on the page, and no others are."""
    for entry in catalog.entries():
        tree = ast.parse((catalog.FOLDER / f"{entry.name}.py").read_text(encoding="utf-8"))
        classes = (node for node in tree.body if isinstance(node, ast.ClassDef))
        said = " ".join([entry.paper, *(ast.get_docstring(node) or "" for node in classes)])
        assert set(re.findall(r"Eq\. (\d+)", page(entry.name))) == set(re.findall(r"Eq\. (\d+)", said)), entry.name


def test_every_formula_becomes_mathml_without_a_command_left_over() -> None:
    convert = pytest.importorskip("latex2mathml.converter").convert
    found = 0
    for path in [*METHODS.glob("*.md"), *EXPLANATIONS.glob("*.md")]:
        for match in FORMULA.finditer(prose(path)):
            made = convert(match[1] or match[2])
            assert made.startswith("<math") and "\\" not in made, (path.name, match[0])
            found += 1
    assert found > 60


def test_explanations_show_pictures_that_are_there_and_all_of_them() -> None:
    shown = {n for p in EXPLANATIONS.glob("*.md") for n in re.findall(r"\(pictures/(\w+\.svg)\)", p.read_text("utf-8"))}
    assert shown == {p.name for p in (EXPLANATIONS / "pictures").glob("*.svg")}


@pytest.mark.model
def test_what_was_measured_is_the_row_of_the_study() -> None:
    from docs.make import method_pages

    text = (
        "## Test accuracy, comparison, percent\n\n| method | accuracy, % | minus joint | minus warm-up continued | "
        "verdict |\n|---|---|---|---|---|\n| ogm | 1 | a \\| b | c | worse |\n| ogm_ge | 2 |  |  |  |\n\n"
    )
    assert [r["method"] for r in method_pages.study_rows(text)] == ["ogm", "ogm_ge"]
    assert method_pages.study_rows(text)[0]["minus joint"] == "a | b"
    for name in catalog.names():
        text = method_pages.measured(name)
        rows = re.findall(r"^\| ([a-z_]+)", text, re.M)
        assert set(rows) == {"method", name} or (not rows and re.search(r"\(\.\./studies/(\w+)\.md\)", text))


@pytest.mark.model
def test_what_recommend_says_of_the_study_is_in_its_table() -> None:
    from docs.make import method_pages

    rows = {row["method"]: row for row in method_pages.study_rows(method_pages.STUDY)}

    def number(method: str, column: str) -> float:
        return float(rows[method][column].split()[0])

    for method, points in recommend.AHEAD.items():
        assert number(method, "minus warm-up continued") == points
    weak = number("warmup", "visual, %") - number("joint", "visual, %")
    assert number("warmup", "minus joint") == recommend.UNIMODAL and round(weak) == recommend.UNIMODAL_WEAK
    known = {e.name for e in catalog.entries() if not e.paper.startswith(("baseline", "curate"))} - {*CONTROLS}
    published = [row for name, row in rows.items() if name in known]
    assert len(published) == recommend.OF_PAPERS
    assert not any(row["verdict"] == "better" for row in published)


def test_what_recommend_says_of_wrong_labels_is_in_the_study() -> None:
    text = (ROOT / recommend.IMPROVED.split()[0]).read_text(encoding="utf-8")
    assert f"trimmed +{recommend.LEFT_OUT} points" in text and f"corrected +{recommend.REPLACED} [" in text


@pytest.mark.model
def test_a_finished_page_has_every_setting_and_departure() -> None:
    from docs.make.method_pages import finished

    for entry in catalog.entries():
        text = finished(entry.name, page(entry.name))
        assert all(f"`method.{key}`" in text for key in entry.knobs)
        assert all(words in text for words in entry.departures.values())
        assert f"curate train --method {entry.name}\n" in text and entry.paper in text


@pytest.mark.long
@pytest.mark.model
def test_pictures_are_drawn_by_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from docs.make import explanation_pictures, method_pictures

    for module, there in ((method_pictures, METHODS), (explanation_pictures, EXPLANATIONS)):
        folder = tmp_path / there.name
        monkeypatch.setattr(module, "FOLDER", folder)
        module.main()
        assert {p.name for p in folder.iterdir()} == {p.name for p in (there / "pictures").iterdir()}
