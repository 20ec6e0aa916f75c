"""The table of samples on the page, and what thresholds keep."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from curate.report import browse, html
from curate.report.browse import MOST, STEPS, table, thresholds

SAMPLES = pd.DataFrame(
    {
        "sample_id": ["a", "b", "c", "d\x1b"],
        "label_name": ["x", "x", "y", "y"],
        "p_audio": [0.9, 0.1, 0.5, np.nan],
        "p_visual": [0.2, 0.2, 0.5, 0.4],
        "p_fused": [0.8, 0.1, 0.6, 0.4],
        "gap": [0.7, -0.1, 0.0, 0.2],
        "p_balanced": [0.1, 0.8, 1.0, 0.6],
    }
)
USABILITY = pd.DataFrame(
    {
        "sample_id": ["a", "b", "c"],
        "usability_audio": [1.0, 0.2, 0.9],
        "usability_visual": [0.5, 0.5, 0.5],
        "claim": ["none", "audio", "none"],
    }
)


def test_claimed_samples_come_first_and_then_the_largest_gaps() -> None:
    found = table(SAMPLES, USABILITY, ("audio", "visual"))
    assert [row[0] for row in found["rows"]] == ["b", "a", "d\\x1b", "c"]
    assert found["rows"][1] == ["a", "x", "none", 0.9, 0.2, 0.8, 0.7, 0.1, 1.0, 0.5]
    assert found["rows"][2][2:4] == ["not judged", None]
    assert len(found["columns"]) == len(found["rows"][0])
    assert (found["classes"], found["claims"]) == (["x", "y"], ["audio", "none", "not judged"])


def test_without_usability_nothing_is_judged() -> None:
    found = table(SAMPLES, pd.DataFrame(), ("audio", "visual"))
    assert found["claims"] == ["not judged"] and len(found["columns"]) == 8


def test_the_page_has_a_bounded_number_of_rows() -> None:
    many = pd.concat([SAMPLES.assign(sample_id=[f"{i}-{k}" for k in "abcd"]) for i in range(MOST // 2)])
    found = table(many, pd.DataFrame(), ("audio", "visual"))
    assert (len(found["rows"]), found["total"]) == (MOST, 2 * MOST)
    assert {row[6] for row in found["rows"]} == {0.7, 0.2}


def test_what_is_kept_at_each_threshold() -> None:
    found = {t: rest for t, *rest in thresholds(SAMPLES)}
    assert len(found) == STEPS
    assert found[0.0] == [4, 1.0, "x", 2]
    assert found[0.8] == [2, 0.5, "x", 1]  # b is kept: a threshold is reached by equality
    assert found[0.81] == [1, 0.25, "x", 0]
    assert found[1.0] == [1, 0.25, "x", 0]


@pytest.mark.long
@pytest.mark.slow
def test_sorting_searching_and_the_slider_in_a_browser(scored_table, tmp_path, monkeypatch) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    if (chromium := shutil.which("chromium")) is None:
        pytest.skip("needs chromium")
    monkeypatch.setattr(browse, "FIRST", 10)
    page_file = html.build(scored_table, None, tmp_path / "reports")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page, wrong = browser.new_page(), []
        page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(page_file.as_uri())
        data = json.loads(page.locator("#data").text_content())
        column = page.locator("#table tbody tr td:nth-child(4)")
        page.locator("#table thead button", has_text="p audio").click()
        shown = column.all_text_contents()
        assert shown == [f"{v:.3f}" for v in sorted((row[3] for row in data["rows"]), reverse=True)[:10]]
        page.locator("#pages button", has_text="next").click()
        assert column.first.text_content() <= shown[-1]
        page.locator("#filter input").fill("S007")
        assert page.locator("#table tbody th").all_text_contents() == ["s007"]
        page.locator("#filter input").fill("")
        page.locator("#filter select").first.select_option("class_1")
        assert set(page.locator("#table tbody td:nth-child(2)").all_text_contents()) == {"class_1"}
        page.locator("#threshold input").fill("0.8")
        kept = sum(row[0] for row in scored_table.rows("SELECT count(*) FROM samples WHERE p_balanced >= 0.8"))
        assert page.locator("#threshold output").text_content().startswith(f"at 0.80: {kept} samples")
        assert not page.locator("#thresholds").is_visible()
        plain = browser.new_context(java_script_enabled=False).new_page()
        plain.goto(page_file.as_uri())
        assert plain.locator("#table tbody tr").count() == 10
        assert plain.locator("#thresholds").is_visible() and not plain.locator("#filter").is_visible()
        browser.close()
    assert not wrong
