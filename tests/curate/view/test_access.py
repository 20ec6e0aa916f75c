"""One browser opens the page, once; nobody else and no other page gets an answer."""

from __future__ import annotations

import pytest

BODY = {"marks": [{"mark_id": "m", "sample_id": "clip000", "mark": "keep"}]}


@pytest.fixture
def page(shared_page):
    """One page for all tests here, which change nothing of it."""
    return shared_page


@pytest.fixture
def store(page):
    """Its table."""
    return page.store


def test_the_token_opens_once_and_gives_a_cookie_that_scripts_and_other_sites_do_not_get(visit, access):
    token = access.token
    first = visit()
    answer = first.get("/", params={"token": token})
    cookie = answer.headers["set-cookie"].lower()
    assert answer.status_code == 200 and "httponly" in cookie and "samesite=strict" in cookie
    assert first.get("/api/about").status_code == first.get("/").status_code == 200
    second = visit()
    assert second.get("/", params={"token": token}).status_code == 403
    assert second.get("/api/about").status_code == second.get("/static/view.js").status_code == 403
    assert first.get("/", params={"token": token}).status_code == 200  # the same browser, reloaded


@pytest.mark.parametrize("token", ["", "wrong", "ä"])
def test_a_wrong_token_opens_nothing_and_uses_nothing_up(visit, access, token):
    assert visit().get("/", params={"token": token}).status_code == 403
    assert visit().get("/", params={"token": access.token}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example:8765", "127.0.0.1:1", "127.0.0.1", ""])
def test_another_host_name_gets_no_answer(browser, host):
    assert browser.get("/api/about", headers={"host": host}).status_code == 421
    assert browser.get("/", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:1", "null", ""])
@pytest.mark.parametrize("path", ["mark", "withdraw", "select"])
def test_a_page_of_another_origin_cannot_post(browser, store, origin, path):
    answer = browser.post(f"/api/{path}", json=BODY, headers={"origin": origin})
    assert answer.status_code == 403
    assert store.marks.all("preds") == []


def test_a_form_cannot_post_and_other_sites_cannot_read(browser, store):
    assert browser.post("/api/mark", content="{}", headers={"content-type": "text/plain"}).status_code == 415
    assert browser.get("/api/about", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert store.marks.all("preds") == []


def test_every_answer_forbids_outside_sources(browser, visit):
    for answer in (browser.get("/"), browser.get("/api/about"), browser.get("/nothing"), visit().get("/api/about")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "http" not in policy and "*" not in policy and "unsafe-eval" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/static/../server.py", "/static/page.html", "/static/%2e%2e%2fserver.py", "/x"])
def test_only_the_files_of_the_page_are_served(browser, path):
    assert browser.get(path).status_code == 404
