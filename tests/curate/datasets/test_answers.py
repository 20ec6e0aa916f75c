"""Media on another machine that does not answer: single ones get a status, several in a row end the command."""

from __future__ import annotations

import json
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

from curate.datasets import decoding
from curate.datasets.answers import Answers
from curate.datasets.base import Dataset
from curate.datasets.cache import PARTIAL, prepare
from curate.errors import CurateError, MediaError
from curate.files.remote import located
from curate.files.unanswered import IN_A_ROW, place_of
from curate.specs import AudioSpec, VisualSpec
from curate.types import Sample

N = 60


class Bucket(Dataset):
    """Sounds in a bucket and pictures here; the file `lost` has the numbers of sounds that are not reached."""

    name = "bucket"
    summary = "test"
    reusable = True

    def __init__(self, lost: Path, shared: bool = False, places: int = 1) -> None:
        super().__init__(None, self.Options())
        self.lost, self.shared, self.places = lost, shared, places
        self.modalities, self.classes = ("audio", "visual"), ("a", "b")
        self.specs = {"audio": AudioSpec(rate=8, seconds=1.0), "visual": VisualSpec(frames=1, size=2, channels=1)}
        self.samples = tuple(
            Sample(sample_id=f"s{i:02}", label="ab"[i % 2], split="train", inputs={"audio": str(i), "visual": str(i)})
            for i in range(N)
        )

    def media(self, sample):
        sound = "all.wav" if self.shared else f"{sample.inputs['audio']}.wav"
        place = "bucket" if self.places == 1 else f"bucket{int(sample.inputs['audio']) % self.places}"
        return {"audio": (located(f"s3://{place}/{sound}"), None), "visual": (Path(f"{sample.sample_id}.png"), None)}

    def load(self, sample, modality):
        number = sample.inputs["audio"]
        if modality == "audio" and number in self.lost.read_text().split():
            raise MediaError("unreachable", f"{number} could not be read")
        return np.full(self.specs[modality].shape, int(number), self.specs[modality].dtype)


@pytest.fixture
def bucket(tmp_path):
    """The data set, with nothing lost."""
    (tmp_path / "lost").write_text("")
    return Bucket(tmp_path / "lost")


@pytest.mark.parametrize("workers", [0, 2])
def test_several_in_a_row_end_the_command_which_goes_on_later(bucket, tmp_path, workers):
    plain = prepare(bucket, tmp_path / "plain")
    bucket.lost.write_text(" ".join(map(str, range(20, N))))
    with pytest.raises(CurateError, match="s3://bucket does not answer: 8 files in a row") as error:
        prepare(bucket, tmp_path / "c", workers)
    assert "kept" in error.value.hint and "the same command goes on" in error.value.hint
    assert not list((tmp_path / "c").rglob("decoding.*"))
    bucket.lost.write_text("")
    told: list[int] = []
    found = prepare(bucket, tmp_path / "c", workers, lambda done, _: told.append(done))
    assert workers or 0 < told[0] <= 20, "what was decoded is kept, and no file that was not reached"
    assert np.array_equal(found.arrays["audio"], plain.arrays["audio"]) and found.usable.all()
    assert not (tmp_path / "c" / f"{found.data_id}{PARTIAL}").exists()


def test_they_are_counted_over_all_chunks(bucket, tmp_path):
    """Each chunk has fewer rows than must be lost."""
    bucket.lost.write_text(" ".join(map(str, range(N))))
    with pytest.raises(CurateError, match="s3://bucket does not answer"):
        prepare(bucket, tmp_path / "c", workers=4)


def test_what_several_processes_wait_for_is_counted_together(bucket, tmp_path, monkeypatch):
    """Before any of them has lost so many; not where one of them was answered."""
    monkeypatch.setattr(decoding, "LOOK_EVERY", 0.0)
    half = IN_A_ROW // 2
    for process, first in enumerate((0, half)):
        lost = [f"s3://bucket/{i}.wav" for i in range(first, first + half)]
        (tmp_path / f"decoding.{process}").write_text(json.dumps([(first + half, "audio"), *lost]))
    with pytest.raises(CurateError, match="s3://bucket does not answer: 8 files in a row"):
        next(decoding._watched({Future()}, tmp_path, Answers(bucket)))
    (tmp_path / "decoding.2").write_text(json.dumps([(50, "audio")]))
    Answers(bucket).check([lost for *_, lost in decoding._marks(tmp_path)])


def test_fewer_in_a_row_and_stretches_of_one_file_get_their_status(bucket, tmp_path):
    lost = [i for i in range(N) if i % IN_A_ROW]
    bucket.lost.write_text(" ".join(map(str, lost)))
    found = prepare(bucket, tmp_path / "c")
    assert [i for i in range(N) if found.status["audio"][i] == "unreachable"] == lost
    assert set(found.status["visual"]) == {"ok"}
    bucket.lost.write_text(" ".join(map(str, range(N))))
    found = prepare(Bucket(bucket.lost, shared=True), tmp_path / "shared")
    assert set(found.status["audio"]) == {"unreachable"}, "that is one file"


@pytest.mark.parametrize("workers", [0, 2])
def test_files_of_several_places_are_counted_apart(bucket, tmp_path, workers):
    """Many places, each with fewer than end the command; of two, one that is gone ends it though the other answers."""
    bucket.lost.write_text(" ".join(map(str, range(N))))
    found = prepare(Bucket(bucket.lost, places=10), tmp_path / "many", workers)
    assert set(found.status["audio"]) == {"unreachable"}
    bucket.lost.write_text(" ".join(map(str, range(1, N, 2))))
    with pytest.raises(CurateError, match="s3://bucket1 does not answer"):
        prepare(Bucket(bucket.lost, places=2), tmp_path / "two", workers)


def test_a_medium_that_waits_for_another_of_its_sample_counts_for_the_place_of_that(bucket):
    """The length of a sound is needed for the stretch that a picture shows."""
    answers = Answers(bucket)
    with pytest.raises(CurateError, match="s3://bucket does not answer"):
        for row in range(IN_A_ROW):
            answers.add(row, "visual", "unreachable", f"s3://bucket/{row}.wav could not be read")
    assert len(answers.lost) == IN_A_ROW


def test_rows_that_were_not_reached_before_an_interrupt_are_tried_again(bucket, tmp_path):
    bucket.lost.write_text("3")

    def interrupted(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(bucket, tmp_path / "c", progress=interrupted)
    bucket.lost.write_text("")
    assert prepare(bucket, tmp_path / "c").usable.all()


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("s3://bucket/a/b.wav", "s3://bucket"),
        ("https://here.org:80/a.wav", "https://here.org:80"),
        ("zip://a.wav::s3://bucket/x.zip", "s3://bucket"),
    ],
)
def test_the_place_of_a_file(name, place):
    assert place_of(str(located(name))) == place
