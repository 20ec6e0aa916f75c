"""A scored table of forty samples with media beside it, and the page of it, asked in this process."""

from __future__ import annotations

import csv
import shutil
import wave
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from curate.predictions.score import score_predictions
from curate.store.store import Store

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from curate.view.access import Access
    from curate.view.session import Page

collect_ignore_glob = [] if find_spec("starlette") and find_spec("httpx") else ["test_*.py"]
"""Without the extra `view`, and what its tests need, there is nothing to try."""
COUNT, RATE, TONE, PORT = 40, 8000, 1000, 8765
HOSTILE = "<img src=x onerror=alert(1)>\u202egnp.\x1b[31m"
CLASSES = ("bark", HOSTILE)


def write_media(folder: Path) -> None:
    """A tone of 1 kHz and a grey picture for every sample; the manifest names one sound outside of its folder."""
    inside = folder / "data"
    inside.mkdir(parents=True)
    seconds = np.arange(RATE) / RATE
    tone = (20000 * np.sin(2 * np.pi * TONE * seconds)).astype("<i2")
    for place in (inside / "tone.wav", folder / "other.wav", folder / "secret.wav"):
        with wave.open(str(place), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            file.writeframes(tone.tobytes())
    Image.new("RGB", (40, 30), (128, 128, 128)).save(inside / "grey.png")
    (inside / "words.wav").write_text("these are words, not a sound")
    with (inside / "media.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["sample_id", "audio", "visual", "text"])
        for i in range(COUNT):
            sound = {1: "../other.wav", 2: "words.wav", 3: "tone.wav#t=0.25,0.5", 4: "gone.wav"}.get(i, "tone.wav")
            out.writerow([sample_id(i), sound, "grey.png", HOSTILE])


def sample_id(i: int) -> str:
    """Ids of which one is hostile and one is long."""
    return {5: HOSTILE.replace("\x1b", ""), 6: "long" * 2500}.get(i, f"clip{i:03}")


def write_predictions(path: Path) -> None:
    """Sound knows every sample, pictures know three of four; the last is a sample of the test split."""
    rng = np.random.default_rng(0)
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["sample_id", "label", "split", *(f"{m}.{c}" for m in ("audio", "visual") for c in CLASSES)])
        for i in range(COUNT):
            y = i % 2
            sure = [0.9 - 0.2 * rng.random(), 0.5 + 0.3 * rng.random() if i % 4 else 0.1 + 0.1 * rng.random()]
            values = [f"{p if c == y else 1 - p:.4f}" for p in sure for c in (0, 1)]
            out.writerow([sample_id(i), CLASSES[y], "test" if i == COUNT - 1 else "train", *values])


def write_embeddings(path: Path) -> None:
    """By sound, sample i is at i; by picture, even and odd ones are far apart, and a constant says nothing."""
    at = np.arange(COUNT)
    audio, visual = at[:, None], np.stack([100 * (at % 2), at, np.full(COUNT, 7)], axis=1)
    np.savez(path, sample_id=np.array([sample_id(i) for i in at]), audio=audio, visual=visual)


@pytest.fixture(scope="session")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with table, predictions and media; copy the table, never open it."""
    folder = tmp_path_factory.mktemp("looked")
    write_media(folder)
    write_predictions(folder / "preds.csv")
    store = Store(folder / "curate.duckdb")
    write_embeddings(folder / "looks.npz")
    given = [str(folder / "looks.npz")]
    score_predictions(store, [str(folder / "preds.csv")], [{}, {}], embeddings=given, media=folder / "data/media.csv")
    return folder


def claim(store: Store) -> None:
    """Of the first samples, seven, claim a wrong label, of another that its picture is that of another sample."""
    with store.db.open(write=True) as con:
        con.execute("UPDATE usability_here SET p_mislabelled = CASE WHEN sample_id < 'clip008' THEN 0.9 ELSE 0 END")
        con.execute(
            "UPDATE usability_here SET p_swapped = CASE WHEN sample_id = 'clip010' AND modality = 'visual' THEN 0.9 "
            "ELSE 0 END"
        )


@pytest.fixture
def store(looked_at: Path, tmp_path: Path) -> Store:
    """The scored table, a copy of its own."""
    return Store(shutil.copy(looked_at / "curate.duckdb", tmp_path))


@pytest.fixture
def page(store: Store) -> Iterator[Page]:
    """The page of the newest run."""
    from curate.view.session import Page

    made = Page(store, store.runs.find(kind="score"), "somebody")
    yield made
    made.snapshot.close()


@pytest.fixture(scope="session")
def shared_page(looked_at: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page for tests that mark nothing."""
    from curate.view.session import Page

    store = Store(shutil.copy(looked_at / "curate.duckdb", tmp_path_factory.mktemp("shared")))
    made = Page(store, store.runs.find(kind="score"), "somebody")
    yield made
    made.snapshot.close()


@pytest.fixture
def access() -> Access:
    """The secrets of a server on a port."""
    from curate.view.access import Access

    return Access(PORT)


@pytest.fixture
def visit(page: Page, access: Access) -> Callable[[], TestClient]:
    """Makes browsers that have opened nothing yet."""
    from starlette.testclient import TestClient

    from curate.view.server import application

    app = application(page, access)
    return lambda: TestClient(app, base_url=f"http://127.0.0.1:{PORT}", follow_redirects=False)


@pytest.fixture
def browser(visit: Callable[[], TestClient], access: Access) -> TestClient:
    """A browser that has opened the page."""
    made = visit()
    assert made.get("/", params={"token": access.token}).status_code == 200
    made.headers["origin"] = f"http://127.0.0.1:{PORT}"
    return made
