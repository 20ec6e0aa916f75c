"""A file system that is away for a moment changes no setting, no stretch and no stamp: it is told, or asked again."""

from __future__ import annotations

import errno
import os
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from curate.datasets.cache import prepare
from curate.datasets.checks import check, files_found
from curate.datasets.manifest import Manifest
from curate.errors import UnansweredError
from curate.files import stamps
from curate.files.remote import RemoteError, located
from curate.files.unanswered import IN_A_ROW
from curate.media import files

from ..conftest import tone, write_audio, write_picture

fsspec = pytest.importorskip("fsspec")
COUNT, RATE = 12, 8000


class Away:
    """Stands between the readers and their file system.

    Attributes:
        failing: {name of a file: how many more of its requests are not answered}.
    """

    def __init__(self) -> None:
        self.failing: Counter[str] = Counter()

    def ask(self, path) -> None:
        if self.failing[path.name]:
            self.failing[path.name] -= 1
            raise RemoteError(path, "unreachable", "could not be read")


@pytest.fixture
def away(monkeypatch):
    away, local, information = Away(), files.local, stamps.information

    @contextmanager
    def copied(path):
        away.ask(path)
        with local(path) as file:
            yield file

    def known(path):
        away.ask(path)
        return information(path)

    monkeypatch.setattr(files, "local", copied)
    monkeypatch.setattr(stamps, "information", known)
    return away


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Sounds of 2 s, loud at their end, in another place, and pictures beside the manifest."""
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "near"))
    system, lines = fsspec.filesystem("memory"), ["sample_id,label,audio,visual"]
    system.store.clear()
    for i in range(COUNT):
        wave = np.concatenate([tone(200 + 20 * i, 1.5, RATE, 0.01), tone(200 + 20 * i, 0.5, RATE, 0.9)])
        system.pipe(f"/d/{i}.wav", write_audio(tmp_path / "a.wav", wave, RATE).read_bytes())
        write_picture(tmp_path / f"{i}.png", np.full((20, 20, 3), 10 * i, np.uint8))
        lines.append(f"s{i:02},{'ab'[i % 2]},memory://d/{i}.wav,{i}.png")
    path = tmp_path / "clips.csv"
    path.write_text("\n".join(lines) + "\n")
    yield path
    system.store.clear()


def test_settings_are_measured_on_files_that_answer_or_not_at_all(root, away):
    expected = Manifest(root, Manifest.Options())
    away.failing.update({f"{i}.wav": 2 for i in range(COUNT)})
    with pytest.raises(UnansweredError, match=f"memory://d does not answer: {IN_A_ROW} files in a row"):
        Manifest(root, Manifest.Options())
    away.failing.clear()
    away.failing.update({"0.wav": 1, "5.wav": 1})
    data = Manifest(root, Manifest.Options())
    assert not away.failing.total() and data.options == expected.options and data.notes == expected.notes


def test_of_a_file_that_stays_away_the_settings_say_so(root, away):
    away.failing["3.wav"] = 2
    notes = Manifest(root, Manifest.Options()).notes
    assert [note for note in notes if "1 file was not answered" in note and note.endswith("memory://d/3.wav")]


def test_settings_of_few_files_that_all_stay_away_are_not_invented(root, away):
    rows = root.read_text().splitlines()
    root.write_text("\n".join([rows[0], *(row.replace(f"memory://d/{i}.wav", f"{i}.wav") for i, row in
                                          enumerate(rows[1:-1])), rows[-1]]) + "\n")  # fmt: skip
    away.failing[f"{COUNT - 1}.wav"] = 2
    with pytest.raises(UnansweredError, match="memory://d does not answer, so no settings can be measured"):
        Manifest(root, Manifest.Options())


@pytest.mark.parametrize("answered", [0, 1], ids=["its length", "its loudest part"])
def test_a_sound_that_is_away_when_its_stretch_is_chosen_is_tried_again(root, away, tmp_path, answered):
    """Once it was decoded from its beginning, as if it had no length, with status `ok`."""
    options = Manifest.Options(window="loudest", rate=RATE, seconds=0.5, n_fft=64, hop=32, frames=1, size=16)
    expected = prepare(Manifest(root, options), tmp_path / "expected")
    data, asked = Manifest(root, options), Counter()
    data.data_id()
    real = away.ask

    def ask(path):
        asked[path.name] += 1
        if path.name == "4.wav" and asked["4.wav"] == answered + 1:
            raise RemoteError(path, "unreachable", "could not be read")
        real(path)

    away.ask = ask
    found = prepare(data, tmp_path / "found")
    assert found.status["audio"].tolist() == ["unreachable" if i == 4 else "ok" for i in range(COUNT)]
    assert set(found.status["visual"]) == {"ok"}, "a still picture has no stretch"
    found = prepare(data, tmp_path / "found", retry=True)
    assert set(found.status["audio"]) == {"ok"}
    assert np.array_equal(found.arrays["audio"], expected.arrays["audio"])


def test_stamps_are_not_those_of_files_that_are_missing(root, away):
    """Else the name of the data would change with the state of a network, and leaks would not be seen."""
    options = Manifest.Options(rate=RATE, seconds=0.5, n_fft=64, hop=32, frames=1, size=16)
    away.failing.update({f"{i}.wav": 1 for i in range(COUNT)})
    with pytest.raises(UnansweredError, match="memory://d does not answer"):
        Manifest(root, options).data_id()
    away.failing.clear()
    away.failing["3.wav"] = 1
    assert files_found(Manifest(root, options))["audio"] == {"ok": COUNT - 1, "unreachable": 1}


def test_a_folder_that_cannot_be_listed_counts_too(root, monkeypatch):
    """With many files, its list is asked for in place of each."""
    listed = []

    def information(path):
        listed.append(path)
        raise RemoteError(path, "unreachable", "could not be read")

    @contextmanager
    def failing(path):
        raise RemoteError(path, "unreachable", "could not be read")
        yield

    monkeypatch.setattr(stamps, "failing", failing)
    monkeypatch.setattr(stamps, "information", information)
    names = [located(f"memory://d/{k}/{i}.wav") for k in range(IN_A_ROW) for i in range(stamps.LISTED)]
    with pytest.raises(UnansweredError, match="memory://d does not answer"):
        stamps.stamps(names)
    assert not listed


@pytest.fixture
def here(tmp_path):
    """A manifest of files of this machine, all sounds of one size."""
    lines = ["sample_id,label,audio,image"]
    for i in range(COUNT):
        write_audio(tmp_path / f"{i}.wav", tone(300 + 20 * i, 1, RATE), RATE)
        write_picture(tmp_path / f"{i}.png", np.full((16, 16, 3), 10 * i, np.uint8))
        lines.append(f"s{i:02},{'ab'[i % 2]},{i}.wav,{i}.png")
    (tmp_path / "clips.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "clips.csv"


@pytest.mark.parametrize("error", [errno.EACCES, errno.EIO], ids=["denied", "a disk that fails"])
@pytest.mark.parametrize("asked", ["open", "stat"], ids=["the file", "its folder"])
def test_what_may_not_be_read_keeps_its_row_and_is_tried_again(here, tmp_path, monkeypatch, error, asked):
    """Once it stayed `undecodable` when it could be read again, and ended the search for duplicates."""
    options = Manifest.Options(rate=RATE, seconds=0.5, n_fft=64, hop=32, frames=1, size=16)
    expected, closed = prepare(Manifest(here, options), tmp_path / "expected"), {"3.wav", "5.png"}
    data, real = Manifest(here, options), getattr(Path, asked)
    data.data_id()

    def ask(path, *args, **kwargs):
        if path.name in closed:
            raise OSError(error, os.strerror(error), str(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(Path, asked, ask)
    first = prepare(data, tmp_path / "found")
    assert first.status["audio"].tolist() == ["unreadable" if i == 3 else "ok" for i in range(COUNT)]
    assert first.status["image"].tolist() == ["unreadable" if i == 5 else "ok" for i in range(COUNT)]
    assert os.strerror(error) in first.reason["audio"][3]
    assert files_found(data)["audio"] == {"ok": COUNT - 1, "unreadable": 1}
    assert check(data, first.status) == (), "no two are the same medium"
    closed.clear()
    again = prepare(data, tmp_path / "found", retry=True)
    for modality in ("audio", "image"):
        assert set(again.status[modality]) == {"ok"}
        assert np.array_equal(again.arrays[modality], expected.arrays[modality])
