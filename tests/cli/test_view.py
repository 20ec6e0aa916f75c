"""`curate view` as a process: it prints an address, serves it, and ends with Ctrl-C; what is wrong is said in words."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from curate.errors import CurateError

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

ROOT = Path(__file__).parents[2]
RUN = "import sys; sys.modules['torch'] = None; from curate import cli; sys.argv[0] = 'curate'; cli.main()"


def test_it_prints_an_address_without_torch_serves_it_once_and_ends_with_ctrl_c(scored_table):
    command = [sys.executable, "-c", RUN, "view", "--no-browser", "--db", str(scored_table.path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    address = process.stdout.readline().strip()
    assert address.startswith("http://127.0.0.1:") and "?token=" in address
    with urllib.request.urlopen(address) as answer:
        assert answer.status == 200 and b"curate view" in answer.read()
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(address)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "")
    assert "62 samples" in err and "has ended" in err and "Traceback" not in err


def test_a_notebook_gets_a_link_and_the_table_stays_its_own(scored_table):
    import curate

    table = curate.open(scored_table.path)
    with table.view() as view:
        assert view.address in view._repr_html_() and len(table.samples()) == 62
        with urllib.request.urlopen(view.address) as answer:
            assert answer.status == 200
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(view.address)
    with pytest.raises(CurateError, match="no_such"):
        table.view("no_such")


@pytest.mark.parametrize(
    ("arguments", "words"), [(["--run", "none"], "unknown run"), (["--db", "none.duckdb"], "no sample table")]
)
def test_what_cannot_be_shown_is_said(curate, scored_table, arguments, words, workplace):
    ended = curate(
        "view", "--no-browser", *(["--db", scored_table.path] if "--db" not in arguments else []), *arguments
    )
    assert ended.code == 1 and words in ended.err and "hint" in ended.err


def test_without_the_extra_it_is_named(curate, scored_table, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    ended = curate("view", "--no-browser", "--db", scored_table.path)
    assert ended.code == 1 and "curate-mm[view]" in ended.err


def test_media_of_predictions_are_named_by_a_table(curate, workplace):
    from curate.store.store import Store

    rows = "".join(f"s{i},{'ab'[i % 2]},{i % 3}.5,{-i % 2}.1,2.5,-{i}.7\n" for i in range(8))
    Path("preds.csv").write_text("sample_id,label,audio.a,audio.b,visual.a,visual.b\n" + rows)
    Path("media.csv").write_text('sample_id,audio,text\ns0,a.wav,hello\ns1,"/b/c.wav#t=1,2.5",\ns2,,\n')
    ended = curate("score", "--predictions", "preds.csv", "--media", "media.csv")
    assert ended.code == 0 and "media.csv names media of 2 of 8 samples" in ended.err
    found = Store("curate.duckdb").rows(
        "SELECT sample_id, sources::VARCHAR FROM sample WHERE sources IS NOT NULL ORDER BY 1"
    )
    assert found == [
        ("s0", '{"audio": {"file": "a.wav"}, "text": {"text": "hello"}}'),
        ("s1", '{"audio": {"end": 2.5, "file": "/b/c.wav", "start": 1.0}}'),
    ]
    for text, words in (
        ("sample_id,audio\nx,a.wav\n", "none of the 8"),
        ("sample_id,label\ns0,a\n", "no column of media"),
        ("sample_id,audio\ns0,a.wav\ns0,b.wav\n", "twice"),
    ):
        Path("bad.csv").write_text(text)
        ended = curate("score", "--predictions", "preds.csv", "--media", "bad.csv")
        assert ended.code == 1 and words in ended.err
    assert curate("score", "--dataset", "demo", "--media", "media.csv").code in (1, 2)
