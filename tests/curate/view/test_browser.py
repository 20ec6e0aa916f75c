"""The page in a real browser: what a person does with mouse, keys and address, and what the page must never do."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator

import pytest

from curate.predictions.score import score_predictions
from curate.store.marks import Mark
from curate.store.store import Store
from curate.view.serving import View

from .conftest import CLASSES, COUNT, HOSTILE, claim, write_predictions

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM, reason="no chromium is installed")]


class Seen:
    """A tab, and everything that went wrong in it."""

    def __init__(self, tab, base: str) -> None:
        self.tab, self.base, self.wrong = tab, base, []
        tab.on("console", lambda m: m.type in ("error", "warning") and self.wrong.append(m.text))
        tab.on("pageerror", lambda e: self.wrong.append(str(e)))
        tab.on("dialog", lambda d: d.accept() if d.type == "beforeunload" else self.wrong.append(d.message))
        tab.on("request", lambda r: r.url.startswith((base, "data:", "blob:")) or self.wrong.append(r.url))

    def after(self, act) -> None:
        """Do something, and wait until the page has drawn what it asks for."""
        before = self.tab.evaluate("document.documentElement.dataset.ready")
        act()
        self.until(f"document.documentElement.dataset.ready !== {before!r}")

    def until(self, expression: str) -> None:
        """Wait until a condition holds; the page's policy forbids what the driver's own waiting does."""
        end = time.monotonic() + 15
        while not self.tab.evaluate(expression):
            assert time.monotonic() < end, (
                expression,
                self.tab.text_content("#waiting"),
                self.tab.text_content("#facts"),
            )
            self.tab.wait_for_timeout(30)

    def shown(self) -> int:
        return int(self.tab.text_content("#shown").replace(",", ""))

    def open(self, query: str = "") -> None:
        self.tab.goto(self.base + query)
        self.tab.wait_for_selector("html[data-ready]")


@pytest.fixture(scope="module")
def served(looked_at, tmp_path_factory) -> Iterator[tuple[View, Store]]:
    """The server in a process of its own, and its table."""
    store = Store(shutil.copy(looked_at / "curate.duckdb", tmp_path_factory.mktemp("served")))
    with View(store) as view:
        yield view, store


@pytest.fixture(scope="module")
def context(served):
    """A browser that has opened the page."""
    with playwright.sync_playwright() as run:
        browser = run.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        made = browser.new_context(viewport={"width": 1280, "height": 900})
        first = made.new_page()
        first.goto(served[0].address)
        first.wait_for_selector("html[data-ready]")
        assert "token" not in first.url
        first.close()
        yield made
        browser.close()


@pytest.fixture
def seen(context, served) -> Iterator[Seen]:
    """A tab on the whole question; at the end nothing may have gone wrong."""
    made = Seen(context.new_page(), served[0].address.partition("?")[0])
    made.open()
    yield made
    made.tab.close()
    assert made.wrong == []


def drag(tab, selector, corners) -> None:
    """Press, move over corners given as shares of an element's size, and let go."""
    box = tab.locator(selector).bounding_box()
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    tab.mouse.move(*at[0])
    tab.mouse.down()
    for x, y in at[1:]:
        tab.mouse.move(x, y, steps=4)
    tab.mouse.up()


def test_the_page_says_that_it_loads_until_the_samples_are_there_or_cannot_be_had(seen):
    tab, held, holding = seen.tab, [], True

    def wait(route):
        if holding:
            held.append(route)
        else:
            route.continue_()

    tab.route("**/api/**", wait)
    tab.goto(seen.base)
    seen.until("document.querySelector('#of').textContent === 'Reading the samples'")
    assert tab.text_content("#scatterSays") == "Loading the charts" and tab.is_hidden("#problem")
    holding = False
    for route in held:
        route.continue_()
    tab.wait_for_selector("html[data-ready]")
    tab.unroute("**/api/**")
    assert (seen.shown(), tab.text_content("#of")) == (COUNT, f"of {COUNT} samples")
    tab.route("**/api/**", lambda route: route.fulfill(status=400, json={"message": "no table", "hint": "none"}))
    tab.goto(seen.base)
    tab.wait_for_selector("#problem:has-text('no table')")
    assert not tab.text_content("#of") and not tab.text_content("#scatterSays")
    seen.wrong = [text for text in seen.wrong if "status of 400" not in text]  # the three answers above


def test_the_scatter_and_the_samples_say_what_is_claimed_of_labels_and_clips(seen, looked_at, tmp_path):
    """In a shape of their own, named below; where nothing is claimed, they are not named."""
    assert not re.search("swapped|wrong label", seen.tab.text_content("#scatterSays"))
    claim(store := Store(shutil.copy(looked_at / "curate.duckdb", tmp_path)))
    with View(store) as view:
        tab = seen.tab.context.new_page()
        tab.goto(view.address)
        tab.wait_for_selector("html[data-ready]")
        told = tab.text_content("#scatterSays")
        assert "▲ claimed swapped" in told and "◆ claimed wrong label" in told
        shapes = tab.evaluate("document.querySelector('#scatter').data.at(-1).marker.symbol")
        assert shapes.count("triangle-up") == 1 and shapes.count("diamond") == 7
        claimed = [shape for shape in shapes if shape != "circle"]
        assert claimed == ["diamond"] * 7 + ["triangle-up"] and shapes[0] == "circle", "drawn over the others"
        tab.goto(view.address.partition("?")[0] + "?q=clip001")
        tab.wait_for_selector("#rows .card .claim:has-text('label is wrong')")
        tab.close()


def test_a_question_that_cannot_be_answered_stands_in_its_field_to_be_corrected(seen):
    tab = seen.tab
    tab.goto(seen.base + "?where=labl+%3D+1&x=gap&sort=gap")
    tab.wait_for_selector("#problem:has-text('labl')")
    assert [tab.input_value(f"#{name}") for name in ("where", "x", "sort")] == ["labl = 1", "gap", "gap"]
    tab.click("#chips button")
    seen.until("document.querySelector('#problem').hidden && document.querySelector('#rows .card')")
    assert seen.shown() == COUNT
    seen.wrong = [text for text in seen.wrong if "status of 400" not in text]


def test_a_picture_of_few_pixels_is_large_enough_to_be_looked_at(seen):
    seen.open("?sample=clip000")
    seen.until("document.querySelector('.medium img.crisp')")
    box = seen.tab.locator(".medium img.crisp").first.bounding_box()
    assert min(box["width"], box["height"]) >= 190, "the file has 40 x 30 pixels"
    assert "from epoch 1 to" in seen.tab.text_content("#facts") or not seen.tab.query_selector("svg.history")


def test_cards_have_no_empty_boxes_where_no_media_are_known(seen, tmp_path):
    assert seen.tab.locator("#rows .card .thumbs").count() == seen.tab.locator("#rows .card").count() > 0
    write_predictions(tmp_path / "saved.csv")
    score_predictions(store := Store(tmp_path / "saved.duckdb"), [str(tmp_path / "saved.csv")], [{}])
    with View(store) as view:
        tab = seen.tab.context.new_page()
        tab.goto(view.address)
        tab.wait_for_selector("#rows .card")
        assert tab.locator("#rows .card .thumbs").count() == 0
        tab.close()


@pytest.mark.long
def test_lasso_box_bars_threshold_and_text_narrow_every_view_and_the_address_keeps_it(seen, served):
    tab = seen.tab
    assert seen.shown() == COUNT
    area = "#scatter .nsewdrag"
    corners = [(0.55, 0.1), (1, 0.1), (1, 0.6), (0.55, 0.6), (0.55, 0.12)]
    seen.after(lambda: drag(tab, area, corners))
    lassoed = seen.shown()
    assert 0 < lassoed < COUNT and "lasso=p_audio" in tab.url
    seen.after(lambda: tab.click("#bars button:has-text('bark')"))
    both = seen.shown()
    assert 0 < both < lassoed and tab.locator("#rows .card").count() == min(both, 24)
    url = tab.url
    seen.open(url.removeprefix(seen.base))
    assert seen.shown() == both and tab.locator("#chips button").count() == 3
    seen.after(lambda: tab.go_back()) if tab.url != url else None
    seen.after(lambda: tab.click("#chips button:has-text('clear all')"))
    assert seen.shown() == COUNT
    seen.after(lambda: tab.go_back())
    assert seen.shown() == both
    seen.open()
    tab.check("[value=select]")
    seen.after(lambda: drag(tab, area, [(0.55, 0.1), (1, 0.6)]))
    assert 0 < seen.shown() < COUNT and "r.p_audio=" in tab.url and "r.p_visual=" in tab.url
    seen.open()
    seen.after(lambda: drag(tab, "#hist .nsewdrag", [(0.5, 0.5), (0.8, 0.5)]))
    assert "r.fitted_audio_visual=" in tab.url and 0 < seen.shown() < COUNT
    seen.open()
    before = tab.text_content("#kept")
    drag(tab, "#hist .handle >> nth=0", [(0.5, 0.1), (5, 0.1)])
    assert tab.text_content("#kept") != before and "t=" in tab.url
    tab.fill("#where", "gap > 0.5 AND split = 'train'")
    seen.after(lambda: tab.press("#where", "Enter"))
    assert seen.shown() == served[1].rows("SELECT count(*) FROM samples WHERE gap > 0.5")[0][0]


@pytest.mark.long
def test_a_sample_plays_is_marked_by_keys_walked_and_the_mark_is_in_the_table(seen, served):
    tab, store = seen.tab, served[1]
    tab.focus("#rows .card >> nth=0")
    tab.keyboard.press("ArrowRight")
    own = tab.evaluate("document.activeElement.dataset.id")
    seen.after(lambda: tab.keyboard.press("Enter"))
    tab.wait_for_selector("#sample audio")
    assert "sample=" in tab.url
    seen.until("document.querySelector('#sample audio').readyState > 0")
    tab.keyboard.press(" ")
    seen.until("document.querySelector('#sample audio').currentTime > 0")
    tab.keyboard.press("2")
    tab.wait_for_selector("#marked .decided:has-text('broken:visual')")
    tab.keyboard.press("n")
    tab.keyboard.type("a <b>note</b>")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#marked .decided:has-text('a <b>note</b>')")
    assert store.rows("SELECT sample_id, mark, mark_note FROM samples WHERE mark IS NOT NULL") == [
        (own, "broken:visual", "a <b>note</b>")
    ]
    seen.after(lambda: tab.keyboard.press("ArrowRight"))
    assert own not in tab.text_content("#sampleId")
    seen.after(lambda: tab.keyboard.press("ArrowLeft"))
    seen.until(f"document.getElementById('sampleId').textContent.includes({own!r})")
    tab.wait_for_selector("#marked .decided:has-text('note')")
    tab.keyboard.press("z")
    seen.until("!document.getElementById('marked').textContent.includes('note')")
    tab.keyboard.press("z")
    seen.until("!document.getElementById('marked').textContent.includes('broken:visual')")
    assert store.rows("SELECT count(*) FROM samples WHERE mark IS NOT NULL") == [(0,)]
    seen.after(lambda: tab.keyboard.press("Escape"))
    assert tab.evaluate("document.activeElement.dataset.id") == own


def test_a_look_alike_is_gone_to_the_address_follows_and_the_arrows_go_on_from_where_one_left(seen):
    tab = seen.tab
    tab.focus("#rows .card >> nth=0")
    own, after = [tab.get_attribute(f"#rows .card >> nth={i}", "data-id") for i in (0, 1)]
    seen.after(lambda: tab.keyboard.press("Enter"))
    alike = tab.locator("#alike section[aria-label$=visual] .card >> nth=5")
    other = alike.get_attribute("data-id")
    seen.after(alike.click)
    assert f"sample={other}" in tab.url and other in tab.text_content("#sampleId")
    seen.after(tab.go_back)
    assert own in tab.text_content("#sampleId") and f"sample={own}" in tab.url
    seen.after(lambda: tab.locator(f"#alike .card[data-id='{other}'] >> nth=0").click())
    seen.until(f"document.getElementById('sampleId').textContent.includes({other!r})")
    seen.after(lambda: tab.keyboard.press("ArrowRight"))
    on_the_page = tab.locator(f"#rows [data-id='{other}']").count()
    assert on_the_page or after in tab.text_content("#sampleId")


@pytest.mark.long
def test_walking_past_the_last_sample_of_a_page_turns_it_and_shows_the_next_one(seen):
    tab, opened = seen.tab, "new URLSearchParams(location.search).get('sample')"
    seen.open("?sort=sample_id")
    seen.after(lambda: tab.locator("#rows .card").last.click())
    seen.after(lambda: tab.keyboard.press("ArrowRight"))
    seen.until(f"{opened} === document.querySelector('#rows .card').dataset.id")
    assert tab.is_visible("#sample") and "after=" in tab.url
    seen.after(lambda: tab.keyboard.press("ArrowLeft"))
    seen.until(f"{opened} === [...document.querySelectorAll('#rows .card')].at(-1).dataset.id")
    assert tab.is_visible("#sample") and "page=1" in tab.url


@pytest.mark.parametrize("walked", [True, False])
def test_no_sample_is_passed_over_where_a_mark_takes_the_last_one_of_a_page_away(seen, served, walked):
    tab, store = seen.tab, served[1]
    seen.open("?sort=sample_id&where=mark%20IS%20NULL")
    every = [i for (i,) in store.rows("SELECT sample_id FROM samples ORDER BY 1")]
    shown = tab.locator("#rows .card").count()
    last, following = every[shown - 1 : shown + 1]
    tab.focus(f"#rows [data-id={last!r}]")
    if walked:
        seen.after(lambda: tab.keyboard.press("Enter"))
    tab.keyboard.press("k")
    tab.wait_for_selector("#marked .decided" if walked else f"#rows [data-id={last!r}] .decided")
    if walked:
        seen.after(lambda: tab.keyboard.press("ArrowRight"))
        seen.until(f"document.getElementById('sampleId').textContent.includes({following!r})")
        seen.after(lambda: tab.keyboard.press("ArrowLeft"))
        seen.until(f"document.getElementById('sampleId').textContent.includes({every[shown - 2]!r})")
    else:
        seen.after(lambda: tab.click("#after"))
        assert tab.get_attribute("#rows .card >> nth=0", "data-id") == following
    seen.open(f"?sample={last}")
    tab.wait_for_selector("#marked .decided")
    tab.keyboard.press("z")
    seen.until("!document.querySelector('#marked .decided')")


def test_keys_that_come_faster_than_answers_are_obeyed_in_order(seen, served):
    tab, store, held, holding = seen.tab, served[1], [], True
    seen.open("?sort=sample_id")
    every = [i for (i,) in store.rows("SELECT sample_id FROM samples ORDER BY 1")]
    seen.after(lambda: tab.click("#rows .card >> nth=0"))

    tab.route("**/api/summary*", lambda route: held.append(route) if holding else route.continue_())
    for key in ("ArrowRight", "ArrowRight", "d", "ArrowRight"):
        tab.keyboard.press(key)
    seen.until(f"document.getElementById('sampleId').textContent.includes({every[3]!r})")
    holding = False
    assert held
    seen.after(lambda: tab.keyboard.press("ArrowLeft"))
    tab.wait_for_selector("#marked .decided:has-text('drop')")
    assert store.rows("SELECT sample_id, mark FROM samples WHERE mark IS NOT NULL") == [(every[2], "drop")]
    tab.keyboard.press("z")
    seen.until("!document.querySelector('#marked .decided')")
    tab.unroute("**/api/summary*")


@pytest.mark.long
def test_a_decision_that_is_still_on_its_way_is_the_one_that_is_taken_back(seen, served):
    tab, store = seen.tab, served[1]
    seen.open("?sort=sample_id&sample=clip007")
    seen.until("document.querySelector('#marks [aria-pressed]') !== null")
    tab.keyboard.press("k")
    tab.wait_for_selector("#marked .decided:has-text('keep')")
    tab.keyboard.press("d")
    tab.keyboard.press("z")
    seen.until("document.querySelector('#facts ul') && !document.querySelector('#facts').textContent.includes('drop')")
    asked = "SELECT mark, withdrawn IS NULL FROM mark WHERE sample_id = 'clip007' ORDER BY number"
    tab.wait_for_timeout(500)
    assert ("keep", True) in store.rows(asked) and ("drop", True) not in store.rows(asked)


@pytest.mark.long
def test_what_another_person_decided_is_not_taken_back(seen, served):
    tab, store = seen.tab, served[1]
    (dataset,) = store.rows("SELECT DISTINCT dataset FROM samples")[0]
    store.marks.write(dataset, [Mark(mark_id="of another", sample_id="clip008", mark="drop")], "another")
    seen.open("?sort=sample_id&sample=clip008")
    seen.until("document.querySelector('#marks [aria-pressed]') !== null")
    tab.keyboard.press("k")
    tab.wait_for_selector("#marked .decided:has-text('keep')")
    for _ in range(2):
        tab.keyboard.press("z")
        tab.wait_for_timeout(700)
    asked = "SELECT mark, withdrawn IS NULL FROM mark WHERE sample_id = 'clip008' ORDER BY number"
    assert store.rows(asked) == [("drop", True), ("keep", False)]


@pytest.mark.long
def test_a_mark_waits_in_the_page_while_the_table_is_away_and_is_stored_later(seen, served):
    tab, store = seen.tab, served[1]
    away = store.path.rename(store.path.with_name("away.duckdb"))
    tab.focus("#rows .card >> nth=3")
    tab.keyboard.press("k")
    tab.wait_for_selector("#waiting:has-text('not there any more')")
    tab.wait_for_selector("#rows .card .pending")
    seen.wrong = [w for w in seen.wrong if "410" not in w]  # the browser's own line for the refused request
    seen.open()
    tab.wait_for_selector("#waiting:has-text('1 decision waits')")  # it outlives a reload
    away.rename(store.path)
    tab.wait_for_selector("#rows .card .decided:has-text('keep')", timeout=15000)
    assert store.rows("SELECT count(*) FROM samples WHERE mark = 'keep'") == [(1,)]
    seen.wrong = [w for w in seen.wrong if "410" not in w]


@pytest.mark.long
def test_a_selection_is_saved_and_a_review_begins(seen, served):
    tab = seen.tab
    seen.open("?in.label_name=bark")
    tab.click("#save")
    tab.fill("#name", "barks")
    tab.click("#store")
    tab.wait_for_selector("#savingSays:has-text('stored')")
    assert len(served[1].selections.find("barks").sample_ids) > 10
    tab.click("#cancel")
    tab.click("#review")
    tab.wait_for_selector("#reviewSays li")
    seen.after(lambda: tab.click("#begin"))
    tab.wait_for_selector("#place:has-text('to review')")


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wrong_for_axe_on_narrow_and_wide_pages_and_hostile_names_do_nothing(seen, scheme):
    axe = pytest.importorskip("axe_core_python.sync_playwright").Axe()
    tab = seen.tab
    tab.emulate_media(color_scheme=scheme)
    for width in (1280, 390):
        tab.set_viewport_size({"width": width, "height": 844})
        for query in ("", "?mode=table&q=clip", "?sample=clip003"):
            seen.open(query)
            tab.wait_for_timeout(300)
            assert tab.evaluate("document.documentElement.scrollWidth") <= width, query
            found = axe.run(tab)["violations"]
            assert [(v["id"], [n["html"][:120] for n in v["nodes"]]) for v in found] == [], (query, width)
    seen.open("?in.label_name=" + CLASSES[1].replace("#", "%23"))
    assert "<img src=x" in tab.text_content("#rows") and "\u202e" not in tab.text_content("body")
    assert tab.locator("img[src=x]").count() == 0 and re.search("onerror", HOSTILE)
