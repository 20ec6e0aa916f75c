"""The words of messages: what other libraries say, on one line; numbers and what is counted."""

from __future__ import annotations

import json

import pytest

from curate.errors import counted, first_line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no space left\nat line 3", "no space left"),
        ("\n  \nlate", "late"),
        ("error for field 'size':\n    TypeError: expected int", "error for field 'size': TypeError: expected int"),
        ("", "OSError"),
    ],
)
def test_the_first_line_says_something(text: str, said: str) -> None:
    assert first_line(OSError(text)) == said


def test_an_error_of_pydantic_names_each_setting_and_what_is_wrong() -> None:
    class Refused(ValueError):
        def errors(self) -> list[dict[str, object]]:
            return [
                {"loc": ("optim", 0, "lr"), "msg": "Value error, must be above 0"},
                {"loc": (), "msg": "Assertion error, two at once"},
                {"loc": ("url",), "msg": "Input should be a valid URL"},
            ]

    said = first_line(Refused("3 validation errors for Settings\noptim.0.lr\n  Value error, must be above 0"))
    assert said == "optim.0.lr: must be above 0; two at once; url: Input should be a valid URL"


def test_an_error_of_duckdb_says_its_words_without_the_json_around_them() -> None:
    words = 'Could not write file "/a \\ b": No space left on device'
    within = json.dumps({"exception_type": "IO", "exception_message": words, "errno": "28"})
    assert first_line(OSError(f"IO Error: Async write failed for range [offset=0, size=485]: {within}")) == words


def test_a_count_of_one_has_the_form_of_one() -> None:
    assert [counted(n, "row") for n in (0, 1, 2)] == ["0 rows", "1 row", "2 rows"]
    assert [counted(n, "class has", "classes have") for n in (1, 2)] == ["1 class has", "2 classes have"]
