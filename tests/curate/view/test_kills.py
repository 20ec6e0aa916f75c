"""The server is killed while decisions arrive over HTTP: what it has acknowledged is in the table."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import threading

import pytest

from curate.view.serving import View

KILLS = 50


class Client:
    """A browser that has opened the page."""

    def __init__(self, address: str) -> None:
        self.host = address.split("/")[2]
        self.connection = http.client.HTTPConnection(self.host, timeout=60)
        self.connection.request("GET", address.partition(self.host)[2])
        answer = self.connection.getresponse()
        answer.read()
        self.headers = {
            "Cookie": answer.headers["Set-Cookie"].partition(";")[0],
            "Origin": f"http://{self.host}",
            "Content-Type": "application/json",
        }

    def mark(self, mark_ids: list[str]) -> list[str]:
        """Send decisions; the ids that were acknowledged."""
        marks = [{"mark_id": m, "sample_id": f"clip{10 + k:03}", "mark": "keep"} for k, m in enumerate(mark_ids)]
        self.connection.request("POST", "/api/mark", json.dumps({"marks": marks}), self.headers)
        answer = self.connection.getresponse()
        assert answer.status == 200
        return json.loads(answer.read())["saved"]


def marks_until_killed(view: View, start: int, seconds: float) -> tuple[set[str], set[str]]:
    """Send three decisions at a time until the server is killed, some seconds after its first answer.

    Returns:
        Ids sent, and ids acknowledged.
    """
    client, killing = Client(view.address), threading.Timer(seconds, os.kill, (view.process_id, signal.SIGKILL))
    sent: set[str] = set()
    acknowledged: set[str] = set()
    try:
        while True:
            own = [f"m{start + len(sent) + k}" for k in range(3)]
            sent |= set(own)
            acknowledged |= set(client.mark(own))
            if len(sent) == 3:
                killing.start()
    except (OSError, http.client.HTTPException):
        killing.join()
    return sent, acknowledged


@pytest.mark.long
def test_fifty_kills_of_the_server_lose_no_acknowledged_decision(store, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # a killed server leaves its scratch file
    rng, sent, acknowledged = random.Random(0), set(), set()
    for _ in range(KILLS):
        with View(store) as view:
            own, done = marks_until_killed(view, len(sent), rng.uniform(0, 0.5))
        sent, acknowledged = sent | own, acknowledged | done
        stored = [row[1] for row in store.marks.all("preds")]
        assert acknowledged <= set(stored) <= sent and len(stored) == len(set(stored))
    assert len(acknowledged) >= 3 * KILLS
