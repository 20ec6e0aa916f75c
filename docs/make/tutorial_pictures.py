"""The pictures of the tutorials, drawn from what their commands left in the folder."""

from __future__ import annotations

import csv
import shutil
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import matplotlib as mpl
import numpy as np
from PIL import Image

import curate
from curate.store.store import Store
from curate.view.serving import View

from .drawing import AUDIO, FUSED, GREY, STYLE, THIRD, VISUAL, axes, save

SEEN = 8
"""Samples that are marked in the page."""


def find_clips(folder: Path, target: Path) -> None:
    """Spectrogram and picture of clips that are claimed broken, and of others."""
    table = curate.open(folder / "curate.duckdb")
    rows = table.query("SELECT sample_id, broken, label_name FROM samples WHERE broken IS NOT NULL ORDER BY 1")[1]
    wanted = {"audio": "27", "visual": "58", "": "2578"}
    chosen = {kind: [next((r for r in rows if r[1:] == (kind, k)), None) for k in of] for kind, of in wanted.items()}
    lines = ([*chosen["audio"], *chosen["visual"]], chosen[""])
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 3.6), layout="constrained")
        grid = figure.subplots(2, 8, gridspec_kw={"width_ratios": [1.5, 1] * 4})
        for line, samples, title in zip(grid, lines, ("claimed broken", "not claimed"), strict=True):
            line[0].set_ylabel(title)
            for k, (sample_id, kind, label) in enumerate(s or ("", "", "") for s in samples):
                if not sample_id:
                    continue  # a quick run claims little
                with wave.open(str(folder / f"clips/{sample_id}.wav")) as file:
                    sound = np.frombuffer(file.readframes(-1), np.int16) / 32768
                line[2 * k].specgram(sound, NFFT=256, Fs=8000, noverlap=128, cmap="magma", vmin=-110)
                line[2 * k].set_title(f"“{label}”, {kind or 'nothing'}", fontsize=9)
                line[2 * k + 1].imshow(Image.open(folder / f"clips/{sample_id}.png"), cmap="gray")
        for ax in grid.flat:
            ax.set(xticks=[], yticks=[])
        save(figure, target)
    _smaller(target)


def find_gap(folder: Path, target: Path) -> None:
    """The report's figure of the gap."""
    (figure,) = folder.glob("reports/*/figures/gap-audio-visual.png")
    shutil.copy(figure, target)


def predictions_scatter(folder: Path, target: Path) -> None:
    """p(true class) by each modality, coloured by the planted damage."""
    table = curate.open(folder / "mine.duckdb")
    rows = table.query("SELECT sample_id, p_audio, p_visual FROM samples WHERE gap IS NOT NULL")[1]
    with (folder / "truth.csv").open() as file:
        truth = {r["sample_id"]: r["damaged"] for r in csv.DictReader(file)}
    with mpl.rc_context(STYLE):
        figure, (ax,) = axes(width=5, height=3.8)
        for kind, color in (("nothing", GREY), ("visual", VISUAL), ("audio", AUDIO), ("audio+visual", FUSED)):
            points = np.array([(a, v) for i, a, v in rows if truth[i] == kind]).reshape(-1, 2)
            ax.scatter(points[:, 0], points[:, 1], s=9, color=color, alpha=0.6, label=kind, linewidths=0)
        ax.set(
            xlabel="p(true class) by sound", ylabel="p(true class) by picture", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02)
        )
        ax.legend(title="planted damage", loc="upper left", bbox_to_anchor=(1, 1))
        save(figure, target)


@contextmanager
def _browser(folder: Path) -> Iterator[Any]:
    """A tab with the page of the folder's table."""
    from playwright.sync_api import sync_playwright

    with View(Store(folder / "curate.duckdb")) as view, sync_playwright() as run:
        browser = run.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        try:
            tab = browser.new_page(viewport={"width": 1280, "height": 860})
            tab.set_default_timeout(180_000)
            tab.goto(view.address, wait_until="domcontentloaded")
            tab.wait_for_selector("html[data-ready]")
            tab.evaluate(
                "document.querySelector('#about').textContent = 'score-manifest-1, data set manifest, curate.duckdb'"
            )
            _complete(tab)
            yield tab
        finally:
            browser.close()


def review_page(folder: Path, target: Path) -> None:
    """The page as it opens."""
    with _browser(folder) as tab:
        _shot(tab, target)


def review_sample(folder: Path, target: Path) -> None:
    """Opens claims and marks them by keys, as a person does who knows the truth; shows one."""
    with (folder / "truth.csv").open() as file:
        truth = {r["sample_id"]: r["damaged"] for r in csv.DictReader(file)}
    claims = curate.open(folder / "curate.duckdb").query("SELECT count(*) FROM samples WHERE broken <> ''")[1][0][0]
    with _browser(folder) as tab:
        if claims >= SEEN:  # a quick run claims nothing
            tab.fill("#where", "broken <> ''")
            tab.press("#where", "Enter")
            tab.wait_for_timeout(3000)
        tab.focus("#rows .card >> nth=0")
        tab.keyboard.press("Enter")
        before = ""
        for _ in range(SEEN):
            before = _another(tab, before)
            tab.wait_for_timeout(1500)
            damaged = truth[before]
            tab.keyboard.press("2" if "visual" in damaged else "1" if "audio" in damaged else "k")
            tab.wait_for_selector("#marked .decided")
            tab.wait_for_timeout(400)
            _complete(tab)
            last = tab.screenshot()
            tab.keyboard.press("ArrowRight")
        target.write_bytes(last)
        _smaller(target)


def _another(tab: Any, before: str) -> str:
    """The sample that the page shows, once it is another than before."""
    for turn in range(1, 601):
        shown = parse_qs(urlparse(tab.url).query).get("sample", [""])[0]
        if shown not in ("", before):
            return shown
        tab.wait_for_timeout(100)
        if turn % 100 == 0:
            tab.keyboard.press("ArrowRight")
    raise RuntimeError(f"the page still shows {before!r}")


def _complete(tab: Any) -> None:
    """Wait until the charts are drawn and all pictures in sight are there, a minute at most."""
    seen = "[...document.images].filter((i) => i.getBoundingClientRect().top < innerHeight)"
    for _ in range(120):
        tab.wait_for_timeout(500)
        if tab.evaluate(f"{seen}.every((i) => i.complete && i.naturalWidth > 1)"):
            break
    tab.wait_for_timeout(500)


def _shot(tab: Any, target: Path) -> None:
    tab.screenshot(path=str(target))
    _smaller(target)


def _smaller(path: Path) -> None:
    """With 128 colours, which pages of few colours do not show."""
    Image.open(path).convert("RGB").quantize(128).save(path, optimize=True)


def lightning_history(folder: Path, target: Path) -> None:
    """Mean |gap| by epoch, oldest first, and accuracy of each modality."""
    table = curate.open(folder / "curate.duckdb")
    newest = table.runs(kind="score")[0].run_id
    rows = table.query(
        f"SELECT round, avg(abs(prob_gap)) FROM history WHERE run_id = '{newest}' GROUP BY 1 ORDER BY 1 DESC"
    )[1]
    with mpl.rc_context(STYLE):
        figure, (ax,) = axes()
        epochs = np.arange(1, len(rows) + 1)
        ax.plot(epochs, [gap for _, gap in rows], color=AUDIO, marker="o", ms=3)
        ax.axvline(len(rows) / 2 + 0.5, color=VISUAL, ls="--", label="from here on with AdaptiveLoss")
        ax.set(xlabel="epoch", ylabel="mean |gap|", ylim=(0, None))
        ax.legend()
        save(figure, target)


def processes_recorded(folder: Path, target: Path) -> None:
    """How many samples each process has recorded in each epoch."""
    import re

    import duckdb

    with mpl.rc_context(STYLE):
        figure, (ax,) = axes(height=2.3)
        counts: dict[str, list[int]] = {}
        for path in sorted((folder / "recorded").glob("epoch-*.parquet")):
            process = re.search(r"-(\d+)of\d+", path.name)[1]
            ((number,),) = duckdb.sql(f"SELECT count(*) FROM '{path}'").fetchall()
            counts.setdefault(process, []).append(number)
        for k, (process, values) in enumerate(sorted(counts.items())):
            places = np.arange(1, len(values) + 1) + (k - 0.5) * 0.35
            ax.bar(places, values, 0.33, color=(AUDIO, VISUAL, THIRD)[k % 3], label=f"process {process}")
        ax.set(xlabel="epoch", ylabel="samples recorded")
        figure.legend(loc="outside upper center", ncols=2)
        save(figure, target)
